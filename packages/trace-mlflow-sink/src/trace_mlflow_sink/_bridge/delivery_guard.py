"""Lets MLflow's client wait for a trace of ours that is on its way to the store.

A program that calls ``mlflow.log_feedback`` right after an answer names a trace that MLflow may
not have yet. Only that call waits, never one of LiteLLM's.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterable
from typing import Any, Final

from trace_core import Span, after_fork, failure, log_once
from trace_mlflow_sink._bridge.wrapped_methods import WrappedMethods

_METHODS: Final = ("log_assessment", "set_trace_tag", "get_trace")
"""Methods of MLflow's ``TracingClient`` that need a stored trace, all with its id first."""
_MOST_SPANS: Final = 4_000
_SOON_SECONDS: Final = 0.5
"""How long a span takes that nothing holds up."""


class Delivery:
    """The spans of one sink that have ended and are not stored yet. Thread-safe.

    Args:
        flush: Delivers what is waiting, for a few seconds; returns whether nothing is left.
    """

    def __init__(self, flush: Callable[[], bool]) -> None:
        self._flush = flush
        self._reset()
        after_fork(self._reset)

    def _reset(self) -> None:
        self._pending: dict[str, str] = {}  # by span its trace, the oldest first
        self._stored = threading.Condition()

    def ended(self, span_id: str, trace_id: str) -> None:
        """Note a span that has ended, on the caller's thread: no lock is taken.

        Args:
            span_id: The span.
            trace_id: The trace it lies in at MLflow.
        """
        pending = self._pending
        pending[span_id] = trace_id
        if len(pending) > _MOST_SPANS:
            for oldest in list(pending)[: _MOST_SPANS // 4]:
                pending.pop(oldest, None)

    def stored(self, spans: Iterable[Span]) -> None:
        """Note spans that are stored, or are not meant to be."""
        if self._pending:
            with self._stored:
                for span in spans:
                    self._pending.pop(span.span_id, None)
                self._stored.notify_all()

    def _is_stored(self, trace_id: str) -> bool:
        return trace_id not in list(self._pending.values())

    def wait(self, trace_id: str) -> None:
        """Wait until the spans of a trace that have ended are stored.

        Spans that do not come soon may be held up by others, or were left out on their way here:
        a flush finds that out.

        Args:
            trace_id: The trace, as we name it.
        """
        if self._is_stored(trace_id):
            return
        with self._stored:
            came = self._stored.wait_for(lambda: self._is_stored(trace_id), _SOON_SECONDS)
        if not came and self._flush():
            for span_id, of_trace in list(self._pending.items()):
                if of_trace == trace_id:  # left out: whoever asks next need not wait
                    self._pending.pop(span_id, None)

    def clear(self) -> None:
        """Let nobody wait any more."""
        with self._stored:
            self._pending.clear()
            self._stored.notify_all()


class DeliveryGuard:
    """Wraps methods of MLflow's client while at least one `Delivery` is registered."""

    def __init__(self) -> None:
        self._methods: WrappedMethods[Delivery] = WrappedMethods(_METHODS, self._waiting)

    def add(self, delivery: Delivery, client_class: Any) -> None:
        """Have MLflow's client wait for what is to be delivered.

        Args:
            delivery: The deliveries to wait for.
            client_class: MLflow's ``TracingClient``.
        """
        self._methods.add(delivery, client_class)

    def release(self, delivery: Delivery) -> None:
        """Have it wait no more.

        Args:
            delivery: What `add` was called with.
        """
        self._methods.release(delivery)
        delivery.clear()

    def _waiting(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def method(client: object, *args: Any, **kwargs: Any) -> Any:
            self._wait(args[0] if args else kwargs.get("trace_id"))
            return original(client, *args, **kwargs)

        return method

    def _wait(self, trace_id: object) -> None:
        try:
            if isinstance(trace_id, str):
                for delivery in list(self._methods.users):
                    delivery.wait(trace_id.removeprefix("tr-"))
        except failure() as error:
            log_once(
                f"mlflow:wait:{type(error).__name__}",
                "tracing: MLflow is asked for a trace that may not be stored yet: %s: %s",
                *(type(error).__name__, error),
                error=error,
            )


guard: Final = DeliveryGuard()
"""The guard of this process, because MLflow's client is one class per process."""
