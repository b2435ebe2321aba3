"""Hostile values never reach a database or protobuf as they are."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trace_mlflow_sink._mapping import sanitize

hostile_text = st.text(st.characters(codec=None, exclude_categories=()))
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | hostile_text,
    lambda inner: st.lists(inner).map(tuple) | st.dictionaries(hostile_text, inner),
    max_leaves=20,
)


@given(hostile_text)
def test_text_can_be_stored_anywhere(value):
    """Safe text is UTF-8 without NUL, and of the same length."""
    safe = sanitize.clean_text(value)
    assert "\0" not in safe
    assert len(safe.encode().decode()) == len(value)


@given(values)
def test_json_text_unescapes_to_safe_text(value):
    """Whoever reads the JSON gets no NUL and no lone surrogate out of it."""
    read = json.loads(sanitize.json_text(value))
    assert "\\u0000" not in json.dumps(read)
    json.dumps(read, ensure_ascii=False).encode()


def test_json_text_of_harmless_data_is_exact():
    """What is not hostile is not touched."""
    value = {"a": [1, 2.5, None, True], "ü": "日本 😀"}
    assert json.loads(sanitize.json_text(value)) == value


def test_an_integer_too_long_to_write_costs_itself_alone():
    """A number that Python refuses to write in decimal breaks nothing."""
    assert json.loads(sanitize.json_text({"n": 10**5000, "m": 1}))["m"] == 1


@given(hostile_text, st.integers(20, 60))
def test_cut_keeps_the_limit(value, limit):
    """A cut text is never longer than asked for."""
    assert len(sanitize.shorten(value, limit)) <= limit
    assert len(sanitize.shorten_id(value, limit)) <= limit


@pytest.mark.parametrize("length", [250, 300, 5000])
def test_cut_ids_stay_different(length):
    """Two sessions that differ only past the limit are still two sessions."""
    first, second = "s" * length + "1", "s" * length + "2"
    assert sanitize.shorten_id(first, 250) != sanitize.shorten_id(second, 250)
    assert sanitize.shorten_id(first, 250) == sanitize.shorten_id(first, 250)


@pytest.mark.parametrize(
    ("value", "expected"), [(("s1",), "s1"), (["s1"], "s1"), (("a", "b"), '["a","b"]'), (7, "7")]
)
def test_an_id_given_as_a_list_is_that_id(value, expected):
    """As LiteLLM's proxy passes on headers and metadata."""
    assert sanitize.shorten_id(value, 250) == expected
