"""What a caller saw, made comparable: without ids, times and what counts requests."""

from __future__ import annotations

import json
import re
import traceback
from pathlib import Path
from typing import Any


def comparable(seen: Any) -> Any:
    """Make what a caller saw comparable: without ids, times and what counts requests."""
    if isinstance(seen, BaseException):
        return [described(error) for error in chain_of(seen)]
    if isinstance(seen, (list, tuple)):
        return [comparable(one) for one in seen]
    if hasattr(seen, "model_dump"):
        return type(seen), scrub(json.dumps(seen.model_dump(), default=str, sort_keys=True))
    if isinstance(seen, dict):
        return scrub(json.dumps(seen, default=str, sort_keys=True))
    return seen


def chain_of(error: BaseException | None) -> list[BaseException]:
    """Follow an exception to those it was raised from, or while handling."""
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found


def described(error: BaseException) -> Any:
    """Tell an exception: its kind, its text, what it says besides, and where it came through."""
    frames = [
        (Path(frame.filename).name, frame.name)
        for frame in traceback.extract_tb(error.__traceback__)
        if not any(own in frame.filename for own in ("trace_litellm", "trace_core"))
    ]
    kept = ("status_code", "code", "param", "llm_provider", "model", "num_retries", "max_retries")
    told = {name: getattr(error, name, None) for name in kept}
    return type(error), scrub(str(error)), told, error.__suppress_context__, frames


def scrub(text: str) -> str:
    text = re.sub(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}", "UUID", text)
    text = re.sub(
        r"((?:cmpl|chatcmpl|modr|resp|msg|req|run|rerank|gemini)[-_])[A-Za-z0-9_=-]+", r"\1ID", text
    )
    text = re.sub(r"[0-9a-f]{32}", "BOUNDARY", text)
    text = re.sub(r"-(plain|trace)", "-LANE", text)
    text = re.sub(r"\d+\.\d+(e-?\d+)?", "F", text)
    return re.sub(r"\d{3,}", "N", text)
