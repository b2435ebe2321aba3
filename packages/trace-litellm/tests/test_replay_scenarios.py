"""What callers get replayed is what they got live: every scenario, first recorded, then alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import trace_litellm
from support.comparable import comparable
from support.provider import Provider
from support.scenarios import CASES, Case, World
from trace_core import MemorySink, Tracer
from trace_litellm import NotRecorded

pytestmark = pytest.mark.slow
BROKEN_OFF = frozenset(
    {
        "error_cancelled", "messages_stream_cancelled", "stream_cancelled",
        "stream_cancelled_before_anything_came",
    }
)  # fmt: skip
"""Scenarios that wait for the provider and then break off: there is none to wait for."""
CANNOT = {
    "assistants": "SyncCursorPage",
    "assistants_async": "AsyncCursorPage",
    "fine_tuning_jobs": "SyncCursorPage",
    "fine_tuning_jobs_async": "AsyncCursorPage",
    "passthrough": "a httpx.Response",
    "passthrough_async": "a httpx.Response",
    "passthrough_stream_aclosed": "streams of passthrough",
    "passthrough_stream_async": "streams of passthrough",
    "passthrough_stream_closed": "streams of passthrough",
    "realtime_call": "a httpx.Response",
    "speech": "audio",
    "speech_async": "audio",
}
"""Scenarios whose answer is not recorded whole, and what is told of it."""
RUNNABLE = [case for case in CASES if case.runnable and case.name not in BROKEN_OFF]


def seen(result: Any) -> Any:
    """Make what a caller saw comparable; of exceptions not the frames, nor those before."""
    if isinstance(result, BaseException):
        kind, text, told, *_ = comparable(result)[0]
        return kind, text, {name: told[name] for name in ("status_code", "llm_provider", "model")}
    if isinstance(result, (list, tuple)):
        return [seen(one) for one in result]
    return comparable(result)


def world(litellm: Any, provider: Provider, case: Case) -> World:
    lane, fallback = provider.lane("first"), provider.lane("second")
    lane.script(case.script)
    made = World(litellm, lane, fallback, Tracer(MemorySink()))
    made.early_completion = litellm.completion  # type: ignore[attr-defined]
    if case.name == "router_built_before":
        made.early_router = made.router()  # type: ignore[attr-defined]
    return made


@pytest.mark.parametrize("case", RUNNABLE, ids=lambda case: case.name)
def test_replayed_as_it_was(case: Case, litellm: Any, tmp_path: Path) -> None:
    """The caller sees the same, though nobody listens any more; each recording is asked for."""
    path = tmp_path / "recorded.jsonl"
    with Provider() as provider:
        here = world(litellm, provider, case)
        with trace_litellm.record(path):
            expected = seen(case.run(here))
    sent = len(here.lane.requests), len(here.fallback.requests)
    with trace_litellm.replay(path) as replayed:
        if case.name in CANNOT:
            with pytest.raises(NotRecorded, match=CANNOT[case.name]):
                case.run(here)
        else:
            assert seen(case.run(here)) == expected
    assert (len(here.lane.requests), len(here.fallback.requests)) == sent
    assert replayed.missing == ()
    assert replayed.unused == ()
