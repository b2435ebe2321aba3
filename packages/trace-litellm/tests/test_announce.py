"""What people are told when tracing begins."""

from __future__ import annotations

import io
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

import trace_litellm
from trace_core import ConfigurationError, JsonLinesSink, MemorySink, Tracer
from trace_litellm._announce import announce, warn_of_settings

PROGRAM = """
import trace_litellm
tracing = trace_litellm.autolog()
print(repr(tracing))
"""


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def on_terminal(folder: Path, **environment: str) -> str:
    """Run the program with a real terminal as its output."""
    pty = pytest.importorskip("pty")
    here, there = pty.openpty()
    done = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        stdout=there,
        stderr=there,
        cwd=folder,
        env={**os.environ, "XDG_STATE_HOME": str(folder), **environment},
    )
    os.close(there)
    parts = []
    while True:
        try:
            parts.append(os.read(here, 65536))
        except OSError:  # how Linux says that the other end is closed
            break
    os.close(here)
    assert done.wait(120) == 0
    return b"".join(parts).decode()


@pytest.mark.slow
def test_on_a_terminal(tmp_path: Path) -> None:
    """One line says where traces go and how to see them, the object says so too."""
    sinks = {"TRACE_SINKS": "jsonl:calls.jsonl"}
    first, *rest = on_terminal(tmp_path, **sinks).splitlines()
    assert first == (
        "trace-litellm: traces go to calls.jsonl; "
        "see them: trace-litellm show, or trace-core show calls.jsonl"
    )
    assert "tracing: on; traces go to: calls.jsonl" in rest[-1]
    assert "0 ended, 0 waiting" in rest[-1]
    assert "see them: trace-litellm show" not in on_terminal(tmp_path, **sinks, TRACE_QUIET="1")


def test_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing in a log; a line in a notebook; nothing where there is no standard error."""
    for stream, said in ((io.StringIO(), False), (Terminal(), True)):
        monkeypatch.setattr(sys, "stderr", stream)
        announce(MemorySink(), by_default=False)
        assert stream.getvalue() == ("trace-litellm: traces go to memory\n" if said else "")
    notebook = io.StringIO()
    monkeypatch.setattr(sys, "stderr", notebook)
    monkeypatch.setitem(sys.modules, "ipykernel", sys)
    announce(JsonLinesSink("a b.jsonl"), by_default=False)
    assert notebook.getvalue().endswith("see them: trace-core show 'a b.jsonl'\n")
    monkeypatch.setattr(sys, "stderr", None)
    announce(MemorySink(), by_default=False)


def test_a_remark_never_raises(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A terminal that is gone stops no program."""
    gone = Terminal()
    monkeypatch.setattr(sys, "stderr", gone)
    monkeypatch.setattr("trace_core._log._said", {})
    monkeypatch.setattr(gone, "write", None)
    with caplog.at_level(logging.WARNING):
        announce(MemorySink(), by_default=False)
    assert "cannot say where traces go" in caplog.text


def test_settings_that_do_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A misspelt name and an empty one are told; another program's are not."""
    monkeypatch.setattr("trace_core._log._said", {})
    monkeypatch.setenv("TRACE_SMAPLE_RATE", "0.1")
    monkeypatch.setenv("TRACE_OF_SOMEBODY", "x")
    monkeypatch.setenv("TRACE_SINKS", "")
    with caplog.at_level(logging.WARNING):
        warn_of_settings(by_default=True)
    assert [record.getMessage().partition(",")[0] for record in caplog.records] == [
        "TRACE_SMAPLE_RATE is not a setting; did you mean TRACE_SAMPLE_RATE?",
        "TRACE_SINKS is set and empty",
    ]


def test_a_second_tracer_is_explained() -> None:
    """The advice works: its names exist."""
    import trace_core

    with trace_litellm.instrument(Tracer(MemorySink())) as on:
        with pytest.raises(ConfigurationError) as raised:
            trace_litellm.instrument(Tracer(MemorySink()))
        for name in ("trace_litellm.autolog", "trace_core.tee"):
            assert name in str(raised.value)
        assert callable(trace_core.tee)
        assert "traces go to: memory" in repr(on)
        assert "<td" in on._repr_html_()


def test_why_a_trace_has_no_page_is_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Each time: the store has none, or has not stored the trace in time."""
    monkeypatch.setattr("trace_core._log._said", {})
    sink = MemorySink()
    with trace_litellm.instrument(Tracer(sink)) as on:
        assert on.last_trace_url() is on.trace_url("0" * 32) is None
        assert caplog.text.count("memory holds no such trace, or has no pages") == 2
        monkeypatch.setattr(sink, "flush", lambda _timeout: False)
        assert on.last_trace_url(0.5) is None
        assert "it is not stored after 0.5 s; trace-litellm doctor says" in caplog.text
