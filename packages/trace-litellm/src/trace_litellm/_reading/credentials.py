"""Decides by name which of a call's parameters are credentials and must never be recorded.

The contents of messages are not judged here: the redacting processor searches them later, also for
the values that are remembered here.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from trace_core import (
    Value,
    environment_secrets,
    looks_secret,
    names_credential,
    remember_secret,
)

REDACTED: Final = "[redacted:by name]"

_PARTS: Final = (
    "access_key",
    "access_token",
    "ad_token",
    "api_key",
    "apikey",
    "auth_header",
    "auth_token",
    "authorization",
    "bearer",
    "client_secret",
    "credential",
    "ephemeral_key",
    "oauth2_headers",
    "passphrase",
    "password",
    "private_key",
    "raw_headers",
    "secret",
    "session_token",
    "web_identity_token",
)
"""A name with one of these in it is a credential's."""
_QUERIES: Final = frozenset({"extra_query", "query_params", "default_query"})
"""Parameters in which a plain "key" or "code" is a credential, as it is in a URL."""
_QUERY_NAMES: Final = frozenset({"code", "key", "signature"})
_HEADER_PARAMETERS: Final = frozenset(
    {"agent_extra_headers", "default_headers", "extra_headers", "headers", "request_headers"}
)
_OPEN_HEADERS: Final = frozenset(
    {
        "accept",
        "anthropic-beta",
        "anthropic-version",
        "content-type",
        "openai-beta",
        "openai-organization",
        "openai-project",
        "traceparent",
        "tracestate",
        "user-agent",
        "x-request-id",
    }
)
_NUMBERS: Final = (bool, int, float)
_RANDOM_CHARACTERS: Final = 20


@functools.lru_cache(maxsize=4_096)
def is_secret(name: str) -> bool:
    """Return whether a parameter of this name carries a credential.

    Args:
        name: Its name, in any case, with ``_`` or ``-``.
    """
    lowered = name.lower().replace("-", "_")
    return any(part in lowered for part in _PARTS) or names_credential(name)


def withhold_credentials(value: Value) -> Value:
    """Withhold the values in plain data whose keys name a credential.

    Args:
        value: Plain data, as `trace_core.snapshot` makes it.

    Returns:
        The same with ``[redacted:by name]`` where a key names a credential, and for all headers
        that are not known to be harmless.
    """
    if isinstance(value, Mapping):
        return {name: _clean(name, item) for name, item in value.items()}
    if isinstance(value, tuple):
        return tuple(withhold_credentials(item) for item in value)
    return value


def _clean(name: str, value: Value) -> Value:
    if value is None or isinstance(value, _NUMBERS):
        return value
    if is_secret(name):
        return withheld(value)
    if isinstance(value, Mapping):
        if name in _HEADER_PARAMETERS:
            return {header: _header(header, v) for header, v in value.items()}
        if name in _QUERIES:
            return {
                item: withheld(v) if item.lower() in _QUERY_NAMES else _clean(item, v)
                for item, v in value.items()
            }
    return withhold_credentials(value)


def _header(name: str, value: Value) -> Value:
    """Withhold a header; what is named or looks like a credential is removed elsewhere as well."""
    if name.lower() in _OPEN_HEADERS:
        return value
    return withheld(value) if is_secret(name) or _is_random(value) else REDACTED


def _is_random(value: Value) -> bool:
    """Say whether a value is as long and mixed as keys are, and no name, UUID or hash is."""
    if not isinstance(value, str) or len(value) < _RANDOM_CHARACTERS or value.split() != [value]:
        return False
    return all(any(map(kind, value)) for kind in (str.isdigit, str.islower, str.isupper))


def withheld(value: object) -> str:
    """Return what to record for a credential, and have its value removed from all spans.

    An error's text or a message may repeat it. It is remembered in memory only, and only if it
    looks like a credential: "ollama" and "anything" are common keys of servers that need none.

    Args:
        value: The credential, which may begin with its scheme, as in ``Bearer ...``; or several.
    """
    for one in value if isinstance(value, (tuple, list)) else (value,):
        if isinstance(one, str):
            _remember(one.rpartition(" ")[2])
    return REDACTED


def _remember(value: object) -> None:
    if looks_secret(value):
        remember_secret(value)


def remember_url(url: str) -> None:
    """Have the credentials in a URL removed from all spans.

    Args:
        url: An endpoint, such as ``https://host/v1?key=...``.
    """
    if "?" not in url and "@" not in url:
        return
    try:
        split = urlsplit(url)
        _remember(split.password)
        query = parse_qsl(split.query)
    except ValueError:  # not a URL
        return
    for name, value in query:
        if is_secret(name) or name.lower() in _QUERY_NAMES:
            _remember(value)


_CLIENT_ATTRIBUTES: Final = (
    "api_key",
    "_api_key",
    "auth_token",
    "_azure_ad_token",
    "admin_api_key",
)


def remember_client(client: object) -> None:
    """Have the key of a provider's client, such as ``OpenAI(api_key=...)``, removed from all spans.

    Args:
        client: The client. Only its instance attributes are read; nothing of it is run.
    """
    attributes = getattr(client, "__dict__", None)
    if isinstance(attributes, dict):
        for name in _CLIENT_ATTRIBUTES:
            _remember(attributes.get(name))


_MOST_CREDENTIALS: Final = 64


def remember_settings() -> None:
    """Have the keys in LiteLLM's settings and in the environment removed from all spans.

    For a call that failed: providers repeat the key in their answer, and the program may change
    the setting or unset the variable before the span is written.
    """
    environment_secrets()
    settings = getattr(sys.modules.get("litellm"), "__dict__", {})
    for name in _setting_names(len(settings)):
        _remember(settings.get(name))
    listed = settings.get("credential_list")
    for item in islice(listed, _MOST_CREDENTIALS) if isinstance(listed, list) else ():
        values = getattr(item, "credential_values", None)
        if isinstance(values, Mapping):
            _remember_values(values.items())


def _remember_values(items: Iterable[tuple[str, object]]) -> None:
    for name, value in items:
        if isinstance(value, str) and is_secret(name):
            _remember(value)


@functools.lru_cache(maxsize=1)
def _setting_names(_count: int) -> tuple[str, ...]:
    """Return the names of LiteLLM's settings that are keys; anew when it has got more names."""
    settings = getattr(sys.modules.get("litellm"), "__dict__", {})
    return tuple(n for n in settings.copy() if n.islower() and n.endswith(("key", "token")))
