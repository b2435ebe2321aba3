"""Finds LiteLLM's functions in its source, without importing it, which takes eight seconds.

For ``doctor``: what is patched in the end, `preflight` decides by the functions themselves.
"""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final, TypeAlias

import attrs

from trace_litellm._patching.preflight import UnsupportedLiteLLM
from trace_litellm._patching.targets import TARGETS, UNAMBIGUOUS, Shape, Target

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
_CLIENT: Final = frozenset({"client", "wrapper_client"})


@attrs.frozen
class Place:
    """A function in the source.

    Args:
        module: The module that it is defined in.
        node: Its definition.
    """

    module: str
    node: Function

    def fits(self, target: Target) -> bool:
        """Tell whether it looks as the target does in the releases that we know."""
        named = {_last_name(one) for one in self.node.decorator_list}
        is_client = bool(named & _CLIENT) or self.module.endswith("dispatch")
        if is_client:
            return target.shape in (Shape.CLIENT, Shape.EITHER)
        return target.shape is not Shape.CLIENT


def misfits() -> tuple[int, list[Target]]:
    """Look up all targets in the source of the installed LiteLLM.

    Returns:
        How many are as we know them, and those that are there and are not.

    Raises:
        UnsupportedLiteLLM: There is no source to look into.
    """
    if _root() is None:
        raise UnsupportedLiteLLM("its source is not where Python would import it from")
    fitting, wrong = 0, []
    for target in TARGETS:
        places = [place for name in target.places if (place := find(name)) is not None]
        named = _takes(target, places)
        good = named and any(place.fits(target) for place in places)
        fitting += good
        made = target.shape is not Shape.EITHER  # those may be made by a factory, as we know them
        there = bool(places) or (made and any(map(_mentions, target.places)))
        if not good and (target.core or there or _is_exported(target)):
            wrong.append(target)
    return fitting, wrong


def _takes(target: Target, places: list[Place]) -> bool:
    """Tell whether a target has the parameters without which it is not the one we know."""
    twin = find(target.twin) if target.twin else None
    for place in (*places, *([twin] if twin else ())):
        arguments = place.node.args
        named = {a.arg for a in (*arguments.posonlyargs, *arguments.args)}
        if set(target.needs) <= named:
            return True
    return not target.needs


def _is_exported(target: Target) -> bool:
    if target.shape is not Shape.CLIENT or not target.call_types <= UNAMBIGUOUS:
        return False
    return any(find(f"litellm:{name}") is not None for name in target.call_types)


@cache
def find(place: str, passed: frozenset[str] = frozenset()) -> Place | None:
    """Return the function at ``module:attribute``, also if it is imported from elsewhere.

    Args:
        place: Where it is looked for.
        passed: Modules that have been looked into: modules import each other in circles.
    """
    module, _, path = place.partition(":")
    while module not in passed:
        passed |= {module}
        owner, _, name = path.rpartition(".")
        body = _body(module, owner)
        for node in reversed(body):  # the definition comes after its overloads
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name == name:
                return Place(module, node)
        found = None if owner else _imported(module, path, passed)
        if found is None:
            return None
        module, path = found
    return None


def _mentions(place: str) -> bool:
    """Tell whether something that is no function has a target's name."""
    module, _, path = place.partition(":")
    owner, _, name = path.rpartition(".")
    return any(
        (isinstance(node, ast.ClassDef) and node.name == name)
        or (
            isinstance(node, ast.Assign)
            and any(isinstance(t, ast.Name) and t.id == name for t in node.targets)
        )
        or (
            isinstance(node, ast.ImportFrom)
            and any((alias.asname or alias.name) == name for alias in node.names)
        )
        for node in _body(module, owner)
    )


def _body(module: str, owner: str) -> list[ast.stmt]:
    """Return the statements of a module or of a class in it, under ``if`` and ``try`` too."""
    statements = list(_statements(module))
    for name in filter(None, owner.split(".")):
        classes = [n for n in statements if isinstance(n, ast.ClassDef) and n.name == name]
        statements = classes[-1].body if classes else []
    return statements


@cache
def _statements(module: str) -> tuple[ast.stmt, ...]:
    path = _file(module)
    if path is None:
        return ()
    try:
        return tuple(_flat(ast.parse(path.read_text("utf-8")).body))
    except (OSError, SyntaxError, ValueError):
        return ()


def _flat(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    for node in body:
        yield node
        if isinstance(node, (ast.If, ast.Try)):
            for part in (node.body, node.orelse, getattr(node, "finalbody", [])):
                yield from _flat(part)


def _imported(module: str, name: str, passed: frozenset[str]) -> tuple[str, str] | None:
    """Return from where a module imports a name, if it does."""
    stars: list[str] = []
    for node in _statements(module):
        if not isinstance(node, ast.ImportFrom):
            continue
        source = _absolute(module, node)
        for alias in node.names:
            if (alias.asname or alias.name) == name:
                return source, alias.name
            stars += [source] if alias.name == "*" else []
    return next(((s, name) for s in stars if find(f"{s}:{name}", passed) is not None), None)


def _absolute(module: str, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    path = _file(module)
    parts = module.split(".")
    above = node.level - (path is not None and path.name == "__init__.py")
    return ".".join([*parts[: len(parts) - above], *([node.module] if node.module else [])])


def _last_name(decorator: ast.expr) -> str:
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    return called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")


@cache
def _root() -> Path | None:
    spec = importlib.util.find_spec("litellm")
    places = list(spec.submodule_search_locations or ()) if spec is not None else []
    return Path(places[0]).parent if places else None


def _file(module: str) -> Path | None:
    root = _root()
    if root is None or module.partition(".")[0] != "litellm":
        return None
    path = root.joinpath(*module.split("."))
    choices = (path.with_name(f"{path.name}.py"), path / "__init__.py")
    return next((one for one in choices if one.is_file()), None)
