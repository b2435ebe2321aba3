"""A collector that others wrote: what comes out of it is what went in.

Run by ``nox -s collector``, which installs rotel, a collector whose program is in a wheel.
"""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path

import attrs
import pytest

from support.collector import Collector, Stored
from trace_core import Background
from trace_core.testing import hostile_span, sample_spans
from trace_otlp_sink import DIALECTS, OtlpSink

FOUND = find_spec("rotel")
pytestmark = pytest.mark.skipif(FOUND is None, reason="needs rotel: run `nox -s collector`")
SPANS = (*sample_spans(), hostile_span())


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@attrs.frozen
class Rotel:
    """The addresses of the collector, and the one behind it, to which it sends all it gets."""

    http: str
    grpc: str
    behind: Collector


@pytest.fixture(scope="module")
def rotel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rotel]:
    folder = tmp_path_factory.mktemp("rotel")
    assert FOUND is not None
    assert FOUND.origin is not None
    program = Path(FOUND.origin).with_name("rotel-agent")
    program.chmod(0o755)
    http, grpc = free_port(), free_port()
    with Collector() as behind, (folder / "log").open("w") as log:
        options = {
            "otlp-http-endpoint": f"127.0.0.1:{http}",
            "otlp-grpc-endpoint": f"127.0.0.1:{grpc}",
            "pid-file": folder / "pid",
            "log-file": folder / "log",
            "batch-timeout": "20ms",
            "exporter": "otlp",
            "otlp-exporter-protocol": "http",
            "otlp-exporter-endpoint": behind.url,
        }
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        env = {k: v for k, v in os.environ.items() if not k.startswith("ROTEL_")}
        with subprocess.Popen(
            [program, "start", *words], env=env, stdout=log, stderr=log
        ) as running:
            try:
                yield Rotel(f"http://127.0.0.1:{http}", f"http://127.0.0.1:{grpc}", behind)
            finally:
                running.terminate()


def passed_through(rotel: Rotel, **options: str) -> list[Stored]:
    """Send the spans; return what came out. The first tries wait until it listens."""
    before = len(rotel.behind.spans)
    address = rotel.grpc if options["protocol"] == "grpc" else rotel.http
    sink = Background(OtlpSink(address, **options))
    sink.write(SPANS)
    assert sink.flush(60)
    sink.close(10)
    assert rotel.behind.wait(lambda: len(rotel.behind.spans) >= before + len(SPANS))
    return rotel.behind.spans[before:]


@pytest.mark.parametrize("compression", ["none", "gzip"])
@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_what_comes_out_is_what_went_in(
    rotel: Rotel, dialect: str, compression: str, protocol: str
) -> None:
    """Every field of every span, those of a hostile one too."""
    with Collector() as straight, closing(OtlpSink(straight.url, dialect=dialect)) as sink:
        sink.write(SPANS)
        wanted = {span.span_id: span for span in straight.spans}
    found = passed_through(rotel, dialect=dialect, compression=compression, protocol=protocol)
    assert {span.span_id: span for span in found} == wanted
    assert rotel.behind.faults == []
