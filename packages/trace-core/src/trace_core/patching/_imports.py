"""Tells when a module is imported."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Container, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


class ImportWatch(MetaPathFinder):
    """Tells when a module has been imported, for as long as it is on ``sys.meta_path``.

    Finds nothing itself: it asks the other finders and follows what they found. Several may watch
    the same module, and other tools may ask around in the same way.

    Args:
        names: The modules.
        imported: Told a module's name once it is there. It must not raise.
    """

    def __init__(self, names: Container[str], imported: Callable[[str], None]) -> None:
        self._names = names
        self._imported = imported
        self._asking: set[tuple[int, str]] = set()
        """Threads that ask the others, and for what: one of the others may ask us back."""

    def start(self) -> None:
        """Watch from now on. A second call does nothing."""
        if self not in sys.meta_path:
            sys.meta_path.insert(0, self)

    def stop(self) -> None:
        """Watch no more, and leave no trace."""
        if self in sys.meta_path:
            sys.meta_path.remove(self)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Let the others find the module, if it is one of ours."""
        asked = threading.get_ident(), fullname
        if fullname not in self._names or asked in self._asking:
            return None
        self._asking.add(asked)
        try:
            return self._found_by_others(fullname, path, target)
        finally:
            self._asking.discard(asked)

    def _found_by_others(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None
    ) -> ModuleSpec | None:
        for finder in [*sys.meta_path]:
            find = None if finder is self else getattr(finder, "find_spec", None)
            spec: ModuleSpec | None = None if find is None else find(fullname, path, target)
            if spec is not None:
                self._follow(spec)
                return spec
        return None

    def _follow(self, spec: ModuleSpec) -> None:
        """Have a module's loader, which is made anew for each import, say when it is done."""
        loader: Any = spec.loader
        execute = getattr(loader, "exec_module", None)
        if execute is None or isinstance(loader, type) or not hasattr(loader, "__dict__"):
            return
        attributes = vars(loader)
        before = attributes.get("exec_module")  # of another watch

        def exec_module(module: ModuleType) -> None:
            if attributes.get("exec_module") is exec_module:
                _put_back(attributes, before)
            execute(module)
            self._imported(spec.name)

        loader.exec_module = exec_module


def _put_back(attributes: dict[str, Any], before: Any) -> None:
    if before is None:
        del attributes["exec_module"]
    else:
        attributes["exec_module"] = before
