"""Which replays are in force, and the hooks that ask them. LiteLLM is patched while one is."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from importlib.metadata import version
from types import FunctionType
from typing import Any, Protocol

from trace_core import Value
from trace_core.patching import Hook, Original, Swap, swap_all
from trace_litellm._calls.nesting import get_enclosing
from trace_litellm._patching.preflight import (
    Found,
    UnsupportedLiteLLM,
    check_version,
    find_targets,
)
from trace_litellm._reading.requests import inputs
from trace_litellm._replay.errors import NotRecorded
from trace_litellm._replay.recordings import is_replayed
from trace_litellm._replay.requests import is_mocked


class Player(Protocol):
    """What answers calls."""

    def find(self, found: Found, parameters: Mapping[str, Value]) -> Callable[[], Any] | None:
        """Return what gives a recorded answer, or raises; ``None`` if there is no recording."""
        ...

    def miss(self, found: Found, parameters: Mapping[str, Value]) -> NotRecorded:
        """Note a call that was not recorded; return the error for it."""
        ...


_lock = threading.RLock()
_everywhere: tuple[Player, ...] = ()
"""The replays in force, the innermost last: for threads that know of none."""
_here: ContextVar[tuple[Player, ...]] = ContextVar("trace_litellm_replays", default=())
"""Those begun in this task or thread, or in what it was started from."""
_swaps: tuple[Swap, ...] = ()


def enter(player: Player) -> None:
    """Have a player asked first from now on, and LiteLLM's functions ask it.

    Args:
        player: The player.

    Raises:
        UnsupportedLiteLLM: A function cannot be patched in this release of LiteLLM.
    """
    global _everywhere, _swaps  # noqa: PLW0603  # LiteLLM is global as well
    with _lock:
        if not _everywhere:
            _swaps = _patch()
        _everywhere = (*_everywhere, player)
    _here.set((*_here.get(), player))


def leave(player: Player) -> None:
    """Ask a player no more; after the last one LiteLLM is as it was.

    Args:
        player: The player.
    """
    global _everywhere, _swaps  # noqa: PLW0603  # LiteLLM is global as well
    _here.set(_without(_here.get(), player))
    with _lock:
        _everywhere = _without(_everywhere, player)
        if not _everywhere:
            for one in reversed(_swaps):
                one.remove()
            _swaps = ()


def _without(players: tuple[Player, ...], player: Player) -> tuple[Player, ...]:
    return tuple(one for one in players if one is not player)


def _patch() -> tuple[Swap, ...]:
    check_version(version("litellm"))
    findings = find_targets()
    odd = sorted(target.name for target in findings.misfits if is_replayed(target))
    hooks = {
        function: _hook(found, function)
        for found in findings.found
        if is_replayed(found.target)
        for function in found.functions
    }
    swaps, failed = swap_all(hooks, inner=True)
    if odd or failed:
        for one in reversed(swaps):
            one.remove()
        names = ", ".join([*odd, *(function.__qualname__ for function in failed)])
        raise UnsupportedLiteLLM(
            f"LiteLLM {version('litellm')} has functions that this release of trace-litellm "
            f"cannot patch, so their calls would go to the network: {names}"
        )
    return swaps


def _hook(found: Found, function: FunctionType) -> Hook:
    def hook(original: Original, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if is_mocked(kwargs):
            return original(*args, **kwargs)
        return _play(found, args, kwargs)

    async def async_hook(original: Original, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if is_mocked(kwargs):
            return await original(*args, **kwargs)
        await asyncio.sleep(0)  # others get their turn, as they do while a provider answers
        return _play(found, args, kwargs)

    return async_hook if inspect.iscoroutinefunction(function) else hook


def _play(found: Found, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    parameters = inputs(found.parameters, args, kwargs)
    players = _innermost_first()
    for player in players:
        answer = player.find(found, parameters)
        if answer is not None:
            _mark(found)
            return answer()
    if not players:  # it has ended on another thread meanwhile
        raise NotRecorded("the replay is over")
    raise players[0].miss(found, parameters)


def _mark(found: Found) -> None:
    """Note on the call's span, if there is one, where its answer comes from."""
    enclosing = get_enclosing()
    if enclosing is not None and enclosing.family == found.target.family:
        enclosing.replayed = True


def _innermost_first() -> tuple[Player, ...]:
    everywhere = _everywhere
    here = tuple(one for one in _here.get() if one in everywhere)
    return (here or everywhere)[::-1]


def in_force() -> bool:
    """Return whether calls are being replayed."""
    return bool(_everywhere)
