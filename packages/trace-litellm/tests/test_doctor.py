"""What `trace-core doctor` says of LiteLLM."""

from __future__ import annotations

from importlib.metadata import entry_points

import pytest

from trace_litellm import _doctor


def test_the_doctor_knows_litellm() -> None:
    """The command finds the check, which counts what can be traced."""
    (point,) = entry_points(group="trace_core.doctor", name="litellm")
    count, rest = point.load()().split(" ", 1)
    assert int(count) > 20
    assert "functions tracing knows are in LiteLLM" in rest


def test_the_doctor_says_why_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """A release that must not be traced is named, before anything of it is imported."""

    def imported() -> None:
        raise AssertionError("looked into a compromised release")

    monkeypatch.setattr(_doctor, "version", lambda name: "1.82.8")
    monkeypatch.setattr(_doctor, "find_targets", imported)
    assert "compromised" in _doctor.report()
