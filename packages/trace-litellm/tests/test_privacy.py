"""LiteLLM's own switches for not logging what was said hold for spans as well."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel

from support.provider import Lane, Provider, Scenario
from support.scenarios import GPT, INCLUDE, KEY
from trace_core import MemorySink, Span, Tracer, UsageSource, to_dict
from trace_litellm import instrument
from trace_litellm._reading import complete
from trace_litellm._reading import requests as _requests
from trace_litellm._reading.privacy import hides

ASKED, ANSWERED = "PRIVATE-PROMPT", "PRIVATE-ANSWER"
PROMPT = [{"role": "user", "content": ASKED}]
BOTH: tuple[dict[str, Any], ...] = (
    {"turn_off_message_logging": True},
    {"turn_off_message_logging": "true"},
    {"metadata": {"turn_off_message_logging": True}},
    {"no-log": True},
    {"metadata": {"mask_input": True, "mask_output": True}},
    {"metadata": {"headers": {"x-litellm-enable-message-redaction": "true"}}},
)


@pytest.fixture
def lane(provider: Provider, request: pytest.FixtureRequest) -> Lane:
    """A provider whose answer is private."""
    found = provider.lane(request.node.name)
    found.script(Scenario(text=ANSWERED))
    return found


@pytest.fixture
def off(litellm: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """LiteLLM's setting for all calls."""
    monkeypatch.setattr(litellm, "turn_off_message_logging", True)
    return iter(())


def spans_of(litellm: Any, lane: Lane, **more: Any) -> list[Span]:
    """Return the spans of one call, whose start records are asked for as well."""
    sink = MemorySink()
    base = {"api_base": lane.openai_base, "api_key": KEY, "max_retries": 0}
    with instrument(Tracer(sink)):
        result = litellm.completion(GPT, PROMPT, temperature=0.5, **base, **more)
        if more.get("stream"):
            list(result)
    return list(sink.spans)


def shows(spans: list[Span], text: str) -> bool:
    """Return whether a text is anywhere on the spans."""
    return text in repr([to_dict(span) for span in spans])


@pytest.mark.parametrize(("switch", "stream"), list(itertools.product(BOTH, (False, True))))
def test_neither_side_is_on_the_span(
    litellm: Any, lane: Lane, switch: dict[str, Any], stream: bool
) -> None:
    """What can be counted is: parameters, tokens and cost are there."""
    spans = spans_of(litellm, lane, **switch, **(INCLUDE if stream else {}))
    assert not shows(spans, ASKED)
    assert not shows(spans, ANSWERED)
    [span] = spans
    assert span.inputs["model"] == GPT  # type: ignore[index,call-overload]
    assert span.inputs["temperature"] == 0.5  # type: ignore[index,call-overload]
    assert span.inputs["messages"] == span.outputs == "redacted-by-litellm"  # type: ignore[index,call-overload]
    assert span.usage is not None
    assert span.usage.source is UsageSource.PROVIDER
    assert span.cost is not None


@pytest.mark.parametrize("step", ["known", "_outputs", "_attributes", "_count", "completed_usage"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_failure_of_ours_hides_as_well(
    litellm: Any, lane: Lane, step: str, stream: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever an answer makes our reading of it raise, the text that is hidden stays so."""

    def fail(*_: object, **__: object) -> None:
        raise OverflowError("an answer of another kind")

    monkeypatch.setattr(complete, step, fail)
    [span] = spans_of(litellm, lane, turn_off_message_logging=True, stream=stream)
    assert not shows([span], ASKED)
    assert not shows([span], ANSWERED)
    if step in ("_count", "completed_usage"):  # they cost tokens and cost alone
        assert span.attributes["gen_ai.response.model"]


def test_tokens_of_a_hidden_stream_are_estimated(litellm: Any, lane: Lane) -> None:
    """The text is counted before it is left out."""
    [span] = spans_of(litellm, lane, turn_off_message_logging=True, stream=True)
    assert span.usage is not None
    assert span.usage.source is UsageSource.ESTIMATED
    assert span.usage.input
    assert span.usage.output


@pytest.mark.usefixtures("off")
def test_the_setting_and_what_overrides_it(litellm: Any, lane: Lane) -> None:
    """The setting holds for all calls but those that say otherwise, as in LiteLLM."""
    assert not shows(spans_of(litellm, lane), ASKED)
    for exception in (
        {"turn_off_message_logging": False},
        {"metadata": {"headers": {"litellm-disable-message-redaction": "true"}}},
    ):
        spans = spans_of(litellm, lane, **exception)
        assert shows(spans, ASKED)
        assert shows(spans, ANSWERED)


@pytest.mark.parametrize(("side", "text"), [("mask_input", ANSWERED), ("mask_output", ASKED)])
def test_one_side_alone(litellm: Any, lane: Lane, side: str, text: str) -> None:
    """Langfuse's switches hide one each."""
    spans = spans_of(litellm, lane, metadata={side: True})
    assert [shown for shown in (ASKED, ANSWERED) if shows(spans, shown)] == [text]


def test_attempts_and_calls_below_hide_as_well(litellm: Any, lane: Lane) -> None:
    """A Router's call hides in all its spans."""
    lane.script(Scenario(text=ANSWERED, status=500, fail_times=1))
    params = {"model": GPT, "api_base": lane.openai_base, "api_key": KEY, "max_retries": 0}
    router = litellm.Router(
        model_list=[{"model_name": "group", "litellm_params": params}], num_retries=1, retry_after=0
    )
    sink = MemorySink()
    with instrument(Tracer(sink)):
        router.completion("group", PROMPT, turn_off_message_logging=True)
    assert len(sink.spans) > 1
    assert not shows(list(sink.spans), ASKED)
    assert not shows(list(sink.spans), ANSWERED)


@pytest.mark.parametrize(
    ("switch", "stream"),
    list(itertools.product(({"turn_off_message_logging": True}, {"no-log": True}), (False, True))),
)
@pytest.mark.parametrize("default", [False, True])
def test_what_a_deployment_hides_its_router_hides(
    litellm: Any, lane: Lane, switch: dict[str, Any], stream: bool, default: bool
) -> None:
    """The Router's span repeats what its deployment was asked and has answered."""
    params = {"model": GPT, "api_base": lane.openai_base, "api_key": KEY}
    own, of_all = ({}, switch) if default else (switch, {})
    router = litellm.Router(
        model_list=[{"model_name": "group", "litellm_params": {**params, **own}}],
        default_litellm_params=of_all,
    )
    sink = MemorySink()
    with instrument(Tracer(sink)):
        answer = router.completion("group", PROMPT, stream=stream)
        if stream:
            list(answer)
    assert len(sink.spans) > 1
    assert not shows(list(sink.spans), ASKED)
    assert not shows(list(sink.spans), ANSWERED)


@pytest.mark.parametrize("switch", BOTH)
def test_attributes_of_the_request_hide_as_well(
    litellm: Any, lane: Lane, switch: dict[str, Any]
) -> None:
    """Where generation has to stop may be as private as the rest."""
    [span] = spans_of(litellm, lane, stop=[ASKED], **switch)
    assert not shows([span], ASKED)
    assert span.attributes["gen_ai.request.temperature"] == 0.5


def test_events_of_chunks_are_left_out(litellm: Any, lane: Lane) -> None:
    """They hold the answer piece by piece."""
    sink = MemorySink()
    base = {"api_base": lane.openai_base, "api_key": KEY, **INCLUDE}
    with instrument(Tracer(sink)) as instrumentation:
        instrumentation._hooks.calls.stream_events = 10
        list(litellm.completion(GPT, PROMPT, **base, **{"no-log": True}))
    assert not shows(list(sink.spans), ANSWERED)


def test_no_log_may_be_disabled(litellm: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """LiteLLM's proxy can forbid its callers to leave no log."""
    assert hides({"no-log": True}) == (True, True)
    monkeypatch.setattr(litellm, "global_disable_no_log_param", True, raising=False)
    assert hides({"no-log": True}) == (False, False)
    assert hides({}) == hides({"no-log": "false", "metadata": None}) == (False, False)


def test_what_litellm_adds_to_the_callers_metadata_is_not_theirs() -> None:
    """It writes into the mapping of one call, and a program may give the next call the same."""
    metadata = {"team": "red", "hidden_params": {"cost": 1}, "llm_api_timing_windows": [[1, 2]]}
    assert _requests.call_attributes({"metadata": metadata}) == {"trace.metadata.team": "red"}


def test_owners_of_keys(litellm: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the proxy knows of the owner of a key is left out if LiteLLM is told so."""
    metadata = {"user_api_key": "hash", "user_api_key_alias": "mine", "tags": ["a"]}
    shown = _requests.call_attributes({"metadata": metadata})
    assert shown == {"litellm.proxy.key_alias": "mine", "trace.tags": ("a",)}
    monkeypatch.setattr(litellm, "redact_user_api_key_info", True)
    assert _requests.call_attributes({"metadata": metadata}) == {"trace.tags": ("a",)}


class Weather(BaseModel):
    """A format to answer in."""

    city: str


def test_a_class_to_answer_in_is_recorded_as_its_schema() -> None:
    """Not as the text of the class; it is made once."""
    copied: Any = _requests.inputs((), (), {"response_format": Weather, "other": int})
    schema = copied["response_format"]
    assert schema["type"] == "json_schema"
    assert schema["json_schema"]["name"] == "Weather"
    assert schema["json_schema"]["schema"]["properties"]["city"]["type"] == "string"
    again: Any = _requests.inputs((), (), {"response_format": Weather})
    assert again["response_format"] == schema
