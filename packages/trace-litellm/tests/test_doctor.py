"""What ``doctor`` says of LiteLLM."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points, version
from pathlib import Path

import pytest

from trace_litellm import UnsupportedLiteLLM, _doctor
from trace_litellm._patching import preflight, source_check
from trace_litellm._patching.preflight import find_targets

WITHOUT_LITELLM = """
import sys
from trace_litellm._doctor import report
print(report())
assert "litellm" not in sys.modules, "importing it takes eight seconds"
"""


def test_the_doctor_knows_litellm() -> None:
    """The command finds the check, which says what can be traced, in whole sentences."""
    (point,) = entry_points(group="trace_core.doctor", name="litellm")
    text = point.load()()
    assert text.startswith(f"release {version('litellm')}; its calls are traced in full (")


def test_litellm_is_not_imported_for_that(tmp_path: Path) -> None:
    """Its source says the same."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_LITELLM],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    assert "its calls are traced in full" in done.stdout


def test_the_source_says_what_the_functions_say() -> None:
    """Which functions are not as we know them, in the release that is installed."""
    _, wrong = source_check.misfits()
    assert [target.places for target in wrong] == [t.places for t in find_targets().misfits]


@pytest.fixture
def release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The source of a LiteLLM that is ours to write."""
    monkeypatch.setattr(source_check, "_root", lambda: tmp_path)
    forget()
    (tmp_path / "litellm").mkdir()
    (tmp_path / "litellm" / "__init__.py").write_text("from .main import *\n")
    yield tmp_path / "litellm" / "main.py"
    forget()


def forget() -> None:
    """Forget what was read of another release."""
    source_check.find.cache_clear()
    source_check._statements.cache_clear()


def test_what_has_changed_is_found(release: Path) -> None:
    """A function without the decorator, one with other parameters, one that is no function."""
    release.write_text(
        """
from litellm import *
@client
def completion(model, messages, **kwargs): ...
@client
async def acompletion(prompt): ...
@client
def embedding(model, input): ...
@client
async def aembedding(*args, **kwargs): ...
def text_completion(prompt): ...
from _rust import moderation
"""
    )
    fitting, wrong = source_check.misfits()
    assert fitting == 4  # acompletion has its twin's parameters
    assert {name for target in wrong for name in target.call_types} == {
        "text_completion",
        "moderation",
    }


def test_the_doctor_says_why_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """A release that must not be traced is named, before anything of it is imported."""

    def imported() -> None:
        raise AssertionError("looked into a compromised release")

    monkeypatch.setattr(preflight, "litellm_version", lambda: "1.82.8")
    monkeypatch.setattr(_doctor, "find_targets", imported)
    monkeypatch.setattr(_doctor.source_check, "misfits", imported)
    with pytest.raises(UnsupportedLiteLLM, match="compromised"):
        _doctor.report()
