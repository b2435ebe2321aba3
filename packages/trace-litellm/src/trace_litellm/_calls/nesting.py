"""Which call is around: how LiteLLM calling itself is told from calls made inside a call.

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
class Around:
    """The call around. Ids alone: LiteLLM's workers keep a context for a loop's life."""

    id: str
    family: str
    parent: bool


call_around: ContextVar[Around | None] = ContextVar("trace_litellm_around", default=None)

_COUNTED_FROM: Final = 10**11


class _CallIds:
    """Ids that look like LiteLLM's own, UUIDs of version 4: random for a process, then counted.

    Drawing and writing a random number for each would cost several times as much.
    """

    def __init__(self) -> None:
        self.begin_anew()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self.begin_anew)

    def begin_anew(self) -> None:
        """Have a forked child give out other ids than its parent."""
        drawn = random.Random()  # noqa: S311  # ids need to differ, not to be secret
        digits = f"{drawn.getrandbits(72):018x}"
        self._process = f"{digits[:8]}-{digits[8:12]}-4{digits[12:15]}-a{digits[15:]}-"
        counted: Iterator[int] = itertools.count(_COUNTED_FROM + drawn.randrange(_COUNTED_FROM))
        self._next = counted.__next__

    def new(self) -> str:
        """Return another one."""
        return f"{self._process}{self._next()}"


new_call_id: Final = _CallIds().new


def around_here() -> Callable[[], AbstractContextManager[None]]:
    """Capture which call is around, to go on in another thread.

    Returns:
        A function whose result is a context manager: inside it, that call is around.
    """
    found = call_around.get()

    @contextmanager
    def restored() -> Generator[None]:
        token = call_around.set(found)
        try:
            yield
        finally:
            call_around.reset(token)

    return restored


def is_delegation(around: Around, target: Target, kwargs: Mapping[str, Any]) -> bool:
    """Tell whether LiteLLM is calling itself on behalf of the call around.

    Then the call carries the id of the call around, which we choose, or one of the markers of
    LiteLLM's async functions. The Router's methods call each other without either.
    """
    if kwargs.get("litellm_call_id") == around.id:
        return True
    if around.parent:
        return around.family == target.family == "router"
    return any(kwargs[name] is True for name in _MARKERS & kwargs.keys())
