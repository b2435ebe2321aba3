"""A span as a NATS message: a line of JSON, compressed if it would be too long otherwise."""

from __future__ import annotations

import gzip
import io
from typing import TYPE_CHECKING, Final

import attrs

from trace_core import ConfigurationError, Span, decode, encode

if TYPE_CHECKING:
    from nats.aio.msg import Msg

REASON: Final = "Trace-Refused"
"""The header of a dead letter that says why the span was refused."""
MESSAGE_ID: Final = "Nats-Msg-Id"
"""The header by which NATS recognises a message that is published twice."""
_ENCODING: Final = "Content-Encoding"
_LONGEST: Final = 256 * 1024 * 1024


@attrs.frozen
class Message:
    """What is published for a span.

    Args:
        span: The span.
        body: Its JSON, compressed or not.
        headers: Its id for NATS, and how the body is compressed.
    """

    span: Span
    body: bytes
    headers: dict[str, str]


def pack(span: Span, limit: int) -> Message:
    """Make the message of a span.

    Args:
        span: The span.
        limit: Bytes above which the body is compressed. It may be longer even so.
    """
    body = encode(span)
    headers = {MESSAGE_ID: f"{span.trace_id}-{span.span_id}-{span.end_ns}"}
    if len(body) <= limit:
        return Message(span, body, headers)
    return Message(span, gzip.compress(body), {**headers, _ENCODING: "gzip"})


def unpack(message: Msg) -> Span:
    """Read the span in a message.

    Args:
        message: A message of a stream that a `NatsSink` writes to.

    Raises:
        ConfigurationError: It holds no span, or one of more than 256 MiB.
        Exception: It is marked as compressed and is not.
    """
    if (message.headers or {}).get(_ENCODING) != "gzip":
        return decode(message.data)
    with gzip.GzipFile(fileobj=io.BytesIO(message.data)) as file:
        line = file.read(_LONGEST + 1)
    if len(line) > _LONGEST:
        raise ConfigurationError(f"more than {_LONGEST} bytes once decompressed")
    return decode(line)
