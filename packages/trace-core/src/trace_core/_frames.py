"""The spool's records on disk: framed, checksummed, and findable again after damage.

A frame is ``magic(2) version(1) kind(1) length(4) crc32(4) payload(length)``, little-endian. The
payload is the span's id (16 bytes) and the span as UTF-8 JSON. No byte of the magic occurs in
UTF-8, so a reader that lost its place finds the next frame by searching for it. The checksum
covers the eight bytes before it as well, so that a run of zeros is no frame.
"""

from __future__ import annotations

import struct
import zlib
from typing import Final

import attrs

from trace_core._codec import encode
from trace_core._model import Span

MAGIC: Final = b"\xf5\xfa"
VERSION: Final = 1
SPAN: Final = 0
"""Kind of a finished span's frame."""
START: Final = 1
"""Kind of the frame that says a span has started."""
ID_BYTES: Final = 16
MAX_PAYLOAD: Final = 64 * 1024 * 1024

_HEAD: Final = struct.Struct("<2sBBI")
_CRC: Final = struct.Struct("<I")
HEADER_BYTES: Final = _HEAD.size + _CRC.size


@attrs.frozen
class Frame:
    """A frame read back.

    Args:
        kind: `SPAN` or `START`.
        span_id: The span's id.
        data: The span as JSON.
        end: Offset behind it in its segment.
    """

    kind: int
    span_id: bytes
    data: bytes
    end: int


def pack(span: Span, kind: int = SPAN) -> bytes:
    """Write a span as a frame.

    Args:
        span: The span.
        kind: `SPAN` or `START`.
    """
    payload = span_key(span) + encode(span)
    head = _HEAD.pack(MAGIC, VERSION, kind, len(payload))
    return b"".join((head, _CRC.pack(zlib.crc32(payload, zlib.crc32(head))), payload))


def span_key(span: Span) -> bytes:
    """Return a span's id as the 16 bytes a frame carries."""
    return span.context.span_id.encode("ascii", "replace")[:ID_BYTES].ljust(ID_BYTES)


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
    found = Reading(next=base)
    at = 0
    while at < len(data) and len(found.frames) < limit:
        length = _length_at(data, at)
        if length > 0:
            payload = data[at + HEADER_BYTES : at + HEADER_BYTES + length]
            end = base + at + HEADER_BYTES + length
            found.frames.append(Frame(data[at + 3], payload[:ID_BYTES], payload[ID_BYTES:], end))
            at += HEADER_BYTES + length
        elif length == _TOO_SHORT and not last:
            break
        else:
            at, lost = _skip(data, at, last=last)
            found.damaged += lost
            if not lost and not last:
                break
    found.next = base + at
    return found


_BAD: Final = 0
_TOO_SHORT: Final = -1


def _length_at(data: bytes, at: int) -> int:
    """Return the payload's length of a whole and sound frame, else `_BAD` or `_TOO_SHORT`."""
    if len(data) - at < HEADER_BYTES:
        return _TOO_SHORT if MAGIC.startswith(data[at : at + 2]) else _BAD
    magic, version, _, length = _HEAD.unpack_from(data, at)
    if magic != MAGIC or version != VERSION or not ID_BYTES <= length <= MAX_PAYLOAD:
        return _BAD
    begin = at + HEADER_BYTES
    if begin + length > len(data):
        return _TOO_SHORT
    (wanted,) = _CRC.unpack_from(data, at + _HEAD.size)
    view = memoryview(data)
    found = zlib.crc32(view[begin : begin + length], zlib.crc32(view[at : at + _HEAD.size]))
    return length if found == wanted else _BAD


def _skip(data: bytes, at: int, *, last: bool) -> tuple[int, int]:
    """Find the next magic; say where, and whether frames were lost on the way there."""
    following = data.find(MAGIC, at + 1)
    if following >= 0:
        return following, 1
    if last:  # a torn tail: the append was never completed, so nothing acknowledged is lost
        return len(data), 0
    return max(at, len(data) - 1), int(len(data) - 1 > at)
