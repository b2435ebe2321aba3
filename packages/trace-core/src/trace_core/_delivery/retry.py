"""How long to wait before a failed write is tried again."""

from __future__ import annotations

import random

import attrs

from trace_core._errors import RetryLater


@attrs.frozen
class Retry:
    """How long to wait before a failed write is tried again.

    Args:
        first: Seconds before the first repetition.
        factor: How much longer each next wait is.
        longest: Seconds no wait exceeds, unless the sink itself asks for more.
        jitter: Share of each wait that is random, so that many processes do not knock at once.
    """

    first: float = 0.5
    factor: float = 2.0
    longest: float = 30.0
    jitter: float = 0.25

    def wait(self, attempt: int, error: BaseException) -> float:
        """Return the seconds to wait after a failed attempt.

        Args:
            attempt: 0 for the first.
            error: What went wrong; a `RetryLater` may say how long to wait.
        """
        if isinstance(error, RetryLater) and error.after is not None:
            return max(0.0, error.after)
        wait = min(self.longest, self.first * self.factor ** min(attempt, 32))
        return wait * (1 + self.jitter * (2 * random.random() - 1))  # noqa: S311  # not a secret
