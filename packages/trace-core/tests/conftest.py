"""What the tests of trace-core share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from trace_core import MemorySink, Span, SpanContext, SpanKind, Status, StatusCode, Tracer
from trace_core.testing import FakeClock, SequentialIds


@pytest.fixture
def memory() -> MemorySink:
    return MemorySink()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def troubles() -> list[tuple[str, BaseException]]:
    """What went wrong inside tracing; checked to be empty unless a test looks at it."""
    return []


@pytest.fixture
def tracer(
    memory: MemorySink, clock: FakeClock, troubles: list[tuple[str, BaseException]]
) -> Tracer:
    return Tracer(
        memory,
        clock=clock,
        ids=SequentialIds(),
        on_error=lambda where, error: troubles.append((where, error)),
    )


@pytest.fixture
def make_span() -> Callable[..., Span]:
    """Make spans with ids of their own; any field can be given."""
    ids = SequentialIds()

    def make(**fields: object) -> Span:
        values = {
            "context": SpanContext(ids.trace_id(), ids.span_id()),
            "parent_id": None,
            "name": "chat test",
            "kind": SpanKind.LLM,
            "start_ns": 1_700_000_000_000_000_000,
            "end_ns": 1_700_000_000_500_000_000,
            "status": Status(StatusCode.OK),
        }
        return Span(**{**values, **fields})

    return make


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path
