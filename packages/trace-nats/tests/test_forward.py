"""``trace-nats forward``: the command, and forwarding with a real NATS JetStream."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nats
import pytest

from trace_core import MemorySink, Rejected, Retry, Span, decode
from trace_core.testing import sample_spans
from trace_nats._command import main
from trace_nats._forwarder import Forwarder
from trace_nats._sink import NatsSink
from trace_nats._source import NatsSource


def dead_letters(target: str) -> list[Any]:
    """Return the dead letters of a stream."""
    address = NatsSource(target).address

    async def work() -> list[Any]:
        client = await nats.connect(address.url)
        found = await client.jetstream().pull_subscribe(address.dead, "test")
        try:
            return list(await found.fetch(100, timeout=2))
        finally:
            await client.close()

    return asyncio.run(work())


def is_empty(target: str) -> bool:
    """Whether a stream holds no messages, acknowledged ones aside."""
    address = NatsSource(target).address

    async def work() -> bool:
        client = await nats.connect(address.url)
        try:
            return (await client.jetstream().stream_info(address.stream)).state.messages == 0
        finally:
            await client.close()

    return asyncio.run(work())


def test_spans_are_forwarded_and_gone_from_the_stream(target: str) -> None:
    """In batches, each acknowledged when the sink has it."""
    NatsSink(target).write(sample_spans())
    source, memory = NatsSource(target), MemorySink()
    Forwarder(source, memory, batch=2).run(once=True)
    source.close()
    assert {span.span_id for span in memory.spans} == {span.span_id for span in sample_spans()}
    assert is_empty(target)


def test_what_is_put_back_is_handed_out_again_and_the_refused_kept(target: str) -> None:
    """A sink that fails first, and then refuses one span: the broker keeps it with the reason."""
    spans = sample_spans()
    NatsSink(target).write(spans)
    errors: list[Exception] = [Rejected("too\nodd", spans[:1]), ConnectionError("away")]
    taken: list[Span] = []

    def sink(batch: Sequence[Span]) -> None:
        if errors:
            raise errors.pop()
        taken.extend(batch)

    source = NatsSource(target)
    forwarder = Forwarder(source, sink, batch=3, retry=Retry(first=0.01, longest=0.01))
    forwarder.run(once=True)
    source.close()
    assert (forwarder.delivered, forwarder.refused) == (2, 1)
    (dead,) = dead_letters(target)
    assert decode(dead.data) == spans[0]
    assert dead.headers["Trace-Refused"] == "too odd"


def test_a_forwarder_that_vanishes_leaves_its_batch_to_the_next(target: str) -> None:
    """What it took and did not acknowledge is handed out again."""
    NatsSink(target).write(sample_spans())
    gone = NatsSource(target, patience=1.0)
    assert len(gone.fetch(3, 1.0)) == 3
    gone.close()
    source, arrived, spans = NatsSource(target), threading.Event(), set[str]()

    def sink(batch: Sequence[Span]) -> None:
        spans.update(span.span_id for span in batch)
        if len(spans) == 3:
            arrived.set()

    forwarder = Forwarder(source, sink)
    thread = threading.Thread(target=forwarder.run)
    thread.start()
    assert arrived.wait(60)
    forwarder.stop()
    thread.join(60)
    source.close()
    assert is_empty(target)


def test_the_command_forwards(
    target: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From a stream to a sink by name, and prints how many."""
    NatsSink(target).write(sample_spans())
    file = tmp_path / "out.jsonl"
    options = ["forward", f"nats:{target}", "--to", f"jsonl:{file}", "--once", "--json"]
    assert main(options) == 0
    assert json.loads(capsys.readouterr().out) == {"forwarded": 3, "refused": 0}
    assert len(file.read_text().splitlines()) == 3


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["jsonl:x", "--to", "memory"], "wanted a stream, nats:nats://HOST:PORT"),
        (["nats:", "--to", "console,memory"], "--to takes one sink"),
        (["nats:", "--to", "nowhere"], "unknown sink 'nowhere'"),
        (["nats:", "--to", "memory", "--batch", "0"], "--batch and --patience must be positive"),
        (["nats:http://x", "--to", "memory"], "wanted nats://127.0.0.1:4222"),
    ],
)
def test_wrong_usage_is_an_error(
    arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the exit status for it."""
    assert main(["forward", *arguments]) == 2
    assert expected in capsys.readouterr().err
