"""Where a stream is: its server, its name, its subjects, and how to log in."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode, urlsplit, urlunsplit

import attrs

from trace_core import ConfigurationError, names_server, parse_target, without_secrets

DEFAULT_URL: Final = "nats://127.0.0.1:4222"
DEFAULT_STREAM: Final = "traces"
_NOT_IN_NAMES: Final = frozenset(" .*>/\\")
_LOGIN_VARIABLES: Final = {
    "user": "NATS_USER",
    "password": "NATS_PASSWORD",
    "token": "NATS_TOKEN",
    "user_credentials": "NATS_CREDS",
}


@attrs.frozen
class Address:
    """A stream on a NATS server.

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
            target: Such as ``nats://127.0.0.1:4222?stream=traces``. Each part may be missing.

        Raises:
            ConfigurationError: It has an unknown option, a bad stream name or a bad URL.
        """
        url, options = parse_target("nats", target, ("stream",))
        stream = options.get("stream", DEFAULT_STREAM)
        if not stream or _NOT_IN_NAMES & set(stream):
            raise ConfigurationError(
                f"stream={stream!r} cannot name a stream: it must not be empty or hold "
                "spaces, slashes or any of . * >"
            )
        if not names_server(url or DEFAULT_URL, ("nats", "tls")):
            raise ConfigurationError(f"wanted {DEFAULT_URL} or tls://…, got {without_secrets(url)}")
        return cls(url or DEFAULT_URL, stream)

    @property
    def spans(self) -> str:
        """The subject of spans that wait to be forwarded."""
        return f"{self.stream}.spans"

    @property
    def dead(self) -> str:
        """The subject of dead letters."""
        return f"{self.stream}.dead"

    @property
    def name(self) -> str:
        """The URL without user name and password."""
        parts = urlsplit(self.url)
        return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))

    @property
    def spec(self) -> str:
        """The specification that `trace_core.load_sink` makes this sink from, without password."""
        return f"nats:{self.name}?{urlencode({'stream': self.stream})}"

    def login(self, environ: Mapping[str, str] = os.environ) -> dict[str, Any]:
        """Return the options of a NATS client that log in and choose certificates.

        A user name in the URL comes first; the client reads it itself. Otherwise the environment
        variables of the ``nats`` command count.

        Args:
            environ: The environment.
        """
        certificates = _certificates(environ)
        if urlsplit(self.url).username:
            return certificates
        found = {option: environ.get(name) for option, name in _LOGIN_VARIABLES.items()}
        return {option: value for option, value in found.items() if value} | certificates


def _certificates(environ: Mapping[str, str]) -> dict[str, Any]:
    if not environ.get("NATS_CA"):
        return {}
    import ssl

    context = ssl.create_default_context(cafile=environ["NATS_CA"])
    if environ.get("NATS_CERT"):
        context.load_cert_chain(environ["NATS_CERT"], environ.get("NATS_KEY"))
    return {"tls": context}
