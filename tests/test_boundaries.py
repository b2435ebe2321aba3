"""The rooms stay apart and their furniture small: who imports whom, and how long functions are."""

from __future__ import annotations

import ast
import importlib
import statistics
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from types import FunctionType
from typing import get_origin

import pytest

PACKAGES = ("trace_core", "trace_litellm", "trace_mlflow_sink", "trace_nats")
OPTIONAL_OF_CORE = {"rich"}
"""What extras of trace-core bring, imported only where their absence is provided for."""
FORBIDDEN = {
    "trace_core": {"trace_litellm", "trace_mlflow_sink", "trace_nats", "litellm", "mlflow"},
    "trace_litellm": {"trace_mlflow_sink", "trace_nats"},
    "trace_mlflow_sink": {"trace_litellm", "trace_nats", "litellm"},
    "trace_nats": {"trace_litellm", "trace_mlflow_sink", "litellm", "mlflow"},
}
MEDIAN, P90, MAXIMUM = 8, 20, 40


def modules(package: str) -> list[Path]:
    spec = find_spec(package)
    assert spec is not None
    assert spec.submodule_search_locations
    return sorted(Path(spec.submodule_search_locations[0]).rglob("*.py"))


def imported(path: Path) -> Iterator[tuple[str, int]]:
    """Top-level names a module imports, anywhere in it, with their lines."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name.partition(".")[0], node.lineno
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module.partition(".")[0], node.lineno


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_know_only_what_they_may(package: str) -> None:
    """trace_core knows neither sibling, and the siblings do not know each other."""
    offenders = [
        f"{path.name}:{line} imports {name}"
        for path in modules(package)
        for name, line in imported(path)
        if name in FORBIDDEN[package]
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


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """Functions of a module with their lines: code alone, without docstring, comment, blank."""
    source = path.read_text("utf-8")
    lines = source.splitlines()
    for node in ast.walk(ast.parse(source)):
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
def test_all_is_sorted_and_true(package: str) -> None:
    """``__all__`` is sorted, every name in it exists, and nothing public is missing from it."""
    module = importlib.import_module(package)
    assert list(module.__all__) == sorted(module.__all__)
    missing = [name for name in module.__all__ if not hasattr(module, name)]
    assert not missing, missing
    tree = ast.parse(Path(str(module.__file__)).read_text("utf-8"))
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
