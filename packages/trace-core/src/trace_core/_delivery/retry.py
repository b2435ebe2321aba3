"""When to repeat a failed write, and the search for the spans that a sink cannot take."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, TypeAlias

import attrs

from trace_core import _arguments as arguments
from trace_core._clock import monotonic
from trace_core._delivery.uninstrumented import uninstrumented
from trace_core._errors import Rejected, RetryLater, SinkError
from trace_core._failures import failure
from trace_core._log import counted, text_of
from trace_core._model.parts import SpanContext
from trace_core._model.span import Span

Write: TypeAlias = Callable[[Sequence[Span]], None]
Refusal: TypeAlias = "tuple[Span, str]"
"""A span that a sink will never accept, and why."""

_REFUSALS_NEEDED: Final = 2
_FAILURES_NEEDED: Final = 5
_CHANCE: Final = 1e-6
"""Below this probability, the failures of one span are not put down to chance."""
_FAILING_SECONDS: Final = 60.0
_SECONDS_BETWEEN_FAILURES: Final = 10.0
_OUTAGES_BEFORE_SEARCH: Final = 4
_SUSPECTS_ASKED: Final = 8
_SUSPECTS_KEPT: Final = 10_000


@attrs.frozen
class Retry:
    """How long to wait before a failed write is repeated.

    Args:
        first: Seconds before the first repetition.
        factor: How much longer each next wait is.
        longest: Seconds no wait exceeds, unless the sink itself asks for more.
        jitter: Share of each wait that is random, so that many processes do not retry at once.

    Raises:
        ConfigurationError: A number is out of its range: ``factor`` at least 1, ``jitter`` from 0
            to 1, the others at least 0.
    """

    first: float = 0.5
    factor: float = 2.0
    longest: float = 30.0
    jitter: float = 0.25

    def __attrs_post_init__(self) -> None:
        for name, least, most in (
            *(("first", 0, math.inf), ("factor", 1, math.inf), ("longest", 0, math.inf)),
            ("jitter", 0, 1),
        ):
            arguments.number(getattr(self, name), name, least, most)

    def wait(self, attempt: int, error: BaseException) -> float:
        """Return the seconds to wait after a failed attempt.

        Args:
            attempt: 0 for the first.
            error: What the sink raised; a `RetryLater` may ask for a longer wait, but not for a
                shorter one, by which many processes would ask all the time.
        """
        wait = min(self.longest, self.first * self.factor ** min(attempt, 32))
        wait *= 1 + self.jitter * (2 * random.random() - 1)  # noqa: S311  # not a secret
        after = error.after if isinstance(error, RetryLater) else None
        return after if after is not None and wait < after < math.inf else wait


@attrs.define
class Outcome:
    """What became of a batch.

    Args:
        delivered: The spans that the sink took.
        refused: The spans that it will never take, with the reason: dead letters.
        waiting: The spans to offer again later. If others were delivered, these should not hold
            up what comes after them.
        error: Why spans wait; ``None`` if none do.
    """

    delivered: list[Span] = attrs.field(factory=list)
    refused: list[Refusal] = attrs.field(factory=list)
    waiting: list[Span] = attrs.field(factory=list)
    error: BaseException | None = None


@attrs.define
class _Suspect:
    """A span that failed alone.

    Args:
        since: When it first did.
        offered: How many spans had been offered then.
        alone: How many of them had failed alone.
        taken: How many spans the sink had taken when it last did.
        failures: How often it did, with another span taken between one failure and the next.
        ask_at: When to offer it again.
    """

    since: float
    offered: int
    alone: int
    taken: int
    failures: int = 1
    ask_at: float = 0.0


class BatchWriter:
    """Writes batches to a sink. If one fails, finds the spans that the sink cannot take.

    A failed batch is halved until the spans that fail are alone. Such a span is refused for good
    only if the sink took other spans between its failures, and

    - the sink raised `Rejected` for this span alone twice, or named it in a `Rejected` of a batch
      whose other spans it took; or
    - the sink raised an exception it should not, neither an `OSError` nor a `SinkError`, at least
      5 times in at least 60 seconds: it has a bug with this span. It must be all but impossible
      that it failed so often by chance, by the share of other spans that failed alone meanwhile:
      a sink that is away four times in five raises for every span.

    Everything else is an outage, however long: the spans wait. Not thread-safe.

    Args:
        write: Writes a batch, as `Sink.write` does.
        clock: The time in seconds, for tests.
    """

    def __init__(self, write: Write, *, clock: Callable[[], float] = monotonic) -> None:
        self._write = write
        self._clock = clock
        self._suspects: dict[SpanContext, _Suspect] = {}
        self._taken = 0
        self._offered = 0
        self._alone = 0
        self._outages = 0

    def __repr__(self) -> str:
        return f"<BatchWriter: {counted(len(self._suspects), 'suspect')}>"

    def write(self, spans: Sequence[Span], *, urgent: bool = False) -> Outcome:
        """Write a batch. Never raises, not even what ends a thread.

        Args:
            spans: The batch.
            urgent: Whether to offer what failed alone though that was only seconds ago.
        """
        outcome = Outcome()
        if self._suspects:
            self._write_suspected(spans, outcome, urgent=urgent)
        elif spans:  # there are none in a batch that could not be read
            self._write_clean(spans, outcome)
        if outcome.delivered:
            self._outages = 0
        if not outcome.waiting:
            outcome.error = None
        return outcome

    def _write_suspected(self, spans: Sequence[Span], outcome: Outcome, *, urgent: bool) -> None:
        clean = [span for span in spans if span.context not in self._suspects]
        suspects = [span for span in spans if span.context in self._suspects]
        if clean:
            self._write_clean(clean, outcome)
        if outcome.delivered or not clean:
            self._ask_again(suspects, outcome, urgent=urgent)
        else:
            _wait(suspects, outcome.error, outcome)

    def failed_alone(self, spans: Sequence[Span]) -> bool:
        """Say whether all of these spans have failed alone, so that others may well be taken."""
        return all(span.context in self._suspects for span in spans)

    def _write_clean(self, spans: Sequence[Span], outcome: Outcome) -> None:
        error = self._attempt(spans, outcome)
        if error is None:
            self._offered += len(spans)
            return
        if is_outage(error):
            self._outages += 1
            if len(spans) == 1 or self._outages < _OUTAGES_BEFORE_SEARCH:
                _wait(spans, error, outcome)
                return
            self._outages = 0
        self._offered += len(spans)
        if len(spans) == 1:
            self._judge(spans[0], error, outcome)
            return
        alone: list[Span] = []
        _Search(self._attempt, partial(self._note_alone, alone), outcome).halve(spans, error)
        if outcome.delivered:
            self._ask_again(alone, outcome)
            return
        _wait(alone, outcome.error, outcome)
        if is_outage(error):
            for span in alone:
                self._suspects.pop(span.context, None)

    def _note_alone(self, alone: list[Span], span: Span) -> None:
        """Note that a search found a span to fail alone."""
        alone.append(span)
        self._suspect(span)
        if len(self._suspects) > _SUSPECTS_KEPT:
            del self._suspects[next(iter(self._suspects))]

    def _suspect(self, span: Span) -> _Suspect:
        found = _Suspect(self._clock(), self._offered, self._alone, self._taken)
        self._alone += 1
        self._suspects[span.context] = found
        return found

    def _ask_again(
        self, suspects: Sequence[Span], outcome: Outcome, *, urgent: bool = False
    ) -> None:
        """Offer suspects alone, a few at a time, until one fails by an outage."""
        now, asked = self._clock(), 0
        for number, span in enumerate(suspects):
            suspect = self._suspects.get(span.context)
            early = suspect is not None and suspect.ask_at > now and not urgent
            if early or asked == _SUSPECTS_ASKED:
                _wait((span,), outcome.error, outcome)
                continue
            asked += 1
            error = self._attempt((span,), outcome)
            if error is None:
                continue
            if is_outage(error):
                if suspect is not None:
                    suspect.ask_at = now + _SECONDS_BETWEEN_FAILURES
                _wait(suspects[number:], error, outcome)
                return
            self._judge(span, error, outcome)

    def _attempt(self, spans: Sequence[Span], outcome: Outcome) -> BaseException | None:
        """Write spans; note what the sink takes and what it refuses by name.

        Returns:
            The error, if all the spans failed.
        """
        try:
            with uninstrumented():
                self._write(spans)
        except Rejected as refusal:
            bad = {s.context for s in (spans if refusal.spans is None else refusal.spans)}
            good = [span for span in spans if span.context not in bad]
            if not good:
                return refusal
            why = text_of(refusal)
            outcome.refused += [(span, why) for span in spans if span.context in bad]
            self._note_taken(good, outcome)
            return None
        except failure() as error:
            return error
        self._note_taken(spans, outcome)
        return None

    def _note_taken(self, spans: Sequence[Span], outcome: Outcome) -> None:
        self._taken += len(spans)
        outcome.delivered += spans
        if self._suspects:
            for span in spans:
                self._suspects.pop(span.context, None)

    def _judge(self, span: Span, error: BaseException, outcome: Outcome) -> None:
        """Note that a span failed alone, and decide whether it is refused for good."""
        now = self._clock()
        suspect = self._suspects.get(span.context)
        if suspect is None:
            suspect = self._suspect(span)
        elif self._taken > suspect.taken:
            suspect.taken = self._taken
            suspect.failures += 1
        if not isinstance(error, Rejected):
            suspect.ask_at = now + _SECONDS_BETWEEN_FAILURES
        if self._is_refused(suspect, error, now):
            del self._suspects[span.context]
            outcome.refused.append((span, reason(error)))
        else:
            _wait((span,), error, outcome)

    def _is_refused(self, suspect: _Suspect, error: BaseException, now: float) -> bool:
        if isinstance(error, Rejected):
            return suspect.failures >= _REFUSALS_NEEDED
        if suspect.failures < _FAILURES_NEEDED or now - suspect.since < _FAILING_SECONDS:
            return False
        failed, offered = self._alone - suspect.alone, self._offered - suspect.offered
        return ((failed + 1) / (offered + 2)) ** suspect.failures < _CHANCE  # Laplace's estimate


class _Search:
    """Halves a failed batch until the spans that fail are alone.

    Gives up when many writes in a row have failed, which is an outage and not one bad span.
    """

    def __init__(
        self,
        attempt: Callable[[Sequence[Span], Outcome], BaseException | None],
        found: Callable[[Span], None],
        outcome: Outcome,
    ) -> None:
        self._attempt = attempt
        self._found = found
        self._outcome = outcome
        self._failures = 0
        self._longest_run = 0

    def halve(self, spans: Sequence[Span], error: BaseException) -> None:
        """Write the halves of a failed batch, the newer first: it is the likelier to be good.

        Args:
            spans: The batch, of at least two spans.
            error: Why it failed.
        """
        self._longest_run = self._longest_run or len(spans).bit_length() + 3
        middle = len(spans) // 2
        for half in (spans[middle:], spans[:middle]):
            self._write_half(half, error)

    def _write_half(self, half: Sequence[Span], error: BaseException) -> None:
        if self._failures > self._longest_run:
            _wait(half, error, self._outcome)
            return
        failure = self._attempt(half, self._outcome)
        if failure is None:
            self._failures = 0
            return
        self._failures += 1
        self._outcome.error = failure
        if len(half) == 1:
            self._found(half[0])
        else:
            self.halve(half, failure)


def _wait(spans: Sequence[Span], error: BaseException | None, outcome: Outcome) -> None:
    if spans:
        outcome.waiting += spans
        outcome.error = (
            error or outcome.error or SinkError("what failed alone is offered again later")
        )


def is_outage(error: BaseException) -> bool:
    """Say whether an error is about the way to the store, not about a span.

    Args:
        error: What the sink raised.
    """
    if isinstance(error, Rejected):
        return False
    return not isinstance(error, Exception) or isinstance(error, (OSError, SinkError))


def reason(error: BaseException) -> str:
    """Return why a span was refused, for people."""
    text = text_of(error)
    return text if isinstance(error, Rejected) else f"{type(error).__name__}: {text}"


def find_refused(spans: Sequence[Span], write: Write) -> list[Refusal]:
    """Write a batch, halving it as long as it is refused without being told for which spans.

    For a sink whose server refuses some spans of a batch and does not name them. A span is refused
    only by a request of which all spans were.

    Args:
        spans: The batch.
        write: Writes some of it; raises `Rejected` if repeating the same is no use, with the
            spans if it names them.

    Returns:
        The spans refused alone or by name, each with the reason; the others are written.

    Raises:
        Exception: What else ``write`` raises: the batch is to be repeated.
    """
    if not spans:
        return []
    try:
        write(spans)
    except Rejected as refusal:
        named = refusal.spans if len(spans) > 1 else spans
        if named is not None:
            return [(span, text_of(refusal)) for span in named]
        middle = len(spans) // 2
        return find_refused(spans[:middle], write) + find_refused(spans[middle:], write)
    return []
