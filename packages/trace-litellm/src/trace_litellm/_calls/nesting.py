"""Decides whether a call is LiteLLM delegating to itself or a new call made inside one.

LiteLLM calls itself a lot: async functions call their sync twins, one API is served by another,
retries call the entry point again. All of that is one call, and one span.
"""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Any, Final

import attrs

from trace_litellm._patching.targets import Target

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
BRIDGES: Final = frozenset({("google", "chat"), ("messages", "chat"), ("messages", "responses")})
"""Families that LiteLLM serves by another with an id of its own: outer and inner."""


@attrs.define(eq=False)  # not frozen: that would take three times as long to make
class Enclosing:
    """The call that encloses the running code. LiteLLM's workers keep it, so it holds ids alone."""

    id: str
    family: str
    parent: bool
    replayed: bool = False
    """Whether it was answered from a recording."""


enclosing_call: ContextVar[Enclosing | None] = ContextVar("trace_litellm_enclosing", default=None)
get_enclosing: Final = enclosing_call.get  # as names: to look a method up takes as long as its call
set_enclosing: Final = enclosing_call.set
reset_enclosing: Final = enclosing_call.reset

_COUNTED_FROM: Final = 10**11


class _CallIds:
    """Ids that look like LiteLLM's own, UUIDs of version 4: random for a process, then counted.

    Drawing and writing a random number for each would cost several times as much.
    """

    def __init__(self) -> None:
        self.restart()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self.restart)

    def restart(self) -> None:
        """Give a forked child other ids than its parent."""
        drawn = random.Random()  # noqa: S311  # ids need to differ, not to be secret
        digits = f"{drawn.getrandbits(72):018x}"
        self._process = f"{digits[:8]}-{digits[8:12]}-4{digits[12:15]}-a{digits[15:]}-"
        counted: Iterator[int] = itertools.count(_COUNTED_FROM + drawn.randrange(_COUNTED_FROM))
        self._next = counted.__next__

    def new(self) -> str:
        """Return a new id."""
        return f"{self._process}{self._next()}"

    def made(self, call_id: str) -> bool:
        """Return whether an id is one of these."""
        return call_id.startswith(self._process)


_ids: Final = _CallIds()
new_call_id: Final = _ids.new
is_chosen_by_us: Final = _ids.made


def capture_enclosing() -> Callable[[], AbstractContextManager[None]]:
    """Capture the enclosing call, to restore it on another thread.

    Returns:
        A function that makes a context manager: inside it, that call encloses the code.
    """
    captured = get_enclosing()

    @contextmanager
    def restored() -> Generator[None]:
        token = set_enclosing(captured)
        try:
            yield
        finally:
            reset_enclosing(token)

    return restored


def is_delegation(enclosing: Enclosing, target: Target, kwargs: Mapping[str, Any]) -> bool:
    """Return whether LiteLLM is calling itself on behalf of the enclosing call, by another id.

    Most such calls have the id of the enclosing call, which we choose; these have one of the
    markers of LiteLLM's async functions. The Router's methods call each other without either.
    """
    if enclosing.parent:
        return enclosing.family == target.family == "router"
    return any(kwargs[name] is True for name in _MARKERS & kwargs.keys())
