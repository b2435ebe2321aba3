"""Who traces: ours, its peers and nobody. Each is turned on and off again within one process."""

from __future__ import annotations

import copy
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Switch:
    """A tracer that is ready to be turned on.

    Attributes:
        on: Starts tracing.
        off: Makes LiteLLM what it was.
        flush: Waits until what was traced is where it is stored.
    """

    on: Callable[[], Any]
    off: Callable[[], Any]
    flush: Callable[[], Any] = lambda: None


class Discard:
    """A sink that takes everything and keeps nothing."""

    def write(self, spans: Sequence[Any], /) -> None:
        """Drop the spans."""

    def flush(self, timeout: float = 5.0, /) -> bool:
        """Have nothing to do."""
        return True

    def close(self, timeout: float = 5.0, /) -> None:
        """Have nothing to do."""


def nobody() -> Switch:
    """Trace nothing: what is measured then is the noise."""
    return Switch(lambda: None, lambda: None)


def _ours(sink: Any, *, redacted: bool, bridges: Any = None) -> Switch:
    import trace_litellm
    from trace_core import Tracer

    tracer = Tracer(sink, redacted=redacted, bridges=bridges)
    on: list[Any] = []
    return Switch(
        lambda: on.append(trace_litellm.instrument(tracer)),
        lambda: on.pop().uninstrument(),
        lambda: tracer.flush(30),
    )


def empty_hooks() -> Switch:
    """Call straight through our hooks: what patching takes before anything is traced."""
    from trace_core.patching import Swap, swap_all
    from trace_litellm._patching.preflight import find_plain, find_targets
    from trace_litellm._patching.targets import PRE_CALL

    def through(original: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return original(*args, **kwargs)

    on: list[Swap] = []

    def patch() -> None:
        functions = [one for found in find_targets().found for one in found.functions]
        pre_call = find_plain(PRE_CALL)
        assert pre_call is not None
        swaps, failed = swap_all(dict.fromkeys([*functions, pre_call], through))
        assert not failed
        on.extend(swaps)

    def restore() -> None:
        while on:
            on.pop().remove()

    return Switch(patch, restore)


def in_memory() -> Switch:
    """Trace with trace_litellm, through the queue and no further."""
    from trace_core import Background

    return _ours(Background(Discard()), redacted=False)


def bridged() -> Switch:
    """The same with the bridge to OpenTelemetry, in a program that does not use it."""
    from trace_core import Background
    from trace_litellm._otel import CallBridge

    return _ours(Background(Discard()), redacted=False, bridges=[CallBridge()])


def bridged_in_use() -> Switch:
    """The same in a program that uses OpenTelemetry: a span of its own is current."""
    entered = program_with_span()
    entered.__enter__()
    _entered.append(entered)  # one that is collected leaves its span
    return bridged()


_entered: list[Any] = []


def program_with_span() -> Any:
    """Be a program that uses OpenTelemetry: return its span, to be entered."""
    from opentelemetry import trace

    trace.set_tracer_provider(_provider())
    return trace.get_tracer("program").start_as_current_span("request")


def durable() -> Switch:
    """Trace with trace_litellm as ``autolog`` does: redaction, spool and delivery."""
    import trace_core

    return _ours(
        trace_core.durable(Discard(), spool_dir=tempfile.mkdtemp(), environ={}), redacted=True
    )


# Peers. Each keeps what it would send in memory or throws it away; MLflow has its own SQLite store.


def _provider() -> Any:
    """Make an OpenTelemetry provider whose exporter throws spans away at once."""
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

    class Nowhere(SpanExporter):
        def export(self, spans: Any) -> SpanExportResult:
            return SpanExportResult.SUCCESS

    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(Nowhere()))
    return provider


def openinference() -> Switch:
    """Trace with OpenInference's instrumentation."""
    from openinference.instrumentation.litellm import LiteLLMInstrumentor

    provider = _provider()
    instrumentor = LiteLLMInstrumentor()
    return Switch(
        lambda: instrumentor.instrument(tracer_provider=provider), instrumentor.uninstrument
    )


def openllmetry() -> Switch:
    """Trace with OpenLLMetry's instrumentation."""
    from opentelemetry.instrumentation.litellm import LiteLLMInstrumentor

    provider = _provider()
    instrumentor = LiteLLMInstrumentor()
    return Switch(
        lambda: instrumentor.instrument(tracer_provider=provider), instrumentor.uninstrument
    )


def ddtrace() -> Switch:
    """Trace with Datadog's library, its LLM spans dropped where they would be sent."""
    os.environ.update(
        DD_INSTRUMENTATION_TELEMETRY_ENABLED="false", DD_REMOTE_CONFIGURATION_ENABLED="false"
    )
    from ddtrace import patch, tracer
    from ddtrace.contrib.internal.litellm.patch import unpatch
    from ddtrace.llmobs import LLMObs

    LLMObs.enable(ml_app="bench", integrations_enabled=False, agentless_enabled=False)
    LLMObs._instance._llmobs_span_writer.enqueue = lambda *_: None  # noqa: SLF001
    tracer._span_aggregator.writer.write = lambda *_, **__: None  # noqa: SLF001

    def on() -> None:
        from ddtrace.contrib.internal.litellm.patch import patch as again

        patch(litellm=True)
        again()

    return Switch(on, unpatch)


_LISTS = (
    "callbacks",
    "input_callback",
    "success_callback",
    "failure_callback",
    "service_callback",
    "_async_input_callback",
    "_async_success_callback",
    "_async_failure_callback",
)


def _callback(start: Callable[[], Any]) -> Switch:
    """Trace with one of LiteLLM's callbacks; to turn it off, put LiteLLM's lists of them back."""
    import litellm

    before = {name: copy.copy(getattr(litellm, name)) for name in _LISTS}

    def off() -> None:
        for name, callbacks in before.items():
            getattr(litellm, name)[:] = callbacks

    return Switch(start, off)


def otel_callback() -> Switch:
    """Trace with LiteLLM's own OpenTelemetry callback."""
    import litellm
    from litellm.integrations.opentelemetry import OpenTelemetry, OpenTelemetryConfig

    logger = OpenTelemetry(config=OpenTelemetryConfig(), tracer_provider=_provider())
    return _callback(lambda: litellm.callbacks.append(logger))


def langfuse() -> Switch:
    """Trace with LiteLLM's Langfuse callback, whose HTTP client is LiteLLM's own mock of one."""
    import litellm

    os.environ.update(
        LANGFUSE_MOCK="true",
        LANGFUSE_PUBLIC_KEY="pk-bench",
        LANGFUSE_SECRET_KEY="sk-bench",
        LANGFUSE_HOST="http://127.0.0.1:9",
    )

    def on() -> None:
        litellm.success_callback.append("langfuse")
        litellm.failure_callback.append("langfuse")

    return _callback(on)


def mlflow() -> Switch:
    """Trace with ``mlflow.litellm.autolog()`` into a SQLite database."""
    import mlflow as library

    library.set_tracking_uri(f"sqlite:///{tempfile.mkdtemp()}/mlflow.db")
    library.set_experiment("bench")
    return Switch(
        library.litellm.autolog,
        lambda: library.litellm.autolog(disable=True),
        library.flush_trace_async_logging,
    )


@dataclass(frozen=True)
class Entry:
    """A tracer that can be measured.

    Attributes:
        make: Makes it ready.
        packages: What pip installs for it beside LiteLLM; empty for our own.
        module: What a program imports to use it.
    """

    make: Callable[[], Switch]
    packages: tuple[str, ...] = ()
    module: str = "trace_litellm"


TRACERS: dict[str, Entry] = {
    "nobody": Entry(nobody, module="litellm"),
    "trace_litellm, empty hooks": Entry(empty_hooks),
    "trace_litellm, in memory": Entry(in_memory),
    "trace_litellm, OpenTelemetry not imported": Entry(bridged),
    "trace_litellm, OpenTelemetry in use": Entry(bridged_in_use),
    "trace_litellm": Entry(durable),
    "OpenInference": Entry(
        openinference,
        ("openinference-instrumentation-litellm==0.1.51", "opentelemetry-sdk"),
        "openinference.instrumentation.litellm",
    ),
    "OpenLLMetry": Entry(
        openllmetry,
        ("opentelemetry-instrumentation-litellm==0.62.4", "opentelemetry-sdk", "wrapt"),
        "opentelemetry.instrumentation.litellm",
    ),
    "LiteLLM's otel callback": Entry(
        otel_callback,
        ("opentelemetry-sdk", "opentelemetry-exporter-otlp"),
        "litellm.integrations.opentelemetry",
    ),
    "ddtrace": Entry(ddtrace, ("ddtrace==4.16.0",), "ddtrace.llmobs"),
    "langfuse callback": Entry(
        langfuse, ("langfuse>=4.7,<5",), "litellm.integrations.langfuse.langfuse"
    ),
    "mlflow.litellm.autolog": Entry(mlflow, ("mlflow==3.17.2",), "mlflow"),
}
