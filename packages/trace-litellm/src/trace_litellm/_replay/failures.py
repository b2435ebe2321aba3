"""Makes recorded exceptions again: of the same class, with the same text, status and model."""

from __future__ import annotations

import builtins
import importlib
import inspect
from collections.abc import Mapping
from typing import Any, Final

from trace_core import Value, semconv
from trace_litellm._reading.errors import ERROR_MODEL, ERROR_PROVIDER
from trace_litellm._reading.responses import PROVIDER
from trace_litellm._replay.errors import NotRecorded
from trace_litellm._replay.recordings import Recording

_PACKAGES: Final = frozenset({"asyncio", "builtins", "httpx", "litellm", "openai", "pydantic"})
"""Whose exceptions are made again; a file must not get to choose among all there are."""
_CANCELLED: Final = frozenset(
    {"asyncio.exceptions.CancelledError", "GeneratorExit", "KeyboardInterrupt", "SystemExit"}
)
"""Not the provider's doing: the program itself broke off."""


def error_of(recording: Recording, text: str = "") -> Exception | None:
    """Make the exception that the caller of a recorded call got, if it got one.

    Args:
        recording: The call.
        text: What a stream had brought by then.
    """
    event = recording.error
    if event is None:
        return None
    kind, message = str(event.get(semconv.EXCEPTION_TYPE)), event.get(semconv.EXCEPTION_MESSAGE)
    if kind in _CANCELLED:
        return broken_off(recording, "the program cancelled it")
    told = str(message or "")
    found = _class(kind)
    if found is None:
        return _general(recording, told, kind)
    error = _made(found, told, _details(recording.span.attributes, told, found, text))
    status = recording.span.attributes.get(semconv.HTTP_RESPONSE_STATUS_CODE)
    if status is not None:
        error.status_code = status  # type: ignore[attr-defined]  # where LiteLLM puts it
    return error


def broken_off(recording: Recording, why: str) -> NotRecorded:
    """Make the error for a call of which there is no more than was read when it was recorded.

    Args:
        recording: The call.
        why: Why there is no more.
    """
    return NotRecorded(
        f"the recording of this call of {recording.span.name} ends here, because {why}; to read "
        "more of the answer, record it again"
    )


def _class(name: str) -> type[Exception] | None:
    module, _, attribute = name.rpartition(".")
    if (module or "builtins").partition(".")[0] not in _PACKAGES:
        return None
    try:
        home: Any = importlib.import_module(module) if module else builtins
    except ImportError:  # of another release
        return None
    found = getattr(home, attribute, None)
    return found if isinstance(found, type) and issubclass(found, Exception) else None


def _general(recording: Recording, message: str, kind: str) -> Exception:
    """Make LiteLLM's general error for a class that is not to be had."""
    from litellm.exceptions import APIError

    details = _details(recording.span.attributes, f"{kind}: {message}", APIError, "")
    return _made(APIError, f"{kind}: {message}", details)


def _details(attributes: Mapping[str, Value], message: str, cls: type, text: str) -> dict[str, Any]:
    """Return what the constructors of LiteLLM's and OpenAI's exceptions take, by name."""
    import httpx

    status = attributes.get(semconv.HTTP_RESPONSE_STATUS_CODE)
    status = status if isinstance(status, int) else 500
    request = httpx.Request("POST", str(attributes.get(semconv.URL_FULL) or "http://replayed"))
    return {
        "message": message.removeprefix(f"litellm.{cls.__name__}: "),
        "llm_provider": attributes.get(ERROR_PROVIDER, attributes.get(PROVIDER)) or "",
        "model": attributes.get(ERROR_MODEL, attributes.get(semconv.REQUEST_MODEL)) or "",
        "status_code": status,
        "request": request,
        "response": httpx.Response(status, request=request),
        "body": None,
        "generated_content": text,
        "is_pre_first_chunk": not text,
        "current_cost": 0.0,
        "max_budget": 0.0,
    }


def _made(cls: type[Exception], message: str, details: Mapping[str, Any]) -> Exception:
    """Make an exception by its own constructor, or around it if that wants something else."""
    try:
        takes = inspect.signature(cls).parameters
        given = {name: value for name, value in details.items() if name in takes}
        error = cls(**given) if "message" in takes else cls(message)
    except Exception:  # a constructor of another release
        error = cls.__new__(cls, message)
        error.args = (message,)
    if hasattr(error, "message"):
        error.message = message
    return error
