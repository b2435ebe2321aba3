"""A connection to NATS that opens when it is needed, used from threads without an event loop."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import socket
import threading
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

import attrs

from trace_core import SinkError, after_fork, without_secrets
from trace_nats._address import Address

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.js import JetStreamContext

T = TypeVar("T")
_Subscribe: TypeAlias = "Callable[[JetStreamContext], Coroutine[Any, Any, Any]]"

SECONDS: Final = 10.0
"""How long connecting, and one request, may take."""
_logger: Final = logging.getLogger("trace_core")


class _Loop(asyncio.SelectorEventLoop):
    """Looks up host names without an executor, which takes no work while Python shuts down."""

    async def getaddrinfo(self, *args: Any, **options: Any) -> Any:
        return socket.getaddrinfo(*args, **options)

    def run_until_closed(self) -> None:
        """Run until stopped, then close."""
        self.run_forever()
        self.close()


_connections_of_parent: Final[list[object]] = []
"""Kept alive in a forked child: collecting them would disturb the parent's sockets."""


@attrs.frozen
class Link:
    """An open connection.

    Args:
        client: The connection itself.
        stream: Publishes.
        messages: The subscription to fetch from; ``None`` if there is none.
    """

    client: Client
    stream: JetStreamContext
    messages: Any = None


class Connection:
    """A connection whose event loop runs on a thread of its own. For one thread at a time.

    It is opened when needed and closed on the first error: the next call opens a new one.

    Args:
        address: The stream.
        subscribe: Called on each new connection; returns the subscription to fetch from.
    """

    def __init__(self, address: Address, subscribe: _Subscribe | None = None) -> None:
        self._address = address
        self._subscribe = subscribe
        self._loop: _Loop | None = None
        self._has_thread = False  # if not, the loop runs on the thread of the caller
        self._open: Link | None = None
        self._lost = asyncio.Event()
        after_fork(self._start_anew)

    def _start_anew(self) -> None:
        _connections_of_parent.append((self._loop, self._open, self._lost))
        self._loop = self._open = None
        self._lost = asyncio.Event()

    def call(self, work: Callable[[Link], Coroutine[Any, Any, T]], seconds: float) -> T:
        """Run a coroutine function on the connection, and return its result.

        Args:
            work: The coroutine function.
            seconds: How long it may take, besides connecting.

        Raises:
            SinkError: The broker cannot be reached, or answered with an error.
        """
        import nats.errors

        try:
            return self._wait_for(self._work(work), seconds + 2 * SECONDS)
        except (
            nats.errors.Error,
            OSError,
            asyncio.TimeoutError,
            concurrent.futures.TimeoutError,
        ) as error:
            self.close()
            raise SinkError(
                f"NATS at {self._address.name}, stream {self._address.stream}: "
                f"{type(error).__name__}: {error}{_advice(error)}"
            ) from error

    async def _work(self, work: Callable[[Link], Coroutine[Any, Any, T]]) -> T:
        if self._open is None or not self._open.client.is_connected:
            self._lost = asyncio.Event()
            self._open = await self._connect()
        doing = asyncio.ensure_future(work(self._open))
        losing = asyncio.ensure_future(self._lost.wait())
        try:  # the client does not tell a request that waits that its connection is lost
            await asyncio.wait((doing, losing), return_when=asyncio.FIRST_COMPLETED)
            if not doing.done():
                raise ConnectionError("the connection was lost")
            return doing.result()
        finally:
            doing.cancel()
            losing.cancel()

    async def _set_lost(self) -> None:
        self._lost.set()

    async def _connect(self) -> Link:
        from nats.aio.client import Client

        client = Client()
        try:
            await client.connect(
                self._address.url,
                name="trace-nats",
                allow_reconnect=False,  # the next call opens a new connection
                max_reconnect_attempts=1,  # per server, also of a first connection
                reconnect_time_wait=1,
                connect_timeout=int(SECONDS),
                closed_cb=self._set_lost,
                error_cb=_log,
                **self._address.login(),
            )
            stream = client.jetstream(timeout=SECONDS)
            await _find_or_create(stream, self._address)
            return Link(client, stream, self._subscribe and await self._subscribe(stream))
        except BaseException:
            await client.close()
            raise

    def _wait_for(self, work: Coroutine[Any, Any, T], seconds: float) -> T:
        if self._loop is None:
            self._loop = _Loop()
            self._has_thread = self._start(self._loop)
        if not self._has_thread:
            return self._loop.run_until_complete(asyncio.wait_for(work, seconds))
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(seconds)
        finally:
            future.cancel()

    def _start(self, loop: _Loop) -> bool:
        """Run the loop on a new thread; false if Python, shutting down, starts no more threads."""
        thread = threading.Thread(target=loop.run_until_closed, name="trace-nats", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            return False
        return True

    def close(self) -> None:
        """Close the connection; the next call opens a new one."""
        found, self._open = self._open, None
        if found is not None and self._loop is not None:
            try:
                self._wait_for(found.client.close(), SECONDS)
            except Exception as error:
                _logger.debug("closing a connection to NATS: %s", without_secrets(error))

    def end(self) -> None:
        """Close the connection and end the thread."""
        self.close()
        loop, self._loop = self._loop, None
        if loop is not None and self._has_thread:
            loop.call_soon_threadsafe(loop.stop)
        elif loop is not None:
            loop.close()


async def _log(error: Exception) -> None:
    """Replace the client's own handler, which logs tracebacks: whoever waits gets the error."""
    _logger.debug("NATS: %s", without_secrets(error))


async def _find_or_create(stream: JetStreamContext, address: Address) -> None:
    from nats.js import api
    from nats.js.errors import NotFoundError

    try:
        await stream.stream_info(address.stream)
    except NotFoundError:
        await stream.add_stream(
            name=address.stream,
            description="Spans waiting to be forwarded",
            subjects=[f"{address.stream}.>"],
            retention=api.RetentionPolicy.WORK_QUEUE,  # an acknowledged message is removed
            discard=api.DiscardPolicy.NEW,  # when full, refuse: senders keep their spans
            storage=api.StorageType.FILE,
        )


def _advice(error: BaseException) -> str:
    if "uthorization" in str(error):
        return "; set NATS_USER and NATS_PASSWORD, NATS_TOKEN or NATS_CREDS"
    if type(error).__name__ in ("ServiceUnavailableError", "NoStreamResponseError"):
        return "; is JetStream on (nats-server -js)?"
    return ""
