"""Where spans go and how: arguments, then OpenTelemetry's environment variables."""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlencode, urlsplit

import attrs

from trace_core import ConfigurationError, names_server, parse_target, remember_secret
from trace_core.otlp import without_credentials

GRPC: Final = "grpc"
HTTP: Final = "http/protobuf"
_DEFAULT_ENDPOINTS: Final = {GRPC: "http://localhost:4317", HTTP: "http://localhost:4318"}
TRACES_PATH: Final = "/v1/traces"
_GENERAL: Final = "OTEL_EXPORTER_OTLP_"
_TRACES: Final = "OTEL_EXPORTER_OTLP_TRACES_"
_CAPTURE: Final = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
_RESOURCE: Final = "OTEL_RESOURCE_ATTRIBUTES"
_SCHEMES: Final = ("http", "https")
_COMPRESSIONS: Final = ("gzip", "none")
_DEFAULT_TIMEOUT: Final = 10.0
_LONGEST_TIMEOUT: Final = 86_400.0
_YES: Final = frozenset({"1", "true", "yes", "on", "span_only", "span_and_event"})
_NO: Final = frozenset({"0", "false", "no", "off", "no_content", "event_only"})
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_OPTIONS: Final = (
    "compression",
    "content",
    "dialect",
    "exact",
    "protocol",
    "service",
    "timeout",
)

Environment = Mapping[str, str]


def variable(name: str, environ: Environment) -> tuple[str, str]:
    """Return a setting of the exporter for traces, else that for all signals, and its variable.

    Args:
        name: What follows ``OTEL_EXPORTER_OTLP_``, such as ``HEADERS``.
        environ: The environment.
    """
    for prefix in (_TRACES, _GENERAL):
        value = environ.get(f"{prefix}{name}", "").strip()
        if value:
            return value, f"{prefix}{name}"
    return "", ""


@attrs.frozen
class Endpoint:
    """The address that spans are sent to.

    Args:
        url: All of it, without user name and password.
        login: User name and password that were in it.
        exact: Whether the path is none that `of_base` would make.
    """

    url: str
    login: tuple[str, str] | None = attrs.field(default=None, repr=False)
    exact: bool = False

    @classmethod
    def find(
        cls, given: str | None, environ: Environment, *, exact: bool = False, protocol: str = HTTP
    ) -> Endpoint:
        """Return the address that was given, else that of the environment, else the default.

        Args:
            given: The argument.
            environ: The environment.
            exact: Whether to send to just this address, instead of to ``/v1/traces`` below it.
            protocol: `HTTP` or `GRPC`, which has no paths.

        Raises:
            ConfigurationError: It is no address of a server.
        """
        address, where = given, "the endpoint"
        if not address:
            address, where = variable("ENDPOINT", environ)
            exact = where.startswith(_TRACES)
            address = address or _DEFAULT_ENDPOINTS[protocol]
        if protocol == GRPC:
            return cls._of_grpc(address, where, environ)
        return cls._of(address, where, exact=exact)

    @classmethod
    def _of(cls, address: str, where: str, *, exact: bool) -> Endpoint:
        public, login = _checked(address, where)
        base = public.rstrip("/")
        made = base if base.endswith(TRACES_PATH) else f"{base}{TRACES_PATH}"
        if not exact:
            return cls(made, login)
        return cls(public, login, exact=public != made)

    @classmethod
    def _of_grpc(cls, address: str, where: str, environ: Environment) -> Endpoint:
        if "://" not in address:
            insecure, _ = variable("INSECURE", environ)
            address = f"{'http' if insecure.lower() == 'true' else 'https'}://{address}"
        public, login = _checked(address, where)
        if urlsplit(public).path.strip("/"):
            raise ConfigurationError(f"{where} is {public!r}; gRPC has no paths: http://HOST:PORT")
        return cls(public.rstrip("/"), login)


def _checked(address: str, where: str) -> tuple[str, tuple[str, str] | None]:
    """Return an address without credentials, and these.

    Raises:
        ConfigurationError: It is no address of a server.
    """
    public = without_credentials(address)
    if not names_server(address, _SCHEMES):
        meant = f"http://{public}"
        likely = "//" not in address and names_server(meant, _SCHEMES)
        hint = f"; did you mean {meant!r}?" if likely else ""
        raise ConfigurationError(f"{where} is {public!r}; wanted http://HOST:PORT{hint}")
    parts = urlsplit(address)
    if parts.username is None:
        return public, None
    return public, (unquote(parts.username), unquote(parts.password or ""))


def headers(environ: Environment) -> dict[str, str]:
    """Return the headers that the environment names; their values are remembered as secrets.

    Args:
        environ: The environment.

    Raises:
        ConfigurationError: The variable is not of the form ``name=value,name=value``. Its text is
            not in the message.
    """
    text, name = variable("HEADERS", environ)
    return checked_headers(dict(_pairs(text, name)), name)


def checked_headers(found: Mapping[str, str], where: str) -> dict[str, str]:
    """Return headers that HTTP can send; their values are remembered as secrets.

    Args:
        found: The headers.
        where: What messages call them. Their values are in no message.

    Raises:
        ConfigurationError: A name or a value has characters that no header may have.
    """
    for name, value in found.items():
        if not _HEADER_NAME.fullmatch(name) or _CONTROL.search(value):
            raise ConfigurationError(f"{where}: {name!r} is no header, or its value has controls")
        remember_secret(value)
    return dict(found)


def _pairs(text: str, name: str) -> list[tuple[str, str]]:
    """Parse a list such as ``a=1,b=2``, whose names and values are percent-encoded."""
    pairs = []
    for number, item in enumerate(part for part in text.split(",") if part.strip()):
        key, equals, value = item.partition("=")
        key = unquote(key).strip()
        if not equals or not key:
            raise ConfigurationError(
                f"{name}: item {number + 1} is not of the form NAME=VALUE; separate items by "
                "commas, and write a comma inside a value as %2C"
            )
        pairs.append((key, unquote(value).strip()))
    return pairs


def sent_headers(
    endpoint: Endpoint, given: Mapping[str, str], environ: Environment
) -> dict[str, str]:
    """Return the headers to send with each request.

    Args:
        endpoint: Where to; a user name and a password in it log in.
        given: Headers given as an argument; they win over those of the environment.
        environ: The environment.

    Raises:
        ConfigurationError: See `headers`.
    """
    found = {**headers(environ), **given}
    if endpoint.login is None:
        return found
    pair = base64.b64encode(":".join(endpoint.login).encode()).decode()
    return {"Authorization": f"Basic {pair}", **found}


def certificate_files(environ: Environment) -> tuple[str, str, str]:
    """Return the files of the authority, of our certificate and of its key; empty if not named.

    A file with our certificate may hold the key as well. A key without a certificate is of no use.

    Raises:
        OSError: One of them is missing.
    """
    names = ("CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY")
    authority, certificate, key = (variable(name, environ)[0] for name in names)
    key = (key or certificate) if certificate else ""
    for path in filter(None, (authority, certificate, key)):
        Path(path).stat()  # TLS libraries do not name the file that they miss
    return authority, certificate, key


def protocol(given: str | None, environ: Environment) -> str:
    """Return how to speak to the server: `HTTP` or `GRPC`.

    Raises:
        ConfigurationError: Another protocol is wanted.
    """
    text, name = variable("PROTOCOL", environ)
    wanted = (given or text or HTTP).lower()
    if wanted not in _DEFAULT_ENDPOINTS:
        where = "protocol" if given else name
        raise ConfigurationError(f"{where}={wanted!r}; choose {HTTP} or {GRPC}")
    return wanted


def compression(given: str | None, environ: Environment) -> bool:
    """Return whether to compress requests with gzip.

    Raises:
        ConfigurationError: Another method is wanted.
    """
    text, name = variable("COMPRESSION", environ)
    wanted = (given or text or "none").lower()
    if wanted not in _COMPRESSIONS:
        where = "compression" if given else name
        raise ConfigurationError(f"{where}={wanted!r}; choose {' or '.join(_COMPRESSIONS)}")
    return wanted == "gzip"


def timeout(given: float | str | None, environ: Environment) -> float:
    """Return the seconds that an answer may take.

    OpenTelemetry's specification counts its variables in milliseconds, its SDK for Python in
    seconds. As in that SDK, these are seconds; 1,000 and more can only be milliseconds.

    Raises:
        ConfigurationError: It is no number above 0.
    """
    text, name = variable("TIMEOUT", environ)
    wanted = given if given is not None else text or _DEFAULT_TIMEOUT
    where = "timeout" if given is not None else name
    try:
        seconds = float(wanted)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= _LONGEST_TIMEOUT:
        raise ConfigurationError(f"{where}={wanted!r}; wanted seconds, more than 0")
    return seconds / 1_000 if given is None and seconds >= 1_000 else seconds  # noqa: PLR2004


def resource(environ: Environment) -> dict[str, str]:
    """Return the attributes of the resource that the environment names.

    Raises:
        ConfigurationError: The variable is not of the form ``name=value,name=value``.
    """
    found = dict(_pairs(environ.get(_RESOURCE, ""), _RESOURCE))
    service = environ.get("OTEL_SERVICE_NAME", "").strip()
    return {**found, **({"service.name": service} if service else {})}


def content(given: bool | str | None, environ: Environment) -> bool:
    """Return whether to send what was said.

    Raises:
        ConfigurationError: It is neither yes nor no.
    """
    if isinstance(given, bool):
        return given
    text = given or environ.get(_CAPTURE, "")
    return not text.strip() or yes_or_no(text, "content" if given else _CAPTURE)


def yes_or_no(text: str, where: str) -> bool:
    """Read an option that is true or false.

    Raises:
        ConfigurationError: It is neither.
    """
    word = text.strip().lower()
    if word not in _YES | _NO:
        raise ConfigurationError(f"{where}={text!r}; choose true or false")
    return word in _YES


def parse_spec(target: str) -> dict[str, str]:
    """Parse what follows ``otlp:`` in a sink's specification.

    Args:
        target: Such as ``http://127.0.0.1:4318?dialect=openinference``, or an empty text.

    Raises:
        ConfigurationError: An option is not known.
    """
    url, options = parse_target("otlp", target, _OPTIONS)
    if url.endswith(TRACES_PATH):
        options.setdefault("protocol", HTTP)
    return {**options, **({"endpoint": url} if url else {})}


def write_spec(endpoint: Endpoint, options: Mapping[str, str | None]) -> str:
    """Write the specification of a sink, without user name and password.

    Args:
        endpoint: Where it sends spans.
        options: Further options; those that are ``None`` are left out.
    """
    given = {name: value for name, value in options.items() if value is not None}
    if endpoint.exact:
        given["exact"] = "true"
    query = urlencode(given)
    return f"otlp:{endpoint.url}?{query}" if query else f"otlp:{endpoint.url}"
