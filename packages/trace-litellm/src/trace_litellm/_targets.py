"""What is traced: one table of LiteLLM's functions, and the check that they are what we know.

Adding a function is one line in `TARGETS`. Nothing is touched unless every core function is found
and has the shape that was seen in all releases from 1.53.9 on: fail closed.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
from collections.abc import Callable
from types import FunctionType
from typing import Any, Final

import attrs

from trace_core import SpanKind

OLDEST: Final = (1, 53, 9)
"""The oldest release that was tried."""
TROJANED: Final = frozenset({"1.82.7", "1.82.8", "1.107.0"})
"""Uploads that steal credentials. 1.82.7 and 1.82.8: 2026-03-24, MAL-2026-2144."""


class UnsupportedLiteLLM(Exception):
    """The installed LiteLLM is not one that can be patched safely."""


@attrs.frozen
class Target:
    """One of LiteLLM's entry points.

    Args:
        name: LiteLLM's public name for it.
        places: Where it is defined, as ``module:attribute``. Which exist depends on the release;
            the public one of 1.104 and later dispatches to the older one, and both are patched.
        family: Which reader understands it; see `trace_litellm._readers`.
        kind: The kind of its spans.
        operation: ``gen_ai.operation.name`` of its spans.
        twin: The sync function whose signature names its positional arguments; itself by default.
        core: Whether LiteLLM without it is one we do not know.
    """

    name: str
    places: tuple[str, ...]
    family: str
    kind: SpanKind
    operation: str
    twin: str | None = None
    core: bool = False


_CHAT = ("litellm.chat_completions.dispatch", "litellm.main")
_EMBEDDINGS = ("litellm.embeddings.dispatch", "litellm.main")


def _target(
    name: str, modules: tuple[str, ...], family: str, kind: SpanKind, operation: str, **more: Any
) -> Target:
    return Target(name, tuple(f"{m}:{name}" for m in modules), family, kind, operation, **more)


TARGETS: Final[tuple[Target, ...]] = (
    _target("completion", _CHAT, "chat", SpanKind.LLM, "chat", core=True),
    _target("acompletion", _CHAT, "chat", SpanKind.LLM, "chat", core=True),
    _target("embedding", _EMBEDDINGS, "embedding", SpanKind.EMBEDDING, "embeddings", core=True),
    _target(
        "aembedding",
        _EMBEDDINGS,
        "embedding",
        SpanKind.EMBEDDING,
        "embeddings",
        twin="litellm.main:embedding",
        core=True,
    ),
)

PRE_CALL: Final = "litellm.litellm_core_utils.litellm_logging:Logging.pre_call"
"""Called before every request to a provider, with the endpoint and the headers."""


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


def check_version(version: str) -> None:
    """Refuse releases that must not or cannot be patched.

    Args:
        version: The installed release.

    Raises:
        UnsupportedLiteLLM: It is trojaned, or older than any that was tried.
    """
    if version in TROJANED:
        raise UnsupportedLiteLLM(
            f"LiteLLM {version} is a trojaned upload that steals credentials: uninstall it, "
            "treat every secret this machine could read as stolen, and install another release"
        )
    if _numbers(version) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise UnsupportedLiteLLM(
            f"LiteLLM {version} is older than {oldest}, the oldest release tracing is tested on"
        )


def _numbers(version: str) -> tuple[int, ...]:
    digits = ("".join(c for c in part if c.isdigit()) for part in version.split(".")[:3])
    return tuple(int(d) if d else 0 for d in digits)


def find_targets() -> tuple[Found, ...]:
    """Look up every target in the installed LiteLLM, touching nothing.

    Returns:
        The targets that exist.

    Raises:
        UnsupportedLiteLLM: A core function is missing or does not look as expected.
    """
    found = [_find(target) for target in TARGETS]
    return tuple(one for one in found if one.functions)


def _find(target: Target) -> Found:
    functions: list[FunctionType] = []
    for place in target.places:
        function = _entry_point(lookup(place))
        if function is not None and function not in functions:
            functions.append(function)
    if target.core and not any(is_client_closure(f) for f in functions):
        raise UnsupportedLiteLLM(
            f"litellm.{target.name} does not look like any release tracing was tested on"
        )
    return Found(target, tuple(functions), _parameters(target, functions))


def lookup(place: str) -> Any:
    """Return what stands at ``module:attribute.attribute``, or ``None`` where nothing does."""
    module_name, _, path = place.partition(":")
    try:
        thing: Any = importlib.import_module(module_name)
    except ImportError:  # a place of another release, or an extra that is not installed
        return None
    for name in path.split("."):
        thing = getattr(thing, name, None)
    return thing


def _entry_point(thing: Any) -> FunctionType | None:
    """Find LiteLLM's own function under whatever other tools have wrapped around it."""
    while thing is not None:
        if type(thing) is FunctionType and (is_client_closure(thing) or _is_dispatch(thing)):
            return thing
        thing = inspect.getattr_static(thing, "__wrapped__", None) or getattr(
            thing, "__wrapped__", None
        )
    return None


def is_client_closure(function: FunctionType) -> bool:
    """Tell whether a function is what LiteLLM's ``@client`` decorator makes."""
    code = function.__code__
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
    """Tell whether a function is one of the public dispatchers of 1.104 and later."""
    return (
        function.__code__.co_filename.endswith("dispatch.py")
        and hasattr(function, "__wrapped__")
        and _takes_anything(function)
    )


def _takes_anything(function: FunctionType) -> bool:
    flags = function.__code__.co_flags
    return bool(flags & inspect.CO_VARARGS) and bool(flags & inspect.CO_VARKEYWORDS)


def _parameters(target: Target, functions: list[FunctionType]) -> tuple[str, ...]:
    source: Callable[..., Any] | None = lookup(target.twin) if target.twin else None
    if source is None:
        if not functions:
            return ()
        source = functions[-1]
    try:
        parameters = inspect.signature(source).parameters.values()
    except (TypeError, ValueError):
        return ()
    by_position = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return tuple(p.name for p in parameters if p.kind in by_position)


def trojan_on_path() -> str | None:
    """Return where the file that the trojaned releases left behind lies, if it does."""
    spec = importlib.util.find_spec("litellm")
    if spec is None or not spec.submodule_search_locations:
        return None
    from pathlib import Path

    for package in spec.submodule_search_locations:
        left_behind = Path(package).parent / "litellm_init.pth"
        if left_behind.exists():
            return str(left_behind)
    return None
