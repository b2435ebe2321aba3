"""A trace as people look at it, in a notebook or at a prompt."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import overload

from trace_core._model.span import Span
from trace_core._sinks.console import tree_lines
from trace_core._view.details import totals
from trace_core._view.html import trace_html


class Trace(Sequence[Span]):
    """The spans of one trace, which draws itself as a tree.

    Args:
        spans: Its spans, at least one.

    Raises:
        ValueError: There is none.
    """

    def __init__(self, spans: Iterable[Span]) -> None:
        self._spans = tuple(spans)
        if not self._spans:
            raise ValueError("a trace has at least one span")

    @property
    def trace_id(self) -> str:
        """Its id, 32 hex digits."""
        return self._spans[0].trace_id

    @overload
    def __getitem__(self, index: int) -> Span: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Span]: ...

    def __getitem__(self, index: int | slice) -> Span | Sequence[Span]:
        return self._spans[index]

    def __len__(self) -> int:
        return len(self._spans)

    def __iter__(self) -> Iterator[Span]:
        return iter(self._spans)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Trace) and other._spans == self._spans

    def __hash__(self) -> int:
        return hash(self.trace_id)

    def __repr__(self) -> str:
        lines = [f"trace {self.trace_id}  {totals(self._spans)}"]
        lines += [f"  {line}" for line, _ in tree_lines(self._spans)]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return trace_html(self._spans)
