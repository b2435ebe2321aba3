"""OTLP over gRPC, against a real gRPC server made of OpenTelemetry's own service."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from support.collector import PROTOBUF, Collector, partial
from trace_core import ConfigurationError, Rejected, RetryLater, SinkError, load_sink
from trace_core.otlp import Unauthorized, Unavailable
from trace_core.testing import hostile_span, sample_spans
from trace_otlp_sink import OtlpSink

grpc = pytest.importorskip("grpc")
service = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc")
SECRET = "s3cr3t-value-of-a-header"


class Service(service.TraceServiceServicer):
    """Hands what comes to a strict collector.

    Attributes:
        metadata: That of the last call.
        refuses: The status and details of each call, if it is to fail.
    """

    def __init__(self, collector: Collector) -> None:
        self._collector = collector
        self.metadata: dict[str, Any] = {}
        self.refuses: tuple[Any, str] | None = None
        self.wait = False

    def Export(self, request: Any, context: Any) -> ExportTraceServiceResponse:  # noqa: N802
        self.metadata = dict(context.invocation_metadata())
        if self.wait:
            told = b"type.googleapis.com/google.rpc.RetryInfo"
            context.set_trailing_metadata((("grpc-status-details-bin", told),))
        if self.refuses is not None:
            context.abort(*self.refuses)
        headers = {"Content-Type": PROTOBUF}
        code, _, body = self._collector.take("/v1/traces", headers, request.SerializeToString())
        if code != 200:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(self._collector.faults))
        return ExportTraceServiceResponse.FromString(body)


@pytest.fixture
def receiver(collector: Collector) -> Iterator[tuple[Service, str]]:
    """The service, and its address."""
    made = Service(collector)
    server = grpc.server(ThreadPoolExecutor(2))
    service.add_TraceServiceServicer_to_server(made, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield made, f"http://127.0.0.1:{port}"
    server.stop(None).wait()


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_what_arrives_is_what_http_brings(receiver, compression):
    """Every field, in each protocol."""
    spans = [*sample_spans(), hostile_span()]
    with Collector() as over_http, closing(OtlpSink(over_http.url)) as plain:
        plain.write(spans)
    sink = OtlpSink(receiver[1], protocol="grpc", compression=compression)
    sink.write(spans)
    sink.close()
    assert receiver[0]._collector.spans == over_http.spans
    assert receiver[0].metadata["user-agent"].startswith("trace-otlp-sink")


def test_the_environment_chooses_it(receiver, monkeypatch):
    """OpenTelemetry's variables, as its own exporter reads them; headers are metadata."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", receiver[1].removeprefix("http://"))
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_INSECURE", "true")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", f"X-Key={SECRET},x-more=a%20b")
    sink = load_sink("otlp")
    sink.write(sample_spans())
    assert receiver[0].metadata["x-key"] == SECRET
    assert receiver[0].metadata["x-more"] == "a b"
    assert SECRET not in repr(sink) + sink.spool_key


def test_the_key_of_the_spool_makes_the_same_sink(receiver, monkeypatch):
    """Whatever the environment says meanwhile, for either protocol."""
    over_grpc = OtlpSink(receiver[1], protocol="grpc").spool_key
    over_http = OtlpSink(receiver[1]).spool_key
    load_sink(over_grpc).write(sample_spans())
    assert receiver[0]._collector.spans
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    assert load_sink(over_http).spool_key == over_http


def test_headers_become_metadata(receiver):
    """In lower case, and as bytes where gRPC wants that."""
    given = {"X-Percent": "50%", "x-bin": "Z\u00fcrich"}
    OtlpSink(receiver[1], protocol="grpc", headers=given).write(sample_spans())
    found = receiver[0].metadata
    assert (found["x-percent"], found["x-bin"]) == ("50%", "Z\u00fcrich".encode())


def test_a_header_that_grpc_cannot_send():
    """It is told at once, without its value."""
    with pytest.raises(ConfigurationError, match="the header 'x-name'") as refusal:
        OtlpSink("http://127.0.0.1:9", protocol="grpc", headers={"X-Name": "Z\u00fcrich"})
    assert "rich" not in str(refusal.value)


@pytest.mark.parametrize(
    ("status", "wanted"),
    [
        ("UNAVAILABLE", Unavailable),
        ("DEADLINE_EXCEEDED", Unavailable),
        ("ABORTED", Unavailable),
        ("UNAUTHENTICATED", Unauthorized),
        ("PERMISSION_DENIED", Unauthorized),
        ("INVALID_ARGUMENT", Rejected),
        ("RESOURCE_EXHAUSTED", Rejected),
    ],
)
def test_a_status_means_what_otlp_says(receiver, status, wanted):
    """And the next call goes through, once the server is well again."""
    receiver[0].refuses = (grpc.StatusCode[status], "no")
    sink = OtlpSink(receiver[1], protocol="grpc")
    with pytest.raises(SinkError, match=f"ended with {status}: no") as failure:
        sink.write(sample_spans())
    assert type(failure.value) is wanted
    receiver[0].refuses = None
    sink.write(sample_spans())
    assert receiver[0]._collector.spans


def test_a_server_that_is_busy_is_left_alone(receiver):
    """It says so by a time to wait; without one, a message is too large for it."""
    receiver[0].refuses, receiver[0].wait = (grpc.StatusCode.RESOURCE_EXHAUSTED, "busy"), True
    with pytest.raises(RetryLater, match="busy"):
        OtlpSink(receiver[1], protocol="grpc").write(sample_spans())


def test_a_partial_refusal(receiver):
    """As over HTTP."""
    receiver[0]._collector.on_spans = lambda spans: partial(len(spans), "too old")
    with pytest.raises(Rejected, match="too old"):
        OtlpSink(receiver[1], protocol="grpc").write(sample_spans())


def test_nobody_listens():
    """An outage."""
    with pytest.raises(Unavailable, match="ended with UNAVAILABLE"):
        OtlpSink("http://127.0.0.1:9", protocol="grpc").write(sample_spans())


def test_grpc_has_no_paths():
    """A path is that of the other protocol."""
    with pytest.raises(ConfigurationError, match="gRPC has no paths"):
        OtlpSink("http://127.0.0.1:4317/api", protocol="grpc")


def test_without_grpcio(monkeypatch):
    """The message says both ways out."""
    monkeypatch.setattr("trace_otlp_sink._grpc.find_spec", lambda name: None)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    with pytest.raises(ConfigurationError, match=r"trace-otlp-sink\[grpc\].*4318"):
        load_sink("otlp")


FORKED = """
import json, os, sys
from trace_core import Background, Retry
from trace_core.testing import sample_spans
from trace_otlp_sink import OtlpSink
sink = Background(OtlpSink(sys.argv[1], protocol="grpc"), retry=Retry(0.1, longest=1.0))
sink.write(sample_spans())
assert sink.flush(60)
child = os.fork()
sink.write(sample_spans())
assert sink.flush(60)
if child:
    assert os.waitpid(child, 0)[1] == 0
    sink.close(10)
else:
    os._exit(0)
"""


def test_a_fork(receiver):
    """Parent and child both deliver, over connections of their own."""
    command = [sys.executable, "-c", FORKED, receiver[1]]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert len(receiver[0]._collector.spans) >= 3 * len(sample_spans())
