"""Finds secrets by what stands before them where no sign of an assignment does.

``My password is ...``, ``Incorrect API key provided: ...``, pairs and lists of names and values,
YAML blocks, commands, SQL, other languages. Only words with a digit are looked at, and few
characters before each: prose has few such words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import attrs

from trace_core._processors.assignments import (
    ASSIGNED,
    NAME_BEFORE,
    SETTINGS,
    TRAILING,
    is_whole,
    names_other,
)
from trace_core._processors.budget import UNJUDGED, Budget, Covered, Match, Place
from trace_core._processors.leads import (
    BEFORE,
    JOINED,
    LONGEST_JOINED,
    OF_WORDS,
    SAID,
    Leads,
)
from trace_core._processors.names import OTHER_KEY, key_word
from trace_core._processors.near import ALL_HINTS, BY, HINTS, KEYS, PASSWORDS, start_of
from trace_core._processors.values import (
    CODE,
    HARMLESS,
    LETTER,
    LONGEST_JUDGED,
    UUID,
    looks_chosen,
    looks_paired,
    looks_random,
)

_QUOTE: Final = r"(?:\\*[\"'`]|\*\*)"
_NAME: Final = (
    rf"(?P<password>{'|'.join(PASSWORDS)}|{BY}(?:[ ]with[ ]\S{{1,40}})?[ ]by(?:[ ]password)?)"
    rf"|(?P<key>{'|'.join(KEYS)})"
)
_OTHERS: Final = (
    rf"(?:(?P<other>{_QUOTE}?)[a-z_]{{2,16}}(?P=other)[ \t]{{0,16}}[:=][ \t]{{0,4}}"
    rf"{_QUOTE}?[\w \-.]{{1,40}}{_QUOTE}?(?:\s|,|\\+[nrt]){{1,16}}){{0,2}}"
)
"""What may be said of it between a name and its value: ``"type": "string"``."""
_AFTER_NAME: Final = re.compile(
    rf"(?:{_NAME})(?P<many>s?)(?:[_\-]?(?:value|string|str)|_(?:prod|dev|live)|_?\d{{1,2}})?(?:"
    # "x-api-key", "...": a pair
    rf"(?P<pair>(?:{_QUOTE}?\])?{_QUOTE}[ \t]{{0,4}},\s{{0,16}}(?=b?{_QUOTE}))"
    # name: X_KEY, and on the next line value: ...
    rf"|(?P<value>(?:[ ](?:input|text|field|box)){{0,3}}{_QUOTE}?"
    rf"(?:\s|[\"'\],:{{\-]|\\+[nrt]){{1,48}}{_OTHERS}{_QUOTE}?"
    rf"(?:value|default|example|text){_QUOTE}?[ \t]{{0,16}}[:=][ \t]{{0,4}})"
    # ["X_KEY"] = ..., KEY: |, and a line break; 密码:...; <entry key="password">
    rf"|(?P<sign>{_QUOTE}?\]?[ \t]{{0,16}}"
    r"(?:=>|[:?.+|]{1,3}=(?!=)|[:=\uff1a](?!=)|[=!]={1,2}|\|\||\?\?|[是为為は는은]|(?<=[\"'])>"
    r"|\)[ ]or(?=[ ])|</(?:t[dh]|dt)>\s{0,16}<[td]d>"
    r"|(?<=[ ])(?:->|[\|\u2013\u2014\u2192\-](?=[ ])))"
    r"(?:\*\*|</?[a-z]{1,6}>)?[ \t]{0,16}(?:<[a-z]{1,6}>)?"
    r"\[?(?:(?:[|>][+\-]?[ \t]{0,4})?(?:\r?\n|\\+n){1,2}[ \t]{0,32})?)"
    # for the database is: ...
    r"|(?P<of>(?:(?:[ ](?:for|to|of|für|de|di|pour|para)[ ]|[ ]d')[^\n:=\"']{1,40}?)?)"
    rf"(?P<said>(?:'s|[ ](?:{'|'.join(SAID)})|[ ]?:){{0,4}})(?P<to>[ ](?:to|auf)(?=[ ]))?"
    rf"(?:[ \t]{{1,16}}\(?|\((?={_QUOTE}))"
    rf")[bfnr]?(?P<quote>{_QUOTE}{{1,2}})?\Z"
)
_BLOCK: Final = re.compile(r"[|>][+\-]?[ \t]{0,4}\r?\n")
"""What a text of several lines begins with in YAML."""
_SETTER: Final = re.compile(
    r"(?:^|[\s;&|(\"'])(?:env|arg|setenv|setx|set(?:[ ]-[a-z]{1,3}){1,2}|config[ ]set)"
    r"[ \t]{1,8}(?:--secret )?[a-z0-9_.\-]{0,64}\Z"
)
_USER: Final = re.compile(
    r"[ ](?:-u|--user|--proxy-user|--auth|--creds?)[ =]{0,2}[\"']?(?P<user>[^\s:\"']{0,64}:)?\Z"
    r"|[ ]-a[ ][\"']?(?P<login>[^\s:\"']{1,64}:)\Z"
)
_COMMAND: Final = re.compile(
    r"(?:(?:mysql|mariadb)[a-z_\-]{0,12}[ ](?:[^\n|;]{0,120}[ ])?-p"
    r"|(?:sshpass|twine|useradd|mongo[a-z]{0,8}|cypher-shell|sqlcmd|cqlsh|7z"
    r"|(?:docker|podman|registry|az)[ ]login)[ ](?:[^\n|;]{0,120}[ ])?-p[ ]?"
    r"|redis-cli[ ](?:[^\n|;]{0,120}[ ])?-a[ ]?"
    r"|ldap[a-z]{2,8}[ ](?:[^\n|;]{0,120}[ ])?-w[ ]?)[\"']?\Z"
)
_FLAG: Final = re.compile(r"[ ]-[paw][ ]?[\"']?\Z")
_REST: Final = re.compile(r"[^\s\"'`,;}{&\\<>\uff0c\u3002\uff1b\u3001\uff09\u3011\u300d]*")
"""Characters of a value; the last of these are punctuation of Chinese and Japanese."""
_QUOTES: Final = ("'", '"', "`", "\\")
_LISTED: Final = re.compile(rf"[\"'\s]{{0,8}},[\"'\s]{{0,16}}(?=[{re.escape(OF_WORDS)}]{{12}})")
"""Between two secrets of a list."""
_HYPHENATED: Final = re.compile(r".*[\-/.]")
_MAIL: Final = re.compile(r"@[\w\-]+\.[\w.\-]+$")
_SIGNATURE: Final = 32
"""Characters of a signature, at least."""
_BARE: Final = 16
"""Characters of a secret that stands directly behind its name, at least."""


@attrs.frozen
class _Word:
    """A word that may be a secret.

    Args:
        text: The word, with what belongs to it.
        before: Some text before it, in lower case.
        cased: The same in its own case.
    """

    text: str
    before: str
    cased: str


def in_context(
    text: str, folded: str, low: bytes, near: Sequence[Place], known: Sequence[Match]
) -> Iterator[Match]:
    """Find secrets by what stands before them.

    Args:
        text: The text.
        folded: The same in lower case.
        low: The same, a byte for each character.
        near: Where there are names that secrets have.
        known: What is known to be a secret already.

    Returns:
        Begin, end and kind of each.
    """
    found = list(_led(text, folded, low, near, known))
    yield from found
    yield from _listed(text, sorted({end for _, end, _ in (*known, *found)}))


def _led(
    text: str, folded: str, low: bytes, near: Sequence[Place], known: Sequence[Match]
) -> Iterator[Match]:
    """Find secrets that a name, a sentence or a command leads to."""
    done, covered = 0, Covered(known)
    share = 0.75 if folded.isascii() else 0.5  # names of other scripts are many
    if any(kind == UNJUDGED for *_, kind in known):  # it has taken long already
        share /= 2
    budget = Budget(share)
    leads = Leads(folded, low, budget)
    for piece in leads.pieces(near):
        for first, last in leads.words(piece):
            begin = _begin(text, first, last) if last > budget.until else None
            if begin is None or begin < done:
                continue
            done = max(done, covered.end(first))
            if first < done or not budget.allows(begin, last):
                continue
            before = folded[max(0, begin - BEFORE) : begin]
            word = text[begin : _stop(text, last, last + LONGEST_JUDGED)]
            skipped = _skipped(_Word(word, before, text[begin - len(before) : begin]))
            if skipped is not None:
                done = _stop(text, last, len(text))
                yield begin + skipped, done, ASSIGNED
    yield from budget.withheld


def _begin(text: str, begin: int, end: int) -> int | None:
    """Return where a word begins with the punctuation that belongs to it; none has no letter."""
    if text[begin] in "._-" or text[begin - 1] in "\\%":
        begin = start_of(text, begin, end)
        if not LETTER.search(text, begin, end):
            return None
    return _leftmost(text, begin) if text[begin - 1 : begin] in JOINED else begin


def _listed(text: str, ends: Iterable[int]) -> Iterator[Match]:
    """Find secrets in a list behind others."""
    done, budget = 0, Budget(share=0.5)
    for end in ends:
        done = max(done, end)
        while between := _LISTED.match(text, done):
            begin = between.end()
            last = _stop(text, begin, begin + LONGEST_JUDGED)
            if not (budget.allows(begin, last) and looks_random(text[begin:last])):
                break
            done = _stop(text, last, len(text))
            yield begin, done, ASSIGNED
    yield from budget.withheld


def _leftmost(text: str, begin: int) -> int:
    """Return where a word begins with the punctuation that belongs to it: ``p@ss-w0rd``."""
    if text[begin - 3 : begin] == "://":
        return begin
    first = max(0, begin - LONGEST_JOINED)
    return first + len(text[first:begin].rstrip(OF_WORDS))


def _stop(text: str, end: int, most: int) -> int:
    """Return where a word ends with the punctuation that belongs to it."""
    found = _REST.match(text, end, most)
    stop = end if found is None else found.end()
    if text[stop : stop + 1] in _QUOTES:
        return stop
    while stop > 0 and text[stop - 1] in TRAILING:
        stop -= 1
    return stop


def _skipped(word: _Word) -> int | None:
    """Return how much of a word is no secret, a flag such as ``-p``; ``None`` if all of it."""
    before, text = word.before, word.text
    if "-" not in before:
        return 0 if _is_named(word) else None
    if before.endswith("-") and _of_command(before + text[:1].lower(), text[1:]):
        return 1
    if _of_command(before, text) or _of_user(before, text):
        return 0
    return 0 if _is_named(word) else None


def _of_command(before: str, word: str) -> bool:
    """Return whether a word is the password that a command is given."""
    return (
        _FLAG.search(before) is not None
        and _COMMAND.search(before) is not None
        and _is_chosen("password", word, quoted=False)
    )


def _of_user(before: str, word: str) -> bool:
    """Return whether a word is the password of ``curl -u user:password``."""
    found = _USER.search(before)
    if found is None:
        return False
    return looks_random(word) if found.lastgroup is None else _is_chosen("password", word)


def _is_chosen(kind: str, word: str, *, quoted: bool = False, joined: bool = True) -> bool:
    return looks_chosen(kind, word.lower(), quoted, joined, False)


def _is_named(word: _Word) -> bool:
    """Return whether a word is a secret by a name before it."""
    # After a word and a blank, only what is no name of a product counts.
    last = word.before.rstrip(" \"'`(*")[-1:]
    odd = looks_random(word.text) or UUID.match(word.text) is not None
    if last.isalpha() and _HYPHENATED.match(word.text) and not odd:
        return False
    for hint in HINTS if word.before.isascii() else ALL_HINTS:
        at = word.before.rfind(hint)
        if at >= 0:
            found = _AFTER_NAME.match(word.before, at)
            if found is not None and _means(word, found):
                return True
    return False


def _means(word: _Word, found: re.Match[str]) -> bool:
    """Return whether a name and what stands between it and a word make the word a secret."""
    at = found.start()
    before = word.cased[max(0, at - NAME_BEFORE) : at]
    if found["key"] == "signature":
        long = len(word.text) >= _SIGNATURE and found["sign"] == "="
        return long and before.endswith((",", " ")) and looks_random(word.text)
    if HARMLESS.match(word.text.lower()):
        return False
    if found["key"] == "key" and key_word(before.lower()) == OTHER_KEY:
        return looks_random(word.text) and not CODE.match(word.text)
    name = found["password"] or found["key"]
    if names_other(name, word.text, before) or (name == "passe" and found["many"]):
        return False
    return is_whole(name, before, word.cased[at]) and _is_given(word, found)


def _is_given(word: _Word, found: re.Match[str]) -> bool:
    """Return whether a word is the value of a name, by what stands between them."""
    if found["pair"] is not None or found["key"] == "clave":  # which is also one to music
        return looks_paired(word.text) or UUID.match(word.text) is not None
    kind = "password" if found["key"] is None else found["key"]
    quoted = found["quote"] is not None
    sign = found["sign"] or found["value"]
    if sign is None:
        return _is_told(word, found, kind, quoted=quoted)
    if sign.strip() in ("|", "-") and kind != "password":  # a column or a list of names
        return looks_random(word.text)
    if "\n" in sign and (sign.endswith("\n") or not (found["value"] or _BLOCK.search(sign))):
        return looks_random(word.text)
    if found["many"] or "[" in sign:  # of names, or of counts
        return looks_paired(word.text)
    joined = quoted or "=" in sign or found["value"] is not None
    return _is_chosen(kind, word.text, quoted=quoted, joined=joined)


def _is_told(word: _Word, found: re.Match[str], kind: str, *, quoted: bool) -> bool:
    """Return whether a sentence, a statement or a command gives a secret away."""
    said = found["said"] or ""
    chosen = _is_chosen(kind, word.text, quoted=quoted)
    if said.endswith(":"):
        return chosen
    if said:
        told = kind == "password" and chosen and not _HYPHENATED.match(word.text)
        return told or looks_random(word.text) or UUID.match(word.text) is not None
    before, password = word.before[: found.start()], found["password"]
    if found["of"] or (password == "pass" and not before.endswith(SETTINGS)):  # noqa: S105
        return False  # "pass 'x=1' to it"; but requirepass is a setting of Redis
    is_set = _SETTER.search(before) is not None
    if password is None:
        long = len(word.text) >= _BARE and looks_random(word.text)
        return found["to"] is None and (long or (chosen and is_set))
    if quoted or password.startswith(BY) or before.endswith("require") or is_set:
        return chosen
    return _MAIL.search(word.text) is None and looks_paired(word.text)
