"""What somebody may have meant by a name that is not known."""

from __future__ import annotations

from collections.abc import Iterable


def close_to(name: str, known: Iterable[str], cutoff: float = 0.65) -> str | None:
    """Return the known name that is most like another, if any is much like it.

    Args:
        name: What was written.
        known: What could have been written.
        cutoff: How much alike, from 0 to 1.
    """
    from difflib import get_close_matches  # only where something is wrong: it takes its time

    return next(iter(get_close_matches(name, list(known), n=1, cutoff=cutoff)), None)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``; did you mean 'NAME'?`` for a name that is nearly known, else nothing."""
    found = close_to(name, known)
    return f"; did you mean {found!r}?" if found else ""
