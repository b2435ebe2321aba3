"""Processors change nothing that is not a secret, and take linear time on any text."""

from __future__ import annotations

import json
import os
import re
import sysconfig
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import attrs
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from trace_core import (
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
from trace_core._processors import (
    assignments,
    context,
    inner,
    manifests,
    payloads,
    pii,
    rules,
    scan,
    tables,
)
from trace_core._processors.clean import clean_text

HARMLESS = (Path(__file__).parent / "data" / "harmless.txt").read_text("utf-8").splitlines()
"""Code, prose, SQL, YAML, ids, digests, URLs, logs and other languages, one text a line."""
BLOCKS = list(
    map(
        json.loads,
        (Path(__file__).parent / "data" / "harmless_blocks.jsonl").read_text("utf-8").splitlines(),
    )
)
"""Texts of several lines: functions, tables, manifests, forms."""


def test_there_are_enough_texts() -> None:
    """A short list would prove little."""
    assert len({*HARMLESS, *BLOCKS}) >= 1_400


@pytest.mark.parametrize("text", [*HARMLESS, *BLOCKS])
def test_harmless_texts_stay(text: str) -> None:
    """What looks a little like a secret but is none stays as it is."""
    assert clean_text(text) is text


@pytest.mark.parametrize("glue", ["\n", " ", "\n\n    ", "\r\n", "\t"])
def test_harmless_texts_stay_together(glue: str) -> None:
    """So they do when they are one text, in which the end of one stands before the next."""
    text = glue.join([*HARMLESS, *BLOCKS])
    assert clean_text(text) == text


def span_with(text: str) -> Span:
    """A span with a text in it."""
    context = SpanContext("1" * 32, "1" * 16)
    return Span(context, None, "call", SpanKind.LLM, 1, 2, inputs={"prompt": text, "data": text})


def test_processors_leave_them_in_spans() -> None:
    """The very same span comes out, also in a field that may carry a file."""
    for text in HARMLESS:
        span = span_with(text)
        assert redact()(span) is span
        assert limit_payloads()(span) is span
    span = span_with("\n".join(HARMLESS))
    assert redact()(span) is span
    assert limit_payloads()(span) is span


HARMLESS_VALUES: list[Value] = [
    {"max_tokens": 100, "prompt_cache_key": "user-42-v3", "next_page_token": "CAUQAA1b2c3d4e5f"},
    {"prompt_tokens": 12, "completion_tokens": 34, "cached_tokens": 5, "tokens": [1, 2, 3]},
    {"token": "JavaScript2026", "logprob": -0.1, "bytes": [74, 97]},
    {"tokens": ["Java", "Script2026x"], "token_logprobs": [-0.1, -0.2]},
    {"token": "a word of the answer", "key": "PROJ-12345", "keys": ["id", "createdAt2"]},
    {"issue_key": "PROJ-12345", "s3_key": "uploads/2026/file2.pdf", "row_key": "row-000123"},
    {"event_key": "123e4567-e89b-12d3-a456-426614174000", "sort_key": "created_at_2026"},
    {"type": "thinking", "signature": "ErcBCkgIARABGAIiQDx7kZ9"},
    {"properties": {"api_key": {"type": "string", "description": "The key of the API"}}},
    {"required": ["api_key", "username", "region2"]},
    {"password": {"anyOf": [{"type": "string"}, {"type": "null"}], "title": "Password"}},
    {"credentials": {"$ref": "#/components/schemas/Credentials", "description": "of the user"}},
    {"api_key": {"type": ["string", "null"], "description": "The key", "enum": ["one", "other"]}},
    {"user-credential": {"post": {"operationId": "store_it", "tags": ["users"]}}},
    {"node_modules/visitor-keys": {"integrity": "sha512-MTyJk98sHvSs+cvZ4nOauwTTG1JeonDj=="}},
    {"password": {"type": "string", "minLength": 8}, "token": {"type": "string"}},
    [{"name": "password", "value": "required"}, {"name": "max_tokens", "value": "4096a"}],
    [("password", "username2"), ("api_key", "base_url2"), ("x-api-key", "x-request-id-2")],
    {"element": "Token search field", "text": "iPhone15Pro", "password": None},
    {"element": "Password help", "text": "page12b", "type": "text", "token": ""},
    {"secrets": ["db-credentials-v2", "registry-token"], "cookies": "we use two of them"},
    {"is_secret": True, "password": 1234, "secret": None, "access_key": "Alt+S"},
]


@pytest.mark.parametrize("value", HARMLESS_VALUES, ids=repr)
def test_harmless_mappings_and_lists_stay(value: Value) -> None:
    """Names that count, sort or describe, and values that only stand under a weak name."""
    span = attrs.evolve(span_with("x"), inputs=snapshot(value))
    assert redact(environment=False)(span) is span


PEM = "-----BEGIN PRIVATE KEY-----\n"
SHAPES = [
    *(PEM + "aaa: b," * 40, PEM + "aaa: b c\naaa: d\\n" * 9, PEM + "A" * 16 + " " * 72),
    *(PEM + "A" * 16 + '"' + "+" * 31 + "\n!", PEM + "A" * 16 + '"+' * 40 + "\n!"),
    *("<key> a1b2c3 ", "<key>a1b2c3</key>", "key %41a1b2c3 ", "redis://:", "b/key1a2b/mod1ule/"),
    *("\x1b[0m", "kind: Secret\0", "\n---\nkind: Secret\ndata:\n", "host=", "server=a=;"),
    *("a", "A", "1", " ", "=", ":", "-", "--", ".", "/", "\\", '"', '\\"', "@", "%20", "\n", "天"),
    *("key:", "key=", "key key ", "key:key:", "token=", "token   ", "password: ", "password="),
    *('"token": "', "api_key=a", "api_key: aaaa1a1 ", "token=aaaaaaa1 ", "pass", "sig=", "?key="),
    *(
        "--token aaaaa1 ",
        "authorization: bearer ",
        "bearer ",
        "basic aaaaaaaaaaaaaaaa ",
        "cookie: ",
    ),
    *("cookie: a=bbbb; ", "set-cookie: a=", "server=a;", "server=a;password=", "password=a b"),
    *("://", "://a:", "://a:@", "://a:b", "postgres://a:b ", "http://a:b@", "postgres://"),
    *("-----BEGIN PRIVATE KEY-----", "-----BEGIN PRIVATE KEY-----\nMIIEowIBAAKCAQEA\n", "-----"),
    *("<password>", "<password>a1", "</", "machine login a password ", "hooks.slack.com/"),
    *(
        "data:",
        "data:;base64,",
        "data:a/b;a=b",
        "data:;a;a;a",
        ";base64,",
        "data:image/png;base64,A",
    ),
    *("eyJ", "eyJaaaaaaaa.", "eyJaaaaaaaa.eyJ", "eyJhcGlfa2V5IjogInNrLWFudC", "ewog"),
    *("a@", "a@b.", "a.", "1 1", "+1", "(555) ", "+1 1 ", "4111 1111 1111 111", "1-", "a@a@"),
    *(
        "key=1|token=2|user=3|",
        '{"name":"value","list":[1,2,3]},',
        "[redacted:",
        "Q~",
        ":AA",
        "-us1",
    ),
    *("\x1b[32m", "\x1b[0;1;", "\\u001b[", "\\e[1m", "a1b2c3", "a1b2c3 ", "key a1b2c3d4 ", "a1/"),
    *(
        "my password is a1b2c3 ",
        "password for ",
        "password is is is is ",
        "key provided: ",
        "key: : ",
    ),
    *("identified by ", "identified with a by 'a1b2c3", "password('a1", "('token', 'a1b2c3'), "),
    *('"name": "API_KEY", "value": "', "name: X_KEY\n  value: a1b2c3\n", "value: ", "key\n - , \n"),
    *("password: |\n  a1b2c3\n", "secret: >-\n", '["token"] = ', "ENV A_TOKEN a1b2c3 ", "set -x "),
    *(
        "curl -u a:a1b2c3 ",
        " -u ",
        " -u a:",
        "mysql -pa1b2c3 ",
        "mysql ",
        "sshpass -p ",
        " -p a1b2c3",
    ),
    *(
        "://a1b2c3d4e5f6g7h8",
        "://a1b2c3d4e5f6g7h8@",
        "secret=a1b2c3d4&",
        ", Signature=a1b2",
        "密码：a1b2c3",  # noqa: RUF001
    ),
    *(
        "密码",
        "пароль: ",
        "mot de passe : ",
        "Private-Lines: 1\n",
        "Private-Lines: 1\n" + "a1B2" * 9,
    ),
    *("user,password\nb,abcdef1\n\n", "a;pwd\n", "password,a\nb,abcdef1\n", '"a,', 'pwd,a\n"a,'),
    *("key: str = ", "key: optional[str] | none = ", "token string = ", "key_2", "key[1]", "key?="),
    *('password="a1;b2&c3{', 'password="a1&b=', "token=a1B2c3D4 a1B2c3D4 ", "<token>\n", "|123|"),
    *("API_KEYS=a1b2c3d4e5f6,", "a1b2c3d4e5f6g7,", "JQQJ99", "sk-a1B2", "key \\\\"),
    *("kind: Secret\ndata:\n  a: b\n", 'kind: Secret "data":{"', '"data":{""', "data:\n a: |\n"),
    *("kind: Secret\\", '\\\\"', "--- apiVersion", "$2y$10$", "$6$", "machine a.b ", "*:*:"),
    *("auth=('a', '", "uth([", "jdbc:oracle:a:a/", "%3a%20%22", "password's "),
    *("insert into a(key) values (", "insert into a(key) values ('a1b2c3'),", "into a(", "('a',"),
    *("insert into a(token, b) values ((", "a | token\n---+---\n", "| a1b2c3\n", "+--", "(''a''"),
    *(" -b a=a1b2c3", "--cookie a=b;", 'key","a":"b","value":"', 'key: "a": "b", ', "key: some("),
    *('form-data; name="token"\n\n', "echo a1b2c3 | ", "echo a:", ".login('a', ", "jwt.sign({}, "),
    *(
        "clave es a1b2c3!! ",
        "password to a1b2c3!! ",
        "-U a%",
        "pw: a1b2c3 ",
        "token</td><td>a1b2c3",
    ),
    *(
        "token field",
        "<b>token:</b> <i>",
        "</b><b></b>",
        "a: / a1b2c3 ",
        "ogin a / ",
        "WIFI:T:a;P:",
    ),
    *("cookie: a=b; ", "key') or 'a1b2c3", "token']).fill('", ").fill('", "getConnection(a, 'b', "),
    *(":5432:a:", "machine a login ", "pbkdf2_sha256$", "{SSHA}", "http-basic.a b "),
    *(start for rule in rules.RULES for start in rule.starts),
    *(start + "a1" for rule in rules.RULES for start in rule.starts),
    *(one.literal for one in inner.INNER),
    *(one.literal + "a1B2" * 4 for one in inner.INNER),
]
SEARCHED: dict[str, re.Pattern[str]] = {
    **{f"{one.name} {one.literal}": inner.inner_pattern(one) for one in inner.INNER},
    **{
        name: getattr(assignments, name)
        for name in (
            "_ASSIGNMENT",
            "_OPTION",
            "_SCHEME",
            "_CONNECTED",
            "_FIRST_SETTING",
            "_LAST_SETTING",
            "_COOKIE",
            "_ELEMENT",
            "_COOKIE_OPTION",
        )
    },
    "_COLOUR": scan._COLOUR,
    "_NEXT": tables._NEXT,
    "_end": tables._end(","),
    "_row": tables._row(",", False, 3),
    "_INSERT": tables._INSERT,
    "_LAST_ROW": tables._LAST_ROW,
    "_inserted": tables._inserted(3),
    **{
        name: getattr(context, name)
        for name in ("_AFTER_NAME", "_SETTER", "_USER", "_REST", "_LISTED")
    },
    **{name: getattr(manifests, name) for name in ("_KIND", "_BLOCK", "_VALUE")},
    "_DATA_URL": payloads._DATA_URL,
    **{name: getattr(pii, name) for name in ("_EMAIL", "_INTERNATIONAL", "_LOCAL", "_CARD")},
}
"""The patterns that go through whole texts; the others match at one place."""
PROCESSORS = [redact(environment=False), limit_payloads(), redact_pii(), truncate(1_000_000)]


SMALL, LARGE = 4_500, 36_000
SLACK = 4
"""Quadratic time takes 8 times what linear time takes, here where LARGE is 8 times SMALL."""
ATTEMPTS = 5
LEAST_SECONDS = 100e-6


def is_linear(act: Callable[[str], object], unit: str) -> bool:
    """Return whether a long text takes about as many times longer as it is longer.

    The time counted is that of the processor for this thread alone, and the best of some attempts.
    """

    def taken(size: int) -> float:
        text = (unit * (size // len(unit) + 1))[:size]
        begun = time.thread_time()
        act(text)
        return time.thread_time() - begun

    allowed = LARGE / SMALL * SLACK
    return any(taken(LARGE) <= allowed * max(taken(SMALL), LEAST_SECONDS) for _ in range(ATTEMPTS))


def process(text: str) -> None:
    """Run all processors over a span with a text."""
    for processor in PROCESSORS:
        processor(span_with(text))


@pytest.mark.parametrize("unit", SHAPES)
def test_time_is_linear(unit: str) -> None:
    """Eight times an adversary's text takes about eight times as long, in all processors."""
    assert is_linear(process, unit)


@settings(max_examples=40)
@given(st.lists(st.sampled_from(SHAPES), min_size=1, max_size=4).map("".join))
def test_time_is_linear_of_shapes_in_a_row(unit: str) -> None:
    """So it does whatever is put together from such shapes."""
    assert is_linear(process, unit)


@pytest.mark.parametrize("name", SEARCHED)
def test_patterns_do_not_backtrack(name: str) -> None:
    """No pattern on its own takes more than linear time to find what is there or is not."""
    for unit in SHAPES[::7]:
        assert is_linear(lambda text: sum(1 for _ in SEARCHED[name].finditer(text)), unit), unit


@given(st.text(max_size=300), st.sampled_from([*SHAPES, ""]), st.text(max_size=20))
@example("*:*:*:*:*:*:0000", "", "")
def test_nothing_raises(before: str, shape: str, after: str) -> None:
    """Whatever a text holds, it is cleaned, and cleaning it again changes nothing."""
    span = span_with(before + shape * 3 + after)
    once = redact()(span)
    assert redact()(once) == once
    assert attrs.evolve(limit_payloads()(once), inputs=None) == attrs.evolve(once, inputs=None)


FOLDERS = ("", "asyncio", "collections", "concurrent", "email", "http", "json", "logging", "urllib")
PLANTED = {"http/cookies.py", "urllib/request.py", "urllib/parse.py", "secrets.py"}
"""Modules with examples of cookies and passwords in them."""


def test_the_standard_library_stays() -> None:
    """Half a million lines of code and prose that nobody wrote for this test."""
    root = Path(os.__file__).parent
    modules = [path for folder in FOLDERS for path in sorted((root / folder).glob("*.py"))]
    texts = {str(path.relative_to(root)): path.read_text("utf-8") for path in modules}
    changed = {name for name, text in texts.items() if clean_text(text) != text}
    assert len(texts) > 200
    assert changed <= PLANTED


@pytest.mark.parametrize("package", ["_pytest", "hypothesis", "attr", "litellm", "mlflow"])
def test_packages_stay(package: str) -> None:
    """The same of packages, where they are installed; all that is found there is an example."""
    found = find_spec(package)
    root = Path(*(found.submodule_search_locations or ())[:1]) if found else Path()
    if not root.is_relative_to(sysconfig.get_path("purelib")):  # `mlflow` is a folder of tests, too
        pytest.skip(f"{package} is not installed")
    texts = [path.read_text("utf-8") for path in sorted(root.glob("*.py"))]
    changed = [text for text in texts if clean_text(text) != text]
    assert len(changed) <= len(texts) // 20
