"""What redaction costs, on the writer's thread: of a message of 50 KB, of a megabyte of any shape.

Run: python bench/redaction.py
"""

from __future__ import annotations

import base64
import hashlib
import json
import random
import statistics
import string
import time
from collections.abc import Callable
from pathlib import Path

from trace_core import Span, SpanContext, SpanKind, Value, redact, remember_secret

SENTENCES = (
    "The committee met on Tuesday to discuss the budget for the coming year. ",
    "Each token of the answer costs a little; the key to success is patience. ",
    "Basic research: it took years, and nobody knew what would come of it. ",
)
PROSE = ("".join(SENTENCES[:1]) * 700)[:50_000]
TECHNICAL = ("".join(SENTENCES) * 300)[:50_000]
HIT = PROSE[:25_000] + " sk-ant-api03-" + "a1B2" * 20 + " " + PROSE[:24_900]
RANDOM = random.Random(13)
ALNUM = string.ascii_letters + string.digits
PRINTABLE = "".join(map(chr, range(32, 127)))
CYRILLIC = "".join(map(chr, range(0x430, 0x450)))
TOLD = "token=a1B2c3D4e5F6g7H8"
MEGABYTES: dict[str, Callable[[], Value]] = {
    "prose": lambda: " ".join(word(6) for _ in range(143_000)),
    "short texts": lambda: tuple(word(8) for _ in range(90_000)),
    "short keys and values": lambda: {word(8): word(8) for _ in range(45_000)},
    "objects": lambda: tuple({"id": word(8), "name": word(10), "n": 5} for _ in range(22_000)),
    "lists of one": lambda: tuple((word(5),) for _ in range(90_000)),
    "nested objects": lambda: tuple({"a": {"b": ({word(3): word(3)},)}} for _ in range(32_000)),
    "names of secrets": lambda: {f"{word(4)}_token": word(12) for _ in range(36_000)},
    "assignments": lambda: tuple(f"token={word(7)}1" for _ in range(55_000)),
    "assigned words": lambda: tuple(f"token={word(8)}" for _ in range(55_000)),
    "secrets and their like": lambda: tuple(
        one
        for number in range(21_000)
        for one in (f"token={word(12)}{number}", f"{word(12)}{number} {number}")
    ),
    "a secret among lists": lambda: (TOLD, *((word(5),) for _ in range(90_000))),
    "a secret among objects": lambda: (
        TOLD,
        *({"a": {"b": ({word(3): word(3)},)}} for _ in range(32_000)),
    ),
    "secrets in long texts": lambda: tuple(f"{n} {'key x+a1b2c3 ' * 380}" for n in range(200)),
    "keys": lambda: tuple(f"sk-{word(48, ALNUM)}" for _ in range(18_000)),
    "any characters": lambda: tuple(word(12, PRINTABLE) for _ in range(60_000)),
    "Cyrillic": lambda: tuple(word(8, CYRILLIC) for _ in range(50_000)),
    "a log": lambda: "".join(
        f"2026-11-30 11:{n % 60:02}:07 INFO [{word(6)}] {word(8, ALNUM)} took 7 ms, tokens={n}\n"
        for n in range(14_000)
    ),
    "code": lambda: "".join(
        f"    token = self.{word(6)}.next_token({word(8)})  # {word(8)}\n" for _ in range(15_500)
    ),
    "source code": lambda: "".join(
        path.read_text("utf-8")
        for path in sorted(Path(str(random.__file__)).parent.glob("[a-h]*.py"))
    )[:1_000_000],
    "a table": lambda: "id,token\n" + "".join(f"{n},{word(16, ALNUM)}\n" for n in range(42_000)),
    "manifests": lambda: "".join(
        f"---\nkind: Secret\nmetadata:\n  name: {word(8)}\ndata:\n  {word(5)}: {word(12)}\n"
        for _ in range(13_000)
    ),
    "a log of JSON": lambda: "".join(
        f'{{"ts": "2026-11-30T11:{n % 60:02}:07Z", "id": "{word(12, ALNUM)}", "tokens": {n}}}\n'
        for n in range(12_000)
    ),
    "words behind ?sig": lambda: "?sig a1b2c3d4 " * 71_000,
    "words behind bearer": lambda: "bearer='a1b2c3d4'," * 55_000,
    "arguments": lambda: "key('a','a1b2c3d4') " * 50_000,
    "tokens and ids": lambda: "".join(f"tokens={n} {word(8, ALNUM)} " for n in range(48_000)),
    "sentences": lambda: "".join(f"the key is {word(9)}1\n" for _ in range(45_000)),
    "commands": lambda: "".join(f" -p {word(6, ALNUM)}1" for _ in range(90_000)),
    "names alone": lambda: "pw= " * 250_000,
    "quoted names": lambda: '"password": "' * 77_000,
    "brackets": lambda: f"into a (key,b) values {'(' * 999_970}",
    "a netrc": lambda: "machine a.b login " * 55_000,
    "joined paths": lambda: "".join(f"b/src/key{n}/mod{n}ule/v{n}/" for n in range(30_000)),
    "paths": lambda: "".join(f"+++ b/src/key{n}/mod{n}ule/v{n}.py\n" for n in range(25_000)),
    "header rows": lambda: "|a|key|\n|--|--|\n" * 62_500,
    "JSON in JSON": lambda: json.dumps(json.dumps(MEGABYTES["manifests"]())),
    "Chinese": lambda: tuple(f"密码：{word(8)}{n}" for n in range(50_000)),  # noqa: RUF001
    "all kinds": lambda: "".join(
        f"sk-{word(20, ALNUM)} token={word(9)}1 key is {word(9)}1 a://b:{word(8)}@c.d/ {n}\n"
        for n in range(13_000)
    ),
}
"""Each of about a megabyte as JSON."""


def word(length: int, letters: str = string.ascii_lowercase) -> str:
    """Return a random word."""
    return "".join(RANDOM.choices(letters, k=length))


def milliseconds(action: Callable[[], object], times: int = 31) -> tuple[float, float]:
    """Return the least and the median time that a call takes of this thread."""
    taken = []
    for _ in range(times):
        begun = time.thread_time()
        action()
        taken.append((time.thread_time() - begun) * 1e3)
    return min(taken), statistics.median(taken)


def main() -> None:
    """Measure and print."""
    for number in range(5):  # as long and as random as keys are
        remember_secret(base64.b64encode(hashlib.sha256(bytes([number])).digest()).decode())
    processor = redact()
    for name, text in (("prose", PROSE), ("prose full of keywords", TECHNICAL), ("a hit", HIT)):
        span = Span(SpanContext("1" * 32, "1" * 16), None, "x", SpanKind.LLM, 1, 2, inputs=text)
        least, median = milliseconds(lambda span=span: processor(span))
        print(f"{name}: {least:.3f} ms at least, median {median:.3f}")
    for name, make in MEGABYTES.items():
        span = Span(SpanContext("1" * 32, "1" * 16), None, "x", SpanKind.LLM, 1, 2, inputs=make())
        least, median = milliseconds(lambda span=span: processor(span), 9)
        print(f"a megabyte, {name}: {least:.0f} ms at least, median {median:.0f}")


if __name__ == "__main__":
    main()
