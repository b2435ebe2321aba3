"""The sinks here keep the contract that the test kit offers to everybody."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from trace_core import (
    Background,
    ConfigurationError,
    ConsoleSink,
    JsonLinesSink,
    MemorySink,
    Retry,
    Sink,
    Span,
    Spool,
    Tracer,
    decode,
    durable,
    from_dict,
    limit_payloads,
    load_sink,
    pipeline,
    redact,
    sample,
    setting,
    tee,
    to_dict,
    truncate,
    use_parent,
)
from trace_core.testing import SinkContract


class TestMemory(SinkContract):
    def make_sink(self) -> Sink:
        return MemorySink()

    def written(self, sink: Sink) -> Sequence[str]:
        assert isinstance(sink, MemorySink)
        # it keeps every write; what counts is that the ids are the same
        return list(dict.fromkeys(span.span_id for span in sink.spans))


class TestJsonLines(SinkContract):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.path = tmp_path / "spans.jsonl"

    def make_sink(self) -> Sink:
        return JsonLinesSink(self.path)

    def written(self, sink: Sink) -> Sequence[str]:
        lines = self.path.read_bytes().splitlines() if self.path.exists() else []
        return [decode(line).span_id for line in lines]


class Composed(SinkContract):
    """A composition of sinks ending in a memory."""

    @pytest.fixture(autouse=True)
    def _store(self, tmp_path: Path) -> None:
        self.memory = MemorySink()
        self.folder = tmp_path

    def written(self, sink: Sink) -> Sequence[str]:
        return list(dict.fromkeys(span.span_id for span in self.memory.spans))


class TestBackground(Composed):
    def make_sink(self) -> Sink:
        return Background(self.memory)


class TestSpool(Composed):
    def make_sink(self) -> Sink:
        return Spool(self.folder, self.memory, key="contract")


class TestTee(Composed):
    def make_sink(self) -> Sink:
        return tee(self.memory, MemorySink())


class TestPipeline(Composed):
    def make_sink(self) -> Sink:
        return pipeline(redact(), sink=self.memory)


class Forgetful:
    """A sink that loses every second span and says all is well."""

    def __init__(self) -> None:
        self.kept: list[Span] = []

    def write(self, spans: Sequence[Span], /) -> None:
        self.kept.extend(spans[::2])

    def flush(self, timeout: float = 5.0, /) -> bool:
        return True

    def close(self, timeout: float = 5.0, /) -> None:
        """Nothing to close."""


def test_the_contract_finds_a_forgetful_sink() -> None:
    """A sink that loses spans fails the kit."""

    class Kit(SinkContract):
        def make_sink(self) -> Sink:
            return Forgetful()

        def written(self, sink: Sink) -> Sequence[str]:
            assert isinstance(sink, Forgetful)
            return [span.span_id for span in sink.kept]

    with pytest.raises(AssertionError, match="wanted the spans"):
        Kit().test_every_span_is_written()


WRONG = {
    "MemorySink": lambda: MemorySink(limit=-1),
    "JsonLinesSink": lambda: JsonLinesSink(""),
    "JsonLinesSink, a number": lambda: JsonLinesSink(5),  # type: ignore[arg-type]
    "JsonLinesSink, size": lambda: JsonLinesSink("x", rotate_bytes=0),
    "ConsoleSink": lambda: ConsoleSink("stderr"),  # type: ignore[arg-type]
    "Background": lambda: Background(MemorySink(), capacity="many"),  # type: ignore[arg-type]
    "Background, retry": lambda: Background(MemorySink(), retry=3),  # type: ignore[arg-type]
    "Background, time": lambda: Background(MemorySink(), exit_timeout=-1),
    "Retry": lambda: Retry(first=-1),
    "Retry, factor": lambda: Retry(factor=0),
    "Retry, not a number": lambda: Retry(longest=float("nan")),
    "Spool": lambda: Spool("spool", MemorySink(), max_bytes="1M"),  # type: ignore[arg-type]
    "Spool, folder": lambda: Spool(5, MemorySink()),  # type: ignore[arg-type]
    "Spool, key": lambda: Spool("spool", MemorySink(), key=5),  # type: ignore[arg-type]
    "Spool, time": lambda: Spool("spool", MemorySink(), linger=-1),
    "Spool, spans": lambda: Spool("spool", MemorySink(), batch_size=True),
    "sample": lambda: sample("half"),  # type: ignore[arg-type]
    "sample, time": lambda: sample(1, keep_slower_than="slow"),  # type: ignore[arg-type]
    "truncate": lambda: truncate(1.5),  # type: ignore[arg-type]
    "limit_payloads": lambda: limit_payloads(max_base64=-1),
    "tee": tee,
    "load_sink": lambda: load_sink(5),  # type: ignore[arg-type]
    "durable": lambda: durable(MemorySink(), sample_rate="half"),  # type: ignore[arg-type]
    "durable, redacted": lambda: durable(MemorySink(), redacted="no"),  # type: ignore[arg-type]
    "a path with NUL": lambda: Spool("\0", MemorySink()),
    "JsonLinesSink, a folder": lambda: JsonLinesSink("."),
    "redact": lambda: redact(patterns="x"),  # type: ignore[arg-type]
    "use_parent": lambda: use_parent(1).__enter__(),  # type: ignore[arg-type]
    "setting": lambda: setting("TRACE_FOO"),
    "Tracer": lambda: Tracer(MemorySink(), scope="x"),  # type: ignore[arg-type]
    "to_dict": lambda: to_dict("span"),  # type: ignore[arg-type]
    "from_dict": lambda: from_dict("span"),  # type: ignore[arg-type]
}


@pytest.mark.skipif(sys.platform == "win32", reason="no folder in use can be removed there")
def test_a_relative_path_in_a_folder_that_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing can be made in it, so it is told at once; an absolute path works."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    for make in (JsonLinesSink, lambda path: Spool(path, MemorySink())):
        with pytest.raises(ConfigurationError, match="folder that the program runs in is gone"):
            make("spans")
    JsonLinesSink(tmp_path / "spans.jsonl").close()


@pytest.mark.parametrize("make", WRONG.values(), ids=WRONG)
def test_a_wrong_argument_is_told_at_once(make: Callable[[], object]) -> None:
    """Not when a span comes: a `ConfigurationError` says what was wanted and what was given."""
    with pytest.raises(ConfigurationError, match=r"must|want|is a|known are|not a span"):
        make()
