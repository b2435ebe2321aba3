"""Applies the functions of ``mlflow.tracing.configure(span_processors=...)`` to our spans.

Those in force when a call is made are noted on its span by name, and applied before the span is
written. A process that does not have them, such as one that delivers what another left on disk,
writes the span without content, because it cannot know what they would have masked.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Final, TypeAlias

import attrs

from trace_core import Span, Value, drop_content, failure, log_once, semconv, snapshot
from trace_mlflow_sink._mapping import convert, names, sanitize, trace_info

Processor: TypeAlias = Callable[[Any], object]

_CONFIG: Final = "mlflow.tracing.config"
_known: Final[dict[tuple[int, ...], tuple[str, tuple[Processor, ...]]]] = {}
"""By the ids of the functions, which are kept so that no id is used again."""


def name_in_force() -> str | None:
    """Return a name for the functions in force now; runs on the caller's thread."""
    module = sys.modules.get(_CONFIG)
    processors = module.get_config().span_processors if module is not None else None
    if not processors:
        return None
    key = tuple(map(id, processors))
    found = _known.get(key)
    if found is None:
        name = f"{os.getpid()}:{len(_known)}"
        found = _known.setdefault(key, (name, tuple(processors)))
    return found[0]


def apply(span: Span) -> Span:
    """Return a span as the functions noted on it leave it.

    Args:
        span: A finished span.
    """
    name = span.attributes.get(names.SPAN_PROCESSORS)
    if name is None:
        return span
    span = _with_derived(span)
    processors = next((functions for known, functions in _known.values() if known == name), None)
    if processors is None:
        return drop_content()(span)
    try:
        return _processed(span, processors)
    except failure() as error:
        log_once(
            f"mlflow:span_processors:{type(error).__name__}",
            "tracing: a function of mlflow.tracing.configure(span_processors=...) failed, so the "
            "content of the span is left out: %s: %s",
            *(type(error).__name__, error),
            error=error,
        )
        return drop_content()(span)


def _with_derived(span: Span) -> Span:
    """Note on a span what is read from its content, so that it stays what it is without that."""
    derived: dict[str, Value] = {names.TYPE: convert.span_type(span)}
    model = convert.model_of(span) if convert.is_model_call(span) else None
    if model is not None:
        derived[semconv.REQUEST_MODEL] = model
    return attrs.evolve(span, attributes={**span.attributes, **derived})


def _processed(span: Span, processors: Sequence[Processor]) -> Span:
    live = _live_span(span)
    before = {"inputs": _plain(span.inputs), "outputs": _plain(span.outputs)}
    live.set_inputs(before["inputs"])
    live.set_outputs(before["outputs"])
    public = {k: v for k, v in span.attributes.items() if not k.startswith(names.PRIVATE_PREFIX)}
    live.set_attributes({key: _plain(value) for key, value in public.items()})
    own = dict(live.attributes)
    for process in processors:
        process(live)
    after = {key: v for key, v in live.attributes.items() if own.get(key) != v}
    for key in (names.SPAN_INPUTS, names.SPAN_OUTPUTS):
        after.pop(key, None)
    if names.SPAN_TYPE in after:
        after[names.TYPE] = after.pop(names.SPAN_TYPE)
    changes: dict[str, Any] = {
        field: snapshot(getattr(live, field))
        for field, value in before.items()
        if getattr(live, field) != value
    }
    attributes: dict[str, Value] = {**span.attributes, **{k: snapshot(v) for k, v in after.items()}}
    return attrs.evolve(span, attributes=attributes, **changes)


def _plain(value: Value) -> Any:
    """Return a value as JSON has it, as MLflow's own spans hold theirs."""
    return json.loads(sanitize.json_text(value))


def _live_span(span: Span) -> Any:
    """Return an object of the class that the functions expect."""
    from mlflow.entities.span import LiveSpan

    started = _tracer().start_span(span.name, start_time=span.start_ns)
    make: Any = LiveSpan
    return make(started, trace_info.mlflow_id(span.trace_id), convert.span_type(span))


@lru_cache(maxsize=1)
def _tracer() -> Any:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider

    provider = TracerProvider(resource=Resource.get_empty(), shutdown_on_exit=False)
    return provider.get_tracer("trace_mlflow_sink")
