"""The processor that removes secrets from spans before they reach a disk or a network."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias

from trace_core._errors import ConfigurationError
from trace_core._model.span import Span
from trace_core._processors.clean import Cleaner
from trace_core._processors.secrets import environment_secrets, remembered_secrets
from trace_core._processors.walk import Walk

Known: TypeAlias = "Iterable[str] | Callable[[], Iterable[str]]"


def redact(
    *, known: Known = (), patterns: Mapping[str, str] | None = None, environment: bool = True
) -> Callable[[Span], Span]:
    """Make a processor that replaces secrets in spans by ``[redacted:KIND]``.

    It looks at every text of a span, keys of mappings included: names and values of inputs,
    outputs and attributes, events, error texts. It removes provider keys, bearer tokens, JSON web
    tokens, private keys, cookies, credentials and signatures in URLs and connection strings,
    assignments like ``password=...``, passwords and keys that a sentence, a command, a statement or
    a list of names and values tells, columns of CSV, SQL and databases' answers, manifests of
    Kubernetes, everything under a key such as ``api_key`` or ``authorization``, what looks like a
    secret under one such as ``hf_token``, and the exact values that are known: of environment
    variables named like secrets, of `remember_secret`, and of ``known``. A secret that a name tells
    in one text is removed wherever the span repeats it.

    Args:
        known: More secrets, or a function that returns them, called for every span.
        patterns: More kinds of secrets: what to call each, and a regular expression.
        environment: Whether to look for secrets in the environment.

    Returns:
        A processor.

    Raises:
        ConfigurationError: ``known`` is a text, or holds something else than texts; a pattern is
            none.
    """
    return Redactor(known, patterns or {}, environment=environment)


class Redactor:
    """Made by `redact`."""

    def __init__(self, known: Known, patterns: Mapping[str, str], *, environment: bool) -> None:
        self.__name__ = "redact"
        self._known = known if callable(known) else None
        self._told = () if callable(known) else tuple(_texts(known))
        self._environment = environment
        if not isinstance(patterns, Mapping):
            raise ConfigurationError(f"patterns is a mapping by name, got {patterns!r:.60}")
        self._patterns = {name: _compiled(name, pattern) for name, pattern in patterns.items()}
        self._current: tuple[tuple[Iterable[str], ...], Walk] | None = None

    def __repr__(self) -> str:
        return "<redact()>"  # what it knows are secrets

    def __call__(self, span: Span) -> Span:
        """Return the span without secrets; the same one if there are none."""
        return self._walk().span(span)

    def _walk(self) -> Walk:
        """Return what removes the secrets known now; a new one once more are known."""
        told = (
            self._told if self._known is None else frozenset(self._known()),
            environment_secrets() if self._environment else (),
            remembered_secrets(),
        )
        current = self._current
        if current is None or current[0] != told:
            known = [secret for some in told for secret in some]
            cleaner = Cleaner(known, self._patterns)
            current = self._current = (told, Walk(cleaner.change, by_name=True))
        return current[1]


def _texts(known: Iterable[str]) -> Iterable[str]:
    if isinstance(known, (str, bytes)):
        raise ConfigurationError("known is a list of secrets, got a single one: known=[...]")
    found = list(known)
    if not all(isinstance(one, str) for one in found):
        kinds = ", ".join(sorted({type(one).__name__ for one in found}))
        raise ConfigurationError(f"known is a list of texts, got {kinds}")
    return found


def _compiled(name: str, pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except (re.error, TypeError) as error:
        raise ConfigurationError(
            f"the pattern {name!r} is not a valid regular expression: {error}"
        ) from error
