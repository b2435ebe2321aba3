"""The folder of segments that a process writes to: nothing it holds is lost or read twice."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from trace_core import Span, SpanContext, SpanKind, _log, _platform
from trace_core._spool import journal as _journal
from trace_core._spool import segments as _segments
from trace_core._spool.files import cursor_line, read_cursor
from trace_core._spool.frames import pack, span_in
from trace_core._spool.journal import Journal, journals_in

NO_PROCESS = 2**30


def frame(index: int, text: str = "x") -> bytes:
    """Make a frame of a span."""
    context = SpanContext(f"{index + 1:032x}", f"{index + 1:016x}")
    return pack(Span(context, None, f"span {index}", SpanKind.LLM, 1, 2, inputs=text))


def names(journal: Journal, place: tuple[int, int] = (0, 0), limit: int = 10) -> list[str]:
    """Read what is in a journal from a place on."""
    found = []
    while True:
        place, reading = journal.read(place, limit)
        if not reading.frames and not reading.damaged:
            return found
        found += [span_in(payload).name for _, payload, _ in reading.frames]


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """A journal of this process."""
    made = Journal.create(tmp_path)
    yield made
    made.forget()


@pytest.fixture
def left(tmp_path: Path) -> Path:
    """A journal with two spans whose process is gone."""
    made = Journal.create(tmp_path)
    for index in range(2):
        made.append(frame(index), 1)
    made.release(remove=False)
    return made.path


def open_files() -> int:
    """Count the files that this process has open."""
    return sum(1 for _ in Path("/dev/fd").iterdir())


def test_what_is_appended_is_read(journal: Journal) -> None:
    """From any place that an append told, in parts of any size."""
    places = [(0, 0), *(journal.append(frame(index), 1) for index in range(3))]
    for at, place in enumerate(places):
        for limit in (1, 2, 10):
            assert names(journal, place, limit) == [f"span {i}" for i in range(at, 3)]
    assert journal.size == places[-1][1] == sum(len(frame(index)) for index in range(3))
    [segment] = journal.segments
    assert (segment.number, segment.spans, segment.size) == (1, 3, journal.size)
    assert segment.path.name == "00000001.seg"
    assert journal.read(places[-1], 10)[0] == places[-1]


@pytest.mark.posix
def test_an_empty_journal(journal: Journal) -> None:
    """There is nothing to read and nothing to acknowledge, and its files are the user's alone."""
    assert journal.read((0, 0), 10)[0] == (0, 0)
    assert names(journal) == []
    assert journal.size == 0
    assert journal.acknowledge((5, 5)) == []
    assert journal.acknowledged == (0, 0)
    assert stat.S_IMODE(journal.path.stat().st_mode) == 0o700
    assert stat.S_IMODE((journal.path / "lock").stat().st_mode) == 0o600
    assert journals_in(journal.path.parent) == [journal.path]


def test_segments_are_read_one_after_the_other(journal: Journal) -> None:
    """Also beyond one that is wholly read."""
    first = journal.append(frame(0), 1)
    journal.roll()
    journal.roll()  # of nothing
    second = journal.append(frame(1), 1)
    assert (first[0], second) == (1, (2, len(frame(1))))
    assert names(journal) == ["span 0", "span 1"]
    assert names(journal, first) == ["span 1"]
    assert names(journal, (2, 0)) == ["span 1"]
    assert journal.read((0, 0), 10)[0] == first  # of one segment at a time


def test_no_more_is_read_than_is_asked_for(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as frames are about as long as those before."""
    sizes: list[int] = []
    real = _journal.read_segment

    def spied(segment: Any, offset: int, limit: int, size: int) -> Any:
        sizes.append(size)
        return real(segment, offset, limit, size)

    monkeypatch.setattr(_journal, "read_segment", spied)
    long = 20_000
    for index in range(40):
        journal.append(frame(index, "x" * long), 1)
    place, reading = journal.read((0, 0), 1)
    assert len(reading.frames) == 1
    place, reading = journal.read(place, 10)
    assert len(reading.frames) == 10
    assert sizes[0] == 64 * 1024
    assert 10 * long < sizes[1] < 11 * long + 64 * 1024
    place, reading = journal.read(place, 10)
    assert 10 * long < sizes[2] < 11 * long + 64 * 1024
    place, reading = journal.read(place, 10, size=5)
    assert sizes[3] == 5
    assert len(reading.frames) >= 1  # however little was allowed, one is read
    assert names(journal, place)[0] == f"span {21 + len(reading.frames)}"


def test_what_is_settled_is_forgotten_but_for_what_is_written_to(journal: Journal) -> None:
    """Segments are named for deletion only when all in them is settled."""
    first = journal.append(frame(0), 1)
    journal.roll()
    middle = journal.append(frame(1), 1)
    last = journal.append(frame(2), 1)
    paths = [segment.path for segment in journal.segments]
    assert journal.acknowledge((first[0], first[1] - 1)) == []
    assert journal.acknowledge(first) == paths[:1]
    assert journal.acknowledge(middle) == []
    assert journal.acknowledge(last) == []  # it is still written to
    journal.roll()
    assert journal.acknowledge((last[0], last[1] - 1)) == []
    assert journal.acknowledge(last) == paths[1:]
    assert (list(journal.segments), journal.size) == ([], 0)
    assert journal.acknowledged == last
    assert journal.append(frame(3), 1)[0] == 3  # no number is used twice


def test_the_oldest_goes_first(journal: Journal) -> None:
    """Delivered or not, though it is written to, and gone already or not."""
    journal.append(frame(0), 1)
    journal.roll()
    second = journal.append(frame(1), 1)
    oldest = journal.remove_oldest()
    assert oldest.number == 1
    assert not oldest.path.exists()
    assert names(journal) == ["span 1"]
    assert journal.file is not None
    journal.segments[0].path.unlink()
    assert journal.remove_oldest().number == 2
    assert journal.file is None
    assert journal.acknowledged == second
    assert journal.append(frame(2), 1)[0] == 3
    assert names(journal) == ["span 2"]


def test_what_was_acknowledged_later_stays(journal: Journal) -> None:
    """Neither a removal nor an older cursor takes it back."""
    place = journal.append(frame(0), 1)
    journal.write_cursor((9, 9))
    assert journal.acknowledged == (9, 9)
    journal.remove_oldest()
    assert journal.acknowledged == (9, 9)
    journal.write_cursor(place)
    assert journal.acknowledged == (9, 9)


def test_the_cursor_is_where_the_next_owner_goes_on(left: Path) -> None:
    """It is written over an older one, whatever was in that."""
    (left / "cursor").write_bytes(b"x" * 200)
    first = Journal.adopt(left)
    assert first is not None
    assert first.acknowledged == (0, 0)
    place = first.read((0, 0), 1)[0]
    for cursor in ((1, 1), place):
        first.write_cursor(cursor)
    assert read_cursor(left / "cursor") == place
    first.release(remove=False)
    second = Journal.adopt(left)
    assert second is not None
    assert second.acknowledged == place
    assert names(second, second.acknowledged) == ["span 1"]
    assert second.append(frame(2), 1)[0] == 2
    second.release(remove=True)
    assert not left.exists()


@pytest.mark.posix
def test_a_cursor_behind_all_there_is_settles_nothing(
    left: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is of another journal: all is delivered, perhaps again, and somebody is told."""
    (left / "cursor").write_bytes(cursor_line((7, 10)))
    journal = Journal.adopt(left)
    assert journal is not None
    assert journal.acknowledged == (0, 0)
    assert f"the cursor of {left} points behind what is there" in caplog.text
    journal.forget()


def test_a_journal_is_let_go_of_though_a_child_has_its_files(journal: Journal) -> None:
    """A program may have forked; what the child has open keeps nobody from the journal."""
    assert journal._lock is not None
    childs = os.dup(journal._lock)
    journal.append(frame(0), 1)
    journal.release(remove=False)
    found = Journal.adopt(journal.path)
    assert found is not None
    found.release(remove=True)
    os.close(childs)


@pytest.mark.posix
def test_its_files_are_out_of_the_programs_way(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once there is time for it: the first spans do not wait, a later segment is so at once."""
    next_one = os.dup(0)
    os.close(next_one)
    monkeypatch.setattr(_platform, "_ASIDE", next_one + 20)  # some systems let one have 256 files

    def are_aside() -> list[bool]:
        assert journal._lock is not None
        assert journal.file is not None
        return [number >= _platform._ASIDE for number in (journal._lock, journal.file.descriptor)]

    journal.append(frame(0), 1)
    assert are_aside() == [False, False]
    journal.step_aside()
    assert are_aside() == [True, True]
    journal.roll()
    journal.step_aside()  # nothing is written to
    journal.append(frame(1), 1)
    assert are_aside() == [True, True]
    assert names(journal) == ["span 0", "span 1"]
    assert Journal.adopt(journal.path) is None
    Journal(journal.path, None).step_aside()  # to read only


@pytest.mark.posix
def test_no_more_files_stay_open_than_it_needs(journal: Journal) -> None:
    """However often it is written to, and none that it has let go of is closed once more."""
    place = journal.append(frame(0), 1)
    journal.write_cursor(place)
    before = open_files()
    journal.write_cursor(place)
    assert open_files() == before
    number = journal._lock
    assert number is not None
    journal.forget()
    assert open_files() == before - 3
    strangers = os.open(os.devnull, os.O_RDONLY)
    os.dup2(strangers, number)
    journal.forget()
    for one in {strangers, number}:
        os.close(one)
    journal.release(remove=True)
    assert not journal.path.exists()


@pytest.mark.posix
def test_who_holds_a_journal_holds_it_alone(journal: Journal) -> None:
    """Until it is let go of; who is refused keeps no file open."""
    before = open_files()
    assert Journal.adopt(journal.path) is None
    assert open_files() == before
    journal.append(frame(0), 1)
    journal.write_cursor((0, 0))
    journal.release(remove=False)
    assert open_files() == before - 1
    adopted = Journal.adopt(journal.path)
    assert adopted is not None
    adopted.release(remove=True)
    adopted.release(remove=True)  # nothing is left, and that is no error
    assert open_files() == before - 1
    assert not journal.path.exists()


@pytest.mark.posix
def test_a_journal_that_cannot_be_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on some network file systems: whoever makes it is told, and no file stays open."""

    def refused(*_: Any) -> None:
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr(_journal, "lock", refused)
    before = open_files()
    with pytest.raises(OSError, match="no locks"):
        Journal.create(tmp_path)
    assert open_files() == before
    assert journals_in(tmp_path) == []


@pytest.mark.posix
def test_a_torn_append_is_taken_back(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written behind it is found, in the same segment."""
    journal.append(frame(0), 1)
    _fail_after_a_part(monkeypatch)
    with pytest.raises(OSError, match="full"):
        journal.append(frame(1), 1)
    monkeypatch.undo()
    [segment] = journal.segments
    assert segment.path.stat().st_size == segment.size == len(frame(0))
    assert segment.spans == 1
    place = journal.append(frame(2), 1)
    assert place == (1, len(frame(0)) + len(frame(2)))
    assert segment.path.read_bytes() == frame(0) + frame(2)


def test_a_torn_append_that_cannot_be_taken_back_ends_its_segment(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is written behind a part of a frame."""
    journal.append(frame(0), 1)
    _fail_after_a_part(monkeypatch)

    def refused(*_: Any) -> None:
        raise OSError(errno.EIO, "no")

    monkeypatch.setattr(_segments.os, "ftruncate", refused)
    with pytest.raises(OSError, match="full"):
        journal.append(frame(1), 1)
    monkeypatch.undo()
    assert journal.file is None
    assert journal.append(frame(2), 1) == (2, len(frame(2)))
    assert names(journal) == ["span 0", "span 2"]


def _fail_after_a_part(monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    answers = iter([lambda d, data: real(d, data[:9])])

    def write(descriptor: int, data: bytes) -> int:
        for answer in answers:
            return answer(descriptor, data)
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(_segments.os, "write", write)


@pytest.mark.parametrize("code", [errno.EFBIG, errno.ENOSPC])
def test_a_file_that_may_be_no_longer(
    journal: Journal, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """The next segment takes it, once: what does not fit into an empty one is refused."""
    journal.append(frame(0), 1)
    real, refused = os.write, [0]

    def write(descriptor: int, data: bytes) -> int:
        if os.fstat(descriptor).st_size or len(data) > 1_000:
            refused[0] += 1
            raise OSError(code, "too long")
        return real(descriptor, data)

    monkeypatch.setattr(_segments.os, "write", write)
    if code == errno.EFBIG:
        assert journal.append(frame(1), 1) == (2, len(frame(1)))
        assert names(journal) == ["span 0", "span 1"]
    with pytest.raises(OSError, match="too long"):
        journal.append(frame(2, "x" * 2_000), 1)
    assert refused[0] == (3 if code == errno.EFBIG else 1)


def test_somebody_removes_it(journal: Journal) -> None:
    """The segment that is written to, or the folder before there is one."""
    assert journal.is_there()
    journal.append(frame(0), 1)
    assert journal.is_there()
    journal.segments[0].path.unlink()
    assert not journal.is_there()
    journal.roll()
    assert journal.is_there()
    (journal.path / "lock").unlink()
    journal.path.rmdir()
    assert not journal.is_there()


@pytest.mark.posix
def test_one_that_is_set_apart_is_found_no_more(left: Path) -> None:
    """It keeps what is in it, and nobody holds it."""
    journal = Journal.adopt(left)
    assert journal is not None
    before = open_files()
    journal.set_apart()
    assert open_files() == before - 1
    assert journal.path == left.with_name(f".damaged-{left.name}")
    assert (journal.path / "00000001.seg").exists()
    assert not left.exists()
    assert journals_in(left.parent) == []


def test_a_segment_that_is_no_file_stops_the_removal(left: Path) -> None:
    """Nothing is deleted then."""
    (left / "00000002.seg").mkdir()
    journal = Journal.adopt(left)
    assert journal is not None
    with pytest.raises(OSError, match="] a segment is not a regular file") as caught:
        journal.release(remove=True)
    assert (caught.value.errno, caught.value.filename) == (errno.EPERM, str(left))
    assert (left / "00000001.seg").exists()
    assert (left / "lock").exists()
    journal.forget()


def test_a_segment_without_a_frame(left: Path) -> None:
    """It is read to its end, and what is in it counts as damage."""
    (left / "00000001.seg").write_bytes(b"no frame" * 10)
    journal = Journal.adopt(left)
    assert journal is not None
    place, reading = journal.read((0, 0), 10)
    assert (place, reading.frames, reading.damaged) == ((1, 80), [], 1)
    assert journal.read(place, 10)[0] == place
    journal.release(remove=True)


def test_a_strangers_file_is_not_deleted(left: Path) -> None:
    """The folder stays with it."""
    (left / "note").write_text("mine")
    journal = Journal.adopt(left)
    assert journal is not None
    with pytest.raises(OSError, match="not empty"):
        journal.release(remove=True)
    assert [path.name for path in left.iterdir()] == ["note"]
    journal.forget()


@pytest.mark.parametrize("name", ["a copy.seg", "\N{SUPERSCRIPT TWO}.seg", "-1.seg"])
def test_nor_is_a_segment_that_somebody_gave_another_name(left: Path, name: str) -> None:
    """What was not read must not be removed."""
    (left / "00000001.seg").rename(left / name)
    journal = Journal.adopt(left)
    assert journal is not None
    assert names(journal) == []
    with pytest.raises(OSError, match="not empty"):
        journal.release(remove=True)
    assert [path.name for path in left.iterdir()] == [name]
    journal.forget()


@pytest.mark.posix
def test_nobody_takes_a_journal_that_is_being_removed(
    left: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is let go of only when it is gone."""
    real, found = _journal._remove, []

    def spied(path: Path) -> None:
        found.append(Journal.adopt(path))
        real(path)

    monkeypatch.setattr(_journal, "_remove", spied)
    journal = Journal.adopt(left)
    assert journal is not None
    journal.release(remove=True)
    assert found == [None]


@pytest.mark.posix
def test_under_any_umask(tmp_path: Path) -> None:
    """The folder is its user's to write to, and nobody else's."""
    before = os.umask(0o777)
    try:
        journal = Journal.create(tmp_path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(journal.path.stat().st_mode) == 0o700
    journal.append(frame(0), 1)
    journal.release(remove=True)


def test_a_folder_that_is_gone_is_removed(left: Path) -> None:
    """By whoever was faster: that is no error."""
    journal = Journal.adopt(left)
    assert journal is not None
    for path in left.iterdir():
        path.unlink()
    left.rmdir()
    journal.release(remove=True)


@pytest.mark.posix
def test_journals_are_listed_oldest_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those whose names begin with a dot, other users' and other things are none."""
    made = [Journal.create(tmp_path) for _ in range(3)]
    for index in (1, 0, 2):  # the time of their last change is their age
        made[index].append(frame(index), 1)
        _wait_for_the_clock_of_files(tmp_path)
    (tmp_path / ".new-1").mkdir()
    (tmp_path / ".new-1" / "lock").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / f"earlier-{NO_PROCESS}-5678").symlink_to(made[0].path)
    (tmp_path / f"earlier-{NO_PROCESS}-1234").touch()
    assert journals_in(tmp_path) == [made[index].path for index in (1, 0, 2)]
    assert journals_in(tmp_path / "nowhere") == []
    with monkeypatch.context() as patch:
        patch.setattr(_journal, "is_of_this_user", lambda _: False)
        assert journals_in(tmp_path) == []
    for journal in made:
        journal.forget()


def _wait_for_the_clock_of_files(folder: Path) -> None:
    def now() -> int:
        (folder / ".clock").touch()
        return (folder / ".clock").stat().st_ctime_ns

    before = now()
    while now() == before:
        pass


@pytest.mark.posix
def test_one_that_vanishes_while_they_are_listed(
    left: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It counts as the oldest, or not at all, and costs the others nothing."""
    other = Journal.create(left.parent)
    gone = left.parent / "gone"
    gone.mkdir()
    (gone / "lock").touch()
    real = _journal._is_journal

    def vanishing(path: Path) -> bool:
        found = real(path)
        if path == gone:
            (gone / "lock").unlink()
            gone.rmdir()
        return found

    monkeypatch.setattr(_journal, "_is_journal", vanishing)
    assert journals_in(left.parent) == [gone, left, other.path]
    monkeypatch.undo()
    gone.mkdir()
    here = Path.lstat

    def removed(path: Path) -> os.stat_result:
        if path == gone:
            gone.rmdir()
        return here(path)

    monkeypatch.setattr(Path, "lstat", removed)
    assert journals_in(left.parent) == [left, other.path]
    other.forget()


@pytest.mark.posix
@pytest.mark.parametrize(
    ("name", "lost"),
    [
        ("{boot}-{gone}-1234", True),
        ("{boot}-{alive}-1234", False),
        ("earlier-{alive}-1234", True),
        ("{boot}-process-1234", False),
        ("{boot}", False),
    ],
)
def test_a_lock_that_somebody_tidied_away(left: Path, name: str, *, lost: bool) -> None:
    """The journal is found and taken over if its process is gone, or of before the last start."""
    (left / "lock").unlink()
    words = {"boot": _journal._BOOT_ID, "gone": NO_PROCESS, "alive": os.getpid()}
    renamed = left.rename(left.with_name(name.format(**words)))
    assert journals_in(left.parent) == ([renamed] if lost else [])
    found = Journal.adopt(renamed)
    assert (found is not None) is lost
    assert (renamed / "lock").exists() is lost
    if found is not None:
        assert names(found) == ["span 0", "span 1"]
        found.release(remove=True)


@pytest.mark.posix
@pytest.mark.parametrize("make", [Path.mkdir, lambda path: path.symlink_to("key")])
def test_something_in_the_place_of_a_lock(left: Path, make: Callable[[Path], None]) -> None:
    """It is put aside, not removed, and the journal of a process that is gone is delivered."""
    (left / "lock").unlink()
    make(left / "lock")
    renamed = left.rename(left.with_name(f"earlier-{NO_PROCESS}-1234"))
    assert journals_in(left.parent) == [renamed]
    found = Journal.adopt(renamed)
    assert found is not None
    assert names(found) == ["span 0", "span 1"]
    with pytest.raises(OSError, match="not empty"):
        found.release(remove=True)
    assert [path.name[:6] for path in renamed.iterdir()] == [".lock-"]


@pytest.mark.posix
@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS, errno.ENOENT])
def test_a_journal_that_nobody_can_take_over_is_told(
    left: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, code: int
) -> None:
    """It is not one of a living process; one that vanishes has been delivered."""

    def refused(path: Path, _: int) -> int:
        raise OSError(code, "refused", str(path))

    monkeypatch.setattr(_journal, "open_own", refused)
    monkeypatch.setattr(_log, "_said", {})  # another test may have been told
    assert Journal.adopt(left) is None
    told = f"taking over a journal failed: {type(OSError(code, '')).__name__}"
    assert (told in caplog.text) is (code != errno.ENOENT)


@pytest.mark.posix
def test_a_folder_without_lock_and_segments_is_no_journal(left: Path) -> None:
    """Nobody lost anything in it."""
    for path in left.iterdir():
        path.unlink()
    renamed = left.rename(left.with_name(f"earlier-{NO_PROCESS}-1234"))
    assert journals_in(left.parent) == []
    assert Journal.adopt(renamed) is None
    assert list(renamed.iterdir()) == []


def test_a_name_tells_start_and_process(journal: Journal) -> None:
    """So that a lost lock is known, and two journals of one process are two."""
    other = Journal.create(journal.path.parent)
    boot, process, word = journal.path.name.split("-")
    assert (boot, process, len(word)) == (_journal._BOOT_ID, str(os.getpid()), 8)
    assert other.path != journal.path
    other.release(remove=True)


def test_where_the_start_of_the_machine_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """A word stands for it that may be in a name."""

    def refused(_: Path) -> bytes:
        raise FileNotFoundError

    told = Path("/proc/sys/kernel/random/boot_id")
    known = told.read_text()[:8] if told.exists() else "boot"
    assert _journal._read_boot_id() == known
    monkeypatch.setattr(Path, "read_bytes", refused)
    assert _journal._read_boot_id() == "boot"
