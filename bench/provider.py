"""A provider on loopback that answers many calls at once, and takes what traces are sent to it.

It speaks as much of OpenAI's chat API as LiteLLM needs, in one event loop and a process of its
own, and reads of a request no more than how long it is: what it costs does not depend on whether
the caller is traced. Started by `running`; prints the port that it listens on.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

ANSWER = "It is this. " * 40
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s"
STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
USED = {"prompt_tokens": 20, "completion_tokens": 10, "total_tokens": 30}


def _envelope(kind: str, choice: dict[str, Any], **more: Any) -> dict[str, Any]:
    fields = {"id": "chatcmpl-1", "object": kind, "created": 1_700_000_000, "model": "gpt-4o-mini"}
    return {**fields, "choices": [{"index": 0, **choice}], **more}


def _whole() -> bytes:
    choice = {"message": {"role": "assistant", "content": ANSWER}, "finish_reason": "stop"}
    body = json.dumps(_envelope("chat.completion", choice, usage=USED)).encode()
    return HEAD % (len(body), body)


def _event(data: bytes) -> bytes:
    event = b"data: %s\n\n" % data
    return b"%x\r\n%s\r\n" % (len(event), event)


def _streamed(chunks: int) -> list[bytes]:
    """Make an answer in so many chunks, no two alike: LiteLLM ends one that repeats itself."""

    def chunk(delta: dict[str, str], end: str | None = None) -> bytes:
        choice = {"delta": delta, "finish_reason": end}
        return _event(json.dumps(_envelope("chat.completion.chunk", choice)).encode())

    texts = [{"role": "assistant", "content": f"{i:03d} "} for i in range(chunks)]
    return [*map(chunk, texts), chunk({}, "stop"), _event(b"[DONE]"), b"0\r\n\r\n"]


async def _read(reader: asyncio.StreamReader) -> bytes:
    """Read one request; return its body."""
    head = await reader.readuntil(b"\r\n\r\n")
    lines = (line.partition(b":") for line in head.lower().splitlines()[1:])
    headers = {name: value.strip() for name, _, value in lines}
    return await reader.readexactly(int(headers.get(b"content-length", 0)))


async def _serve(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    delays: tuple[float, float],
    answers: tuple[bytes, list[bytes]],
) -> None:
    whole, streamed = answers
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            body = await _read(reader)
            if delays[1]:
                await asyncio.sleep(random.uniform(*delays))
            if b'"stream":true' in body or b'"stream": true' in body:
                writer.write(STREAM)
                for chunk in streamed:
                    writer.write(chunk)
                    await asyncio.sleep(0)  # a packet of its own
            else:
                writer.write(whole)
            await writer.drain()
    writer.close()


async def serve(delays: tuple[float, float], chunks: int) -> None:
    """Listen until standard input is closed."""
    answers = (_whole(), _streamed(chunks))

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _serve(reader, writer, delays, answers)

    server = await asyncio.start_server(connected, "127.0.0.1", 0, limit=2**22, backlog=512)
    print(server.sockets[0].getsockname()[1], flush=True)
    ended = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    async with server:
        await ended  # whoever started us is gone, however it ended


@contextlib.contextmanager
def running(delays: tuple[float, float] = (0.0, 0.0), chunks: int = 100) -> Iterator[str]:
    """Run it in a process of its own.

    Args:
        delays: It answers after a time between these, in seconds.
        chunks: Of a streamed answer.

    Yields:
        Its URL.
    """
    options = ("--least", str(delays[0]), "--most", str(delays[1]), "--chunks", str(chunks))
    process = subprocess.Popen(
        (sys.executable, __file__, *options),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.terminate()
        process.wait()


def main() -> None:
    """Serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--least", type=float, default=0.0)
    parser.add_argument("--most", type=float, default=0.0)
    parser.add_argument("--chunks", type=int, default=100)
    options = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve((options.least, options.most), options.chunks))


if __name__ == "__main__":
    main()
