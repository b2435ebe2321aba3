"""The normaliser: any object in, a closed set of plain immutable-by-convention values out.

It runs on the caller's thread, so it is quick, and it is the snapshot: what the caller changes
afterwards does not change a span. Strings are shared, containers copied. It never raises.
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import hashlib
import pathlib
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Final, TypeAlias

import attrs

Value: TypeAlias = "bool | int | float | str | tuple[Value, ...] | Mapping[str, Value] | None"

MAX_DEPTH: Final = 24
"""Containers nested deeper than this are replaced by a short text."""
MAX_ITEMS: Final = 200_000
"""Items of all containers of one value together; the rest is replaced by a short text."""
MAX_TEXT_OF_UNKNOWN: Final = 1_000
"""Characters kept of the ``repr`` of an object that is nothing we know."""
INLINE_BYTES: Final = 64
DIGESTED_BYTES: Final = 64 * 1024

_ATOMS: Final = frozenset({type(None), bool, int, float, str})
_LONG: Final = 64


def snapshot(value: object) -> Value:
    """Copy a value into plain data: None, bool, int, float, str, tuple and dict.

    Pydantic models, dataclasses and attrs classes become mappings, sets tuples, bytes a
    description of themselves, and what is unknown its ``repr``. Cycles, great depth and great
    size are cut off with a text that says so.

    Args:
        value: Anything.

    Returns:
        Plain data that shares no container with ``value``.
    """
    if value.__class__ in _ATOMS:
        return value  # type: ignore[return-value]  # membership is the check
    try:
        return _copy(value, MAX_DEPTH, [MAX_ITEMS])
    except Exception as error:
        return _unreadable(value, error)


def _copy(
    value: Any, depth: int, budget: list[int]
) -> Any:  # a Value; mypy joins Any and Value to object
    cls = value.__class__
    if cls in _ATOMS:
        return value
    if depth <= 0:
        return f"<{cls.__name__}: nested deeper than {MAX_DEPTH}>"
    if cls is dict:
        return _copy_mapping(value, depth, budget)
    if cls is list or cls is tuple:
        return _copy_sequence(value, depth, budget)
    handler = _handlers.get(cls) or _find_handler(cls)
    try:
        return handler(value, depth, budget)
    except Exception as error:
        return _unreadable(value, error)


def _copy_mapping(value: Mapping[Any, Any], depth: int, budget: list[int]) -> Value:
    budget[0] -= len(value)
    if budget[0] < 0:
        return f"<mapping of {len(value)}: over the limit of {MAX_ITEMS} items>"
    below = depth - 1
    atoms = _ATOMS
    # list() first: another thread may grow the caller's dict while we look
    return {
        (k if k.__class__ is str else _key(k)): (
            v if v.__class__ in atoms else _copy(v, below, budget)
        )
        for k, v in list(value.items())
    }


def _copy_sequence(value: list[Any] | tuple[Any, ...], depth: int, budget: list[int]) -> Value:
    size = len(value)
    budget[0] -= size
    if budget[0] < 0:
        return f"<sequence of {size}: over the limit of {MAX_ITEMS} items>"
    atoms = _ATOMS
    if size > _LONG and atoms.issuperset(map(type, value)):
        return tuple(value)  # an embedding vector, say: copied at C speed
    below = depth - 1
    return tuple([v if v.__class__ in atoms else _copy(v, below, budget) for v in value])


def _key(key: object) -> str:
    if isinstance(key, enum.Enum):
        key = key.value
    try:
        return str.__str__(key) if isinstance(key, str) else str(key)
    except Exception:
        return f"<{type(key).__name__}>"


def _unreadable(value: object, error: BaseException) -> str:
    return f"<{type(value).__name__}: unreadable ({type(error).__name__})>"


# Everything below is for the uncommon types; a handler is found once per type.
_Handler: TypeAlias = Callable[[Any, int, list[int]], Value]


def _pydantic(value: Any, depth: int, budget: list[int]) -> Value:
    """Read a model's own fields and extras; private attributes stay private."""
    fields = value.__dict__
    extra = getattr(value, "__pydantic_extra__", None)
    return _copy_mapping({**fields, **extra} if extra else fields, depth, budget)


def _fields_of(value: Any, names: tuple[str, ...], depth: int, budget: list[int]) -> Value:
    present = {n: getattr(value, n) for n in names if hasattr(value, n)}
    return _copy_mapping(present, depth, budget)


def _dataclass(value: Any, depth: int, budget: list[int]) -> Value:
    return _fields_of(value, tuple(f.name for f in dataclasses.fields(value)), depth, budget)


def _attrs(value: Any, depth: int, budget: list[int]) -> Value:
    return _fields_of(value, tuple(f.name for f in attrs.fields(type(value))), depth, budget)


def _binary(value: bytes | bytearray | memoryview, _depth: int, _budget: list[int]) -> Value:
    return describe_bytes(bytes(value))


def describe_bytes(data: bytes) -> Value:
    """Describe binary content instead of keeping it.

    Args:
        data: The content.

    Returns:
        A mapping with ``kind``, ``bytes`` (its length) and ``sha256``, which for more than
        64 KiB covers the first 64 KiB alone (then named ``sha256_64k``), to stay cheap.
    """
    head = data[:DIGESTED_BYTES]
    name = "sha256" if len(head) == len(data) else "sha256_64k"
    return {"kind": "binary", "bytes": len(data), name: hashlib.sha256(head).hexdigest()}


def _as_tuple(value: Any, depth: int, budget: list[int]) -> Value:
    return _copy_sequence(tuple(value), depth, budget)


def _enum(value: enum.Enum, depth: int, budget: list[int]) -> Value:
    return _copy(value.value, depth - 1, budget)


def _plain(convert: Callable[[Any], Value]) -> _Handler:
    return lambda value, _depth, _budget: convert(value)


def _unknown(value: object, _depth: int, _budget: list[int]) -> Value:
    text = repr(value)
    if len(text) <= MAX_TEXT_OF_UNKNOWN:
        return text
    return f"{text[:MAX_TEXT_OF_UNKNOWN]}… ({len(text)} characters)"


def _type(value: type, _depth: int, _budget: list[int]) -> Value:
    schema = getattr(value, "model_json_schema", None)  # response_format=MyModel
    if schema is None:
        return f"<class {value.__module__}.{value.__qualname__}>"
    return {"class": f"{value.__module__}.{value.__qualname__}"}


_BY_BASE: Final[tuple[tuple[type, _Handler], ...]] = (
    (type, _type),
    (enum.Enum, _enum),
    (bool, _plain(bool)),
    (int, _plain(int)),
    (float, _plain(float)),
    (str, _plain(str.__str__)),
    ((bytes), _binary),
    (bytearray, _binary),
    (memoryview, _binary),
    (datetime.datetime, _plain(datetime.datetime.isoformat)),
    (datetime.date, _plain(datetime.date.isoformat)),
    (datetime.timedelta, _plain(datetime.timedelta.total_seconds)),
    (decimal.Decimal, _plain(str)),
    (uuid.UUID, _plain(str)),
    (pathlib.PurePath, _plain(str)),
    (Mapping, _copy_mapping),
    (list, _as_tuple),
    (tuple, _as_tuple),
    (deque, _as_tuple),
    (AbstractSet, _as_tuple),
)

_handlers: dict[type, _Handler] = {}
_MAX_HANDLERS: Final = 2_048  # classes made per call must not pile up here


def _find_handler(cls: type) -> _Handler:
    handler = _choose_handler(cls)
    if len(_handlers) < _MAX_HANDLERS:
        _handlers[cls] = handler
    return handler


def _choose_handler(cls: type) -> _Handler:
    if hasattr(cls, "__pydantic_validator__"):
        return _pydantic
    for base, handler in _BY_BASE:
        if issubclass(cls, base):
            return handler
    if dataclasses.is_dataclass(cls):
        return _dataclass
    if attrs.has(cls):
        return _attrs
    return _unknown
