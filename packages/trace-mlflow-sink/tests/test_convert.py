"""Spans under MLflow's keys."""

from __future__ import annotations

import json
import math

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.mlflow_spans import agent_span, chat_span, failed_span
from trace_core import Cost, Event, Scope, SpanKind, TokenUsage, UsageSource, semconv
from trace_core.otlp import write_structured
from trace_mlflow_sink._mapping import autolog_names, convert, names, tags

hostile_text = st.text(st.characters(codec=None, exclude_categories=()))
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | hostile_text,
    lambda inner: st.lists(inner).map(tuple) | st.dictionaries(hostile_text, inner),
    max_leaves=10,
)


def written(span, **options):
    """Return the attributes of a span as they go over the wire, JSON text read back."""
    found = {}
    for pair in convert.to_proto(span, **options).attributes:
        kind = pair.value.WhichOneof("value")
        raw = getattr(pair.value, kind)
        plain = kind != "string_value" or pair.key == "mlflow.spanType"
        found[pair.key] = raw if plain else json.loads(raw)
    return found


def test_a_chat_span_has_what_the_ui_shows():
    """Type, inputs, outputs, tokens, cost, model, provider, format, tools and name."""
    tool = {"type": "function", "function": {"name": "f", "parameters": {}}}
    span = chat_span()
    span = attrs.evolve(span, inputs={**span.inputs, "tools": (tool,)})
    found = written(span)
    assert found["mlflow.spanType"] == "CHAT_MODEL"
    assert found["mlflow.message.format"] == "openai"
    assert found["mlflow.spanInputs"]["temperature"] == 0.2
    assert found["mlflow.spanOutputs"]["choices"][0]["message"]["content"] == "Paris."
    assert found["mlflow.chat.tools"] == [tool]
    assert found["mlflow.llm.model"] == "openai/gpt-4o-mini"
    assert found["mlflow.llm.provider"] == "openai"
    assert found["mlflow.traceTag.mlflow.traceName"] == "chat gpt-4o-mini"
    assert found["mlflow.chat.tokenUsage"] == {
        "input_tokens": 20,
        "output_tokens": 10,
        "total_tokens": 30,
        "cache_read_input_tokens": 7,
    }
    assert found["mlflow.llm.cost"] == {
        "input_cost": 1e-06,
        "output_cost": 2e-06,
        "total_cost": 3e-06,
    }
    assert found["url.full"] == "http://127.0.0.1:9/v1/chat/completions"


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (SpanKind.LLM, "CHAT_MODEL"),
        (SpanKind.EMBEDDING, "EMBEDDING"),
        (SpanKind.RERANKER, "RERANKER"),
        (SpanKind.IMAGE, "LLM"),
        (SpanKind.AUDIO, "LLM"),
        (SpanKind.MODERATION, "GUARDRAIL"),
        (SpanKind.RETRIEVER, "RETRIEVER"),
        (SpanKind.TOOL, "TOOL"),
        (SpanKind.AGENT, "AGENT"),
        (SpanKind.CHAIN, "CHAIN"),
        (SpanKind.INTERNAL, "UNKNOWN"),
    ],
)
def test_every_kind_has_a_type(kind, expected):
    """Each kind of span is one that MLflow's UI knows."""
    assert written(chat_span(kind=kind))["mlflow.spanType"] == expected


def test_a_text_completion_is_no_chat():
    """A prompt is shown as it is, not as a user's message."""
    span = chat_span(inputs={"prompt": "Once"}, outputs={"choices": ({"text": "upon"},)})
    found = written(span)
    assert found["mlflow.spanType"] == "LLM"
    assert "mlflow.message.format" not in found


def test_unknown_counts_are_left_out():
    """Missing is never 0: not a count, not the whole of it."""
    assert "mlflow.chat.tokenUsage" not in written(chat_span(usage=None, cost=None))
    assert "mlflow.llm.cost" not in written(chat_span(usage=None, cost=None))
    partly = written(chat_span(usage=TokenUsage(input=3), cost=Cost(total=1.0)))
    assert partly["mlflow.chat.tokenUsage"] == {"input_tokens": 3}
    assert partly["mlflow.llm.cost"] == {"total_cost": 1.0}
    missing = TokenUsage(source=UsageSource.MISSING)
    assert "mlflow.chat.tokenUsage" not in written(chat_span(usage=missing))


def test_the_total_is_the_sum_where_it_is_not_told():
    """Input and output without a total make one."""
    usage = written(chat_span(usage=TokenUsage(input=3, output=4)))["mlflow.chat.tokenUsage"]
    assert usage["total_tokens"] == 7


def test_estimated_counts_say_so():
    """Counts the provider did not give are marked."""
    estimated = TokenUsage(input=3, output=4, source=UsageSource.ESTIMATED)
    assert written(chat_span(usage=estimated))["trace.usage.source"] == "estimated"
    assert "trace.usage.source" not in written(chat_span())


def test_a_cache_hit_costs_nothing():
    """Cost is 0 even if nobody gave one, because MLflow would compute the full price."""
    hit = {semconv.CACHE_HIT: True}
    found = written(chat_span(attributes=hit, cost=Cost(saved=3e-06)))
    assert found["mlflow.llm.cost"] == {"input_cost": 0.0, "output_cost": 0.0, "total_cost": 0.0}
    assert found["trace.cost.saved"] == 3e-06
    assert found[semconv.CACHE_HIT] is True


def test_usage_is_on_model_calls_alone():
    """MLflow hides what lies below a span with usage, so an agent has none."""
    found = written(agent_span(usage=TokenUsage(1, 2, 3), cost=Cost(total=1.0)))
    assert "mlflow.chat.tokenUsage" not in found
    assert "mlflow.llm.cost" not in found


def test_a_failed_span_has_its_exception():
    """Status, message and exception event are there."""
    proto = convert.to_proto(failed_span("no such model"))
    assert proto.status.code == proto.status.STATUS_CODE_ERROR
    assert proto.status.message == "no such model"
    event = proto.events[0]
    found = {pair.key: pair.value.string_value for pair in event.attributes}
    assert event.name == "exception"
    assert found["exception.message"] == "no such model"
    assert found["exception.stacktrace"].startswith("Traceback")


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (("a", "b"), {"a": "", "b": ""}),
        ({"team": "x", "n": 1}, {"team": "x", "n": "1"}),
        ("solo", {"solo": ""}),
        (None, {}),
    ],
)
def test_tags_become_tags_of_the_trace(labels, expected):
    """A list of labels and a mapping both work; the trace's name is a tag too."""
    span = chat_span(attributes={semconv.TAGS: labels, semconv.TRACE_NAME: "my trace"})
    assert tags.of_trace(span) == {**expected, "mlflow.traceName": "my trace"}
    assert semconv.TAGS not in written(span)


def test_only_roots_speak_for_the_trace():
    """A child renames no trace and tags none."""
    child = chat_span(parent=agent_span(), attributes={semconv.TRACE_NAME: "mine"})
    assert not [key for key in written(child) if key.startswith("mlflow.traceTag.")]


def test_private_attributes_stay_private():
    """What the bridge noted for the sink is not written."""
    span = chat_span(attributes={names.TRACKING_URI: "http://x", names.LIVE: True})
    assert not [key for key in written(span) if key.startswith("trace.mlflow.")]


def test_what_mlflow_declared_is_session_and_user():
    """``mlflow.tracing.context(session_id=, user=)`` counts where the span has none itself."""
    said = {names.METADATA: {"mlflow.trace.session": "s", "mlflow.trace.user": "u"}}
    found = written(chat_span(attributes=said))
    assert (found["session.id"], found["user.id"]) == ("s", "u")
    own = written(chat_span(attributes={**said, semconv.SESSION_ID: "own"}))
    assert own["session.id"] == "own"


def test_values_come_back_exactly():
    """Numbers as numbers, text that looks like JSON as text, structures as structures."""
    given_values = {"i": 3, "f": 1.5, "t": True, "js": '{"a":1}', "l": (1, "a"), "big": 10**30}
    found = written(chat_span(attributes=given_values))
    assert {key: found[key] for key in given_values} == {**given_values, "l": [1, "a"]}


def test_older_servers_get_structures():
    """MLflow 3.6 and 3.7 want structured values."""
    request = convert.to_request([chat_span()], write_structured)
    attributes = request.resource_spans[0].scope_spans[0].spans[0].attributes
    pairs = {pair.key: pair.value for pair in attributes}
    assert pairs["mlflow.spanInputs"].HasField("kvlist_value")
    assert pairs["mlflow.spanType"].string_value == "CHAT_MODEL"


def test_a_service_is_a_resource():
    """Spans are grouped by service, which MLflow shows as a tag."""
    spans = [chat_span(resource={"service.name": name}) for name in ("a", "b", "a")]
    groups = convert.to_request(spans).resource_spans
    assert [len(group.scope_spans[0].spans) for group in groups] == [2, 1]
    assert groups[0].resource.attributes[0].value.string_value == "a"


@given(
    hostile_text,
    st.dictionaries(hostile_text, values),
    values,
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(0, 2**63 - 1),
)
def test_no_value_breaks_the_conversion(name, attributes, content, number, time_ns):
    """Whatever a span holds, it can be written, with finite costs and clean names."""
    span = chat_span(
        name=name,
        attributes={**attributes, semconv.SESSION_ID: name * 300, semconv.TAGS: content},
        inputs=content,
        outputs=content,
        cost=Cost(number, number, number),
        start_ns=time_ns,
        events=(Event(name, time_ns, attributes),),
    )
    for write_value in (convert.write_flat, write_structured):
        request = convert.to_request([span], write_value)
        assert request.SerializeToString()
        assert "\0" not in request.resource_spans[0].scope_spans[0].spans[0].name
    found = convert.mlflow_attributes(span)
    assert len(found.get("session.id", "")) <= 250
    assert all(math.isfinite(part) for part in (found[names.LLM_COST] or {}).values())


@pytest.mark.parametrize(
    ("name", "kind", "expected", "span_type"),
    [
        ("chat gpt-4o-mini", SpanKind.LLM, "litellm-completion", "LLM"),
        ("responses gpt-4o-mini", SpanKind.LLM, "litellm-responses", "LLM"),
        ("embeddings m", SpanKind.EMBEDDING, "litellm-embedding", "EMBEDDING"),
    ],
)
def test_spans_can_be_named_as_mlflows_autologging_names_them(name, kind, expected, span_type):
    """Name, type, trace name and attributes; spans that are no calls of LiteLLM's keep theirs."""
    call = chat_span(
        name=name,
        kind=kind,
        scope=Scope("trace_litellm"),
        attributes={names.LITELLM_CALL_ID: "c1"},
    )
    found = autolog_names.renamed(call)
    attributes = written(found)
    assert found.name == expected
    assert attributes["mlflow.spanType"] == span_type
    assert attributes["mlflow.traceTag.mlflow.traceName"] == expected
    assert (attributes["litellm_call_id"], attributes["response_cost"]) == ("c1", 3e-06)
    assert not [key for key in attributes if key.startswith("trace.mlflow.")]
    assert autolog_names.renamed(agent_span()).name == agent_span().name


@pytest.mark.parametrize("nothing", [None, "", ()])
def test_an_empty_session_is_none(nothing):
    """MLflow would show all traces that have none as one session."""
    span = chat_span(attributes={semconv.SESSION_ID: nothing, semconv.TAGS: ("a", None)})
    found = convert.mlflow_attributes(span)
    assert semconv.SESSION_ID not in found
    assert "mlflow.traceTag.a" in found
    assert "mlflow.traceTag.None" not in found
