"""`snapshot`: converts any object to plain values, which later changes of it do not affect.

It runs on the caller's thread, so it is quick: strings are shared, containers copied. It never
raises.
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import hashlib
import numbers
import pathlib
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from functools import lru_cache
from itertools import islice
from typing import Any, Final, TypeAlias, cast

import attrs

from trace_core._failures import failure

Value: TypeAlias = "bool | int | float | str | tuple[Value, ...] | Mapping[str, Value] | None"

MAX_DEPTH: Final = 24
"""Containers nested deeper than this are replaced by a short text."""
MAX_ITEMS: Final = 200_000
"""Items of all containers of one value together; the rest is replaced by a short text."""
MAX_TEXT_OF_UNKNOWN: Final = 1_000
"""Characters kept of the ``repr`` of an object that is nothing we know."""
DIGESTED_BYTES: Final = 64 * 1024

_ATOMS: Final = frozenset({type(None), bool, int, float, str})
_LONG: Final = 64
_SUSPICIOUS_DEPTH: Final = MAX_DEPTH - 6  # real data is flatter: below this, look for cycles


class _Walk:
    """What one snapshot has used up, and the containers it is inside of."""

    __slots__ = ("inside", "items")

    def __init__(self) -> None:
        self.items = MAX_ITEMS
        self.inside: set[int] | None = None  # made where it is needed: most values are flat


def snapshot(value: object) -> Value:
    """Copy a value into plain data: None, bool, int, float, str, tuple and dict.

    Pydantic models, dataclasses and attrs classes become mappings (without the fields the last
    two hide from their ``repr``: that is how people mark secrets), sets tuples, bytes a
    description of themselves, and what is unknown its ``repr``. Keys become strings. Cycles,
    great depth and great size are cut off with a text that says so.

    Args:
        value: Anything.

    Returns:
        Plain data that shares no container with ``value``.
    """
    cls = type(value)
    try:
        if cls in _ATOMS:
            return value  # type: ignore[return-value]
        if cls is dict and not value:
            return {}
        if cls is list and (records := _copy_records(value)) is not None:  # type: ignore[arg-type]
            return records
    except failure():  # a class that cannot be hashed: it is named below
        return _copy(value, MAX_DEPTH, _Walk())
    return _copy(value, MAX_DEPTH, _Walk())


def snapshot_mapping(values: Mapping[Any, object]) -> dict[str, Value]:
    """Copy a mapping, such as attributes, into plain data: see `snapshot`.

    Args:
        values: The mapping; keys that are not texts become texts.

    Returns:
        A dictionary; of a mapping whose items cannot be read, a text that says so.

    Raises:
        TypeError: It is not a mapping.
    """
    if not _is_mapping(values):
        raise TypeError(f"wanted a mapping of attributes, got {class_name(type(values))}")
    try:
        return {_key(key): snapshot(value) for key, value in _pairs(values)}
    except failure() as error:
        return {"unreadable": unreadable(type(values), error)}


def _is_mapping(value: object) -> bool:
    try:
        return isinstance(value, Mapping)
    except failure():  # out of its __class__
        return False


def _copy_records(values: list[Any]) -> Value:
    """Copy a list of dictionaries of texts and numbers, such as most messages are, quickly.

    Returns:
        The copies; ``None`` where it is something else, or long.
    """
    if len(values) > _LONG:
        return None
    atoms = _ATOMS
    copies = []
    for one in values:
        if type(one) is not dict or len(one) > _LONG:
            return None
        copy = one.copy()
        for key in copy:
            if type(key) is not str or type(copy[key]) not in atoms:
                return None
        copies.append(copy)
    return tuple(copies)


def _copy(value: Any, depth: int, walk: _Walk) -> Value:
    cls = type(value)  # not __class__, which a mock or proxy may lie about
    try:
        if cls in _ATOMS:
            return cast("Value", value)
        if depth <= 0:
            return f"<{class_name(cls)}: nested deeper than {MAX_DEPTH}>"
        if depth < _SUSPICIOUS_DEPTH:
            return _copy_watchfully(value, depth, walk)
        if cls is dict:  # spelt out once more, for speed: most containers end here
            return _copy_pairs(list(value.items()), depth, walk)
        return _copy_by_type(value, depth, walk)
    except failure() as error:
        return unreadable(cls, error)


def unreadable(cls: type, error: BaseException) -> str:
    """Return what stands for a value that could not be read."""
    return f"<{class_name(cls)}: unreadable ({class_name(type(error))})>"


def _copy_watchfully(value: object, depth: int, walk: _Walk) -> Value:
    inside = walk.inside = walk.inside or set()
    identity = id(value)
    if identity in inside:
        return f"<{class_name(type(value))}: contains itself>"
    inside.add(identity)
    try:
        return _copy_by_type(value, depth, walk)
    finally:
        inside.discard(identity)


def _copy_by_type(value: Any, depth: int, walk: _Walk) -> Value:
    cls: Any = type(value)
    if cls is dict:
        # list() first: another thread may grow the caller's dict while we look
        return _copy_pairs(list(value.items()), depth, walk)
    if cls is list or cls is tuple:
        return _copy_sequence(value, depth, walk)
    return _handler_of(cls)(value, depth, walk)


def _copy_mapping(value: Mapping[Any, Any], depth: int, walk: _Walk) -> Value:
    return _copy_pairs(list(islice(_pairs(value), MAX_ITEMS + 1)), depth, walk)


def _pairs(value: Mapping[Any, Any]) -> Iterable[tuple[Any, Any]]:
    """Return the items of a mapping; of a dictionary, by code of the subclass only if need be.

    That may take long, and the caller waits. It is needed where the dictionary itself is empty.
    """
    return (issubclass(type(value), dict) and dict.items(value)) or value.items()  # type: ignore[arg-type]


def _copy_pairs(pairs: list[tuple[Any, Any]], depth: int, walk: _Walk) -> Value:
    walk.items -= len(pairs)
    if walk.items < 0:
        return f"<mapping of {len(pairs)}: over the limit of {MAX_ITEMS} items>"
    below = depth - 1
    atoms = _ATOMS
    return {
        (k if type(k) is str else _key(k)): (v if type(v) in atoms else _copy(v, below, walk))
        for k, v in pairs
    }


def _copy_sequence(value: list[Any] | tuple[Any, ...], depth: int, walk: _Walk) -> Value:
    size = len(value)
    walk.items -= size
    if walk.items < 0:
        return f"<sequence of {size}: over the limit of {MAX_ITEMS} items>"
    atoms = _ATOMS
    if size > _LONG and atoms.issuperset(map(type, value)):
        return tuple(value)  # an embedding vector, say: copied at C speed
    below = depth - 1
    return tuple([v if type(v) in atoms else _copy(v, below, walk) for v in value])


def _key(key: object) -> str:
    try:
        if isinstance(key, enum.Enum):
            key = key.value
        return str.__str__(key) if isinstance(key, str) else str(key)
    except failure():
        return f"<{class_name(type(key))}>"


_name_of_class: Final = type.__dict__["__name__"].__get__


def class_name(cls: type) -> str:
    """Return a class's name, whatever its metaclass makes of the attribute."""
    return cast("str", _name_of_class(cls))


# Everything below is for the uncommon types.
_Handler: TypeAlias = Callable[[Any, int, _Walk], Value]


def _pydantic(value: Any, depth: int, walk: _Walk) -> Value:
    """Read a model's own fields and extras, but for those that are None because nobody set them.

    Private attributes stay private.
    """
    fields = value.__dict__
    extra = getattr(value, "__pydantic_extra__", None)
    chosen = getattr(value, "__pydantic_fields_set__", fields)
    pairs = [pair for pair in fields.items() if pair[1] is not None or pair[0] in chosen]
    return _copy_pairs([*pairs, *extra.items()] if extra else pairs, depth, walk)


def _fields(names: tuple[str, ...]) -> _Handler:
    def copy(value: Any, depth: int, walk: _Walk) -> Value:
        return _copy_pairs([(n, getattr(value, n, None)) for n in names], depth, walk)

    return copy


def _binary(value: bytes | bytearray | memoryview, _depth: int, _walk: _Walk) -> Value:
    return describe_bytes(value)


def describe_bytes(data: bytes | bytearray | memoryview) -> Value:
    """Describe binary content instead of keeping it.

    Args:
        data: The content; it is not copied.

    Returns:
        A mapping with ``kind``, ``bytes`` (its length) and ``sha256``, which for more than
        64 KiB covers the first 64 KiB alone (then named ``sha256_64k``), to stay cheap.
    """
    view = memoryview(data)
    size = view.nbytes
    flat = view.cast("B") if view.c_contiguous else memoryview(view.tobytes())
    name = "sha256" if size <= DIGESTED_BYTES else "sha256_64k"
    digest = hashlib.sha256(flat[:DIGESTED_BYTES]).hexdigest()
    return {"kind": "binary", "bytes": size, name: digest}


def _iterable(value: Iterable[Any], depth: int, walk: _Walk) -> Value:
    return _copy_sequence(tuple(islice(value, MAX_ITEMS + 1)), depth, walk)


def _built_in(base: Any) -> _Handler:
    """Copy what a built-in container holds, as `_pairs` does."""

    def copy(value: Any, depth: int, walk: _Walk) -> Value:
        items = tuple(islice(base.__iter__(value), MAX_ITEMS + 1))
        return _copy_sequence(items, depth, walk) if items else _iterable(value, depth, walk)

    return copy


def _enum(value: enum.Enum, depth: int, walk: _Walk) -> Value:
    return _copy(value.value, depth - 1, walk)


def _plain(convert: Callable[[Any], Value]) -> _Handler:
    return lambda value, _depth, _walk: convert(value)


def _unknown(value: object, _depth: int, _walk: _Walk) -> Value:
    text = str.__str__(repr(value))
    if len(text) <= MAX_TEXT_OF_UNKNOWN:
        return text
    return f"{text[:MAX_TEXT_OF_UNKNOWN]}… ({len(text)} characters)"


def _type(value: type, _depth: int, _walk: _Walk) -> Value:
    name = f"{value.__module__}.{value.__qualname__}"
    if hasattr(value, "model_json_schema"):  # response_format=MyModel
        return {"class": name}
    return f"<class {name}>"


_BY_BASE: Final[tuple[tuple[type, _Handler], ...]] = (
    (type, _type),
    (enum.Enum, _enum),
    (int, _plain(int.__int__)),
    (float, _plain(float.__float__)),
    (str, _plain(str.__str__)),
    (bytes, _binary),
    (bytearray, _binary),
    (memoryview, _binary),
    (datetime.datetime, _plain(datetime.datetime.isoformat)),
    (datetime.date, _plain(datetime.date.isoformat)),
    (datetime.time, _plain(datetime.time.isoformat)),
    (datetime.timedelta, _plain(datetime.timedelta.total_seconds)),
    (decimal.Decimal, _plain(decimal.Decimal.__str__)),
    (numbers.Integral, _plain(int)),  # numpy registers its scalars
    (numbers.Real, _plain(float)),
    (uuid.UUID, _plain(uuid.UUID.__str__)),
    (pathlib.PurePath, _plain(str)),
    (Mapping, _copy_mapping),
    *((base, _built_in(base)) for base in (list, tuple, deque, set, frozenset)),
    (AbstractSet, _iterable),
)


@lru_cache(2_048)
def _handler_of(cls: type) -> _Handler:
    if hasattr(cls, "__pydantic_validator__") or hasattr(cls, "__pydantic_decorators__"):
        return _pydantic
    for base, handler in _BY_BASE:
        if issubclass(cls, base):
            return handler
    if dataclasses.is_dataclass(cls):
        return _fields(tuple(f.name for f in dataclasses.fields(cls) if f.repr))
    if attrs.has(cls):
        return _fields(tuple(f.name for f in attrs.fields(cls) if f.repr))
    return _unknown
