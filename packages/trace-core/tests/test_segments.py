"""The files of a journal: what is written to them whole, and what others do to them meanwhile."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trace_core import Span, SpanContext, SpanKind
from trace_core._spool import segments as _segments
from trace_core._spool.frames import SPAN, START, Reading, pack, span_in
from trace_core._spool.segments import (
    CHUNK_BYTES,
    Segment,
    SegmentFile,
    count_spans,
    read_segment,
    segments_in,
)

ALL = 1_000


def frame(index: int, kind: int = SPAN) -> bytes:
    """Make a frame of a span; all are of one length."""
    context = SpanContext(f"{index + 1:032x}", f"{index + 1:016x}")
    return pack(Span(context, None, f"span {index}", SpanKind.LLM, 1, 2), kind)


LENGTH = len(frame(0))


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Segment]:
    """Make a segment of some bytes."""

    def write(data: bytes, size: int | None = None) -> Segment:
        path = tmp_path / "00000001.seg"
        path.write_bytes(data)
        return Segment(1, path, len(data) if size is None else size)

    return write


def names(reading: Reading) -> list[str]:
    return [span_in(payload).name for _, payload, _ in reading.frames]


def open_files() -> int:
    """Count the files that this process has open."""
    return sum(1 for _ in Path("/dev/fd").iterdir())


def test_the_disk_takes_a_part_at_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest is written behind it."""
    real, parts = os.write, iter([9, 5])
    monkeypatch.setattr(os, "write", lambda to, data: real(to, data[: next(parts, None)]))
    file = SegmentFile(Segment(1, tmp_path / "00000001.seg"))
    file.append(frame(0), 1)
    monkeypatch.undo()
    file.close()
    assert file.segment.path.read_bytes() == frame(0)
    assert (file.segment.size, file.segment.spans) == (LENGTH, 1)


def test_a_file_is_where_it_was_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not once it is moved away or closed; where that cannot be known, it is an error."""
    file = SegmentFile(Segment(1, tmp_path / "00000001.seg"))
    assert file.is_there() is True
    moved = file.segment.path.rename(tmp_path / "elsewhere")
    assert file.is_there() is False
    moved.rename(file.segment.path)
    assert file.is_there() is True

    def refused(_: Path) -> Any:
        raise PermissionError(errno.EACCES, "no")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "stat", refused)
        with pytest.raises(PermissionError):
            file.is_there()
    file.close()
    assert file.is_there() is False


@pytest.mark.posix
def test_no_file_stays_open(written: Callable[..., Segment]) -> None:
    """Whatever is read."""
    segment, before = written(frame(0)), open_files()
    assert names(read_segment(segment, 0, ALL, CHUNK_BYTES)) == ["span 0"]
    assert open_files() == before


def test_no_more_is_read_than_is_known_to_be_whole(written: Callable[..., Segment]) -> None:
    """Its owner may be writing behind that."""
    segment = written(frame(0) + frame(1) + frame(2)[:-3], size=2 * LENGTH)
    reading = read_segment(segment, LENGTH, ALL, CHUNK_BYTES)
    assert names(reading) == ["span 1"]
    assert (reading.next, reading.damaged) == (2 * LENGTH, 0)


def test_an_end_that_is_shorter_than_a_header(written: Callable[..., Segment]) -> None:
    """It is read to its end, and counts as damage."""
    segment = written(frame(0) + b"end")
    reading = read_segment(segment, LENGTH, ALL, CHUNK_BYTES)
    assert reading == Reading([], LENGTH + 3, 1)


def test_a_segment_that_somebody_deletes(written: Callable[..., Segment]) -> None:
    """What was in it is lost, and counts as damage."""
    segment = written(frame(0))
    segment.path.unlink()
    assert read_segment(segment, 0, ALL, CHUNK_BYTES) == Reading([], LENGTH, 1)
    assert count_spans(segment) == 0


def test_a_segment_that_somebody_cuts_off(written: Callable[..., Segment]) -> None:
    """What is left of it is read, and the end is not looked for byte by byte."""
    segment = written(frame(0), size=1 << 30)
    first = read_segment(segment, 0, ALL, CHUNK_BYTES)
    assert (names(first), first.next) == (["span 0"], LENGTH)
    assert read_segment(segment, first.next, ALL, CHUNK_BYTES) == Reading([], 1 << 30, 1)
    assert count_spans(segment) == 1


def test_finished_spans_are_counted(written: Callable[..., Segment]) -> None:
    """From a place on, which may be the end."""
    segment = written(frame(0) + frame(1, START) + frame(2) + frame(3))
    begins = (0, LENGTH, 2 * LENGTH, 3 * LENGTH, 4 * LENGTH)
    assert [count_spans(segment, begin) for begin in begins] == [3, 2, 2, 1, 0]


@pytest.mark.parametrize("begin", [0, 2])
def test_the_first_part_stands_for_all(
    written: Callable[..., Segment], monkeypatch: pytest.MonkeyPatch, begin: int
) -> None:
    """In a long segment, from wherever it is counted."""
    segment = written(b"".join(map(frame, range(10))))
    read: list[int] = []

    def spied(segment: Segment, offset: int, limit: int, size: int) -> Reading:
        read.append(offset // LENGTH)
        return read_segment(segment, offset, limit, size)

    monkeypatch.setattr(_segments, "read_segment", spied)
    monkeypatch.setattr(_segments, "CHUNK_BYTES", LENGTH)
    monkeypatch.setattr(_segments, "_COUNTED_BYTES", 4 * LENGTH)
    assert count_spans(segment, begin * LENGTH) == 10 - begin
    assert read == list(range(begin, begin + 4))


def test_segments_are_found_by_their_names(tmp_path: Path) -> None:
    """Oldest first, with what is known of them; other files and folders are none."""
    for name in ("00000010.seg", "00000002.seg", "00000003.bak", "word.seg", "4", "cursor"):
        (tmp_path / name).write_bytes(b"x" * len(name))
    (tmp_path / "00000005.seg").mkdir()
    old = tmp_path / "00000002.seg"
    os.utime(old, ns=(5_000_000_000, 5_000_000_000))
    first, second = segments_in(tmp_path)
    assert first == Segment(2, old, 12, changed_ns=5_000_000_000)
    assert (second.number, second.path.name, second.spans, second.settled) == (
        10, "00000010.seg", 0, 0,
    )  # fmt: skip


def test_what_vanishes_while_it_is_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A segment that somebody has delivered, or the folder."""
    assert list(segments_in(tmp_path / "nowhere")) == []
    for number in (1, 2, 3):
        (tmp_path / f"{number:08d}.seg").touch()
    real = Path.lstat

    def vanishing(path: Path) -> Any:
        if path.name == "00000002.seg":
            path.unlink()
        return real(path)

    monkeypatch.setattr(Path, "lstat", vanishing)
    assert [segment.number for segment in segments_in(tmp_path)] == [1, 3]
