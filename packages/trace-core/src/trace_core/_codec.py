"""Spans to JSON and back, with a schema version; total over hostile values."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, Final

import attrs

from trace_core._errors import ConfigurationError
from trace_core._model import (
    Cost,
    Event,
    Scope,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TokenUsage,
    UsageSource,
)
from trace_core._snapshot import Value, snapshot

SCHEMA_VERSION: Final = 1


def to_dict(span: Span) -> dict[str, Any]:
    """Write a span as a dictionary that JSON can hold.

    Args:
        span: The span.

    Returns:
        Its fields under their own names, without those that are empty; ``schema`` is the
        version of this layout.
    """
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
        "usage": _known_fields(span.usage),
        "cost": _known_fields(span.cost),
        "attributes": span.attributes,
        "events": [attrs.asdict(event, recurse=False) for event in span.events],
        "scope": attrs.asdict(span.scope),
        "resource": span.resource,
    }
    return {key: value for key, value in data.items() if value is not None}


def _known_fields(record: TokenUsage | Cost | None) -> dict[str, Any] | None:
    if record is None:
        return None
    fields = attrs.asdict(record, value_serializer=lambda _i, _a, v: getattr(v, "value", v))
    return {key: value for key, value in fields.items() if value is not None}


def from_dict(data: Mapping[str, Any]) -> Span:
    """Read a span that `to_dict` wrote.

    Args:
        data: The dictionary; unknown keys are ignored.

    Returns:
        An equal span.

    Raises:
        ConfigurationError: It is of a newer schema, or not a span at all.
    """
    version = data.get("schema")
    if version != SCHEMA_VERSION:
        raise ConfigurationError(
            f"span of schema {version!r}; this trace-core reads {SCHEMA_VERSION}: "
            "upgrade trace-core"
        )
    try:
        return _read(data)
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigurationError(f"not a span: {type(error).__name__}: {error}") from error


def _read(data: Mapping[str, Any]) -> Span:
    status = data["status"]
    usage, cost = data.get("usage"), data.get("cost")
    return Span(
        context=SpanContext(data["trace_id"], data["span_id"]),
        parent_id=data.get("parent_id"),
        name=data["name"],
        kind=SpanKind(data["kind"]),
        start_ns=data["start_ns"],
        end_ns=data["end_ns"],
        status=Status(StatusCode(status["code"]), status.get("description")),
        inputs=snapshot(data.get("inputs")),
        outputs=snapshot(data.get("outputs")),
        usage=TokenUsage(**{**usage, "source": UsageSource(usage["source"])}) if usage else None,
        cost=Cost(**cost) if cost is not None else None,
        attributes=_mapping(data.get("attributes")),
        events=tuple(
            Event(e["name"], e["time_ns"], _mapping(e.get("attributes")))
            for e in data.get("events", ())
        ),
        scope=Scope(**data["scope"]),
        resource=_mapping(data.get("resource")),
    )


def _mapping(value: object) -> Mapping[str, Value]:
    copied = snapshot(value)
    return copied if isinstance(copied, Mapping) else {}


def encode(span: Span) -> bytes:
    """Write a span as one line of strict JSON in UTF-8, without the line's end.

    Not-a-number and infinities become strings; lone surrogates are kept by escaping.

    Args:
        span: The span.

    Returns:
        The line.
    """
    return to_json(to_dict(span)).encode()


def to_json(value: object) -> str:
    """Write plain data as strict JSON on one line.

    Args:
        value: Plain data, as `snapshot` makes it.

    Returns:
        JSON that every parser reads and UTF-8 can carry.
    """
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except ValueError:
        text = json.dumps(_finite(value), ensure_ascii=False, separators=(",", ":"))
    if text.isascii() or _is_utf8(text):
        return text
    return json.dumps(_finite(value), separators=(",", ":"))


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value


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
    except ValueError as error:
        raise ConfigurationError(f"not a span: {error}") from error
    if not isinstance(data, dict):
        raise ConfigurationError(f"not a span: wanted a JSON object, got {type(data).__name__}")
    return from_dict(data)
