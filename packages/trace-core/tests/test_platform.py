"""What Windows has not is not asked for: shown by hiding it from a program of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from trace_core import _platform
from trace_core._platform import is_running, lock, read_at, unlock, write_at
from trace_core._spool.folders import default_spool_dir

TESTS = Path(__file__).parents[3] / "tests"

PROGRAM = """
import support.without_posix
import sys
import threading
from pathlib import Path

from trace_core import JsonLinesSink, MemorySink, Spool, Tracer, _platform
from trace_core._spool.journal import Journal, journals_in

assert _platform.fcntl is None and _platform.OPEN_FILES_STAY
folder = Path(sys.argv[1])


def away(_):
    raise ConnectionError("away")


spool = Spool(folder / "spool", away, key="to")
with Tracer(spool).span("kept", inputs="a\\nb"):
    pass
spool.close(0.01)
(left,) = journals_in(spool.folder)

memory, arrived = MemorySink(), threading.Event()


def take(spans):
    memory.write(spans)
    if len(memory.spans) == 2:
        arrived.set()


second = Spool(folder / "spool", take, key="to")
with Tracer(second).span("new"):
    pass
(mine,) = [path for path in journals_in(second.folder) if path != left]
assert Journal.adopt(mine) is None, "another journal that is locked"
assert arrived.wait(60)
second.close(5)
assert sorted(span.name for span in memory.spans) == ["kept", "new"]
assert journals_in(second.folder) == []

lines = JsonLinesSink(folder / "traces.jsonl", rotate_bytes=1)
for _ in range(3):
    lines.write(memory.spans[:1])
lines.close()
print(*sorted(path.name for path in folder.glob("traces*")))
"""


def run(folder: Path, program: str) -> str:
    path = os.pathsep.join(filter(None, [str(TESTS), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-c", program, str(folder)],
        env={**os.environ, "PYTHONPATH": path, "TRACE_SPOOL_DIR": str(folder / "other")},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_program_where_posix_is_not(folder: Path) -> None:
    """Spans are kept, delivered by the next spool, and files rotated, by Windows' calls alone."""
    assert run(folder, PROGRAM) == "traces.jsonl traces.jsonl.1 traces.jsonl.2"


def test_files_that_cannot_be_locked_are_no_spool(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there is neither kind of lock, that is said."""
    monkeypatch.setattr(_platform, "fcntl", None)
    monkeypatch.setattr(_platform, "msvcrt", None)
    with (folder / "file").open("wb") as file, pytest.raises(OSError, match="cannot be locked"):
        lock(file.fileno())


def test_a_lock_is_one_processs(folder: Path) -> None:
    """A second descriptor cannot lock the file until the first lets go."""
    path = folder / "lock"
    with path.open("wb") as first, path.open("wb") as second:
        lock(first.fileno())
        with pytest.raises(OSError, match=r"."):
            lock(second.fileno())
        unlock(first.fileno())
        lock(second.fileno(), wait=True)


@pytest.mark.parametrize("without", [(), ("pread", "pwrite")])
def test_reading_and_writing_at_a_place(
    folder: Path, monkeypatch: pytest.MonkeyPatch, without: tuple[str, ...]
) -> None:
    """The same with and without the calls that Windows has not."""
    for name in without:
        monkeypatch.delattr(os, name, raising=False)
    (folder / "file").write_bytes(b"0123456789")
    with (folder / "file").open("r+b", buffering=0) as file:
        write_at(file.fileno(), b"ab", 3)
        assert read_at(file.fileno(), 4, 2) == b"2ab5"
        assert read_at(file.fileno(), 9, 8) == b"89"


@pytest.mark.posix
def test_whether_a_process_runs() -> None:
    """It is asked of by its number, of which most are nobody's."""
    assert is_running(os.getpid())
    assert not is_running(2**22 + 1)
    assert not is_running(2**80)


@pytest.mark.parametrize(
    ("platform", "variable", "end"),
    [
        ("win32", "LOCALAPPDATA", "trace-core/spool"),
        ("darwin", "", "Library/Application Support/trace-core/spool"),
        ("linux", "XDG_STATE_HOME", "trace-core/spool"),
    ],
)
def test_where_spools_live(
    folder: Path, monkeypatch: pytest.MonkeyPatch, platform: str, variable: str, end: str
) -> None:
    """In the user's own folder for such things on each platform."""
    monkeypatch.setattr(sys, "platform", platform)
    if variable:
        monkeypatch.setenv(variable, str(folder))
    found = default_spool_dir().as_posix()
    assert found.endswith(end)
    assert not variable or found.startswith(folder.as_posix())


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="users have no numbers here")
def test_users_without_a_home_have_a_spool_too(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container that runs as a number which no user has."""

    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", no_home)
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setenv("TMPDIR", str(folder))
    assert default_spool_dir() == folder / f"trace-core-spool-{os.geteuid()}"
    monkeypatch.delenv("TMPDIR")
    assert default_spool_dir().is_absolute()
