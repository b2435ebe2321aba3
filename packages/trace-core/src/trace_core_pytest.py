"""Fixtures for pytest, from `trace_core.testing`.

A module beside the package: pytest imports it in every run, and the package takes time to import.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from trace_core import MemorySink, Span, Tracer
    from trace_core.testing import FakeClock, SequentialIds


@pytest.fixture
def trace_sink() -> MemorySink:
    """A sink in memory."""
    from trace_core import MemorySink

    return MemorySink()


@pytest.fixture
def trace_clock() -> FakeClock:
    """A clock that stands still until told otherwise."""
    from trace_core.testing import FakeClock

    return FakeClock()


@pytest.fixture
def trace_ids() -> SequentialIds:
    """Ids that count up from 1."""
    from trace_core.testing import SequentialIds

    return SequentialIds()


@pytest.fixture
def trace_spans() -> list[Span]:
    """A trace of three spans: a root, a model call with everything, a failure."""
    from trace_core.testing import sample_spans

    return sample_spans()


@pytest.fixture
def trace_tracer(
    trace_sink: MemorySink, trace_clock: FakeClock, trace_ids: SequentialIds
) -> Iterator[Tracer]:
    """A tracer that writes to ``trace_sink``; errors in it, and spans left open, fail the test."""
    from trace_core import Tracer
    from trace_core.testing import no_open_spans

    troubles: list[tuple[str, BaseException]] = []
    tracer = Tracer(
        trace_sink,
        clock=trace_clock,
        ids=trace_ids,
        on_error=lambda where, error: troubles.append((where, error)),
    )
    with no_open_spans(tracer):
        yield tracer
    tracer.close()
    if troubles:
        where, error = troubles[0]
        raise AssertionError(f"{len(troubles)} error(s) in tracing, the first {where}") from error
