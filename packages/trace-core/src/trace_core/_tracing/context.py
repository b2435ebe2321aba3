"""What is current: the parent of the next span and the attributes it inherits."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar, Token
from typing import TypeVar

import attrs

from trace_core import semconv
from trace_core._errors import ConfigurationError
from trace_core._model.span import SpanContext
from trace_core._model.values import Value, snapshot

T = TypeVar("T")


@attrs.define(eq=False)  # not frozen: that would take three times as long to make
class Current:
    """The current span: ids alone, because a running loop may keep a context for its life.

    Args:
        trace_id: Its trace.
        span_id: Its own id.
        foreign: The other tracing systems' current span ids when it became current. A later
            difference means that the other system's span lies inside ours.
    """

    trace_id: str
    span_id: str
    foreign: tuple[str | None, ...] = ()


current: ContextVar[Current | None] = ContextVar("trace_core_current", default=None)
inherited: ContextVar[Mapping[str, Value] | None] = ContextVar(
    "trace_core_attributes", default=None
)


suppressed: ContextVar[bool] = ContextVar("trace_core_suppressed", default=False)


@contextmanager
def suppress() -> Generator[None]:
    """Record no spans inside, in this thread or task and its children."""
    token = suppressed.set(True)
    try:
        yield
    finally:
        put_back(suppressed, token)


def put_back(variable: ContextVar[T], token: Token[T]) -> bool:
    """Undo a ``set``; say whether that was possible.

    It is not in another context than the one it was set in, as when the event loop's finaliser
    closes an async generator; what was set is gone with that other context.

    Args:
        variable: What was set.
        token: What ``set`` returned.
    """
    try:
        variable.reset(token)
    except (ValueError, RuntimeError):  # another context; undone already
        return False
    return True


def current_context() -> SpanContext | None:
    """Return the identity of the current span, or ``None`` outside of any."""
    now = current.get()
    return SpanContext(now.trace_id, now.span_id) if now is not None else None


@contextmanager
def use_parent(parent: SpanContext | str | None) -> Generator[None]:
    """Make a span of another thread, process or service the parent of what happens inside.

    Args:
        parent: Its identity, or a W3C ``traceparent`` header; ``None`` starts new traces.

    Raises:
        ConfigurationError: The header cannot be read.
    """
    context = SpanContext.from_traceparent(parent) if isinstance(parent, str) else parent
    now = Current(context.trace_id, context.span_id) if context is not None else None
    token = current.set(now)
    try:
        yield
    finally:
        put_back(current, token)


@contextmanager
def attributes(
    values: Mapping[str, object] | None = None, /, **short_names: object
) -> Generator[None]:
    """Set attributes on every span that starts inside, in this thread or task and its children.

    Args:
        values: Attributes by full name.
        **short_names: ``session_id``, ``user_id``, ``conversation_id``, ``tags``,
            ``trace_name``.

    Raises:
        ConfigurationError: A keyword is none of these.
    """
    unknown = sorted(set(short_names) - set(semconv.SHORT_NAMES))
    if unknown:
        raise ConfigurationError(
            f"unknown attribute {unknown[0]!r}; known short names are "
            f"{', '.join(sorted(semconv.SHORT_NAMES))}; give others by full name in a mapping"
        )
    added = {name: snapshot(value) for name, value in (values or {}).items()}
    added |= {semconv.SHORT_NAMES[key]: snapshot(value) for key, value in short_names.items()}
    token = inherited.set({**(inherited.get() or {}), **added})
    try:
        yield
    finally:
        put_back(inherited, token)


def capture_context() -> Callable[[], AbstractContextManager[None]]:
    """Capture the current span and the inherited attributes, to go on in another thread.

    Returns:
        A function whose result is a context manager: inside it, what is captured is current.
    """
    parent, found = current.get(), inherited.get()

    @contextmanager
    def restored() -> Generator[None]:
        token, other = current.set(parent), inherited.set(found)
        try:
            yield
        finally:
            put_back(inherited, other)
            put_back(current, token)

    return restored
