"""A span around a call: which calls get one, what is read of them, how they end.

One span per provider call. LiteLLM calls itself a lot: async functions call their sync twins,
one API is served by another, retries call the entry point again. `Calls.begin` tells such a call
from one that was really made inside another.
"""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any, Final, NamedTuple

import attrs

from trace_core import (
    OpenSpan,
    Span,
    SpanKind,
    StatusCode,
    TokenUsage,
    Tracer,
    UsageSource,
    Value,
    current_context,
    semconv,
    snapshot,
    use_parent,
)
from trace_litellm import _readers as read
from trace_litellm._deltas import Deltas
from trace_litellm._errors import error_attributes
from trace_litellm._patch import Hook, Original
from trace_litellm._pricing import Priced, cost_of, estimated_usage
from trace_litellm._streams import StreamProxy, Watch, is_stream
from trace_litellm._targets import Found, Target

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
"""What LiteLLM's async functions set to ``True`` when they call their sync twins."""
_BRIDGES: Final = frozenset({("google", "chat"), ("messages", "chat"), ("messages", "responses")})
"""Families that LiteLLM serves by another with an id of its own: outer and inner."""
_ATOMS: Final = (str, float, int, bool)
_PRICES: Final = ("input_cost_per_token", "output_cost_per_token")
_CACHED: Final = "cached_response"
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


class _Around(NamedTuple):
    """The call around. Ids alone: LiteLLM's workers keep a context for a loop's life."""

    id: str
    family: str
    parent: bool


_around: ContextVar[_Around | None] = ContextVar("trace_litellm_around", default=None)


_random = random.Random()  # noqa: S311  # ids need to differ, not to be secret
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_random.seed)


def new_call_id() -> str:
    """Make an id that looks like LiteLLM's own, a UUID of version 4, at a fifth of its price."""
    digits = f"{_random.getrandbits(122):031x}"
    return f"{digits[:8]}-{digits[8:12]}-4{digits[12:15]}-a{digits[15:18]}-{digits[18:30]}"


def around_here() -> Callable[[], AbstractContextManager[None]]:
    """Capture which call is around, to go on in another thread.

    Returns:
        A function whose result is a context manager: inside it, that call is around.
    """
    around = _around.get()

    @contextmanager
    def restored() -> Generator[None]:
        token = _around.set(around)
        try:
            yield
        finally:
            _around.reset(token)

    return restored


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
        self.adopting: dict[int, Call] = {}
        """Batches under way, by the identity of the messages they hand to their threads."""

    def around(self, found: Found, *, is_async: bool) -> Hook:
        """Return the hook for a function.

        Args:
            found: What the function is.
            is_async: Whether it is a coroutine function.
        """
        return self._around_async(found) if is_async else self._around_sync(found)

    def _around_sync(self, found: Found) -> Hook:
        def hook(original: Original, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            call = self.begin(found, args, kwargs)
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
            call = self.begin(found, args, kwargs)
            if call is None:
                return await original(*args, **kwargs)
            try:
                result = await original(*args, **kwargs)
            except BaseException as error:
                call.failed(error)
                raise
            return call.returned(result)

        return hook

    def begin(
        self, found: Found, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Call | Delegation | None:
        """Open a span for a call, unless LiteLLM is calling itself on behalf of the one around.

        Args:
            found: What is called.
            args: The positional arguments.
            kwargs: The keyword arguments; the call's id is put there.

        Returns:
            What to tell how the call ends; ``None`` for nobody.
        """
        try:
            around = _around.get()
            if around is not None:
                if _is_delegation(around, found.target, kwargs):
                    return self._delegated(around)
                if (around.family, found.target.family) in _BRIDGES:
                    return self._bridged(around, found.target, kwargs)
            return self._new(found, args, kwargs, around)
        except Exception as error:
            self.on_error(f"tracing LiteLLM's {found.target.name}", error)
            return None

    def _new(
        self,
        found: Found,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        around: _Around | None,
    ) -> Call:
        above = self.open.get(around.id) if around is not None else None
        if above is None and self.adopting:
            above = self.adopting.get(id(_argument("messages", found, args, kwargs)))
        given = read.inputs(found.parameters, args, kwargs)
        call = Call(self, found.target, given, kwargs, above)
        if found.target.family == "batch":
            call.adopt(_argument("messages", found, args, kwargs))
        return call

    def _delegated(self, around: _Around) -> Delegation | None:
        """Follow a retry, which calls the entry point again; nothing else of LiteLLM's own."""
        call = self.open.get(around.id)
        if call is None or not call.retrying:
            return None
        return call.next_attempt()

    def _bridged(
        self, around: _Around, target: Target, kwargs: dict[str, Any]
    ) -> Delegation | None:
        """Let a call that serves another API speak for the call around."""
        call = self.open.get(around.id)
        if call is None:
            return None
        inner = kwargs.setdefault("litellm_call_id", new_call_id())
        return Alias(self, call, _Around(str(inner), target.family, parent=False))

    def call_around(self) -> Call | None:
        """Return the innermost call open around this code."""
        around = _around.get()
        return self.open.get(around.id) if around is not None else None

    def before_request(
        self, original: Original, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Take notice of a request on its way to a provider. The hook of ``Logging.pre_call``."""
        try:
            call = self.call_around() or self.open.get(args[0].litellm_call_id)
            if call is not None:
                call.requested(args[0], kwargs.get("additional_args"))
        except Exception as error:
            self.on_error("reading a request to a provider", error)
        return original(*args, **kwargs)


def _is_delegation(around: _Around, target: Target, kwargs: Mapping[str, Any]) -> bool:
    """Tell whether LiteLLM is calling itself on behalf of the call around.

    Then the call carries the id of the call around, which we choose, or one of the markers of
    LiteLLM's async functions. The Router's methods call each other without either.
    """
    if kwargs.get("litellm_call_id") == around.id:
        return True
    if around.parent:
        return around.family == target.family == "router"
    return any(kwargs[name] is True for name in _MARKERS & kwargs.keys())


def _argument(name: str, found: Found, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    if name in kwargs:
        return kwargs[name]
    at = found.parameters.index(name) if name in found.parameters else len(args)
    return args[at] if at < len(args) else None


class Delegation:
    """A call that LiteLLM makes on behalf of another."""

    def failed(self, error: BaseException) -> None:
        """Take notice of an exception on its way to the caller. Never raises."""
        raise NotImplementedError

    def returned(self, result: Any) -> Any:
        """Take notice of a result; return what the caller is to get."""
        raise NotImplementedError


class Alias(Delegation):
    """A call that serves another API: what is noticed of it is noticed of the call around.

    Args:
        calls: Where open calls are kept.
        call: The call around.
        around: What is around from now on.
    """

    def __init__(self, calls: Calls, call: Call, around: _Around) -> None:
        self._calls = calls
        self._id = around.id
        calls.open[around.id] = call
        self._token = _around.set(around)

    def _leave(self) -> None:
        self._calls.open.pop(self._id, None)
        _around.reset(self._token)

    def failed(self, error: BaseException) -> None:
        """Step out; the call around fails as well, or knows what to do."""
        self._leave()

    def returned(self, result: Any) -> Any:
        """Step out and hand on the result as it is."""
        self._leave()
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
        self._family = read.FAMILIES[target.family]
        self._given = given
        self._told: dict[str, Value] = {}
        self._error: dict[str, Value] = {}
        self._deltas: Deltas | None = None
        self._watch: Watch | None = None
        self._adopted: list[int] = []
        self._attempt_of = attempt_of
        self.attempt: Call | None = None
        self.tries = 0
        self.requests = 0
        self.endpoint: str | None = None
        self.provider: str | None = None
        self.above = above
        self.retrying = False
        self.parent = target.parent or _falls_back(target, kwargs)
        self.id: str = attempt_of.id if attempt_of is not None else self._choose_id(kwargs)
        self.span = self._start(kwargs)
        self.span.complete = self._complete
        self._enter()

    def _choose_id(self, kwargs: dict[str, Any]) -> str:
        """Choose the call's id, as LiteLLM would have, unless the caller did."""
        if self._target.parent:
            return new_call_id()  # its calls have ids of their own
        chosen = kwargs.get("litellm_call_id")
        if chosen is None:
            chosen = kwargs["litellm_call_id"] = new_call_id()
        return str(chosen)

    def _start(self, kwargs: Mapping[str, Any]) -> OpenSpan:
        target = self._target
        attributes = read.call_attributes(kwargs)
        attributes[semconv.OPERATION_NAME] = target.operation
        if self.above is not None and self.above.parent:
            self.above.tries += 1
            attributes[semconv.ATTEMPT] = self.above.tries
        name = f"{target.name} {self._given.get('model') or ''}".rstrip()
        kind = SpanKind.CHAIN if self.parent and target.kind is SpanKind.LLM else target.kind
        tracer = self._calls.tracer
        if self.above is None:
            remote = None if current_context() is not None else read.remote_parent(kwargs)
            with nullcontext() if remote is None else use_parent(remote):
                span = tracer.start(name, kind=kind, attributes=attributes)
        else:  # perhaps in a thread of LiteLLM's own, which knows of no current span
            leave = _nothing if _around.get() is not None else tracer.activate(self.above.span)
            span = tracer.start(name, kind=kind, attributes=attributes)
            leave()
        span.inputs = self._given  # copied already
        return span

    def _enter(self) -> None:
        if self._attempt_of is None:
            self._calls.open[self.id] = self
        deactivate = self._calls.tracer.activate(self.span)
        token = _around.set(_Around(self.id, self._target.family, self.parent))

        def leave() -> None:
            _around.reset(token)
            deactivate()

        self._leave = leave

    def adopt(self, messages: Any) -> None:
        """Become the parent of calls made with these messages in threads of LiteLLM's own."""
        shared = [messages, *messages] if isinstance(messages, (list, tuple)) else [messages]
        self._adopted = [id(one) for one in shared]
        self._calls.adopting.update(dict.fromkeys(self._adopted, self))

    def requested(self, logging: Any, details: Any) -> None:
        """Take notice of a request to a provider: where it goes. Not what is in its headers."""
        if self.attempt is not None:
            self.attempt.requested(logging, details)
        self.requests += 1
        if isinstance(details, Mapping):
            url = details.get("api_base")
            if url is not None:
                self.endpoint = str(url)
        provider = logging.model_call_details.get("custom_llm_provider")
        if isinstance(provider, str):
            self.provider = provider

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
            if is_stream(result):
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
        self._told = told_of(stream)
        self._deltas = self._family.deltas(stream)
        self._stop_holding()

        def end(error: BaseException | None) -> None:
            self._told |= told_of(stream)
            self._told |= usage_kept_by(stream)
            self._end(error)

        self._watch = Watch(self.span, self._deltas, end, self._calls.on_error)
        return StreamProxy(stream, self._watch, self._resume if self.parent else None)

    def _resume(self) -> Callable[[], None]:
        """Be the call around again, while a stream of the Router's falls back."""
        self._enter()
        return self._leave

    def _end(self, error: BaseException | None) -> None:
        self._stop_holding()
        if error is not None:
            self._error = error_attributes(error)
        self.span.end(error)

    def _stop_holding(self) -> None:
        """Be found no more by calls that begin from now on."""
        if self._attempt_of is not None:
            self._attempt_of.attempt = None
        else:
            self._calls.open.pop(self.id, None)
        for one in self._adopted:
            self._calls.adopting.pop(one, None)

    # On the sink's thread, over copies alone.

    def _complete(self, span: Span) -> Span:
        """Make sense of what was copied."""
        if self._deltas is not None:
            span = attrs.evolve(span, outputs=self._deltas.outputs())
        span = attrs.evolve(span, attributes={**self._attributes(span), **span.attributes})
        if self.parent or self._target.parent:
            return span
        return self._priced(self._with_usage(span))

    def _attributes(self, span: Span) -> dict[str, Value]:
        told = self._told
        failed = span.status.code is StatusCode.ERROR
        found: dict[str, Value] = {
            **read.request_attributes(self._given),
            **read.provider_attributes(self._provider_name(), self._given.get("model")),
            **read.response_attributes(span.outputs),
            **read.endpoint_attributes(self._url()),
            **read.header_attributes(told.get("additional_headers")),
            **(self._watch.statistics() if self._watch is not None else {}),
            **self._error,
            read.CALL_ID: self.id,
            read.MODEL_ID: told.get("model_id"),
            read.REGION: told.get("region_name"),
            read.OVERHEAD: told.get("litellm_overhead_time_ms"),
            read.REQUESTS: self.requests or None,
            semconv.CACHE_HIT: None if failed or self.parent else self._cache_hit(),
        }
        return {name: value for name, value in found.items() if value is not None}

    def _url(self) -> str | None:
        asked = self._given.get("api_base") or self._given.get("base_url")
        return self.endpoint or _text(self._told.get("api_base")) or _text(asked)

    def _cache_hit(self) -> bool:
        told = self._told
        return told.get("cache_hit") is True or told.get("custom_llm_provider") == _CACHED

    def _provider_name(self) -> str | None:
        told = _text(self._told.get("custom_llm_provider"))
        return self.provider or (told if told != _CACHED else None) or self._guessed_provider()

    def _guessed_provider(self) -> str | None:
        """Ask LiteLLM which provider serves a model, where no request was made: a cache hit."""
        given = _text(self._given.get("custom_llm_provider"))
        model = _text(self._given.get("model"))
        litellm: Any = sys.modules.get("litellm")
        if given is not None or model is None or self.parent or litellm is None:
            return given
        try:
            return _text(litellm.get_llm_provider(model)[1])
        except Exception:  # its way of saying that it does not know the model
            return None

    def _with_usage(self, span: Span) -> Span:
        outputs, kept = span.outputs, self._told.get("usage")
        if kept is not None and isinstance(outputs, Mapping):
            outputs = {**outputs, "usage": kept}
        usage = read.usage_of(outputs)
        if usage is not None and kept is None and self._told.get("keeps_chunks"):
            usage = attrs.evolve(usage, source=UsageSource.ESTIMATED)  # LiteLLM made it up
        if usage is None and self._deltas is not None:
            usage = estimated_usage(span)
        if usage is None and span.status.code is not StatusCode.ERROR:
            usage = TokenUsage(source=UsageSource.MISSING)
        if usage is not None and self._watch is not None:
            speed = self._watch.tokens_per_second(usage.output)
            span = read.describe(span, {semconv.STREAM_TOKENS_PER_SECOND: speed})
        return attrs.evolve(span, outputs=outputs, usage=usage)

    def _priced(self, span: Span) -> Span:
        told, usage = self._told.get("response_cost"), span.usage
        if self._deltas is not None or not isinstance(told, float):
            told = None  # on a stream it is LiteLLM's guess from before the first chunk
        if told is None and (usage is None or usage.source is UsageSource.MISSING):
            return span
        answered = span.attributes.get(semconv.RESPONSE_MODEL)
        names = (self._told.get("litellm_model_name"), self._given.get("model"), answered)
        models = tuple(dict.fromkeys(name for name in names if isinstance(name, str)))
        custom: dict[str, Value] = {n: self._given[n] for n in _PRICES if n in self._given}
        priced = Priced(models, self._provider_name(), told, self._cache_hit(), custom)
        return attrs.evolve(span, cost=cost_of(usage, priced))


def _falls_back(target: Target, kwargs: Mapping[str, Any]) -> bool:
    """Tell whether a completion is going to try one model after another."""
    return target.family == "chat" and bool(kwargs.get("fallbacks"))


def _nothing() -> None:
    return


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
    found: dict[str, Value] = {}
    for name in _TOLD:
        value = hidden.get(name)
        if value is not None:
            found[name] = value if type(value) in _ATOMS else snapshot(value)
    provider = getattr(result, "custom_llm_provider", None)
    if isinstance(provider, str):
        found["custom_llm_provider"] = provider
    return found


def usage_kept_by(stream: Any) -> dict[str, Value]:
    """Find the usage that a provider told at the end of a stream, among the chunks LiteLLM keeps.

    What the caller sees may be nothing, or LiteLLM's own count instead.

    Args:
        stream: LiteLLM's stream.

    Returns:
        ``usage``, if it was told, and whether the stream keeps chunks at all.
    """
    inner = getattr(stream, "completion_stream", None)  # text completions wrap chat ones
    chunks = getattr(stream, "chunks", None) or getattr(inner, "chunks", None) or ()
    for chunk in reversed(chunks):
        usage = getattr(chunk, "usage", None)
        if usage is not None:
            return {"usage": snapshot(usage), "keeps_chunks": True}
    return {"keeps_chunks": bool(chunks)}
