"""Certificates, over HTTP and gRPC: a server that wants ours, and files that are wrong."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from support.collector import Collector
from trace_core.otlp import Unavailable
from trace_core.testing import sample_spans
from trace_otlp_sink import OtlpSink

trustme = pytest.importorskip("trustme")
grpc = pytest.importorskip("grpc")
METHOD = "opentelemetry.proto.collector.trace.v1.TraceService"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with certificates and keys by name, and some that are none."""
    folder = tmp_path_factory.mktemp("certificates")
    authority, other = trustme.CA(), trustme.CA()
    server, client = authority.issue_cert("localhost"), authority.issue_cert("client")
    key, certificate = client.private_key_pem.bytes(), client.cert_chain_pems[0].bytes()
    held = {
        "authority": authority.cert_pem.bytes(),
        "other": other.cert_pem.bytes(),
        "server": server.private_key_pem.bytes() + server.cert_chain_pems[0].bytes(),
        "key": key,
        "certificate": certificate,
        "both": key + certificate,
        "other-key": other.issue_cert("client").private_key_pem.bytes(),
        "nonsense": b"nonsense",
    }
    for name, content in held.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture(scope="module")
def over_http(files: Path) -> Iterator[str]:
    """The address of a collector that wants our certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files / "server")
    context.load_verify_locations(files / "authority")
    context.verify_mode = ssl.CERT_REQUIRED
    with Collector(tls=context) as running:
        yield f"https://localhost:{running.url.rpartition(':')[2]}"


@pytest.fixture(scope="module")
def over_grpc(files: Path) -> Iterator[str]:
    """Another, for the other protocol."""
    pair = ((files / "server").read_bytes(), (files / "server").read_bytes())
    authority = (files / "authority").read_bytes()
    server = grpc.server(ThreadPoolExecutor(2))
    stored = grpc.unary_unary_rpc_method_handler(
        lambda request, context: ExportTraceServiceResponse().SerializeToString()
    )
    handler = grpc.method_handlers_generic_handler(METHOD, {"Export": stored})
    server.add_generic_rpc_handlers((handler,))
    wanted = grpc.ssl_server_credentials([pair], authority, require_client_auth=True)
    port = server.add_secure_port("localhost:0", wanted)
    server.start()
    yield f"https://localhost:{port}"
    server.stop(None).wait()


@pytest.fixture(params=["http/protobuf", "grpc"])
def send(
    request: pytest.FixtureRequest, files: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., None]:
    """Send spans with the files of these names in OpenTelemetry's variables."""
    over = {"http/protobuf": "over_http", "grpc": "over_grpc"}[request.param]
    address = request.getfixturevalue(over)

    def run(**named: str) -> None:
        for variable, name in named.items():
            monkeypatch.setenv(f"OTEL_EXPORTER_OTLP_{variable.upper()}", str(files / name))
        sink = OtlpSink(address, protocol=request.param)
        try:
            sink.write(sample_spans())
        finally:
            sink.close()

    return run


def test_a_server_that_wants_our_certificate(send):
    """With the key in a file of its own, or in that of the certificate."""
    send(certificate="authority", client_certificate="certificate", client_key="key")


def test_a_certificate_with_its_key(send):
    """One file for both."""
    send(certificate="authority", client_certificate="both")


@pytest.mark.parametrize(
    "named",
    [
        {"certificate": "other"},
        {"certificate": "nonsense"},
        {"certificate": "authority", "client_certificate": "certificate"},
        {"certificate": "authority", "client_certificate": "nonsense", "client_key": "key"},
        {"certificate": "authority", "client_certificate": "certificate", "client_key": "other-key"},
        {"certificate": "authority", "client_certificate": "certificate", "client_key": "missing"},
    ],
)  # fmt: skip
def test_wrong_files_are_an_outage(send, named):
    """They may be mended, and end no program: gRPC would, for a certificate without its key."""
    with pytest.raises(Unavailable, match="OTEL_EXPORTER_OTLP_CERTIFICATE"):
        send(**named)


def test_no_certificate_is_an_outage(send):
    """Of the server's making."""
    with pytest.raises(Unavailable):
        send(certificate="authority")
