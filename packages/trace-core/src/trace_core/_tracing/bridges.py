"""Connects other tracing systems, such as MLflow's or OpenTelemetry's, so that spans nest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

import attrs

from trace_core import _arguments as arguments
from trace_core import semconv
from trace_core._failures import failure
from trace_core._model.parts import SpanContext
from trace_core._model.span import Span
from trace_core._model.values import Value
from trace_core._tracing.context import Current, Seen, get_current, not_stale, set_current
from trace_core._tracing.freeze import frozen
from trace_core._tracing.span import OpenSpan

_LOCAL_ROOT: Final = semconv.LOCAL_ROOT


class Bridge:
    """Connects another tracing system, so that spans of both nest in each other.

    The base class of bridges: override what the other system has. All methods run on the caller's
    thread and must be quick. An exception is reported and costs the nesting, never the call or the
    span.
    """

    module: str | None = None
    """The module without which the other system is not in use. Until the program has imported it,
    the bridge is not asked, which makes it free. ``None`` for a bridge that is always asked."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    separate: bool = False
    """Whether the other system's spans are stored elsewhere than ours. Then a span of ours below
    one of them is marked as the topmost that a sink gets: `semconv.LOCAL_ROOT`."""

    shows_ours: bool = False
    """Whether `parent` returns our span after `enter`, or nothing, so that it need not be asked."""

    def parent(self) -> SpanContext | None:
        """Return the other system's current span.

        Below one that is not `SpanContext.sampled` no span of ours is recorded.
        """
        return None

    def attributes(self) -> Mapping[str, Value]:
        """Return what only this moment knows: experiment, run, session. Travels on the span."""
        return {}

    def enter(self, span: OpenSpan) -> Callable[[], None]:
        """Make our span the other system's current one; the result undoes it.

        `nothing` stands for having done nothing; it is not called.
        """
        return nothing

    @staticmethod
    def nothing() -> None:
        """Undo nothing."""

    def follows(self, span: OpenSpan) -> bool:
        """Take notice of the end of a span of ours; return whether `ended` is to get it, finished.

        Making a finished span takes the caller's time.
        """
        return False

    def ended(self, span: Span) -> None:
        """Take notice of a finished span of ours that `follows` asked for."""


class Bridges:
    """All bridges of a tracer, guarded: an exception in one is reported and goes no further.

    Args:
        bridges: The bridges. Where two systems have a new span, the first one's is the parent.
        on_error: Told of exceptions.

    Raises:
        ConfigurationError: One of them is no `Bridge`.
    """

    def __init__(
        self, bridges: Iterable[Bridge], on_error: Callable[[str, BaseException], None]
    ) -> None:
        self.all = tuple(arguments.instance(one, Bridge, "a bridge") for one in bridges)
        """The bridges, by whose order `Current.foreign` has what they see."""
        self._with_attributes = self._that_override("attributes")
        self.followers = self._that_override("follows")
        """Those that want to be told of ended spans."""
        self.on_error = on_error

    def _that_override(self, method: str) -> tuple[Bridge, ...]:
        own = getattr(Bridge, method)
        return tuple(b for b in self.all if getattr(getattr(b, method), "__func__", 0) is not own)

    @property
    def waits_for(self) -> tuple[str, ...]:
        """The modules one of which has to be imported before any bridge has to be asked."""
        modules = [bridge.module for bridge in self.all]
        return () if None in modules else tuple(filter(None, modules))

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self.all)

    def place(
        self,
        here: Current | None,
        inherited: Mapping[str, Value] | None,
        attributes: dict[str, Value],
        span_id: str,
    ) -> tuple[SpanContext | Current | None, dict[str, Value]]:
        """Return the parent of a new span, and its attributes with what is known of this moment.

        Args:
            here: Our current span.
            inherited: Attributes that all spans have here.
            attributes: The span's own.
            span_id: Its id.
        """
        parent: SpanContext | Current | None = here
        before: Seen = ()
        root: Value = None
        separate = False
        if here is not None:
            before, root = self._before(here), here.root
        for index, bridge in enumerate(self.all):
            try:
                foreign = bridge.parent()
            except failure() as error:
                self.on_error("finding another tracer's parent", error)
                continue
            if foreign is not None and (
                here is None or index >= len(before) or not _known(foreign, before[index], here)
            ):
                parent, separate = foreign, bridge.separate
                break
        if inherited or self._with_attributes:
            attributes = {**(inherited or {}), **self.attributes(), **attributes}
        if separate:
            attributes[_LOCAL_ROOT] = root or span_id
            if here is not None and root is not None:
                attributes[semconv.LOCAL_PARENT] = here.span_id
        elif root is not None and parent is here:
            attributes[_LOCAL_ROOT] = root
        return parent, attributes

    def _before(self, ours: Current) -> Seen:
        """Return the other systems' current spans when ours became current."""
        if ours.made_in is None:
            return ours.foreign
        return ours.made_in.copy().run(self._parents)  # a copy: another thread may be in it

    def _parents(self) -> Seen:
        return tuple([self.ask_parent(bridge) for bridge in self.all])

    def ask_parent(self, bridge: Bridge) -> SpanContext | None:
        """Return the current span of another system."""
        try:
            return bridge.parent()
        except failure() as error:
            self.on_error("finding another tracer's parent", error)
            return None

    def attributes(self) -> dict[str, Value]:
        """Collect what the other systems know of this moment."""
        found: dict[str, Value] = {}
        for bridge in self._with_attributes:
            try:
                found.update(bridge.attributes())
            except failure() as error:
                self.on_error("reading another tracer's context", error)
        return found

    def ended(self, span: OpenSpan) -> None:
        """Tell the other systems of a span that has ended.

        Args:
            span: The span; they get it without the work that can wait.
        """
        for bridge in self.followers:
            try:
                if bridge.follows(span):
                    bridge.ended(frozen(span))
            except failure() as error:
                self.on_error("telling another tracer of a span", error)


@attrs.define(eq=False)
class Entered(Current):
    """A span of ours that is current in other systems as well.

    Attributes:
        bridges: Who connects them.
        undo: What `Bridge.enter` returned, of those that entered, the last one first.
    """

    bridges: Bridges = attrs.field(init=False)  # by name it would take a dictionary
    undo: tuple[Callable[[], None], ...] = attrs.field(init=False, default=())

    def leave(self) -> None:
        """Make current again what was current before a span, everywhere."""
        if get_current() is self:  # as `Current.leave`, without its call
            outer = self.outer
            set_current(outer if outer is None or not outer.stale else not_stale(outer))
        else:
            self.stale = True
        undo, self.undo = self.undo, ()  # it holds more than ids
        for step in undo:
            try:
                step()
            except failure() as error:
                self.bridges.on_error("leaving another tracer's context", error)


def _known(foreign: SpanContext, before: SpanContext | None, ours: Current) -> bool:
    """Return whether a foreign span is ours or around it, or of a trace that ours is not in."""
    if foreign.span_id == ours.span_id:
        return True
    return before is not None and (
        foreign.span_id == before.span_id or foreign.trace_id == before.trace_id != ours.trace_id
    )


nothing: Final = Bridge.nothing
