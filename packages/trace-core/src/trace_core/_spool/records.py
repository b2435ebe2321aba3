"""Converts spans to the bytes that a spool keeps, and back, as fast as the json module allows.

A record is two JSON arrays and then the long texts, with a byte between them that does not occur
in UTF-8: the row of the span's own fields, and its origin, which is the same for most spans. Where
a long text was, the row says ``NaN``, which no number of a span is. Escaping long texts, and
finding their ends again, would cost more than all the rest.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from functools import lru_cache
from operator import attrgetter
from typing import Any, Final, TypeAlias

import attrs

from trace_core._errors import ConfigurationError
from trace_core._log import log_once
from trace_core._model.json import MALFORMED, strict
from trace_core._model.parts import (
    Cost,
    Event,
    Scope,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TokenUsage,
    UsageSource,
)
from trace_core._model.span import Span
from trace_core._model.values import Value

_SEPARATOR: Final = b"\xff"
_PLACE_OF_TEXT: Final = "NaN"
_PLACE_OF_KEY: Final = "NaN:"
_LONG: Final = 200
"""Characters from which on a text stands outside of the JSON."""
_MOST_TEXTS: Final = 1_024
_ROW_LENGTH: Final = 15
_COUNTS: Final = tuple(f.name for f in attrs.fields(TokenUsage) if f.name != "source")
_AMOUNTS: Final = tuple(f.name for f in attrs.fields(Cost))
_KINDS: Final = {kind.value: kind for kind in SpanKind}
_SOURCES: Final = {source.value: source for source in UsageSource}
_STATUSES: Final = {code.value: Status(code) for code in StatusCode}
_Scan: TypeAlias = Callable[[str, int], tuple[Any, int]]


# Writing ---------------------------------------------------------------------------------------


def to_record(span: Span) -> bytes:
    """Write a span as a record; total over hostile values, like `trace_core.encode`.

    Args:
        span: The span.
    """
    row = _row(span)
    try:
        writer = _writer.of_thread
        long = writer.texts.long = []
        written = writer.encode(row)
        if long and _PLACE_OF_KEY in written:  # keys must stay where they are, and may be long too
            written, long = _write(row), []
        return _SEPARATOR.join((written.encode(), _write_origin(span), *map(str.encode, long)))
    except Exception:  # noqa: S110  # texts may be of classes that raise whatever they like
        pass  # not plain, not finite, too large an integer, not UTF-8: the careful way
    return _SEPARATOR.join((strict(row).encode(), strict(_origin(span)).encode()))


_own_fields: Final = attrgetter(
    *("context.trace_id", "context.span_id", "parent_id", "name", "kind._value_"),
    *("start_ns", "end_ns", "status.code._value_", "status.description", "inputs", "outputs"),
)
_counts_of: Final = attrgetter("source._value_", *_COUNTS)
_amounts_of: Final = attrgetter(*_AMOUNTS)


def _row(span: Span) -> tuple[Any, ...]:
    usage, cost, events = span.usage, span.cost, span.events
    return (
        *_own_fields(span),
        None if usage is None else _counts_of(usage),
        None if cost is None else _amounts_of(cost),
        span.attributes,
        [(event.name, event.time_ns, event.attributes) for event in events] if events else events,
    )


def _origin(span: Span) -> tuple[Any, ...]:
    scope = span.scope
    return (scope.name, scope.version, scope.semconv, span.resource)


_last_origin: tuple[Scope | None, Mapping[str, Value] | None, bytes] = (None, None, b"")


def _write_origin(span: Span) -> bytes:
    """Write where a span comes from, which is mostly where the one before it came from."""
    global _last_origin  # noqa: PLW0603  # set and read as a whole, so threads are no danger
    scope, resource, written = _last_origin
    if span.scope is not scope or span.resource is not resource:
        written = _write(_origin(span)).encode()
        _last_origin = (span.scope, span.resource, written)
    return written


def _encoder(write_text: Callable[[str], str]) -> Callable[[object], str]:
    """Return what `json.JSONEncoder` is made of: only there one can say how texts are written.

    It is private to the json module. Where it is missing, or another one than we know, that is
    logged, and all texts are written as JSON.
    """
    try:
        encoder = _make_encoder(None, _refuse, write_text, None, ":", ",", False, False, False)
        if "".join(encoder(_SAMPLE, 0)) == _SLOW.encode(_SAMPLE):
            return lambda value: "".join(encoder(value, 0))
    except Exception:  # noqa: S110  # it is another one: told below
        pass
    log_once(
        "spool:json",
        "tracing: the internals of this Python's json module are not supported: writing is slower",
    )
    return _SLOW.encode


def _refuse(value: object) -> None:
    raise TypeError(f"{type(value).__name__} is not plain")


_SLOW: Final = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":")
)
_SAMPLE: Final = ["é\n", 1, 1.5, None, True, {"a": ["b"]}]
_make_encoder: Final[Any] = getattr(json.encoder, "c_make_encoder", None)
_quote: Final[Callable[[str], str]] = json.encoder.encode_basestring
_write: Final = _encoder(_quote)


class _Texts(dict[str, str]):
    """How short texts are written: names, models and keys come again with every span.

    Looking one up is left to the interpreter's C code; only for what is not there it calls us.
    """

    def __init__(self) -> None:
        self.long: list[str] = []
        """Those that stand outside of the JSON, in the order they were met."""

    def __missing__(self, text: str) -> str:
        if len(text) >= _LONG:
            self.long.append(text)
            return _PLACE_OF_TEXT
        written = _quote(text)
        if type(text) is str:  # another class may say that it is equal to anything
            if len(self) >= _MOST_TEXTS:
                self.clear()
            self[text] = written
        return written


class _Row:
    """Writes rows, and sets the long texts aside."""

    def __init__(self) -> None:
        self.texts = _Texts()
        self.encode = _encoder(self.texts.__getitem__)


class _Writer(threading.local):
    def __init__(self) -> None:
        self.of_thread = _Row()


_writer: Final = _Writer()


# Reading ---------------------------------------------------------------------------------------


def from_record(record: bytes, begin: int = 0) -> Span:
    """Read a record that `to_record` wrote.

    Args:
        record: The bytes.
        begin: Where in them it begins; before that is ASCII.

    Returns:
        An equal span.

    Raises:
        ConfigurationError: It is not a record.
    """
    try:
        row, origin, *texts = record.split(_SEPARATOR, 2)
        scope, resource = _read_origin(origin)
        return _span(_reader.of_thread.read(row, begin, texts), scope, resource)
    except MALFORMED as error:
        raise ConfigurationError(f"not a span: {type(error).__name__}: {error}") from error


@lru_cache(64)
def _read_origin(origin: bytes) -> tuple[Scope, Mapping[str, Value]]:
    name, version, semconv, resource, *_ = _read(origin.decode(), 0)[0]
    return Scope(name, version, semconv), _frozen(resource)


def _scanner(**options: Any) -> _Scan:
    decoder: Any = json.JSONDecoder(**options)
    scan: _Scan = getattr(decoder, "scan_once", decoder.raw_decode)  # the same with less around it
    return scan


_read: Final = _scanner()


class _Rows:
    """Reads rows, and puts the long texts where they belong."""

    def __init__(self) -> None:
        self._texts: bytes | None = None
        self._at = 0
        self._scan = _scanner(parse_constant=self._next_text)

    def read(self, row: bytes, begin: int, texts: list[bytes]) -> list[Any]:
        self._texts, self._at = texts[0] if texts else None, 0
        found: list[Any] = self._scan(row.decode(), begin)[0]
        return found

    def _next_text(self, _word: str) -> str:
        begin, texts = self._at, self._texts
        if texts is None:
            raise ValueError("there are fewer texts than places for them")
        end = texts.find(_SEPARATOR, begin)
        if end < 0:
            self._texts = None
            return texts[begin:].decode()
        self._at = end + 1
        return texts[begin:end].decode()


class _Reader(threading.local):
    def __init__(self) -> None:
        self.of_thread = _Rows()


_reader: Final = _Reader()


def _span(row: list[Any], scope: Scope, resource: Mapping[str, Value]) -> Span:
    (
        trace_id, span_id, parent_id, name, kind, start_ns, end_ns, code, description,
        inputs, outputs, usage, cost, attributes, events,
    ) = row if len(row) == _ROW_LENGTH else row[:_ROW_LENGTH]  # fmt: skip
    status = _STATUSES[code]
    return Span(
        SpanContext(trace_id, span_id),
        parent_id,
        name,
        _KINDS[kind],
        start_ns,
        end_ns,
        status if description is None else Status(status.code, description),
        None if inputs is None else _frozen(inputs),
        None if outputs is None else _frozen(outputs),
        None if usage is None else _usage(usage),
        None if cost is None else Cost(*cost[: len(_AMOUNTS)]),
        _frozen(attributes),
        tuple([Event(e[0], e[1], _frozen(e[2])) for e in events]) if events else (),
        scope,
        resource,
    )


def _usage(row: list[Any]) -> TokenUsage:
    source, *counts = row
    return TokenUsage(**dict(zip(_COUNTS, counts, strict=False)), source=_SOURCES[source])


_CONTAINERS: Final = frozenset({dict, list})


def _frozen(value: Any) -> Any:
    """Turn the lists of a value fresh from the parser into tuples, in place where possible."""
    if type(value) is list:
        return tuple([_frozen(item) if type(item) in _CONTAINERS else item for item in value])
    if type(value) is dict:
        for key, item in value.items():
            if type(item) in _CONTAINERS:
                value[key] = _frozen(item)
    return value
