"""The data that a call leaves behind for the writer's thread."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import attrs

from trace_core import Event, Value
from trace_core.streams import Deltas, Watch

_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


@attrs.frozen(eq=False)
class PartlyKept:
    """Embeddings of which some came from LiteLLM's cache.

    Args:
        number: How many did.
        kept: The usage of those, as the cache tells it.
        usage: The usage of the others, as the provider reported it.
        params: The hidden parameters of the provider's answer.
    """

    number: int
    kept: Value
    usage: Value
    params: Mapping[str, Any]


@attrs.define(eq=False)
class CallRecord:
    """What is known of one call besides its span. The caller's thread fills it in.

    `trace_litellm._reading.complete` turns it into fields of the span, on the writer's thread.
    It holds copies, never objects of the caller's.

    Args:
        call_id: LiteLLM's id of the call.
        family: Which reader understands its answer: a key of `FAMILIES`.
        parameters: The request parameters.
        parent: Whether its span holds others and has no tokens and no cost of its own.
        hidden: What LiteLLM notes on the response in ``_hidden_params``.
        error: Attributes of the failure.
        deltas: The combined chunks of a stream.
        watch: The times of a stream's chunks.
        endpoint: The URL that the request went to.
        provider: LiteLLM's name of the provider that the request went to.
        hides_inputs: Whether LiteLLM must not log what was asked.
        hides_outputs: Whether LiteLLM must not log the answer.
        requests: The number of requests that LiteLLM made.
        resent: Events of the requests that a provider's SDK sent again.
        answer: The class of a whole answer.
        sources: What is known of the answers of calls that LiteLLM makes to serve this one.
        kept: Whether the answer came from LiteLLM's cache; told once the record is read.
        partly_kept: What of an answer came from LiteLLM's cache, if only some of it did.
        original: What the provider sent, if LiteLLM may have counted its tokens.
        replayed: Whether the answer comes from a recording, and so costs nothing.
    """

    call_id: str
    family: str
    parameters: dict[str, Value]
    parent: bool
    hidden: Mapping[str, Any] = _NOTHING
    error: Mapping[str, Value] = _NOTHING
    deltas: Deltas | None = None
    watch: Watch | None = None
    endpoint: Any = None
    provider: str | None = None
    hides_inputs: bool = False
    hides_outputs: bool = False
    requests: int = 0
    resent: tuple[Event, ...] = ()
    answer: type | None = None
    sources: tuple[Mapping[str, Any], ...] = ()
    kept: bool = False
    partly_kept: PartlyKept | None = None
    original: str | None = None
    replayed: bool = False

    def hide_with(self, other: CallRecord) -> None:
        """Hide what another call hides, in addition.

        Args:
            other: The record of a call that this one makes or is made by.
        """
        self.hides_inputs |= other.hides_inputs
        self.hides_outputs |= other.hides_outputs
