"""Finds secrets in tables, of CSV or Markdown, whose header row has the name of a secret."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, TypeAlias

from trace_core._processors.assignments import ASSIGNED
from trace_core._processors.budget import Budget, Match, Place
from trace_core._processors.by_name import filed_under, has_part, is_filed
from trace_core._processors.names import OTHER_KEY

_Column: TypeAlias = "tuple[re.Pattern[str], str]"
"""How to find what is in a column of secrets, and their kind."""
_SIGNS: Final = ",;\t|"
"""What is between columns."""
_NAME: Final = r"[ \"]{0,16}[^\W\d][\w .\-]{0,63}(?![\w.\-])\"?"
_ROW_BEHIND: Final = r"(?=[^\n]{1,1200}\n[^\s\0])"
"""Most lines have no row behind them, which is told soonest."""
_REST: Final = "|".join(
    # Databases draw a line below.
    rf"({one}){_NAME}(?:{one}{_NAME}){{0,30}}\|?[ ]?\r?\n(?=[+\-]{{3}}|[^\s\0].*{one})"
    for one in map(re.escape, _SIGNS)
)
_HEADER: Final = rf"\|?{_NAME}{_ROW_BEHIND}(?:{_REST})"
_FIRST: Final = re.compile(_HEADER)
_NEXT: Final = re.compile(rf"\n{_HEADER}")
_TWO_LINES: Final = re.compile(r"\n(?<=[^\0\n]\n)[^\s\0]")
"""What every table has, and texts of a line each, searched as one, have not."""
_INSERT: Final = re.compile(
    r"into\s{1,8}[^\s();]{1,130}\s{0,8}\((?P<names>[^();]{1,1000})\)(?:\s|\\[nrt]){0,16}values"
)
_LAST_ROW: Final = re.compile(r"\)\s{0,16}(?=[^\s,)'\"])|\Z")
"""Where the rows end: behind one there is a comma."""
_IN_JSON: Final = (("\\n", " \n"), ("\\t", " \t"), (': "', ':\n"'), (':"', '\n"'))
"""What stands for the ends of lines and cells there, and as many characters of them."""
_FAR: Final = 1_000
"""Characters from where a header row begins to the first name of a secret in it."""
_KINDS: Final = {"token": OTHER_KEY}
"""Only what a machine made is a secret in a column of tokens: it may be of a model's."""
_MOST: Final = 4
"""Columns of secrets; each takes a search of its own."""


def in_tables(text: str, near: Sequence[Place]) -> Iterator[Match]:
    """Find secrets in a text by the header rows of tables.

    Args:
        text: The text.
        near: Where there are names that secrets have.

    Returns:
        Begin, end and kind of each.
    """
    if not any(map(text.__contains__, _SIGNS)):
        return
    if "\\" in text and "\\n" in text:
        text = _unescaped(text, near)
    if not _TWO_LINES.search(text):
        return
    at, headers, budgets = -1, Budget(share=0.5), [Budget() for _ in range(_MOST)]
    for begin, end in near:
        first = text.rfind("\n", max(0, begin - _FAR), begin)
        at = max(at, begin if first < 0 <= at else first)
        while (header := _next_header(text, at, end)) is not None:
            at = header.start() + 1
            if not headers.allows(*header.span()):
                at = headers.until - 1
                continue
            sign = next(filter(None, header.groups()))
            row = header.group().lstrip("\n")
            bar = row.startswith("|")
            columns = _columns(row[bar:].split(sign), functools.partial(_row, sign, bar))
            if columns:
                last = _end(sign).search(text, header.end())
                done = len(text) if last is None else last.end()
                yield from _in_rows(text, ((header.end() - 1, done),), columns, budgets)
                at = max(done, budgets[0].until) - 1
        at = max(at, 0)
    yield from (match for budget in (headers, *budgets) for match in budget.withheld)


def _next_header(text: str, at: int, end: int) -> re.Match[str] | None:
    """Return the next header row, behind a line break that is not before some place.

    Args:
        text: The text.
        at: The place; -1 if the text may begin with the row.
        end: Where the line break is at the latest.
    """
    if at < 0 and (header := _FIRST.match(text)):
        return header
    if header := _NEXT.search(text, at := max(at, 0), end):
        return header
    last = text.rfind("\n", at, end)  # what begins there, or on the line before, may go on behind
    for line in (text.rfind("\n", at, max(at, last)), last):
        if line >= 0 and (header := _NEXT.match(text, line)):
            return header
    return None


def _unescaped(text: str, near: Iterable[Place]) -> str:
    """Undo what JSON makes of tables, in lines that have a name: every character at its place."""
    parts, done = list[str](), 0
    for begin, end in near:
        if end > done:
            first = max(done, text.rfind("\n", done, begin))
            last = text.find("\n", end)
            last = len(text) if last < 0 else last
            part = text[first:last]
            if "\\n" in part:
                for written, meant in _IN_JSON:
                    part = part.replace(written, meant)
            parts += (text[done:first], part)
            done = last
    return "".join((*parts, text[done:]))


def in_inserts(text: str, folded: str) -> Iterator[Match]:
    """Find secrets in rows that SQL inserts into a table, by the names of its columns.

    Args:
        text: The text.
        folded: The same in lower case.

    Returns:
        Begin, end and kind of each.
    """
    budgets = [Budget() for _ in range(_MOST + 1)]
    for found in budgets[-1].candidates(_INSERT, folded, "names", is_one=_names_secret):
        end = next(_LAST_ROW.finditer(text, found.end())).end()
        names = re.sub(r"(?i)\bpass\b", "password", text[slice(*found.span("names"))])  # no test's
        columns = _columns(names.split(","), _inserted)
        yield from _in_rows(text, ((found.end(), end),), columns, budgets)
    yield from (match for budget in budgets for match in budget.withheld)


def _names_secret(insert: re.Match[str]) -> bool:
    return has_part(insert["names"])


def _columns(names: Iterable[str], row: Callable[[int], re.Pattern[str]]) -> list[_Column]:
    """Return how to find what is in the columns of secrets, and their kinds."""
    kinds = [filed_under(name.strip(' "`[]\r\n')) for name in names]
    found = [(at, _KINDS.get(kind, kind)) for at, kind in enumerate(kinds) if kind is not None]
    return [(row(column), kind) for column, kind in found[:_MOST]]


def _in_rows(
    text: str, rows: Sequence[Place], columns: Iterable[_Column], budgets: Iterable[Budget]
) -> Iterator[Match]:
    for (row, kind), budget in zip(columns, budgets, strict=False):
        for found in budget.candidates(row, text, "value", places=rows):
            value, begin = found["value"].rstrip(), found.start("value")
            if is_filed(value, kind):
                yield begin, begin + len(value), ASSIGNED


@functools.cache
def _end(sign: str) -> re.Pattern[str]:
    """Return a pattern for where a table ends: before a line with a single cell."""
    sign = re.escape(sign)
    return re.compile(rf"\n(?![+\-]{{3}})(?![^{sign}\n]*{sign})")


@functools.lru_cache(maxsize=128)
def _row(sign: str, bar: bool, column: int) -> re.Pattern[str]:
    """Return a pattern for a row with a digit in a column.

    Args:
        sign: What is between columns.
        bar: Whether there is one before the first column; then none is taken for what is behind it.
        column: Which.
    """
    sign = re.escape(sign)
    cell = rf'(?:"[^"\n]*"|[^{sign}"\n]*){sign}'
    digit = rf'(?![^{sign}"\n0-9]*(?:[{sign}"\n]|\Z))'  # most have none, which is told soonest
    first = r"(?:\||(?!\|))" if bar else r"\|?"
    begin = rf'\n{first}(?:{cell}){{{column}}}[ ]*(?![ ])(?:"|(?!"))'
    return re.compile(rf'{begin}(?P<value>{digit}[^{sign}"\r\n]{{6,}})')


@functools.lru_cache(maxsize=32)
def _inserted(column: int) -> re.Pattern[str]:
    """Return a pattern for a row of SQL with a digit in a column, in quotes."""
    cell = r"(?:[a-zA-Z]?'(?:[^'\\]|''|\\.)*'|\"[^\"]*\"|[^,()'\"]*(?:\([^()]*\)[^,()'\"]*)?),"
    value = r"N?(?P<quote>['\"])(?P<value>(?=[^'\"\n]*[0-9])[^'\"\r\n]{6,})(?P=quote)"
    return re.compile(rf"\((?:\s{{0,16}}{cell}){{{column}}}\s{{0,16}}{value}")
