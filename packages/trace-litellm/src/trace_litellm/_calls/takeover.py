"""Spans of functions that cannot be patched, from what LiteLLM reports to its callbacks.

Fewer details than a patched call has: the span begins with the first request, nothing is its
child, and a stream is reported when it was read to its end.
"""

from __future__ import annotations

import inspect
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from trace_core import SpanKind, after_fork, failure
from trace_core.patching import Original
from trace_core.streams import is_stream
from trace_litellm._calls.call import OpenCalls
from trace_litellm._calls.nesting import BRIDGES, get_enclosing, is_chosen_by_us
from trace_litellm._calls.reported import ReportedCall
from trace_litellm._patching import callbacks as _callbacks
from trace_litellm._patching.targets import UNAMBIGUOUS, Shape, Target
from trace_litellm._reading import call_details as _details

_MOST: Final = 10_000
"""Calls that are remembered, also after their end, because LiteLLM may report one twice."""
_BRIDGED: Final = frozenset(outer for outer, _ in BRIDGES)
"""Families whose calls may be served by another call, which has a span of its own."""
_PATIENCE: Final = 1.0
"""Seconds to wait for LiteLLM to report calls that have been answered."""


def can_take_over(target: Target) -> bool:
    """Return whether LiteLLM reports a target's calls to its callbacks, by a name of its own."""
    reported = target.shape in (Shape.CLIENT, Shape.EITHER) and not target.parent
    return reported and target.call_types <= UNAMBIGUOUS and target.family != "session"


def describe_misfits(targets: Iterable[Target]) -> str:
    """Say what becomes of functions that cannot be patched.

    Args:
        targets: The functions.
    """
    taken: set[str] = set()
    around: set[str] = set()
    lost: set[str] = set()
    for target in targets:
        kind = taken if can_take_over(target) else around if _is_around_calls(target) else lost
        kind.update(target.call_types)
    parts = {
        "traced by LiteLLM's callbacks, without chunks, child calls and unfinished answers": taken,
        "without a span of their own, only the calls that they make": around,
        "not traced": lost,
    }
    return "; ".join(
        f"{what}: {', '.join(sorted(names))}" for what, names in parts.items() if names
    )


def _is_around_calls(target: Target) -> bool:
    """Return whether a target, such as a Router's methods, does nothing but make other calls."""
    return target.parent and (target.shape is Shape.PLAIN or target.kind is SpanKind.CHAIN)


class Takeover:
    """Makes the spans of functions that cannot be patched. Active once it has a target.

    Args:
        calls: The calls in progress, those of patched functions.
    """

    def __init__(self, calls: OpenCalls) -> None:
        self._calls = calls
        self.targets: Mapping[str, Target] = {}
        """What it traces, by LiteLLM's name of it."""
        self._callback: Any = None
        self._since_ns = 0
        self._open: dict[tuple[str, int], ReportedCall] = {}
        self._seen: dict[tuple[str, int], Any] = {}
        self._order: deque[tuple[str, int]] = deque()
        self._ended = threading.Event()
        after_fork(self._forget_parents_calls)

    def _forget_parents_calls(self) -> None:
        self._open.clear()
        self._ended = threading.Event()  # a thread that is not there may hold the lock

    # Turning it on and off.

    def take(self, targets: Iterable[Target]) -> None:
        """Trace the calls of targets from now on, and go on with those taken before.

        Args:
            targets: What cannot be patched, and `can_take_over` accepts.
        """
        taken = {name: target for target in targets for name in target.call_types}
        if not taken and not self.targets:
            return
        if not _callbacks.is_registered(self._callback):  # also where a program has removed it
            _callbacks.unregister(self._callback)
            self._since_ns = time.monotonic_ns()
            self._callback = _callbacks.register(self, self._calls.on_error)
        self.targets = {**self.targets, **taken}

    def stop(self) -> None:
        """Have LiteLLM report nothing any more; end the calls whose end it has not reported."""
        if not self.targets:
            return
        self.settle(_PATIENCE)
        _callbacks.unregister(self._callback)
        self.targets = {}
        for key in list(self._open):
            self._end_unreported(key, "interrupted")
        self._seen.clear()
        self._order.clear()

    def settle(self, timeout: float) -> None:
        """Wait until LiteLLM, which does so later, has reported the calls that were answered.

        Not for async ones: that needs their event loop, which may be waiting for us.

        Args:
            timeout: Seconds to wait at the most.
        """
        deadline = time.monotonic() + min(timeout, _PATIENCE)
        while True:
            self._ended.clear()
            if not any(call.awaited for call in list(self._open.values())):
                return
            if not self._ended.wait(max(deadline - time.monotonic(), 0)):
                return

    # What LiteLLM reports: a `Listener`.

    def requested(self, details: Mapping[str, Any]) -> None:
        """Open the span of a call, or note another request of it."""
        call = self._open.get(_details.identity(details)) or self._begin(details, requests=True)
        if call is not None:
            call.requested(details)

    def answered(self, details: Mapping[str, Any]) -> None:
        """Note that a provider has answered."""
        call = self._open.get(_details.identity(details))
        if call is not None:
            call.answered(details)

    def succeeded(self, details: Mapping[str, Any], response: Any, ended: Any) -> None:
        """End the span of a call with its answer."""
        call = self._take_out(details)
        if call is not None:
            call.succeeded(details, response, ended)
        self._ended.set()

    def failed(self, details: Mapping[str, Any], ended: Any) -> None:
        """End the span of a call with its exception."""
        call = self._take_out(details)
        if call is not None:
            call.failed(details, ended)
        self._ended.set()

    # What patched functions of LiteLLM add to that.

    def serves(self, kwargs: Mapping[str, Any]) -> bool:
        """Return whether a call of a patched function is made by one that is traced here.

        Args:
            kwargs: The keyword arguments of the call.
        """
        made_by = getattr(kwargs.get("litellm_logging_obj"), "call_type", None)
        return made_by in self.targets and _details.call_id_in(kwargs) not in self._calls.by_id

    def follow(self, logging: Any) -> None:
        """End the span of a call with LiteLLM's object for it, if nothing is reported before.

        So ends what LiteLLM does not report: a stream not read to its end, a cancelled call.

        Args:
            logging: The object; called after the first request of a call.
        """
        key = _details.identity(logging.model_call_details)
        call = self._open.get(key)
        if call is not None and call.record.requests == 1:
            weakref.finalize(logging, self._end_unreported, key, "abandoned").atexit = False

    def retried(
        self, original: Original, args: tuple[Any, ...], kwargs: dict[str, Any], error: Any
    ) -> Any:
        """Report a call that LiteLLM makes again, where its callbacks hear nothing.

        Args:
            original: Makes the call again.
            args: Its positional arguments.
            kwargs: Its keyword arguments.
            error: How the call failed before.
        """
        details = getattr(kwargs.get("litellm_logging_obj"), "model_call_details", None)
        if not isinstance(details, Mapping) or details.get("call_type") not in self.targets:
            return original(*args, **kwargs)
        _report(self._calls, self.failed, {**details, "exception": error}, None)
        result = original(*args, **kwargs)
        return self._awaited(result, details) if inspect.iscoroutine(result) else result

    async def _awaited(self, result: Any, details: Mapping[str, Any]) -> Any:
        try:
            answer = await result
        except BaseException as error:
            _report(self._calls, self.failed, {**details, "exception": error}, None)
            raise
        if not is_stream(answer):  # the end of a stream is reported
            _report(self._calls, self.succeeded, details, answer, None)
        return answer

    # Spans.

    def _begin(self, details: Mapping[str, Any], *, requests: bool) -> ReportedCall | None:
        """Open the span of a call that is reported for the first time.

        Args:
            details: What LiteLLM reports.
            requests: Whether it is about to send a request: then a call may begin once more.
        """
        target = self.targets.get(str(details.get("call_type")))
        if target is None:
            return None
        key, mine = _details.identity(details), (details.get("start_time"),)
        first = self._seen.setdefault(key, mine) is mine
        if first:
            self._order.append(key)
        if len(self._order) > _MOST:
            self._forget(self._order.popleft())
        if not (first or requests) or self._is_elsewhere(details, target, requests=requests):
            return None
        call = self._open[key] = ReportedCall(self._calls, target, details, again=not first)
        return call

    def _is_elsewhere(self, details: Mapping[str, Any], target: Target, *, requests: bool) -> bool:
        """Return whether another span is that of a call, or none should be."""
        began_ns = time.monotonic_ns() - _details.age_ns(details.get("start_time"))
        if began_ns < self._since_ns or _details.must_not_be_logged(details):
            return True
        if not requests and target.family in _BRIDGED and _details.is_served(details):
            return True
        call_id, enclosing = _details.call_id_in(details), get_enclosing()
        if call_id in self._calls.batches:
            return False
        if is_chosen_by_us(call_id) or call_id in self._calls.by_id:
            return True
        return enclosing is not None and (enclosing.family, target.family) in BRIDGES

    def _forget(self, key: tuple[str, int]) -> None:
        self._seen.pop(key, None)
        self._end_unreported(key, "abandoned")

    def _take_out(self, details: Mapping[str, Any]) -> ReportedCall | None:
        key = _details.identity(details)
        if key not in self._open:
            self._begin(details, requests=False)
        return self._open.pop(key, None)

    def _end_unreported(self, key: tuple[str, int], ending: str) -> None:
        call = self._open.pop(key, None)
        if call is not None:
            call.end_unreported(ending)


def _report(calls: OpenCalls, method: Callable[..., None], *args: Any) -> None:
    try:
        method(*args)
    except failure() as error:
        calls.on_error("following a retry", error)
