"""Any text and any value takes work in proportion to its size: texts made to be slow.

The work is counted in calls of functions, Python's and C's, which no clock and no other program
changes. What a single call of a pattern takes is compared with itself in `test_harmless_texts`.
"""

from __future__ import annotations

import base64
import json
import random
import re
import string
import sys
from collections.abc import Callable
from functools import partial
from types import FrameType, MappingProxyType
from typing import Any

import attrs
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from trace_core import (
    Event,
    Span,
    SpanContext,
    SpanKind,
    Value,
    limit_payloads,
    redact,
    redact_pii,
    snapshot,
    truncate,
)
from trace_core._processors import look, scan, walk
from trace_core._processors.budget import UNJUDGED, Budget, left_of
from trace_core._processors.by_name import filed_under
from trace_core._processors.clean import Cleaner, clean_text
from trace_core._processors.inner import INNER
from trace_core._processors.look import Look
from trace_core._processors.many import BETWEEN, names_among
from trace_core._processors.near import near_names
from trace_core._processors.rules import RULES
from trace_core._processors.scan import find

RANDOM = random.Random(13)
ALNUM = string.ascii_letters + string.digits
PRINTABLE = "".join(map(chr, range(32, 127)))
NAMES = [
    "key",
    "token",
    "password",
    "secret",
    "auth",
    "pwd",
    "sig",
    "cookie",
    "bearer",
    "basic",
    "api_key",
    "x-api-key",
    "-u",
    "-p",
]
SIGNS = [": ", "=", ":", " ", "_", "' : '", "-", " is ", '": "', " -> ", ":\n  ", ", "]
STARTS = [start for rule in RULES for start in rule.starts] + [inner.literal for inner in INNER]
PROCESSORS = {
    "redact": redact(environment=False),
    "limit_payloads": limit_payloads(),
    "redact_pii": redact_pii(),
    "truncate": truncate(1_000_000),
}
SMALL, LARGE = 16_384, 65_536
CALLS_AT_ONCE, CALLS_A_CHARACTER = 80_000, 2.0


def word(length: int, alphabet: str = ALNUM) -> str:
    """A random word."""
    return "".join(RANDOM.choices(alphabet, k=length))


def number(digits: int) -> str:
    """A random number."""
    return word(digits, string.digits)


def name() -> str:
    """The name of a secret."""
    return RANDOM.choice(NAMES)


def sign() -> str:
    """What stands between a name and a value."""
    return RANDOM.choice(SIGNS)


def in_base64(size: int) -> str:
    """JSON in base64, in JSON in base64, and so on."""
    text = json.dumps({"key": word(50)})
    while len(text) < size * 9 // 16:
        text = json.dumps({"a": base64.b64encode(text.encode()).decode()})
    return text


PIECES: dict[str, Callable[[], str]] = {
    "printable": lambda: word(64, PRINTABLE),
    "letters and digits": lambda: word(64),
    "with blanks": lambda: word(64, ALNUM + " " * 6),
    "Latin": lambda: word(64, "".join(map(chr, range(32, 256)))),
    "Greek to Georgian": lambda: word(64, "".join(map(chr, range(0x370, 0x1100)))),
    "Chinese": lambda: word(64, "".join(map(chr, range(0x4E00, 0x9000)))),
    "Chinese names": lambda: RANDOM.choice(["密码", "令牌", "是", "a1b2c3", ": ", "天地", "key"]),
    "emoji": lambda: word(64, "".join(map(chr, range(0x1F300, 0x1F600)))),
    "hex": lambda: word(64, "0123456789abcdef"),
    "digits": lambda: number(64),
    "digits and signs": lambda: word(64, "0123456789 -+()."),
    "URLs with logins": lambda: f"https://{word(6)}:{word(10)}@{word(6)}.com/{word(5)} ",
    "URLs": lambda: f"https://{word(6)}.com/{word(5)}?key={word(8)}&x=1 ",
    "databases": lambda: f"postgres://{word(4)}:{word(12)}@db.{word(5)}:5432/x\n",
    "e-mail": lambda: f"{word(6)}.{word(5)}@{word(7)}.com, ",
    "e-mail and ssh": lambda: f"ssh {word(5)}@{word(7)}.com ",
    "cards": lambda: f"4111 1111 1111 1111 {number(4)} {number(4)} {number(4)} {number(4)}, ",
    "groups of digits": lambda: "4111 1111 ",
    "telephones": lambda: f"+{number(2)} {number(3)} {number(4)}; ({number(3)}) {number(3)}-1234 ",
    "assignments": lambda: f"{name()}{sign()}{word(8)} ",
    "assignments of words": lambda: f"{name()}{sign()}{word(8, string.ascii_lowercase)} ",
    "names": lambda: f"{name()}{sign()}",
    "key:key:": lambda: "key:key:",
    "options": lambda: f"--token {word(6)}1 ",
    "commands": lambda: f" -p {word(6)}1",
    "words behind a name": lambda: f"key {word(4)}1{word(4)} ",
    "a list of secrets": lambda: f"API_KEYS={word(12)},{word(12)},",
    "paths": lambda: f"b/key{number(4)}/m{number(3)}a/v{number(5)}b.py\n",
    "words behind what may be a name": lambda: (
        f"?sig {word(4)}1{word(3)} bearer='{word(3)}1a{word(3)}' "
    ),
    "words with digits": lambda: f"word{number(2)} {word(4)}1{word(4)} ",
    "keys": lambda: RANDOM.choice(STARTS) + word(40) + RANDOM.choice(" \n,"),
    "begins of keys": lambda: RANDOM.choice(STARTS) + RANDOM.choice(["", "a1", " "]),
    "everything": lambda: RANDOM.choice([name(), sign(), word(6), RANDOM.choice(STARTS), "\n"]),
    "equals": lambda: "=",
    "colons": lambda: ":",
    "JSON": lambda: json.dumps({"id": word(8), "n": 5, "name": word(10), "key": word(5)}),
    "JSON in JSON in JSON": lambda: json.dumps(json.dumps(json.dumps({"token": word(8)}))),
    "base64 of JSON": lambda: base64.b64encode(b'{"a":"%s"}' % word(30).encode()).decode() + " ",
    "data URLs": lambda: "data:image/png;base64," + word(20) + " ",
    "colours": lambda: "\x1b[0;1;",
    "manifests": lambda: f"kind: Secret\ndata:\n  {word(5)}: {word(12)}\n",
    "files": lambda: (
        f"host:5432:{word(4)}:{word(4)}:{word(9)} machine a.b login {word(4)} password {word(9)} "
    ),
    "hashes of passwords": lambda: f"{word(4)}:$2y$10${word(53)}\n",
    "connections": lambda: f"server={word(3)};password={word(5)}",
}
VALUES: dict[str, Callable[[int], object]] = {
    "lists of one": lambda size: [[1]] * (size // 4),
    "lists of one each": lambda size: [[i] for i in range(size // 6)],
    "empty mappings": lambda size: [{}] * (size // 4),
    "words": lambda size: [word(6) for _ in range(size // 9)],
    "numbers": lambda size: [[0.5] * 300] * (size // 1_200),
    "short keys": lambda size: {f"k{i}": 1 for i in range(size // 9)},
    "keys of secrets": lambda size: {f"{word(4)}_token": word(12) for _ in range(size // 30)},
    "mappings of any key": lambda size: [{word(5): i} for i in range(size // 14)],
    "names and values": lambda size: [
        {"name": f"{word(5)}_token", "value": word(12)} for _ in range(size // 45)
    ],
    "pairs": lambda size: [["x-api-key", word(12)] for _ in range(size // 30)],
    "messages": lambda size: [
        {"role": "user", "content": f"{word(10)} {i}"} for i in range(size // 45)
    ],
    "a secret tree": lambda size: {"password": [{"a": word(6)} for _ in range(size // 14)]},
    "a secret in many texts": lambda size: [
        "API_TOKEN=a1B2c3D4e5F6g7H8",
        *(f"a1B2c3D4e5F6g7H8 {i}" for i in range(size // 24)),
    ],
    "secrets in many texts": lambda size: [
        one for i in range(size // 50) for one in (f"token={word(12)}{i}", f"{word(12)}{i} {i}")
    ],
    "texts": lambda size: [word(100, PRINTABLE) for _ in range(size // 104)],
    "base64 in base64": in_base64,
}


def span_with(value: object) -> Span:
    """A span with a value in it."""
    return Span(
        SpanContext("1" * 32, "1" * 16), None, "call", SpanKind.LLM, 1, 2, inputs=snapshot(value)
    )


def text_of(piece: Callable[[], str], size: int) -> str:
    """Pieces in a row."""
    parts, length = [], 0
    while length < size:
        parts.append(piece())
        length += len(parts[-1])
    return "".join(parts)


def calls(act: Callable[[], object]) -> int:
    """Count the calls of functions while something is done."""
    count = 0

    def note(_frame: FrameType, event: str, _argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        act()
    finally:
        sys.setprofile(before)
    return count


def assert_little_work(processor: Callable[[Span], object], small: Value, large: Value) -> None:
    """The larger value takes little work for its size, and not much more than the smaller."""
    few = calls(partial(processor, span_with(small)))
    many = calls(partial(processor, span_with(large)))
    assert many <= CALLS_AT_ONCE + CALLS_A_CHARACTER * LARGE
    assert many <= 1.5 * LARGE / SMALL * few + 40_000


@pytest.mark.slow
@pytest.mark.parametrize("processor", PROCESSORS)
@pytest.mark.parametrize("kind", PIECES)
def test_texts_take_little_work(kind: str, processor: str) -> None:
    """Whatever is in a text."""
    small, large = (text_of(PIECES[kind], size) for size in (SMALL, LARGE))
    assert_little_work(PROCESSORS[processor], small, large)


@pytest.mark.parametrize("processor", PROCESSORS)
@pytest.mark.parametrize("kind", VALUES)
def test_values_take_little_work(kind: str, processor: str) -> None:
    """However many items a value has, and whatever they are called."""
    small, large = (snapshot(VALUES[kind](size)) for size in (SMALL, LARGE))
    assert_little_work(PROCESSORS[processor], small, large)


def test_words_that_nothing_leads_to_are_told_at_a_glance() -> None:
    """A text near names may be full of them: each is one step of a pattern and little else."""
    text = "?sig a1b2c3d4 " * 5_000
    assert calls(partial(find, text)) <= 4 * 5_000


PLACES = st.lists(st.tuples(st.integers(0, 90), st.integers(1, 30)), max_size=6).map(
    lambda some: sorted((begin, begin + length) for begin, length in some)
)


@given(PLACES, PLACES, st.integers(0, 5))
def test_what_is_withheld_is_left_out(places: Any, withheld: Any, longest: int) -> None:
    """Every other character of the places is left, and the last ones of what is withheld."""
    found = [(begin, end, UNJUDGED) for begin, end in withheld]
    left = left_of(places, [*found, (0, 99, "assigned")], longest)
    gone = {at for begin, end in withheld for at in range(begin, end - longest)}
    wanted = {at for begin, end in places for at in range(begin, end)} - gone
    assert {at for begin, end in left for at in range(begin, end)} == wanted


def test_what_is_too_much_to_judge_is_withheld() -> None:
    """Of a text full of secrets none gets through, and the text behind it is judged again."""
    secrets = [f"token={word(14)}7a" for _ in range(20_000)]
    text = "\n".join(["before", *secrets, "a word " * 20_000, "token=A7b8C9d0E1f2", "after"])
    cleaned = clean_text(text)
    assert not any(secret.partition("=")[2] in cleaned for secret in secrets)
    assert cleaned.startswith("before\ntoken=[redacted:assigned]\n")
    assert "[redacted:too many to judge]" in cleaned
    assert cleaned.endswith("a word a word \ntoken=[redacted:assigned]\nafter")


def test_a_thousand_secrets_are_few() -> None:
    """Text around as many secrets as anybody writes down stays."""
    text = "\n".join(f"line {i} token={word(14)}7a end" for i in range(900))
    assert clean_text(text).count(" end") == 900


@pytest.mark.parametrize("crowd", ["pw= ", "key: ", '"password": "', "a,key\n", "auth=('a',"])
def test_a_crowd_of_names_is_withheld(crowd: str) -> None:
    """To look behind each would take a megabyte of names without values a third of a second."""
    cleaned = clean_text(f"before\n{crowd * (1_000_000 // len(crowd))}\nafter token=a1B2c3D4e5")
    assert cleaned.startswith("before\n")
    assert "[redacted:too many to judge]" in cleaned
    assert len(cleaned) < 950_000
    assert "a1B2" not in cleaned


@pytest.mark.parametrize("text", ["token ", "my_own_key = one\n", "tokens=1, total=7\n"])
def test_names_all_over_a_text_are_no_crowd(text: str) -> None:
    """Code, a log and what a model says again and again stay."""
    text *= 1_000_000 // len(text)
    assert clean_text(text) is text


def test_keys_stay_between_too_many_secrets() -> None:
    """A mapping keeps its items where more is in all texts together than can be judged."""
    value = [one for i in range(2_500) for one in (f"token={word(14)}7a", {"role": f"user {i}"})]
    inputs = redact(environment=False)(span_with(value)).inputs
    assert isinstance(inputs, tuple)
    assert all("7a" not in str(one) for one in inputs[::2])
    assert all(isinstance(one, dict) and list(one) == ["role"] for one in inputs[1::2])


@pytest.mark.parametrize("texts", [20, 200, 900, 3_000])
def test_a_span_has_one_allowance(texts: int) -> None:
    """However its secrets are spread over texts; what is not judged is withheld, not kept."""
    each = 45_000 // texts
    value = [f"text {n}\n" + f"token={word(14)}7a\n" * each for n in range(texts)]
    value.append("the last " * 20_000 + "\ntoken=A7b8C9d0E1f2\nafter")
    for processor in (redact(environment=False), redact(patterns={"mine": "no such"})):
        inputs = processor(span_with(value)).inputs
        assert isinstance(inputs, tuple)
        cleaned = "\n".join(map(str, inputs))
        assert "7a" not in cleaned
        assert 500 < cleaned.count("[redacted:assigned]") < 3_000
        assert str(inputs[0]).startswith("text 0\ntoken=[redacted:assigned]")
        assert str(inputs[-1]).endswith("the last \ntoken=[redacted:assigned]\nafter")


def test_what_one_text_says_leaves_no_secret_in_another() -> None:
    """A word about manifests beside an escaped one; what is not judged and has no digit."""
    manifest = "apiVersion: v1\nkind: Secret\ndata:\n  foo: aHVudGVyMmh1bnRlcg==\n"
    prose = "the committee met on Tuesday " * 1_200
    for other in ("we use kind: Secret here", json.dumps(manifest)):
        value = [other, json.dumps({"m": json.dumps(manifest)}), manifest, prose]
        assert "aHVud" not in str(redact(environment=False)(span_with(value)).inputs)
    secrets = [f"{n} " + "token=worda07a1b2\n" * 1_200 for n in range(3)]
    value = [*secrets, *(f"{word(3)} password=Correct!Horse a" for _ in range(10)), "said so"]
    inputs = redact(environment=False)(span_with(value)).inputs
    assert "Correct" not in str(inputs)
    assert "said so" in str(inputs)


def test_many_texts_are_cleaned_like_one() -> None:
    """A span with thousands of texts loses the secrets of each, and nothing else."""
    harmless = [f"word {i} of {i}" for i in range(3_000)]
    secret = {f"password=Xk{i}fd9Zq" for i in range(50)}
    value = [
        *harmless,
        *secret,
        {"x-api-key": "a1B2c3D4e5F6", "n": 1},
        ["hf_token", "a1B2c3D4e5F6"],
        MappingProxyType({"hf_token": "a1B2c3D4e5F6"}),
        {"name": "HF_TOKEN", "value": "a1B2c3D4e5F6"},
    ]
    for processor in (redact(), redact(patterns={"mine": "no such"})):
        inputs = processor(span_with(value)).inputs
        assert isinstance(inputs, tuple)
        assert list(inputs[:3_000]) == harmless
        assert set(inputs[3_000:3_050]) == {"password=[redacted:assigned]"}
        assert inputs[3_050] == {"x-api-key": "[redacted:by name]", "n": 1}
        assert inputs[3_051] == ("hf_token", "[redacted:by name]")
        assert inputs[3_052] == {"hf_token": "[redacted:by name]"}
        assert inputs[3_053] == {"name": "HF_TOKEN", "value": "[redacted:by name]"}
    span = span_with(harmless)
    assert redact()(span) is span
    assert redact_pii()(span) is span
    mails = redact_pii()(span_with([*harmless, "a@b.com", BETWEEN, "c@d.org!"])).inputs
    assert mails == (*harmless, "[redacted:e-mail]", BETWEEN, "[redacted:e-mail]!")


def test_a_long_value_that_holds_names_is_gone_through_once() -> None:
    """Places where to look may all be within one value, which goes on behind each."""
    text = "k=" + ("a" * 500 + "k=") * 200
    places = [(begin, begin + 100) for begin in range(0, len(text), 502)]
    found = Budget().candidates(re.compile("k=[ka=]+"), text, places=places)
    assert sum(len(one.group()) for one in found) <= len(text)


@pytest.mark.parametrize("word", ["glpat-abcdefghijklmnop=", "_authToken=gloas-.ABIA"])
def test_words_that_a_rule_takes_for_one_are_judged_once(
    word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some rules go on behind what ends a word."""
    judged = list[int]()
    is_random = scan._is_random
    monkeypatch.setattr(
        scan, "_is_random", lambda one, rule: judged.append(len(one)) or is_random(one, rule)
    )
    text = word * 10_000
    find(text)
    assert judged
    assert sum(judged) <= 2 * len(text)


def test_identifiers_that_begin_like_keys_are_not_withheld() -> None:
    """What a test run prints is full of them."""
    lines = [f"tests/test_a.py::test_some_long_name_of_it[{n}] PASSED" for n in range(2_500)]
    assert redact()(span_with("\n".join(lines))).inputs == "\n".join(lines)
    assert redact()(span_with(lines)).inputs == tuple(lines)


def test_what_follows_is_found_where_much_is_withheld() -> None:
    """A table whose header row is withheld, and a value that goes on behind."""
    filler = "token=a1B2c3D4e5\n" * 8_000
    begin, end, _ = next(one for one in find(filler) if one[2] == UNJUDGED)
    rows = "".join(f"{n},bob{n},hunter{n}x9\n" for n in range(1_000))
    table = clean_text(f"{filler[: end - 600]}\nid,name,password\n{rows}")
    value = clean_text(f'{filler[: end - 600]}\nx = {{"secret": "{"a1B2" * 1_000}"}}\nend')
    assert begin < end - 600
    assert "hunter" not in table
    assert "a1B2" * 10 not in value
    assert value.endswith('"}\nend')


@pytest.mark.parametrize("letters", range(50, 70))
def test_a_password_is_long_before_its_first_digit(letters: int) -> None:
    """What is joined is looked at as a whole, up to 64 characters before a word with a digit."""
    secret = f"{'mHxtWf#SSuCyUhQ!' * 5}"[:letters] + "#jokfc1"
    assert ("[redacted" in clean_text(f"my password {secret}")) == (letters < 64)


def test_what_another_version_found_is_found() -> None:
    """A long name before a thousand others, a long host, a password behind its flag; rows of "pass"."""
    named = {"administrator_password": "correct-horse", **{f"key_{n}a": "v" for n in range(1_200)}}
    assert "correct-horse" not in str(redact(environment=False)(span_with(named)).inputs)
    host = f"{'a' * 40}.{'b' * 30}.{'c' * 40}.example.com"
    assert "horse" not in clean_text(f"machine {host} login bob password correcthorse")
    joined = ("mHxtWf~SSuCyUhQ~" * 4) + "jokfc1x"
    assert "jokfc1x" not in clean_text(f"mysql -p{joined}")
    rows = "\n".join(f"{n}: pass" for n in range(30_000))
    assert clean_text(rows) is rows


@pytest.mark.parametrize(
    "text",
    [
        "see the next\ntoken=A7b8C9d0E1f2",  # which would be a count on one line
        "Passwort -hunter2!xa1b2c3d4pubkey",  # whose sign belongs to what is joined
        "curl -u eva:c$oUQ~%O1Mqkbv/hunter2x9 a.b",  # of which some is no word alone
        "".join(f"\x1b[38;5;{n}mpassword\x1b[0m: \x1b[1;{n}mhunter2x9\x1b[m\n" for n in range(60)),
        "postgres://eve:hunter2x9@db.example.com/x",
        "machine a.b.c login eve password hunter2x9",
        "machine localhost login eve password hunter2x9",
        "machine localhost. password hunter2x9",
        '密码 = b"hunter2x9"',
        "the password is 2024!hunter2x9",
        "LOG=max\0TOKEN=A7b8C9d0E1f2\0A=1",
    ],
)
def test_passwords_are_found_by_patterns_that_fail_soon(text: str) -> None:
    """What keeps a pattern from trying the same text twice hides nothing from it."""
    cleaned = clean_text(text)
    assert "[redacted" in cleaned
    assert "hunter2" not in cleaned
    assert "A7b8" not in cleaned


@pytest.mark.parametrize("text", ["<key> a1b2c3 a b ", "<key>a1b2c3</key>\n", "key %41a1b2c3 "])
def test_words_to_which_nothing_leads_stay(text: str) -> None:
    """However many anybody writes; what follows them is found."""
    text *= 1_000_000 // len(text)
    assert clean_text(text) is text
    assert (
        clean_text(f"{text}the password is a1B2c3D4e5\n")
        == f"{text}the password is [redacted:assigned]\n"
    )


@pytest.mark.parametrize("crowd", ["<key> a1b2c3 ", "密码 a/a1b2c3 a1b2c3$", "key.c2st$argon2:=.."])
def test_a_crowd_of_words_is_withheld(crowd: str) -> None:
    """To look at what is before each would take as long as all the rest."""
    cleaned = clean_text(f"before\n{crowd * (1_000_000 // len(crowd))}\nthe password is a1B2c3D4e5")
    assert cleaned.startswith("before\n")
    assert "[redacted:too many to judge]" in cleaned
    assert "a1B2" not in cleaned


@pytest.mark.parametrize(
    "text",
    [
        "-xoxb-1234567890%2Fabcde x",
        "----------ATATTa+B3dE5gH7jK9mN1pQ3 x",
        "_fio-u-8Ov6wvWza=bS2DGR_3IDdALzml9rcNz7ixPa3nLfMVT0QaLvK6UQ_RdMa1yIRU x",
        "%_shippo_live_" + "a1b2c3d4" * 5,
    ],
)
def test_punctuation_before_a_key_hides_nothing(text: str) -> None:
    """Nor does what may be an escape before it, where a key has signs that no word has."""
    assert "[redacted" in clean_text(text)


def test_a_manifest_ends_with_its_text() -> None:
    """What one text says of manifests does not make values of the others secret."""
    others = [f'{{"data": {{"title": "hello", "city": "Paris{n}"}}}}' for n in range(1_500)]
    texts = [*others, "it says kind: Secret, see the docs of credentials"]
    assert redact()(span_with(texts)).inputs == tuple(texts)


KNOWN = "a1b2c3d4e5f6g7"
NETRC = ["machine ", "default ", "login ", "account ", "password ", "a.b "]
SNIPPETS = st.one_of(
    st.sampled_from(
        [*NAMES, *SIGNS, *STARTS, *NETRC, KNOWN, "a1B2c3D4", "\u0130", BETWEEN, "\0\n", " "]
    ),
    st.text(ALNUM, min_size=8, max_size=64),
    st.text(max_size=3),
)
TEXTS = st.lists(st.lists(SNIPPETS, min_size=1, max_size=6).map("".join), max_size=8, unique=True)


def names_of(text: str) -> list[tuple[int, int]]:
    return near_names(text.lower(), text.encode("ascii", "replace").lower(), ((0, len(text)),))


@given(TEXTS)
@example([f"{KNOWN}sk_live_0000000001"])
@example(["step by step by", "token=a1B2c3D4e5f6"])
@example(["<password>a1B2c3D4e5", "a word"])
@example(["machine", "login a password b1c2d3"])
@example(["machine a.b login", "password b1c2d3e4"])
def test_texts_searched_together_are_cleaned_as_each_alone(texts: list[str]) -> None:
    """Nothing of one text has a part in what is found in the next, but for lists behind a key.

    They are searched where a name is near, and the name may be its neighbour's.
    """
    cleaner = Cleaner([KNOWN])
    alone, together = cleaner.change(texts), cleaner.change_many(texts)
    differ = {t for t in texts if together.texts.get(t) != alone.texts.get(t)}
    assert not [text for text in differ if "," not in text or names_of(text)]
    assert differ or {*together.told, KNOWN} == {*alone.told, KNOWN}  # known is sought anyway


@settings(max_examples=40)
@given(st.lists(SNIPPETS, min_size=1, max_size=8).map("".join), st.integers(300_000, 900_000))
@example("密码a1b2c3 b2c3d4 ", 1_000_000)
def test_what_comes_again_and_again_hides_no_secret(again: str, length: int) -> None:
    """However much of it is withheld, what is known is not left, and nothing fails."""
    text = again * (length // max(1, len(again)))
    cleaned = Cleaner([KNOWN]).clean(f"{text}\npassword=hunter2x9y8 and {KNOWN}")
    assert cleaned is not None
    assert "hunter2x9y8" not in cleaned[0]
    assert KNOWN not in cleaned[0]


@given(TEXTS)
def test_names_looked_for_together_are_found_as_each_alone(texts: list[str]) -> None:
    """So it is for names of secrets, in any script."""
    short = [text for text in texts if len(text) <= 64]
    assert names_among(texts) == {text: kind for text in short if (kind := filed_under(text))}


def test_a_list_of_texts_is_no_list_of_names() -> None:
    """Thousands of texts that mention keys are not judged as names, of which there may be fewer."""
    value = [*(f"key {i}" for i in range(3_000)), {"hf_token": "see page 12"}]
    span = span_with(value)
    assert redact(environment=False)(span) is span


HELD = st.recursive(
    st.one_of(
        st.sampled_from(["token", "user", "note", "Secret", "password=a1B2c3D4e5", "a1B2c3D4e5"]),
        st.just(1),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(
            st.sampled_from(["api_key", "name", "value", "kind", "data", "a1B2c3D4e5", "n"]),
            inner,
            max_size=4,
        ),
        st.dictionaries(st.just("x_token"), inner, max_size=1).map(MappingProxyType),
    ),
    max_leaves=30,
)


@given(HELD, HELD, st.sampled_from([1, 2, 16]))
@example("password=a1B2c3D4e5", {"api_key": {"a1B2c3D4e5": "token"}}, 1)
def test_what_is_passed_over_has_nothing_to_change(one: Any, two: Any, step: int) -> None:
    """Where few containers hold what changes, only those are walked through, with the same result."""
    span = attrs.evolve(span_with(None), attributes={"a": one}, events=(Event("e", 1, {"b": two}),))
    object.__setattr__(span, "inputs", (one, [two, one]))  # not copied
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Look, "around", lambda *_: None)
        every = redact(environment=False)(span)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("_WORTH_IT", 0), ("_FEW", 0.01), ("_STEP", step), ("_last", None)):
            patch.setattr(look, name, value)
        some = redact(environment=False)(span)
    assert some == every


@given(HELD, HELD)
@example({"name": "token", "value": "a1B2c3D4e5"}, 1)
def test_names_are_found_where_they_stand(one: Any, two: Any) -> None:
    """In a span of many texts only some are looked at for names, with the same result."""
    span = attrs.evolve(span_with(None), attributes={"a": one}, events=(Event("e", 1, {"b": two}),))
    object.__setattr__(span, "inputs", (one, [two, one], [f"{i}" for i in range(200)]))
    every = redact(environment=False)(span)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(walk, "MANY", 0)
        assert redact(environment=False)(span) == every


def test_of_too_many_also_those_of_several_lines_are_withheld() -> None:
    """A digit counts wherever it is."""
    # A random word may begin like a placeholder: xxx, todo. None begins with q.
    texts = [f"a line\ntoken=q{word(13)}7a" for _ in range(20_000)]
    changed = Cleaner().change_many(texts).texts
    assert not any("7a" in changed.get(text, text) for text in texts)
