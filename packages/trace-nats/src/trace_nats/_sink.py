"""`NatsSink`, which publishes spans to a stream of NATS JetStream."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Final

from trace_core import Rejected, SinkBase, Span, after_fork
from trace_nats._address import Address
from trace_nats._connection import SECONDS, Connection, Link
from trace_nats._message import pack

_ROOM_FOR_HEADERS: Final = 1_024


class NatsSink(SinkBase):
    """Publishes spans to a stream of NATS JetStream. Thread-safe; meant to run behind a queue.

    `write` returns when the broker has acknowledged every span. A span that is published twice
    within the stream's duplicate window, two minutes by default, is stored once. If the stream
    does not exist, the first write creates it: in files, each span until it is forwarded.

    Args:
        target: What follows ``nats:`` in a specification, such as
            ``nats://127.0.0.1:4222?stream=traces``. A user name and password may be in the URL
            or in the environment variables of the ``nats`` command, such as ``NATS_USER``.

    Raises:
        ConfigurationError: The target has an unknown option, a bad stream name or a bad URL.
    """

    def __init__(self, target: str = "") -> None:
        self._address = Address.read(target)
        self._connection = Connection(self._address)
        self._renew_lock()
        after_fork(self._renew_lock)

    def _renew_lock(self) -> None:
        self._lock = threading.Lock()

    @property
    def spool_key(self) -> str:
        """The specification of this sink, without a password."""
        return self._address.spec

    def __repr__(self) -> str:
        return f"NatsSink({self._address.spec.removeprefix('nats:')!r})"

    def write(self, spans: Sequence[Span], /) -> None:
        """Publish a batch; returns when the broker has stored it.

        Raises:
            Rejected: Some spans are larger than the broker accepts; the others are published.
            SinkError: The broker has not acknowledged all spans; try again later.
        """
        if not spans:
            return
        with self._lock:
            too_long = self._connection.call(lambda link: self._publish(link, spans), SECONDS)
        if too_long:
            raise Rejected(
                f"larger than NATS at {self._address.name} accepts: raise its max_payload",
                too_long,
            )

    async def _publish(self, link: Link, spans: Sequence[Span]) -> list[Span]:
        """Publish the spans that are short enough, and return the others."""
        limit = link.client.max_payload - _ROOM_FOR_HEADERS
        messages = [pack(span, limit) for span in spans]
        answers = await asyncio.gather(
            *(
                link.stream.publish(self._address.spans, message.body, headers=message.headers)
                for message in messages
                if len(message.body) <= limit
            ),
            return_exceptions=True,
        )
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
        return [message.span for message in messages if len(message.body) > limit]

    def close(self, timeout: float = 5.0, /) -> None:
        """Close the connection; a second call does nothing."""
        with self._lock:
            self._connection.end()
