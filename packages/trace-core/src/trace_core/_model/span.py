"""The span and what it is made of: frozen, slotted, provider-agnostic."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final

import attrs

from trace_core import semconv
from trace_core._errors import ConfigurationError
from trace_core._model.values import Value

_NOTHING: Final[Mapping[str, Value]] = {}
_TRACEPARENT_PARTS: Final = 4
_TRACE_ID_DIGITS: Final = 32
_SPAN_ID_DIGITS: Final = 16


class SpanKind(str, enum.Enum):
    """What a span stands for."""

    LLM = "LLM"
    EMBEDDING = "EMBEDDING"
    RERANKER = "RERANKER"
    IMAGE = "IMAGE"
    AUDIO = "AUDIO"
    MODERATION = "MODERATION"
    RETRIEVER = "RETRIEVER"
    TOOL = "TOOL"
    AGENT = "AGENT"
    CHAIN = "CHAIN"
    INTERNAL = "INTERNAL"


class StatusCode(str, enum.Enum):
    """Whether what the span stands for went well."""

    UNSET = "UNSET"
    OK = "OK"
    ERROR = "ERROR"


class UsageSource(str, enum.Enum):
    """Where token counts come from."""

    PROVIDER = "provider"
    ESTIMATED = "estimated"
    MISSING = "missing"


@attrs.frozen
class SpanContext:
    """The identity of a span.

    Args:
        trace_id: 32 lower-case hexadecimal digits, not all zero.
        span_id: 16 lower-case hexadecimal digits, not all zero.
    """

    trace_id: str
    span_id: str

    def to_traceparent(self) -> str:
        """Write the W3C ``traceparent`` header that makes this span a remote parent."""
        return f"00-{self.trace_id}-{self.span_id}-01"

    @classmethod
    def from_traceparent(cls, header: str) -> SpanContext:
        """Read a W3C ``traceparent`` header.

        Raises:
            ConfigurationError: The header is not of the form ``00-<32 hex>-<16 hex>-<2 hex>``.
                Later versions of the format, which may add to its end, are read as well.
        """
        parts = header.strip().split("-")
        good = (
            len(parts) >= _TRACEPARENT_PARTS
            and _is_version(parts[0])
            and (len(parts) == _TRACEPARENT_PARTS or parts[0] != "00")
            and _is_id(parts[1], _TRACE_ID_DIGITS)
            and _is_id(parts[2], _SPAN_ID_DIGITS)
        )
        if not good:
            raise ConfigurationError(
                f"not a traceparent header: {header!r}; "
                "wanted 00-<32 hex digits>-<16 hex digits>-<flags>"
            )
        return cls(parts[1], parts[2])


_HEX_DIGITS: Final = frozenset("0123456789abcdef")


def _is_version(text: str) -> bool:
    return len(text) == len("00") and _HEX_DIGITS.issuperset(text) and text != "ff"


def _is_id(text: str, digits: int) -> bool:
    return len(text) == digits and _HEX_DIGITS.issuperset(text) and set(text) != {"0"}


@attrs.frozen
class Status:
    """How a span ended.

    Args:
        code: Unset, ok or error.
        description: A text for people, with an error.
    """

    code: StatusCode = StatusCode.UNSET
    description: str | None = None


@attrs.frozen
class TokenUsage:
    """Token counts; a count that is not known is ``None``, never 0.

    Args:
        input: Tokens of the prompt, cached ones included.
        output: Tokens of the answer, reasoning included.
        total: Both together.
        cache_read: Part of ``input`` read from the provider's prompt cache.
        cache_creation: Part of ``input`` written to the provider's prompt cache.
        reasoning: Part of ``output`` spent on reasoning.
        audio_input: Part of ``input`` that is audio.
        audio_output: Part of ``output`` that is audio.
        source: Told by the provider, estimated by us, or missing.
    """

    input: int | None = None
    output: int | None = None
    total: int | None = None
    cache_read: int | None = None
    cache_creation: int | None = None
    reasoning: int | None = None
    audio_input: int | None = None
    audio_output: int | None = None
    source: UsageSource = UsageSource.PROVIDER


@attrs.frozen
class Cost:
    """Cost in USD; what is not known is ``None``, never 0.

    Args:
        input: Cost of the prompt.
        output: Cost of the answer.
        total: Both together; 0.0 for a cache hit.
        saved: What a cache hit would have cost.
    """

    input: float | None = None
    output: float | None = None
    total: float | None = None
    saved: float | None = None


@attrs.frozen
class Event:
    """Something that happened at one moment of a span.

    Args:
        name: What happened.
        time_ns: When, in nanoseconds since the epoch.
        attributes: More about it.
    """

    name: str
    time_ns: int
    attributes: Mapping[str, Value] = _NOTHING


@attrs.frozen
class Scope:
    """What produced a span.

    Args:
        name: The instrumentation's name.
        version: Its version.
        semconv: The version of the conventions its attribute names follow.
    """

    name: str
    version: str = ""
    semconv: str = semconv.VERSION


@attrs.frozen
class Span:
    """A finished piece of work, as sinks and processors see it.

    Change one with ``attrs.evolve``; the mappings in it are shared, so do not write to them.

    Args:
        context: Its identity.
        parent_id: The parent's span id, 16 hex digits, within the same trace.
        name: What it is called, such as ``chat gpt-4o-mini``.
        kind: What it stands for.
        start_ns: Nanoseconds since the epoch.
        end_ns: Nanoseconds since the epoch; 0 on the start record of a span still open.
        status: How it ended.
        inputs: What went in.
        outputs: What came out.
        usage: Token counts.
        cost: What it cost.
        attributes: Everything else, by the names of `trace_core.semconv`.
        events: Moments in it, oldest first.
        scope: What produced it.
        resource: Where it was produced: service, process, runtime.
    """

    context: SpanContext
    parent_id: str | None
    name: str
    kind: SpanKind
    start_ns: int
    end_ns: int
    status: Status = Status()
    inputs: Value = None
    outputs: Value = None
    usage: TokenUsage | None = None
    cost: Cost | None = None
    attributes: Mapping[str, Value] = _NOTHING
    events: tuple[Event, ...] = ()
    scope: Scope = Scope("trace_core")
    resource: Mapping[str, Value] = _NOTHING

    @property
    def trace_id(self) -> str:
        """The trace it belongs to, 32 hex digits."""
        return self.context.trace_id

    @property
    def span_id(self) -> str:
        """Its own id, 16 hex digits."""
        return self.context.span_id

    @property
    def duration_ns(self) -> int:
        """How long it took, in nanoseconds."""
        return self.end_ns - self.start_ns
