"""To and from NATS JetStream, a buffer between many hosts and one store.

`NatsSink` publishes spans and returns once the broker has them on disk; `NatsSource` hands them
out again, until they are acknowledged. Both talk to the broker from a thread of their own.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import gzip
import logging
import os
import socket
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import attrs

from trace_core._errors import ConfigurationError, Rejected, SinkError
from trace_core._lifecycle import after_fork
from trace_core._log import text_of, without_secrets
from trace_core._model.json import encode
from trace_core._model.span import Span
from trace_core._sinks.base import SinkBase

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg
    from nats.js import JetStreamContext

T = TypeVar("T")
_Subscribe: TypeAlias = "Callable[[JetStreamContext], Coroutine[Any, Any, Any]]"

DEFAULT_URL: Final = "nats://127.0.0.1:4222"
DEFAULT_STREAM: Final = "traces"
DEFAULT_CONSUMER: Final = "forward"
_SECONDS: Final = 10.0
_ROOM_FOR_HEADERS: Final = 1_024
_ENCODING: Final = "Content-Encoding"
_REASON: Final = "Trace-Refused"
_logger: Final = logging.getLogger("trace_core")


@attrs.frozen
class Address:
    """A stream, and where it is.

    Args:
        url: The server's address; may hold a user name and password.
        stream: The stream's name.
    """

    url: str
    stream: str = DEFAULT_STREAM

    @classmethod
    def read(cls, target: str) -> Address:
        """Read what follows ``nats:`` in a sink's specification.

        Args:
            target: Such as ``nats://127.0.0.1:4222?stream=traces``, or nothing at all.

        Raises:
            ConfigurationError: It cannot be read.
        """
        url, _, query = target.partition("?")
        options = dict(parse_qsl(query, keep_blank_values=True))
        stream = options.pop("stream", DEFAULT_STREAM)
        if options:
            raise ConfigurationError(f"unknown option {min(options)!r}; known is stream")
        if not stream or set(stream) & set(" .*>/\\"):
            raise ConfigurationError(f"stream={stream!r} is no name of a stream")
        parts = urlsplit(url or DEFAULT_URL)
        if parts.scheme not in ("nats", "tls") or not parts.hostname:
            raise ConfigurationError(f"wanted {DEFAULT_URL} or tls://…, got {without_secrets(url)}")
        return cls(url or DEFAULT_URL, stream)

    @property
    def spans(self) -> str:
        """The subject of spans to be forwarded."""
        return f"{self.stream}.spans"

    @property
    def dead(self) -> str:
        """The subject of those that nobody takes."""
        return f"{self.stream}.dead"

    @property
    def name(self) -> str:
        """The address without user name and password."""
        parts = urlsplit(self.url)
        return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))

    @property
    def spec(self) -> str:
        """The specification that makes a sink for it again, without a password."""
        return f"nats:{self.name}?{urlencode({'stream': self.stream})}"


def _login(url: str) -> dict[str, Any]:
    """Return what identifies us: as in the address, else as the ``nats`` command is told it."""
    if urlsplit(url).username:
        return _certificates(os.environ)  # the client reads the address itself
    names = ("user", "password", "token", "user_credentials")
    variables = ("NATS_USER", "NATS_PASSWORD", "NATS_TOKEN", "NATS_CREDS")
    told = {n: os.environ.get(v) for n, v in zip(names, variables, strict=True)}
    return {n: v for n, v in told.items() if v} | _certificates(os.environ)


def _certificates(told: Mapping[str, str]) -> dict[str, Any]:
    """Return the authority that is trusted, and our own certificate."""
    if not told.get("NATS_CA"):
        return {}
    import ssl

    context = ssl.create_default_context(cafile=told["NATS_CA"])
    if told.get("NATS_CERT"):
        context.load_cert_chain(told["NATS_CERT"], told.get("NATS_KEY"))
    return {"tls": context}


class _Loop(asyncio.SelectorEventLoop):
    """Looks up names itself: an executor takes no more work once the interpreter is ending."""

    async def getaddrinfo(self, *args: Any, **options: Any) -> Any:
        return socket.getaddrinfo(*args, **options)

    def run_until_closed(self) -> None:
        """Run until stopped, for good."""
        self.run_forever()
        self.close()


_of_parents: Final[list[object]] = []
"""Connections of the process we were forked from. To collect them would disturb its sockets."""


@attrs.frozen
class _Link:
    """What one can do on an open connection.

    Args:
        client: The connection.
        stream: To publish with.
        messages: To fetch from; ``None`` for who only publishes.
    """

    client: Client
    stream: JetStreamContext
    messages: Any = None


class _Connection:
    """A connection for one thread at a time, which waits for what is done on another.

    It is opened when needed, and given up on the first trouble: the next call opens a new one.

    Args:
        address: The stream.
        subscribe: Run on each new connection; returns what messages are fetched from.
    """

    def __init__(self, address: Address, subscribe: _Subscribe | None = None) -> None:
        self._address = address
        self._subscribe = subscribe
        self._loop: _Loop | None = None
        self._runs = False  # the loop, on a thread of its own; else on that of whoever waits
        self._open: _Link | None = None
        self._lost = asyncio.Event()
        after_fork(self._forget)

    def _forget(self) -> None:
        _of_parents.append((self._loop, self._open, self._lost))
        self._loop = self._open = None
        self._lost = asyncio.Event()

    def call(self, work: Callable[[_Link], Coroutine[Any, Any, T]], seconds: float) -> T:
        """Do something on the connection and return what came of it.

        Args:
            work: What.
            seconds: How long it may take, beyond connecting.

        Raises:
            SinkError: There is no connection, or the broker could not do it.
        """
        import nats.errors

        try:
            return self._wait_for(self._work(work), seconds + 2 * _SECONDS)
        except (
            nats.errors.Error,
            OSError,
            asyncio.TimeoutError,
            concurrent.futures.TimeoutError,
        ) as error:
            self.close()
            raise SinkError(
                f"NATS at {self._address.name}, stream {self._address.stream}: "
                f"{type(error).__name__}: {text_of(error)}{_advice(error)}"
            ) from error

    async def _work(self, work: Callable[[_Link], Coroutine[Any, Any, T]]) -> T:
        if self._open is None or not self._open.client.is_connected:
            self._lost = asyncio.Event()
            self._open = await self._connect()
        doing = asyncio.ensure_future(work(self._open))
        losing = asyncio.ensure_future(self._lost.wait())
        try:  # without the second nobody would tell us that no answer will come
            await asyncio.wait((doing, losing), return_when=asyncio.FIRST_COMPLETED)
            if not doing.done():
                raise ConnectionError("the connection was lost")
            return doing.result()
        finally:
            doing.cancel()
            losing.cancel()

    async def _note_loss(self) -> None:
        self._lost.set()

    async def _connect(self) -> _Link:
        from nats.aio.client import Client

        client = Client()
        try:
            await client.connect(
                self._address.url,
                name="trace-core",
                allow_reconnect=False,  # the next call connects anew
                max_reconnect_attempts=1,  # per server, also of a first connection
                reconnect_time_wait=1,
                connect_timeout=int(_SECONDS),
                closed_cb=self._note_loss,
                error_cb=_note,
                **_login(self._address.url),
            )
            stream = client.jetstream(timeout=_SECONDS)
            await _find_or_make(stream, self._address)
            return _Link(client, stream, self._subscribe and await self._subscribe(stream))
        except BaseException:
            await client.close()
            raise

    def _wait_for(self, work: Coroutine[Any, Any, T], seconds: float) -> T:
        if self._loop is None:
            self._loop = _Loop()
            self._runs = self._start(self._loop)
        if not self._runs:
            return self._loop.run_until_complete(asyncio.wait_for(work, seconds))
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(seconds)
        finally:
            future.cancel()

    def _start(self, loop: _Loop) -> bool:
        """Have a thread run the loop; say whether there is one, which an ending program refuses."""
        thread = threading.Thread(target=loop.run_until_closed, name="trace-core-nats", daemon=True)
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
                self._wait_for(found.client.close(), _SECONDS)
            except Exception as error:
                _logger.debug("closing a connection to NATS: %s", text_of(error))

    def end(self) -> None:
        """Close the connection and end the thread."""
        self.close()
        loop, self._loop = self._loop, None
        if loop is not None and self._runs:
            loop.call_soon_threadsafe(loop.stop)
        elif loop is not None:
            loop.close()


async def _note(error: Exception) -> None:
    """Keep the client from logging tracebacks: whoever waits for an answer is told."""
    _logger.debug("NATS: %s", without_secrets(error))


async def _find_or_make(stream: JetStreamContext, address: Address) -> None:
    from nats.js import api
    from nats.js.errors import NotFoundError

    try:
        await stream.stream_info(address.stream)
    except NotFoundError:
        await stream.add_stream(
            name=address.stream,
            description="Spans on their way to a store",
            subjects=[f"{address.stream}.>"],
            retention=api.RetentionPolicy.WORK_QUEUE,  # what is forwarded is removed
            discard=api.DiscardPolicy.NEW,  # when full, refuse: senders keep what they have
            storage=api.StorageType.FILE,
        )


def _advice(error: BaseException) -> str:
    if "uthorization" in text_of(error):
        return "; set NATS_USER and NATS_PASSWORD, NATS_TOKEN or NATS_CREDS"
    if type(error).__name__ in ("ServiceUnavailableError", "NoStreamResponseError"):
        return "; is JetStream on (nats-server -js)?"
    return ""


class NatsSink(SinkBase):
    """Publishes spans to a stream of NATS JetStream. Thread-safe; meant to run behind a queue.

    `write` returns when the broker has acknowledged every span. A span that is published twice
    within the stream's window for duplicates, two minutes by default, is stored once. The stream
    is made at the first write if there is none: kept in files, each span until it is forwarded.

    Args:
        target: What follows ``nats:`` in a specification, such as
            ``nats://127.0.0.1:4222?stream=traces``. User names and passwords may be given in the
            address or as the ``nats`` command reads them, by ``NATS_USER`` and its like.

    Raises:
        ConfigurationError: The target cannot be read.
    """

    def __init__(self, target: str = "") -> None:
        self._address = Address.read(target)
        self._connection = _Connection(self._address)
        self._renew_lock()
        after_fork(self._renew_lock)

    def _renew_lock(self) -> None:
        self._lock = threading.Lock()

    @property
    def spool_key(self) -> str:
        """What a spool knows this sink by: the specification that makes it again, no password."""
        return self._address.spec

    def __repr__(self) -> str:
        return f"NatsSink({self._address.spec.removeprefix('nats:')!r})"

    def write(self, spans: Sequence[Span], /) -> None:
        """Publish a batch; returns when the broker has it.

        Raises:
            Rejected: Some spans are larger than the broker takes; the others are published.
            SinkError: Not all is known to be there; try again later.
        """
        if not spans:
            return
        with self._lock:
            refused = self._connection.call(lambda link: self._publish(link, spans), _SECONDS)
        if refused:
            raise Rejected(
                f"larger than NATS at {self._address.name} takes: raise its max_payload", refused
            )

    async def _publish(self, link: _Link, spans: Sequence[Span]) -> list[Span]:
        limit = link.client.max_payload - _ROOM_FOR_HEADERS
        messages = [(span, *_packed(span, limit)) for span in spans]
        fitting = [(body, headers) for _, body, headers in messages if len(body) <= limit]
        answers = await asyncio.gather(
            *(link.stream.publish(self._address.spans, b, headers=h) for b, h in fitting),
            return_exceptions=True,
        )
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
        return [span for span, body, _ in messages if len(body) > limit]

    def flush(self, timeout: float = 5.0, /) -> bool:
        """Do nothing: what was written is with the broker."""
        return True

    def close(self, timeout: float = 5.0, /) -> None:
        """Close the connection; a second call does nothing."""
        with self._lock:
            self._connection.end()


def _packed(span: Span, limit: int) -> tuple[bytes, dict[str, str]]:
    """Write a span as a message: a line of JSON, compressed if it is too long otherwise."""
    body = encode(span)
    headers = {"Nats-Msg-Id": f"{span.trace_id}-{span.span_id}-{span.end_ns}"}
    if len(body) <= limit:
        return body, headers
    return gzip.compress(body), {**headers, _ENCODING: "gzip"}


def unpacked(message: Msg) -> bytes:
    """Return the line of JSON in a message.

    Args:
        message: A message of a stream that a `NatsSink` writes to.

    Raises:
        OSError: It says to be compressed, and is not.
    """
    packed = (message.headers or {}).get(_ENCODING) == "gzip"
    return gzip.decompress(message.data) if packed else message.data


class NatsSource:
    """Hands out the spans of a stream. Several of the same name share them. For one thread.

    Args:
        target: As a `NatsSink` takes it.
        consumer: The name under which the broker keeps what is not acknowledged yet.
        patience: Seconds after which the broker hands out again what was not acknowledged.

    Raises:
        ConfigurationError: The target cannot be read.
    """

    def __init__(
        self, target: str, *, consumer: str = DEFAULT_CONSUMER, patience: float = 60.0
    ) -> None:
        self.address = Address.read(target)
        self._consumer = consumer
        self._patience = patience
        self._connection = _Connection(self.address, self._subscribe)

    async def _subscribe(self, stream: JetStreamContext) -> Any:
        from nats.js import api

        config = api.ConsumerConfig(ack_wait=self._patience, max_ack_pending=10_000)
        return await stream.pull_subscribe(
            self.address.spans, durable=self._consumer, stream=self.address.stream, config=config
        )

    def fetch(self, most: int, seconds: float) -> list[Msg]:
        """Return what there is.

        Args:
            most: How many messages at the most.
            seconds: How long to wait for the first.

        Raises:
            SinkError: The broker is away.
        """

        async def work(link: _Link) -> list[Msg]:
            try:
                found: list[Msg] = await link.messages.fetch(most, timeout=seconds)
                return found
            except asyncio.TimeoutError:  # of which NATS' own is one; on a busy machine it is plain
                return []

        return self._connection.call(work, seconds)

    def settle(self, done: Sequence[Msg], refused: Sequence[tuple[Msg, str]] = ()) -> None:
        """Have the broker remove messages; those that nobody takes it keeps under another subject.

        Args:
            done: Messages that are delivered.
            refused: Messages that never will be, each with the reason.

        Raises:
            SinkError: The broker is away; it will hand them out again.
        """

        async def work(link: _Link) -> None:
            for message, why in refused:
                headers = {**(message.headers or {}), _REASON: " ".join(why.split())[:500]}
                headers.pop("Nats-Msg-Id", None)  # it would count as said already
                await link.stream.publish(self.address.dead, message.data, headers=headers)
            for message in (*done, *(message for message, _ in refused)):
                await message.ack()
            await link.client.flush()

        self._connection.call(work, _SECONDS)

    def put_back(self, messages: Sequence[Msg], seconds: float) -> None:
        """Have the broker hand messages out again.

        Args:
            messages: Which.
            seconds: Not before so many have passed.

        Raises:
            SinkError: The broker is away; it will hand them out again, some time later.
        """

        async def work(link: _Link) -> None:
            for message in messages:
                await message.nak(delay=seconds)
            await link.client.flush()

        self._connection.call(work, _SECONDS)

    def close(self) -> None:
        """Close the connection; what is not acknowledged stays."""
        self._connection.end()
