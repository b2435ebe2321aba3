"""`NatsSource`, which takes messages from a stream and acknowledges them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from trace_nats._address import Address
from trace_nats._connection import SECONDS, Connection, Link
from trace_nats._message import MESSAGE_ID, REASON

if TYPE_CHECKING:
    from nats.aio.msg import Msg
    from nats.js import JetStreamContext

DEFAULT_CONSUMER: Final = "forward"
_LONGEST_REASON: Final = 500
_MOST_UNACKNOWLEDGED: Final = 10_000


class NatsSource:
    """Takes messages from a stream. Sources of one name share them. For one thread.

    Args:
        target: As for `NatsSink`.
        consumer: The name under which the broker remembers which messages are acknowledged.
        patience: Seconds after which the broker hands out a message again that was not
            acknowledged.

    Raises:
        ConfigurationError: The target has an unknown option, a bad stream name or a bad URL.
    """

    def __init__(
        self, target: str, *, consumer: str = DEFAULT_CONSUMER, patience: float = 60.0
    ) -> None:
        self.address = Address.read(target)
        self._consumer = consumer
        self._patience = patience
        self._connection = Connection(self.address, self._subscribe)

    async def _subscribe(self, stream: JetStreamContext) -> Any:
        from nats.js import api

        config = api.ConsumerConfig(ack_wait=self._patience, max_ack_pending=_MOST_UNACKNOWLEDGED)
        return await stream.pull_subscribe(
            self.address.spans, durable=self._consumer, stream=self.address.stream, config=config
        )

    def fetch(self, most: int, seconds: float) -> list[Msg]:
        """Return the messages that are ready.

        Args:
            most: How many messages at most.
            seconds: How long to wait for the first.

        Raises:
            SinkError: The broker cannot be reached.
        """

        async def work(link: Link) -> list[Msg]:
            try:
                found: list[Msg] = await link.messages.fetch(most, timeout=seconds)
                return found
            except asyncio.TimeoutError:  # the base of NATS' own, which a busy machine may raise
                return []

        return self._connection.call(work, seconds)

    def settle(self, done: Sequence[Msg], refused: Sequence[tuple[Msg, str]] = ()) -> None:
        """Acknowledge messages, which removes them; keep the refused ones as dead letters.

        Args:
            done: Messages whose spans are delivered.
            refused: Messages whose spans never will be, each with the reason.

        Raises:
            SinkError: The broker cannot be reached; it will hand the messages out again.
        """

        async def work(link: Link) -> None:
            for message, why in refused:
                headers = {**(message.headers or {}), REASON: " ".join(why.split())}
                headers[REASON] = headers[REASON][:_LONGEST_REASON]
                headers.pop(MESSAGE_ID, None)  # with the same id it would count as a duplicate
                await link.stream.publish(self.address.dead, message.data, headers=headers)
            for message in (*done, *(message for message, _ in refused)):
                await message.ack()
            await link.client.flush()

        self._connection.call(work, SECONDS)

    def put_back(self, messages: Sequence[Msg], seconds: float) -> None:
        """Have the broker hand messages out again.

        Args:
            messages: The messages.
            seconds: How long the broker waits before it does.

        Raises:
            SinkError: The broker cannot be reached; it will hand the messages out again later.
        """

        async def work(link: Link) -> None:
            for message in messages:
                await message.nak(delay=seconds)
            await link.client.flush()

        self._connection.call(work, SECONDS)

    def close(self) -> None:
        """Close the connection; messages that are not acknowledged stay in the stream."""
        self._connection.end()
