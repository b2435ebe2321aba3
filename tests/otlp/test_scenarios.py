"""Every way LiteLLM is called, seen by a strict collector: nothing that MLflow gets is missing."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

pytest.importorskip("trace_mlflow_sink")
pytest.importorskip("trace_otlp_sink")

import trace_litellm
from support.collector import Collector
from support.provider import Provider
from support.scenarios import CASES, KEY, Case, World
from trace_core import MemorySink, Span, Tracer, tee
from trace_mlflow_sink._mapping import convert, names
from trace_otlp_sink import DIALECTS, OtlpSink

pytestmark = pytest.mark.slow
RUNNABLE = [case for case in CASES if case.runnable]
RENAMED = {"type", "role", "finish_reason", "finishReason", "stop_reason", "index", "status"}
"""Fields whose words are those of OpenTelemetry, or that an order of messages says."""
TRACE_NAME = f"{names.TAG_PREFIX}{names.TAG_TRACE_NAME}"
OWN = {names.SPAN_TYPE, names.MESSAGE_FORMAT, names.LLM_COST, names.CHAT_TOKEN_USAGE, TRACE_NAME}
"""Fields of MLflow's with values that it makes itself; cost and tokens are compared apart."""


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with Collector() as running:
        yield running


@pytest.fixture(scope="module")
def sinks(collector: Collector) -> Iterator[dict[str, OtlpSink]]:
    """A sink for each dialect."""
    made = {name: OtlpSink(collector.url, dialect=name, timeout=60) for name in DIALECTS}
    yield made
    for sink in made.values():
        sink.close()


@pytest.fixture(scope="module")
def traced() -> Iterator[tuple[Tracer, MemorySink]]:
    """LiteLLM, patched once for all scenarios: that takes longer than most of them."""
    memory = MemorySink()
    tracer = Tracer(tee(memory))
    with trace_litellm.instrument(tracer):
        yield tracer, memory


@pytest.fixture(autouse=True)
def nothing_left_patched() -> None:
    """Leave patched what `traced` ends."""


@pytest.mark.parametrize("case", RUNNABLE, ids=lambda case: case.name)
def test_a_collector_gets_all_that_mlflow_gets(
    case: Case,
    litellm: Any,
    provider: Provider,
    collector: Collector,
    sinks: dict[str, OtlpSink],
    traced: tuple[Tracer, MemorySink],
) -> None:
    """Inputs, outputs, attributes, usage and cost of each span, in each dialect."""
    lane, fallback = provider.lane(f"o-{case.name}"), provider.lane(f"o-{case.name}-2")
    lane.script(case.script)
    tracer, memory = traced
    memory.clear()
    world = World(litellm, lane, fallback, tracer)
    world.early_completion = litellm.completion  # type: ignore[attr-defined]
    if case.name == "router_built_before":
        world.early_router = world.router()  # type: ignore[attr-defined]
    case.run(world)
    gc.collect()
    gc.freeze()  # the next scenario looks at its own objects alone
    tracer.flush(30)
    assert memory.spans
    for dialect, sink in sinks.items():
        before = len(collector.spans)
        sink.write(memory.spans)
        got = {stored.span_id: stored for stored in collector.spans[before:]}
        for span in memory.spans:
            stored = got[span.span_id]
            assert stored.parent_id == (span.parent_id or "")
            assert [event[0] for event in stored.events] == [event.name for event in span.events]
            assert missing(span, {**stored.resource, **stored.attributes}) == [], dialect
            assert KEY not in json.dumps(stored.attributes)
    assert collector.faults == []


def missing(span: Span, attributes: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """What MLflow is given of a span and a collector is not."""
    wanted = {k: v for k, v in convert.mlflow_attributes(span).items() if k not in OWN}
    wanted[names.SPAN_INPUTS], wanted[names.SPAN_OUTPUTS] = span.inputs, span.outputs
    have = {str(value) for _, value in leaves(attributes)}
    counts = [*(convert.token_usage(span) or {}).values()]
    amounts = [] if span.cost is None else [span.cost.input, span.cost.output, span.cost.total]
    told = [*leaves(wanted), *(("usage or cost", v) for v in (*counts, *amounts) if v is not None)]
    return [(key, v) for key, v in told if str(v) not in have and key not in RENAMED and v != ""]


def leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """All values in a value that are no containers, also those in JSON text, with their keys."""
    if isinstance(value, str):
        try:
            inner = json.loads(value)
        except ValueError:
            inner = value
        if isinstance(inner, (dict, list)):
            yield from leaves(inner, key)
        else:
            yield key, value
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from leaves(item, name)
    elif isinstance(value, Sequence):
        for item in value:
            yield from leaves(item, key)
    elif value is not None:
        yield key, value
