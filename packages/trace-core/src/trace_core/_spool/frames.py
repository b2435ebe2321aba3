"""The spool's frames on disk: checksummed, and findable again after damage.

A frame is ``magic(2) version(1) crc32(4) kind(1) length(4) payload(length)``, little-endian. The
payload is the span's id (16 bytes) and its record. No byte of the magic occurs in UTF-8, nor is
the separator of records one of them, so a reader that lost its place finds the next frame by
searching for it. The checksum covers all that follows it.
"""

from __future__ import annotations

import struct
import zlib
from typing import Final, TypeAlias

import attrs

from trace_core._model.span import Span
from trace_core._spool.records import from_record, to_record

MAGIC: Final = b"\xf5\xfa"
VERSION: Final = 2
SPAN: Final = 0
"""Kind of a finished span's frame."""
START: Final = 1
"""Kind of the frame that says a span has started."""
ENDS_ELSEWHERE: Final = 2
"""Kind of the frame that says the end of a started span is in another journal; it has no record."""
ID_BYTES: Final = 16
MAX_PAYLOAD: Final = 64 * 1024 * 1024
_WRONG_BYTES: Final = 8
"""How many times its length a stretch may be read in vain, where headers lie one in the other."""

_BEFORE_CRC: Final = struct.Struct("<2sB").pack(MAGIC, VERSION)
_CRC: Final = struct.Struct("<I")
_AFTER_CRC: Final = struct.Struct("<BI")
_HEADER: Final = struct.Struct("<3sIBI")
_CHECKED_FROM: Final = len(_BEFORE_CRC) + _CRC.size
HEADER_BYTES: Final = _HEADER.size


Frame: TypeAlias = "tuple[int, bytes, int]"
"""A frame read back: kind, payload, and the offset behind it in its segment."""


def pack(span: Span, kind: int = SPAN) -> bytes:
    """Write a span as a frame.

    Args:
        span: The span.
        kind: `SPAN` or `START`.
    """
    return _framed(kind, span_key(span), to_record(span))


def pack_mark(key: bytes, kind: int) -> bytes:
    """Write a frame without a record.

    Args:
        key: A span's id, as by `span_key`.
        kind: What is to be said of the span.
    """
    return _framed(kind, key, b"")


def _framed(kind: int, key: bytes, record: bytes) -> bytes:
    head = _AFTER_CRC.pack(kind, ID_BYTES + len(record)) + key
    checksum = zlib.crc32(record, zlib.crc32(head))
    return b"".join((_BEFORE_CRC, _CRC.pack(checksum), head, record))


def span_key(span: Span) -> bytes:
    """Return a span's id as the 16 bytes a frame carries."""
    return span.context.span_id.encode()


def key_in(payload: bytes) -> bytes:
    """Return the id of the span in a frame."""
    return payload[:ID_BYTES]


def span_in(payload: bytes) -> Span:
    """Read the span in a frame.

    Args:
        payload: The frame's.

    Raises:
        ConfigurationError: It cannot be read.
    """
    return from_record(payload, ID_BYTES)


@attrs.define
class Reading:
    """What was read out of a stretch of a segment.

    Args:
        frames: The frames, in order.
        next: Offset to go on from.
        damaged: Stretches that were no frame and had to be skipped.
    """

    frames: list[Frame] = attrs.field(factory=list)
    next: int = 0
    damaged: int = 0


def unpack(data: bytes, base: int, *, last: bool, limit: int) -> Reading:
    """Read frames out of bytes.

    Args:
        data: Part of a segment.
        base: The part's offset in the segment.
        last: Whether the segment ends with it; a frame that goes beyond is then torn, else it
            is left for the next part.
        limit: Frames to read at the most.

    Returns:
        The frames, and where to go on.
    """
    found = Reading()
    frames, view, size, at = found.frames, memoryview(data), len(data), 0
    patience = _WRONG_BYTES * size  # to check what says it is a frame and is none
    while at < size and len(frames) < limit:
        if size - at >= HEADER_BYTES:
            begin, checksum, kind, length = _HEADER.unpack_from(data, at)
            payload = at + HEADER_BYTES
            end = payload + length
            whole = begin == _BEFORE_CRC and end <= size and length >= ID_BYTES
            if whole and zlib.crc32(view[at + _CHECKED_FROM : end]) == checksum:
                frames.append((kind, data[payload:end], base + end))
                at = end
                continue
            patience -= length if whole else 0
        if patience < 0:
            at, found.damaged = size, found.damaged + 1
            break
        if not last and _goes_on(data, at):
            break
        at, lost = _skip(data, at, last=last)
        found.damaged += lost
        if not lost and not last:
            break
    found.next = base + at
    return found


def _goes_on(data: bytes, at: int) -> bool:
    """Say whether there may be a frame of which the rest is yet to be read."""
    if len(data) - at < HEADER_BYTES:
        return MAGIC.startswith(data[at : at + len(MAGIC)])
    begin, _, _, length = _HEADER.unpack_from(data, at)
    if begin != _BEFORE_CRC or not ID_BYTES <= length <= MAX_PAYLOAD:
        return False
    return bool(at + HEADER_BYTES + length > len(data))


def _skip(data: bytes, at: int, *, last: bool) -> tuple[int, int]:
    """Find the next magic; say where, and whether frames were lost on the way there."""
    following = data.find(MAGIC, at + 1)
    if following >= 0:
        return following, 1
    if last:
        return len(data), int(not _is_torn(data, at))
    return max(at, len(data) - 1), int(not _is_zeros(data[at:-1]))


def _is_torn(data: bytes, at: int) -> bool:
    """Say whether an append was not completed here, so that nothing acknowledged is lost.

    After a loss of power, a file may also end in zeros that nobody wrote.
    """
    return _goes_on(data, at) or _is_zeros(data[at:])


def _is_zeros(data: bytes) -> bool:
    return data == bytes(len(data))
