"""The sinks here keep the contract that the test kit offers to everybody."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from trace_core import (
    Background,
    JsonLinesSink,
    MemorySink,
    Sink,
    Span,
    Spool,
    decode,
    pipeline,
    redact,
    tee,
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
