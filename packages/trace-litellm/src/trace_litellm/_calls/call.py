"""One call on the caller's thread: enter, copy the answer, leave, end the span."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from trace_core import Event, OpenSpan, Place, SpanKind, Tracer, Value, failure, own_line, semconv
from trace_core.streams import ChunkEvents, StreamProxy, Watch, is_stream
from trace_litellm._calls.nesting import (
    Enclosing,
    get_enclosing,
    new_call_id,
    reset_enclosing,
    set_enclosing,
)
from trace_litellm._calls.opening import falls_back, open_span
from trace_litellm._patching.targets import Target
from trace_litellm._reading.call_details import call_id_in
from trace_litellm._reading.complete import complete
from trace_litellm._reading.credentials import remember_settings
from trace_litellm._reading.endpoints import FAMILIES
from trace_litellm._reading.errors import Failure, error_attributes
from trace_litellm._reading.hidden_params import (
    ended_params,
    hidden_params,
    is_custom,
    source_params,
    stream_params,
)
from trace_litellm._reading.own_counts import original_answer
from trace_litellm._reading.privacy import hides
from trace_litellm._reading.record import CallRecord
from trace_litellm._reading.responses import SDK_RETRY_EVENT
from trace_litellm._streams.inside import WithSource, add_last_event


class OpenCalls:
    """The calls in progress, and what they need to make their spans.

    Args:
        tracer: Makes the spans.
        on_error: Reports an exception in our own code, which costs a span and never the call.
        stream_events: The number of chunks of a stream that become events of its span.
    """

    def __init__(
        self, tracer: Tracer, on_error: Callable[[str, BaseException], None], stream_events: int
    ) -> None:
        self.tracer = tracer
        self.on_error = on_error
        self.stream_events = stream_events
        self.by_id: dict[str, Call] = {}
        self.batches: dict[str, Call] = {}
        """Batches in progress, by the id that they hand to the calls they make on threads."""

    def innermost(self) -> Call | None:
        """Return the innermost call open around this code."""
        enclosing = get_enclosing()
        return self.by_id.get(enclosing.id) if enclosing is not None else None


class Delegation:
    """A call that LiteLLM makes on behalf of another."""

    def failed(self, error: BaseException) -> None:
        """Note an exception on its way to the caller. Never raises."""
        raise NotImplementedError

    def returned(self, result: Any) -> Any:
        """Note a result; return what the caller is to get."""
        raise NotImplementedError


class SameIdDelegation(Delegation):
    """A call of another API that serves a call under the same id.

    Args:
        call: The enclosing call.
    """

    def __init__(self, call: Call) -> None:
        self._call = call

    def failed(self, error: BaseException) -> None:
        """Do nothing; the enclosing call fails as well, or handles it."""

    def returned(self, result: Any) -> Any:
        """Give the enclosing call its source, and return the result as it is."""
        self._call.served_by(result)
        return result


class OwnIdDelegation(Delegation):
    """A call of another API that serves a call under an id of its own.

    What happens inside it is recorded on the enclosing call.

    Args:
        calls: The calls in progress.
        call: The enclosing call.
        enclosing: What encloses the code from now on.
    """

    def __init__(self, calls: OpenCalls, call: Call, enclosing: Enclosing) -> None:
        self._calls = calls
        self._call = call
        self._id = enclosing.id
        calls.by_id[enclosing.id] = call
        self._token = set_enclosing(enclosing)

    def _leave(self) -> None:
        try:
            self._calls.by_id.pop(self._id, None)
            reset_enclosing(self._token)
        except failure() as error:
            self._calls.on_error("leaving a call", error)

    def failed(self, error: BaseException) -> None:
        """Leave; the enclosing call fails as well, or handles it."""
        self._leave()

    def returned(self, result: Any) -> Any:
        """Leave, give the enclosing call its source, and return the result as it is."""
        self._leave()
        self._call.served_by(result)
        return result


class Call(Delegation):
    """One call and its span, from its first step to the last chunk of its stream.

    Args:
        calls: The calls in progress.
        target: The function that is called.
        parameters: The request parameters, copied.
        kwargs: The keyword arguments themselves; the call's id is put there.
        above: The call that this one is made in, if there is one.
        attempt_of: The call that this is one attempt of; it has the id.
    """

    def __init__(
        self,
        calls: OpenCalls,
        target: Target,
        parameters: dict[str, Value],
        kwargs: dict[str, Any],
        above: Call | None = None,
        attempt_of: Call | None = None,
    ) -> None:
        self.calls = calls
        self._target = target
        self._attempt_of = attempt_of
        self.above = above
        parent = target.parent or ("fallbacks" in kwargs and falls_back(target, kwargs))
        self.id: str = attempt_of.id if attempt_of is not None else _id_of(target, kwargs)
        self.record = record = CallRecord(self.id, target.family, parameters, parent)
        record.hides_inputs, record.hides_outputs = hides(kwargs)
        attempt, above_span = 0, None
        if above is not None:
            record.hide_with(above.record)
            hide_above(above, record)
            above_span = above.span
            if above.record.parent:
                above.attempts += 1
                attempt = above.attempts
        self.span: OpenSpan = open_span(calls.tracer, target, record, kwargs, above_span, attempt)
        self.span.complete = partial(complete, record)
        if attempt_of is None:
            calls.by_id[self.id] = self
        if record.parent:
            self.called_from = own_line() or (above.called_from if above is not None else ())
        self._enter()

    # On the class, because most calls end without setting them.
    source: Any = None
    details: Any = None  # what LiteLLM tells its callbacks
    batch_id: str | None = None
    requested_id: Any = None
    attempt: Call | None = None
    streams_below: tuple[Watch, ...] = ()
    attempts = 0
    retrying = False
    called_from: Sequence[Place] = ()  # the user's line; calls below it may have other threads

    def _enter(self) -> None:
        self._deactivate = self.calls.tracer.activate(self.span)
        enclosing = self._enclosing = Enclosing(self.id, self.record.family, self.record.parent)
        self._token = set_enclosing(enclosing)

    def _leave(self) -> None:
        try:
            reset_enclosing(self._token)
            self.record.replayed |= self._enclosing.replayed
            self._deactivate()
        except failure() as error:
            self.calls.on_error("leaving a call", error)

    def requested(self, logging: Any, details: Any) -> None:
        """Record where a request to a provider goes, but nothing of its headers."""
        if self.attempt is not None:
            self.attempt.requested(logging, details)
        record = self.record
        record.requests += 1
        endpoint = details.get("api_base") if type(details) is dict else None
        record.endpoint = endpoint or record.endpoint
        self.details = logging.model_call_details
        record.provider = self.details.get("custom_llm_provider") or record.provider

    def sent_again(self, details: dict[str, Value]) -> None:
        """Record that a provider's SDK sends the request again by itself.

        Args:
            details: Why, as attributes of the event.
        """
        if self.attempt is not None:
            self.attempt.sent_again(details)
            return
        now = self.span.start_ns + self.span.elapsed_ns
        self.record.resent += (Event(SDK_RETRY_EVENT, now, details),)

    # Retries: the call becomes the parent of its attempts.

    def retry(self, error: BaseException | None) -> None:
        """Record that LiteLLM is about to try again.

        Args:
            error: Why: the failure of the first attempt.
        """
        self.retrying = True
        record = self.record
        record.parent = True
        self.span.kind = SpanKind.CHAIN
        first = self._new_attempt()
        first.span.start_with(self.span)
        first.record.endpoint, first.record.provider = record.endpoint, record.provider
        first.record.requests = record.requests
        first.record.resent, record.resent = record.resent, ()
        first.failed(error if error is not None else RuntimeError("unknown"))

    def next_attempt(self) -> Call | None:
        """Open the span of the next attempt, unless one is in progress."""
        if self.attempt is not None:
            return None
        self.attempt = self._new_attempt()
        return self.attempt

    def _new_attempt(self) -> Call:
        asked = self.record.parameters
        return Call(self.calls, self._target, asked, {}, above=self, attempt_of=self)

    def failed(self, error: BaseException) -> None:
        """End the span for an exception on its way to the caller. Never raises."""
        self._leave()
        self.end(error)

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
                return _follow(self, result)
            self.record.answer, self.record.hidden = type(result), hidden_params(result)
            self.record.original = original_answer(self.record.provider, self.details)
            self.span.outputs = FAMILIES[self.record.family].copy(result)
        except failure() as error:
            self.calls.on_error(f"reading a {type(result).__name__}", error)
        self.end(None)
        return result

    def served_by(self, result: Any) -> None:
        """Remember what is translated for the caller: it knows the provider's usage.

        Args:
            result: What LiteLLM returned to itself. Never raises.
        """
        try:
            if not is_stream(result):
                self.record.sources += (source_params(result),)
            elif hasattr(result, "chunks") or self.source is None:
                self.source = result
        except failure() as error:
            self.calls.on_error(f"reading a {type(result).__name__}", error)

    def resume(self) -> Callable[[], None]:
        """Enclose the code again while the stream of a Router or of a custom handler goes on."""
        if self._attempt_of is None:
            self.calls.by_id[self.id] = self
        self._enter()
        return self._leave

    def end(self, error: BaseException | None) -> None:
        """End the span. Never raises."""
        try:
            self.unregister()
            if error is not None:
                remember_settings()
                self.record.error = error_attributes(error)
                error = _failed_elsewhere(self, error)
        except failure() as trouble:
            self.calls.on_error("ending a call", trouble)
        self.span.end(error)

    def unregister(self) -> None:
        """Stop being a possible parent of new calls."""
        if self._attempt_of is not None:
            self._attempt_of.attempt = None
        else:
            self.calls.by_id.pop(self.id, None)
        if self.batch_id is not None:
            self.calls.batches.pop(self.batch_id, None)

    def fail(self, failure: Failure) -> None:
        """Record a failure that LiteLLM does not raise, on the calls above as well."""
        self.span.status = failure.status
        self.record.error = failure.attributes
        if self.above is not None:
            self.above.fail(failure)


def _id_of(target: Target, kwargs: dict[str, Any]) -> str:
    """Return the id of a call; where LiteLLM would choose one, it is ours to choose."""
    if target.parent or not target.takes_id:  # its calls have their own, or it makes none
        return new_call_id()
    if kwargs.get("litellm_call_id") is None:
        kwargs["litellm_call_id"] = new_call_id()
    return call_id_in(kwargs)


def hide_above(call: Call | None, below: CallRecord) -> None:
    """Hide what a call hides from the spans above that repeat it, as a Router's does.

    Args:
        call: The call above it.
        below: The record of the call: a Router's deployment may have switches of its own.
    """
    while call is not None and call.record.parent:
        call.record.hide_with(below)
        call = call.above


def _failed_elsewhere(call: Call, error: BaseException) -> BaseException | None:
    """Record an exception of a call that may be made on another thread than the user's.

    Returns:
        The exception, if that is not to be done here.
    """
    if call.above is None or not call.above.called_from:
        return error
    call.span.fail(error, call.above.called_from)
    return None


def _follow(call: Call, stream: Any) -> StreamProxy:
    """Return the proxy of a stream, which ends the call's span when the stream ends."""
    record, span, calls = call.record, call.span, call.calls
    record.hidden = stream_params(stream)
    record.deltas = deltas = FAMILIES[record.family].deltas(stream)
    call.unregister()

    def end(error: BaseException | None) -> None:
        try:
            _end_streams_below(call, error)
            if error is not None:
                add_last_event(deltas, stream)
            record.hidden = {**record.hidden, **ended_params(stream, call.source)}
            call.source = None
        except failure() as trouble:
            calls.on_error("reading the end of a stream", trouble)
        call.end(error)

    if record.family == "text":
        deltas = WithSource(deltas, stream, partial(setattr, call, "source"))
    if calls.stream_events and not record.hides_outputs:
        deltas = ChunkEvents(span, deltas, calls.stream_events)
    record.watch = watch = Watch(span, deltas, end, calls.on_error)
    if call.above is not None:
        call.above.streams_below += (watch,)
    makes_calls = record.parent or is_custom(record.hidden)
    return StreamProxy(stream, watch, call.resume if makes_calls else None)


def _end_streams_below(call: Call, error: BaseException | None) -> None:
    """End the streams that a stream was made of, such as those of a Router's deployments.

    Some releases keep them in a generator that nobody closes when the caller breaks off.
    An error on its way to the caller is not theirs: what failed below has ended already.
    """
    own = str(call.span.attributes[semconv.STREAM_ENDING])
    below, call.streams_below = call.streams_below, ()
    for watch in below:
        watch.end(own if error is None else "abandoned")
