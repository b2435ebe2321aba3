"""Describes an exception by its type, text and stack, without locals and source lines."""

from __future__ import annotations

import traceback
from types import FrameType
from typing import Final

from trace_core import semconv
from trace_core._log import text_of
from trace_core._model.parts import Status, StatusCode
from trace_core._model.values import Value

_FRAMES_KEPT: Final = 50  # at each end of a stack: a RecursionError has a thousand


def describe(error: BaseException) -> tuple[Status, dict[str, Value]]:
    """Return the status and the attributes of the event that stand for an exception.

    Args:
        error: The exception.
    """
    kind, text = qualified_name(type(error)), text_of(error)
    return Status(StatusCode.ERROR, text or kind), {
        semconv.EXCEPTION_TYPE: kind,
        semconv.EXCEPTION_MESSAGE: text,
        semconv.EXCEPTION_STACKTRACE: _stack_of(error, kind, text),
    }


def qualified_name(cls: type) -> str:
    """Return a class's name with its module, without ``builtins``."""
    module = cls.__module__
    return cls.__qualname__ if module == "builtins" else f"{module}.{cls.__qualname__}"


def _stack_of(error: BaseException, kind: str, text: str) -> str:
    """Write file, line and function of each frame.

    No locals, because they hold secrets; no source lines, because reading them is a file access
    on the caller's thread; no chained exceptions.
    """
    frames = list(traceback.walk_tb(error.__traceback__))
    lines = [_frame(frame, line) for frame, line in frames[:_FRAMES_KEPT]]
    rest = frames[_FRAMES_KEPT:]
    if len(rest) > _FRAMES_KEPT:
        lines.append(f"  ... {len(rest) - _FRAMES_KEPT} more frames ...")
        rest = rest[-_FRAMES_KEPT:]
    lines += [_frame(frame, line) for frame, line in rest]
    return "\n".join(["Traceback (most recent call last):", *lines, f"{kind}: {text}"])


def _frame(frame: FrameType, line: int) -> str:
    code = frame.f_code
    return f'  File "{code.co_filename}", line {line}, in {code.co_name}'
