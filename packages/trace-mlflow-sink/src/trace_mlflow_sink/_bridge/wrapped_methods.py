"""Wraps methods of a class that is not ours, for as long as somebody needs it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeAlias, TypeVar
from weakref import WeakSet

from trace_core import after_fork

U = TypeVar("U")

Method: TypeAlias = Callable[..., Any]


class WrappedMethods(Generic[U]):
    """Methods of one class, wrapped while at least one user is registered. Thread-safe.

    Args:
        names: The methods; those that the class does not have are left out.
        wrap: Takes a method and returns what to put in its place.
    """

    def __init__(self, names: Sequence[str], wrap: Callable[[Method], Method]) -> None:
        self.users: WeakSet[U] = WeakSet()
        """Who needs it."""
        self._names = names
        self._wrap = wrap
        self._class: Any = None
        self._wrapped: dict[str, tuple[Method, Method]] = {}
        self._renew_lock()
        after_fork(self._renew_lock)

    def _renew_lock(self) -> None:
        self._lock = threading.Lock()

    def add(self, user: U, wrapped_class: Any) -> None:
        """Register a user; wrap the methods if it is the first one.

        Args:
            user: Who needs it; kept by a weak reference.
            wrapped_class: The class; always the same one.
        """
        if user in self.users:
            return
        with self._lock:
            self.users.add(user)
            for name in self._names if not self._wrapped else ():
                original = getattr(wrapped_class, name, None)
                if original is not None:
                    self._class = wrapped_class
                    self._wrapped[name] = (original, self._wrap(original))
                    setattr(wrapped_class, name, self._wrapped[name][1])

    def release(self, user: U) -> bool:
        """Unregister a user; restore the methods if it was the last one.

        A method that somebody else has wrapped after us stays.

        Args:
            user: A user; unknown ones are ignored.

        Returns:
            Whether the methods were restored.
        """
        with self._lock:
            self.users.discard(user)
            if self.users or not self._wrapped:
                return False
            for name, (original, wrapper) in self._wrapped.items():
                if getattr(self._class, name) is wrapper:
                    setattr(self._class, name, original)
            self._wrapped.clear()
            return True
