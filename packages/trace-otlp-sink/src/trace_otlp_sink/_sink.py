"""`OtlpSink`, which sends spans to a server that takes OpenTelemetry's protocol."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as OtlpSpan

from trace_core import (
    Rejected,
    SinkBase,
    Span,
    Value,
    after_fork,
    find_refused,
    log_once,
    otlp,
    semconv,
)
from trace_otlp_sink import _settings as settings
from trace_otlp_sink._client import Client
from trace_otlp_sink._convert import check_dialect, view
from trace_otlp_sink._dialects import common
from trace_otlp_sink._grpc import GrpcClient

_DEFAULT_DIALECT: Final = "genai"
_DEFAULT_RESOURCE: Final = {
    semconv.SERVICE_NAME: "unknown_service",
    "telemetry.sdk.language": "python",
    "telemetry.sdk.name": "trace-core",
}
_EXIT_SECONDS: Final = 3.5


class _RefusedSome(Rejected):
    """The server stored all but some spans of a request."""


class OtlpSink(SinkBase):
    """Sends finished spans by OTLP. Thread-safe; meant to run behind a queue.

    Creating one does no I/O. Arguments win over ``OTEL_EXPORTER_OTLP_TRACES_*``, and these over
    ``OTEL_EXPORTER_OTLP_*``.

    Args:
        endpoint: The server, such as ``http://127.0.0.1:4318``; spans go to ``/v1/traces`` there.
        headers: Headers to send with each request, over those of the environment. They are in no
            log, ``repr`` and spool.
        dialect: ``genai`` for OpenTelemetry's GenAI conventions, ``openinference`` for those of
            Phoenix and Arize, or both with a comma.
        content: Whether to send what was said: messages, tools, errors' texts. Yes by default,
            unless ``OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT`` is false.
        compression: ``gzip`` or ``none``.
        timeout: Seconds an answer may take.
        resource: Attributes of the resource, over those of ``OTEL_RESOURCE_ATTRIBUTES``.
        exact: Whether the endpoint is the whole address, without ``/v1/traces`` after it.
        protocol: ``http/protobuf`` or ``grpc``.

    Raises:
        ConfigurationError: An argument or a variable makes no sense.
    """

    def __init__(
        self,
        endpoint: str | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        dialect: str = _DEFAULT_DIALECT,
        content: bool | str | None = None,
        compression: str | None = None,
        timeout: float | str | None = None,
        resource: Mapping[str, str] | None = None,
        exact: bool = False,
        protocol: str | None = None,
    ) -> None:
        environ = os.environ
        settings.headers(environ)  # a mistake in them is told now
        self._protocol = settings.protocol(protocol, environ)
        self._endpoint = settings.Endpoint.find(
            endpoint, environ, exact=exact, protocol=self._protocol
        )
        self._dialects = check_dialect(dialect)
        self._content = settings.content(content, environ)
        self._content_given = content is not None
        self._environment = settings.resource(environ)
        self._resource = dict(resource or {})
        self._new_client = partial(
            GrpcClient if self._protocol == settings.GRPC else Client,
            self._endpoint,
            settings.checked_headers(headers or {}, "headers"),
            compressed=settings.compression(compression, environ),
        )
        self._client = self._new_client(timeout=settings.timeout(timeout, environ))
        self._renew_lock()
        after_fork(self._renew_lock)

    @classmethod
    def from_spec(cls, target: str = "") -> OtlpSink:
        """Create the sink of ``otlp:TARGET``.

        Args:
            target: An endpoint, options after a question mark, both or neither, such as
                ``http://127.0.0.1:6006?dialect=openinference``. Two dialects are joined by a plus
                sign, because a comma separates sinks.

        Raises:
            ConfigurationError: The target cannot be parsed, or `OtlpSink` refuses it.
        """
        options = settings.parse_spec(target)
        service = options.pop("service", "")
        return cls(
            options.get("endpoint"),
            dialect=options.get("dialect", _DEFAULT_DIALECT).replace(" ", ","),
            content=options.get("content"),
            compression=options.get("compression"),
            timeout=options.get("timeout"),
            resource={semconv.SERVICE_NAME: service} if service else None,
            exact=settings.yes_or_no(options.get("exact", "false"), "exact"),
            protocol=options.get("protocol"),
        )

    @property
    def place(self) -> str:
        """The server's address."""
        return self._endpoint.url

    def check(self, timeout: float = 5.0, /) -> str:
        """Send a request without spans, which a server must accept, and say so.

        Args:
            timeout: Seconds the answer may take.

        Raises:
            SinkError: The server cannot be reached, or does not let us in.
        """
        client = self._new_client(timeout=timeout)
        try:
            client.export(b"")
        finally:
            client.close()
        return "the server answers and lets us in"

    @property
    def exit_timeout(self) -> float:
        """Seconds that closing may take at exit; what is left then stays in the spool."""
        return _EXIT_SECONDS

    @property
    def spool_key(self) -> str:
        """The specification from which `load_sink` makes this sink, without a password."""
        chosen = "+".join(self._dialects)
        content = "true" if self._content else "false"
        return settings.write_spec(
            self._endpoint,
            {
                "content": content if self._content_given else None,
                "dialect": None if chosen == _DEFAULT_DIALECT else chosen.replace("+", " "),
                "protocol": None if self._protocol == settings.HTTP else self._protocol,
            },
        )

    def __repr__(self) -> str:
        return f"OtlpSink({self._endpoint.url!r}, dialect={','.join(self._dialects)!r})"

    def _renew_lock(self) -> None:
        self._lock = threading.Lock()

    def write(self, spans: Sequence[Span], /) -> None:
        """Send a batch; return when the server has confirmed it.

        If the server refuses some of the spans, they are looked for by sending halves again.
        OTLP advises against that because a server may then store a span twice; ours have the
        same ids as before, and each span that is lost is known.

        Raises:
            Rejected: The server refused these spans, or the batch because of at least one.
            SinkError: Nothing is known to be stored; try again later.
        """
        if not spans:
            return
        try:
            self._send(spans)
        except _RefusedSome as refusal:
            middle = len(spans) // 2
            halves = (spans[:middle], spans[middle:])
            refused = [span for half in halves for span, _ in find_refused(half, self._send)]
            if refused:
                raise Rejected(str(refusal), refused) from refusal

    def _send(self, spans: Sequence[Span]) -> None:
        """Send a request.

        Raises:
            Rejected: The server refused some of its spans or all, without naming them.
            SinkError: Nothing is known to be stored.
        """
        request = otlp.to_request(
            spans, self._fill, self._resource_of, lambda span: span.scope, _write
        )
        body = request.SerializeToString()
        with self._lock:
            refused, message = self._client.export(body)
        self._judge(refused, message, spans)

    def _fill(self, proto: OtlpSpan, span: Span) -> None:
        shown = view(span, self._dialects, content=self._content)
        # a view's attributes are clean already, what events and resources have is not
        otlp.fill_span(proto, span, shown, otlp.write_structured, _write)

    def _resource_of(self, span: Span) -> Mapping[str, Value]:
        """Return the resource of a span, which may come from another program."""
        return {**_DEFAULT_RESOURCE, **self._environment, **span.resource, **self._resource}

    def _judge(self, refused: int, message: str, spans: Sequence[Span]) -> None:
        """Judge the answer to a request, which does not say which spans were refused."""
        name = self._client.name
        if refused >= len(spans):
            raise Rejected(f"{name} refused: {message}")
        if refused:
            raise _RefusedSome(f"{name} refused {refused} of {len(spans)} spans: {message}")
        if message:
            log_once(f"otlp:warning:{name}", "tracing: %s warns: %s", name, message)

    def close(self, timeout: float = 5.0, /) -> None:
        """Close the connections; a second call does nothing."""
        with self._lock:
            self._client.close()


def _write(proto: AnyValue, key: str, value: Value) -> None:
    """Write an attribute's value, nested ones as JSON text."""
    otlp.write_structured(proto, key, common.to_attribute(value))
