"""What spans are made of: identity, kind, status, tokens, cost, events. Frozen and checked."""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping
from operator import attrgetter
from types import NoneType
from typing import Final, TypeVar

import attrs

from trace_core import semconv
from trace_core._model import checks
from trace_core._model.errors import ConfigurationError
from trace_core._model.values import Value, snapshot_mapping

E = TypeVar("E", bound=enum.Enum)

NOTHING: Final[Mapping[str, Value]] = {}
_OPTIONAL_TEXT: Final = frozenset({str, NoneType})
_MOST: Final = checks.MOST
_INF: Final = math.inf
_BYTES_OF_IDS: Final = (checks.TRACE_ID_DIGITS + checks.SPAN_ID_DIGITS) // 2
_TRACEPARENT_PARTS: Final = 4


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
        sampled: Whether its trace is recorded, as far as is known; no part of the identity.

    Raises:
        TypeError: An id is not a text.
        ValueError: An id does not have that many hexadecimal digits.
    """

    trace_id: str
    span_id: str
    sampled: bool = attrs.field(default=True, eq=False)

    def __attrs_post_init__(self) -> None:
        if not _are_ids(self.trace_id, self.span_id):
            checks.hex_id(self.trace_id, checks.TRACE_ID_DIGITS, "trace_id")
            checks.hex_id(self.span_id, checks.SPAN_ID_DIGITS, "span_id")

    def to_traceparent(self) -> str:
        """Write the W3C ``traceparent`` header that makes this span a remote parent."""
        return f"00-{self.trace_id}-{self.span_id}-{self.sampled:02d}"

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
            and _is_id(parts[1], checks.TRACE_ID_DIGITS)
            and _is_id(parts[2], checks.SPAN_ID_DIGITS)
        )
        if not good:
            raise ConfigurationError(
                f"not a traceparent header: {header!r}; "
                "wanted 00-<32 hex digits>-<16 hex digits>-<flags>"
            )
        return cls(parts[1], parts[2])


def _are_ids(trace_id: str, span_id: str) -> bool:
    """Return whether the ids of a span are as they should be: quicker than to check each."""
    try:
        return (
            type(trace_id) is type(span_id) is str
            and len(trace_id) == checks.TRACE_ID_DIGITS
            and len(span_id) == checks.SPAN_ID_DIGITS
            and len(bytes.fromhex(trace_id + span_id)) == _BYTES_OF_IDS
        )
    except ValueError:  # other characters than hexadecimal digits
        return False


def unchecked_context(trace_id: str, span_id: str, *, sampled: bool = True) -> SpanContext:
    """Return the identity of a span whose ids are known to be good: checks take the caller's time.

    Args:
        trace_id: Its trace.
        span_id: Its own id.
        sampled: Whether its trace is recorded.
    """
    made = _new_context(SpanContext)
    _set_trace_id(made, trace_id)
    _set_span_id(made, span_id)
    _set_sampled(made, sampled)
    return made


_new_context: Final = object.__new__
# what a frozen class sets its attributes by, without the call that refuses
_set_trace_id: Final = SpanContext.__dict__["trace_id"].__set__
_set_span_id: Final = SpanContext.__dict__["span_id"].__set__
_set_sampled: Final = SpanContext.__dict__["sampled"].__set__
_HEX_DIGITS: Final = frozenset("0123456789abcdef")


def _is_version(text: str) -> bool:
    return len(text) == len("00") and _HEX_DIGITS.issuperset(text) and text != "ff"


def _is_id(text: str, digits: int) -> bool:
    return len(text) == digits and _HEX_DIGITS.issuperset(text) and set(text) != {"0"}


def member(kind: type[E], value: object, what: str) -> E:
    """Return a member of an enumeration, which may be given by its value.

    Args:
        kind: The enumeration.
        value: The member or its value.
        what: What errors call it.

    Raises:
        TypeError: It is neither a member nor a text.
        ValueError: There is no such member.
    """
    if isinstance(value, kind):
        return value
    if not isinstance(value, str):
        raise checks.wrong_type(what, f"a {kind.__name__}", value)
    try:
        return kind(value)
    except ValueError:
        known = ", ".join(str(member.value) for member in kind)
        raise ValueError(f"{what} of a span must be one of {known}; got {value!r:.60}") from None


def replace_field(record: object, name: str, value: object) -> None:
    """Set a field of a frozen record that is being made."""
    object.__setattr__(record, name, value)


@attrs.frozen
class Status:
    """How a span ended.

    Args:
        code: Unset, ok or error, also by its name.
        description: A text for people, with an error.

    Raises:
        TypeError: A value is of the wrong type.
        ValueError: There is no such code.
    """

    code: StatusCode = StatusCode.UNSET
    description: str | None = None

    def __attrs_post_init__(self) -> None:
        if type(self.code) is not StatusCode:
            replace_field(self, "code", member(StatusCode, self.code, "status"))
        if type(self.description) not in _OPTIONAL_TEXT:
            replace_field(self, "description", checks.text(self.description, "description"))


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

    Raises:
        TypeError: A count is not a number.
        ValueError: A count is not whole or does not fit 64 bits, or there is no such source.
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

    def __attrs_post_init__(self) -> None:
        for count in _counts_of(self):  # nearly always they are as they should be
            if count is not None and not (type(count) is int and -_MOST <= count <= _MOST):
                self._convert_counts()
                break
        if type(self.source) is not UsageSource:
            replace_field(self, "source", member(UsageSource, self.source, "usage.source"))

    def _convert_counts(self) -> None:
        for name, value in zip(COUNTS, _counts_of(self), strict=True):
            if value is not None:
                replace_field(self, name, checks.integer(value, f"usage.{name}"))


COUNTS: Final = tuple(field.name for field in attrs.fields(TokenUsage) if field.name != "source")
_counts_of: Final = attrgetter(*COUNTS)


@attrs.frozen
class Cost:
    """Cost in USD; what is not known is ``None``, never 0.

    Args:
        input: Cost of the prompt.
        output: Cost of the answer.
        total: Both together; 0.0 for a cache hit.
        saved: What a cache hit would have cost.

    Raises:
        TypeError: An amount is not a number.
        ValueError: An amount is not finite.
    """

    input: float | None = None
    output: float | None = None
    total: float | None = None
    saved: float | None = None

    def __attrs_post_init__(self) -> None:
        for amount in _amounts_of(self):  # nearly always they are as they should be
            if amount is not None and not (type(amount) is float and -_INF < amount < _INF):
                self._convert_amounts()
                break

    def _convert_amounts(self) -> None:
        for name, value in zip(AMOUNTS, _amounts_of(self), strict=True):
            if value is not None:
                replace_field(self, name, checks.amount(value, f"cost.{name}"))


AMOUNTS: Final = tuple(field.name for field in attrs.fields(Cost))
_amounts_of: Final = attrgetter(*AMOUNTS)


@attrs.frozen
class Event:
    """Something that happened at one moment of a span.

    Args:
        name: What happened.
        time_ns: When, in nanoseconds since the epoch.
        attributes: More about it.

    Raises:
        TypeError: A value is of the wrong type.
        ValueError: The time is not a whole number of 64 bits.
    """

    name: str
    time_ns: int
    attributes: Mapping[str, Value] = NOTHING

    def __attrs_post_init__(self) -> None:
        replace_field(self, "name", checks.text(self.name, "name of an event"))
        replace_field(self, "time_ns", checks.integer(self.time_ns, "time_ns of an event"))
        check_mapping(self, "attributes")


def check_mapping(record: object, name: str) -> None:
    """Make a field of a record a mapping from texts, unless it is one already.

    Raises:
        TypeError: It is no mapping at all.
    """
    found: object = getattr(record, name)
    if type(found) is dict:
        try:
            "".join(found)  # raises for any other key, and is quick
        except TypeError:
            pass
        else:
            return
    if not isinstance(found, Mapping):
        raise checks.wrong_type(name, "a mapping", found)
    replace_field(record, name, snapshot_mapping(found))


@attrs.frozen
class Scope:
    """What produced a span.

    Args:
        name: The instrumentation's name.
        version: Its version.
        semconv: The version of the conventions its attribute names follow.

    Raises:
        TypeError: A value is not a text.
    """

    name: str
    version: str = ""
    semconv: str = semconv.VERSION

    def __attrs_post_init__(self) -> None:
        for name in ("name", "version", "semconv"):
            replace_field(self, name, checks.text(getattr(self, name), f"scope.{name}"))


UNSET: Final = Status()
CORE: Final = Scope("trace_core")
"""The defaults of a span."""
