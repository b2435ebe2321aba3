"""What sinks that send OTLP share; the answers of servers are tested with the sinks."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("opentelemetry.proto")
pytest.importorskip("httpx")

from opentelemetry.proto.trace.v1.trace_pb2 import Span as OtlpSpan

from trace_core import Event, Scope, Span, SpanContext, SpanKind, StatusCode, otlp

TRACE = "c" * 32


def span(number: int, scope: str = "a", **resource: str) -> Span:
    return Span(
        SpanContext(TRACE, f"{number:016x}"),
        None,
        f"span {number}",
        SpanKind.LLM,
        1,
        2,
        scope=Scope(scope, "1.0"),
        resource=resource,
    )


def fill(proto: OtlpSpan, one: Span) -> None:
    view = otlp.SpanView(one.name, {"n": 1, "none": None}, (Event("e", 3),), StatusCode.OK)
    otlp.fill_span(proto, one, view, otlp.write_structured, otlp.write_structured)


def test_spans_are_grouped_by_resource_and_scope() -> None:
    """Each resource and each scope in it is written once."""
    spans = [span(1, host="x"), span(2, "b", host="x"), span(3, host="y"), span(4, host="x")]
    request = otlp.to_request(
        spans, fill, lambda one: one.resource, lambda one: one.scope, otlp.write_structured
    )
    assert [
        [(group.scope.name, [s.name for s in group.spans]) for group in resource.scope_spans]
        for resource in request.resource_spans
    ] == [[("a", ["span 1", "span 4"]), ("b", ["span 2"])], [("a", ["span 3"])]]
    assert [s.name for s in otlp.spans_of(request)] == ["span 1", "span 4", "span 2", "span 3"]


def test_what_has_no_value_is_left_out() -> None:
    """OTLP has no null."""
    proto = OtlpSpan()
    fill(proto, span(1))
    assert [pair.key for pair in proto.attributes] == ["n"]
    assert proto.trace_id.hex() == TRACE
    assert [event.time_unix_nano for event in proto.events] == [3]


def run(code: str) -> str:
    program = [sys.executable, "-c", code]
    return subprocess.run(program, check=True, capture_output=True, text=True).stdout.strip()


def test_importing_the_core_imports_nothing_of_it() -> None:
    """Only who asks for `trace_core.otlp` pays for protobuf; httpx waits for a request."""
    code = (
        "import sys, trace_core; print('google.protobuf' in sys.modules);"
        "import trace_core.otlp; print('google.protobuf' in sys.modules, 'httpx' in sys.modules)"
    )
    assert run(code).split() == ["False", "True", "False"]


@pytest.mark.parametrize("missing", ["opentelemetry.proto", "httpx"])
def test_what_is_missing_is_named(missing: str) -> None:
    """Without the extra, the message says what to install."""
    code = f"""
import importlib.abc, sys
class Nowhere(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "opentelemetry.proto.trace" and {missing!r} == "opentelemetry.proto":
            raise ModuleNotFoundError("No module named 'opentelemetry.proto'")
sys.meta_path.insert(0, Nowhere())
if {missing!r} == "httpx":
    import importlib.util as util
    real = util.find_spec
    util.find_spec = lambda name, *more: None if name == "httpx" else real(name, *more)
try:
    import trace_core.otlp
except ImportError as error:
    print(error)
"""
    message = run(code)
    assert missing.replace(".", "-") in message
    assert message.endswith("pip install 'trace-core[otlp]'")
