"""Finds the user's own line in a stack, and leaves out the frames of tracing itself."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from enum import Enum, auto
from functools import lru_cache
from types import CodeType, FrameType
from typing import Final, TypeAlias

Place: TypeAlias = tuple[CodeType, int]
"""A line of a stack: the code and the line's number. Unlike a frame it holds no locals."""

_MOST: Final = 200
TRAMPOLINE: Final = "<trace_core>"
"""The file that frames of patched functions name: see `trace_core.patching`."""
_HOME: Final = os.path.dirname(os.path.dirname(__file__)) + os.sep  # noqa: PTH120  # no path objects on the caller's thread
_hidden: tuple[str, ...] = (_HOME, TRAMPOLINE)
_LIBRARY: Final = os.path.dirname(os.__file__) + os.sep  # noqa: PTH120  # the same
_INSTALLED: Final = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")
_SCHEDULERS: Final = ("asyncio.", "threading", "concurrent.futures.", "multiprocessing.")
"""What runs tasks and threads: the frames above theirs did not ask for the work."""


def hide_frames(*prefixes: str) -> None:
    """Leave frames of files out of every recorded stack.

    For the code of an instrumentation, which is between the user's call and what it calls.

    Args:
        *prefixes: What the names of the files begin with.
    """
    global _hidden  # noqa: PLW0603  # the same for all tracers
    _hidden = (*_hidden, *(prefix for prefix in prefixes if prefix not in _hidden))
    _kind_of.cache_clear()


def places_of(error: BaseException, called_from: Sequence[Place] = ()) -> list[Place]:
    """Return the stack of an exception, from the user's own line to where it was raised.

    Args:
        error: The exception.
        called_from: What comes first if the stack does not lead to a line of the user's: where
            the work was asked for, if that was on another thread or task.
    """
    frames = list(traceback.walk_tb(error.__traceback__))
    seen = [
        (f, (f.f_code, line)) for f, line in frames if not f.f_code.co_filename.startswith(_hidden)
    ]
    places = [place for _, place in seen]
    if not seen or _is_own(seen[0][0].f_code.co_filename):
        return places
    above, complete = _above(frames[0][0].f_back, _package(seen[0][0]))
    return [*(above if complete or not called_from else called_from), *places]


def own_line() -> list[Place]:
    """Return the stack of this call, from the user's own line on; nothing if there is none."""
    above, complete = _above(sys._getframe(1), "")  # noqa: SLF001  # as logging and warnings do
    return above if complete else []


def _above(frame: FrameType | None, package: str) -> tuple[list[Place], bool]:
    """Return the stack above a frame, and whether it begins at the user's own line.

    If it does not, as in a program that is installed like a library, it begins at the line that
    calls into the package.
    """
    places: list[Place] = []
    callers = 0
    while frame is not None and len(places) < _MOST:
        code = frame.f_code
        kind = _kind_of(code.co_filename, frame.f_globals.get("__name__"))
        if kind is _Kind.SCHEDULER:
            break
        if kind is not _Kind.HIDDEN:
            places.append((code, frame.f_lineno))
            if kind is _Kind.OWN:
                return places[::-1], True
            if not callers and _package(frame) != package:
                callers = len(places)
        frame = frame.f_back
    return places[:callers][::-1], False


class _Kind(Enum):
    """What a frame is: the user's own is neither installed nor of the standard library."""

    SCHEDULER = auto()
    HIDDEN = auto()
    OWN = auto()
    INSTALLED = auto()


@lru_cache(2_048)  # a proxy looks at the same few frames for each of its requests
def _kind_of(file: str, module: object) -> _Kind:
    if str(module).startswith(_SCHEDULERS):
        return _Kind.SCHEDULER
    if file.startswith(_hidden):
        return _Kind.HIDDEN
    return _Kind.OWN if _is_own(file) else _Kind.INSTALLED


def _is_own(file: str) -> bool:
    return not (file.startswith((_LIBRARY, "<frozen ")) or any(part in file for part in _INSTALLED))


def _package(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__")).partition(".")[0]
