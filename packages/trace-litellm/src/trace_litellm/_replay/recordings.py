"""Reads recorded calls: from a file of JSON lines, or from spans."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

import attrs

from trace_core import ConfigurationError, Span, Value, decode, semconv
from trace_litellm._patching.targets import TARGETS, Shape, Target
from trace_litellm._reading.privacy import REDACTED_TEXT
from trace_litellm._replay.requests import Normaliser, Request, is_mocked

Source: TypeAlias = "str | os.PathLike[str] | Iterable[Span]"

_CUT: Final = re.compile(r"… \(\d+ characters\)$")
"""The end of a text that `trace_core.truncate` has shortened."""
_MOST_TOLD: Final = 3


def is_replayed(target: Target) -> bool:
    """Return whether calls of a target are answered; what only makes such calls runs as ever.

    Tools, agents elsewhere and a proxy's sessions are left alone as well.
    """
    elsewhere = target.family in ("session", "tool") or target.name.startswith("mcp.")
    return not (target.parent or elsewhere or target.shape is Shape.STREAM)


_REPLAYED: Final = {target.name: target for target in TARGETS if is_replayed(target)}


@attrs.frozen(eq=False)
class Recording:
    """A recorded call.

    Args:
        span: Its span.
        family: Which reader understands it.
        request: What was asked.
    """

    span: Span
    family: str
    request: Request

    @property
    def mocked(self) -> bool:
        """Whether LiteLLM made the answer up, as with ``mock_response``."""
        return is_mocked(self.span.inputs)

    @property
    def outputs(self) -> Value:
        """The answer, or what there is of it."""
        return self.span.outputs

    @property
    def error(self) -> Mapping[str, Value] | None:
        """The attributes of the exception that the caller got, if it got one."""
        events = [event for event in self.span.events if event.name == semconv.EXCEPTION_EVENT]
        return events[-1].attributes if events else None

    @property
    def ending(self) -> str | None:
        """How the stream ended, if the answer was one."""
        ending = self.span.attributes.get(semconv.STREAM_ENDING)
        return ending if isinstance(ending, str) else None


def read_spans(source: Source) -> tuple[Span, ...]:
    """Read spans.

    Args:
        source: A file of JSON lines, or the spans.

    Raises:
        ConfigurationError: There is no such file, a line of it is no span, or ``source`` is
            something else.
    """
    if isinstance(source, (str, os.PathLike)):
        return tuple(_lines(Path(source)))
    if not isinstance(source, Iterable):
        raise ConfigurationError(
            f"replay() wants a file of JSON lines or spans, got {type(source).__name__}"
        )
    spans = tuple(source)
    odd = next((one for one in spans if not isinstance(one, Span)), None)
    if odd is not None:
        raise ConfigurationError(f"replay() wants spans, and among them is {odd!r:.60}")
    return spans


def _lines(path: Path) -> Iterator[Span]:
    try:
        text = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"cannot read the recording {path}: {error.strerror}; trace_litellm.record() makes one"
        ) from None
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                yield decode(line)
            except ConfigurationError as error:
                raise ConfigurationError(f"{path}, line {number}: {error}") from None


def recordings(
    spans: Sequence[Span], normaliser: Normaliser, *, skip_incomplete: bool
) -> tuple[Recording, ...]:
    """Find the calls among spans, oldest first.

    What LiteLLM did for a call, such as its attempts, is no call of its own.

    Args:
        spans: The spans.
        normaliser: Makes requests comparable.
        skip_incomplete: Leave out calls of which not everything was recorded.

    Raises:
        ConfigurationError: There is such a call, and it is not to be left out.
    """
    by_id = {span.context: span for span in spans if span.end_ns}  # at least once: maybe twice
    calls = [span for span in by_id.values() if _target(span) and not _is_below(span, by_id)]
    found, incomplete = [], []
    for span in sorted(calls, key=lambda span: span.start_ns):
        why = _lack(span)
        if why is not None:
            incomplete.append(f"{span.name} ({span.span_id}): {why}")
        else:
            target = _REPLAYED[_function(span)]
            request = normaliser.request(target.name, span.inputs)
            found.append(Recording(span, target.family, request))
    if incomplete and not skip_incomplete:
        raise _cannot_replay(incomplete, len(calls))
    return tuple(found)


def _function(span: Span) -> str:
    return span.name.partition(" ")[0]


def _target(span: Span) -> Target | None:
    target = _REPLAYED.get(_function(span))
    operation = span.attributes.get(semconv.OPERATION_NAME)
    return target if target is not None and operation == target.operation else None


def _is_below(span: Span, by_id: Mapping[Any, Span]) -> bool:
    """Return whether another call that is answered whole is above a span."""
    seen = {span.context}
    while span.parent_id is not None:
        context = attrs.evolve(span.context, span_id=span.parent_id)
        above = by_id.get(context)
        if above is None or context in seen:
            return False
        if _target(above):
            return True
        seen.add(context)
        span = above
    return False


def _lack(span: Span) -> str | None:
    """Say what of a call was not recorded, if it cannot be replayed for that."""
    if span.inputs is None:
        return "neither request nor answer was recorded, as with TRACE_CAPTURE=metadata"
    texts = list(_texts(span.inputs)) + list(_texts(span.outputs))
    if REDACTED_TEXT in texts:
        return "LiteLLM was told not to log it (turn_off_message_logging, no-log, mask_...)"
    if any(map(_CUT.search, texts)):
        return "a text of it was shortened, by truncate()"
    return None


def _texts(value: Value) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, tuple):
        for item in () if value and isinstance(value[0], float) else value:
            yield from _texts(item)


def _cannot_replay(incomplete: list[str], calls: int) -> ConfigurationError:
    more = len(incomplete) - _MOST_TOLD
    told = "\n".join(f"  {one}" for one in incomplete[:_MOST_TOLD])
    told += f"\n  and {more} more" if more > 0 else ""
    return ConfigurationError(
        f"{len(incomplete)} of {calls} recorded calls cannot be replayed:\n{told}\n"
        "Record them again, with their content, or leave them out: replay(..., "
        'incomplete="skip")'
    )
