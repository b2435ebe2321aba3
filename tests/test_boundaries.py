"""Keeps the structure: which package imports which, and how large modules, classes, functions are."""

from __future__ import annotations

import ast
import importlib
import statistics
import sys
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import FunctionType
from typing import get_origin

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("trace_core", "trace_litellm", "trace_mlflow_sink", "trace_nats", "trace_otlp_sink")
OPTIONAL_OF_CORE = {"google", "httpx", "opentelemetry", "rich", "vl_convert"}
"""What the extras of trace-core install; imported only where it may be missing."""
SIBLINGS = {name: {*PACKAGES} - {name, "trace_core"} for name in PACKAGES}
FORBIDDEN = {
    "trace_core": {*SIBLINGS["trace_core"], "litellm", "mlflow"},
    "trace_litellm": SIBLINGS["trace_litellm"],
    "trace_mlflow_sink": {*SIBLINGS["trace_mlflow_sink"], "litellm"},
    "trace_nats": {*SIBLINGS["trace_nats"], "litellm", "mlflow"},
    "trace_otlp_sink": {*SIBLINGS["trace_otlp_sink"], "litellm", "mlflow"},
}
MEDIAN, P90, MAXIMUM = 8, 20, 40
"""Code lines of half of the functions, of nine in ten, of every one; at the most."""
MODULE_LINES, CLASS_LINES = 400, 200
"""All lines of a module and of a class, at the most."""
CODE_LINES = {"trace_core": 14_450, "trace_litellm": 5875, "trace_mlflow_sink": 3330}
"""Code lines of a package, at the most. A new feature may raise its package's number."""


def modules(package: str) -> list[Path]:
    spec = find_spec(package)
    assert spec is not None
    assert spec.submodule_search_locations
    return sorted(Path(spec.submodule_search_locations[0]).rglob("*.py"))


@cache
def parsed(path: Path) -> ast.Module:
    """The syntax tree of a module."""
    return ast.parse(path.read_text("utf-8"))


def imported(path: Path) -> Iterator[tuple[str, int]]:
    """Top-level names a module imports, anywhere in it, with their lines."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name.partition(".")[0], node.lineno
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module.partition(".")[0], node.lineno


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_know_only_what_they_may(package: str) -> None:
    """trace_core imports no other package of ours, and the others import trace_core alone."""
    offenders = [
        f"{path.name}:{line} imports {name}"
        for path in modules(package)
        for name, line in imported(path)
        if name in FORBIDDEN[package]
    ]
    assert not offenders, offenders


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_use_what_others_have_made_public(package: str) -> None:
    """No package imports a private module of another."""
    offenders = [
        f"{path.name}:{node.lineno} imports {node.module}"
        for path in modules(package)
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.ImportFrom)
        and "._" in (node.module or "")
        and str(node.module).partition(".")[0] in {*PACKAGES} - {package}
    ]
    assert not offenders, offenders


def test_the_core_needs_attrs_alone() -> None:
    """Besides the standard library trace_core imports attrs, and optional extras."""
    allowed = set(sys.stdlib_module_names) | {"attr", "attrs", "trace_core"} | OPTIONAL_OF_CORE
    offenders = [
        f"{path.name}:{line} imports {name}"
        for path in modules("trace_core")
        for name, line in imported(path)
        if name not in allowed
    ]
    assert not offenders, offenders


EXAMPLES = sorted(path.parent for path in ROOT.glob("examples/*/pyproject.toml"))
EXAMPLE_LINES = 400
"""Code lines of an example at the most: a reader copies it."""


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_examples_are_small_and_use_what_is_public(example: Path) -> None:
    """An example of an adapter needs trace_core's public names alone, and few lines."""
    sources = sorted(example.glob("src/**/*.py"))
    own = example.name.replace("-", "_")
    offenders = [
        f"{path.name}:{node.lineno} imports {node.module}"
        for path in sources
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.ImportFrom)
        and str(node.module).partition(".")[0] not in {*sys.stdlib_module_names, own}
        and (not str(node.module).startswith("trace_core") or "._" in str(node.module))
    ]
    assert not offenders, offenders
    assert sum(map(code_lines, sources)) <= EXAMPLE_LINES
    assert max(size for path in sources for _, size in functions(path)) <= MAXIMUM


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """Functions of a module with their code lines."""
    source = path.read_text("utf-8")
    lines = source.splitlines()
    for node in ast.walk(parsed(path)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            body = node.body[1:] if ast.get_docstring(node, clean=False) is not None else node.body
            if not body:
                yield f"{path.name}:{node.lineno} {node.name}", 0
                continue
            code = lines[body[0].lineno - 1 : node.end_lineno]
            counted = sum(1 for line in code if line.strip() and not line.strip().startswith("#"))
            yield f"{path.name}:{node.lineno} {node.name}", counted


@pytest.mark.parametrize("package", PACKAGES)
def test_functions_are_small(package: str) -> None:
    """Half of a package's functions have 8 lines at the most, nine in ten 20, every one 40."""
    found = sorted(
        (entry for path in modules(package) for entry in functions(path)), key=lambda e: -e[1]
    )
    sizes = [size for _, size in found]
    if len(sizes) < 10:
        pytest.skip(f"{package} has too few functions to judge")
    longest = ", ".join(f"{name} ({size})" for name, size in found[:10])
    assert sizes[0] <= MAXIMUM, longest
    assert statistics.median(sizes) <= MEDIAN, longest
    assert sizes[len(sizes) // 10] <= P90, longest


@pytest.mark.parametrize("package", PACKAGES)
def test_modules_and_classes_are_small(package: str) -> None:
    """No module has over 400 lines and no class over 200, docstrings included."""
    offenders = []
    for path in modules(package):
        sizes = {dotted(path, package): (len(path.read_text("utf-8").splitlines()), MODULE_LINES)}
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.ClassDef):
                sizes[node.name] = (int(node.end_lineno or 0) - node.lineno + 1, CLASS_LINES)
        offenders += [
            f"{name} has {size} lines" for name, (size, most) in sizes.items() if size > most
        ]
    assert not offenders, offenders


@pytest.mark.parametrize("package", CODE_LINES)
def test_packages_are_small(package: str) -> None:
    """A package has so much code, without docstrings, comments and blank lines."""
    assert sum(map(code_lines, modules(package))) <= CODE_LINES[package]


def code_lines(path: Path) -> int:
    """Count the lines of a module that are code: no docstring, no comment, not blank."""
    docstrings = {
        line
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
        for line in range(node.lineno, int(node.end_lineno or 0) + 1)
    }
    return sum(
        1
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if line.strip() and not line.strip().startswith("#") and number not in docstrings
    )


def dotted(path: Path, package: str) -> str:
    """The name that a module is imported by."""
    parts = path.with_suffix("").parts
    first = len(parts) - 1 - parts[::-1].index(package)
    return ".".join(parts[first:]).removesuffix(".__init__")


def neighbours(path: Path, known: dict[str, Path]) -> Iterator[str]:
    """The modules of the same package that a module imports, anywhere in it."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield from [name for name in (inner, node.module) if name in known][:1]


@pytest.mark.parametrize("package", PACKAGES)
def test_no_module_imports_itself_through_others(package: str) -> None:
    """There is no import circle, also not by imports in functions or for type checkers alone."""
    known = {dotted(path, package): path for path in modules(package)}
    needs = {name: {*neighbours(path, known)} - {name} for name, path in known.items()}
    assert not (found := circles(needs)), f"on a circle, or between two: {sorted(found)}"


def circles(needs: dict[str, set[str]]) -> set[str]:
    """The modules left when those that import none of the rest, or are imported by none, go."""
    left = set(needs)
    while True:
        imported_by_some = {name for module in left for name in needs[module]}
        stay = {name for name in left if needs[name] & left} & imported_by_some
        if stay == left:
            return left
        left = stay


def test_circles_are_found() -> None:
    """A circle is told apart from what leads into it and out of it."""
    needs = {"in": {"a"}, "a": {"b"}, "b": {"c", "out"}, "c": {"a"}, "out": set[str]()}
    assert circles(needs) == {"a", "b", "c"}


@pytest.mark.parametrize("package", PACKAGES)
def test_sinks_are_not_asked_what_they_have(package: str) -> None:
    """Everything optional is in SinkBase, so no code looks for attributes of a sink by name."""
    offenders = [
        f"{path.name}:{node.lineno}"
        for path in modules(package)
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in ("getattr", "hasattr")
        and ast.unparse(node.args[0]).rpartition(".")[2].strip("_") == "sink"
    ]
    assert not offenders, offenders


@pytest.mark.parametrize("package", PACKAGES)
def test_all_is_sorted_and_true(package: str) -> None:
    """``__all__`` is sorted, every name in it exists, and nothing public is missing from it."""
    module = importlib.import_module(package)
    assert list(module.__all__) == sorted(module.__all__)
    missing = [name for name in module.__all__ if not hasattr(module, name)]
    assert not missing, missing
    tree = parsed(Path(str(module.__file__)))
    bound = {name for node in tree.body for name in bound_by(node)} - {"TYPE_CHECKING"}
    public = {name for name in bound if not name.startswith("_")}
    assert public == {name for name in module.__all__ if not name.startswith("__")}


def bound_by(node: ast.stmt) -> list[str]:
    """Names a statement at the top of a module binds, or tells type checkers that it has."""
    if isinstance(node, ast.If):
        return [name for inner in node.body for name in bound_by(inner)]
    if (
        isinstance(node, (ast.Import, ast.ImportFrom))
        and getattr(node, "module", "") != "__future__"
    ):
        return [(alias.asname or alias.name).partition(".")[0] for alias in node.names]
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return [node.name]
    if isinstance(node, ast.Assign):
        return [target.id for target in node.targets if isinstance(target, ast.Name)]
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return [node.target.id]
    return []


@pytest.mark.parametrize("package", PACKAGES)
def test_public_things_are_documented(package: str) -> None:
    """Every public class and function, and their public methods, have a docstring."""
    module = importlib.import_module(package)
    offenders = []
    for name in module.__all__:
        value = getattr(module, name)
        if get_origin(value) is not None:
            continue  # an alias such as Callable[...], which Python 3.10 takes for a class
        if isinstance(value, (type, FunctionType)) and not value.__doc__:
            offenders.append(name)
        if isinstance(value, type) and value.__module__.startswith(package):
            offenders += [
                f"{name}.{key}"
                for key, member in vars(value).items()
                if not key.startswith("_") and callable(member) and not member.__doc__
            ]
    assert not offenders, offenders
