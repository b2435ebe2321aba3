"""Makes recorded exceptions again: of the same class, with the same text, status and model."""

from __future__ import annotations

import inspect
import sys
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
_NEVER_RAISED: Final = (StopIteration, StopAsyncIteration)
"""A coroutine that raises one of these raises a RuntimeError instead."""


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
    details, found = _details(recording.span.attributes, text), _class(kind)
    error = None if found is None else _made(found, told, details)
    error = error or _made(_general_class(), f"{kind}: {told}", details) or RuntimeError(told)
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
    module = module or "builtins"
    if module.partition(".")[0] not in _PACKAGES:
        return None
    found: Any = getattr(sys.modules.get(module), attribute, None)
    is_one = isinstance(found, type) and issubclass(found, Exception)
    return found if is_one and not issubclass(found, _NEVER_RAISED) else None


def _general_class() -> type[Exception]:
    """Return LiteLLM's class for errors of no other class, for one that is not to be had."""
    from litellm.exceptions import APIError

    return APIError


def _details(attributes: Mapping[str, Value], text: str) -> dict[str, Any]:
    """Return what the constructors of LiteLLM's and OpenAI's exceptions take, by name."""
    import httpx

    status = attributes.get(semconv.HTTP_RESPONSE_STATUS_CODE)
    status = status if isinstance(status, int) else 500
    request = httpx.Request("POST", "http://replayed.invalid/")
    return {
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


def _made(cls: type[Exception], message: str, details: Mapping[str, Any]) -> Exception | None:
    """Make an exception by its own constructor, or around it if that wants something else."""
    told = message.removeprefix(f"litellm.{cls.__name__}: ")  # which the constructor puts there
    build: Any = cls
    try:
        takes = inspect.signature(cls).parameters
        given = {name: value for name, value in details.items() if name in takes}
        error: Any = build(message=told, **given) if "message" in takes else build(message)
    except Exception:  # a constructor of another release
        error = _without_constructor(cls, message)
    if hasattr(error, "message"):
        error.message = message
    return error  # type: ignore[no-any-return]


def _without_constructor(cls: type[Exception], message: str) -> Exception | None:
    try:
        error = cls.__new__(cls, message)
        error.args = (message,)
        return error if message in str(error) else None
    except Exception:  # one that cannot do without its constructor
        return None
