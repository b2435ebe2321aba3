"""What ``trace-litellm run`` has Python import at start-up: tracing, once a program wants LiteLLM.

Every Python that the program starts finds this file on its ``PYTHONPATH``, perhaps one that has
no trace_litellm or is older than what that needs. So nothing but the standard library is imported
here, nothing at all is done before the program itself imports LiteLLM, and no trouble of ours
ever reaches the program.
"""  # noqa: INP001  # not a package: found by name on PYTHONPATH

from __future__ import annotations

import os
import sys
from _thread import get_ident
from importlib.machinery import PathFinder

TYPE_CHECKING = False
if TYPE_CHECKING:  # typing takes time to import, and this runs in every Python
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

_TRACED = "litellm"


class _Notice:
    """Finds LiteLLM as it would be found without us, and turns tracing on once it is imported."""

    def __init__(self) -> None:
        self._asking: set[int] = set()  # threads: a finder that we ask may ask us back

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find a module; everything but LiteLLM is left to the finders after this one.

        Args:
            name: The module's name.
            path: Where to look.
            target: A module that is reloaded.

        Returns:
            How to import it.
        """
        thread = get_ident()
        if name != _TRACED or thread in self._asking:
            return None
        self._asking.add(thread)
        try:
            spec = self._found_by_others(name, path, target)
        finally:
            self._asking.discard(thread)
        if spec is not None:
            try:
                self._call_after_import(spec)
            except Exception as error:  # a loader that takes no attributes
                _say("cannot tell when it is imported", error)
        return spec

    def _found_by_others(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None
    ) -> ModuleSpec | None:
        for finder in sys.meta_path:
            find_spec = getattr(finder, "find_spec", None)
            if finder is self or find_spec is None:
                continue
            spec: ModuleSpec | None = find_spec(name, path, target)
            if spec is not None:
                return spec
        return None

    def _call_after_import(self, spec: ModuleSpec) -> None:
        """Have a module's loader call us when it is done, and be as it was from then on.

        An attribute of the one loader, rather than a loader of ours around it: who asks LiteLLM
        for its loader, for its files or for its source, gets the real one.
        """
        loader: Any = spec.loader
        exec_module: Callable[[ModuleType], None] = loader.exec_module

        def exec_and_trace(module: ModuleType) -> None:
            exec_module(module)
            if module.__name__ == _TRACED:
                vars(loader).pop("exec_module", None)
                self._imported()

        loader.exec_module = exec_and_trace

    def _imported(self) -> None:
        if self in sys.meta_path:
            sys.meta_path.remove(self)
        _trace()


def _trace() -> None:
    try:
        from trace_litellm import autolog
    except Exception as error:  # not installed here, or not for this Python
        _say(f"{sys.executable} cannot import trace_litellm", error)
        return
    try:
        autolog()
    except Exception as error:
        _say("autolog() failed", error)


def _say(what: str, error: Exception) -> None:
    text = f"trace-litellm: LiteLLM is not traced: {what}: {type(error).__name__}: {error}\n"
    try:
        sys.stderr.write(text)
    except Exception:  # no standard error, or one that is closed
        return


def _import_hidden() -> None:
    """Import the ``sitecustomize`` that this one stands in front of, if there is one."""
    here = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120  # as with typing
    sys.path[:] = [path for path in sys.path if os.path.abspath(path) != here]  # noqa: PTH100
    spec = PathFinder.find_spec(__name__)
    if spec is None or spec.loader is None:
        return
    from importlib.util import module_from_spec

    ours = sys.modules.get(__name__)
    hidden = module_from_spec(spec)
    sys.modules[__name__] = hidden
    try:
        spec.loader.exec_module(hidden)
    except BaseException:  # told by Python's site module, as it would be without us
        if ours is not None:
            sys.modules[__name__] = ours
        raise


sys.meta_path.insert(0, _Notice())
_import_hidden()
