"""Spans to JSON, to the spool's records, and back."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trace_core import (
    ConfigurationError,
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
    _log,
    decode,
    encode,
    from_dict,
    snapshot,
    to_dict,
    to_json,
)
from trace_core._model.values import MAX_DEPTH, MAX_ITEMS
from trace_core._spool import records as _records
from trace_core._spool.records import from_record, to_record
from trace_core.testing import sample_spans

NUMBERS = st.one_of(st.integers(-(2**63), 2**63), st.floats(allow_nan=False, allow_infinity=False))
TEXTS = st.text(st.sampled_from('aé\u20ac\U0001f600"\\\n\x00'), min_size=190, max_size=210)
PLAIN = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, st.text(), TEXTS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(), inner, max_size=4)
    ),
    max_leaves=20,
).map(snapshot)
ATTRIBUTES = st.dictionaries(st.text(), PLAIN, max_size=4).map(snapshot)
COUNT = st.one_of(st.none(), st.integers(0, 10**9))
PRICE = st.one_of(st.none(), st.floats(0, 1e6))
TIMES = st.integers(0, 2**63 - 1)
SPANS = st.builds(
    Span,
    context=st.builds(
        SpanContext,
        st.integers(1, 2**128 - 1).map("{:032x}".format),
        st.integers(1, 2**64 - 1).map("{:016x}".format),
    ),
    parent_id=st.one_of(st.none(), st.just("00f067aa0ba902b7")),
    name=st.text(),
    kind=st.sampled_from(SpanKind),
    start_ns=TIMES,
    end_ns=TIMES,
    status=st.builds(Status, st.sampled_from(StatusCode), st.one_of(st.none(), st.text())),
    inputs=PLAIN,
    outputs=PLAIN,
    usage=st.one_of(
        st.none(),
        st.builds(TokenUsage, COUNT, COUNT, COUNT, COUNT, source=st.sampled_from(UsageSource)),
    ),
    cost=st.one_of(st.none(), st.builds(Cost, PRICE, PRICE, PRICE, PRICE)),
    attributes=ATTRIBUTES,
    events=st.lists(st.builds(Event, st.text(), TIMES, ATTRIBUTES), max_size=3).map(tuple),
    scope=st.builds(Scope, st.text(), st.text()),
    resource=ATTRIBUTES,
)


@given(SPANS)
def test_round_trip(span: Span) -> None:
    """A span read back equals the span written, on one line of UTF-8."""
    line = encode(span)
    assert b"\n" not in line
    assert decode(line) == span
    assert from_dict(to_dict(span)) == span


def test_limits_of_values_hold_for_each_attribute(make_span: Callable[..., Span]) -> None:
    """As when it was set: not for all of them together when the span is read back."""
    deep: Any = "x"
    for _ in range(2 * MAX_DEPTH):
        deep = [deep]
    many: dict[str, Any] = dict.fromkeys(map(str, range(MAX_ITEMS + 1)), 1)
    span = make_span(attributes={"deep": snapshot(deep), **many})
    assert len(span.attributes) == MAX_ITEMS + 2
    assert decode(encode(span)) == span


class Odd:
    """An object nobody knows, whose text cannot be had."""

    def __repr__(self) -> str:
        raise ValueError("no text")


class OddText(str):
    """A text that is not quite one."""

    __slots__ = ()

    def __str__(self) -> str:
        raise ValueError("no text")


ANYTHING = st.recursive(
    st.one_of(
        *(st.none(), st.booleans(), st.integers(), st.floats(), st.text(st.characters())),
        *(st.binary(), st.decimals(), st.fractions(), st.text().map(OddText)),
        *(st.builds(object), st.builds(Odd), st.builds(lambda: 10**5000), st.just(str)),
        st.sampled_from(["LLM", "ERROR", "provider", *SpanKind, *StatusCode, *UsageSource]),
        st.sampled_from(
            [Status(), TokenUsage(), Cost(), Scope("s"), SpanContext("1" * 32, "1" * 16)]
        ),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.one_of(st.text(), st.integers(), st.none()), inner, max_size=3),
        st.dictionaries(st.text(), inner, max_size=3).map(MappingProxyType),
    ),
    max_leaves=6,
)


def parts(cls: type) -> st.SearchStrategy[object]:
    """Instances of a class made of anything it takes."""

    def make(values: dict[str, object]) -> object:
        try:
            return cls(**values)
        except (TypeError, ValueError):
            return None

    names = [field.name for field in attrs.fields(cls)]
    return st.dictionaries(st.sampled_from(names), ANYTHING, max_size=3).map(make)


WHATEVER = st.one_of(
    ANYTHING,
    *(parts(cls) for cls in (Status, TokenUsage, Cost, Scope, SpanContext)),
    st.lists(parts(Event), max_size=2).map(tuple),
)


@given(
    st.dictionaries(
        st.sampled_from([field.name for field in attrs.fields(Span)]), WHATEVER, max_size=4
    )
)
def test_a_span_is_refused_or_can_be_written(fields: dict[str, Any]) -> None:
    """Whatever is put into a field is refused at once, or can be written and read back."""
    span = Span(SpanContext("1" * 32, "2" * 16), None, "chat", SpanKind.LLM, 1, 2)
    try:
        span = attrs.evolve(span, **fields)
    except (TypeError, ValueError):
        return
    again = decode(encode(span))
    assert from_record(to_record(span)) == again
    assert to_dict(again).keys() == {k for k, v in to_dict(span).items() if v is not None}
    assert (again.kind, again.status, again.usage, again.cost) == (
        *(span.kind, span.status, span.usage, span.cost),
    )


@given(
    st.recursive(
        st.one_of(st.floats(), st.integers(), st.text(st.characters(), max_size=5), st.binary()),
        lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.integers(), inner)),
        max_leaves=10,
    )
)
def test_json_is_total_and_strict(value: object) -> None:
    """Not-a-number, lone surrogates, bytes, odd keys: all come out as JSON anyone can read."""

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    text = to_json({"value": value, "lone": "\ud800"})
    json.loads(text.encode(), parse_constant=refuse)


@pytest.mark.parametrize(
    "value",
    [math.nan, math.inf, 10**5000, {1, 2}, object(), b"x", "\ud800", [[math.nan]]],
    ids=["nan", "inf", "huge", "set", "object", "bytes", "surrogate", "nested"],
)
def test_values_json_cannot_hold(value: object, make_span: Callable[..., Span]) -> None:
    """A processor may put anything into a span: it is written all the same, and read back."""
    span = attrs.evolve(make_span(), attributes={"odd": value})
    assert decode(encode(span)).context == span.context


@given(SPANS)
def test_a_record_round_trips(span: Span) -> None:
    """A span read back from a spool's record equals the span written, wherever it begins."""
    record = to_record(span)
    assert from_record(record) == span
    assert from_record(b"0123" + record, 4) == span
    assert not {0xF5, 0xFA} & set(record)  # or a reader would take it for the next frame


@pytest.mark.parametrize(
    "value",
    [math.nan, math.inf, 10**5000, {1, 2}, object(), b"x", "\ud800" * 300, [[math.nan]]],
    ids=["nan", "inf", "huge", "set", "object", "bytes", "surrogate", "nested"],
)
def test_records_of_values_json_cannot_hold(value: object, make_span: Callable[..., Span]) -> None:
    """They are what they are in JSON lines."""
    span = attrs.evolve(
        make_span(), inputs={"odd": value, "long": "x" * 300}, resource={"r": value}
    )
    assert from_record(to_record(span)) == decode(encode(span))


def test_long_keys_stay_where_they_are(make_span: Callable[..., Span]) -> None:
    """A key that is as long as a text does not stand outside of the JSON; nor do texts then."""
    span = make_span(inputs={"k" * 300: "v" * 300, "other": ("NaN:", "x" * 300)})
    assert from_record(to_record(span)) == span
    span = make_span(inputs={"said": 'of NaN: {"a":NaN:', "long": "x" * 300})
    assert from_record(to_record(span)) == span


def test_where_a_span_comes_from_is_not_mixed_up(make_span: Callable[..., Span]) -> None:
    """Spans of several scopes and resources, in turns, keep their own."""
    spans = [
        make_span(scope=Scope(f"scope {i % 2}"), resource={"process.pid": i % 3}) for i in range(12)
    ]
    assert [from_record(record) for record in map(to_record, spans)] == spans


@pytest.mark.parametrize(
    "spoil",
    [
        lambda record: b"",
        lambda record: record[:40],
        lambda record: record.partition(b"\xff")[0],
        lambda record: record.rpartition(b"\xff")[0],
        lambda record: record.replace(b'"LLM"', b'"???"'),
        lambda record: record.replace(b'"LLM"', b"[7]"),
        lambda record: b'{"schema":1}\xff' + record.partition(b"\xff")[2],
        lambda record: b"[" * 100_000,
    ],
    ids=["nothing", "cut", "no origin", "no text", "kind", "type", "object", "deep"],
)
def test_what_is_no_record_is_refused(
    spoil: Callable[[bytes], bytes], make_span: Callable[..., Span]
) -> None:
    """Whatever else passes the checksum is an error that says so, and spoils nothing after it."""
    record = to_record(make_span(inputs="x" * 300))
    with pytest.raises(ConfigurationError, match="not a span"):
        from_record(spoil(record))
    assert from_record(record).inputs == "x" * 300


def of_another_arity(one: object) -> None:
    """An encoder of a Python to come."""


def of_another_meaning(*_: object) -> Callable[[object, int], list[str]]:
    """An encoder that takes the same and writes something else."""
    return lambda _value, _level: ["something else"]


@pytest.mark.parametrize("maker", [None, of_another_arity, of_another_meaning])
def test_records_without_the_json_modules_own_parts(
    monkeypatch: pytest.MonkeyPatch,
    make_span: Callable[..., Span],
    caplog: pytest.LogCaptureFixture,
    maker: object,
) -> None:
    """With another encoder, or none, all texts are JSON, the same reader reads it, and it is said."""
    monkeypatch.setattr(_log, "_said", {})
    monkeypatch.setattr(_records, "_make_encoder", maker)
    monkeypatch.setattr(_records, "_writer", _records._Writer())
    span = make_span(inputs="x" * 300)
    record = to_record(span)
    assert record.count(b"\xff") == 1
    assert from_record(record) == span
    assert "json module are not supported" in caplog.text


def test_records_of_many_texts(make_span: Callable[..., Span]) -> None:
    """What is remembered of short texts has a limit, and those of other classes are not kept."""

    class Sly(str):
        __slots__ = ()

        def __eq__(self, other: object) -> bool:
            return True

        def __hash__(self) -> int:
            return hash("model")

    texts = _records._writer.of_thread.texts
    for number in range(3_000):
        span = make_span(inputs={"model": f"text {number}", "same": "same"})
        assert from_record(to_record(span)) == span
    assert len(texts) <= _records._MOST_TEXTS
    texts.clear()
    assert from_record(to_record(make_span(inputs={"role": Sly("sly")}))).inputs == {"role": "sly"}
    assert from_record(to_record(make_span(inputs={"model": 1}))).inputs == {"model": 1}


def test_texts_of_a_class_that_raises(make_span: Callable[..., Span]) -> None:
    """They are written like any other."""

    class Hostile(str):
        __slots__ = ()

        def __hash__(self) -> int:
            raise RuntimeError

    assert from_record(to_record(make_span(inputs=Hostile("said")))).inputs == "said"


def test_missing_is_not_zero(make_span: Callable[..., Span]) -> None:
    """A count that is not known is not written, and comes back as None."""
    span = make_span(usage=TokenUsage(input=0), cost=Cost())
    assert to_dict(span)["usage"] == {"input": 0, "source": "provider"}
    read = decode(encode(span))
    assert read.usage == TokenUsage(input=0)
    assert read.cost == Cost()


def test_what_a_later_version_adds_is_ignored(make_span: Callable[..., Span]) -> None:
    """Unknown keys, at any level, do not stop a reader of the same schema."""
    span = make_span(usage=TokenUsage(1, 2, 3), cost=Cost(total=0.1))
    data = to_dict(span)
    data["new"] = 1
    for part in ("usage", "cost", "scope", "status"):
        data[part] = {**data[part], "new": 1}
    assert from_dict(data) == span


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("", "not a span"),
        ("nonsense", "not a span"),
        ("[]", "wanted a JSON object"),
        ("[" * 100_000, "not a span"),
        ("{}", "schema null"),
        ('{"schema": 99}', "upgrade trace-core"),
        ('{"schema": 1}', "KeyError"),
        (
            f'{{"schema": 1, "trace_id": "{"a" * 32}", "span_id": "{"b" * 16}", "name": "", "kind": "LLM", "start_ns": 0, "end_ns": 0, "status": 3}}',
            "TypeError",
        ),
        (
            '{"schema": 1, "trace_id": "a", "span_id": "b", "name": "", "kind": "LLM", "start_ns": 0, "end_ns": 0, "status": {"code": "OK"}}',
            "trace_id of a span must be 32 hexadecimal digits, got 'a'",
        ),
        (
            '{"schema": 1, "status": {"code": "X"}, "trace_id": "", "span_id": "", "name": "", "kind": "?"}',
            "not a span",
        ),
    ],
)
def test_what_is_not_a_span_is_refused(line: str, complaint: str) -> None:
    """A line that is no span raises one kind of error, which says why."""
    with pytest.raises(ConfigurationError, match=complaint):
        decode(line)


def a_span_of_all_fields() -> dict[str, Any]:
    return to_dict(attrs.evolve(sample_spans()[0], usage=TokenUsage(1), cost=Cost(total=0.1)))


@pytest.mark.parametrize("field", a_span_of_all_fields())
def test_no_value_of_a_field_raises_another_error(field: str) -> None:
    """A span with any value in any field is read, or refused as what is not a span."""
    data = a_span_of_all_fields()
    huge = 10**400  # fits no float
    parts = {"source": "provider", "input": huge, "total": huge, "code": huge, "name": huge}
    event = {"name": "x", "time_ns": huge, "attributes": {"x": huge}}
    for value in (huge, -huge, 10**5_000, 1e400, float("nan"), "\ud800", [huge], parts, [event]):
        with contextlib.suppress(ConfigurationError):
            from_dict({**data, field: value})


@pytest.mark.parametrize("field", ["start_ns", "end_ns"])
@pytest.mark.parametrize("number", ["1e400", "-1e400", "NaN", "9" * 400, "9" * 5_000, "-1", "{}"])
def test_a_time_that_is_none_is_refused(field: str, number: str) -> None:
    """No size of a number stops whoever reads the lines around it."""
    line = json.dumps({**a_span_of_all_fields(), field: "here"}).replace('"here"', number)
    with pytest.raises(ConfigurationError, match="not a span"):
        decode(line)
