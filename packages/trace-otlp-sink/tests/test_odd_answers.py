"""Answers that no receiver should give: without end, by drops, nonsense."""

from __future__ import annotations

import contextlib
import gzip
import socket
import sys
import threading
from collections.abc import Iterator

import pytest

from trace_core import Rejected, RetryLater, SinkError
from trace_core.testing import sample_spans
from trace_otlp_sink import OtlpSink

MIB = 1024 * 1024
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: "


class Server:
    """Answers each request with some bytes, one of them after the other, until the client goes."""

    def __init__(self) -> None:
        self.answer: Iterator[bytes] = iter(())
        self.sent = 0
        self.reads = True
        self.connection: socket.socket | None = None
        self.gone = threading.Event()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):  # the client goes, or there was none
            connection, _ = self._socket.accept()
            with connection:
                self.connection = connection
                if self.reads:
                    _read_request(connection)
                for piece in self.answer:
                    connection.sendall(piece)
                    self.sent += len(piece)
        self.gone.set()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes a thread that waits for a client
        self._socket.close()


def _read_request(connection: socket.socket) -> None:
    with connection.makefile("rb") as lines:
        head = iter(lines.readline, b"\r\n")
        lengths = [line.split()[1] for line in head if line.lower().startswith(b"content-length")]
        lines.read(int(lengths[0]))


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


def failure_of(server: Server, answer: Iterator[bytes], timeout: float = 30) -> SinkError:
    """Return how a write fails that the server answers so."""
    server.answer = answer
    sink = OtlpSink(server.url, timeout=timeout, compression="none")
    with pytest.raises(SinkError) as failure:
        sink.write(sample_spans()[:1])
    sink.close()
    assert not isinstance(failure.value, Rejected)
    return failure.value


def without_end(head: bytes, piece: bytes) -> Iterator[bytes]:
    yield head + b"\r\n\r\n"
    while True:
        yield piece


@pytest.mark.parametrize(
    "head",
    [
        HEAD + b"text/event-stream",
        HEAD + b"application/x-protobuf",
        HEAD + b"application/json\r\nContent-Length: 99999999999",
        b"HTTP/1.1 500 Oh",
        b"HTTP/1.1 401 No",
        b"HTTP/1.1 429 Busy",
    ],
)
def test_an_answer_without_end_is_read_in_part(server, head):
    """An event stream under the address, say: it costs no memory, and is no delivery."""
    failure_of(server, without_end(head, b"{" * 65536))
    assert server.gone.wait(30)
    assert server.sent < 32 * MIB  # what the two systems keep for a connection is among it


def test_a_compressed_answer_may_be_long(server):
    """What counts is its length once it is read."""
    bomb = gzip.compress(b"{" * 64 * MIB, 1)
    head = HEAD + b"application/json\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n"
    error = failure_of(server, iter([head % len(bomb) + bomb]))
    assert isinstance(error, RetryLater)


def test_an_answer_by_drops_is_not_waited_for(server):
    """A byte now and then keeps each wait for the next one short, and the delivery for ever."""
    pause = threading.Event()

    def drops() -> Iterator[bytes]:
        yield HEAD + b"application/x-protobuf\r\nContent-Length: 100000\r\n\r\n"
        while not pause.wait(0.02):
            yield b"\n"

    assert "too long" in str(failure_of(server, drops(), timeout=0.5))
    pause.set()


INTERIM = b"HTTP/1.1 103 Early Hints\r\n\r\n"
TLS_HANDSHAKE = b"\x16\x03\x03\x40\x00"


@pytest.mark.parametrize(
    ("first", "drop"),
    [
        (b"", b"H"),
        (b"HTTP/1.1 ", b"2"),
        (b"HTTP/1.1 200 OK\r\nX-Header: ", b"x"),
        (INTERIM, INTERIM),
        (b"HTTP/1.1 102 Processing\r\n\r\n", b"HTTP/1.1 102 Processing\r\nX: x\r\n\r\n"),
        (HEAD + b"application/x-protobuf\r\n\r\n", b"\n"),
        (HEAD + b"application/x-protobuf\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"x"),
        (HEAD + b"text/html\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: ", b"x"),
    ],
)
def test_no_part_of_an_answer_is_waited_for_by_drops(server, first, drop):
    """Neither a head, nor interim answers, nor the frame of a body: the request has an end."""
    over = threading.Event()

    def drops() -> Iterator[bytes]:
        yield first
        while not over.wait(0.02):
            yield drop

    assert "too long" in str(failure_of(server, drops(), timeout=0.5))
    over.set()
    assert server.gone.wait(30)


def test_a_handshake_by_drops_is_not_waited_for(server):
    """Encryption begins with an exchange of its own."""
    over = threading.Event()

    def drops() -> Iterator[bytes]:
        yield TLS_HANDSHAKE
        while not over.wait(0.02):
            yield b"\x02"

    server.reads = False
    server.url = server.url.replace("http:", "https:")
    assert "too long" in str(failure_of(server, drops(), timeout=0.5))
    over.set()


def test_a_connection_that_is_kept_has_a_deadline_too(server):
    """The first answer is good; the second one comes by drops."""
    good = HEAD + b"application/x-protobuf\r\nContent-Length: 0\r\n\r\n"
    over = threading.Event()

    def answers() -> Iterator[bytes]:
        yield good
        assert server.connection is not None
        _read_request(server.connection)
        while not over.wait(0.02):
            yield b"H"

    server.answer = answers()
    sink = OtlpSink(server.url, timeout=0.5, compression="none")
    sink.write(sample_spans()[:1])
    with pytest.raises(SinkError, match="too long"):
        sink.write(sample_spans()[:1])
    over.set()
    sink.close()


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":' * 100_000,
        b'{"partialSuccess": {"rejectedSpans": "-1"}}',
        b'{"partialSuccess": 1e999}',
    ],
)
def test_nonsense_refuses_no_span(server, body):
    """JSON that is nested too deeply, or counts less than nothing, says nothing of a span."""
    head = HEAD + b"application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
    assert isinstance(failure_of(server, iter([head + body])), RetryLater)


@pytest.mark.parametrize("date", ["Mon, 01 Jan 99999999999999999999 00:00:00 GMT", "1e999", "nan"])
def test_a_wait_without_sense_is_none(server, date):
    """A date that no calendar has leaves the wait to us."""
    answer = f"HTTP/1.1 429 Busy\r\nRetry-After: {date}\r\nContent-Length: 0\r\n\r\n"
    error = failure_of(server, iter([answer.encode()]))
    assert isinstance(error, RetryLater)
    assert error.after is None


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:9", "gopher://127.0.0.1:9"])
def test_a_proxy_that_cannot_be_used_is_an_outage(server, proxy, monkeypatch):
    """One that the environment names, and httpx knows not or wants another package for."""
    monkeypatch.setitem(sys.modules, "socksio", None)
    monkeypatch.setenv("ALL_PROXY", proxy)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    assert "proxy" in str(failure_of(server, iter(()))).lower()
