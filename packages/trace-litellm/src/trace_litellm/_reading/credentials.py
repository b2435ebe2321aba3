"""Which of a call's parameters must never be recorded. Content is not judged here.

What a user writes into a message is looked through later by the redacting processor. Here it is
about what LiteLLM takes as credentials, by name: an allowed name is copied, a forbidden one is
not even looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from trace_core import Value, remember_secret

REDACTED: Final = "[REDACTED]"

_FORBIDDEN_PARTS: Final = (
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
_judged: dict[str, bool] = {}
_MAX_JUDGED: Final = 4_096


def is_secret(name: str) -> bool:
    """Tell whether a parameter of this name carries a credential."""
    known = _judged.get(name)
    if known is None:
        lowered = name.lower().replace("-", "_")
        known = lowered == "token" or any(part in lowered for part in _FORBIDDEN_PARTS)
        if len(_judged) < _MAX_JUDGED:
            _judged[name] = known
    return known


def without_secrets(value: Value) -> Value:
    """Replace credentials in plain data, going by the names of keys.

    Args:
        value: Plain data, as `trace_core.snapshot` makes it.

    Returns:
        The same with ``[REDACTED]`` where a key names a credential or a header is not one of
        those known to be harmless.
    """
    if isinstance(value, Mapping):
        return {name: _clean(name, item) for name, item in value.items()}
    if isinstance(value, tuple):
        return tuple(without_secrets(item) for item in value)
    return value


def _clean(name: str, value: Value) -> Value:
    if value is None:
        return None
    if is_secret(name):
        return withheld(value)
    if name in _HEADER_PARAMETERS and isinstance(value, Mapping):
        return {h: v if h.lower() in _OPEN_HEADERS else withheld(v) for h, v in value.items()}
    return without_secrets(value)


def withheld(value: object) -> str:
    """Say that a credential was given, and have it removed wherever else it turns up.

    An error's text may repeat it, or a message. It is remembered in memory alone.

    Args:
        value: The credential, perhaps with its scheme in front, as in ``Bearer ...``.
    """
    if isinstance(value, str):
        remember_secret(value.rpartition(" ")[2])
    return REDACTED
