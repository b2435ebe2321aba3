"""A glance may save the processors their work, but must never change what comes out of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import reduce
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trace_core import (
    Event,
    MemorySink,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    limit_payloads,
    pipeline,
    redact,
    redact_pii,
    remember_secret,
    truncate,
)
from trace_core._processors import glance as module
from trace_core._processors import secrets as _secrets
from trace_core._processors.glance import ByRules, Glance
from trace_core._processors.rules import RULES, matches, may_match
from trace_core._sinks.compose import Processor

SECRET = "sk-ant-api03-" + "a1B2_c-D3" * 9
IMAGE = "data:image/png;base64," + "iVBORw0KGgo" * 200
PROCESSORS = {
    "limit_payloads": limit_payloads(max_base64=64, max_vector=8),
    "redact": redact(known=["harmless-looking"]),
    "redact_pii": redact_pii(),
    "truncate": truncate(500),
}
TEXTS = st.one_of(
    st.sampled_from(
        [
            *("", "ok", "password", "a harmless text", "harmless-looking", "QUJD" * 40, "x" * 600),
            *(SECRET, IMAGE, f"see {IMAGE} here", "look: " + SECRET, "mail a@b.example.org"),
            *("api_key=0123456789abcdef", "chatcmpl-123e4567-e89b-12d3-a456-426614174000"),
        ]
    ),
    st.text(max_size=30),
)
NUMBERS = st.one_of(st.integers(0, 99), st.floats(allow_nan=False))
PLAIN = st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS)
KEYS = st.one_of(TEXTS, st.sampled_from(["api_key", "Authorization", "content", "model"]))
VECTORS = st.lists(NUMBERS, max_size=20).map(tuple)
VALUES = st.recursive(
    st.one_of(PLAIN, VECTORS),
    lambda inner: st.one_of(
        st.dictionaries(KEYS, inner, max_size=4),
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
    ),
    max_leaves=12,
)
MAPPINGS = st.dictionaries(KEYS, VALUES, max_size=4)
SPANS = st.builds(
    Span,
    st.just(SpanContext("1" * 32, "1" * 16)),
    st.none(),
    TEXTS,
    st.just(SpanKind.LLM),
    st.just(1),
    st.just(2),
    status=st.builds(Status, st.just(StatusCode.ERROR), st.one_of(st.none(), TEXTS)),
    inputs=VALUES,
    outputs=VALUES,
    attributes=MAPPINGS,
    events=st.lists(st.builds(Event, TEXTS, st.just(1), MAPPINGS), max_size=2).map(tuple),
    resource=MAPPINGS,
)


def span_with(value: Any, **fields: Any) -> Span:
    """A span with a value among its inputs."""
    context = SpanContext("1" * 32, "1" * 16)
    return Span(context, None, "call", SpanKind.LLM, 1, 2, inputs={"value": value}, **fields)


def through(sink_processors: list[Processor], spans: list[Span]) -> list[Span]:
    """What comes out of a pipeline."""
    memory = MemorySink()
    pipeline(*sink_processors, sink=memory).write(spans)
    return list(memory.spans)


def one_after_the_other(processors: list[Processor], span: Span) -> Span | None:
    """What comes out of processors that are called by hand."""
    return reduce(lambda left, processor: processor(left), processors, span)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def forget_secrets() -> Iterator[None]:
    """What one test remembers is not known to the next."""
    yield
    _secrets._remembered.clear()


@given(
    chosen=st.permutations(list(PROCESSORS)).flatmap(
        lambda names: st.integers(1, len(names)).map(lambda count: names[:count])
    ),
    spans=st.lists(SPANS, min_size=1, max_size=3),
)
def test_a_pipeline_gives_what_its_processors_give(chosen: list[str], spans: list[Span]) -> None:
    """Processors that share a glance change what they change one after the other, also later."""
    processors: list[Processor] = [PROCESSORS[name] for name in chosen]
    wanted = [one_after_the_other(processors, span) for span in spans]
    assert through(processors, spans * 2) == wanted * 2


@given(span=SPANS)
def test_what_passes_is_left_alone_by_each(span: Span) -> None:
    """A glance lets a span pass only if every processor returns the very same."""
    processors = list(PROCESSORS.values())
    assert all(isinstance(processor, ByRules) for processor in processors)
    glance = Glance(processors)  # type: ignore[arg-type]
    if glance.passes(span) or glance.passes(span):
        assert all(processor(span) is span for processor in processors)


def test_an_ordinary_span_passes() -> None:
    """Messages, numbers and names do, the first time and later, and are not copied."""
    message = {"role": "user", "content": "What is the capital of France?", "n": 1, "x": None}
    span = span_with((message, message), attributes={"tags": ("a", "b"), "cost": 0.5})
    glance = Glance([redact(), limit_payloads()])  # type: ignore[list-item]
    assert glance.passes(span)
    assert glance.passes(span)
    assert through([redact(), limit_payloads()], [span])[0] is span


@pytest.mark.parametrize(
    "value",
    [
        *(SECRET, IMAGE, {SECRET: 1}, {"api_key": "x"}, ({"deep": (SECRET,)},)),
        *(tuple(range(300)), ["a list"], {1: "no text as a key"}, b"bytes", object()),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_doubtful_span_does_not_pass(value: object) -> None:
    """Whatever is to be changed, or is none of the types that values have, takes the long way."""
    glance = Glance([limit_payloads(), redact()])  # type: ignore[list-item]
    for _ in range(2):
        assert not glance.passes(span_with(value))
    for place in ("outputs", "attributes", "resource"):
        assert not glance.passes(attrs.evolve(span_with(None), **{place: {"at": value}}))
    assert not glance.passes(span_with(None, events=(Event("e", 1, {"at": value}),)))  # type: ignore[dict-item]


def test_what_passed_is_looked_at_again_once_more_is_known() -> None:
    """A text that passed is redacted as soon as a secret in it becomes known."""
    memory = MemorySink()
    sink = pipeline(limit_payloads(), redact(), sink=memory)
    span = span_with("an-unprefixed-value")
    sink.write((span, span))
    remember_secret("an-unprefixed-value")
    sink.write((span,))
    assert [s.inputs for s in memory.spans] == [
        *[{"value": "an-unprefixed-value"}] * 2,
        {"value": "[redacted:known]"},
    ]


def test_what_contains_itself_costs_its_content_only() -> None:
    """It is not gone through for ever, and the span goes on."""
    loop: dict[str, Any] = {"text": "said"}
    loop["again"] = (loop, loop)
    (left,) = through([limit_payloads(), redact()], [span_with(loop)])
    assert left.name == "call"
    assert left.inputs is None


def test_it_remembers_within_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many texts and keys pass by, a glance keeps about a megabyte of them."""
    monkeypatch.setattr(module, "MOST_KEYS", 10)
    glance = Glance([redact()])  # type: ignore[list-item]
    for number in range(3_000):
        assert glance.passes(span_with({f"key {number}": f"{number} " + "harmless " * 100}))
    assert sum(map(len, glance._look._known.texts)) < 1_000_000
    assert len(glance._look._known.keys) == 10
    assert glance.passes(span_with("long " * 10_000))
    assert max(map(len, glance._look._known.texts)) < 20_000


def test_rules_that_fail_cost_the_content() -> None:
    """If what is secret cannot be told, nothing passes, and nothing that was said goes on."""

    def broken() -> Mapping[str, str]:
        raise RuntimeError

    (left,) = through([limit_payloads(), redact(known=broken)], [span_with("said")])
    assert left.inputs is None


def test_a_processor_of_ones_own_keeps_its_place() -> None:
    """It sees what those before it have made of the span, and those after it what it has made."""
    seen: list[Any] = []

    def adds(span: Span) -> Span:
        seen.append(span.inputs)
        return attrs.evolve(span, inputs={"added": SECRET})

    (left,) = through([redact(), adds, redact()], [span_with(SECRET)])
    assert seen == [{"value": "[redacted:anthropic]"}]
    assert left.inputs == {"added": "[redacted:anthropic]"}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_quick_look_at_a_text_misses_no_literal(rule: Any) -> None:
    """What may hold a secret is looked through, whatever its literal."""
    folded = {"bearer": "bearer ", "basic": "basic\t"}
    assert all(may_match(folded.get(literal, literal)) for literal in rule.literals)


@given(st.one_of(*(st.from_regex(rule.pattern) for rule in RULES), TEXTS))
def test_a_quick_look_at_a_text_misses_no_secret(text: str) -> None:
    """Whatever the rules find, the quick look has said to look for."""
    assert may_match(text) or not list(matches(text))


def test_a_quick_look_lets_ids_pass() -> None:
    """Those that are new with every call need not be looked through."""
    assert not may_match("chatcmpl-123e4567-e89b-12d3-a456-426614174000")
