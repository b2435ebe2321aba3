"""The current span, and the attributes that new spans take over, per thread and task."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import Context, ContextVar, Token, copy_context
from types import NoneType
from typing import Final, TypeAlias, TypeVar

import attrs

from trace_core import semconv
from trace_core._errors import ConfigurationError
from trace_core._model.parts import SpanContext
from trace_core._model.values import Value, snapshot, snapshot_mapping

T = TypeVar("T")
Seen: TypeAlias = tuple[SpanContext | None, ...]
"""The current spans of other tracing systems, by the order of a tracer's bridges."""


@attrs.define(eq=False)  # not frozen: that would take three times as long to make
class Current:
    """The current span: ids alone, because an event loop may keep a context for ever.

    Args:
        trace_id: Its trace.
        span_id: Its own id.
        outer: What was current before.
        foreign: The other tracing systems' current spans when it became current, one for each
            bridge. A later difference means that the other system's span lies inside ours.
        made_in: For a parent that the program has set: the context it was set in, which says the
            same. Only while it is current, because it keeps more than ids.
        root: Our topmost span around it, if that is below a span which is stored elsewhere.
        stale: Whether it was left while another span was current, or in another context. It may
            be current somewhere still, but must not be anybody's parent.
    """

    trace_id: str
    span_id: str
    outer: Current | None = None
    foreign: Seen = ()
    made_in: Context | None = None
    root: Value = None
    stale: bool = False

    @property
    def context(self) -> SpanContext | None:
        """Its identity; ``None`` where the program has said that there is no parent."""
        return SpanContext(self.trace_id, self.span_id) if self.span_id else None

    def leave(self) -> None:
        """Make current again what was current before.

        Generators with spans in them may be closed in any order and in any context. A span that
        is not current here is marked instead, so that it does not become current again.
        """
        if get_current() is self:
            outer = self.outer
            set_current(outer if outer is None or not outer.stale else not_stale(outer))
        else:
            self.stale = True


current: ContextVar[Current | None] = ContextVar("trace_core_current", default=None)
"""The current span; it may be stale: see `not_stale`."""
get_current: Final = (
    current.get
)  # as names, because to look a method up takes as long as to call it
set_current: Final = current.set
inherited: ContextVar[Mapping[str, Value] | None] = ContextVar(
    "trace_core_attributes", default=None
)
get_inherited: Final = inherited.get


def not_stale(now: Current | None) -> Current | None:
    """Return a span or, if it is stale, the nearest one around it that is not."""
    while now is not None and now.stale:
        now = now.outer
    return now


suppressed: ContextVar[bool] = ContextVar("trace_core_suppressed", default=False)
is_suppressed: Final = suppressed.get


@contextmanager
def suppress() -> Generator[None]:
    """Record no spans inside, in this thread or task and its children."""
    token = suppressed.set(True)
    try:
        yield
    finally:
        put_back(suppressed, token)


def put_back(variable: ContextVar[T], token: Token[T]) -> bool:
    """Undo a ``set``.

    Args:
        variable: What was set.
        token: What ``set`` returned.

    Returns:
        Whether it was undone. It cannot be in another context than it was set in, as when the
        event loop closes an async generator; the other context keeps the value.
    """
    try:
        variable.reset(token)
    except (ValueError, RuntimeError):  # another context, or undone already
        return False
    return True


def current_context() -> SpanContext | None:
    """Return the identity of the current span, or ``None`` outside of any."""
    now = not_stale(get_current())
    return now.context if now is not None else None


@contextmanager
def use_parent(parent: SpanContext | str | None) -> Generator[None]:
    """Make a span of another thread, process or service the parent of what happens inside.

    It goes before the current spans of other tracing systems, such as OpenTelemetry's, and their
    traces that go on inside. A span of theirs that begins a trace inside is a parent again.

    Args:
        parent: Its identity, or a W3C ``traceparent`` header; ``None`` starts new traces.

    Raises:
        ConfigurationError: The header cannot be read, or it is something else.
    """
    context = SpanContext.from_traceparent(parent) if isinstance(parent, str) else parent
    if not isinstance(context, (SpanContext, NoneType)):
        raise ConfigurationError(f"wanted a SpanContext or a traceparent, got {parent!r:.60}")
    ids = (context.trace_id, context.span_id) if context is not None else ("", "")
    now = Current(*ids, not_stale(get_current()), made_in=copy_context())
    set_current(now)
    try:
        yield
    finally:
        now.leave()
        now.made_in = None


@contextmanager
def attributes(
    values: Mapping[str, object] | None = None, /, **short_names: object
) -> Generator[None]:
    """Set attributes on every span that starts inside, in this thread or task and its children.

    Args:
        values: Attributes by full name.
        **short_names: ``session_id``, ``user_id``, ``conversation_id``, ``tags``,
            ``trace_name``; or ``metadata``, a mapping of further notes on the trace, in which
            the other short names have their meaning as well.

    Raises:
        ConfigurationError: A keyword is none of these, or the metadata is not a mapping.
    """
    added = snapshot_mapping(values or {})
    added |= _metadata(short_names.pop("metadata", None))
    added |= {_full_name(key): snapshot(value) for key, value in short_names.items()}
    token = inherited.set({**(get_inherited() or {}), **added})
    try:
        yield
    finally:
        put_back(inherited, token)


def _full_name(short: str) -> str:
    if short not in semconv.SHORT_NAMES:
        raise ConfigurationError(
            f"unknown attribute {short!r}; known short names are "
            f"{', '.join(sorted([*semconv.SHORT_NAMES, 'metadata']))}; "
            "give others by full name in a mapping"
        )
    return semconv.SHORT_NAMES[short]


def _metadata(metadata: object) -> dict[str, Value]:
    """Name what is in metadata by the attributes that sinks read it from."""
    if metadata is None:
        return {}
    if not isinstance(metadata, Mapping):
        raise ConfigurationError(
            f"metadata must be a mapping of names to values, got {type(metadata).__name__}"
        )
    return {
        semconv.SHORT_NAMES.get(name) or semconv.METADATA_PREFIX + name: value
        for name, value in snapshot_mapping(metadata).items()
        if value is not None
    }


def capture_context() -> Callable[[], AbstractContextManager[None]]:
    """Capture the current span and the inherited attributes, to go on in another thread.

    Returns:
        A function whose result is a context manager: inside it, what is captured is current.
    """
    parent, found = not_stale(get_current()), get_inherited()

    @contextmanager
    def restored() -> Generator[None]:
        token, other = current.set(parent), inherited.set(found)
        try:
            yield
        finally:
            put_back(inherited, other)
            put_back(current, token)

    return restored
