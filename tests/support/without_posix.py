"""A pytest plug-in that hides what Windows has not: ``pytest -p support.without_posix``.

Locks are then those of a stand-in for ``msvcrt``: made of real ones, but told of by its functions.
Paths, modes and processes are still POSIX's: what is shown is that our code asks for nothing that
is not there, not that it works on a real Windows.
"""

from __future__ import annotations

import fcntl
import os
import sys
import types
from importlib.abc import MetaPathFinder

# Not getuid: pytest itself asks for it.
HIDDEN = (
    "O_NOFOLLOW", "O_NONBLOCK", "fchmod", "fdatasync", "fork", "geteuid", "mkfifo",
    "pread", "pwrite", "register_at_fork",
)  # fmt: skip
MODULES = ("fcntl", "grp", "pwd", "resource", "termios")


class Hide(MetaPathFinder):
    """Finds none of the hidden modules."""

    def find_spec(self, fullname: str, path: object, target: object = None) -> None:
        """Refuse them."""
        if fullname in MODULES:
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)


def locking(descriptor: int, how: int, size: int) -> None:
    """Lock bytes of a file, as on Windows: refuse what somebody else has locked."""
    assert size == 1
    flags = {0: fcntl.LOCK_UN, 1: fcntl.LOCK_EX, 2: fcntl.LOCK_EX | fcntl.LOCK_NB}[how]
    fcntl.flock(descriptor, flags)


def kill(process: int, number: int) -> None:
    """Do what Windows does: 0 is no question there, but CTRL+C for a whole group."""
    assert number != 0, "os.kill(process, 0) is no question on Windows"
    real_kill(process, number)


real_kill = os.kill
real_open = os.open
O_BINARY = 1 << 29


def open_binary(path: object, flags: int, *more: object, **named: object) -> int:
    """Open a file as Windows does, where one of ours without O_BINARY changes line ends."""
    caller = sys._getframe(1).f_globals.get("__name__", "")
    assert flags & O_BINARY or not caller.startswith("trace_"), f"{caller}: {path!r} is text"
    return real_open(path, flags & ~O_BINARY, *more, **named)  # type: ignore[call-overload]


def hide() -> None:
    """Hide all of it from whatever is imported from now on."""
    stand_in = types.ModuleType("msvcrt")
    vars(stand_in).update(locking=locking, LK_UNLCK=0, LK_LOCK=1, LK_NBLCK=2)
    sys.modules["msvcrt"] = stand_in
    for name in (*MODULES, "pty", "tty"):
        sys.modules.pop(name, None)
    for name in HIDDEN:
        delattr(os, name)
    os.kill, os.open = kill, open_binary  # type: ignore[assignment]
    os.O_BINARY = O_BINARY  # type: ignore[attr-defined]
    sys.meta_path.insert(0, Hide())


hide()
