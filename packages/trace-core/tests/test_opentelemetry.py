"""The bridge to OpenTelemetry, with its API and SDK, without LiteLLM."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from collections.abc import AsyncIterator
from contextvars import copy_context
from typing import Any

import pytest

from trace_core import (
    Background,
    ConfigurationError,
    MemorySink,
    OpenTelemetryBridge,
    SpanContext,
    Tracer,
    capture_context,
    use_parent,
)
from trace_core.testing import sample_spans

sdk = pytest.importorskip("opentelemetry.sdk.trace")
trace = pytest.importorskip("opentelemetry.trace")
baggage = pytest.importorskip("opentelemetry.baggage")
context = pytest.importorskip("opentelemetry.context")

OTHER = SpanContext("0" * 31 + "5", "0" * 15 + "5")


@pytest.fixture(scope="session", autouse=True)
def provider() -> Any:
    """The program's provider, which can be set once."""
    trace.set_tracer_provider(sdk.TracerProvider())
    return trace.get_tracer_provider()


@pytest.fixture
def theirs(provider: Any) -> Any:
    """A tracer of OpenTelemetry's."""
    return provider.get_tracer("their program")


@pytest.fixture
def tracer(memory: MemorySink) -> Tracer:
    """A tracer with the bridge."""
    return Tracer(memory, bridges=[OpenTelemetryBridge()])


@pytest.fixture
def memory() -> MemorySink:
    """Where spans go."""
    return MemorySink()


def span_id(span: Any) -> str:
    """Return the id of a span of theirs as ours have it."""
    return f"{span.get_span_context().span_id:016x}"


def parents(memory: MemorySink) -> dict[str, str | None]:
    """Return the spans by name, with their parents' ids."""
    return {span.name: span.parent_id for span in memory.spans}


def test_what_is_set_on_the_current_span_goes_to_theirs(tracer: Tracer, theirs: Any) -> None:
    """A function that sets attributes on the current span does so inside ours as well."""
    with theirs.start_as_current_span("request") as request, tracer.span("a"), tracer.span("b"):
        current = trace.get_current_span()
        assert current.is_recording()
        current.set_attribute("mine", 1)
        current.add_event("happened")
        current.set_status(trace.StatusCode.ERROR)
        assert current.name == "request"
        current.end()
        assert current.context.span_id != request.context.span_id
    assert request.attributes == {"mine": 1}
    assert [event.name for event in request.events] == ["happened"]
    assert request.status.status_code is trace.StatusCode.ERROR


def test_a_parent_that_the_program_sets_goes_first(
    tracer: Tracer, memory: MemorySink, theirs: Any
) -> None:
    """``use_parent`` inside their span wins; so does their new trace inside ``use_parent``."""
    with theirs.start_as_current_span("request"):
        with use_parent(OTHER):
            tracer.start("set").end()
            with theirs.start_as_current_span("new", context=context.Context()) as new:
                tracer.start("in new").end()
        with use_parent(None):
            assert tracer.parent_here() is None
            tracer.start("none").end()
    found = parents(memory)
    assert found == {"set": OTHER.span_id, "in new": span_id(new), "none": None}


def test_a_trace_of_theirs_stays_whole(tracer: Tracer, memory: MemorySink, theirs: Any) -> None:
    """Inside a span of ours of another trace, their spans have their own parents, and ours ours."""
    with theirs.start_as_current_span("request") as request, use_parent(OTHER):
        with tracer.span("ours"):
            assert trace.get_current_span() is request
            with theirs.start_as_current_span("step"):
                tracer.start("inner").end()
        with theirs.start_as_current_span("root", context=context.Context()):
            tracer.start("elsewhere").end()
    found = {span.name: span for span in memory.spans}
    assert found["inner"].parent_id == found["ours"].span_id
    assert found["elsewhere"].trace_id not in {OTHER.trace_id, found["ours"].trace_id}


def test_in_another_thread_their_context_is_enough(tracer: Tracer, memory: MemorySink) -> None:
    """Whoever takes along OpenTelemetry's context alone takes along our span in it."""
    empty = copy_context()
    with tracer.span("outer") as outer:
        taken = context.get_current()

    def elsewhere() -> None:
        context.attach(taken)
        tracer.start("inner").end()

    empty.run(elsewhere)
    assert parents(memory)["inner"] == outer.span_id


def test_in_another_thread_ours_is_enough(tracer: Tracer, memory: MemorySink, theirs: Any) -> None:
    """``capture_context`` does not take along theirs, and needs not."""
    empty = copy_context()
    with theirs.start_as_current_span("request"), tracer.span("outer") as outer:
        captured = capture_context()

    def elsewhere() -> None:
        with captured(), tracer.span("inner"):
            assert trace.get_current_span().get_span_context().trace_id == int(outer.trace_id, 16)

    empty.run(elsewhere)
    assert parents(memory)["inner"] == outer.span_id


def test_spans_left_in_another_order_and_context(
    tracer: Tracer, memory: MemorySink, caplog: pytest.LogCaptureFixture
) -> None:
    """An async generator that the event loop closes: OpenTelemetry logs nothing, nothing stays."""

    async def steps() -> AsyncIterator[int]:
        with tracer.span("generator"):
            yield 1
            yield 2

    async def main() -> None:
        async for _ in steps():
            break
        first, second = tracer.span("first"), tracer.span("second")
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        second.__exit__(None, None, None)
        tracer.start("after").end()

    with caplog.at_level(logging.INFO):
        asyncio.run(main())
    assert not caplog.records
    assert trace.get_current_span() is trace.INVALID_SPAN
    assert {span.name for span in memory.spans} == {"generator", "first", "second", "after"}
    assert parents(memory)["after"] not in {
        span.span_id for span in memory.spans if span.name in ("first", "second")
    }


@pytest.mark.parametrize(
    ("chosen", "wanted"),
    [
        ((), {}),
        (("session.id",), {"session.id": "s"}),
        (("app.*",), {"app.tenant": "t"}),
        (("*",), {"session.id": "s", "app.tenant": "t"}),
        (("trace.name",), {"trace.name": "n"}),
    ],
)
def test_baggage(
    memory: MemorySink, monkeypatch: pytest.MonkeyPatch, chosen: Any, wanted: Any
) -> None:
    """Chosen parts become attributes; a pattern takes none that tell sinks what to do."""
    monkeypatch.setenv("TRACE_OTEL_BAGGAGE", ", ".join(chosen))
    for bridge in (OpenTelemetryBridge(baggage=chosen), OpenTelemetryBridge()):
        tracer = Tracer(memory, bridges=[bridge])
        within = context.get_current()
        for name, value in {"session.id": "s", "app.tenant": "t", "trace.name": "n"}.items():
            within = baggage.set_baggage(name, value, within)
        token = context.attach(within)
        tracer.start("a").end()
        context.detach(token)
        assert memory.spans[-1].attributes == wanted


def test_what_opentelemetry_knows_of_a_trace_is_passed_on(tracer: Tracer) -> None:
    """Flags and vendors' state of a remote parent are those of our span."""
    remote = trace.SpanContext(5, 6, True, trace.TraceFlags(1), trace.TraceState([("vendor", "x")]))
    inside = trace.set_span_in_context(trace.NonRecordingSpan(remote))
    token = context.attach(inside)
    with tracer.span("a") as ours:
        found = trace.get_current_span().get_span_context()
    context.detach(token)
    assert (ours.trace_id, ours.parent_id) == (f"{5:032x}", f"{6:016x}")
    assert (found.trace_flags, found.trace_state) == (remote.trace_flags, remote.trace_state)
    assert not found.is_remote


def test_nothing_is_current_where_nobody_uses_it(tracer: Tracer, provider: Any) -> None:
    """A program that has imported it, as MLflow does, and has set no provider."""
    program = """
from opentelemetry import trace
from trace_core import MemorySink, OpenTelemetryBridge, Tracer
with Tracer(MemorySink(), bridges=[OpenTelemetryBridge()]).span("ours"):
    print(trace.get_current_span() is trace.INVALID_SPAN)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["True"]
    assert type(trace.get_tracer_provider()) is type(provider)
    with tracer.span("ours"):
        assert trace.get_current_span() is not trace.INVALID_SPAN


def test_it_wakes_when_opentelemetry_is_imported() -> None:
    """A tracer made before notices; one in a program without it imports nothing."""
    program = """
import sys
from trace_core import MemorySink, OpenTelemetryBridge, Tracer
sink = MemorySink()
tracer = Tracer(sink, bridges=[OpenTelemetryBridge(baggage=["*"])])
with tracer.span("before"):
    tracer.start("inside").end()
print([name for name in sys.modules if name.startswith("opentelemetry")])
from opentelemetry.sdk.trace import TracerProvider
with TracerProvider().get_tracer("theirs").start_as_current_span("request") as request:
    tracer.start("after").end()
print(sink.spans[-1].parent_id == f"{request.context.span_id:016x}")
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["[]", "True"]


def test_a_bridge_derives_from_the_base_class() -> None:
    """Anything else is refused with the remedy."""
    with pytest.raises(ConfigurationError, match="a bridge must be a Bridge"):
        Tracer(MemorySink(), bridges=[object()])  # type: ignore[list-item]


def test_what_delivers_spans_is_not_recorded() -> None:
    """An instrumented httpx or SQLAlchemy records nothing of a sink, and all of the program."""
    utils = pytest.importorskip("opentelemetry.instrumentation.utils")
    seen: list[bool] = []
    queue = Background(lambda spans: seen.append(utils.is_instrumentation_enabled()))
    queue.write(sample_spans())
    assert queue.flush(30)
    queue.close(10)
    assert seen
    assert not any(seen)
    assert utils.is_instrumentation_enabled()


def test_a_disabled_sdk_does_not_turn_tracing_off(
    tracer: Tracer, memory: MemorySink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``OTEL_SDK_DISABLED`` is for OpenTelemetry's SDK, whose spans are none then: ours are roots."""
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    disabled = sdk.TracerProvider().get_tracer("their program")
    with disabled.start_as_current_span("request"), tracer.span("outer") as outer:
        tracer.start("inner").end()
    assert parents(memory) == {"inner": outer.span_id, "outer": None}
