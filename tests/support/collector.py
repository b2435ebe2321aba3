"""An OpenTelemetry collector on loopback that checks what it is sent, and answers as told.

Run: collector.py [PORT], for one in a process of its own. It prints its address; a GET returns how
many spans it has, how many different ones, and what it objected to, as JSON.
"""

from __future__ import annotations

import gzip
import json
import ssl
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as OtlpSpan

PROTOBUF = "application/x-protobuf"
Answer = tuple[int, Mapping[str, str], bytes]
"""Status, headers, body."""


@dataclass(frozen=True)
class Stored:
    """A span as a backend reads it."""

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    kind: int
    start_ns: int
    end_ns: int
    status: int
    message: str
    attributes: Mapping[str, Any]
    events: Sequence[tuple[str, int, Mapping[str, Any]]]
    resource: Mapping[str, Any]
    scope: str

    def json(self, name: str) -> Any:
        """Read an attribute that is JSON text; ``None`` if there is none."""
        text = self.attributes.get(name)
        return None if text is None else json.loads(text)


def good() -> Answer:
    """The answer of a collector that has stored everything."""
    return 200, {"Content-Type": PROTOBUF}, ExportTraceServiceResponse().SerializeToString()


def partial(rejected: int, message: str = "") -> Answer:
    """The answer of a collector that has refused some spans."""
    answer = ExportTraceServiceResponse()
    answer.partial_success.rejected_spans = rejected
    answer.partial_success.error_message = message
    return 200, {"Content-Type": PROTOBUF}, answer.SerializeToString()


def status(code: int, kind: str = PROTOBUF, body: bytes = b"", **headers: str) -> Answer:
    """An answer with another status."""
    more = {name.replace("_", "-"): value for name, value in headers.items()}
    return code, {"Content-Type": kind, **more}, body


@dataclass
class Request:
    """A request as it came."""

    path: str
    headers: Mapping[str, str]
    size: int
    names: list[str] = field(default_factory=list)


class Collector:
    """Takes spans by OTLP over HTTP.

    Attributes:
        spans: What it has stored, in order of arrival, repeated ones as well.
        requests: All requests.
        faults: Everything that a strict receiver objects to. Such a request gets status 400.
        on_spans: Answers a request without faults, which is stored if the status is 200.
    """

    def __init__(self, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        self.spans: list[Stored] = []
        self.requests: list[Request] = []
        self.faults: list[str] = []
        self.on_spans: Callable[[list[Stored]], Answer] = lambda spans: good()
        self.came = threading.Condition()
        self._port = port
        self._tls = tls
        self._http: ThreadingHTTPServer | None = None
        self.start()

    def start(self) -> None:
        """Listen, after a `stop` on the same port."""
        collector = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def log_message(self, *args: object) -> None:
                """Say nothing."""

            def do_POST(self) -> None:  # the name the base class looks for
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                headers = {name.title(): value for name, value in self.headers.items()}
                self._answer(*collector.take(self.path, headers, body))

            def do_GET(self) -> None:
                self._answer(200, {"Content-Type": "application/json"}, collector.report())

            def _answer(self, code: int, headers: Mapping[str, str], content: bytes) -> None:
                self.send_response(code)
                for key, value in {**headers, "Content-Length": str(len(content))}.items():
                    self.send_header(key, value)
                self.end_headers()
                self.wfile.write(content)

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True

        self._http = Server(("127.0.0.1", self._port), Handler)
        self._port = self._http.server_port
        if self._tls is not None:
            self._http.socket = self._tls.wrap_socket(self._http.socket, server_side=True)
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        """Be away."""
        if self._http is not None:
            self._http.shutdown()
            self._http.server_close()
            self._http = None

    def __enter__(self) -> Collector:
        return self

    def __exit__(self, *args: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def wait(self, reached: Callable[[], object], seconds: float = 60.0) -> bool:
        """Wait until something is so, looking after each request."""
        with self.came:
            return bool(self.came.wait_for(reached, seconds))

    def report(self) -> bytes:
        """Say how many spans there are, how many different ones, and what was wrong."""
        with self.came:
            ids = {(span.trace_id, span.span_id) for span in self.spans}
            found = {"spans": len(self.spans), "different": len(ids), "faults": self.faults[:10]}
        return json.dumps(found).encode()

    def take(self, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        request = Request(path, headers, len(body))
        faults: list[str] = []
        try:
            spans = list(_read(path, headers, body, faults))
        except Exception as error:
            spans = []
            faults.append(f"{type(error).__name__}: {error}")
        request.names = [span.name for span in spans]
        answer = status(400, body=b"\x08\x03") if faults else self.on_spans(spans)
        with self.came:
            self.requests.append(request)
            self.faults += faults
            if answer[0] == 200 and answer[1].get("Content-Type") == PROTOBUF:
                self.spans += spans
            self.came.notify_all()
        return answer


def _read(
    path: str, headers: Mapping[str, str], body: bytes, faults: list[str]
) -> Iterator[Stored]:
    """Decode a request and check it."""
    if path != "/v1/traces":
        faults.append(f"path {path}")
    if headers.get("Content-Type") != PROTOBUF:
        faults.append(f"content type {headers.get('Content-Type')}")
    encoding = headers.get("Content-Encoding")
    if encoding not in (None, "gzip"):
        faults.append(f"content encoding {encoding}")
    request = ExportTraceServiceRequest.FromString(gzip.decompress(body) if encoding else body)
    if request.SerializeToString() and not request.resource_spans:
        faults.append("no resource")
    for group in request.resource_spans:
        resource = _attributes(group.resource.attributes, "resource", faults)
        if not resource.get("service.name"):
            faults.append("no service.name")
        for scope in group.scope_spans:
            for span in scope.spans:
                _check(span, faults)
                yield _stored(span, resource, scope.scope.name, faults)


def _check(span: OtlpSpan, faults: list[str]) -> None:
    if len(span.trace_id) != 16 or not any(span.trace_id):
        faults.append(f"trace id {span.trace_id.hex()}")
    if len(span.span_id) != 8 or not any(span.span_id):
        faults.append(f"span id {span.span_id.hex()}")
    if len(span.parent_span_id) not in (0, 8):
        faults.append(f"parent id {span.parent_span_id.hex()}")
    if not span.name:
        faults.append("no name")
    if span.end_time_unix_nano < span.start_time_unix_nano or not span.start_time_unix_nano:
        faults.append(f"times {span.start_time_unix_nano} to {span.end_time_unix_nano}")
    if span.kind not in (OtlpSpan.SPAN_KIND_CLIENT, OtlpSpan.SPAN_KIND_INTERNAL):
        faults.append(f"kind {span.kind}")


def _stored(span: OtlpSpan, resource: Mapping[str, Any], scope: str, faults: list[str]) -> Stored:
    return Stored(
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        span.name,
        span.kind,
        span.start_time_unix_nano,
        span.end_time_unix_nano,
        span.status.code,
        span.status.message,
        _attributes(span.attributes, span.name, faults),
        [
            (e.name, e.time_unix_nano, _attributes(e.attributes, e.name, faults))
            for e in span.events
        ],
        resource,
        scope,
    )


def _attributes(pairs: Any, where: str, faults: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for pair in pairs:
        if not pair.key and where != "":
            faults.append(f"{where}: an attribute without a name")
        if pair.key in found:
            faults.append(f"{where}: {pair.key} twice")
        found[pair.key] = _plain(pair.value, f"{where}: {pair.key}", faults)
    return found


def _plain(value: AnyValue, where: str, faults: list[str]) -> Any:
    """Read a value; one that backends do not take is a fault: nested, mixed, or none at all."""
    kind = value.WhichOneof("value")
    if kind == "array_value":
        kinds = {item.WhichOneof("value") for item in value.array_value.values}
        if len(kinds) > 1 or kinds & {"array_value", "kvlist_value", None}:
            faults.append(f"{where} is an array of {kinds}")
        return [_plain(item, where, faults) for item in value.array_value.values]
    if kind is None or kind in ("kvlist_value", "bytes_value"):
        faults.append(f"{where} is {kind}")
        return None
    return getattr(value, kind)


def main() -> None:
    """Serve until killed, and say on which address."""
    collector = Collector(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
    print(collector.url, flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
