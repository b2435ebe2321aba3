"""What may be done to spans on their way: plain functions from a span to a span, or to nothing."""

from __future__ import annotations

import hashlib
import re
import string
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import attrs

from trace_core import semconv
from trace_core._errors import ConfigurationError
from trace_core._model.span import Event, Span, StatusCode
from trace_core._model.values import Value
from trace_core._processors.glance import NUMBERS, PLAIN_TYPES, ByRules, Rules
from trace_core._processors.redact import map_texts, replaced

_EMAIL: Final = re.compile(r"[A-Za-z0-9._%+\-]+@[A-Za-z0-9\-]+(?:\.[A-Za-z0-9\-]+)*\.[A-Za-z]{2,}")
_PHONE: Final = re.compile(
    r"(?<![\w.\-+])(?:\+\d{1,3}[ .\-]?(?:\(?\d{1,4}\)?[ .\-]?){2,4}\d{2,4}"
    r"|\(?\d{3}\)?[ .\-]\d{3}[ .\-]\d{4})(?![\w\-])"
)
_CARD: Final = re.compile(r"(?<![\w.\-])\d(?:[ \-]?\d){12,18}(?![\w\-])")


def redact_pii(
    *, email: bool = True, phone: bool = True, card: bool = True
) -> Callable[[Span], Span]:
    """Make a processor that replaces personal data in every text of a span.

    Args:
        email: Replace e-mail addresses.
        phone: Replace telephone numbers.
        card: Replace card numbers, by their checksum.

    Returns:
        A processor.
    """

    def clean(text: str) -> str:
        if email and "@" in text:
            text = _EMAIL.sub("[redacted:e-mail]", text)
        if card:
            text = _CARD.sub(_without_card, text)
        return _PHONE.sub("[redacted:phone]", text) if phone else text

    return _TextChange("redact_pii", clean)


class _TextChange(ByRules):
    """Applies a change to every text of a span."""

    def __init__(self, name: str, change: Callable[[str], str]) -> None:
        self.__name__ = name
        self._change = change
        self._rules = Rules(lambda text: change(text) is text)

    def rules(self) -> Rules:
        """Return the rules, which stay the same."""
        return self._rules

    def __call__(self, span: Span) -> Span:
        """Return the span with the texts changed."""
        return map_texts(span, self._change)


def _without_card(found: re.Match[str]) -> str:
    return "[redacted:card]" if _has_checksum(found.group()) else found.group()


def _has_checksum(number: str) -> bool:
    digits = [int(character) for character in number if character.isdigit()]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def sample(
    rate: float, *, keep_errors: bool = True, keep_slower_than: float | None = None
) -> Callable[[Span], Span | None]:
    """Make a processor that keeps a share of the traces, the same in every process.

    Whether a trace is kept follows from its id, so its spans stay together; errors and slow
    spans of the others are kept one by one.

    Args:
        rate: Share of the traces to keep, from 0 to 1.
        keep_errors: Keep every span that failed, or may yet: start records go through.
        keep_slower_than: Keep every span that took longer than these seconds.

    Returns:
        A processor.

    Raises:
        ConfigurationError: ``rate`` is not between 0 and 1.
    """
    if not 0 <= rate <= 1:
        raise ConfigurationError(f"a sample rate is between 0 and 1, not {rate!r}")
    limit = rate * 2**64

    def keep(span: Span) -> Span | None:
        if int(span.context.trace_id[16:], 16) < limit:
            return span
        if keep_errors and (span.status.code is StatusCode.ERROR or span.end_ns == 0):
            return span
        slow = keep_slower_than is not None and span.duration_ns > keep_slower_than * 1e9
        return span if slow else None

    return keep


def truncate(max_chars: int = 32_768) -> Callable[[Span], Span]:
    """Make a processor that shortens long texts.

    Args:
        max_chars: Characters kept of each text.

    Returns:
        A processor.

    Raises:
        ConfigurationError: ``max_chars`` is less than 1.
    """
    if max_chars < 1:
        raise ConfigurationError(f"max_chars must be at least 1, not {max_chars!r}")

    def shorten(text: str) -> str:
        if len(text) <= max_chars:
            return text
        return f"{text[:max_chars]}… ({len(text)} characters)"

    return _TextChange("truncate", shorten)


def drop_content() -> Callable[[Span], Span]:
    """Make a processor that keeps metadata alone: no prompts, no answers, no error texts.

    What stays: names, times, status, types of errors, model, parameters, usage, cost, tags.

    Returns:
        A processor.
    """
    return _without_what_was_said


def _without_what_was_said(span: Span) -> Span:
    return attrs.evolve(
        span,
        inputs=None,
        outputs=None,
        status=attrs.evolve(span.status, description=None),
        attributes=_metadata(span.attributes),
        events=tuple(Event(e.name, e.time_ns, _metadata(e.attributes)) for e in span.events),
    )


def _metadata(attributes: Mapping[str, Value]) -> Mapping[str, Value]:
    return {name: v for name, v in attributes.items() if name not in semconv.CONTENT_ATTRIBUTES}


_DATA_HEAD: Final = re.compile(r"data:([\w.+\-]+/[\w.+\-]+)?(?:;[\w=.\-]+)*;base64,")
_DATA_URI: Final = re.compile(_DATA_HEAD.pattern + r"[A-Za-z0-9+/=_\-]+")
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_\-\r\n]+={0,2}\s*")
_OF_BASE64: Final = f"{string.ascii_letters}{string.digits}+/_-".encode()
_SAMPLE: Final = 256


def limit_payloads(*, max_base64: int = 1_024, max_vector: int = 256) -> Callable[[Span], Span]:
    """Make a processor that replaces large binary payloads by what they are and their digest.

    That is: data URIs and base64 texts, and long lists of numbers such as embeddings.

    Args:
        max_base64: Characters of base64 that are kept.
        max_vector: Numbers in a list that are kept.

    Returns:
        A processor.
    """
    return _PayloadLimit(max_base64, max_vector)


class _PayloadLimit(ByRules):
    """Made by `limit_payloads`."""

    def __init__(self, max_base64: int, max_vector: int) -> None:
        self.__name__ = "limit_payloads"
        self._max_base64 = max_base64
        self._max_vector = max_vector
        self._rules = Rules(self._leaves, longest=max_vector)

    def rules(self) -> Rules:
        """Return the rules, which stay the same."""
        return self._rules

    def __call__(self, span: Span) -> Span:
        """Return the span with descriptions of payloads in their place."""
        return replaced(
            span,
            inputs=self.value(span.inputs),
            outputs=self.value(span.outputs),
            attributes=self.value(span.attributes),
        )

    def _leaves(self, text: str) -> bool:
        """Say whether a text stays as it is; without going through all of it, so no if in doubt."""
        if len(text) <= self._max_base64:
            return True
        return ";base64," not in text and not _BASE64.fullmatch(text[:_SAMPLE])

    def value(self, value: Value) -> Any:
        """Return the value, the very same if nothing in it is to be replaced."""
        if type(value) in PLAIN_TYPES:
            return value
        if isinstance(value, str):
            return self._text(value) if len(value) > self._max_base64 else value
        if isinstance(value, Mapping):
            changed = self._changes(value.items())
            return {**value, **changed} if changed else value
        if isinstance(value, (tuple, list)):
            return self._sequence(value)
        return value

    def _changes(self, items: Iterable[tuple[Any, Value]]) -> dict[Any, Value]:
        longest, changed = self._max_base64, {}
        for key, item in items:
            cls = type(item)
            if cls in PLAIN_TYPES or (cls is str and len(item) <= longest):  # type: ignore[arg-type]
                continue
            new = self.value(item)
            if new is not item:
                changed[key] = new
        return changed

    def _sequence(self, value: Sequence[Value]) -> Value:
        if len(value) > self._max_vector and NUMBERS.issuperset(map(type, value)):
            return _described("vector", repr(tuple(value)).encode(), length=len(value))
        changed = self._changes(enumerate(value))
        if not changed:
            return tuple(value)
        return tuple([changed.get(at, item) for at, item in enumerate(value)])

    def _text(self, text: str) -> Value:
        if ";base64," in text:
            return self._without_data_uris(text)
        if _BASE64.fullmatch(text[:_SAMPLE]):
            unpadded = text.rstrip().removesuffix("=").removesuffix("=")
            if _consists_of(_OF_BASE64 + b"\r\n", unpadded):
                return _described("base64", text.encode(), length=len(text))
        return text

    def _without_data_uris(self, text: str) -> Value:
        head = _DATA_HEAD.match(text)
        if head is not None and _consists_of(_OF_BASE64 + b"=", text[head.end() :]):
            return _described(head.group(1) or "data", text.encode(), length=len(text))
        return _DATA_URI.sub(self._short_uri, text)

    def _short_uri(self, found: re.Match[str]) -> str:
        if len(found.group()) <= self._max_base64:
            return found.group()
        digest = hashlib.sha256(found.group().encode()).hexdigest()
        return f"<{found.group(1) or 'data'}: {len(found.group())} characters, sha256 {digest}>"


def _consists_of(characters: bytes, text: str) -> bool:
    """Say whether a text has these characters alone: a third of the time an expression takes."""
    return text != "" and text.isascii() and not text.encode().translate(None, characters)


def _described(kind: str, data: bytes, *, length: int) -> Value:
    return {"kind": kind, "length": length, "sha256": hashlib.sha256(data).hexdigest()}
