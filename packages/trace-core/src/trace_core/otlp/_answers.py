"""Reads the answer to an HTTP request, however long or slow it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from trace_core.otlp._deadline import Deadline

if TYPE_CHECKING:
    import httpx

_FAILURE_BYTES: Final = 64 * 1024
_ABOUT_THE_WIRE: Final = (b"content-encoding", b"content-length", b"transfer-encoding")


def read_answer(arriving: httpx.Response, deadline: Deadline, max_bytes: int) -> httpx.Response:
    """Read an answer that has begun to arrive.

    Its length is bounded, for some servers send without end: event streams, compressed bombs.

    Args:
        arriving: The answer, of which only the head is read.
        deadline: Bounds the time it may take.
        max_bytes: Bytes to read of it at the most; less of one that says that the request failed.

    Returns:
        The answer with what was read of its body.

    Raises:
        httpx.HTTPError: The connection failed.
    """
    import httpx

    most = max_bytes if arriving.is_success else min(max_bytes, _FAILURE_BYTES)
    deadline.begin()
    body = bytearray()
    for piece in arriving.iter_bytes():
        body += piece[: most - len(body)]
        if len(body) >= most:
            break
        deadline.allow(len(body))
    headers = [h for h in arriving.headers.raw if h[0].lower() not in _ABOUT_THE_WIRE]
    return httpx.Response(
        arriving.status_code, headers=headers, content=bytes(body), request=arriving.request
    )
