"""Sorts what went wrong in a call into categories that are the same for every provider."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import attrs

from trace_core import Status, StatusCode, Value, semconv

_CATEGORIES: Final = {
    "MidStreamFallbackError": "mid_stream",
    "ContextWindowExceededError": "context_window",
    "ContentPolicyViolationError": "content_policy",
    "RateLimitError": "rate_limit",
    "AuthenticationError": "authentication",
    "PermissionDeniedError": "permission",
    "NotFoundError": "not_found",
    "Timeout": "timeout",
    "APITimeoutError": "timeout",
    "TimeoutError": "timeout",
    "BudgetExceededError": "budget",
    "GuardrailRaisedException": "guardrail",
    "BlockedPiiEntityError": "guardrail",
    "RejectedRequestError": "guardrail",
    "UnsupportedParamsError": "unsupported_parameter",
    "UnprocessableEntityError": "invalid_request",
    "BadRequestError": "invalid_request",
    "ServiceUnavailableError": "unavailable",
    "BadGatewayError": "unavailable",
    "InternalServerError": "provider",
    "APIResponseValidationError": "invalid_response",
    "APIConnectionError": "connection",
    "APIError": "provider",
}
"""By class name, because which classes exist depends on LiteLLM's release. First match of the
exception's own line of ancestors, so the special before the general."""
_CODES: Final = {
    "content_filter": "content_policy",
    "content_policy_violation": "content_policy",
    "context_length_exceeded": "context_window",
}
"""The provider's error code, for errors whose text LiteLLM does not know."""
_STATUSES: Final[dict[int | None, str]] = {
    400: "invalid_request",
    401: "authentication",
    403: "permission",
    404: "not_found",
    408: "timeout",
    422: "invalid_request",
    429: "rate_limit",
    502: "unavailable",
    503: "unavailable",
}
_FIRST_SERVER_ERROR: Final = 500
ERROR_MODEL: Final = "litellm.error.model"
"""The model as LiteLLM's exception names it; some functions leave the provider out."""
ERROR_PROVIDER: Final = "litellm.error.provider"
_REPORTED: Final = {
    "authentication_error": "authentication",
    "invalid_prompt": "invalid_request",
    "invalid_request_error": "invalid_request",
    "not_found_error": "not_found",
    "overloaded_error": "unavailable",
    "permission_error": "permission",
    "rate_limit_error": "rate_limit",
    "rate_limit_exceeded": "rate_limit",
    "timeout_error": "timeout",
}
"""The names in Anthropic's error events and OpenAI's failed responses."""


@attrs.frozen
class Failure:
    """A failure that LiteLLM does not raise.

    Args:
        text: The message.
        kind: ``error.type``.
        category: As `category` has them.
    """

    text: str
    kind: str
    category: str

    @property
    def status(self) -> Status:
        """The status of the span."""
        return Status(StatusCode.ERROR, self.text)

    @property
    def attributes(self) -> dict[str, Value]:
        """The attributes of the span."""
        return {semconv.ERROR_TYPE: self.kind, semconv.ERROR_CATEGORY: self.category}


def reported_failure(error: Mapping[str, Value]) -> Failure:
    """Read an error that a provider reports in an answer.

    Args:
        error: Its ``message``, and its ``type`` or ``code``.
    """
    kind = str(error.get("type") or error.get("code") or "error")
    return Failure(str(error.get("message") or kind), kind, _REPORTED.get(kind, "provider"))


def category(error: BaseException) -> str:
    """Sort an exception into one of a few kinds.

    Args:
        error: What the call raised.

    Returns:
        rate_limit, context_window, content_policy, authentication, permission, not_found,
        timeout, cancelled, mid_stream, budget, guardrail, unsupported_parameter,
        invalid_request, unavailable, provider, invalid_response, connection or other. Beside
        these there is tool: one that failed and said so in its answer.
    """
    if isinstance(error, (asyncio.CancelledError, GeneratorExit, KeyboardInterrupt)):
        return "cancelled"
    for cls in type(error).__mro__:
        known = _CATEGORIES.get(cls.__name__)
        if known == "invalid_request":  # also LiteLLM's class for what it does not know
            return _by_code(error) or _STATUSES.get(_status(error), known)
        if known is not None:
            return known
    return _by_status(_status(error))


def _by_code(error: BaseException) -> str | None:
    body: Any = getattr(error, "body", None)
    code = body.get("code") if isinstance(body, dict) else getattr(error, "code", None)
    return _CODES.get(code) if isinstance(code, str) else None


def _status(error: BaseException) -> int | None:
    status: Any = getattr(error, "status_code", None)
    if isinstance(status, str) and status.isdigit():
        status = int(status)
    return status if isinstance(status, int) else None


def _by_status(status: int | None) -> str:
    """Sort an exception of a provider's own class, which LiteLLM did not map."""
    if status is None:
        return "other"
    return _STATUSES.get(status) or ("provider" if status >= _FIRST_SERVER_ERROR else "other")


def error_attributes(error: BaseException) -> dict[str, Value]:
    """Read what LiteLLM puts on its exceptions. Never the request, which holds the key.

    Args:
        error: What the call raised.
    """
    attributes: dict[str, Value] = {
        semconv.ERROR_CATEGORY: category(error),
        semconv.HTTP_RESPONSE_STATUS_CODE: _status(error),
    }
    for name, field in ((ERROR_MODEL, "model"), (ERROR_PROVIDER, "llm_provider")):
        value = getattr(error, field, None)
        if type(value) is str:
            attributes[name] = value
    return attributes
