"""Describes an exception by its type, text and stack, without locals and source lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from trace_core import semconv
from trace_core._log import text_of
from trace_core._model.parts import Status, StatusCode
from trace_core._model.values import Value
from trace_core._tracing.stacks import Place, places_of

_PLACES_KEPT: Final = 50  # at each end of a stack: a RecursionError has a thousand


def describe(
    error: BaseException, called_from: Sequence[Place] = ()
) -> tuple[Status, dict[str, Value]]:
    """Return the status and the attributes of the event that stand for an exception.

    Args:
        error: The exception.
        called_from: Where the work was asked for, if that was on another thread or task.
    """
    kind, text = qualified_name(type(error)), text_of(error)
    return Status(StatusCode.ERROR, text or kind), {
        semconv.EXCEPTION_TYPE: kind,
        semconv.EXCEPTION_MESSAGE: text,
        semconv.EXCEPTION_STACKTRACE: _stack_of(error, kind, text, called_from),
    }


def qualified_name(cls: type) -> str:
    """Return a class's name with its module, without ``builtins``."""
    module = cls.__module__
    return cls.__qualname__ if module == "builtins" else f"{module}.{cls.__qualname__}"


def _stack_of(error: BaseException, kind: str, text: str, called_from: Sequence[Place]) -> str:
    """Write file, line and function of each frame, from the user's own line on.

    No locals, because they hold secrets; no source lines, because reading them is a file access
    on the caller's thread; no chained exceptions.
    """
    places = places_of(error, called_from)
    lines = [_written(place) for place in places[:_PLACES_KEPT]]
    rest = places[_PLACES_KEPT:]
    if len(rest) > _PLACES_KEPT:
        lines.append(f"  ... {len(rest) - _PLACES_KEPT} more frames ...")
        rest = rest[-_PLACES_KEPT:]
    lines += [_written(place) for place in rest]
    return "\n".join(["Traceback (most recent call last):", *lines, f"{kind}: {text}"])


def _written(place: Place) -> str:
    code, line = place
    return f'  File "{code.co_filename}", line {line}, in {code.co_name}'
