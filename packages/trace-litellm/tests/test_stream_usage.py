"""Token counts that a stream reports in several chunks are merged, whatever their order."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trace_core import snapshot
from trace_litellm._streams.events import merge_anthropic, merge_google
from trace_litellm._streams.usage import merge_usage

WHOLE = {
    "prompt_tokens": 100,
    "completion_tokens": 20,
    "prompt_tokens_details": {"cached_tokens": 80, "audio_tokens": 5},
    "completion_tokens_details": {"reasoning_tokens": 7},
    "cost": 0.25,
}
NOTHING = st.sampled_from([None, 0])


def part_of(counts: dict[str, Any], drawn: st.DataObject) -> dict[str, Any]:
    """Draw a report that has some of the counts, and zeros or nothing for others."""
    part: dict[str, Any] = {}
    for name, value in counts.items():
        if isinstance(value, dict):
            part[name] = part_of(value, drawn) if drawn.draw(st.booleans()) else None
        elif drawn.draw(st.booleans()):
            part[name] = value
        elif drawn.draw(st.booleans()):
            part[name] = drawn.draw(NOTHING)
    return part


@given(st.data())
def test_every_count_of_any_report_is_kept(drawn: st.DataObject) -> None:
    """Neither zeros nor missing fields of other chunks replace a count."""
    reports = [part_of(WHOLE, drawn) for _ in range(drawn.draw(st.integers(0, 3)))]
    place = drawn.draw(st.integers(0, len(reports)))
    merged: Any = None
    for report in [*reports[:place], {**WHOLE, "total_tokens": 120}, *reports[place:]]:
        merged = merge_usage(merged, snapshot(report))
    assert merged == {**WHOLE, "total_tokens": 120}


def test_sides_in_different_chunks_add_up() -> None:
    """The total is that of both, though neither chunk has it."""
    first = {"prompt_tokens": 100, "completion_tokens": 0, "total_tokens": 100}
    last = {"prompt_tokens": 0, "completion_tokens": 20, "total_tokens": 20}
    assert merge_usage(first, last) == {
        "prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120,
    }  # fmt: skip


def test_a_later_count_replaces_an_earlier_one() -> None:
    """Some providers count on with each chunk."""
    assert merge_usage({"completion_tokens": 1}, {"completion_tokens": 9}) == {
        "completion_tokens": 9
    }


@pytest.mark.parametrize(
    ("later", "expected"),
    [
        ({"output_tokens": 59}, {"input_tokens": 137, "output_tokens": 59}),
        ({"input_tokens": 0, "output_tokens": 59}, {"input_tokens": 137, "output_tokens": 59}),
        ({"input_tokens": 137, "output_tokens": 0}, {"input_tokens": 137, "output_tokens": 0}),
    ],
)
def test_usage_of_anthropics_events(later: Any, expected: Any) -> None:
    """The first event's count of the answer is a placeholder, its count of the prompt is not."""
    start = {
        "type": "message_start",
        "message": {"usage": {"input_tokens": 137, "output_tokens": 3}},
    }
    message: Any = merge_anthropic([start, {"type": "message_delta", "usage": later}])
    assert message["usage"] == expected


def test_usage_of_googles_chunks() -> None:
    """Details of the last chunk but one are kept."""
    chunks: list[Any] = [
        {"usageMetadata": {"promptTokenCount": 5, "cachedContentTokenCount": 4}},
        {"usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": 3}},
    ]
    merged: Any = merge_google(chunks)
    assert merged["usageMetadata"] == {
        "promptTokenCount": 5, "candidatesTokenCount": 3, "cachedContentTokenCount": 4,
    }  # fmt: skip
