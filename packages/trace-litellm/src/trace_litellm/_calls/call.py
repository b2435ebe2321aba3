"""One call and its span: what is read of it, on whose thread, and how it ends."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import attrs

from trace_core import (
    Cost,
    Event,
    OpenSpan,
    SpanContext,
    SpanKind,
    StatusCode,
    TokenUsage,
    UsageSource,
    Value,
    current_context,
    semconv,
    use_parent,
)
from trace_litellm._calls.nesting import Around, call_around, new_call_id
from trace_litellm._patching.targets import Target
from trace_litellm._reading import requests as _requests
from trace_litellm._reading import responses as _responses
from trace_litellm._reading.credentials import remember_settings
from trace_litellm._reading.errors import Failure, error_attributes
from trace_litellm._reading.pricing import Priced, cost_of, estimated_usage
from trace_litellm._reading.requests import NOTED, PROXY_REQUEST
from trace_litellm._reading.responses import CALL_ID, FAMILIES, told_of
from trace_litellm._streams.deltas import Deltas
from trace_litellm._streams.proxy import StreamProxy, is_stream
from trace_litellm._streams.watch import ChunkEvents, Watch

if TYPE_CHECKING:
    from trace_litellm._calls.hooks import Calls

_OPERATION_NAME: Final = semconv.OPERATION_NAME
_PRICES: Final = ("input_cost_per_token", "output_cost_per_token")
_CACHED: Final = "cached_response"


class Delegation:
    """A call that LiteLLM makes on behalf of another."""

    def failed(self, error: BaseException) -> None:
        """Take notice of an exception on its way to the caller. Never raises."""
        raise NotImplementedError

    def returned(self, result: Any) -> Any:
        """Take notice of a result; return what the caller is to get."""
        raise NotImplementedError


class Serving(Delegation):
    """A call that serves another API under the same id.

    Args:
        call: The call around.
    """

    def __init__(self, call: Call) -> None:
        self._call = call

    def failed(self, error: BaseException) -> None:
        """Do nothing; the call around fails as well, or knows what to do."""

    def returned(self, result: Any) -> Any:
        """Let the call around know its source, and hand on the result as it is."""
        self._call.served_by(result)
        return result


class Alias(Delegation):
    """A call that serves another API: what is noticed of it is noticed of the call around.

    Args:
        calls: Where open calls are kept.
        call: The call around.
        around: What is around from now on.
    """

    def __init__(self, calls: Calls, call: Call, around: Around) -> None:
        self._calls = calls
        self._call = call
        self._id = around.id
        calls.open[around.id] = call
        self._token = call_around.set(around)

    def _leave(self) -> None:
        try:
            self._calls.open.pop(self._id, None)
            call_around.reset(self._token)
        except Exception as error:
            self._calls.on_error("leaving a call", error)

    def failed(self, error: BaseException) -> None:
        """Step out; the call around fails as well, or knows what to do."""
        self._leave()

    def returned(self, result: Any) -> Any:
        """Step out, let the call around know its source, and hand on the result as it is."""
        self._leave()
        self._call.served_by(result)
        return result


class Call(Delegation):
    """One call and its span, from the caller's first step in to the last chunk out.

    Args:
        calls: Where open calls are kept.
        target: What is called.
        given: Its parameters, copied.
        kwargs: The keyword arguments themselves; the call's id is put there.
        above: The call around, if there is one.
        attempt_of: The call that this is one try of, which has the id.
    """

    def __init__(
        self,
        calls: Calls,
        target: Target,
        given: dict[str, Value],
        kwargs: dict[str, Any],
        above: Call | None = None,
        attempt_of: Call | None = None,
    ) -> None:
        self._calls = calls
        self._target = target
        self._given = given
        self._attempt_of = attempt_of
        self.above = above
        self.parent = target.parent or ("fallbacks" in kwargs and _falls_back(target, kwargs))
        if attempt_of is not None:
            self.id: str = attempt_of.id
        elif target.parent or not target.takes_id:  # its calls have their own, or it makes none
            self.id = new_call_id()
        else:
            chosen = kwargs.get("litellm_call_id")
            if chosen is None:  # then it is ours to choose, as LiteLLM would have
                chosen = kwargs["litellm_call_id"] = new_call_id()
            self.id = str(chosen)
        self.span = span = self._start(kwargs)
        span.complete = self._complete
        if attempt_of is None:
            calls.open[self.id] = self
        self._enter()

    # Until they are known; on the class, because most calls end without most of them.
    _told: Mapping[str, Any] = MappingProxyType({})
    _error: Mapping[str, Value] = MappingProxyType({})
    _deltas: Deltas | None = None
    _watch: Watch | None = None
    _source: Any = None
    _adopted: tuple[int, ...] = ()
    attempt: Call | None = None
    below: tuple[Watch, ...] = ()
    tries = 0
    requests = 0
    resent: tuple[Event, ...] = ()
    endpoint: Any = None
    provider: str | None = None
    retrying = False

    def _start(self, kwargs: Mapping[str, Any]) -> OpenSpan:
        target, given = self._target, self._given
        attributes: dict[str, Value] = {_OPERATION_NAME: target.operation}
        if not target.parent:
            attributes[CALL_ID] = self.id
        if not NOTED.isdisjoint(kwargs):
            attributes.update(_requests.call_attributes(kwargs))
        name, kind = target.name, target.kind
        model = given.get("model")
        if model:
            name = f"{name} {model}"
        if self.parent and kind is SpanKind.LLM:
            kind = SpanKind.CHAIN
        if self.above is None and PROXY_REQUEST not in kwargs:
            return self._calls.tracer.open(name, kind, given, attributes)
        return self._start_below(name, kind, attributes, kwargs)

    def _start_below(
        self, name: str, kind: SpanKind, attributes: dict[str, Value], kwargs: Mapping[str, Any]
    ) -> OpenSpan:
        """Open the span where its parent may not simply be the current span."""
        above = self.above
        if above is not None and above.parent:
            above.tries += 1
            attributes[semconv.ATTEMPT] = above.tries
        parent = self._remote_parent(kwargs)
        if parent is None:
            return self._calls.tracer.open(name, kind, self._given, attributes)
        with use_parent(parent):
            return self._calls.tracer.open(name, kind, self._given, attributes)

    def _remote_parent(self, kwargs: Mapping[str, Any]) -> SpanContext | None:
        if self.above is not None:  # if nothing is around, this is a thread of LiteLLM's own
            return self.above.span.context if call_around.get() is None else None
        return _requests.remote_parent(kwargs) if current_context() is None else None

    def _enter(self) -> None:
        self._deactivate = self._calls.tracer.activate(self.span)
        self._token = call_around.set(Around(self.id, self._target.family, self.parent))

    def _leave(self) -> None:
        try:
            call_around.reset(self._token)
            self._deactivate()
        except Exception as error:
            self._calls.on_error("leaving a call", error)

    def adopt(self, messages: Any) -> None:
        """Become the parent of calls made with these messages in threads of LiteLLM's own."""
        shared = [messages, *messages] if isinstance(messages, (list, tuple)) else [messages]
        self._adopted = tuple(id(one) for one in shared)
        self._calls.adopting.update(dict.fromkeys(self._adopted, self))

    def requested(self, logging: Any, details: Any) -> None:
        """Take notice of a request to a provider: where it goes. Not what is in its headers."""
        if self.attempt is not None:
            self.attempt.requested(logging, details)
        self.requests += 1
        if type(details) is dict:
            self.endpoint = details.get("api_base") or self.endpoint
        self.provider = logging.model_call_details.get("custom_llm_provider") or self.provider

    def sent_again(self, details: dict[str, Value]) -> None:
        """Take notice that a provider's SDK sends the request again, for LiteLLM unseen.

        Args:
            details: Why, as attributes of the event.
        """
        if self.attempt is not None:
            self.attempt.sent_again(details)
            return
        now = self.span.start_ns + self.span.elapsed_ns
        self.resent = (*self.resent, Event(_responses.SDK_RETRY_EVENT, now, details))

    # Retries: the call becomes the parent of its attempts.

    def retry(self, error: BaseException | None) -> None:
        """Take notice that LiteLLM is about to try again.

        Args:
            error: Why: the failure of the first attempt.
        """
        self.retrying = True
        self.parent = True
        self.span.kind = SpanKind.CHAIN
        first = self._new_attempt()
        first.span.start_with(self.span)
        first.endpoint, first.provider = self.endpoint, self.provider
        first.requests = self.requests
        first.resent, self.resent = self.resent, ()
        first.failed(error if error is not None else RuntimeError("unknown"))

    def next_attempt(self) -> Call | None:
        """Open the span of the next attempt, unless one is under way."""
        if self.attempt is not None:
            return None
        self.attempt = self._new_attempt()
        return self.attempt

    def _new_attempt(self) -> Call:
        return Call(self._calls, self._target, self._given, {}, above=self, attempt_of=self)

    # Endings.

    def failed(self, error: BaseException) -> None:
        """End the span for an exception on its way to the caller. Never raises."""
        self._leave()
        self._end(error)

    def returned(self, result: Any) -> Any:
        """End the span of an answer, or follow a stream.

        Args:
            result: What LiteLLM returned.

        Returns:
            The same object; for a stream, a proxy of it.
        """
        self._leave()
        try:
            if is_stream(result):
                return self._follow(result)
            self._told = told_of(result)
            self.span.outputs = FAMILIES[self._target.family].copy(result)
        except Exception as error:
            self._calls.on_error(f"reading a {type(result).__name__}", error)
        self._end(None)
        return result

    def served_by(self, result: Any) -> None:
        """Remember the stream that is translated for the caller: it keeps the provider's chunks.

        Args:
            result: What LiteLLM returned to itself. Never raises.
        """
        try:
            if is_stream(result) and hasattr(result, "chunks"):
                self._source = result
        except Exception as error:
            self._calls.on_error(f"reading a {type(result).__name__}", error)

    def _follow(self, stream: Any) -> StreamProxy:
        self._told = _responses.told_of_stream(stream)
        self._deltas = FAMILIES[self._target.family].deltas(stream)
        self._stop_holding()

        def end(error: BaseException | None) -> None:
            self._end_below(error)
            source, self._source = self._source, None
            self._told = {
                **self._told,
                **_responses.told_of_stream(stream),
                **_responses.usage_kept_by(stream if source is None else source),
                "translated": source is not None,
            }
            self._end(error)

        deltas, most = self._deltas, self._calls.stream_events
        if most:
            deltas = ChunkEvents(self.span, deltas, most)
        self._watch = Watch(self.span, deltas, end, self._calls.on_error)
        if self.above is not None:
            self.above.below += (self._watch,)
        calls_on_the_way = self.parent or _is_custom(self._told.get("custom_llm_provider"))
        return StreamProxy(stream, self._watch, self._resume if calls_on_the_way else None)

    def _end_below(self, error: BaseException | None) -> None:
        """End the streams that this one was made of, such as the deployments' of a Router's.

        Some releases keep them in a generator that nobody closes when the caller breaks off.
        An error on its way to the caller is not theirs: what failed below has ended already.
        """
        own = str(self.span.attributes[semconv.STREAM_ENDING])
        below, self.below = self.below, ()
        for watch in below:
            watch.end(own if error is None else "abandoned")

    def _resume(self) -> Callable[[], None]:
        """Be the call around again, while a stream of the Router's or of a handler's goes on."""
        if self._attempt_of is None:
            self._calls.open[self.id] = self
        self._enter()
        return self._leave

    def _end(self, error: BaseException | None) -> None:
        """End the span. Never raises."""
        try:
            self._stop_holding()
            if error is not None:
                remember_settings()
                self._error = error_attributes(error)
        except Exception as trouble:
            self._calls.on_error("ending a call", trouble)
        self.span.end(error)

    def _stop_holding(self) -> None:
        """Be found no more by calls that begin from now on."""
        if self._attempt_of is not None:
            self._attempt_of.attempt = None
        else:
            self._calls.open.pop(self.id, None)
        for one in self._adopted:
            self._calls.adopting.pop(one, None)

    def told_failed(self, failure: Failure) -> None:
        """Take notice of a failure that LiteLLM does not raise; those above failed with it."""
        self.span.status = failure.status
        self._error = failure.attributes
        if self.above is not None:
            self.above.told_failed(failure)

    # On the sink's thread, over copies alone.

    def _complete(self, span: OpenSpan) -> None:
        """Make sense of what was copied."""
        told = self._told = _responses.told(self._told)
        deltas, family = self._deltas, FAMILIES[self._target.family]
        outputs = family.outputs(span.outputs) if deltas is None else deltas.outputs()
        span.outputs = outputs
        failure = family.failure(outputs)
        if failure is not None:  # it was returned, not raised
            span.status, self._error = failure.status, failure.attributes
        for event in self.resent:
            span.add_event(event)
        failed = span.status is not None and span.status.code is StatusCode.ERROR
        found = self._attributes(told, outputs, failed=failed)
        found.update(span.attributes)
        if not self.parent:
            self._count(span, found, failed=failed)
        span.attributes = found

    def _count(self, span: OpenSpan, found: dict[str, Value], *, failed: bool) -> None:
        """Set tokens and cost."""
        usage, span.outputs = self._usage(span.inputs, span.outputs, failed=failed)
        span.usage, span.cost = usage, self._cost(usage, found)
        if usage is not None and self._watch is not None:
            speed = self._watch.tokens_per_second(usage.output)
            if speed is not None:
                found[semconv.STREAM_TOKENS_PER_SECOND] = speed

    def _attributes(
        self, told: Mapping[str, Value], outputs: Value, *, failed: bool
    ) -> dict[str, Value]:
        found: dict[str, Value] = {
            **_requests.request_attributes(self._given),
            **_responses.provider_attributes(self._provider_name(), self._given.get("model")),
            **_responses.response_attributes(outputs),
            **_responses.endpoint_attributes(self._url()),
            **_responses.told_attributes(told),
            **self._error,
            CALL_ID: self.id,
        }
        if self._watch is not None:
            found.update(self._watch.statistics())
        if self.requests:
            found[_responses.REQUESTS] = self.requests
        if self.resent:
            found[_responses.SDK_RETRIES] = len(self.resent)
        if not failed and not self.parent:
            found[semconv.CACHE_HIT] = self._cache_hit()
        return found

    def _url(self) -> str | None:
        asked = self._given.get("api_base") or self._given.get("base_url")
        used = str(self.endpoint) if self.endpoint else None
        return used or _text(self._told.get("api_base")) or _text(asked)

    def _cache_hit(self) -> bool:
        told = self._told
        return told.get("cache_hit") is True or told.get("custom_llm_provider") == _CACHED

    def _provider_name(self) -> str | None:
        told = _text(self._told.get("custom_llm_provider"))
        used = _text(self.provider)
        return used or (told if told != _CACHED else None) or self._guessed_provider()

    def _guessed_provider(self) -> str | None:
        """Look up which provider serves a model, where no request was made: a cache hit.

        LiteLLM is not asked, because it prints a line to stdout for a model it does not know.
        """
        given = _text(self._given.get("custom_llm_provider"))
        model = _text(self._given.get("model"))
        litellm: Any = sys.modules.get("litellm")
        if given is not None or model is None or self.parent or litellm is None:
            return given
        listed = getattr(litellm, "model_cost", {}).get(model) or {}
        candidates = (model.partition("/")[0], listed.get("litellm_provider"))
        known = getattr(litellm, "provider_list", ())
        return next((str(one) for one in candidates if one in known), None)

    def _usage(
        self, inputs: Value, outputs: Value, *, failed: bool
    ) -> tuple[TokenUsage | None, Value]:
        """Return the tokens, and the outputs with what the provider told of them."""
        kept = self._told.get("usage")
        usage = _responses.usage_of(outputs)
        passed_on = usage is not None and self._told.get("translated")
        if kept is not None and isinstance(outputs, Mapping) and not passed_on:
            outputs = {**outputs, "usage": kept}
            usage = _responses.usage_of(outputs)
        if usage is not None and kept is None and self._told.get("keeps_chunks"):
            usage = attrs.evolve(usage, source=UsageSource.ESTIMATED)  # LiteLLM made it up
        if self._deltas is not None and (usage is None or self._counted_too_early(outputs)):
            usage = _with_estimate(usage, estimated_usage(inputs, outputs))
        if usage is None and not failed:
            usage = TokenUsage(source=UsageSource.MISSING)
        return usage, outputs

    def _counted_too_early(self, outputs: Value) -> bool:
        """Tell whether a stream was cut off before its count.

        Anthropic sends one with the first event, which counts nothing yet.
        """
        if self._target.family != "messages" and self._provider_name() != "anthropic":
            return False
        finished = _responses.response_attributes(outputs).get(semconv.RESPONSE_FINISH_REASONS)
        return not finished and not (isinstance(outputs, Mapping) and outputs.get("stop_reason"))

    def _cost(self, usage: TokenUsage | None, found: Mapping[str, Value]) -> Cost | None:
        told = self._told.get("response_cost")
        custom: dict[str, Value] = {n: self._given[n] for n in _PRICES if n in self._given}
        words = _responses.usage_in(self.span.outputs) or {}
        if self._deltas is not None:  # what LiteLLM notes is its guess from before the first chunk
            told = words.get("cost") if not custom else None
        if not isinstance(told, float):
            told = None
        if told is None and (usage is None or usage.source is UsageSource.MISSING):
            return None
        answered = found.get(semconv.RESPONSE_MODEL)
        own = (self._told.get(name) for name in ("model_id", "base_model", "litellm_model_name"))
        names = (*own, self._given.get("model"), answered)
        models = tuple(dict.fromkeys([name for name in names if isinstance(name, str)]))
        provider = _text(found.get(_responses.PROVIDER))
        tier = self._service_tier(words)
        exact = words if usage is not None and usage.source is UsageSource.PROVIDER else None
        hit = self._cache_hit()
        return cost_of(usage, Priced(models, provider, told, hit, custom, exact, tier))

    def _service_tier(self, usage: Mapping[str, Value]) -> Value:
        """Return the tier that was served, or else the one that was asked for."""
        outputs = self.span.outputs
        served = outputs.get("service_tier") if isinstance(outputs, Mapping) else None
        return served or usage.get("service_tier") or self._given.get("service_tier")


def _falls_back(target: Target, kwargs: Mapping[str, Any]) -> bool:
    """Tell whether a completion is going to try one model after another."""
    return target.family == "chat" and bool(kwargs.get("fallbacks"))


def _with_estimate(told: TokenUsage | None, estimate: TokenUsage | None) -> TokenUsage | None:
    """Count at least what has arrived."""
    if told is None or estimate is None or (estimate.output or 0) <= (told.output or 0):
        return told or estimate
    total = (told.input or 0) + (estimate.output or 0)
    return attrs.evolve(told, output=estimate.output, total=total, source=UsageSource.ESTIMATED)


def _is_custom(provider: Any) -> bool:
    """Tell whether a provider is a handler of the user's, which may call models as it streams."""
    litellm: Any = sys.modules.get("litellm")
    return provider in getattr(litellm, "_custom_providers", ())


def _text(value: Value) -> str | None:
    return value if isinstance(value, str) else None
