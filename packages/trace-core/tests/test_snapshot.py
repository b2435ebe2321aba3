"""The normaliser: plain data out of anything, and never an exception."""

from __future__ import annotations

import copy
import dataclasses
import datetime
import decimal
import enum
import fractions
import json
import pathlib
import unittest.mock
import uuid
from collections import OrderedDict, UserDict, deque
from collections.abc import Mapping
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trace_core import snapshot, to_json
from trace_core._model.values import MAX_DEPTH, MAX_ITEMS

HASHABLE = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(max_size=20)
)
LEAVES = st.one_of(
    HASHABLE, st.decimals(), st.datetimes(), st.uuids(), st.fractions(), st.complex_numbers()
)
ANYTHING = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=5),
        st.tuples(inner, inner),
        st.dictionaries(HASHABLE, inner, max_size=5),
        st.sets(HASHABLE, max_size=5),
        st.lists(inner, max_size=4).map(deque),
    ),
    max_leaves=30,
)


def containers_of(value: object) -> set[int]:
    if isinstance(value, Mapping):
        return {id(value)}.union(*map(containers_of, value.values()))
    if isinstance(value, (list, tuple, set, deque)) and value:  # () is one object everywhere
        return {id(value)}.union(*map(containers_of, value))
    return set()


def is_plain(value: object) -> bool:
    if type(value) is dict:
        return all(type(key) is str and is_plain(item) for key, item in value.items())
    if type(value) is tuple:
        return all(map(is_plain, value))
    return value is None or type(value) in (bool, int, float, str)


@given(ANYTHING)
def test_result_is_plain_and_shares_no_container(value: object) -> None:
    """Whatever goes in, plain data comes out that has no container in common with it."""
    result = snapshot(value)
    assert is_plain(result)
    assert not containers_of(result) & containers_of(value)
    json.loads(to_json(result))


@given(ANYTHING)
def test_a_second_snapshot_changes_nothing(value: object) -> None:
    """Plain data is its own snapshot, NaN aside, which equals nothing."""
    once = snapshot(value)
    assert to_json(snapshot(once)) == to_json(once)


def test_later_changes_do_not_show() -> None:
    """What the caller does to its objects afterwards does not reach the snapshot."""
    messages = [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]
    taken = snapshot(messages)
    before = copy.deepcopy(taken)
    messages[0]["content"][0]["text"] = "changed"
    messages.append({})
    assert taken == before


def test_strings_are_shared_not_copied() -> None:
    """A megabyte of text costs nothing."""
    text = "x" * 1_000_000
    result = snapshot({"a": [text]})
    assert isinstance(result, dict)
    assert result["a"][0] is text


def test_cycles_end() -> None:
    """A container that contains itself is cut off, saying so."""
    loop: dict[str, Any] = {"name": "loop"}
    loop["self"] = loop
    both: list[Any] = []
    both += [both, both]
    assert "contains itself" in to_json(snapshot(loop))
    assert is_plain(snapshot(both))


def test_depth_is_limited() -> None:
    """Nesting beyond the limit becomes a text that says so."""
    deep: list[Any] = []
    for _ in range(10_000):
        deep = [deep]
    assert f"nested deeper than {MAX_DEPTH}" in to_json(snapshot(deep))


def test_size_is_limited() -> None:
    """A container with too many items becomes a text that says so, and so does the sum of many."""
    assert "over the limit" in str(snapshot(list(range(MAX_ITEMS + 1))))
    assert "over the limit" in str(snapshot(dict.fromkeys(range(MAX_ITEMS + 1))))
    shared = list(range(1000))
    assert "over the limit" in to_json(snapshot([[shared] * 100] * 100))


class Endless(Mapping):
    def __getitem__(self, key: str) -> int:
        return 1

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Any:
        while True:
            yield "key"


def test_an_endless_mapping_ends() -> None:
    """A mapping whose items never end is cut off."""
    assert "over the limit" in str(snapshot(Endless()))


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Text(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "lies"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Colour.RED, "red"),
        (Level.HIGH, 3),
        (Text("plain"), "plain"),
        (
            datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc),
            "2026-01-02T03:04:05+00:00",
        ),
        (datetime.date(2026, 1, 2), "2026-01-02"),
        (datetime.timedelta(seconds=90), 90.0),
        (decimal.Decimal("1.10"), "1.10"),
        (fractions.Fraction(1, 2), 0.5),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (pathlib.PurePosixPath("/a/b"), "/a/b"),
        (deque([1, [2]]), (1, (2,))),
        (frozenset({1}), (1,)),
        (OrderedDict(a=[1]), {"a": (1,)}),
        (UserDict({"a": 1}), {"a": 1}),
        (
            {1: "a", None: "b", Colour.RED: "c", Text("d"): "e"},
            {"1": "a", "None": "b", "red": "c", "d": "e"},
        ),
        (range(3), "range(0, 3)"),
        (Colour, f"<class {__name__}.Colour>"),
    ],
)
def test_known_types(value: object, expected: object) -> None:
    """Types people pass to models come out as the plain value they stand for."""
    assert snapshot(value) == expected


def test_numpy_scalars_are_numbers() -> None:
    """Numpy's own numbers become Python's."""
    numpy = pytest.importorskip("numpy")
    assert snapshot([numpy.float32(0.5), numpy.int64(3)]) == (0.5, 3)


def test_binary_is_described() -> None:
    """Bytes are not kept: kind, length and digest are."""
    for data in (b"abc", bytearray(b"abc"), memoryview(b"abc"), memoryview(b"abc")[::1]):
        assert snapshot(data) == {
            "kind": "binary",
            "bytes": 3,
            "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        }
    large = snapshot(bytes(1_000_000))
    assert isinstance(large, dict)
    assert large["bytes"] == 1_000_000
    assert "sha256_64k" in large
    strided = snapshot(memoryview(b"a1b2c3")[::2])
    assert strided == snapshot(b"abc")


def test_pydantic_models_become_mappings() -> None:
    """Fields and extras are read, private attributes are not; a model class is named."""
    pydantic = pytest.importorskip("pydantic")

    class Inner(pydantic.BaseModel):
        text: str

    class Model(pydantic.BaseModel):
        model_config = pydantic.ConfigDict(extra="allow")
        inner: Inner
        _hidden: str = "not this"

    result = snapshot(Model(inner=Inner(text="hi"), more=[1]))
    assert result == {"inner": {"text": "hi"}, "more": (1,)}
    described = snapshot(Model)
    assert isinstance(described, dict)
    assert described["class"].endswith("Model")


@dataclasses.dataclass
class Point:
    x: int
    ys: list[int]
    api_key: str = dataclasses.field(default="sk-secret", repr=False)


@attrs.define
class Place:
    name: str
    tags: list[str]
    password: str = attrs.field(default="hunter2", repr=False)


def test_data_classes_become_mappings_without_hidden_fields() -> None:
    """Dataclasses and attrs classes are read, but for what they hide from their repr."""
    assert snapshot(Point(1, [2])) == {"x": 1, "ys": (2,)}
    assert snapshot(Place("a", ["b"])) == {"name": "a", "tags": ("b",)}


class LyingMeta(type):
    @property
    def __name__(cls) -> str:  # type: ignore[override]
        raise RuntimeError("no name")


class Hostile(metaclass=LyingMeta):
    def __repr__(self) -> str:
        raise ValueError("no repr")

    def __hash__(self) -> int:
        return 1

    def __eq__(self, other: object) -> bool:
        raise ValueError("no equality")

    def __str__(self) -> str:
        raise ValueError("no text")


class HostileItems(dict):
    def items(self) -> Any:
        raise RuntimeError("no items")


class NotText:
    def __repr__(self) -> str:
        return 3  # type: ignore[return-value]


def test_hostile_objects_are_named() -> None:
    """An object that fights back costs itself, not its neighbours and never an exception."""
    liar = unittest.mock.Mock(spec=str)  # its __class__ says str
    value = {
        "good": 1,
        "bad": Hostile(),
        "items": HostileItems(),
        Hostile(): 2,
        "n": NotText(),
        "liar": liar,
    }
    result = snapshot(value)
    assert is_plain(result)
    assert isinstance(result, dict)
    assert result["good"] == 1
    assert "unreadable" in str(result["bad"])
    assert result["<Hostile>"] == 2


def test_classes_that_cannot_be_hashed() -> None:
    """A metaclass that defines equality alone makes such classes."""

    class Comparable(type):
        __hash__ = None  # type: ignore[assignment]

    class Strange(metaclass=Comparable):
        """An instance of which is in somebody's arguments."""

    assert snapshot(Strange()) == "<Strange: unreadable (TypeError)>"
    assert snapshot([Strange()]) == "<list: unreadable (TypeError)>"
    assert snapshot({"a": {"b": Strange()}, "c": 1})["c"] == 1  # type: ignore[index,call-overload]


def test_unknown_objects_are_shortened() -> None:
    """The repr of an unknown object is kept up to a limit."""

    class Chatty:
        def __repr__(self) -> str:
            return "x" * 5_000

    assert snapshot(Chatty()) == "x" * 1_000 + "… (5000 characters)"


def test_generators_are_not_consumed() -> None:
    """Looking at an iterator must not take anything out of it."""
    numbers = iter([1, 2, 3])
    snapshot({"stream": numbers})
    assert list(numbers) == [1, 2, 3]


class Unwilling(Exception):
    """Raised by code that should not have run."""


def _refuse(*_: object) -> Any:
    raise Unwilling


@pytest.mark.parametrize(
    ("base", "value", "expected"),
    [
        (dict, {"a": 1}, {"a": 1}),
        (OrderedDict, {"a": 1}, {"a": 1}),
        (list, [1, 2], (1, 2)),
        (tuple, (1, 2), (1, 2)),
        (deque, [1, 2], (1, 2)),
        (set, [1], (1,)),
        (frozenset, [1], (1,)),
        (int, 5, 5),
        (float, 0.5, 0.5),
        (str, "a", "a"),
        (decimal.Decimal, "0.1", "0.1"),
        (uuid.UUID, "0" * 32, str(uuid.UUID(int=0))),
    ],
)
def test_code_of_subclasses_does_not_run(base: type, value: Any, expected: Any) -> None:
    """It may be slow, and the caller waits: what a built-in type holds is read as that type does."""
    special = ("iter", "len", "getitem", "str", "repr", "int", "float", "index", "bool")
    hostile = {f"__{name}__": _refuse for name in special}
    hostile |= {"items": _refuse, "keys": _refuse, "values": _refuse, "get": _refuse}
    one = type("Hostile", (base,), hostile)(value)
    assert snapshot(one) == expected
    assert snapshot({"in": [one]}) == {"in": (expected,)}


def test_a_dictionary_that_keeps_nothing_in_itself_is_asked() -> None:
    """What its methods make up is all there is."""

    class MadeUp(dict[str, int]):
        def items(self) -> Any:
            return [("a", 1)]

    assert snapshot(MadeUp()) == {"a": 1}
