"""The watch tells when a module has been imported, and leaves nothing behind."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any

import pytest

from trace_core.patching import ImportWatch

NAME = "imported_later_4711"


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give a module that can be imported and was not."""
    path = tmp_path / f"{NAME}.py"
    path.write_text("value = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield path
    sys.modules.pop(NAME, None)


def test_tells_once_a_module_is_there(module: Path) -> None:
    """The module is whole when it is told, and again when it is reloaded."""
    told: list[Any] = []
    watch = ImportWatch({NAME}, lambda name: told.append(sys.modules[name].value))
    before = list(sys.meta_path)
    watch.start()
    watch.start()
    try:
        imported = importlib.import_module(NAME)
        importlib.import_module(NAME)
        assert told == [1]
        importlib.reload(imported)
        assert told == [1, 1]
    finally:
        watch.stop()
    watch.stop()
    assert sys.meta_path == before
    importlib.reload(imported)
    assert told == [1, 1]
    assert "exec_module" not in vars(imported.__loader__)


def test_an_import_that_fails_fails_as_it_would(module: Path) -> None:
    """The error is the module's own, nobody is told, and a later import works."""
    told: list[str] = []
    watch = ImportWatch({NAME, "no_such_module_4711"}, told.append)
    watch.start()
    try:
        module.write_text("raise ValueError('mine')\n")
        with pytest.raises(ValueError, match="mine") as caught:
            importlib.import_module(NAME)
        assert caught.value.__context__ is None
        with pytest.raises(ModuleNotFoundError) as missing:
            importlib.import_module("no_such_module_4711")
        assert missing.value.name == "no_such_module_4711"
        assert told == []
    finally:
        watch.stop()


class Around:
    """Another tool's finder, which asks all the others, as ours does."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        for finder in [*sys.meta_path]:
            if finder is not self and (spec := finder.find_spec(name, path, target)) is not None:
                return spec
        return None


@pytest.mark.parametrize("first", [True, False])
def test_several_may_watch_the_same_module(
    module: Path, monkeypatch: pytest.MonkeyPatch, *, first: bool
) -> None:
    """Each is told once, also where another tool asks around; the loader is as it was."""
    told: list[str] = []
    watches = [ImportWatch({NAME}, lambda name, n=n: told.append(f"{n} {name}")) for n in "ab"]
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])
    for watch in watches:
        watch.start()
    sys.meta_path.insert(0 if first else 2, Around())
    try:
        imported = importlib.import_module(NAME)
    finally:
        for watch in watches:
            watch.stop()
    assert sorted(told) == [f"a {NAME}", f"b {NAME}"]
    assert "exec_module" not in vars(imported.__loader__)


def test_a_loader_keeps_what_another_tool_has_put_there(module: Path) -> None:
    """Another tool's function runs, and is the loader's own again while it does."""
    told: list[str] = []

    class Puts:
        def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
            spec = PathFinder.find_spec(name, path)
            if name != NAME or spec is None:
                return None
            loader: Any = spec.loader
            execute = loader.exec_module

            def exec_module(module: Any) -> None:
                del loader.exec_module
                told.append("theirs")
                execute(module)

            loader.exec_module = exec_module
            return spec

    theirs = Puts()
    sys.meta_path.insert(0, theirs)
    watch = ImportWatch({NAME}, told.append)
    watch.start()
    try:
        importlib.import_module(NAME)
    finally:
        watch.stop()
        sys.meta_path.remove(theirs)
    assert told == ["theirs", NAME]
