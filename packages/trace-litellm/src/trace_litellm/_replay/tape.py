"""Finds the recorded call that answers a new one."""

from __future__ import annotations

import difflib
import json
import threading
from collections import Counter
from collections.abc import Sequence
from itertools import islice
from typing import Final

from trace_litellm._replay.errors import NotRecorded
from trace_litellm._replay.recordings import Recording
from trace_litellm._replay.requests import Request

_COMPARED: Final = 200
_CHARACTERS: Final = 4_000
_LINES: Final = 40


class Tape:
    """Recorded calls, by what was asked; counts how often each was asked again.

    Args:
        recordings: The calls, oldest first.
        loose: Whether it is enough that the function and the texts are the same.
    """

    def __init__(self, recordings: Sequence[Recording], *, loose: bool) -> None:
        self._loose = loose
        self._recordings = recordings
        self._by_key: dict[tuple[str, str], list[Recording]] = {}
        for one in sorted(recordings, key=lambda one: one.mocked):
            same = self._by_key.setdefault(one.request.key(loose=loose), [])
            if not one.mocked or not same or same[0].mocked:  # a provider's answer comes first
                same.append(one)
        self._asked: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()

    def find(self, request: Request) -> Recording | None:
        """Return the recorded call that answers a new one.

        The same call made again gets the recorded answers in their order, and then the last one.

        Args:
            request: What is asked.
        """
        key = self._key(request)
        if key is None:
            return None
        same = self._by_key[key]
        with self._lock:
            self._asked[key] += 1
            return same[min(self._asked[key], len(same)) - 1]

    def _key(self, request: Request) -> tuple[str, str] | None:
        key = request.key(loose=self._loose)
        if key in self._by_key:
            return key
        alike = (k for k, found in self._by_key.items() if self._is_alike(request, found[0]))
        return next(alike, None)

    def _is_alike(self, request: Request, recording: Recording) -> bool:
        return request.resembles(recording.request, loose=self._loose)

    @property
    def unused(self) -> tuple[Recording, ...]:
        """The recorded calls that nobody has asked for.

        LiteLLM answers mocked calls itself, so nobody needs to ask for those.
        """
        with self._lock:
            asked = dict(self._asked)
        left = [one for key, same in self._by_key.items() for one in same[asked.get(key, 0) :]]
        return tuple(sorted((o for o in left if not o.mocked), key=lambda o: o.span.start_ns))

    def miss(self, request: Request) -> NotRecorded:
        """Make the error for a call that was not recorded: what was asked, what comes nearest."""
        same = [one.request for one in self._recordings if one.request.function == request.function]
        what = f"{request.function} {request.parameters.get('model', '')}".strip()
        if not same:
            others = Counter(one.request.function for one in self._recordings)
            told = ", ".join(f"{times} of {name}" for name, times in others.items()) or "none"
            return NotRecorded(
                f"no call of {what} was recorded; calls recorded: {told}. {_WHAT_TO_DO}\n"
                f"Asked:\n{_shown(request)}"
            )
        told = "\n".join(_difference(_nearest(request, same), request))
        return NotRecorded(
            f"this call of {what} was not recorded; recorded of {request.function}: {len(same)}. "
            f"{_WHAT_TO_DO}\n"
            f"The nearest recorded one (-) and this one (+):\n{told}"
        )


_WHAT_TO_DO: Final = (
    "Record again, or compare less: replay(..., ignore=[...], scrub=function, "
    'match="loose") if only parameters differ.'
)


def _nearest(request: Request, others: Sequence[Request]) -> Request:
    matcher = difflib.SequenceMatcher(autojunk=False)
    matcher.set_seq2(request.exact[:_CHARACTERS])

    def likeness(other: Request) -> float:
        matcher.set_seq1(other.exact[:_CHARACTERS])
        return (other.said == request.said) + matcher.quick_ratio()

    return max(others[-_COMPARED:], key=likeness)


def _shown(request: Request) -> str:
    return json.dumps(request.parameters, indent=2, sort_keys=True, ensure_ascii=False)


def _difference(recorded: Request, asked: Request) -> list[str]:
    """Return the lines in which two requests differ, and a few around them."""
    before, after = _shown(recorded).splitlines(), _shown(asked).splitlines()
    lines = islice(difflib.unified_diff(before, after, lineterm="", n=2), 2, None)
    shown = [_short(line) for line in lines]
    if len(shown) > _LINES:
        return [*shown[:_LINES], f"... and {len(shown) - _LINES} more lines"]
    return shown


def _short(line: str) -> str:
    return line if len(line) <= _CHARACTERS // 10 else f"{line[: _CHARACTERS // 10]}…"
