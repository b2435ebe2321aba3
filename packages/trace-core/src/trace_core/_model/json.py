"""Converts spans to JSON and back. Accepts any value, and writes a schema version."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, Final

import attrs

from trace_core._model.errors import ConfigurationError
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
from trace_core._model.values import Value, snapshot, snapshot_mapping

SCHEMA_VERSION: Final = 1


def to_dict(span: Span) -> dict[str, Any]:
    """Write a span as a dictionary that JSON can hold.

    Args:
        span: The span.

    Returns:
        Its fields under their own names, without those that are empty; ``schema`` is the
        version of this layout.

    Raises:
        ConfigurationError: It is not a span.
    """
    if not isinstance(span, Span):
        raise ConfigurationError(f"span must be a Span, got {span!r:.60}")
    data: dict[str, Any] = {
        "schema": SCHEMA_VERSION,
        "trace_id": span.context.trace_id,
        "span_id": span.context.span_id,
        "parent_id": span.parent_id,
        "name": span.name,
        "kind": span.kind.value,
        "start_ns": span.start_ns,
        "end_ns": span.end_ns,
        "status": {"code": span.status.code.value, "description": span.status.description},
        "inputs": span.inputs,
        "outputs": span.outputs,
        "usage": _usage(span.usage),
        "cost": _known_fields(span.cost, _COST_FIELDS) if span.cost is not None else None,
        "attributes": span.attributes,
        "events": [_event(event) for event in span.events],
        "scope": {
            "name": span.scope.name,
            "version": span.scope.version,
            "semconv": span.scope.semconv,
        },
        "resource": span.resource,
    }
    return {key: value for key, value in data.items() if value is not None}


def _event(event: Event) -> dict[str, Any]:
    return {"name": event.name, "time_ns": event.time_ns, "attributes": event.attributes}


_USAGE_FIELDS: Final = tuple(field.name for field in attrs.fields(TokenUsage))
_COST_FIELDS: Final = tuple(field.name for field in attrs.fields(Cost))
_SCOPE_FIELDS: Final = tuple(field.name for field in attrs.fields(Scope))


def _usage(usage: TokenUsage | None) -> dict[str, Any] | None:
    if usage is None:
        return None
    return {**_known_fields(usage, _USAGE_FIELDS), "source": usage.source.value}


def _known_fields(record: TokenUsage | Cost, names: tuple[str, ...]) -> dict[str, Any]:
    found = {name: getattr(record, name) for name in names}
    return {name: value for name, value in found.items() if value is not None}


MALFORMED: Final = (
    *(AttributeError, LookupError, TypeError, ValueError, RecursionError),
    OverflowError,  # a number that no float, or no integer, can be made of
    StopIteration,  # the JSON is at an end
)
"""What reading a span raises, in any format, from data that is none."""


def from_dict(data: Mapping[str, Any]) -> Span:
    """Read a span that `to_dict` wrote.

    Args:
        data: The dictionary; unknown keys are ignored.

    Returns:
        An equal span.

    Raises:
        ConfigurationError: It is of a newer schema, or not a span at all.
    """
    if not isinstance(data, Mapping):
        raise ConfigurationError(f"not a span: wanted a mapping, got {type(data).__name__}")
    version = data.get("schema")
    if version != SCHEMA_VERSION:
        raise ConfigurationError(
            f"span of schema {to_json(version):.60}; this trace-core reads {SCHEMA_VERSION}: "
            "upgrade trace-core"
        )
    try:
        return _read(data)
    except MALFORMED as error:
        raise ConfigurationError(f"not a span: {type(error).__name__}: {error}") from error


def _read(data: Mapping[str, Any]) -> Span:
    status = data["status"]
    usage, cost = data.get("usage"), data.get("cost")
    return Span(
        context=SpanContext(data["trace_id"], data["span_id"]),
        parent_id=data.get("parent_id"),
        name=data["name"],
        kind=SpanKind(data["kind"]),
        start_ns=int(data["start_ns"]),
        end_ns=int(data["end_ns"]),
        status=Status(StatusCode(status["code"]), status.get("description")),
        inputs=snapshot(data.get("inputs")),
        outputs=snapshot(data.get("outputs")),
        usage=_read_usage(usage) if usage is not None else None,
        cost=Cost(**_only(_COST_FIELDS, cost)) if cost is not None else None,
        attributes=_mapping(data.get("attributes")),
        events=tuple(
            Event(e["name"], e["time_ns"], _mapping(e.get("attributes")))
            for e in data.get("events", ())
        ),
        scope=Scope(**_only(_SCOPE_FIELDS, data["scope"])),
        resource=_mapping(data.get("resource")),
    )


def _read_usage(usage: Mapping[str, Any]) -> TokenUsage:
    known = _only(_USAGE_FIELDS, usage)
    return TokenUsage(**{**known, "source": UsageSource(usage["source"])})


def _only(names: tuple[str, ...], record: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what a later version may have added."""
    return {name: record[name] for name in names if name in record}


def _mapping(value: object) -> Mapping[str, Value]:
    return snapshot_mapping(value) if isinstance(value, Mapping) else {}


def encode(span: Span) -> bytes:
    """Write a span as one line of strict JSON in UTF-8, without the line's end.

    Not-a-number and infinities become strings, integers of thousands of digits hexadecimal
    strings; lone surrogates are kept by escaping.

    Args:
        span: The span.

    Returns:
        The line.
    """
    return to_json(to_dict(span)).encode()


def to_json(value: object) -> str:
    """Write plain data as strict JSON on one line.

    Args:
        value: Plain data, as `snapshot` makes it; anything else is put through it first.

    Returns:
        JSON that every parser reads and UTF-8 can carry.
    """
    try:
        text = _compact(value)
        if text.isascii() or _is_utf8(text):
            return text
    except (TypeError, ValueError, RecursionError):
        pass  # not plain, not finite, or too large an integer: the careful way
    return strict(value)


def strict(value: object) -> str:
    """Write anything as strict JSON in ASCII on one line, slowly.

    Args:
        value: Anything; it is put through `snapshot`, and numbers JSON has no words for become
            texts.
    """
    return json.dumps(_careful(snapshot(value)), separators=(",", ":"))


_compact: Final = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":")
).encode  # made once: json.dumps with options makes an encoder each time


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _careful(value: Value) -> Any:
    """Replace the numbers that JSON, or a reader of it, cannot hold."""
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    if isinstance(value, int):
        return value if value.bit_length() <= _MAX_INTEGER_BITS else hex(value)
    if isinstance(value, Mapping):
        return {key: _careful(item) for key, item in value.items()}
    return [_careful(item) for item in value]


_MAX_INTEGER_BITS: Final = 4_096  # Python refuses to write integers of over 4,300 digits


def decode(line: bytes | str) -> Span:
    """Read a line that `encode` wrote.

    Args:
        line: One line of JSON.

    Returns:
        The span.

    Raises:
        ConfigurationError: The line is not JSON, or not a span of a known schema.
    """
    try:
        data = json.loads(line)
    except MALFORMED as error:
        raise ConfigurationError(f"not a span: {error}") from error
    if not isinstance(data, dict):
        raise ConfigurationError(f"not a span: wanted a JSON object, got {type(data).__name__}")
    return from_dict(data)
