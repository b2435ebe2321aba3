"""Escapes what a terminal would act on."""

from __future__ import annotations

import re
from typing import Final

_UNPRINTABLE: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f"  # control characters, among them ESC, CSI, OSC and line breaks
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # marks that change the direction of text
    "\u2028\u2029\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)


def printable(text: str) -> str:
    r"""Escape what a terminal would act on: control characters, line breaks, bidi marks.

    Args:
        text: Any text, such as a model's name or an error from a provider.

    Returns:
        One line, with escapes such as ``\x1b`` and ``\u202e``.
    """
    return _UNPRINTABLE.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    return found.group().encode("unicode_escape").decode()
