"""Where spools live, and the folders and small files in them: private, and never half written."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import stat
import sys
from pathlib import Path
from typing import Final

from trace_core._spool.files import is_of_this_user, open_own, sync_file, write_all

_KEY_BYTES: Final = 64 * 1024  # more than a key ever has


def default_spool_dir() -> Path:
    """Return where spools live unless told otherwise: in the user's own state folder.

    For a user without a home, as in a container that runs as a number, that is a folder of its own
    among the temporary ones.
    """
    try:
        return _state_folder() / "trace-core" / "spool"
    except RuntimeError:
        user = getattr(os, "geteuid", int)()
        return Path(os.environ.get("TMPDIR") or "/tmp", f"trace-core-spool-{user}")  # noqa: S108


def _state_folder() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support"
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")


def folder_name(key: str) -> str:
    """Return the name of the folder for a key: readable, and different for different keys."""
    readable = re.sub(r"[^A-Za-z0-9.]+", "-", key).strip("-.")[:40] or "sink"
    return f"{readable}-{hashlib.sha256(key.encode()).hexdigest()[:12]}"


def make_folder(path: Path) -> None:
    """Make a folder and those above it, where they are missing, for this user alone.

    Args:
        path: The folder. What is made has mode 0700 under any umask; what exists stays as it is.

    Raises:
        OSError: It cannot be made, or it belongs to another user, who could read what is in it.
    """
    try:
        status = path.lstat()
    except FileNotFoundError:
        _make_missing(path)
        status = path.lstat()
    mine = is_of_this_user(status)
    if mine and stat.S_ISLNK(status.st_mode):
        mine = is_of_this_user(path.stat())
    if not mine:
        why = "it belongs to another user; set TRACE_SPOOL_DIR to a folder of your own"
        raise PermissionError(errno.EPERM, why, str(path))


def _make_missing(path: Path) -> None:
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:  # another process has made it
        return
    except FileNotFoundError:
        _make_missing(path.parent)
        path.mkdir(mode=0o700, exist_ok=True)  # a file system may make none, such as /proc
    path.chmod(0o700)


def write_new(path: Path, data: bytes) -> None:
    """Write a file as a whole or not at all.

    Args:
        path: The file; replaced if it exists.
        data: Its content.

    Raises:
        OSError: The disk does not take it.
    """
    unfinished = path.with_name(f".{path.name}-{os.getpid()}-{secrets.token_hex(4)}")
    descriptor = open_own(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    try:
        try:
            write_all(descriptor, data)
            sync_file(descriptor)
        finally:
            os.close(descriptor)
        unfinished.replace(path)
    except OSError:
        unfinished.unlink(missing_ok=True)
        raise


def write_key(folder: Path, key: str) -> None:
    """Leave a note of whose folder this is, for ``trace-core spool``.

    Args:
        folder: A sink's folder.
        key: The sink's ``spool_key``.

    Raises:
        OSError: The disk does not take it.
    """
    try:
        read_key(folder)
    except (OSError, ValueError):  # not there, or damaged
        write_new(folder / "key", key.encode())


def read_key(folder: Path) -> str:
    """Return the ``spool_key`` of the sink that a folder belongs to.

    Args:
        folder: A sink's folder.

    Raises:
        OSError: It cannot be read, or is no regular file of this user.
        ValueError: It is damaged, or the key of another folder.
    """
    descriptor = open_own(folder / "key", os.O_RDONLY)
    try:
        key = os.read(descriptor, _KEY_BYTES).decode()
    finally:
        os.close(descriptor)
    if folder_name(key) != folder.name:
        raise ValueError(f"{folder / 'key'} is not the key of this folder")
    return key
