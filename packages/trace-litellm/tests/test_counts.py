"""Every shape of answer is counted as the provider counts it, and costs what LiteLLM says."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from support.answer_shapes import MARKED, Row, rows, table
from support.provider import Provider
from support.scenarios import NEWEST

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "counts.md"

pytestmark = pytest.mark.skipif(not NEWEST, reason="older releases count and price differently")


@pytest.fixture(scope="module")
def counted(litellm: Any, provider: Provider) -> list[Row]:
    """All 30 answers."""
    return list(rows(litellm, provider))


def test_tokens_are_the_providers_and_cost_is_litellms(counted: list[Row]) -> None:
    """Whatever the answer is made of, and however it comes."""
    assert len(counted) == 30
    for row in counted:
        what = f"{row.way}, {row.shape}, streamed: {row.streamed}"
        told, books, ours = row.told, row.books, row.ours
        assert (ours.input, ours.output) == (told.input, told.output), what
        assert (books.input, books.output) == (told.input, told.output), what
        assert ours.cost, what
        assert ours.cost == pytest.approx(books.cost), what
        assert told.cost is None or ours.cost == told.cost, what


def test_a_stream_counts_and_costs_what_the_whole_answer_does(counted: list[Row]) -> None:
    """Parts such as cached, reasoning and audio tokens included."""
    for whole, streamed in zip(counted[::2], counted[1::2], strict=True):
        assert (whole.way, whole.shape) == (streamed.way, streamed.shape)
        assert streamed.details == whole.details
        assert streamed.ours == whole.ours


def test_the_page_says_what_comes_out(counted: list[Row]) -> None:
    """The table in the reference is the one that a run makes."""
    page = PAGE.read_text("utf-8")
    if f"By litellm {version('litellm')}." not in page:
        pytest.skip("the page is of another release")
    found = MARKED.search(page)
    assert found is not None
    assert table(counted) in found[0], "run `nox -s counts`"
