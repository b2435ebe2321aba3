"""Token counts: read from a response, and completed where a provider reported less than all."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Final, TypeAlias

import attrs

from trace_core import TokenUsage, UsageSource, Value, semconv
from trace_litellm._reading.responses import is_finished
from trace_litellm._reading.tokens import estimated_usage

_Names: TypeAlias = "tuple[str, ...]"
_NAMES: Final = (
    ("prompt_tokens", "input_tokens", "promptTokenCount", "prompt_token_count"),
    ("completion_tokens", "output_tokens", "candidatesTokenCount", "candidates_token_count"),
    ("total_tokens", "totalTokenCount", "total_token_count"),
    ("cache_read_input_tokens", "cachedContentTokenCount"),
    ("cache_creation_input_tokens",),
    ("thoughtsTokenCount", "thoughts_token_count"),
)
"""What providers call the tokens asked, answered, in all, cached, added to a cache, reasoned."""
_INPUT_DETAILS: Final = ("prompt_tokens_details", "input_tokens_details", "input_token_details")
_OUTPUT_DETAILS: Final = (
    "completion_tokens_details", "output_tokens_details", "output_token_details",
)  # fmt: skip
_CACHED: Final = ("cached_tokens",)
_CREATED: Final = ("cache_creation_tokens", "cache_write_tokens")
_REASONING: Final = ("reasoning_tokens",)
_AUDIO: Final = ("audio_tokens",)
_DETAILS: Final = ("cache_read", "cache_creation", "reasoning", "audio_input", "audio_output")
_NO_DETAILS: Final[Mapping[str, Value]] = {}
_PROVIDER: Final = UsageSource.PROVIDER
_SIDES: Final = {"input": semconv.USAGE_INPUT_SOURCE, "output": semconv.USAGE_OUTPUT_SOURCE}


def usage_of(outputs: Value) -> TokenUsage | None:
    """Read token counts from a copied response.

    Args:
        outputs: The copied response; its usage as OpenAI, Anthropic, Google or Cohere name it.

    Returns:
        The counts; ``None`` if there are none, or zeros alone: LiteLLM fills those in where a
        provider reports nothing.
    """
    usage = usage_in(outputs)
    if usage is None:
        return None
    names, details_names, made_names = _names_among(tuple(usage))
    asked, answered, total, cached, created, reasoning = [
        _first(usage, some) if some else None for some in names
    ]
    if asked == 0:  # by LiteLLM's name, which it may have left at that
        asked = _last(usage, names[0])
    if answered == 0:
        answered = _last(usage, names[1])
    if not asked and not answered:
        return TokenUsage(total=total) if total else None
    details, made = _details(usage, details_names), _details(usage, made_names)
    if details:
        cached = _first(details, _CACHED, cached)
        created = _first(details, _CREATED, created)
    if asked is not None and "input_tokens" in usage and "cache_read_input_tokens" in usage:
        asked += (cached or 0) + (created or 0)  # Anthropic's input does not include them
    inside = _first(made, _REASONING) if made else None
    if inside is None and reasoning:
        answered = (answered or 0) + reasoning  # nor Google's output
    return TokenUsage(
        asked,
        answered,
        max(total or 0, (asked or 0) + (answered or 0)),
        cached,
        created,
        reasoning if inside is None else inside,
        _first(details, _AUDIO) if details else None,
        _first(made, _AUDIO) if made else None,
        _PROVIDER,
    )


def usage_in(outputs: Value) -> dict[str, Value] | None:
    """Return the usage of a copied response, as the provider names its fields.

    Args:
        outputs: The copied response.
    """
    if not isinstance(outputs, dict):
        return None
    for name in ("usage", "usageMetadata", "usage_metadata"):
        usage = outputs.get(name)
        if isinstance(usage, dict):
            return usage
    meta = outputs.get("meta")  # rerankers
    parts = (
        [meta.get(name) for name in ("billed_units", "tokens")] if isinstance(meta, dict) else []
    )
    merged = {k: v for one in parts if isinstance(one, dict) for k, v in one.items()}
    return merged or None


@lru_cache(256)
def _names_among(names: tuple[str, ...]) -> tuple[tuple[_Names, ...], _Names, _Names]:
    """Choose from what a report has the names of counts and details: mostly the same few.

    Returns:
        The names of each count of `_NAMES`, and of the details of input and output.
    """
    found = [
        tuple(n for n in one if n in names) for one in (*_NAMES, _INPUT_DETAILS, _OUTPUT_DETAILS)
    ]
    return tuple(found[:-2]), found[-2], found[-1]


def _first(counts: Mapping[str, Value], names: _Names, otherwise: int | None = None) -> int | None:
    """Return the first count by one of some names."""
    for name in names:
        count = counts.get(name)
        if type(count) is int and 0 <= count < 2**60:  # what a span can hold, sums as well
            return count
    return otherwise


def _last(counts: Mapping[str, Value], names: _Names) -> int:
    """Return the last count by one of some names that is more than 0; else 0."""
    return next((count for name in names[::-1] if (count := _first(counts, (name,)))), 0)


def _details(usage: Mapping[str, Value], names: _Names) -> Mapping[str, Value]:
    for name in names:
        details = usage.get(name)
        if isinstance(details, dict):
            return details
    return _NO_DETAILS


def prompt_usage(outputs: Value, *, failed: bool) -> TokenUsage | None:
    """Read the token counts of a call whose answer is no text, such as vectors or a ranking.

    Args:
        outputs: The response.
        failed: Whether the call failed.

    Returns:
        The counts: if only their sum was reported, that is the prompt's.
    """
    usage = usage_of(outputs)
    if usage is None:
        return None if failed else TokenUsage(source=UsageSource.MISSING)
    asked = usage.input or usage.total
    return attrs.evolve(usage, input=asked, output=usage.output or 0, source=_PROVIDER)


def completed_usage(
    inputs: Value, outputs: Value, params: Mapping[str, Value], *, ending: Value, failed: bool
) -> tuple[TokenUsage | None, dict[str, Value], Value]:
    """Read the token counts of a call, and estimate what the provider did not report.

    A count of 0 for a text that is there was not reported. Neither was the count of an answer that
    was cut or went on after it, if it is less than what arrived: it is of an earlier moment.

    Args:
        inputs: The parameters of the call.
        outputs: The response.
        params: The known hidden parameters.
        ending: How the stream ended; ``None`` for a whole answer.
        failed: Whether the call failed.

    Returns:
        The counts, their sources as attributes where input and output differ, and the outputs with
        the provider's own report.
    """
    outputs = _with_report(outputs, params)
    usage = usage_of(outputs)
    if usage is not None and _is_own_count(params):
        usage = attrs.evolve(usage, source=UsageSource.ESTIMATED)
    if usage is None and ending is None:  # a whole answer without usage
        return (None if failed else TokenUsage(source=UsageSource.MISSING)), {}, outputs
    finished = ending in (None, "completed") or is_finished(outputs)
    finished = finished and params.get("preliminary") is not True
    reported = usage or TokenUsage(source=UsageSource.MISSING)
    if not reported.input or not reported.output or not finished:
        estimate = estimated_usage(inputs, outputs)
        return (*_filled(reported, estimate, finished=finished, failed=failed), outputs)
    return usage, {}, outputs


def has_counts_of(usage: TokenUsage | None, outputs: Value) -> bool:
    """Return whether token counts are those that an answer tells, with nothing estimated by us.

    Args:
        usage: The counts.
        outputs: The answer.
    """
    told = usage_of(outputs)
    if usage is None or told is None:
        return usage is None or usage.source is UsageSource.MISSING
    return (usage.input, usage.output) == (told.input, told.output)


def _is_own_count(params: Mapping[str, Value]) -> bool:
    """Return whether LiteLLM made the counts that the caller saw."""
    if params.get("estimated") is True:
        return True
    return params.get("usage") is None and params.get("keeps_chunks") is True


def _with_report(outputs: Value, params: Mapping[str, Value]) -> Value:
    """Replace the usage that the caller saw by the provider's, unless that tells no more."""
    reported = params.get("usage")
    if reported is None or not isinstance(outputs, dict):
        return outputs
    complete = {**outputs, "usage": reported}
    if params.get("translated") and not _adds_to(usage_of(outputs), usage_of(complete)):
        return outputs
    return complete


def _adds_to(shown: TokenUsage | None, reported: TokenUsage | None) -> bool:
    """Return whether a report has the counts that were shown, and details that were not."""
    if shown is None or reported is None:
        return reported is not None
    if (shown.input, shown.output) != (reported.input, reported.output):
        return False
    return any(getattr(reported, name) and not getattr(shown, name) for name in _DETAILS)


def _filled(
    usage: TokenUsage, estimate: TokenUsage | None, *, finished: bool, failed: bool
) -> tuple[TokenUsage | None, dict[str, Value]]:
    """Replace the counts that were not reported by estimates."""
    asked = usage.input or (estimate and estimate.input) or usage.input
    answered = usage.output
    arrived = (estimate and estimate.output) or 0
    if arrived > (answered or 0) and not (finished and answered):
        answered = arrived
    elif not finished and not arrived and not usage.reasoning:
        answered = None  # whatever was counted, nothing of the answer had come
    sources = {
        "input": _source(usage, usage.input, asked),
        "output": _source(usage, usage.output, answered),
    }
    known = {source for source in sources.values() if source is not UsageSource.MISSING}
    if not known:
        return (None if failed else TokenUsage(source=UsageSource.MISSING)), {}
    total = None if asked is None or answered is None else asked + answered
    if (asked, answered) == (usage.input, usage.output):
        total = usage.total
    source, attributes = source_of(sources)
    filled = attrs.evolve(usage, input=asked, output=answered, total=total, source=source)
    return filled, attributes


def source_of(sides: Mapping[str, UsageSource]) -> tuple[UsageSource, dict[str, Value]]:
    """Tell the source of counts from those of their sides.

    Args:
        sides: Where the counts ``input`` and ``output`` come from.

    Returns:
        The source, an estimate if one of them is; and attributes that name both where they differ.
    """
    known, differ = sides.values(), len(set(sides.values())) > 1
    source = UsageSource.ESTIMATED if UsageSource.ESTIMATED in known else UsageSource.PROVIDER
    return source, {_SIDES[side]: one.value for side, one in sides.items() if differ}


def _source(usage: TokenUsage, reported: int | None, count: int | None) -> UsageSource:
    if count is None:
        return UsageSource.MISSING
    return usage.source if count == reported else UsageSource.ESTIMATED
