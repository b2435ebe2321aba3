"""The watch tells when a module has been imported, and leaves nothing behind."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
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
