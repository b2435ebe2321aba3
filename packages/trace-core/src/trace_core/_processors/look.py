"""Collects the texts and containers of a span at once, for processors that mostly only look."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Container, Iterable, Mapping, Sequence
from itertools import chain, compress, count, filterfalse, islice
from types import NoneType
from typing import Any, Final, NamedTuple

from trace_core._model.span import Span
from trace_core._processors.names import MOST_LISTED, VALUES

PLAIN_TYPES: Final = frozenset({bool, int, float, NoneType})
"""Types of values that hold no text."""
_MOST_CONTAINERS: Final = 1_000_000
"""To look at; a span with more has a container that contains itself, or nearly."""
LONG: Final = 1_000
"""Characters."""
_KEPT: Final = 1_000
"""Texts of a span that is kept from one processor to the next; it has no very long ones."""
_SEEN: Final = 2_048
_STEP: Final = 16
"""Containers that are told from others."""
_WORTH_IT: Final = 1_000
"""Containers among which those that hold something are told from others, ..."""
_FEW: Final = 64
"""... unless there is something for every 64 of them."""
LONGEST_SEEN: Final = 4_096
"""Characters; to keep longer texts would take too much memory."""


class Look(NamedTuple):
    """What a span holds, in no particular order.

    Args:
        texts: All texts, keys of mappings included.
        long: Texts in values that have more than `LONG` characters.
        containers: All containers, in the order of `look_into`.
        ends: For each 16 of them, how many texts were found by then, and how many containers.
    """

    texts: list[str]
    long: list[str]
    containers: list[Any]
    ends: tuple[list[int], list[int]]

    def around(self, texts: Sequence[str], *some: Container[str]) -> set[int] | None:
        """Return the ids of the containers that hold some texts, directly or not, and of some more.

        Args:
            texts: The texts of the span, or what became of them.
            *some: Those that are sought.

        Returns:
            The ids; ``None`` if most containers may hold one.
        """
        if len(self.containers) < _WORTH_IT:
            return None
        places = [at for one in some for at in compress(count(), map(one.__contains__, texts))]
        if len(places) > len(self.containers) // _FEW:
            return None
        of_texts, of_containers = self.ends
        found = set[int]()
        todo = [bisect_right(of_texts, place) for place in places]
        for step in todo:  # grows meanwhile
            if step not in found:
                found.add(step)
                first, last = step * _STEP, min(step * _STEP + _STEP, len(self.containers)) - 1
                # Where the containers were found that hold these.
                todo += range(
                    bisect_right(of_containers, first), bisect_right(of_containers, last) + 1
                )
        every = self.containers
        return {id(one) for step in found for one in every[step * _STEP : (step + 1) * _STEP]}

    def names(self) -> dict[str, None]:
        """Return the texts that may stand where names do: keys, and what lists begin with."""
        some = (one if type(one) is dict else one[:MOST_LISTED] for one in self.containers)
        names = dict.fromkeys(one for one in chain(*some) if isinstance(one, str))
        # Beside a value there is its name.
        return names if names.keys().isdisjoint(VALUES) else dict.fromkeys(self.texts)


_last: tuple[Span, Look] | None = None


def look_at(span: Span) -> Look:
    """Collect what a span holds, but for its resource, which is mostly that of the span before.

    Args:
        span: The span.
    """
    global _last  # noqa: PLW0603  # the next processor looks at the same span
    last = _last
    if last is not None and last[0] is span:
        return last[1]
    root: list[Any] = [span.name, span.status.description, span.inputs, span.outputs]
    root.append(span.attributes)
    for event in span.events:
        root += (event.name, event.attributes)
    found = look_into(root)
    if len(found.texts) <= _KEPT and max(map(len, found.long), default=0) <= LONGEST_SEEN:
        _last = (span, found)
    return found


def look_into(values: Iterable[Any]) -> Look:
    """Collect what some values hold.

    Args:
        values: The values.

    Raises:
        ValueError: One of them contains itself, or too much.
    """
    found = Look([], [], [values], ([], []))
    texts, long, todo, (of_texts, of_containers) = found
    rest = iter(todo)  # which grows meanwhile
    while len(of_texts) * _STEP < len(todo):
        for items in islice(rest, _STEP):
            if type(items) is dict:
                texts += items
            # Views of so many mappings are not kept: their number would set off collections.
            for item in items.values() if type(items) is dict else items:
                if (kind := type(item)) is str:
                    texts.append(item)
                    if len(item) > LONG:
                        long.append(item)
                elif kind is dict or kind is tuple or kind is list:
                    todo.append(item)
                elif kind not in PLAIN_TYPES:
                    _look_at_other(item, found)
        of_texts.append(len(texts))
        of_containers.append(len(todo))
        if len(todo) > _MOST_CONTAINERS:
            raise ValueError("a value of the span contains itself, or a million others")
    return found


def _look_at_other(item: Any, found: Look) -> None:
    """Look at a value of a type that `snapshot` does not make."""
    if isinstance(item, str):
        found.containers.append((str.__str__(item),))
    elif isinstance(item, Mapping):
        found.containers.append({**item})
    elif isinstance(item, (tuple, list)):
        found.containers.append(item)


class Seen:
    """The short texts that a processor has seen and left as they were; the newest few thousand.

    Names, models and system prompts come again with every call. May be used on any thread.
    """

    def __init__(self) -> None:
        self._texts: set[str] = set()

    def new(self, texts: Iterable[str]) -> dict[str, None]:
        """Return those of some texts that were not seen, each once and in order.

        To go through many in the order of their hashes takes thrice as long: they lie anywhere.

        Args:
            texts: The texts.
        """
        return dict.fromkeys(filterfalse(self._texts.__contains__, texts))

    def add(self, texts: Iterable[str]) -> None:
        """Note texts that were left as they were.

        Args:
            texts: The texts.
        """
        if len(self._texts) > _SEEN:
            self._texts = set()  # not cleared: another thread may be reading it
        self._texts.update([text for text in texts if len(text) <= LONGEST_SEEN])
