"""Decides by its name whether something holds a secret: ``hf_token`` does, ``max_tokens`` does not.

One place for what is known of names. Texts, mappings, environment variables and the parameters of
calls are all judged by it.
"""

from __future__ import annotations

import functools
import re
from typing import Final

KEYS: Final = (
    *("api", "access", "secret", "private", "account", "subscription", "master", "encryption"),
    *("signing", "storage", "service", "admin", "auth", "shared", "license", "deploy"),
    *("functions", "client", "rapidapi"),
)
"""What stands before "key" where it opens something."""
_OPENS_NOTHING: Final = (
    *("cache", "dedup", "deduplication", "foreign", "gpg", "group", "hash", "idempotency"),
    *("lookup", "map", "object", "partition", "primary", "public", "range", "routing"),
    *("sort", "unique", "websocket"),
)
"""What stands before "key" where it opens nothing."""
_COUNTED: Final = frozenset(
    {
        *("next", "page", "nextpage", "continuation", "continue", "cursor", "sync", "eos", "bos"),
        *("pad", "unk", "stop", "mask", "sep", "cls", "max", "min", "num", "special", "start"),
        *("end", "first", "last", "prompt", "input", "output", "cache", "by", "per"),
        *("expected", "idempotency", "invalid", "tik", "unexpected", "unknown", "pagination"),
        *("backward", "cancel", "cancellation", "forward", "resume", "scroll", "starting"),
    }
)
"""What stands before "token" where it is no credential: pages of a listing, a model's tokens."""
_COUNTED_MANY: Final = _COUNTED | {
    *("audio", "budget", "cached", "completion", "context", "generated", "image", "new"),
    *("prediction", "reasoning", "remaining", "text", "thinking", "total", "used", "video"),
}
_ENDINGS: Final = (
    *("auth", "cookie", "credential", "key", "passcode", "passphrase", "passwd", "password"),
    *("pass", "pw", "pwd", "secret", "sig", "token"),
)
_JOINED: Final = ("token", "secret", "password", "passwd", "apikey", "accesskey", "secretkey")
"""What a word may end with, as in ``csrftoken``: no other word does."""
_SAYS_WHICH: Final = frozenset(
    {
        *("base", "base64", "binary", "current", "dev", "live", "new", "old", "primary", "prod"),
        *("production", "secondary", "staging", "string", "value"),
    }
)
"""What may stand behind: ``api_key_prod``, ``SecretString``."""
OTHER_KEY: Final = "other key"
"""The word of a key of which it is not known whether it opens something: ``openai_key``."""
VALUES: Final = ("value", "Value", "text")
"""Lists of settings have mappings with one of each."""
MOST_LISTED: Final = 64
"""Items of a list that may hold names and values by turns."""
_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_LAST_WORD: Final = re.compile(r"[^A-Za-z0-9\n\r\0]{0,3}([A-Z]+|[a-z]+[A-Z]?)")
"""Of a text that is read from its end: a search from its begin would try every letter."""
_IN_WORD: Final = re.compile("[a-z]pw", re.IGNORECASE)
_LONGEST: Final = 128
"""Characters; what is longer is a text and no name."""


def names_credential(name: str) -> bool:
    """Return whether a name ends like that of a credential: ``hf_token``, ``signingKey``.

    Keys and tokens that open nothing are none: ``cache_key``, ``primary_key``, ``next_token``,
    ``max_token``. Nor are ``key`` and ``pass`` alone, and what is counted, ``tokens``.

    Args:
        name: The name of a parameter, a variable, a header or a key of a mapping, in any case,
            with words joined by anything.
    """
    return credential_word(name) is not None


@functools.lru_cache(maxsize=4_096)
def credential_word(name: str, *, plural: bool = False) -> str | None:
    """Return what kind of credential a name names: ``password``, ``token``, ``key`` ...

    Args:
        name: The name.
        plural: Whether names of several count, such as ``api_keys``.

    Returns:
        The last word that matters, in singular and lower case, or `OTHER_KEY`; ``None`` if the
        name is no credential's.
    """
    if len(name) > _LONGEST:
        return None
    words = [word.lower() for word in _WORD.findall(name)]
    while len(words) > 1 and (words[-1].isdigit() or words[-1] in _SAYS_WHICH):
        words.pop()
    if not words or (words[-1] == "pw" and _IN_WORD.search(name)):
        return None
    last, many = _singular(words.pop()) if plural else (words.pop(), False)
    for ending in _ENDINGS if last in _ENDINGS else _JOINED:
        if last.endswith(ending):
            before = last[: -len(ending)] or (words[-1] if words else "")
            return _in_use(ending, before, many)
    return None


def _singular(word: str) -> tuple[str, bool]:
    many = word.endswith("s") and not word.endswith("pass")
    return (word[:-1], True) if many else (word, False)


def _in_use(ending: str, before: str, many: bool) -> str | None:
    """Return the kind of a credential by its last word and the one before."""
    if ending == "token":
        return None if before in (_COUNTED_MANY if many else _COUNTED) else ending
    if ending == "pass" and not before:  # a test's, or a mountain's
        return None
    if ending != "key":
        return "key" if ending.endswith("key") else ending
    if before.endswith(KEYS):
        return ending
    if before in _OPENS_NOTHING or (not before and not many):
        return None
    return OTHER_KEY


def is_counted(before: str) -> bool:
    """Return whether what stands before "token" says that it is no credential.

    Args:
        before: Some text that ends where "token" begins.
    """
    found = _LAST_WORD.match(before[::-1])
    word = found[1][::-1].lower() if found else ""
    return word in _COUNTED or before.lower().endswith("publickey")  # of an assembly


def key_word(before: str) -> str | None:
    """Return what kind of key the word "key" in a text means.

    Args:
        before: Some text in lower case that ends where "key" begins.

    Returns:
        ``key``, `OTHER_KEY`, or ``None`` for one that opens nothing or is a key to success.
    """
    if before.endswith(("?", "&", "--")) or before.rstrip("_-. ").endswith(KEYS):
        return "key"
    word = before.rstrip("_-")
    return OTHER_KEY if word[-1:].isalnum() and not word.endswith(_OPENS_NOTHING) else None
