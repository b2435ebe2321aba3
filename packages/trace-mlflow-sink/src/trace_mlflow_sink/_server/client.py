"""A connection to one MLflow server: credentials, TLS, and what its answers mean."""

from __future__ import annotations

import configparser
import os
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

import attrs

from trace_core import RetryLater, SinkError, after_fork, no_fork
from trace_mlflow_sink import _destination as _where
from trace_mlflow_sink._bisect import Refused

if TYPE_CHECKING:
    import ssl

    import httpx

_WAIT_WHEN_NOT_ALLOWED: Final = 30.0
_LONGEST_WAIT: Final = 300.0
_SHOWN_OF_ANSWER: Final = 300
_NOT_ALLOWED: Final = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
_PATIENCE: Final = (
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.TOO_EARLY,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.SERVICE_UNAVAILABLE,
)
_GATEWAY: Final = (HTTPStatus.BAD_GATEWAY, HTTPStatus.GATEWAY_TIMEOUT)
"""A proxy found no server behind it, which says nothing about the spans."""
_TRUE: Final = frozenset({"1", "true", "yes", "on"})


class NotFound(SinkError):
    """The server knows no such path, experiment or trace."""


class Unavailable(SinkError):
    """The server cannot be reached, or failed; ``broken`` tells the second from the first."""

    def __init__(self, message: str, *, broken: bool) -> None:
        super().__init__(message)
        self.broken = broken


class NotSupported(SinkError):
    """The server's store has no such feature (501)."""


# Classes of their own, because the log tells each kind of trouble once.


class NotAllowed(RetryLater):
    """The server wants other credentials than ours (401, 403)."""


class Gone(RetryLater):
    """The experiment is deleted, or there is nothing where it should be."""


class NotMlflow(SinkError):
    """What answers is no MLflow server."""


@attrs.frozen
class Credentials:
    """How to identify ourselves; never in ``repr``, so never in a log.

    Args:
        username: For basic authentication; wins over the token, as in MLflow.
        password: Goes with it.
        token: For a bearer token.
    """

    username: str | None = attrs.field(default=None, repr=False)
    password: str | None = attrs.field(default=None, repr=False)
    token: str | None = attrs.field(default=None, repr=False)

    @classmethod
    def find(cls, uri: str, environ: Mapping[str, str] = os.environ) -> Credentials:
        """Read them as MLflow does: the environment, then ``~/.mlflow/credentials``.

        Args:
            uri: The server's address; a user name and password in it win.
            environ: The environment.
        """
        address = urlsplit(uri)
        if address.username and address.password:
            return cls(unquote(address.username), unquote(address.password))
        stored = _stored_credentials()
        return cls(
            environ.get("MLFLOW_TRACKING_USERNAME") or stored.get("mlflow_tracking_username"),
            environ.get("MLFLOW_TRACKING_PASSWORD") or stored.get("mlflow_tracking_password"),
            environ.get("MLFLOW_TRACKING_TOKEN"),
        )


def _stored_credentials() -> Mapping[str, str]:
    parser = configparser.ConfigParser(interpolation=None)  # a password may hold a percent sign
    try:
        parser.read(Path("~/.mlflow/credentials").expanduser())
    except (OSError, RuntimeError, configparser.Error):  # RuntimeError: there is no home
        return {}
    return dict(parser["mlflow"]) if parser.has_section("mlflow") else {}


class Client:
    """Talks to one server over connections that are kept open. For one thread at a time.

    Args:
        uri: The server's address.
        timeout: Seconds an answer may take.
    """

    def __init__(self, uri: str, timeout: float) -> None:
        self._uri = uri
        self.name = _where.without_secret(uri)
        """Its address without credentials: httpx logs the addresses it is given."""
        self._timeout = timeout
        self._http: httpx.Client | None = None
        after_fork(self._forget)

    def _forget(self) -> None:
        self._http = None  # its sockets belong to the parent: not even to be closed here

    def close(self) -> None:
        """Close the connections; the next request opens new ones."""
        if self._http is not None:
            self._http.close()
            self._http = None

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
        """Make a request.

        Args:
            method: Such as ``POST``.
            path: Below the server's address.
            content: A body as it is.
            json: A body to be written as JSON.
            params: The query.
            headers: More headers.

        Returns:
            A successful answer.

        Raises:
            Refused: The server will not take this body.
            NotFound: It knows no such path or object.
            RetryLater: It asks for patience, or knows us not.
            Unavailable: It cannot be reached or failed.
            NotSupported: Its store cannot do that.
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
                f"{_advice(error)}",
                broken=False,
            ) from error
        self._check(answer)
        return answer

    def _connection(self) -> httpx.Client:
        if self._http is None:
            with no_fork():  # a client imports what it is made of
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
            auth=auth,
            headers=headers,
            timeout=self._timeout,
            follow_redirects=True,
            **_tls(os.environ),
        )

    def _check(self, answer: httpx.Response) -> None:
        """Raise what a status means for whoever sent the request."""
        status = answer.status_code
        if answer.is_success:
            return
        said = f"{self.name} answered {status}: {answer.text[:_SHOWN_OF_ANSWER]}"
        if status in _NOT_ALLOWED:
            self.close()  # credentials are read anew next time
            raise NotAllowed(
                f"{said}; set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or "
                "MLFLOW_TRACKING_TOKEN",
                _WAIT_WHEN_NOT_ALLOWED,
            )
        if status == HTTPStatus.NOT_FOUND:
            raise NotFound(said)
        if status == HTTPStatus.NOT_IMPLEMENTED:
            raise NotSupported(said)
        if status in _PATIENCE:
            raise RetryLater(said, _retry_after(answer.headers.get("Retry-After")))
        if status in _GATEWAY:
            raise Unavailable(said, broken=False)
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise Unavailable(said, broken=True)
        if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            said = f"{said}; nginx has client_max_body_size for that"
        raise Refused(said)


def _advice(error: Exception) -> str:
    """Return what to do about a connection that failed, if its certificates are why."""
    files = isinstance(error, OSError)  # httpx's own errors are none: one of our files is missing
    if not files and "SSL" not in str(error):
        return ""
    return (
        "; MLFLOW_TRACKING_SERVER_CERT_PATH names the file of the authority that signed the "
        "server's certificate, MLFLOW_TRACKING_CLIENT_CERT_PATH our own certificate"
    )


def _tls(environ: Mapping[str, str]) -> dict[str, Any]:
    """Return httpx's TLS options for MLflow's environment variables."""
    options: dict[str, Any] = {}
    if environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in _TRUE:
        options["verify"] = False
    elif environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH"):
        options["verify"] = _trusting(Path(environ["MLFLOW_TRACKING_SERVER_CERT_PATH"]))
    if environ.get("MLFLOW_TRACKING_CLIENT_CERT_PATH"):
        options["cert"] = environ["MLFLOW_TRACKING_CLIENT_CERT_PATH"]
    return options


def _trusting(authorities: Path) -> ssl.SSLContext:
    """Trust the authorities in a file or folder, and no others."""
    import ssl

    if authorities.is_dir():
        return ssl.create_default_context(capath=str(authorities))
    return ssl.create_default_context(cafile=str(authorities))


def _retry_after(header: str | None) -> float | None:
    """Read a ``Retry-After`` header: seconds, or a date."""
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        seconds = _seconds_until(header)
    return min(max(seconds, 0.0), _LONGEST_WAIT) if seconds - seconds == 0 else None


def _seconds_until(date: str) -> float:
    import time

    try:
        return parsedate_to_datetime(date).timestamp() - time.time()
    except ValueError:
        return float("nan")
