"""What images, audio and searches cost at the user's own prices, where LiteLLM reports no cost.

It takes such prices with a call, and computes with them only those of a Router's deployments.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

import attrs

from trace_core import SpanKind, Value
from trace_litellm._reading.tokens import as_amount

AUDIO_SECONDS: Final = "audio_transcription_duration"
"""The hidden parameter with the length of the audio that was transcribed."""


@attrs.frozen
class Units:
    """What there is to count in a call and its answer.

    Args:
        kind: The kind of its span.
        inputs: The parameters of the call.
        outputs: The answer.
        hidden: The known hidden parameters.
    """

    kind: SpanKind
    inputs: Mapping[str, Value]
    outputs: Value
    hidden: Mapping[str, Value]

    def answered(self, *path: str) -> Any:
        """Return a part of the answer; ``None`` where it has none."""
        found: Any = self.outputs
        for name in path:
            found = found.get(name) if isinstance(found, Mapping) else None
        return found


def cost_by_units(units: Units, prices: Mapping[str, Value]) -> float | None:
    """Compute a cost from the number of images, pixels, seconds, characters or searches.

    Args:
        units: What there is to count.
        prices: The user's own prices.

    Returns:
        The cost by the first kind of unit that has a price, as LiteLLM does; ``None`` if none has,
        or the answer does not say how many there are.
    """
    for names, count in _COUNTED.get(units.kind, ()):
        price = next((p for n in names if isinstance(p := prices.get(n), (int, float))), None)
        number = count(units) if price is not None else None
        if price is not None and number is not None:
            return price * number
    return None


def _images(units: Units) -> int | None:
    made = units.answered("data")
    return len(made) if isinstance(made, tuple) else None


def _pixels(units: Units) -> int | None:
    width, _, height = str(units.inputs.get("size")).partition("x")
    number = _images(units)
    if number is None or not (width.isdecimal() and height.isdecimal()):
        return None
    return number * int(width) * int(height)


def _seconds(units: Units) -> float | None:
    told = units.hidden.get(AUDIO_SECONDS), units.answered("duration")
    return next((n for one in told if (n := as_amount(one)) is not None), None)


def _characters(units: Units) -> int | None:
    spoken = units.inputs.get("input")
    return len(spoken) if isinstance(spoken, str) else None


def _searches(units: Units) -> int | None:
    billed = units.answered("meta", "billed_units", "search_units")
    return billed if isinstance(billed, int) else None


_Counted: TypeAlias = "tuple[tuple[str, ...], Callable[[Units], float | None]]"
_COUNTED: Final[Mapping[SpanKind, tuple[_Counted, ...]]] = {
    SpanKind.IMAGE: (
        (("output_cost_per_image", "input_cost_per_image"), _images),
        (("output_cost_per_pixel", "input_cost_per_pixel"), _pixels),
    ),
    SpanKind.AUDIO: (
        (("cost_per_second", "input_cost_per_second", "output_cost_per_second"), _seconds),
        (("input_cost_per_character",), _characters),
    ),
    SpanKind.RERANKER: ((("input_cost_per_query",), _searches),),
}
"""What is counted for each kind of span: the names of its prices, first those that LiteLLM prefers,
and how many there are."""
