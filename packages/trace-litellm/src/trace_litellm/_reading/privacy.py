"""LiteLLM's own switches for calls whose content must not be logged."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, Final

from trace_core import Value

REDACTED_TEXT: Final = "redacted-by-litellm"
"""LiteLLM's own replacement, which its other integrations write."""
_TURN_OFF: Final = "turn_off_message_logging"
_ENABLE: Final = ("litellm-enable-message-redaction", "x-litellm-enable-message-redaction")
_DISABLE: Final = "litellm-disable-message-redaction"
_SWITCHES: Final = frozenset({"no-log", "metadata", "litellm_metadata", _TURN_OFF})
_SHOWN: Final = frozenset(
    {
        "api_base",
        "api_version",
        "base_url",
        "custom_llm_provider",
        "encoding_format",
        "model",
        "quality",
        "reasoning_effort",
        "service_tier",
        "size",
        "tool_choice",
        "voice",
    }
)
"""Parameters whose text is recorded of any call: it says how to answer, not what was asked."""
_NUMBERS: Final = (bool, int, float)
_NO_HEADERS: Final[Mapping[str, Any]] = {}


def hides(kwargs: Mapping[str, Any]) -> tuple[bool, bool]:
    """Return whether LiteLLM must not log the inputs, and the outputs, of a call.

    Args:
        kwargs: The keyword arguments of the call.
    """
    litellm: Any = sys.modules.get("litellm")
    if _SWITCHES.isdisjoint(kwargs):  # most calls have none of their own
        hidden = getattr(litellm, _TURN_OFF, False) is True
        return hidden, hidden
    if kwargs.get("no-log") is True and not getattr(litellm, "global_disable_no_log_param", False):
        return True, True
    given = kwargs.get("litellm_metadata"), kwargs.get("metadata")
    metadata = [one for one in given if one is not None and isinstance(one, Mapping)]
    if _turned_off(litellm, kwargs, metadata):
        return True, True
    inputs = outputs = False
    for one in metadata:
        inputs |= _is_true(one.get("mask_input"))
        outputs |= _is_true(one.get("mask_output"))
    return inputs, outputs


def _turned_off(litellm: Any, kwargs: Mapping[str, Any], metadata: list[Mapping[str, Any]]) -> bool:
    """Weigh header, parameter and setting as LiteLLM does: the nearer to the call, the heavier."""
    headers: Any = _NO_HEADERS
    for one in metadata:
        if told := one.get("headers"):
            headers = told if isinstance(told, Mapping) else _NO_HEADERS
            break
    if headers.get(_DISABLE):
        return False
    for source in (kwargs, *metadata):
        if source.get(_TURN_OFF) is not None:
            return _is_true(source[_TURN_OFF])
    if headers.get(_ENABLE[0]) or headers.get(_ENABLE[1]):
        return True
    return getattr(litellm, _TURN_OFF, False) is True


def _is_true(value: Any) -> bool:
    return value is True or (isinstance(value, str) and value.strip().lower() == "true")


def without_content(parameters: Mapping[str, Value]) -> dict[str, Value]:
    """Return parameters of a call without anything that was asked.

    Args:
        parameters: The copied parameters.
    """
    return {
        name: value if name in _SHOWN or isinstance(value, _NUMBERS) else REDACTED_TEXT
        for name, value in parameters.items()
    }


def hides_keys() -> bool:
    """Return whether LiteLLM must not log the owner of a proxy's key."""
    return getattr(sys.modules.get("litellm"), "redact_user_api_key_info", False) is True
