"""Makes whole answers of recorded outputs: LiteLLM's own objects, of the recorded class."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import random
import sys
from collections.abc import Mapping
from typing import Any, Final

from trace_core import Value, semconv
from trace_litellm._reading.responses import (
    ANSWER_CLASS,
    CALL_ID,
    MODEL_ID,
    PROVIDER,
    RATE_LIMIT_PREFIX,
)
from trace_litellm._reading.tokens import mutable
from trace_litellm._replay.errors import NotRecorded
from trace_litellm._replay.recordings import Recording

_TYPES: Final = "litellm.types.utils"
_CLASSES: Final = {
    "chat": f"{_TYPES}.ModelResponse",
    "embedding": f"{_TYPES}.EmbeddingResponse",
    "responses": "litellm.types.llms.openai.ResponsesAPIResponse",
    "text": f"{_TYPES}.TextCompletionResponse",
}
"""The class of a whole answer where it was not recorded, because the answer was a stream."""
_ITEMS: Final = {"message": "GenericResponseOutputItem", "function_call": "OutputFunctionToolCall"}
"""Classes of the items of an answer that LiteLLM has translated for the Responses API."""
_PACKAGES: Final = frozenset({"google", "litellm", "openai"})


def whole(recording: Recording, *, made_vectors: bool) -> Any:
    """Make the answer that a recorded call got.

    Args:
        recording: The call.
        made_vectors: Whether to make vectors up that were too long to be recorded.

    Raises:
        NotRecorded: The answer was a file, or its content was left out.
    """
    if recording.family == "speech":
        raise _without_content(recording, "what is audio is never recorded")
    outputs = mutable(_vectors(recording.outputs) if made_vectors else recording.outputs)
    left_out = _left_out(outputs)
    if left_out is not None:
        raise _without_content(recording, left_out)
    answer = _object(recording, outputs)
    _note(answer, recording)
    return answer


def _without_content(recording: Recording, why: str) -> NotRecorded:
    return NotRecorded(f"the answer of {recording.span.name} cannot be replayed: {why}")


def _object(recording: Recording, outputs: Any) -> Any:
    named = recording.span.attributes.get(ANSWER_CLASS) or _CLASSES.get(recording.family)
    module, _, name = str(named or "builtins.dict").rpartition(".")
    if module == "builtins":
        return outputs
    cls = _class(module, name)
    if cls is None or not isinstance(outputs, dict):
        raise _without_content(recording, f"a {named} cannot be made again")
    answer = _built(cls, outputs)
    _set_usage(answer, outputs.get("usage"))
    if cls.__name__ == "ResponsesAPIResponse" and isinstance(answer.output, list):
        answer.output = [_item(item) for item in answer.output]
    return answer


def _item(item: Any) -> Any:
    """Make an object of an item that the answer's class has left as it is: older releases do."""
    name = _ITEMS.get(item.get("type", "")) if isinstance(item, dict) else None
    cls = _class("litellm.types.responses.main", name) if name else None
    with contextlib.suppress(Exception):  # one of a provider's own
        return item if cls is None else cls(**item)
    return item


def _built(cls: Any, outputs: dict[str, Any]) -> Any:
    """Build an answer as LiteLLM does: some fields are set after others were given."""
    with contextlib.suppress(Exception):
        return cls(**outputs)
    with contextlib.suppress(Exception):
        takes = inspect.signature(cls.__init__).parameters
        answer = cls(**{name: value for name, value in outputs.items() if name in takes})
        for name in outputs.keys() - takes.keys():
            setattr(answer, name, outputs[name])
        return answer
    return cls.model_construct(**outputs)  # of a release that is stricter


def _class(module: str, name: str) -> Any:
    """Return one of the classes for answers; a file does not get to import anything else."""
    if module.partition(".")[0] not in _PACKAGES:
        return None
    if module not in sys.modules and ".types." in module:
        with contextlib.suppress(ImportError):  # of another release
            importlib.import_module(module)
    found = getattr(sys.modules.get(module), name, None)
    return found if hasattr(found, "model_construct") else None


def _set_usage(answer: Any, usage: Any) -> None:
    """Give images the usage that LiteLLM gives them, which is that of chats."""
    if type(answer).__name__ == "ImageResponse" and isinstance(usage, dict):
        from litellm.types.utils import Usage

        answer.usage = Usage(**usage) if "prompt_tokens" in usage else answer.usage


def hidden_params(recording: Recording) -> dict[str, Any]:
    """Return LiteLLM's ``_hidden_params`` of an answer, as far as they were recorded.

    Args:
        recording: The call.
    """
    span, known = recording.span, recording.span.attributes
    limits = {
        f"x-ratelimit-{name.removeprefix(RATE_LIMIT_PREFIX)}": value
        for name, value in known.items()
        if name.startswith(RATE_LIMIT_PREFIX)
    }
    return {
        "custom_llm_provider": known.get(PROVIDER),
        "model_id": known.get(MODEL_ID),
        "litellm_call_id": known.get(CALL_ID),
        "api_base": known.get(semconv.URL_FULL),
        "cache_hit": known.get(semconv.CACHE_HIT) or None,
        "response_cost": span.cost.total if span.cost is not None else None,
        "_response_ms": span.duration_ns / 1e6,
        "additional_headers": limits,
    }


def _note(answer: Any, recording: Recording) -> None:
    """Put the hidden parameters on an answer that has room for them."""
    hidden = hidden_params(recording)
    try:
        before = answer._hidden_params  # noqa: SLF001  # LiteLLM's name for what it tells besides
    except (AttributeError, TypeError):  # the second from models without private attributes
        return
    if isinstance(before, dict):
        before.update(hidden)
    else:  # a model of its own, which text completions have
        for name in hidden.keys() & {"custom_llm_provider", "model_id", "response_cost"}:
            with contextlib.suppress(Exception):
                setattr(before, name, hidden[name])


def _left_out(value: Any) -> str | None:
    """Say what of an answer `limit_payloads` or the snapshot has left out."""
    if isinstance(value, dict):
        kind, size = value.get("kind"), value.get("length", value.get("bytes"))
        if isinstance(size, int) and ("sha256" in value or "sha256_64k" in value):
            return _ABOUT_VECTORS if kind == "vector" else f"{kind} of {size} {_ABOUT_FILES}"
        return next(filter(None, map(_left_out, value.values())), None)
    if isinstance(value, list) and not (value and isinstance(value[0], float)):
        return next(filter(None, map(_left_out, value)), None)
    return None


_ABOUT_VECTORS: Final = (
    "its vectors are too long to be recorded by autolog(). Record them with "
    'trace_litellm.record(), or have some made up: replay(..., vectors="made")'
)
_ABOUT_FILES: Final = (
    "characters or bytes was not recorded; trace_litellm.record() keeps what is text, such as "
    "images in base64"
)


def _vectors(value: Value) -> Value:
    """Replace vectors that were left out by others of their length: the same for the same text."""
    if isinstance(value, tuple):
        return value if value and isinstance(value[0], float) else tuple(map(_vectors, value))
    if not isinstance(value, Mapping):
        return value
    if value.get("kind") == "vector" and isinstance(value.get("length"), int):
        return _made_vector(str(value.get("sha256")), int(str(value["length"])))
    return {name: _vectors(item) for name, item in value.items()}


def _made_vector(seed: str, length: int) -> Value:
    drawn = random.Random(seed)  # noqa: S311  # to be the same each time, not to be secret
    numbers = [drawn.gauss(0, 1) for _ in range(length)]
    norm = sum(number * number for number in numbers) ** 0.5
    return tuple(number / norm for number in numbers)
