"""A span around a call: which calls get one, what is read of them, how they end.

One span per provider call. LiteLLM calls itself a lot: async functions call their sync twins,
retries call the entry point again. Two rules tell such a call from one that was really made
inside another: it carries the id of the call around it, which we choose, or one of the markers
that LiteLLM's async functions set.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, Final
from uuid import uuid4

import attrs

from trace_core import Span, StatusCode, TokenUsage, Tracer, UsageSource, Value, semconv
from trace_core import snapshot as copied
from trace_litellm import _readers as read
from trace_litellm._errors import error_attributes
from trace_litellm._patch import Hook, Original
from trace_litellm._pricing import Priced, cost_of, estimated_usage
from trace_litellm._streams import StreamProxy, Watch, is_stream
from trace_litellm._targets import Found

_MARKERS: Final = frozenset(
    {
        "acompletion",
        "aembedding",
        "aimg_generation",
        "amoderation",
        "arerank",
        "aresponses",
        "aspeech",
        "atext_completion",
        "atranscription",
        "is_async",
        "text_completion",
    }
)
_PRICES: Final = ("input_cost_per_token", "output_cost_per_token")
_TOLD: Final = (
    "additional_headers",
    "api_base",
    "cache_hit",
    "custom_llm_provider",
    "litellm_model_name",
    "litellm_overhead_time_ms",
    "model_id",
    "region_name",
    "response_cost",
)
"""What is read of ``_hidden_params``, LiteLLM's note on a response."""

_active: ContextVar[str | None] = ContextVar("trace_litellm_active", default=None)
"""The id of the call around. An id alone: LiteLLM's workers keep a context for a loop's life."""


class Calls:
    """Opens and ends spans around LiteLLM's functions.

    Args:
        tracer: Makes the spans.
        on_error: Told of trouble of ours, which costs a span and never the call.
    """

    def __init__(self, tracer: Tracer, on_error: Callable[[str, BaseException], None]) -> None:
        self.tracer = tracer
        self.on_error = on_error
        self.open: dict[str, Call] = {}

    def around(self, found: Found, *, is_async: bool) -> Hook:
        """Return the hook for a function.

        Args:
            found: What the function is.
            is_async: Whether it is a coroutine function.
        """
        return self._around_async(found) if is_async else self._around_sync(found)

    def _around_sync(self, found: Found) -> Hook:
        def hook(original: Original, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            call = self._begin(found, args, kwargs)
            if call is None:
                return original(*args, **kwargs)
            try:
                result = original(*args, **kwargs)
            except BaseException as error:
                call.failed(error)
                raise
            return call.returned(result)

        return hook

    def _around_async(self, found: Found) -> Hook:
        async def hook(original: Original, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            call = self._begin(found, args, kwargs)
            if call is None:
                return await original(*args, **kwargs)
            try:
                result = await original(*args, **kwargs)
            except BaseException as error:
                call.failed(error)
                raise
            return call.returned(result)

        return hook

    def _begin(self, found: Found, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call | None:
        if _is_delegation(kwargs):
            return None
        try:
            return Call(self, found, args, kwargs)
        except Exception as error:
            self.on_error(f"tracing litellm.{found.target.name}", error)
            return None

    def before_request(
        self, original: Original, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Take notice of a request on its way to a provider. The hook of ``Logging.pre_call``."""
        try:
            call = self.open.get(args[0].litellm_call_id)
            if call is not None:
                call.requested(args[0], kwargs.get("additional_args"))
        except Exception as error:
            self.on_error("reading a request to a provider", error)
        return original(*args, **kwargs)


def _is_delegation(kwargs: Mapping[str, Any]) -> bool:
    """Tell whether LiteLLM is calling itself on behalf of the call around."""
    around = _active.get()
    if around is None:
        return False
    if kwargs.get("litellm_call_id") == around:
        return True
    return any(kwargs[name] is True for name in _MARKERS & kwargs.keys())


class Call:
    """One call and its span, from the caller's first step in to the last chunk out."""

    __slots__ = (
        "_calls",
        "_error",
        "_family",
        "_given",
        "_leave",
        "_prices",
        "_told",
        "attempts",
        "endpoint",
        "id",
        "provider",
        "span",
    )

    def __init__(
        self, calls: Calls, found: Found, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        target = found.target
        self._calls = calls
        self._family = read.FAMILIES[target.family]
        self._given = given = read.inputs(found.parameters, args, kwargs)
        self._prices: dict[str, Value] = {n: given[n] for n in _PRICES if n in given}
        self._told: dict[str, Value] = {}
        self._error: dict[str, Value] = {}
        self.attempts = 0
        self.endpoint: str | None = None
        self.provider: str | None = None
        self.id = self._choose_id(kwargs)
        attributes = read.call_attributes(kwargs)
        attributes[semconv.OPERATION_NAME] = target.operation
        name = f"{target.operation} {given.get('model') or ''}".rstrip()
        self.span = calls.tracer.start(name, kind=target.kind, attributes=attributes)
        self.span.inputs = given  # copied already
        self.span.complete = self._complete
        self._enter()

    @staticmethod
    def _choose_id(kwargs: dict[str, Any]) -> str:
        """Choose the call's id, as LiteLLM would have, unless the caller did."""
        chosen = kwargs.get("litellm_call_id")
        if chosen is None:
            chosen = kwargs["litellm_call_id"] = str(uuid4())
        return str(chosen)

    def _enter(self) -> None:
        self._calls.open[self.id] = self
        deactivate = self._calls.tracer.activate(self.span)
        token = _active.set(self.id)

        def leave() -> None:
            _active.reset(token)
            deactivate()

        self._leave = leave

    def requested(self, logging: Any, details: Any) -> None:
        """Take notice of a request to a provider: where it goes. Not what is in its headers."""
        self.attempts += 1
        if isinstance(details, Mapping):
            url = details.get("api_base")
            if url is not None:
                self.endpoint = str(url)
        provider = logging.model_call_details.get("custom_llm_provider")
        if isinstance(provider, str):
            self.provider = provider

    def failed(self, error: BaseException) -> None:
        """End the span for an exception on its way to the caller. Never raises."""
        self._guard(self._leave)
        self._guard(lambda: self._end(error))

    def returned(self, result: Any) -> Any:
        """End the span of an answer, or follow a stream.

        Args:
            result: What LiteLLM returned.

        Returns:
            The same object; for a stream, a proxy of it.
        """
        self._guard(self._leave)
        try:
            if self._family.deltas is not None and is_stream(result):
                return self._follow(result)
            self._told = told_of(result)
            self.span.outputs = self._family.outputs(result)
        except Exception as error:
            self._calls.on_error(f"reading a {type(result).__name__}", error)
        self._guard(lambda: self._end(None))
        return result

    def _guard(self, step: Callable[[], None]) -> None:
        try:
            step()
        except Exception as error:
            self._calls.on_error("ending a call", error)

    def _follow(self, stream: Any) -> StreamProxy:
        assert self._family.deltas is not None
        self._told = told_of(stream)

        def end(error: BaseException | None) -> None:
            self._told |= told_of(stream)
            self._told["usage"] = usage_kept_by(stream)
            self._end(error)

        watch = Watch(self.span, self._family.deltas(), end, self._calls.on_error)
        return StreamProxy(stream, watch)

    def _end(self, error: BaseException | None) -> None:
        self._calls.open.pop(self.id, None)
        if error is not None:
            self._error = error_attributes(error)
        self.span.end(error)

    def _complete(self, span: Span) -> Span:
        """Make sense of what was copied. Runs on the sink's thread."""
        told = self._told
        span = self._with_usage(span)
        provider = self._provider()
        hit = told.get("cache_hit") is True or told.get("custom_llm_provider") == _CACHED
        added: dict[str, Value] = {
            **read.request_attributes(self._given),
            **read.provider_attributes(provider, self._given.get("model")),
            **read.response_attributes(span.outputs),
            **read.endpoint_attributes(self.endpoint or _text(told.get("api_base"))),
            **read.header_attributes(told.get("additional_headers")),
            **self._error,
            read.CALL_ID: self.id,
            read.MODEL_ID: told.get("model_id"),
            read.OVERHEAD: told.get("litellm_overhead_time_ms"),
            read.ATTEMPTS: self.attempts or None,
            semconv.CACHE_HIT: hit if span.status.code is not StatusCode.ERROR else None,
        }
        span = read.describe(span, added)
        return attrs.evolve(span, cost=self._cost(span, provider, cache_hit=hit))

    def _provider(self) -> str | None:
        told = _text(self._told.get("custom_llm_provider"))
        return self.provider or (told if told != _CACHED else None)

    def _with_usage(self, span: Span) -> Span:
        outputs = span.outputs
        kept = self._told.get("usage")
        if kept is not None and isinstance(outputs, Mapping) and "usage" not in outputs:
            outputs = {**outputs, "usage": kept}
            span = attrs.evolve(span, outputs=outputs)
        usage = read.usage_of(outputs)
        if usage is None and semconv.STREAM_ENDING in span.attributes:
            usage = estimated_usage(span, _text(self._given.get("model")))
        if usage is None and span.status.code is not StatusCode.ERROR:
            usage = TokenUsage(source=UsageSource.MISSING)
        return attrs.evolve(span, usage=usage)

    def _cost(self, span: Span, provider: str | None, *, cache_hit: bool) -> Any:
        if span.usage is None or span.usage.source is UsageSource.MISSING:
            return None
        told = self._told.get("response_cost")
        streamed = semconv.STREAM_ENDING in span.attributes
        priced = Priced(
            model=_text(self._told.get("litellm_model_name")) or _text(self._given.get("model")),
            provider=provider,
            told=told if isinstance(told, float) and not streamed else None,
            cache_hit=cache_hit,
            custom=self._prices,
        )
        return cost_of(span.usage, span.outputs, priced)


_CACHED: Final = "cached_response"


def _text(value: Value) -> str | None:
    return value if isinstance(value, str) else None


def told_of(result: Any) -> dict[str, Value]:
    """Copy what LiteLLM notes on a response or stream, as far as it is of use.

    Args:
        result: A response, a stream, or a plain dictionary.
    """
    hidden = getattr(result, "_hidden_params", None)
    if hidden is None and isinstance(result, dict):
        hidden = result.get("_hidden_params")
    if hidden is None:
        return {}
    if not isinstance(hidden, Mapping):
        hidden = getattr(hidden, "__dict__", {})
    found = {name: copied(hidden[name]) for name in _TOLD if hidden.get(name) is not None}
    provider = getattr(result, "custom_llm_provider", None)
    if isinstance(provider, str):
        found["custom_llm_provider"] = provider
    return found


def usage_kept_by(stream: Any) -> Value:
    """Find the usage that LiteLLM keeps of a stream but does not show to the caller.

    Args:
        stream: LiteLLM's stream.
    """
    for chunk in reversed(getattr(stream, "chunks", None) or ()):
        usage = getattr(chunk, "usage", None)
        if usage is not None:
            return copied(usage)
    return None
