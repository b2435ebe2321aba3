"""The connection to one MLflow server."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from trace_core import Rejected, RetryLater
from trace_core.otlp import OtlpClient, without_credentials
from trace_mlflow_sink._server.credentials import Credentials, tls_options


class ExperimentGone(RetryLater):
    """The experiment is deleted, or the server has no such path."""


class Client(OtlpClient):
    """Sends requests to one server over connections that stay open. For one thread at a time.

    Args:
        uri: The server's address.
        timeout: Seconds an answer may take.
    """

    server = "an MLflow server"
    address_advice = "the address that must be the tracking URI"
    credentials_advice = (
        "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
    )
    certificate_advice = (
        "MLFLOW_TRACKING_SERVER_CERT_PATH names the file of the authority that signed the "
        "server's certificate, MLFLOW_TRACKING_CLIENT_CERT_PATH our own certificate"
    )

    def __init__(self, uri: str, timeout: float) -> None:
        super().__init__(without_credentials(uri), timeout)
        self._uri = uri

    def options(self) -> dict[str, Any]:
        """Return credentials and certificates, read from where MLflow reads them."""
        found = Credentials.find(self._uri)
        headers = {"User-Agent": "trace-mlflow-sink"}
        auth = None
        if found.username and found.password:
            auth = (found.username, found.password)
        elif found.token:
            headers["Authorization"] = f"Bearer {found.token}"
        return {"auth": auth, "headers": headers, **tls_options(os.environ)}

    def version(self) -> str:
        """Return the version that the server reports.

        Raises:
            SinkError: See `request`.
        """
        return self.request("GET", "/version").text

    def store_spans(self, body: bytes, headers: Mapping[str, str]) -> None:
        """Send an OTLP request; return once the server has confirmed that it stored all spans.

        Args:
            body: An ``ExportTraceServiceRequest``.
            headers: Headers beside the content type.

        Raises:
            SinkError: See `send_spans`.
            Rejected: The server confirmed the request but not all of its spans.
        """
        refused, message = self.send_spans("/v1/traces", body, headers)
        if refused:
            raise Rejected(f"{self.name} refused {refused} of the spans: {message}")
