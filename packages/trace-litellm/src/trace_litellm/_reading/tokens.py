"""Estimates token counts with the tokenizer that LiteLLM ships, without any request.

Other tokenizers would be fetched from the network, and so would images by LiteLLM's own counter.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import Any, Final

from trace_core import TokenUsage, UsageSource, Value

_SAID: Final = frozenset({"arguments", "content", "reasoning_content", "text", "thinking"})
_ASKED: Final = ("contents", "input", "instructions", "messages", "prompt", "system")
_IMAGES: Final = frozenset({"image", "image_url", "input_image"})
_IMAGE_TOKENS: Final = 250
"""LiteLLM's count for an image that it does not fetch."""


def estimated_usage(inputs: Value, outputs: Value) -> TokenUsage | None:
    """Count the tokens of a request and of an answer.

    Args:
        inputs: The parameters of the call.
        outputs: The response.

    Returns:
        The estimate; ``None`` if the answer has no text.
    """
    text = answer_text(outputs)
    if not text or not isinstance(inputs, Mapping):
        return None
    asked, answered = _asked(inputs), count_tokens(text=text)
    return TokenUsage(asked, answered, asked + answered, source=UsageSource.ESTIMATED)


def answer_text(outputs: Value) -> str:
    """Return all text of an answer of any family: what was said, thought and asked of tools.

    Args:
        outputs: The response.
    """
    return "".join(_texts(outputs))


def request_text(inputs: Mapping[str, Value]) -> str:
    """Return all text of a request of any family: what was asked, without its tools.

    Args:
        inputs: The parameters of the call.
    """
    asked = [inputs[name] for name in _ASKED if name in inputs]
    return "\n".join(text for one in asked for text in _texts({"text": one}))


def _asked(inputs: Mapping[str, Value]) -> int:
    messages = inputs.get("messages")
    if not isinstance(messages, tuple):
        return count_tokens(text=request_text(inputs))
    images = 0
    countable: list[Any] = []
    for message in messages:
        without, number = _without_images(message)
        countable.append(without)
        images += number * _IMAGE_TOKENS
    try:
        return images + count_tokens(messages=countable)
    except Exception:  # a part that LiteLLM's counter does not know
        return images + count_tokens(text="\n".join(_texts(messages)))


def _without_images(message: Value) -> tuple[Any, int]:
    """Return a message as LiteLLM counts it, without its images, and their number."""
    if not isinstance(message, Mapping) or not isinstance(message.get("content"), tuple):
        return mutable(message), 0
    parts: Any = message["content"]
    others = [p for p in parts if not (isinstance(p, Mapping) and p.get("type") in _IMAGES)]
    return mutable({**message, "content": tuple(others)}), len(parts) - len(others)


def count_tokens(**what: Any) -> int:
    """Count the tokens of ``text`` or ``messages`` with OpenAI's tokenizer."""
    encoding = importlib.import_module("litellm.litellm_core_utils.default_encoding").encoding
    tokenizer = {"type": "openai_tokenizer", "tokenizer": encoding}
    counter = importlib.import_module("litellm.utils").token_counter
    return int(counter(model="", custom_tokenizer=tokenizer, **what))


def as_amount(value: object) -> float | None:
    """Return a value as a float; ``None`` if it is no number, is below 0, or no float can hold it.

    Args:
        value: What a provider, the program or LiteLLM told.
    """
    return float(value) if isinstance(value, (int, float)) and 0 <= value < 2.0**1023 else None


def mutable(value: Any) -> Any:
    """Return plain data with lists and dictionaries, as LiteLLM expects it."""
    if isinstance(value, Mapping):
        return {name: mutable(item) for name, item in value.items()}
    if isinstance(value, tuple):
        return [mutable(item) for item in value]
    return value


def _texts(value: Value, *, said: bool = False) -> Iterator[str]:
    """Yield the texts of a request or response of any family."""
    if isinstance(value, str):
        if said:
            yield value
    elif isinstance(value, tuple):
        for item in () if value and isinstance(value[0], float) else value:  # a vector
            yield from _texts(item, said=said)
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from _texts(item, said=name in _SAID)
