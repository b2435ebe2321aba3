"""A span survives being a message, and what is no span is an error."""

from __future__ import annotations

import gzip
import re
from types import SimpleNamespace
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trace_core import Span
from trace_core.testing import sample_spans
from trace_nats import _message
from trace_nats._message import pack, unpack


def received(span: Span, limit: int) -> Any:
    """The message of a span as the broker hands it out."""
    message = pack(span, limit)
    return SimpleNamespace(data=message.body, headers=message.headers)


@given(st.sampled_from(sample_spans()), st.text(max_size=200), st.sampled_from([0, 10_000]))
def test_a_span_comes_out_as_it_went_in(span: Span, text: str, limit: int) -> None:
    """Compressed or not."""
    span = attrs.evolve(span, inputs=text)
    assert unpack(received(span, limit)) == span


def test_only_what_is_too_long_is_compressed() -> None:
    """And a span has the same id both ways, by which the broker recognises it."""
    span = attrs.evolve(sample_spans()[0], inputs="word " * 1_000)
    short, long = pack(span, 1_000), pack(span, 100_000)
    assert len(short.body) < 1_000 < len(long.body)
    assert short.headers["Content-Encoding"] == "gzip"
    assert short.headers["Nats-Msg-Id"] == long.headers["Nats-Msg-Id"]


@pytest.mark.parametrize(
    "damage", [b"", b"{}", b"[" * 100_000, b"\xff", gzip.compress(b"{}", mtime=0)[:-9]]
)
@pytest.mark.parametrize("headers", [None, {"Content-Encoding": "gzip"}])
def test_what_is_no_span_is_an_error(damage: bytes, headers: dict[str, str] | None) -> None:
    """Whatever was published, compressed or not: an exception, which the forwarder catches."""
    with pytest.raises(Exception, match=re.compile("")):
        unpack(SimpleNamespace(data=damage, headers=headers))  # type: ignore[arg-type]


def test_a_message_cannot_grow_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A megabyte that decompresses to a gigabyte is refused before it does."""
    monkeypatch.setattr(_message, "_LONGEST", 10_000)
    bomb = SimpleNamespace(data=gzip.compress(b" " * 20_000), headers={"Content-Encoding": "gzip"})
    with pytest.raises(ValueError, match="more than 10000 bytes"):
        unpack(bomb)  # type: ignore[arg-type]
