"""What secrets look like: one rule per kind, found by a literal first, then by its pattern.

A single alternation over all of them costs milliseconds per page of text in the standard
library's engine; a search for the few characters each kind must contain costs microseconds, and
the pattern then looks at those places alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final, TypeAlias

import attrs

Match: TypeAlias = "tuple[int, int, str]"
"""Begin, end and name of a secret in a text."""


@attrs.frozen
class Rule:
    """How to find one kind of secret.

    Args:
        name: What the replacement says.
        literals: Every secret of the kind contains one of these.
        pattern: The secret, in the syntax Python's ``re`` and RE2 share. A group named
            ``secret`` narrows down what is replaced.
        back: Characters before the literal at which the pattern may begin.
        folded: Whether the literals are lower case and stand for any case.
    """

    name: str
    literals: tuple[str, ...]
    pattern: str
    back: int = 0
    folded: bool = False
    compiled: re.Pattern[str] = attrs.field(
        init=False, default=attrs.Factory(lambda rule: _compiled(rule.pattern), takes_self=True)
    )


def _compiled(pattern: str) -> re.Pattern[str]:
    """Compile a pattern to match only where no other word goes on."""
    return re.compile(f"(?<![A-Za-z0-9])(?:{pattern})")


KEYWORDS: Final = (
    r"api[_\-]?key|secret(?:[_\-]?(?:access)?[_\-]?key)?|access[_\-]?token|auth[_\-]?token"
    r"|refresh[_\-]?token|session[_\-]?token|client[_\-]?secret|private[_\-]?key"
    r"|passw(?:or)?d|pwd|authorization"
)

RULES: Final = (
    Rule("anthropic", ("sk-ant-",), r"sk-ant-[A-Za-z0-9_\-]{20,}"),
    Rule(
        "openai",
        ("sk-",),
        r"sk-(?:proj|svcacct|admin|None)-[A-Za-z0-9_\-]{20,}|sk-or-v1-[0-9a-f]{64}"
        r"|sk-[A-Za-z0-9]{20}T3BlbkFJ[A-Za-z0-9]{20}|sk-[A-Za-z0-9]{32,}",
    ),
    Rule(
        "google",
        ("AIza", "ya29.", "GOCSPX-"),
        r"AIza[0-9A-Za-z_\-]{35}|ya29\.[0-9A-Za-z_\-]{20,}|GOCSPX-[0-9A-Za-z_\-]{28}",
    ),
    Rule(
        "aws",
        ("AKIA", "ASIA", "ABIA", "ACCA", "A3T", "ABSK", "bedrock-api-key-"),
        r"(?:A3T[A-Z0-9]|AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}|ABSK[A-Za-z0-9+/]{109,}={0,2}"
        r"|bedrock-api-key-[A-Za-z0-9+/=]{20,}",
    ),
    Rule("huggingface", ("hf_", "api_org_"), r"(?:hf|api_org)_[A-Za-z0-9]{34,}"),
    Rule("groq", ("gsk_",), r"gsk_[A-Za-z0-9]{40,}"),
    Rule("xai", ("xai-",), r"xai-[A-Za-z0-9]{60,}"),
    Rule("perplexity", ("pplx-",), r"pplx-[A-Za-z0-9]{40,}"),
    Rule("replicate", ("r8_",), r"r8_[A-Za-z0-9]{37,}"),
    Rule(
        "github",
        ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"),
        r"gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{82,}",
    ),
    Rule("gitlab", ("glpat-",), r"glpat-[A-Za-z0-9_\-]{20,}"),
    Rule("slack", ("xox",), r"xox[abposr]-[A-Za-z0-9\-]{10,}"),
    Rule("databricks", ("dapi",), r"dapi[0-9a-f]{32}"),
    Rule("langfuse", ("k-lf-",), r"(?:sk|pk)-lf-[0-9a-f\-]{36}", back=1),
    Rule("stripe", ("k_live_", "k_test_"), r"(?:sk|rk)_(?:live|test)_[A-Za-z0-9]{16,}", back=1),
    Rule("npm", ("npm_",), r"npm_[A-Za-z0-9]{36}"),
    Rule(
        "jwt",
        ("eyJ",),
        r"eyJ[A-Za-z0-9_\-]{10,}\.eyJ[A-Za-z0-9_\-]{10,}\.[A-Za-z0-9_\-]{10,}",
    ),
    Rule(
        "private key",
        ("PRIVATE KEY",),
        r"-----BEGIN [A-Z0-9 ]{0,20}PRIVATE KEY(?: BLOCK)?-----"
        r"(?:[^-]|-[^-]|--[^-]|---[^-]|----[^-])*(?:-----END [A-Z0-9 ]{0,20}PRIVATE KEY"
        r"(?: BLOCK)?-----)?",
        back=32,
    ),
    Rule(
        "bearer",
        ("bearer", "basic"),
        r"(?i:bearer|basic)[ \t]+(?P<secret>[A-Za-z0-9_\-\.=+/~]{16,})",
        folded=True,
    ),
    Rule(
        "url",
        ("://",),
        r"[A-Za-z][A-Za-z0-9+.\-]{1,15}://(?P<secret>[^\s/:@\"']{0,64}:[^\s/@\"']{1,128})@",
        back=16,
    ),
    Rule(
        "signed url",
        ("Signature=", "sig=", "Security-Token="),
        r"(?:Signature|sig|Security-Token)=(?P<secret>[A-Za-z0-9%+/_~.\-]{20,}={0,2})",
    ),
)

ASSIGNED: Final = "assigned"
"""The name of ``api_key=...`` and ``"password": "..."``, also inside JSON inside JSON."""
_ASSIGNED_LITERALS: Final = ("key", "secret", "token", "passw", "pwd", "authorization")
_ASSIGNMENT: Final = re.compile(
    r"(?P<name>[A-Za-z_\-]{1,24})(?:\\*[\"'])?[ \t]*[:=]>?[ \t]*(?:\\*[\"'])?"
    r"(?P<secret>[^\s\"',;}{&\\]{8,})"
)
_KEYWORD: Final = re.compile(rf"(?i:{KEYWORDS})$")
_KEYWORD_LENGTH: Final = 24


def may_match(text: str) -> bool:
    """Say whether it is worth while to look for secrets in a text: in most ids it is not.

    Args:
        text: The text.
    """
    return _NEEDED.search(text) is not None


def matches(text: str) -> Iterator[Match]:
    """Find secrets in a text by the rules, in no particular order; they may overlap.

    Args:
        text: The text.
    """
    for character, literals in _PLAIN:
        if character in text:
            for literal, rule in literals:
                if literal in text:
                    yield from _near(literal, rule, text, text)
    assigns = "=" in text or ":" in text
    if assigns or " " in text or "\t" in text:
        folded = _folded(text)
        for literal, rule in _FOLDED:
            if literal in folded:
                yield from _near(literal, rule, text, folded)
        if assigns:
            yield from _assignments(text, folded)


_RARE: Final = "=_-:KVJ3z29A"
"""Characters that prose has few of, the rarest first."""


def _by_character(rules: Iterable[Rule]) -> tuple[tuple[str, list[tuple[str, Rule]]], ...]:
    """Sort literals by a rare character of each: where that is not, none of them need be sought."""
    found: dict[str, list[tuple[str, Rule]]] = {}
    for rule in rules:
        for literal in rule.literals:
            rare = next((c for c in _RARE if c in literal), literal[0])
            found.setdefault(rare, []).append((literal, rule))
    return tuple(found.items())


_RARE_IN_IDS: Final = "_:.=KkXJTIigx"
"""Characters that ids, such as UUIDs behind a word, have few of, the rarest first."""


def _needed_characters() -> str:
    """Return characters of which every secret has one, or what stands before it.

    The two kinds that have no literal of their own always have a colon, an equals sign or a blank.
    """
    literals = [literal for rule in RULES if not rule.folded for literal in rule.literals]
    found = {next((c for c in _RARE_IN_IDS if c in lit), lit[0]) for lit in literals}
    return "".join(sorted({*found, *":= \t"}))


_NEEDED: Final = re.compile(f"[{re.escape(_needed_characters())}]")
_PLAIN: Final = _by_character(rule for rule in RULES if not rule.folded)
_FOLDED: Final = [(literal, r) for r in RULES if r.folded for literal in r.literals]


def _folded(text: str) -> str:
    """Return the text in lower case, every character at its place."""
    folded = text.lower()
    return folded if len(folded) == len(text) else text.replace("\u0130", "I").lower()


def _near(literal: str, rule: Rule, text: str, searched: str) -> Iterator[Match]:
    at = searched.find(literal)
    while at >= 0:
        found = _at(rule.compiled, text, at, rule.back)
        if found is not None:
            yield (*_span(found), rule.name)
            at = max(found.end() - 1, at)
        at = searched.find(literal, at + 1)


def _at(pattern: re.Pattern[str], text: str, at: int, back: int) -> re.Match[str] | None:
    for begin in range(at, max(-1, at - back - 1), -1):
        found = pattern.match(text, begin)
        if found is not None:
            return found
    return None


def _assignments(text: str, folded: str) -> Iterator[Match]:
    for literal in _ASSIGNED_LITERALS:
        at = folded.find(literal)
        while at >= 0:
            found = _ASSIGNMENT.match(text, at)
            if found is not None:
                name = text[max(0, at - _KEYWORD_LENGTH) : found.end("name")]
                if _KEYWORD.search(name):
                    yield (*found.span("secret"), ASSIGNED)
            at = folded.find(literal, at + len(literal))


def _span(found: re.Match[str]) -> tuple[int, int]:
    return found.span("secret") if "secret" in found.re.groupindex else found.span()
