"""An HTTP connection to one MLflow server: requests, and what its answers mean."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from google.protobuf import json_format  # type: ignore[import-untyped]
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from trace_core import Rejected, RetryLater, SinkError, after_fork, no_fork
from trace_mlflow_sink import _destination as destination
from trace_mlflow_sink._server.credentials import Credentials, tls_options

if TYPE_CHECKING:
    import httpx

_RETRY_SECONDS: Final = 30.0
_LONGEST_RETRY_SECONDS: Final = 300.0
_SHOWN_CHARACTERS: Final = 300
_PROTOBUF: Final = "application/x-protobuf"
_JSON: Final = "application/json"
_UNAUTHORIZED: Final = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
_BUSY: Final = (
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.TOO_EARLY,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.SERVICE_UNAVAILABLE,
)
_ABOUT_THE_BODY: Final = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
)


class ServerFailed(SinkError):
    """The server answered 500, which says nothing about who is to blame."""


class Unavailable(SinkError):
    """The server cannot be reached, or cannot answer at the moment."""


class NotFound(SinkError):
    """The server has no such path, experiment or trace (404)."""


class NotSupported(SinkError):
    """The server's store does not have this feature (501)."""


# Each kind of failure has a class of its own, because the log warns once per class.


class Unauthorized(RetryLater):
    """The server did not accept our credentials (401, 403)."""


class ExperimentGone(RetryLater):
    """The experiment is deleted, or the server has no such path."""


class NotMlflow(RetryLater):
    """The answer does not come from an MLflow server: a login page or a redirect, say."""


class Client:
    """Sends requests to one server over connections that stay open. For one thread at a time.

    Args:
        uri: The server's address.
        timeout: Seconds an answer may take.
    """

    def __init__(self, uri: str, timeout: float) -> None:
        self._uri = uri
        self.name = destination.without_credentials(uri)
        """The address without credentials, because httpx logs the addresses it requests."""
        self._timeout = timeout
        self._http: httpx.Client | None = None
        after_fork(self._drop_connection)

    def _drop_connection(self) -> None:
        self._http = None  # the sockets belong to the parent process, which must keep them open

    def close(self) -> None:
        """Close the connections; the next request opens new ones."""
        if self._http is not None:
            self._http.close()
            self._http = None

    def version(self) -> str:
        """Return the version that the server reports.

        Raises:
            SinkError: See `request`.
        """
        return self.request("GET", "/version").text

    def json(self, method: str, path: str, *keys: str, **options: Any) -> dict[str, Any]:
        """Make a request and return the JSON object in its answer, or one inside that.

        Args:
            method: Such as ``POST``.
            path: Below the server's address.
            keys: The way to the object inside the answer.
            options: ``json``, ``params`` and ``headers``, as httpx takes them.

        Raises:
            SinkError: See `request`.
            NotMlflow: The answer is not JSON, or has no such object.
        """
        answer = self.request(method, path, **options)
        try:
            found = answer.json()
            for key in keys:
                found = found[key]
        except (ValueError, TypeError, KeyError) as error:
            raise self._not_mlflow(answer) from error
        if not isinstance(found, dict):
            raise self._not_mlflow(answer)
        return found

    def send_spans(self, body: bytes, headers: Mapping[str, str]) -> None:
        """Send an OTLP request; return once the server has confirmed that it stored all spans.

        Args:
            body: An ``ExportTraceServiceRequest``.
            headers: Headers beside the content type.

        Raises:
            SinkError: See `request`.
            Rejected: The server confirmed the request but not all of its spans.
            NotMlflow: The answer is not one of an OTLP receiver, so nothing is known to be stored.
        """
        answer = self.request(
            "POST", "/v1/traces", content=body, headers={**headers, "Content-Type": _PROTOBUF}
        )
        refused, message = self._partial_success(answer)
        if refused:
            raise Rejected(f"{self.name} stored all but {refused} spans: {message}")

    def _partial_success(self, answer: httpx.Response) -> tuple[int, str]:
        """Parse an OTLP answer; return how many spans were refused, and why."""
        parsed = ExportTraceServiceResponse()
        kind = _content_type(answer)
        try:
            # MLflow 3.6 sends JSON, and calls it protobuf. No protobuf of this message is a "{".
            if kind in (_PROTOBUF, _JSON) and answer.content.startswith(b"{"):
                json_format.ParseDict(answer.json(), parsed)
            elif kind == _PROTOBUF:
                parsed.ParseFromString(answer.content)
            else:
                raise self._not_mlflow(answer)
        except (DecodeError, json_format.ParseError, ValueError) as error:
            raise self._not_mlflow(answer) from error
        partial = parsed.partial_success
        return int(partial.rejected_spans), str(partial.error_message)

    def _not_mlflow(self, answer: httpx.Response) -> NotMlflow:
        return NotMlflow(
            f"{self.name} answered with {_start_of(answer, 100)!r}: is it an MLflow server?",
            _RETRY_SECONDS,
        )

    def request(
        self,
        method: str,
        path: str,
        *,
        content: bytes | None = None,
        json: object = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Make a request. Redirects are not followed: a POST would become a GET.

        Args:
            method: Such as ``POST``.
            path: Below the server's address.
            content: The body.
            json: The body, to be written as JSON.
            params: The query.
            headers: More headers.

        Returns:
            An answer with a 2xx status.

        Raises:
            Rejected: The server refused the body (400 and 422 by MLflow itself, 413).
            NotFound: The server has no such path or object.
            RetryLater: The server asked to wait, did not accept our credentials, or redirected.
            Unavailable: The server cannot be reached or cannot answer.
            ServerFailed: The server answered 500.
            NotSupported: Its store does not have this feature.
        """
        with no_fork():
            import encodings.idna  # noqa: F401  # for looking up an address

            import httpx

        try:
            answer = self._connection().request(
                method,
                f"{self.name}{path}",
                content=content,
                json=json,
                params=params,
                headers=headers,
            )
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            self.close()
            raise Unavailable(
                f"cannot reach MLflow at {self.name}: {type(error).__name__}: {error}"
                f"{_certificate_advice(error)}"
            ) from error
        if not answer.is_success:
            self._raise_for(answer)
        return answer

    def _connection(self) -> httpx.Client:
        if self._http is None:
            with no_fork():  # creating a client imports modules
                self._http = self._connect()
        return self._http

    def _connect(self) -> httpx.Client:
        import httpx

        found = Credentials.find(self._uri)
        headers = {"User-Agent": "trace-mlflow-sink"}
        auth = None
        if found.username and found.password:
            auth = httpx.BasicAuth(found.username, found.password)
        elif found.token:
            headers["Authorization"] = f"Bearer {found.token}"
        return httpx.Client(
            auth=auth, headers=headers, timeout=self._timeout, **tls_options(os.environ)
        )

    def _raise_for(self, answer: httpx.Response) -> None:
        """Raise the exception that an unsuccessful status means."""
        status = answer.status_code
        message = f"{self.name} answered {status}: {_start_of(answer)}"
        if answer.is_redirect:
            raise NotMlflow(
                f"{self.name} redirects to {answer.headers.get('Location', '')[:200]!r}: a login "
                "page, or the address that must be the tracking URI",
                _RETRY_SECONDS,
            )
        if status in _UNAUTHORIZED:
            self.close()  # the next connection reads the credentials anew
            raise Unauthorized(
                f"{message}; set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or "
                "MLFLOW_TRACKING_TOKEN",
                _RETRY_SECONDS,
            )
        if status in _BUSY:
            raise RetryLater(message, _retry_after(answer.headers.get("Retry-After")))
        if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            message += "; in nginx, client_max_body_size sets the limit"
        if status in _ABOUT_THE_BODY and _is_verdict(answer):
            raise Rejected(message)
        raise _OTHER_STATUS.get(status, Unavailable)(message)


_OTHER_STATUS: Final[Mapping[int, type[SinkError]]] = {
    HTTPStatus.NOT_FOUND: NotFound,
    HTTPStatus.INTERNAL_SERVER_ERROR: ServerFailed,
    HTTPStatus.NOT_IMPLEMENTED: NotSupported,
}


def _is_verdict(answer: httpx.Response) -> bool:
    """Say whether MLflow itself has refused a body, and not a proxy that refuses anything.

    That a body is too large, a proxy may well be the one to say.
    """
    too_large = answer.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    return too_large or _content_type(answer) in (_JSON, _PROTOBUF)


def _start_of(answer: httpx.Response, characters: int = _SHOWN_CHARACTERS) -> str:
    """Return the first characters of an answer, for a message."""
    return answer.content[: 4 * characters].decode(errors="replace")[:characters]


def _content_type(answer: httpx.Response) -> str:
    return re.split(r"[;\s]", answer.headers.get("Content-Type", ""), maxsplit=1)[0].lower()


def _certificate_advice(error: Exception) -> str:
    """Return which variables to check if a connection failed because of certificates."""
    files = isinstance(error, OSError)  # not one of httpx's: a certificate file is missing
    if not files and "SSL" not in str(error):
        return ""
    return (
        "; MLFLOW_TRACKING_SERVER_CERT_PATH names the file of the authority that signed the "
        "server's certificate, MLFLOW_TRACKING_CLIENT_CERT_PATH our own certificate"
    )


def _retry_after(header: str | None) -> float | None:
    """Read a ``Retry-After`` header, which holds seconds or a date."""
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        seconds = _seconds_until(header)
    return min(max(seconds, 0.0), _LONGEST_RETRY_SECONDS) if seconds - seconds == 0 else None


def _seconds_until(date: str) -> float:
    import time

    try:
        return parsedate_to_datetime(date).timestamp() - time.time()
    except ValueError:
        return float("nan")
