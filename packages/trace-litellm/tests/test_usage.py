"""Token counts are completed where a provider reported less than all, and marked for what they are."""

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trace_core import TokenUsage, UsageSource, semconv, snapshot
from trace_litellm._reading.hidden_params import reported_usage
from trace_litellm._reading.tokens import as_amount, estimated_usage
from trace_litellm._reading.usage import completed_usage, usage_of

INPUTS: Any = snapshot({"messages": [{"role": "user", "content": "How are you?"}]})
ESTIMATED, PROVIDER = UsageSource.ESTIMATED, UsageSource.PROVIDER
COUNT = st.sampled_from([None, 0, 1, 100])


def answer(text: str | None, usage: Any, finish: str | None = None) -> Any:
    """Make the outputs of a chat completion."""
    choice = {"index": 0, "finish_reason": finish, "message": {"content": text}}
    return snapshot({"choices": [choice], "usage": usage})


def counted(outputs: Any, ending: str | None, **params: Any) -> tuple[Any, dict[str, Any]]:
    """Return the completed usage, and the sources of its sides."""
    found, sources, _ = completed_usage(INPUTS, outputs, params, ending=ending, failed=False)
    return found, sources


@given(COUNT, COUNT, st.sampled_from([None, "stop"]), st.sampled_from(["completed", "abandoned"]))
def test_no_side_of_a_stream_with_text_is_zero(
    asked: int | None, answered: int | None, finish: str | None, ending: str
) -> None:
    """What is reported is kept, the rest estimated; each side is marked for what it is."""
    report = {"prompt_tokens": asked, "completion_tokens": answered}
    found, sources = counted(answer("I am fine, thank you.", report, finish), ending)
    estimate = estimated_usage(INPUTS, answer("I am fine, thank you.", None))
    assert estimate is not None
    assert estimate.output
    final = finish is not None or ending == "completed"
    kept = answered and (final or answered >= estimate.output)
    assert found.input == (asked or estimate.input)
    assert found.output == (answered if kept else estimate.output)
    assert found.total == found.input + found.output
    assert found.source is (PROVIDER if asked and kept else ESTIMATED)
    each = ("provider" if asked else "estimated", "provider" if kept else "estimated")
    names = (semconv.USAGE_INPUT_SOURCE, semconv.USAGE_OUTPUT_SOURCE)
    assert sources == ({} if each[0] == each[1] else dict(zip(names, each, strict=True)))


@pytest.mark.parametrize("told", [0, 1])
def test_a_stream_cut_before_any_text(told: int) -> None:
    """The prompt is counted; what a provider says first is no count of an answer to come."""
    found, sources = counted(
        answer(None, {"prompt_tokens": 100, "completion_tokens": told}), "abandoned"
    )
    assert (found.input, found.output, found.total, found.source) == (100, None, None, PROVIDER)
    assert sources == {
        semconv.USAGE_INPUT_SOURCE: "provider", semconv.USAGE_OUTPUT_SOURCE: "missing",
    }  # fmt: skip


def test_a_whole_answer_without_usage_is_missing() -> None:
    """It is not estimated, and neither are the counts of a call that failed."""
    found, _ = counted(answer("Hi", None, "stop"), None)
    assert found == TokenUsage(source=UsageSource.MISSING)
    failed, _, _ = completed_usage(INPUTS, None, {}, ending=None, failed=True)
    assert failed is None


def test_a_whole_answer_with_half_of_its_usage() -> None:
    """A 0 beside a text is what LiteLLM fills in."""
    found, sources = counted(answer("Hi there", {"prompt_tokens": 9}, "stop"), None)
    assert found.input == 9
    assert found.output > 0
    assert sources[semconv.USAGE_OUTPUT_SOURCE] == "estimated"


def test_arguments_of_a_tool_call_count_as_answer() -> None:
    """A model that only calls tools has answered."""
    call = {"function": {"name": "f", "arguments": '{"city":"Rome"}'}}
    outputs = snapshot({"choices": [{"message": {"content": None, "tool_calls": [call]}}]})
    found, _ = counted(outputs, "completed")
    assert found.output > 2


def test_the_providers_report_wins_over_what_the_caller_saw() -> None:
    """LiteLLM shows callers its own count where they asked for none."""
    shown = {"prompt_tokens": 1, "completion_tokens": 1}
    kept = snapshot({"prompt_tokens": 100, "completion_tokens": 20})
    found, _ = counted(answer("Hi", shown, "stop"), "completed", usage=kept, keeps_chunks=True)
    assert (found.input, found.output, found.source) == (100, 20, PROVIDER)
    own, _ = counted(answer("Hi", shown, "stop"), "completed", keeps_chunks=True)
    assert (own.input, own.output, own.source) == (1, 1, ESTIMATED)


@pytest.mark.parametrize(
    ("outputs", "expected"),
    [
        ({"meta": {"billed_units": {"total_tokens": 42}}}, TokenUsage(total=42)),
        (
            {"meta": {"billed_units": {"search_units": 1}, "tokens": {"input_tokens": 40, "output_tokens": 2}}},
            TokenUsage(40, 2, 42),
        ),
        ({"meta": {"billed_units": {"search_units": 1}, "tokens": None}}, None),
        (
            {"usage": {"type": "tokens", "input_tokens": 30, "output_tokens": 4, "total_tokens": 34,
                       "input_token_details": {"audio_tokens": 25, "text_tokens": 5}}},
            TokenUsage(30, 4, 34, audio_input=25),
        ),
        ({"usage": {"type": "duration", "seconds": 3}}, None),
    ],
)  # fmt: skip
def test_usage_of_rerankers_and_transcriptions(outputs: Any, expected: Any) -> None:
    """Cohere and Jina report tokens beside billed units; a transcription details its audio."""
    assert usage_of(outputs) == expected


PARTS = [
    {
        "type": "image_url",
        "image_url": {"url": "http://images.example.test/a.png", "detail": "high"},
    },
    {"type": "image_url", "image_url": "http://images.example.test/b.png"},
    {"type": "input_image", "image_url": "http://images.example.test/c.png"},
    {"type": "image", "source": {"type": "url", "url": "http://images.example.test/d.png"}},
    {"type": "file", "file": {"file_data": "http://images.example.test/e.pdf"}},
    {"type": "brand_new", "value": 1},
]


@given(st.lists(st.sampled_from(PARTS), max_size=4))
def test_counting_makes_no_request_and_counts_the_rest(parts: list[Any]) -> None:
    """Whatever the parts of a message are, its text is counted, without looking up a host."""
    asked = []
    real = socket.getaddrinfo

    def spy(host: Any, *args: Any, **kwargs: Any) -> Any:
        asked.append(host)
        raise OSError(host)

    inputs: Any = {
        "messages": [{"role": "user", "content": [{"type": "text", "text": "what is it"}, *parts]}]
    }
    socket.getaddrinfo = spy
    try:
        found = estimated_usage(snapshot(inputs), answer("A cat", None))
    finally:
        socket.getaddrinfo = real
    assert asked == []
    assert found is not None
    images = sum("image" in part["type"] for part in parts)
    assert found.output == 2
    assert found.input is not None
    assert found.input - 250 * images >= 3


def test_bytes_that_are_kept_are_no_chunks() -> None:
    """LiteLLM keeps the events of Anthropic's own API as they came: the usage is in them."""
    assert reported_usage(SimpleNamespace(chunks=[b"event: x"])) == {"keeps_chunks": False}
    assert reported_usage(SimpleNamespace(chunks=[SimpleNamespace()])) == {"keeps_chunks": True}


@pytest.mark.parametrize("nonsense", [10**19, 10**30, 10**400, -(10**30), -5])
@pytest.mark.parametrize("name", ["prompt_tokens", "completion_tokens", "total_tokens", "cached"])
def test_a_count_that_nobody_can_mean_is_unknown(name: str, nonsense: int) -> None:
    """It is estimated like one that is missing, and costs no other count of the answer."""
    report: dict[str, Any] = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    if name == "cached":
        report["prompt_tokens_details"] = {"cached_tokens": nonsense}
    else:
        report[name] = nonsense
    usage, _ = counted(answer("I am well.", report, "stop"), None)
    assert usage.cache_read is None
    if name != "prompt_tokens":
        assert usage.input == 10
    if name != "completion_tokens":
        assert usage.output == 5
    assert usage.total is None or usage.total < 100


def test_numbers_of_any_size() -> None:
    """A price or a duration is a number from 0 on that a float can hold, or none."""
    values = [1, 0.5, "1", None, 10**400, float("inf"), float("nan"), -0.5]
    assert [as_amount(value) for value in values] == [1.0, 0.5, None, None, None, None, None, None]
