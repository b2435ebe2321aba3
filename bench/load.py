"""Puts load on a server of OpenAI's chat API: so many connections, each asks when it is answered.

    python bench/load.py URL --connections 8 --size 2000 --seconds 10

Prints JSON: answers, failures, and milliseconds of an answer, of a stream up to its last chunk.
It is bounded in time, and talks to loopback alone.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
from typing import Any
from urllib.parse import urlsplit

ANSWER_SECONDS = 30.0
WORDS = "some words of prose, as a prompt has them. "


def request(size: int, *, stream: bool, key: str) -> bytes:
    """Make a request whose prompt has so many characters."""
    prompt = (WORDS * (size // len(WORDS) + 1))[:size]
    messages = [{"role": "user", "content": prompt}]
    asked: dict[str, Any] = {"model": "gpt", "messages": messages}
    body = json.dumps(asked | ({"stream": True} if stream else {})).encode()
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nuser-agent: bench\r\n"
        f"authorization: Bearer {key}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def _answer(reader: asyncio.StreamReader) -> bool:
    """Read one answer to its end; return whether it is one."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    good = head.startswith(b"http/1.1 200")
    if b"transfer-encoding: chunked" in head:
        while (size := int(await reader.readuntil(b"\r\n"), 16)) or not await reader.readline():
            good &= b'"error"' not in await reader.readexactly(size + 2)
        return good
    length = head.partition(b"content-length:")[2].split(b"\r\n", 1)[0]
    return good and bool(await reader.readexactly(int(length)))


async def _ask(url: str, asked: bytes, end: float, found: list[float]) -> int:
    """Ask again and again over one connection, until the time is over; return the failures."""
    where = urlsplit(url)
    assert where.hostname == "127.0.0.1"
    reader, writer = await asyncio.open_connection(where.hostname, where.port, limit=2**22)
    failed = 0
    while time.perf_counter() < end:
        begin = time.perf_counter()
        writer.write(asked)
        try:
            good = await asyncio.wait_for(_answer(reader), ANSWER_SECONDS)
        except (TimeoutError, asyncio.TimeoutError, asyncio.IncompleteReadError):
            failed += 1
            break
        failed += not good
        found.append((time.perf_counter() - begin) * 1e3)
    writer.close()
    return failed


async def load(url: str, connections: int, asked: bytes, seconds: float) -> dict[str, float]:
    """Ask for so many seconds.

    Returns:
        Answers a second, how many, how many of them failed, and percentiles in milliseconds.
    """
    found: list[float] = []
    begin = time.perf_counter()
    end = begin + seconds
    failed = sum(await asyncio.gather(*(_ask(url, asked, end, found) for _ in range(connections))))
    spent = time.perf_counter() - begin
    cuts = statistics.quantiles(found, n=100, method="inclusive") if len(found) > 1 else [0.0] * 99
    return {
        "per_second": len(found) / spent,
        "answers": len(found),
        "failed": failed,
        "p50_ms": cuts[49],
        "p99_ms": cuts[98],
    }


def main() -> None:
    """Ask and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("url")
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--size", type=int, default=2_000)
    parser.add_argument("--stream", action="store_true")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--key", default="sk-bench")
    options = parser.parse_args()
    asked = request(options.size, stream=options.stream, key=options.key)
    print(json.dumps(asyncio.run(load(options.url, options.connections, asked, options.seconds))))


if __name__ == "__main__":
    main()
