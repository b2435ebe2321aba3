"""Hides what mappings and lists hold under a name that says it is secret.

Under ``password`` or ``api_key`` everything is hidden, whatever it looks like. Under weaker names,
``hf_token``, ``access_key``, ``openai_key``, ``passwords``, only what looks like a secret.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from operator import is_
from typing import Final, TypeAlias

from trace_core._model.values import Value
from trace_core._processors.names import MOST_LISTED, OTHER_KEY, VALUES, credential_word
from trace_core._processors.values import DIGIT, HARMLESS, looks_filed, looks_paired, looks_random

Filed: TypeAlias = "Callable[[str], str | None]"
"""Returns what kind of secret is filed under a name."""
_HIDDEN: Final = "[redacted:by name]"
_ALL: Final = "all"
"""The kind of a name under which everything is secret."""
UNJUDGED_NAME: Final = "unjudged"
"""The kind of a name among too many of them: what has a digit is secret."""
_PASSWORD: Final = "password"  # noqa: S105  # a kind of names
_STRONG: Final = re.compile(
    r"(?:apikey|secret|secretkey|secretaccesskey|secret(?:string|binary|value)|passw(?:or[dt]|d)"
    r"|passphrase|passcode|kennwort|motdepasse|contrasen?a|senha|accesstoken|apitoken|authtoken"
    r"|refreshtoken|sessiontoken|securitytoken|bearertoken(?:bedrock)?|privatekey|authorization"
    r"|subscriptionkey|credentials?|cookie)(?P<many>s?)$"
)
_BEYOND_ASCII: Final = frozenset(
    {
        *("密码", "密碼", "口令", "密钥", "密鑰", "パスワード"),
        *("비밀번호", "пароль", "hasło", "lösenord"),
    }
)
_OF_A_FORM: Final = re.compile(r"(?: (?:input|text|field|box|textbox)){1,3}$", re.IGNORECASE)
PARTS: Final = (
    *("key", "token", "secret", "pass", "pw", "auth", "cred", "cookie", "sig"),
    *("kennwort", "contras", "senha"),
    *_BEYOND_ASCII,
)
"""One of these is in every name of a secret, in lower case."""
_PARTS_IN_ASCII: Final = tuple(filter(str.isascii, PARTS))
_DIGITS: Final = str.maketrans("123456789", "000000000")
"""Names that differ by a number are looked up as one."""
_KEPT_SHORT: Final = 4
"""Characters: "none", "true", "" under such a key tell nothing."""
_NAMES: Final = (
    *("name", "key", "header", "field", "variable", "Name", "Key", "element", "label", "id"),
)
_SCHEMA_TYPES: Final = ("string", "object", "array", "integer", "number", "boolean")
_SCHEMA_KEYS: Final = frozenset({"anyOf", "oneOf", "allOf", "$ref", "enum", "operationId"})
_SCHEMA_VALUES: Final = frozenset({"default", "const", "example", "examples", "value"})
"""What may hold a secret in the schema of a parameter that is called "api_key"."""
_MOST_HIDDEN: Final = 1_000
"""Items of a container under a strong name that are looked at; of a larger one nothing is kept."""


def has_part(folded: str) -> bool:
    """Say whether a part of a secret's name is in a text, or in many joined ones.

    Args:
        folded: The text in lower case.
    """
    for part in _PARTS_IN_ASCII if folded.isascii() else PARTS:  # noqa: SIM110  # twice as fast
        if part in folded:
            return True
    return False


def filed_under(key: str) -> str | None:
    """Return what kind of secret is filed under a key.

    Args:
        key: A key of a mapping, a header's or attribute's name.

    Returns:
        A kind that `hidden` knows; ``None`` if it is no secret.
    """
    return _filed_under(key.translate(_DIGITS))


@functools.lru_cache(maxsize=4_096)
def _filed_under(key: str) -> str | None:
    if not has_part(key.lower()):
        return None
    if not key.isascii() and key.lower() in _BEYOND_ASCII:
        return _PASSWORD
    key = _OF_A_FORM.sub("", key)
    strong = _STRONG.search(re.sub(r"[^a-z]", "", key.lower()))
    if strong is not None:
        return _PASSWORD if strong["many"] else _ALL
    word = credential_word(key, plural=True)
    if word is None:
        return None
    several = key.endswith(("s", "S")) and not key.lower().endswith("pass")
    return OTHER_KEY if several else word


def named_pair(keys: Mapping[str, Value]) -> tuple[str, str] | None:
    """Return the keys of a name and of its value.

    Args:
        keys: A mapping.
    """
    for value in VALUES:
        if value in keys:
            for name in _NAMES:
                if name in keys:
                    return name, value
    return None


def without_secrets(value: Mapping[str, Value], filed: Filed) -> Mapping[str, Value]:
    """Hide secrets in a mapping; the very same comes back if there are none.

    Args:
        value: The mapping.
        filed: Returns what kind of secret is filed under a name.
    """
    hides = {key: kind for key in value if (kind := filed(key)) is not None}
    if "token" in hides.values() and "logprob" in "\n".join(value).lower():
        hides = {key: kind for key, kind in hides.items() if kind == _ALL}  # a model's tokens
    if value.get("kind") == "Secret":  # a manifest of Kubernetes
        hides |= dict.fromkeys(value.keys() & {"data", "stringData"}, _ALL)
    pair = named_pair(value)
    if pair is not None:
        name = value[pair[0]]
        kind = filed(name) if isinstance(name, str) else None
        if kind is not None:
            hides.setdefault(pair[1], _PASSWORD if kind == _ALL else kind)
    changed = {
        key: new
        for key, kind in hides.items()
        if (new := hidden(old := value[key], kind)) is not old
    }
    return {**value, **changed} if changed else value


def without_listed(items: Sequence[Value], filed: Filed) -> Sequence[Value]:
    """Hide secrets that stand behind their names in a list: ``("x-api-key", "...")``.

    Args:
        items: The list; the very same comes back if there are none.
        filed: Returns what kind of secret is filed under a name.
    """
    found = [
        index + 1
        for index, (name, value) in enumerate(pairwise(items[: MOST_LISTED + 1]))
        if isinstance(name, str) and isinstance(value, str)
        if (kind := filed(name)) is not None
        and (DIGIT.match(value) if kind == UNJUDGED_NAME else looks_paired(value))
    ]
    return tuple(_HIDDEN if i in found else v for i, v in enumerate(items)) if found else items


def hidden(value: Value, kind: str) -> Value:
    """Replace secrets in a value; the very same comes back if there are none.

    Args:
        value: What is under a key that names a secret.
        kind: What `filed_under` says of the key.
    """
    if isinstance(value, str):
        return _HIDDEN if _is_secret(value, kind) and value != _HIDDEN else value
    if kind == _ALL and isinstance(value, (Mapping, tuple, list)) and len(value) > _MOST_HIDDEN:
        return _HIDDEN
    if isinstance(value, Mapping):
        return _hidden_below(value, kind)
    if isinstance(value, (tuple, list)):
        changed = tuple(hidden(item, kind) for item in value)
        return value if all(map(is_, changed, value)) else changed
    number = kind == _ALL and isinstance(value, (int, float)) and not isinstance(value, bool)
    return _HIDDEN if number and len(str(value)) > _KEPT_SHORT else value


def _hidden_below(value: Mapping[str, Value], kind: str) -> Value:
    """Replace the texts in a mapping: numbers there are times and counts."""
    kinds = value.get("type")
    schema = not _SCHEMA_KEYS.isdisjoint(value) or any(
        one in _SCHEMA_TYPES for one in (kinds if isinstance(kinds, (tuple, list)) else (kinds,))
    )
    changed = {
        key: item
        if isinstance(item, (int, float)) or (schema and key not in _SCHEMA_VALUES)
        else hidden(item, kind)
        for key, item in value.items()
    }
    return value if all(changed[key] is value[key] for key in changed) else changed


def _is_secret(value: str, kind: str) -> bool:
    if kind == UNJUDGED_NAME:  # of very many
        return DIGIT.match(value) is not None
    if kind == _ALL:
        return len(value) > _KEPT_SHORT
    return is_filed(value, kind)


def is_filed(value: str, kind: str) -> bool:
    """Return whether what is filed under a name looks like a secret.

    Args:
        value: A text.
        kind: What `filed_under` says of the name.
    """
    if kind == OTHER_KEY:
        return looks_random(value) and not HARMLESS.match(value.lower())
    return looks_filed(value, password=kind.startswith("p") or kind == _ALL)
