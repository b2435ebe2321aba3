"""Tells when a module is imported."""

from __future__ import annotations

import sys
from collections.abc import Callable, Container, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


class ImportWatch(MetaPathFinder):
    """Tells when a module has been imported, for as long as it is on ``sys.meta_path``.

    Finds nothing itself: it asks the finders after it and follows what they found.

    Args:
        names: The modules.
        imported: Told a module's name once it is there. It must not raise.
    """

    def __init__(self, names: Container[str], imported: Callable[[str], None]) -> None:
        self._names = names
        self._imported = imported

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
        if fullname not in self._names:
            return None
        for finder in sys.meta_path:
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
        if execute is None or "exec_module" in getattr(loader, "__dict__", ("exec_module",)):
            return

        def exec_module(module: ModuleType) -> None:
            del loader.exec_module
            execute(module)
            self._imported(spec.name)

        loader.exec_module = exec_module
