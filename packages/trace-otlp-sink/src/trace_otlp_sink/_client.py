"""The connection to one server that takes OTLP over HTTP."""

from __future__ import annotations

import gzip
import os
from collections.abc import Mapping
from typing import Any, Final

from trace_core.otlp import OtlpClient, trusting
from trace_otlp_sink import _settings as settings

_FAST: Final = 1
"""gzip's level: half the size of the text of spans, at a third of the time of the default."""
ADVICE_CREDENTIALS: Final = "OTEL_EXPORTER_OTLP_HEADERS holds the headers that log in"
ADVICE_CERTIFICATES: Final = (
    "OTEL_EXPORTER_OTLP_CERTIFICATE names the file of the authority that signed the server's "
    "certificate, OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE and OTEL_EXPORTER_OTLP_CLIENT_KEY our own "
    "certificate and its key"
)


class Client(OtlpClient):
    """Sends spans to one address. For one thread at a time.

    Args:
        endpoint: Where to.
        headers: Headers given as an argument; they win over the environment's.
        timeout: Seconds an answer may take.
        compressed: Whether to compress requests.
    """

    credentials_advice = ADVICE_CREDENTIALS
    certificate_advice = ADVICE_CERTIFICATES

    def __init__(
        self,
        endpoint: settings.Endpoint,
        headers: Mapping[str, str],
        timeout: float,
        *,
        compressed: bool,
    ) -> None:
        super().__init__(endpoint.url, timeout)
        self._endpoint = endpoint
        self._headers = dict(headers)
        self._compressed = compressed

    def options(self) -> dict[str, Any]:
        """Return headers and certificates, read anew from the environment."""
        found = settings.sent_headers(self._endpoint, self._headers, os.environ)
        headers = {"User-Agent": "trace-otlp-sink", **found}
        sent = {name: value.encode() for name, value in headers.items()}  # not ASCII alone
        return {"headers": list(sent.items()), **_tls_options(os.environ)}

    def export(self, body: bytes) -> tuple[int, str]:
        """Send a request; return how many of its spans the server refused, and why.

        Args:
            body: An ``ExportTraceServiceRequest``.

        Raises:
            SinkError: See `OtlpClient.send_spans`.
        """
        if not self._compressed:
            return self.send_spans("", body, {})
        packed = gzip.compress(body, _FAST)
        return self.send_spans("", packed, {"Content-Encoding": "gzip"})


def _tls_options(environ: settings.Environment) -> dict[str, Any]:
    """Return the TLS arguments of ``httpx.Client``."""
    authority, certificate, key = settings.certificate_files(environ)
    if not authority and not certificate:
        return {}
    import httpx

    context = trusting(authority) if authority else httpx.create_ssl_context()
    if certificate:
        context.load_cert_chain(certificate, key)
    return {"verify": context}
