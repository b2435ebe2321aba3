"""An HTTP connection to one server that takes OTLP: requests, and what the answers mean."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit, urlunsplit

from google.protobuf import json_format  # type: ignore[import-untyped]
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from trace_core._errors import Rejected, RetryLater, SinkError
from trace_core._lifecycle import after_fork, no_fork
from trace_core.otlp._answers import read_answer
from trace_core.otlp._deadline import MIB, Deadline

if TYPE_CHECKING:
    import ssl

    import httpx

_RETRY_SECONDS: Final = 30.0
_LONGEST_RETRY_SECONDS: Final = 300.0
_SHOWN_CHARACTERS: Final = 300
_ANSWER_BYTES: Final = 256 * MIB
_CONFIRMATION_BYTES: Final = MIB
_PROTOBUF: Final = "application/x-protobuf"
_JSON: Final = "application/json"
_UNAUTHORIZED: Final = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
_BUSY: Final = (
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.TOO_EARLY,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
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
    """The server has no such path or object (404)."""


class NotSupported(SinkError):
    """The server does not have this feature (501)."""


# Each kind of failure has a class of its own, because the log warns once per class.


class Unauthorized(RetryLater):
    """The server did not accept our credentials (401, 403)."""


class NotAReceiver(RetryLater):
    """The answer does not come from such a server: a login page or a redirect, say."""


class OtlpClient:
    """Sends requests to one server over connections that stay open. For one thread at a time.

    Derive from it for a server of your own: override `options` and the texts.

    Args:
        address: The server's address without credentials, because httpx logs what it requests.
        timeout: Seconds an answer may take to begin, and then for each megabyte.
    """

    server = "an OTLP receiver"
    """What messages call a server of this kind."""

    address_advice = "the address that must be the endpoint"
    """What a redirect may lead to, beside a login page."""

    credentials_advice = "check the credentials"
    """What to do if the server does not accept our credentials."""

    certificate_advice = "check the certificates"
    """What to do if a connection fails because of certificates."""

    def __init__(self, address: str, timeout: float) -> None:
        self.name = address
        """The address, for messages."""
        self._timeout = timeout
        self._http: httpx.Client | None = None
        self._stream: Any = None  # the connection that is open, as httpcore has it
        after_fork(self._drop_connection)

    def options(self) -> dict[str, Any]:
        """Return arguments for ``httpx.Client``: headers, credentials, certificates.

        Asked before each new connection, so that renewed credentials are found.
        """
        return {}

    def _drop_connection(self) -> None:
        # The sockets belong to the parent process, which must keep them open.
        self._http = self._stream = None

    def close(self) -> None:
        """Close the connections; the next request opens new ones."""
        if self._http is not None:
            self._http.close()
            self._http = self._stream = None

    def json(self, method: str, path: str, *keys: str, **options: Any) -> dict[str, Any]:
        """Make a request and return the JSON object in its answer, or one inside that.

        Args:
            method: Such as ``POST``.
            path: Below the server's address.
            keys: The way to the object inside the answer.
            options: ``json``, ``params`` and ``headers``, as httpx takes them.

        Raises:
            SinkError: See `request`.
            NotAReceiver: The answer is not JSON, or has no such object.
        """
        answer = self.request(method, path, **options)
        try:
            found = answer.json()
            for key in keys:
                found = found[key]
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise self._not_a_receiver(answer) from error
        if not isinstance(found, dict):
            raise self._not_a_receiver(answer)
        return found

    def send_spans(self, path: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, str]:
        """Send an OTLP request; return once the server has confirmed it.

        Args:
            path: Below the server's address.
            body: An ``ExportTraceServiceRequest``.
            headers: Headers beside the content type.

        Returns:
            How many spans the server refused, and why: 0 if it stored all of them. A reason
            without refused spans is a warning.

        Raises:
            SinkError: See `request`.
            NotAReceiver: The answer is not one of an OTLP receiver, so nothing is known to be
                stored.
        """
        sent = {**headers, "Content-Type": _PROTOBUF}
        answer = self.request(
            "POST", path, content=body, headers=sent, max_bytes=_CONFIRMATION_BYTES
        )
        try:
            partial = _confirmation(answer).partial_success
        except (DecodeError, json_format.ParseError, ValueError, RecursionError) as error:
            raise self._not_a_receiver(answer) from error
        return int(partial.rejected_spans), str(partial.error_message)

    def _not_a_receiver(self, answer: httpx.Response) -> NotAReceiver:
        return NotAReceiver(
            f"{self.name} answered with {_start_of(answer, 100)!r}: is it {self.server}?",
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
        max_bytes: int = _ANSWER_BYTES,
    ) -> httpx.Response:
        """Make a request. Redirects are not followed: a POST would become a GET.

        Args:
            method: Such as ``POST``.
            path: Below the server's address.
            content: The body.
            json: The body, to be written as JSON.
            params: The query.
            headers: More headers.
            max_bytes: Length of an answer at the most; of a longer one, what is beyond is not read.

        Returns:
            An answer with a 2xx status.

        Raises:
            Rejected: The server refused the body (400 and 422 by the server itself, 413).
            NotFound: The server has no such path or object.
            RetryLater: The server asked to wait, did not accept our credentials, or redirected.
            Unavailable: The server cannot be reached or cannot answer.
            ServerFailed: The server answered 500.
            NotSupported: It does not have this feature.
        """
        with no_fork():
            import encodings.idna  # noqa: F401  # for looking up an address

            import httpx

        try:
            with (
                Deadline(self._timeout, len(content or b""), self._stream) as deadline,
                self._connection().stream(
                    method,
                    f"{self.name}{path}",
                    content=content,
                    json=json,
                    params=params,
                    headers=headers,
                    extensions={"trace": deadline.trace},
                ) as arriving,
            ):
                answer = read_answer(arriving, deadline, max_bytes)
            self._stream = deadline.stream
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ImportError, ValueError) as error:
            # The last two: a proxy of the environment that httpx does not know, or needs more for.
            self.close()
            advice = f"; {self.certificate_advice}" if _is_of_certificates(error) else ""
            why = f"{type(error).__name__}: {error}{advice}"
            raise Unavailable(f"cannot reach {self.server} at {self.name}: {why}") from error
        if not answer.is_success:
            self._raise_for(answer)
        return answer

    def _connection(self) -> httpx.Client:
        if self._http is None:
            with no_fork():  # creating a client imports modules
                import httpx

                options = self.options()
                if self.name.lower().startswith("http://"):
                    options.setdefault("verify", _trusting_nobody())
                self._http = httpx.Client(timeout=self._timeout, **options)
        return self._http

    def _raise_for(self, answer: httpx.Response) -> None:
        """Raise the exception that an unsuccessful status means."""
        status = answer.status_code
        message = f"{self.name} answered {status}: {_start_of(answer)}"
        if answer.is_redirect:
            raise NotAReceiver(
                f"{self.name} redirects to {answer.headers.get('Location', '')[:200]!r}: a login "
                f"page, or {self.address_advice}",
                _RETRY_SECONDS,
            )
        if status in _UNAUTHORIZED:
            self.close()  # the next connection reads the credentials anew
            raise Unauthorized(f"{message}; {self.credentials_advice}", _RETRY_SECONDS)
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


def _is_of_certificates(error: Exception) -> bool:
    """Say whether a connection failed because of certificates."""
    files = isinstance(error, OSError)  # not one of httpx's: a certificate file is missing
    return files or "SSL" in str(error)


def _confirmation(answer: httpx.Response) -> ExportTraceServiceResponse:
    """Read the answer of an OTLP receiver that has stored spans.

    Raises:
        ValueError: It is not one, or makes no sense.
        DecodeError: It is no protobuf.
        ParseError: It is other JSON.
        RecursionError: It is JSON that is nested too deeply.
    """
    parsed = ExportTraceServiceResponse()
    kind = _content_type(answer)
    if kind not in (_PROTOBUF, _JSON) or len(answer.content) >= _CONFIRMATION_BYTES:
        raise ValueError("not an answer of an OTLP receiver")
    # MLflow 3.6 sends JSON, and calls it protobuf. No protobuf of this message is a "{".
    if answer.content.startswith(b"{"):
        json_format.ParseDict(answer.json(), parsed)
    elif kind == _PROTOBUF:
        parsed.ParseFromString(answer.content)
    else:
        raise ValueError("not a JSON object")
    if parsed.partial_success.rejected_spans < 0:
        raise ValueError("a count below zero")
    return parsed


def _is_verdict(answer: httpx.Response) -> bool:
    """Say whether the server itself has refused a body, and not a proxy that refuses anything.

    That a body is too large, a proxy may well be the one to say.
    """
    too_large = answer.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    return too_large or _content_type(answer) in (_JSON, _PROTOBUF)


def _start_of(answer: httpx.Response, characters: int = _SHOWN_CHARACTERS) -> str:
    """Return the first characters of an answer, for a message."""
    return answer.content[: 4 * characters].decode(errors="replace")[:characters]


def _content_type(answer: httpx.Response) -> str:
    return re.split(r"[;\s]", answer.headers.get("Content-Type", ""), maxsplit=1)[0].lower()


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
    try:
        return parsedate_to_datetime(date).timestamp() - time.time()
    except (ValueError, OverflowError):
        return float("nan")


def without_credentials(uri: str) -> str:
    """Return an address without user name and password, for logs and spans."""
    parts = urlsplit(uri)
    if "@" not in parts.netloc:
        return uri
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _trusting_nobody() -> ssl.SSLContext:
    """For a server without TLS: reading all authorities takes 25 ms of a program's CPU."""
    import ssl

    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def trusting(authorities: str) -> ssl.SSLContext:
    """Trust the certificate authorities in a file or folder, and no others.

    Args:
        authorities: The file or folder.

    Raises:
        OSError: It cannot be read.
    """
    import ssl

    if Path(authorities).is_dir():
        return ssl.create_default_context(capath=authorities)
    return ssl.create_default_context(cafile=authorities)
