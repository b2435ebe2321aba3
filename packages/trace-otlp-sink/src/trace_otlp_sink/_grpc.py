"""The connection to one server that takes OTLP over gRPC."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from trace_core import ConfigurationError, Rejected, RetryLater, SinkError, after_fork, no_fork
from trace_core.otlp import (
    NotFound,
    NotSupported,
    ServerFailed,
    Unauthorized,
    Unavailable,
    trusting,
)
from trace_otlp_sink import _settings as settings
from trace_otlp_sink._client import ADVICE_CERTIFICATES, ADVICE_CREDENTIALS

_METHOD: Final = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
_RETRY_SECONDS: Final = 30.0
_SHOWN_CHARACTERS: Final = 300
_OTHERS: Final[Mapping[str, type[SinkError]]] = {
    "INTERNAL": ServerFailed,
    "INVALID_ARGUMENT": Rejected,
    "NOT_FOUND": NotFound,
    "UNIMPLEMENTED": NotSupported,
    "UNKNOWN": ServerFailed,
}


class GrpcClient:
    """Sends spans to one server. For one thread at a time.

    Args:
        endpoint: Where to.
        headers: Headers given as an argument; they win over the environment's.
        timeout: Seconds an answer may take.
        compressed: Whether to compress requests.

    Raises:
        ConfigurationError: grpcio is not installed, or a header cannot be sent.
    """

    def __init__(
        self,
        endpoint: settings.Endpoint,
        headers: Mapping[str, str],
        timeout: float,
        *,
        compressed: bool,
    ) -> None:
        if find_spec("grpc") is None:
            raise ConfigurationError(
                "OTLP over gRPC needs grpcio: pip install 'trace-otlp-sink[grpc]'; or set "
                "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf and the endpoint to the port for HTTP, "
                "which is 4318 with most collectors"
            )
        self.name = endpoint.url
        self._endpoint = endpoint
        self._headers = dict(headers)
        self._timeout = timeout
        self._compressed = compressed
        self._channel: Any = None
        self._of_parents: list[Any] = []
        self._metadata()  # a mistake in it is told now
        after_fork(self._drop_connection)

    def _metadata(self) -> list[tuple[str, str | bytes]]:
        """Return the headers, read anew from the environment, as gRPC takes them."""
        headers = settings.sent_headers(self._endpoint, self._headers, os.environ)
        return [_metadata(name.lower(), value) for name, value in headers.items()]

    def _drop_connection(self) -> None:
        if self._channel is not None:  # closing it would be felt by the parent process
            self._of_parents.append(self._channel)
            self._channel = None

    def close(self) -> None:
        """Close the connection; the next request opens a new one."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def export(self, body: bytes) -> tuple[int, str]:
        """Send a request; return how many of its spans the server refused, and why.

        Args:
            body: An ``ExportTraceServiceRequest``.

        Raises:
            Rejected: The server refused the body.
            SinkError: Nothing is known to be stored.
        """
        with no_fork():
            import grpc  # type: ignore[import-not-found,import-untyped,unused-ignore]

        how = grpc.Compression.Gzip if self._compressed else grpc.Compression.NoCompression
        try:
            answer = self._method(grpc)(
                body,
                timeout=self._timeout,
                metadata=self._metadata(),
                compression=how,
            )
        except grpc.RpcError as error:
            self.close()
            raise self._meaning(error) from error
        partial = answer.partial_success
        return int(partial.rejected_spans), str(partial.error_message)

    def _method(self, grpc: Any) -> Any:
        if self._channel is None:
            _, _, address = self.name.partition("://")
            options = [("grpc.primary_user_agent", "trace-otlp-sink")]
            if self.name.startswith("http://"):
                self._channel = grpc.insecure_channel(address, options)
            else:
                trusted = grpc.ssl_channel_credentials(*_certificates(os.environ))
                self._channel = grpc.secure_channel(address, trusted, options)
        return self._channel.unary_unary(
            _METHOD, response_deserializer=ExportTraceServiceResponse.FromString
        )

    def _meaning(self, error: Any) -> SinkError:
        """Return the exception that a status means."""
        status, details = error.code().name, str(error.details())[:_SHOWN_CHARACTERS]
        message = f"calling {self.name} ended with {status}: {details}"
        if status in ("UNAUTHENTICATED", "PERMISSION_DENIED"):
            return Unauthorized(f"{message}; {ADVICE_CREDENTIALS}", _RETRY_SECONDS)
        if status == "RESOURCE_EXHAUSTED":  # a message too large, unless a time to wait is named
            return RetryLater(message) if _names_a_wait(error) else Rejected(message)
        if "SSL" in details or "certificate" in details.lower():
            message = f"{message}; {ADVICE_CERTIFICATES}"
        return _OTHERS.get(status, Unavailable)(message)


def _metadata(name: str, value: str) -> tuple[str, str | bytes]:
    """Return a header as gRPC takes it: bytes where the name says so.

    Raises:
        ConfigurationError: It cannot be sent.
    """
    if name.endswith("-bin"):
        return name, value.encode()
    if not value.isascii():
        raise ConfigurationError(f"gRPC cannot send the header {name!r}: its value is not ASCII")
    return name, value


def _names_a_wait(error: Any) -> bool:
    trailing = dict(error.trailing_metadata() or ())
    return b"google.rpc.RetryInfo" in bytes(trailing.get("grpc-status-details-bin", b""))


def _certificates(environ: settings.Environment) -> tuple[bytes | None, ...]:
    """Read the authority, our key and our certificate, as gRPC takes them.

    Raises:
        Unavailable: They cannot be read or do not belong together. gRPC would end the program.
    """
    try:
        authority, certificate, key = settings.certificate_files(environ)
        context = trusting(authority) if authority else None
        if certificate:
            (context or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)).load_cert_chain(certificate, key)
        paths = (authority, key, certificate)
        return tuple(Path(path).read_bytes() if path else None for path in paths)
    except OSError as error:
        raise Unavailable(f"cannot use certificates: {error}; {ADVICE_CERTIFICATES}") from error
