"""The filters that all commands share: their options, and whether a span passes them."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from fnmatch import fnmatchcase
from typing import Final

import attrs

from trace_core import semconv
from trace_core._model.parts import StatusCode
from trace_core._model.span import Span
from trace_core._sources.base import Selection
from trace_core._view.messages import texts

_UNITS: Final = {
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "min": 60.0,
    "h": 3_600.0,
    "d": 86_400.0,
    "w": 604_800.0,
}
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)")
_CLOCK: Final = re.compile(r"\d{1,2}:\d{2}(:\d{2})?")
_DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
_MOMENTS: Final = (
    "a day (2026-11-28, today, yesterday), a moment (2026-11-28T09:30, 09:30) or how long ago "
    "(90s, 30m, 6h, 3d, 2w)"
)


def duration(text: str) -> float:
    """Read a duration, in seconds.

    Raises:
        argparse.ArgumentTypeError: It is none.
    """
    found = _DURATION.fullmatch(text.strip().lower())
    if found is None or (found[2] or "s") not in _UNITS:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration; wanted 500ms, 1.5s, 2m or 1h")
    return float(found[1]) * _UNITS[found[2] or "s"]


def amount(text: str) -> float:
    """Read an amount of money, in USD.

    Raises:
        argparse.ArgumentTypeError: It is none.
    """
    try:
        value = float(text.strip().removeprefix("$").replace(",", ""))
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no amount in USD; wanted 0.05 or $0.05")
    return value


def beginning(text: str) -> int:
    """Read a moment, in nanoseconds since the epoch; a day counts from its beginning.

    Raises:
        argparse.ArgumentTypeError: It is none.
    """
    return _nanoseconds(_day(text) or _moment(text))


def end(text: str) -> int:
    """Read a moment, in nanoseconds since the epoch; a day counts to its end.

    Raises:
        argparse.ArgumentTypeError: It is none.
    """
    whole = _day(text)
    return _nanoseconds(_moment(text) if whole is None else whole + timedelta(days=1))


def period(text: str) -> tuple[int, int]:
    """Read a day, or two with ``..`` between, as the moments when they begin and end.

    Raises:
        argparse.ArgumentTypeError: It is none.
    """
    first, _, last = text.partition("..")
    found = beginning(first), end(last or first)
    if found[0] >= found[1]:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no period; wanted a day, or two: 2026-11-01..2026-11-07"
        )
    return found


def pattern(text: str) -> re.Pattern[str]:
    """Read a regular expression, which ignores case.

    Raises:
        argparse.ArgumentTypeError: It is none.
    """
    try:
        return re.compile(text, re.IGNORECASE)
    except re.error as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no regular expression: {error}; escape it: {re.escape(text)!r}"
        ) from None


def _nanoseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1e6) * 1000


def _day(text: str) -> datetime | None:
    """Return the beginning of the day that a text names; ``None`` if it names none."""
    name = text.strip().lower()
    days = {"today": 0, "yesterday": 1}
    if name in days:
        return datetime.combine(date.today() - timedelta(days=days[name]), time())  # noqa: DTZ011
    if _DAY.fullmatch(name) is None:
        return None
    try:
        return datetime.combine(date.fromisoformat(name), time())
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no day: {error}") from None


def _moment(text: str) -> datetime:
    name = text.strip()
    try:
        if _CLOCK.fullmatch(name):
            return datetime.combine(date.today(), time.fromisoformat(name.zfill(5)))  # noqa: DTZ011
        if "-" in name:  # Python 3.10 does not know the Z
            return datetime.fromisoformat(name.replace("Z", "+00:00"))
        age = duration(name.removesuffix(" ago") if not name.isdigit() else "")
        return datetime.now() - timedelta(seconds=age)  # noqa: DTZ005
    except (ValueError, OverflowError, argparse.ArgumentTypeError):
        raise argparse.ArgumentTypeError(f"{text!r} is no moment; wanted {_MOMENTS}") from None


@attrs.frozen
class Filter:
    """What a span must be to be shown or counted.

    Args:
        selection: When it started, and in which trace.
        models: The model that was asked for or that answered is one of these; ``*`` stands for
            anything, and what is before a ``/`` may be left out.
        errors: It failed.
        session: Its session.
        user: Its user.
        slower_than: It took longer, in seconds.
        dearer_than: It cost more, in USD.
        grep: What was said in it, its name or its error has this.
    """

    selection: Selection
    models: tuple[str, ...] = ()
    errors: bool = False
    session: str | None = None
    user: str | None = None
    slower_than: float | None = None
    dearer_than: float | None = None
    grep: re.Pattern[str] | None = None

    def accepts(self, span: Span) -> bool:
        """Tell whether a span passes; when it started is the selection's to say."""
        told = span.attributes
        cost = span.cost.total if span.cost is not None else None
        return (
            (not self.errors or span.status.code is StatusCode.ERROR)
            and (not self.models or _is_model(self.models, span))
            and (self.session is None or str(told.get(semconv.SESSION_ID)) == self.session)
            and (self.user is None or str(told.get(semconv.USER_ID)) == self.user)
            and (self.slower_than is None or span.duration_ns > self.slower_than * 1e9)
            and (self.dearer_than is None or (cost or 0.0) > self.dearer_than)
            and (self.grep is None or _says(span, self.grep))
        )


def _is_model(wanted: Sequence[str], span: Span) -> bool:
    names = (semconv.REQUEST_MODEL, semconv.RESPONSE_MODEL)
    models = {str(span.attributes[name]) for name in names if name in span.attributes}
    models |= {model.rpartition("/")[2] for model in models}
    return any(fnmatchcase(model, one) for model in models for one in wanted)


def _says(span: Span, searched: re.Pattern[str]) -> bool:
    told = (span.name, span.status.description or "", span.inputs, span.outputs)
    return any(searched.search(text) for value in told for text in texts(value))


def add_filters(parser: argparse.ArgumentParser) -> None:
    """Add the options.

    Args:
        parser: The command's.
    """
    group = parser.add_argument_group("filters", "A span has to match all that are given.")
    about = "of this model; * stands for anything; may be given several times"
    group.add_argument("--model", metavar="NAME", action="append", default=[], help=about)
    group.add_argument("--since", metavar="WHEN", type=beginning, help=f"from then on: {_MOMENTS}")
    group.add_argument("--until", metavar="WHEN", type=end, help="until then; a day counts whole")
    group.add_argument("--errors", action="store_true", help="those that failed")
    group.add_argument("--session", metavar="ID", help="of this session")
    group.add_argument("--user", metavar="ID", help="of this user")
    about = "that took longer: 500ms, 2s, 1m"
    group.add_argument("--slower-than", metavar="TIME", type=duration, help=about)
    group.add_argument("--dearer-than", metavar="USD", type=amount, help="that cost more: 0.05")
    about = "whose name, messages or error have this; case is ignored"
    group.add_argument("--grep", metavar="REGEX", type=pattern, help=about)


def filter_of(options: argparse.Namespace) -> Filter:
    """Return what the options say.

    Args:
        options: The command's.
    """
    trace = (getattr(options, "trace", None) or "").removeprefix("tr-").lower()
    return Filter(
        selection=Selection(options.since, options.until, trace),
        models=tuple(options.model),
        errors=options.errors,
        session=options.session,
        user=options.user,
        slower_than=options.slower_than,
        dearer_than=options.dearer_than,
        grep=options.grep,
    )
