"""Checks of arguments to our own functions: each returns the value, or says what was wanted."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TypeVar

from trace_core._model.errors import ConfigurationError

T = TypeVar("T")


def number(value: object, name: str, least: float = 0.0, most: float = math.inf) -> float:
    """Return a number.

    Args:
        value: The argument.
        name: What the error calls it.
        least: The least it may be.
        most: The most it may be.

    Raises:
        ConfigurationError: It is not a number in that range.
    """
    plain = isinstance(value, (int, float)) and not isinstance(value, bool)
    if plain and least <= value <= most:  # type: ignore[operator]
        return value  # type: ignore[return-value]
    wanted = f"of at least {least:g}" if most == math.inf else f"from {least:g} to {most:g}"
    raise ConfigurationError(f"{name} must be a number {wanted}, got {value!r:.60}")


def count(value: object, name: str, least: int = 1) -> int:
    """Return a whole number.

    Args:
        value: The argument.
        name: What the error calls it.
        least: The least it may be.

    Raises:
        ConfigurationError: It is not a whole number of at least that.
    """
    if isinstance(value, int) and not isinstance(value, bool) and value >= least:
        return value
    raise ConfigurationError(
        f"{name} must be a whole number of at least {least}, got {value!r:.60}"
    )


def path(value: object, name: str) -> str | os.PathLike[str]:
    """Return a path.

    Raises:
        ConfigurationError: It is not a text or a path, it is empty, or it holds a NUL.
    """
    if isinstance(value, (str, os.PathLike)) and str(value) and "\0" not in str(value):
        return value
    raise ConfigurationError(f"{name} must be the path of a file or folder, got {value!r:.60}")


def at_home(value: str | os.PathLike[str], name: str) -> Path:
    """Return a path with the user's home in place of a ``~`` at its beginning.

    A shell does that too, but not inside quotes, nor in files of settings.

    Raises:
        ConfigurationError: There is no such home.
    """
    try:
        return Path(value).expanduser()
    except RuntimeError as error:
        raise ConfigurationError(f"{name} is {value!r:.60}, but there is no such home") from error


def absolute(value: object, name: str) -> Path:
    """Return a path that stays the same when the program changes its folder.

    Raises:
        ConfigurationError: It is not a text or a path, it is empty, it holds a NUL, it begins with
            a home that does not exist, or it is relative and the program's folder is gone.
    """
    found = at_home(path(value, name), name)
    try:
        return found.absolute()
    except OSError as error:
        raise ConfigurationError(
            f"{name} is {str(found)!r:.60}, but the folder that the program runs in is gone: "
            "give an absolute path"
        ) from error


def instance(value: object, kind: type[T], name: str) -> T:
    """Return an object of a class.

    Args:
        value: The argument.
        kind: The class.
        name: What the error calls it.

    Raises:
        ConfigurationError: It is of another class.
    """
    if isinstance(value, kind):
        return value
    article = "an" if kind.__name__[0] in "AEIOU" else "a"
    raise ConfigurationError(f"{name} must be {article} {kind.__name__}, got {value!r:.60}")
