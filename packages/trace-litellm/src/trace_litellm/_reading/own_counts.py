"""Remembers the token counts that LiteLLM made itself, where nothing in its answer says so.

It estimates the usage of a Responses stream whose provider reported none. In its cache it keeps,
with the answer, what it estimated for any stream; older releases keep no counts at all. And for a
few providers it counts a whole answer itself where they do not.
"""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Final, TypeAlias
from weakref import WeakValueDictionary

import attrs

from trace_core import TokenUsage, UsageSource, Value, after_fork
from trace_litellm._reading.tokens import answer_text, request_text
from trace_litellm._reading.usage import source_of

Sources: TypeAlias = dict[str, Value]
"""Attributes that name the source of each side, where the sides differ."""

_Key: TypeAlias = "tuple[Value, int, int]"
_MOST_KEPT: Final = 4_096
_estimates: Final[WeakValueDictionary[int, Any]] = WeakValueDictionary()
"""By id, because pydantic models have no hash."""


def remember_estimate(usage: Any) -> None:
    """Remember that LiteLLM estimated a usage; for as long as the object lives.

    Args:
        usage: The object that it made.
    """
    if usage is not None:
        _estimates[id(usage)] = usage


def is_estimate(usage: Any) -> bool:
    """Return whether LiteLLM estimated a usage.

    Args:
        usage: The object that is part of the answer.
    """
    return usage is not None and _estimates.get(id(usage)) is usage


@attrs.frozen
class _Kept:
    """The counts of an answer, and where they come from."""

    usage: TokenUsage
    sources: Sources


class KeptCounts:
    """The counts of the latest streams, in case LiteLLM's cache repeats one."""

    def __init__(self) -> None:
        self._kept: OrderedDict[_Key, _Kept] = OrderedDict()
        self._renew_lock()
        after_fork(self._renew_lock)

    def _renew_lock(self) -> None:
        self._lock = threading.Lock()

    def keep(
        self,
        inputs: Mapping[str, Value],
        outputs: Value,
        usage: TokenUsage | None,
        sources: Sources,
    ) -> None:
        """Remember a stream.

        Args:
            inputs: The parameters of the call.
            outputs: Its answer.
            usage: Its tokens.
            sources: Attributes with the sources of each side.
        """
        key = _key(inputs, outputs)
        if usage is None or key is None:
            return
        with self._lock:
            self._kept[key] = _Kept(usage, sources)
            self._kept.move_to_end(key)
            while len(self._kept) > _MOST_KEPT:
                self._kept.popitem(last=False)

    def as_new(
        self,
        inputs: Mapping[str, Value],
        outputs: Value,
        usage: TokenUsage | None,
        sources: Sources,
    ) -> tuple[TokenUsage | None, Sources]:
        """Return the counts of a kept answer as they were when it was new, if that is known.

        Older releases keep their own count of a text stream in place of the provider's.

        Args:
            inputs: The parameters of the call.
            outputs: The answer.
            usage: Its tokens, as the cache tells them, or estimated.
            sources: Attributes with the sources of each side.

        Returns:
            The counts and their sources.
        """
        key = _key(inputs, outputs)
        known = self._kept.get(key) if key is not None else None
        if usage is None or known is None:
            return usage, sources
        return known.usage, known.sources


KEPT: Final = KeptCounts()


def _key(inputs: Mapping[str, Value], outputs: Value) -> _Key | None:
    """Tell an answer from others. The id alone is not enough: some servers repeat theirs."""
    name = outputs.get("id") if isinstance(outputs, Mapping) else None
    if name is None:
        return None
    return name, hash(request_text(inputs)), hash(answer_text(outputs))


_COUNTED_FOR: Final = frozenset(
    {
        "a2a", "aleph_alpha", "huggingface", "langgraph", "ollama_chat", "petals", "predibase",
        "replicate", "sagemaker",
    }
)  # fmt: skip
"""Providers for which LiteLLM has code that counts the tokens of whole answers."""
_COUNT: Final = re.compile(r'"[^"]*(?:token|count)[^"]*"\s*:\s*(\d+)', re.IGNORECASE)


def original_answer(provider: str | None, details: Any) -> str | None:
    """Return what a provider sent, if LiteLLM may have counted the tokens for it.

    Args:
        provider: LiteLLM's name of it.
        details: What LiteLLM tells its callbacks of the call.
    """
    if provider not in _COUNTED_FOR or not isinstance(details, Mapping):
        return None
    original = details.get("original_response")
    return original if isinstance(original, str) and original.startswith("{") else None


def marked_by_original(usage: TokenUsage, original: str) -> tuple[TokenUsage, Sources]:
    """Mark as estimated what a provider did not count: its answer has no such count.

    Args:
        usage: The tokens, as LiteLLM tells them.
        original: What the provider sent.
    """
    told = {int(count) for count in _COUNT.findall(original)}
    source, sources = source_of(
        {
            side: UsageSource.PROVIDER if count in told else UsageSource.ESTIMATED
            for side, count in (("input", usage.input), ("output", usage.output))
        }
    )
    return attrs.evolve(usage, source=source), sources
