"""Finds the functions to patch in the installed LiteLLM, and checks that they are the known ones.

A function is patched only if it has the shape that it had in all releases from 1.53.9 on.
"""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Callable, Container, Sequence
from contextlib import suppress
from importlib import metadata
from types import FunctionType
from typing import Any, Final

import attrs

from trace_core.patching import own_code
from trace_litellm._patching.targets import LATE, RENAMED, TARGETS, UNAMBIGUOUS, Shape, Target

OLDEST: Final = (1, 53, 9)
"""The oldest release that was tried."""
COMPROMISED: Final = frozenset({"1.82.7", "1.82.8", "1.107.0"})
"""Uploads that steal credentials. 1.82.7 and 1.82.8: 2026-03-24, MAL-2026-2144."""
_LEFT_BEHIND: Final = "litellm_init.pth"
_MOST_WRAPPERS: Final = 16
_BY_POSITION: Final = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
)


class UnsupportedLiteLLM(Exception):
    """The installed LiteLLM is not one that can be patched safely."""


@attrs.frozen(eq=False)
class Found:
    """A target and what it is in the installed release.

    Args:
        target: The target.
        functions: The functions to patch for it.
        parameters: Names of its positional parameters, in order.
    """

    target: Target
    functions: tuple[FunctionType, ...]
    parameters: tuple[str, ...]


@attrs.frozen
class Findings:
    """What of the table is in the installed release.

    Args:
        found: The targets to patch, with their functions.
        misfits: The targets that are there, and not as we know them.
    """

    found: tuple[Found, ...]
    misfits: tuple[Target, ...]


def litellm_version() -> str:
    """Return the installed release.

    Raises:
        UnsupportedLiteLLM: There is none.
    """
    try:
        return metadata.version("litellm")
    except metadata.PackageNotFoundError:
        raise UnsupportedLiteLLM("litellm is not installed: pip install litellm") from None


def check_safe() -> None:
    """Refuse a LiteLLM that is not to be patched, nor imported for that.

    Raises:
        UnsupportedLiteLLM: The message says why.
    """
    check_version(litellm_version())
    check_no_malware()


def import_litellm() -> None:
    """Import LiteLLM, if that is safe. What is wrong with it is told when it is to be patched."""
    with suppress(UnsupportedLiteLLM):
        if "litellm" not in sys.modules:  # else it is there, or another thread is importing it
            check_safe()
        _module("litellm")


def check_version(version: str) -> None:
    """Refuse releases that must not or cannot be patched.

    Args:
        version: The installed release.

    Raises:
        UnsupportedLiteLLM: It is compromised, or older than any that was tried.
    """
    if version in COMPROMISED:
        raise UnsupportedLiteLLM(
            f"LiteLLM {version} is a compromised upload that steals credentials: uninstall it, "
            "treat every secret this machine could read as stolen, and install another release"
        )
    if _numbers(version) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise UnsupportedLiteLLM(
            f"LiteLLM {version} is older than {oldest}, the oldest release tracing is tested on"
        )


def check_no_malware() -> None:
    """Refuse a Python that runs, at each start, the file that a compromised release left behind.

    Raises:
        UnsupportedLiteLLM: It is there; the message says where.
    """
    for folder in sys.path:
        file = os.path.join(folder, _LEFT_BEHIND)  # noqa: PTH118 -- one that cannot be read, too
        if os.path.isfile(file):  # noqa: PTH113
            raise UnsupportedLiteLLM(
                f"{file} was left by a compromised LiteLLM and steals credentials whenever Python "
                "starts: remove it, and treat every secret this machine could read as stolen"
            )


def _numbers(version: str) -> tuple[int, ...]:
    digits = ("".join(c for c in part if c.isdigit()) for part in version.split(".")[:3])
    return tuple(int(d) if d else 0 for d in digits)


def find_targets(patched: Container[FunctionType] = (), module: str | None = None) -> Findings:
    """Look up the targets in the installed LiteLLM, touching nothing.

    Args:
        patched: Functions that are ours already. They are not found again.
        module: Look for those alone that may be in this module.
    """
    found: list[Found] = []
    misfits: list[Target] = []
    for target in TARGETS:
        if module is not None and not _may_be_in(module, target):
            continue
        functions = _functions(target, patched)
        new = tuple(function for function in functions if function not in patched)
        parameters, takes_id = _parameters(target, new or functions) if functions else ((), True)
        named = set(target.needs) <= set(parameters)
        if new and named:
            found.append(Found(attrs.evolve(target, takes_id=takes_id), new, parameters))
        if not named or not _is_known(target, functions, patched):
            misfits.append(target)
    return Findings(tuple(found), tuple(misfits))


def _may_be_in(module: str, target: Target) -> bool:
    return any(place.startswith(f"{module}:") for place in target.places)


def _functions(target: Target, patched: Container[FunctionType]) -> tuple[FunctionType, ...]:
    at = [_entry_point(lookup(place), target.shape, place, patched) for place in target.places]
    return tuple(dict.fromkeys(function for function in at if function is not None))


def _is_known(
    target: Target, functions: Sequence[FunctionType], patched: Container[FunctionType]
) -> bool:
    """Return whether a target is as we know it, or not in this release at all."""
    if target.core:
        return any(f in patched or is_client_closure(f) for f in functions)
    return bool(functions) or not _is_there(target)


def _is_there(target: Target) -> bool:
    """Return whether something goes by the name of a target, also where we do not know it."""
    if any(lookup(place) is not None for place in target.places):
        return True
    if target.shape is not Shape.CLIENT or not target.call_types <= UNAMBIGUOUS:
        return False
    litellm = sys.modules.get("litellm")
    return any(callable(getattr(litellm, name, None)) for name in target.call_types)


def find_plain(place: str) -> FunctionType | None:
    """Return an ordinary function of LiteLLM's, or ``None`` where there is none of that shape."""
    return _entry_point(lookup(place), Shape.PLAIN, place)


def lookup(place: str) -> Any:
    """Return what stands at ``module:attribute.attribute``, or ``None`` where nothing does."""
    module_name, _, path = place.partition(":")
    thing = _module(module_name)
    for name in path.split("."):
        thing = inspect.getattr_static(thing, name, None)
    return thing


def _module(name: str) -> Any:
    if name in LATE or RENAMED.get(name) in sys.modules:  # a new name is looked up before
        return sys.modules.get(name)
    try:
        return importlib.import_module(name)
    except Exception:  # of another release, or in want of an extra that is not installed
        return None


def _entry_point(
    thing: Any, shape: Shape, place: str, patched: Container[FunctionType] = ()
) -> FunctionType | None:
    """Find LiteLLM's own function under whatever other tools have wrapped around it."""
    for _ in range(_MOST_WRAPPERS):
        if thing is None:
            return None
        if type(thing) is FunctionType and (thing in patched or _has_shape(thing, shape, place)):
            return thing
        thing = getattr(thing, "__wrapped__", None)
    return None


def _has_shape(function: FunctionType, shape: Shape, place: str) -> bool:
    is_client = is_client_closure(function) or _is_dispatch(function)
    if is_client or shape is Shape.CLIENT:
        return is_client and shape in (Shape.CLIENT, Shape.EITHER)
    module_name, _, path = place.partition(":")
    code = own_code(function)
    return (
        code.co_name == path.rpartition(".")[2]
        and function.__module__ == module_name
        and not inspect.isgeneratorfunction(function)
        and inspect.isasyncgenfunction(function) is (shape is Shape.STREAM)
    )


def is_client_closure(function: FunctionType) -> bool:
    """Return whether a function is what LiteLLM's ``@client`` decorator makes."""
    code = own_code(function)
    if code.co_name not in ("wrapper", "wrapper_async"):
        return False
    if "original_function" not in code.co_freevars or not _takes_anything(function):
        return False
    names = {*code.co_names, *_names_below(code)}
    is_async = inspect.iscoroutinefunction(function)
    return is_async == (code.co_name == "wrapper_async") and "function_setup" in names


def _names_below(code: Any) -> set[str]:
    return {
        name for const in code.co_consts if hasattr(const, "co_names") for name in const.co_names
    }


def _is_dispatch(function: FunctionType) -> bool:
    """Return whether a function is one of the public dispatchers of 1.104 and later."""
    return (
        own_code(function).co_filename.endswith("dispatch.py")
        and hasattr(function, "__wrapped__")
        and _takes_anything(function)
    )


def _takes_anything(function: FunctionType) -> bool:
    flags = own_code(function).co_flags
    return bool(flags & inspect.CO_VARARGS) and bool(flags & inspect.CO_VARKEYWORDS)


def _parameters(target: Target, functions: Sequence[FunctionType]) -> tuple[tuple[str, ...], bool]:
    """Name the positional parameters, and say whether any keyword is taken."""
    twin: Callable[..., Any] | None = lookup(target.twin) if target.twin else None
    for source in (twin, functions[-1]):
        try:
            parameters = inspect.signature(source).parameters.values()  # type: ignore[arg-type]
        except (TypeError, ValueError):
            continue
        names = tuple(p.name for p in parameters if p.kind in _BY_POSITION)
        if twin is None or set(target.needs) <= set(names):
            return names, any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters)
    return (), target.shape is Shape.CLIENT
