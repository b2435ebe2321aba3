"""The secrets this process holds: what `remember_secret` was given, and the environment's.

Processors and logs remove their exact values. They stay in memory: nothing here prints, pickles or
writes one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Final

from trace_core._processors.names import OTHER_KEY, credential_word

MIN_LENGTH: Final = 8
"""Shorter values are ordinary words too often."""
MAX_REMEMBERED: Final = 256
"""Each text is searched for every one of them."""
_LONG: Final = 16  # letters: longer ones are hardly a word
_NOT_SECRET: Final = frozenset({"auth", "cookie", "sig"})
"""Last words of variables that name a method, a file or a socket, rather than a secret."""
_PATH: Final = re.compile(r"(?:~|\.{1,2})?/(?:[\w.\-]+/)+[\w.\-]*$|[A-Za-z]:\\")
_WORD: Final = re.compile(r"[^\W\d_]+|\d+")
_PLACEHOLDERS: Final = frozenset(
    {
        *("a", "access", "actual", "admin", "and", "any", "anything", "api", "app", "be", "change"),
        *("changed", "changeit", "changeme", "credential", "credentials", "db", "default", "demo"),
        *("dev", "development", "docker", "dummy", "empty", "example", "fake", "file", "for"),
        *("foo", "from", "go", "goes", "here", "hf", "in", "insert", "is", "it", "key", "keys"),
        *("litellm", "lm", "local", "localhost", "me", "mock", "must", "my", "need", "needed"),
        *("no", "none", "not", "nothing", "null", "of", "ollama", "only", "openai", "or", "pass"),
        *("password", "placeholder", "please", "postgres", "private", "prod", "production"),
        *("provide", "public", "put", "random", "real", "redacted", "replace", "required", "root"),
        *("sample", "secret", "server", "set", "sk", "some", "something", "staging", "string"),
        *("enter", "generate", "generated", "long", "paste", "strong", "super", "type", "very"),
        *("studio", "test", "testing", "the", "this", "to", "todo", "token", "undefined"),
        *("unused", "use", "used", "user", "value", "vllm", "whatever", "with", "xxx", "you"),
        "your",
    }
)
"""Words that placeholders are made of."""
_LEAST_PHRASE: Final = 16
"""Characters that no harmless text holds by chance, if they are several words in a row."""


class _Values:
    """A bounded set that keeps the newest values and can be read on any thread."""

    def __init__(self) -> None:
        self._ordered: dict[str, None] = {}
        self.all: tuple[str, ...] = ()

    def add(self, value: str) -> None:
        """Add a value; the oldest makes room for it."""
        if value in self._ordered:
            return
        self._ordered[value] = None
        while len(self._ordered) > MAX_REMEMBERED:
            try:
                self._ordered.pop(next(iter(self._ordered)), None)
            except (RuntimeError, StopIteration):  # another thread was faster
                return
        self.all = tuple(self._ordered.copy())  # copy() cannot be interrupted by another thread

    def clear(self) -> None:
        """Forget all values."""
        self._ordered.clear()
        self.all = ()


_remembered = _Values()
_environment = _Values()
_environment_seen: object = None


def remember_secret(value: object) -> None:
    """Make every `redact` of this process remove this exact text from spans.

    For secrets that no pattern can know, such as a key without a prefix. Call it before the span
    that may hold the secret ends. Cheap and thread-safe. The newest 256 values are kept, in memory
    only.

    Args:
        value: The secret; anything but a text of at least 8 characters is ignored.
    """
    if type(value) is str and len(value) >= MIN_LENGTH:
        _remembered.add(value)


def remembered_secrets() -> tuple[str, ...]:
    """Return what `remember_secret` was given: the same object while nothing was added."""
    return _remembered.all


def environment_secrets() -> tuple[str, ...]:
    """Return the values of environment variables that are named like secrets.

    Only values that no harmless text holds: a plain word or a placeholder is not one of them.

    A value that was seen once stays: a program may unset the variable before its span is written.
    The result is the same object while nothing was added.
    """
    global _environment_seen  # noqa: PLW0603  # one environment per process
    # Comparing the dict behind os.environ costs a fraction of reading os.environ. CPython has it;
    # without it, the environment is read each time.
    raw = getattr(os.environ, "_data", None)
    if raw is None or raw != _environment_seen:
        _environment_seen = raw.copy() if raw is not None else None
        _add_environment(os.environ)
    return _environment.all


def _add_environment(environ: Mapping[str, str]) -> None:
    for name, value in list(environ.items()):
        word = credential_word(name, plural=True)
        if word is None or word in _NOT_SECRET or name in ("PWD", "OLDPWD", "pwd"):
            continue
        if word in (OTHER_KEY, "credential") and _PATH.match(value):  # of a file with them
            continue
        for one in (value.strip(), *_listed(name, value)):
            if looks_secret(one) or _is_unusual(one):
                _environment.add(one)


def _listed(name: str, value: str) -> list[str]:
    """Return the values of a variable that holds several: ``API_KEYS=one,two``."""
    many = name.endswith(("S", "s")) and not name.lower().endswith("pass")
    return [one for one in re.split(r"[,;\s]+", value) if one != value] if many else []


def _is_unusual(value: str) -> bool:
    """Return whether no harmless text holds a value: several words, and not of a placeholder."""
    words = [word.lower() for word in _WORD.findall(value)]
    return len(value) >= _LEAST_PHRASE and len(words) > 1 and not _PLACEHOLDERS.issuperset(words)


def looks_secret(value: object) -> bool:
    """Return whether a value named like a secret is one, and not a placeholder such as "ollama".

    Args:
        value: The value of a variable, a parameter or a header.

    Returns:
        True for a text of at least 8 characters without blanks that has a digit, or letters in
        both cases, or is long.
    """
    if type(value) is not str or len(value) < MIN_LENGTH or value.split() != [value]:
        return False
    if any(map(str.isdigit, value)):
        return True
    mixed = value[1:] not in (value[1:].lower(), value[1:].upper())
    return value.isalnum() and (mixed or len(value) >= _LONG)
