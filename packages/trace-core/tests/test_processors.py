"""What happens to spans on their way, above all that no secret gets through."""

from __future__ import annotations

import contextlib
import json
import logging
import random
import string
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trace_core import (
    ConfigurationError,
    Event,
    JsonLinesSink,
    MemorySink,
    Rejected,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TokenUsage,
    Tracer,
    Value,
    _log,
    drop_content,
    durable,
    encode,
    limit_payloads,
    pipeline,
    redact,
    redact_pii,
    remember_secret,
    sample,
    truncate,
)
from trace_core._cli.main import main
from trace_core._processors import clean as _clean
from trace_core._processors import secrets as _secrets
from trace_core._processors.clean import Cleaner
from trace_core._processors.redact import Redactor
from trace_core._processors.scan import find
from trace_core._processors.values import HARMLESS, looks_random

PEM = (
    "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,AB\n\n"
    "MIIEowIBAAKCAQEA0Z3VS5JJcds3xfn\n-----END RSA PRIVATE KEY-----"
)
PREFIXED = {
    "anthropic": "sk-ant-api03-" + "a1B2_c-D3" * 9,
    "openai project": "sk-proj-" + "Ab1_" * 12,
    "openai old": "sk-" + "a1B2c3D4" * 6,
    "openrouter": "sk-or-v1-" + "0f" * 32,
    "google": "AIza" + "Sy0123456789abcdefghijklmnopqrstuvw-"[:35],
    "google oauth": "ya29." + "a0Ab_c-1" * 6,
    "aws id": "AKIAABCDEFGHIJKLMNOP",
    "bedrock": "ABSK" + "QmVkcm9jaw" * 11,
    "huggingface": "hf_" + "aBcDeFgHiJ" * 4,
    "groq": "gsk_" + "a1B2" * 13,
    "xai": "xai-" + "a1B2c3" * 14,
    "perplexity": "pplx-" + "a1b2" * 12,
    "replicate": "r8_" + "a1B2" * 10,
    "github": "ghp_" + "a1B2" * 9,
    "gitlab": "glpat-" + "a1B2" * 6,
    "slack": "xoxb-" + "123456789-" * 3,
    "databricks": "dapi" + "0a1b" * 8,
    "langfuse": "sk-lf-12345678-1234-1234-1234-123456789abc",
    "stripe": "sk_live_" + "a1B2" * 6,
    "npm": "npm_" + "a1B2" * 9,
    "jwt": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N",
}
IN_CONTEXT = {
    "bearer": ("Authorization: Bearer {}", "abcdefghijklmnop1234567890"),
    "url": ("postgresql://user:{}@host/db", "hunter2hunter2"),
    "assigned": ("AWS_SECRET_ACCESS_KEY={}", "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY"),
    "json": ('{{"apiKey": "{}"}}', "0123456789abcdef0123456789abcdef"),
    "json in json": ('{{\\"password\\": \\"{}\\"}}', "correcthorsebattery"),
    "header": ("X-Api-Key: {}", "0123456789abcdef"),
    "query": ("https://host/path?api_key={}&x=1", "0123456789abcdef"),
    "azure's signed url": (
        "https://a.blob.core.windows.net/c/b?sv=2024&sig={}&se=2026",
        "a1B2%2Bc3D4" * 4 + "%3D",
    ),
    "amazon's signed url": ("https://b.s3.amazonaws.com/o?X-Amz-Signature={}", "0f" * 32),
    "amazon's token": ("https://b.s3.amazonaws.com/o?X-Amz-Security-Token={}&a=b", "IQoJb3Jp" * 9),
    "google's signed url": ("https://storage.googleapis.com/b/o?X-Goog-Signature={}", "0f" * 256),
    "pem": ("look: {} ok", PEM),
}
SECRETS = {name: ("look: {} ok", value) for name, value in PREFIXED.items()} | IN_CONTEXT
LOOKALIKES = [
    "chatcmpl-9fZr2NzXyQpLmKjHgFdSaWqErTyUi",
    "msg_01XFDUDYJgAACzvnptvVoYEL",
    "toolu_01A09q90qw90lq917835lq9",
    "call_abcdefghijklmnopqrstuvwx",
    "0af7651916cd43dd8448eb211c80319c",
    "da39a3ee5e6b4b0d3255bfef95601890afd80709",
    "123e4567-e89b-12d3-a456-426614174000",
    "sk-learn is a library, task-force-members-should-know",
    "the key: a token is a unit of text",
    "max_tokens=1000000000",
    "https://example.com:8080/a/b@c",
    "basic training for beginners",
    "f(sig=inspect.signature(g)), design=abcdefghijklmnopqrstuvwxyz",
]


def fields_with(text: str) -> Span:
    """A span with a text in every place one can be."""
    nested = {"deep": ({"list": (text,)},), text: "as a key"}
    return Span(
        SpanContext("1" * 32, "1" * 16),
        None,
        text,
        SpanKind.LLM,
        1,
        2,
        status=Status(StatusCode.ERROR, text),
        inputs=nested,
        outputs=(text, nested),
        attributes={"url.full": text, "tags": (text,)},
        events=(Event(text, 1, {"exception.message": text, "exception.stacktrace": text}),),
        resource={"command": text},
    )


@pytest.fixture(autouse=True)
def forget_secrets() -> Iterator[None]:
    """What one test remembers is not known to the next."""
    _secrets._remembered.clear()
    yield
    _secrets._remembered.clear()


@pytest.mark.parametrize("name", SECRETS)
def test_secrets_are_removed_everywhere(name: str) -> None:
    """A planted secret of each kind is in no field of the span, and the text around it stays."""
    template, secret = SECRETS[name]
    span = redact()(fields_with(template.format(secret)))
    written = encode(span).decode()
    assert secret not in written
    assert json.dumps(secret)[1:-1] not in written
    assert "[redacted:" in written
    assert "as a key" in written


ALNUM = string.ascii_letters + string.digits


def machine_made(seed: int) -> str:
    """A secret without a format of its own."""
    chance = random.Random(seed)
    made = ("".join(chance.choices(ALNUM, k=20 + seed % 9)) for _ in range(100))
    return next(one for one in made if looks_random(one) and not HARMLESS.match(one.lower()))


NAMED: dict[str, Callable[[str], Value]] = {
    "an assignment": lambda secret: f"export API_TOKEN={secret}",
    "a sentence": lambda secret: f"The password for the database is {secret}.",
    "a header": lambda secret: f"Authorization: Bearer {secret}",
    "a cookie": lambda secret: f"Cookie: theme=dark; session={secret}",
    "a URL": lambda secret: f"redis://default:{secret}@cache.internal:6379/0",
    "a table": lambda secret: f"user,password\nme,{secret}\n",
    "a name": lambda secret: {"hf_token": secret},
    "a header's name": lambda secret: {"Authorization": f"Bearer {secret}"},
    "a name and a value": lambda secret: ({"name": "API_KEY", "value": secret},),
    "a pair": lambda secret: (("x-api-key", secret),),
    "several": lambda secret: {"api_keys": (secret, secret)},
}
BARE = ("{}", "it said {}, and", "GET /v1/{}/items 404", '{{"found": "{}"}}', "({})")
PLACES = ("name", "status", "inputs", "outputs", "attributes", "event", "resource", "key")


def with_value(span: Span, place: str, value: Value) -> Span:
    """The span with a value in a place; where only a text fits, with the value as JSON."""
    text = value if isinstance(value, str) else json.dumps(value)
    changes: dict[str, dict[str, Any]] = {
        "name": {"name": text},
        "status": {"status": Status(StatusCode.ERROR, text)},
        "attributes": {"attributes": {**span.attributes, "of.it": value}},
        "event": {"events": (*span.events, Event("exception", 1, {"message": value}))},
        "resource": {"resource": {**span.resource, "of.it": value}},
        "key": {"attributes": {**span.attributes, text: 1}},
    }
    return attrs.evolve(span, **changes.get(place, {place: ("a text", {"content": value})}))


@given(
    st.integers(0, 1_000_000).map(machine_made),
    st.sampled_from(sorted(NAMED)),
    st.permutations(PLACES),
    st.sampled_from(BARE),
    st.booleans(),
)
def test_what_one_text_of_a_span_tells_goes_from_all(
    secret: str, named: str, places: list[str], bare: str, many: bool
) -> None:
    """A secret that its name tells in one place is repeated bare in another, once or more often."""
    value, text = NAMED[named](secret), bare.format(secret)
    span = with_value(with_value(fields_with("x" * 9), places[0], text), places[1], text)
    if many:
        span = with_value(span, "attributes", tuple(f"a text, number {n}" for n in range(1_500)))
    processor = redact(environment=False)
    if bare != BARE[3]:
        assert secret in encode(processor(span)).decode()
    assert secret not in encode(processor(with_value(span, places[2], value))).decode()
    assert secret in encode(processor(span)).decode()


@pytest.mark.parametrize(
    ("named", "text"),
    [
        ("password: Sommer1", "Sommer1"),  # short
        ("password: correcthorsebattery", "correcthorsebattery"),  # letters alone
        ("token=a1B2c3D4e5F6", "a1B2c3D4e5F6g"),  # a longer word
        ("primary_key=a1B2c3D4e5F6", "a1B2c3D4e5F6"),
        ({"authorization": "see version-2 of it"}, "version-2"),
        ({"credentials": {"region": "eu-central-1", "user": "bot-2026"}}, "eu-central-1 bot-2026"),
        ({"api_key": "tenant-42"}, "tenant-42"),
        ({"cookie": "theme=dark2024; lang=en-GB2"}, "dark2024 en-GB2"),
    ],
    ids=repr,
)
def test_what_may_be_a_word_stays_in_other_texts(named: Value, text: str) -> None:
    """Only what is long and has a digit is looked for elsewhere, and as a word of its own."""
    span = attrs.evolve(fields_with("x" * 9), inputs=named, outputs=text)
    assert redact(environment=False)(span).outputs == text


def test_a_secret_is_removed_to_its_very_end() -> None:
    """Longer than usual, at the end, twice in a row: nothing of a key is left over."""
    key = "sk-ant-api03-" + "x1" * 2_500
    cleaned = redact()(fields_with(f"{key} {key}\n{key}"))
    assert "xxxx" not in encode(cleaned).decode()


@pytest.mark.parametrize("text", LOOKALIKES)
def test_lookalikes_stay(text: str) -> None:
    """Ids, digests and prose that resemble secrets are left alone: the very same span returns."""
    span = fields_with(text)
    assert redact()(span) is span


def test_what_is_filed_under_a_secret_name() -> None:
    """Everything under such a key goes, however it looks; numbers and other keys stay."""
    inputs = {
        "api_key": "abc123xyz",
        "extra_headers": {"X-Api-Key": "0123456", "Authorization": ("whatever it is",)},
        "Ocp-Apim-Subscription-Key": "azure-bare-key",
        "aws_secret_access_key": "bare",
        "password": {"value": "nested secret"},
        "token": "a word of the answer",
        "max_tokens": 5,
        "is_secret": True,
    }
    cleaned = redact()(attrs.evolve(fields_with("x" * 9), inputs=inputs)).inputs
    assert cleaned == {
        "api_key": "[redacted:by name]",
        "extra_headers": {
            "X-Api-Key": "[redacted:by name]",
            "Authorization": ("[redacted:by name]",),
        },
        "Ocp-Apim-Subscription-Key": "[redacted:by name]",
        "aws_secret_access_key": "bare",
        "password": {"value": "[redacted:by name]"},
        "token": "a word of the answer",
        "max_tokens": 5,
        "is_secret": True,
    }


def test_known_values(monkeypatch: pytest.MonkeyPatch) -> None:
    """Secrets without any pattern go when the environment, the program or the call knows them."""
    processor = redact(known=lambda: ["given-by-function"])
    texts = {
        "of the environment": "cohere0123456789bare",
        "of the call": "azure-bare-32-hex-0a1b2c3d",
        "of a function": "given-by-function",
    }
    monkeypatch.setenv("COHERE_API_KEY", texts["of the environment"])
    remember_secret(texts["of the call"])
    written = encode(processor(fields_with("; ".join(texts.values())))).decode()
    for text in texts.values():
        assert text not in written
    monkeypatch.setenv("COHERE_API_KEY", "changed-in-between-1")
    changed = fields_with("changed-in-between-1")
    assert "changed-in" not in encode(processor(changed)).decode()
    assert redact(environment=False)(changed) is changed


def test_remembering_is_bounded_and_ignores_words() -> None:
    """Short texts and other things are ignored, old secrets make room for new ones."""
    for value in (None, 5, "short", b"bytes-of-a-secret"):
        remember_secret(value)
    assert _secrets.remembered_secrets() == ()
    for index in range(_secrets.MAX_REMEMBERED + 10):
        remember_secret(f"secret number {index}")
    kept = _secrets.remembered_secrets()
    assert len(kept) == _secrets.MAX_REMEMBERED
    assert kept[-1] == f"secret number {_secrets.MAX_REMEMBERED + 9}"


def test_own_patterns() -> None:
    """More kinds of secrets can be given by pattern."""
    span = redact(patterns={"ticket": r"TICKET-\d+"})(fields_with("see TICKET-12345"))
    assert span.status.description == "see [redacted:ticket]"


@given(st.text(), st.sampled_from(sorted(PREFIXED)), st.text())
def test_a_secret_between_anything(before: str, name: str, after: str) -> None:
    """Whatever surrounds a secret, but letters and digits that would make it another word."""
    secret = PREFIXED[name]
    text = f"{before} {secret} {after}"
    assert secret not in encode(redact()(fields_with(text))).decode()


@given(st.text(alphabet="aA0 -_.:=@/sk\"'\\\u0130é", max_size=200))
def test_redaction_is_stable(text: str) -> None:
    """Redacting twice is redacting once, and never raises."""
    once = redact()(fields_with(text))
    assert redact()(once) == once


def test_no_secret_reaches_the_disk(folder: Path, memory: MemorySink) -> None:
    """The 29 secrets, in every field, through the durable pipeline: neither spool nor sink."""

    def away(spans: object) -> None:
        raise OSError("away")

    file = JsonLinesSink(folder / "out.jsonl")
    for sink, place in ((away, "spool"), (file, "spool2")):
        tracer = Tracer(durable(sink, spool_dir=folder / place, environ={}))
        for template, secret in SECRETS.values():
            text = template.format(secret)
            try:
                with tracer.span("call", inputs=[{"content": text}], attributes={"a": text}) as s:
                    s.set(outputs=text)
                    raise ValueError(text)
            except ValueError:
                pass  # the span has it
        tracer.close(5)
    everything = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    assert everything.count(b'"call"') >= 2 * len(SECRETS)
    for name, (_, secret) in SECRETS.items():
        assert json.dumps(secret)[1:-1].encode() not in everything, name


def test_no_secret_is_logged_or_shown(
    folder: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Whatever fails with a secret in its error: no log, no dead letter, no command tells it."""
    caplog.set_level(logging.DEBUG)
    text = "\n".join(template.format(secret) for template, secret in SECRETS.values())
    _fail_in_every_way(text, folder)
    main(["spool", "show", "--dead", "--dir", str(folder)])
    main(["spool", "show", "--json", "--dir", str(folder)])
    shown = capfd.readouterr()
    lines = [logging.Formatter().format(record) for record in caplog.records]
    assert sum(" failed: ValueError: look: " in line for line in lines) == 2
    assert any("Traceback" in line for line in lines)
    assert any("cannot write" in line and "KeyError" in line for line in lines)
    assert "refused:" in shown.out
    files = [path.read_text("utf-8", "replace") for path in folder.rglob("*") if path.is_file()]
    everything = "\n".join([shown.out, shown.err, *lines, *files])
    for name, (_, secret) in SECRETS.items():
        for written in (secret, json.dumps(secret)[1:-1], repr(secret)[1:-1]):
            assert written not in everything, name


def _fail_in_every_way(text: str, place: Path) -> None:
    """Have a processor, a sink, a poisoned span and a refusal fail, each with a text."""
    _log._said.clear()  # each kind of trouble is told once

    def choking(span: Span) -> Span:
        if span.name == "choke":
            raise ValueError(text)
        return span

    def failing(spans: Sequence[Span]) -> None:
        if any(span.name == "refuse" for span in spans):
            raise Rejected(text)
        if any(span.name == "poison" for span in spans):
            raise KeyError(text)
        if any(span.name == "away" for span in spans):
            raise ConnectionError(text)

    sink = durable(failing, spool_dir=place, environ={}, processors=[choking], batch_size=2)
    tracer = Tracer(sink)
    for name in ("refuse", "poison", "well", "choke", "away"):
        with contextlib.suppress(ValueError), tracer.span(name, inputs=text):
            raise ValueError(text)
        tracer.flush(1.0 if name != "away" else 0.1)
    _log.report("leaving a call", ValueError(text))
    tracer.close(0.1)


def test_the_doctor_keeps_secrets(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A password in the address of a sink is in neither the findings nor the complaints."""
    monkeypatch.setenv("TRACE_SINKS", "mlflow:http://user:hunter2hunter2@127.0.0.1:5000")
    main(["doctor"])
    main(["doctor", "--json"])
    main(["replay", __file__, "--to", "nosuch:http://user:hunter2hunter2@host"])
    shown = capsys.readouterr()
    assert "TRACE_SINKS" in shown.out
    assert "nosuch" in shown.err
    assert "hunter2hunter2" not in shown.out + shown.err


def test_what_was_harmless_is_looked_at_again() -> None:
    """A text seen before is redacted as soon as a secret in it becomes known."""
    processor = redact()
    span = fields_with("an-unprefixed-value")
    assert processor(span) is span
    assert processor(span) is span
    remember_secret("an-unprefixed-value")
    assert "an-unprefixed" not in encode(processor(span)).decode()


def test_only_short_texts_are_remembered() -> None:
    """However many texts pass by, what a cleaner remembers of them is bounded."""
    cleaner = Cleaner()
    for number in range(3_000):
        assert cleaner.cached(f"{number} harmless") is None
    assert cleaner.cached.cache_info().currsize <= 2_048
    assert cleaner.cached.cache_info().misses == 3_000


def test_a_failing_redactor_drops_the_content(memory: MemorySink) -> None:
    """If looking for secrets fails, what was not looked at does not go on."""

    def broken() -> list[str]:
        raise RuntimeError

    sink = pipeline(redact(known=broken), sink=memory)
    sink.write((fields_with("said"),))
    assert "said" not in repr(attrs.evolve(memory.spans[0], name="", resource={}, events=()))


def test_personal_data() -> None:
    """E-mail addresses, telephone and card numbers go; what fails the checksum stays."""
    text = (
        "mail a.b+c@mail.example.org or call +49 170 1234567 or (555) 123-4567, "
        "card 4111 1111 1111 1111, not 4111 1111 1111 1112; build 20261123, v1.2.3.4"
    )
    cleaned = redact_pii()(fields_with(text)).status.description
    assert cleaned == (
        "mail [redacted:e-mail] or call [redacted:phone] or [redacted:phone], "
        "card [redacted:card], not 4111 1111 1111 1112; build 20261123, v1.2.3.4"
    )
    only_mail = redact_pii(phone=False, card=False)(fields_with(text)).status.description
    assert "4111 1111 1111 1111" in str(only_mail)


@pytest.mark.parametrize(
    "text",
    [
        *("icon@2x.png", "logo@3x.min.svg", "react@18.2.0-rc.next", "user@1000.service"),
        *("git@github.com:org/repo.git", "git@gitlab.com:group/sub/repo", "git@host.org:repo.git"),
        *("ssh://git@github.com/org/repo.git", "https://deploy@example.com/x", "user@host"),
        *("ssh root@server.example.com", "ssh -i ~/.ssh/id -p 22 deploy@host.example.com uptime"),
        *("scp a.txt deploy@host.example.com:", "rsync -avz ./x deploy@host.example.com:y/"),
        *("ISBN 978-3-16-148410-0", "ISBN: 0-306-40615-2", "Order 555-123-4567", "id 415-555-2671"),
        *("1700000000000", "1700000000000000000", "20260101120000", "2026-01-01 12:00:00.123456"),
        *("100 200 3000", "12 345 6789", "192.168.100.200", "+0.123456789", "1e+10", "+10000000"),
        *("a@b.T", "@app.route", "10.1234/5678-9012", "4111 1111 1111 1112", "1234567890123456"),
        *("123e4567-e89b-12d3-a456-426614174000", "tracking no. 123-456-7890", "x = y @ z.T"),
    ],
)
def test_what_only_looks_personal_stays(text: str) -> None:
    """Files, versions, machines, numbers of orders and books, times and tables."""
    span = fields_with(text)
    assert redact_pii()(span) is span


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("mailto:bob@x.org?subject=1", "mailto:[redacted:e-mail]?subject=1"),
        ("<joe@x.de>, joe@163.com;", "<[redacted:e-mail]>, [redacted:e-mail];"),
        ("with ssh, mail joe@x.de", "with ssh, mail [redacted:e-mail]"),
        ("joe@x.com:8080 joe@x.com.", "[redacted:e-mail]:8080 [redacted:e-mail]."),
        ("(555)123-4567 or 212.555.1234", "[redacted:phone] or [redacted:phone]"),
        ("phone: 555 123 4567", "phone: [redacted:phone]"),
        ("order by phone 123-456-7890", "order by phone [redacted:phone]"),
        ("3782 822463 10005 4222222222222", "[redacted:card] [redacted:card]"),
        ("5555-5555-5555-4444,6011111111111117", "[redacted:card],[redacted:card]"),
    ],
)
def test_what_is_personal_goes(text: str, cleaned: str) -> None:
    """In the forms that people write."""
    assert redact_pii()(fields_with(text)).status.description == cleaned


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"known": "a single secret"}, "known is a list of secrets, got a single one"),
        ({"known": b"a single secret"}, "known is a list of secrets, got a single one"),
        ({"known": ["one", 2, 3, None]}, "known is a list of texts, got NoneType, int, str"),
        ({"patterns": ["ab+"]}, r"patterns is a mapping by name, got \['ab\+'\]"),
        ({"patterns": {"mine": "("}}, "the pattern 'mine' is not a valid regular expression"),
        ({"patterns": {"mine": 5}}, "the pattern 'mine' is not a valid regular expression"),
    ],
)
def test_what_cannot_be_redacted_by_is_refused(options: dict[str, Any], complaint: str) -> None:
    """When the processor is made, and says what was wanted and what was given."""
    with pytest.raises(ConfigurationError, match=f"^{complaint}"):
        redact(**options)


def test_a_redacting_processor_is_named_and_tells_no_secret() -> None:
    """Counts and messages name it."""
    processor = redact(known=["a secret of mine"], environment=False)
    assert repr(processor) == "<redact()>"
    assert processor.__name__ == "redact"


def test_a_users_pattern_is_found_in_many_texts() -> None:
    """Also at their ends, which texts that are searched together do not have."""
    texts = [f"{number} TICKET-12345" for number in range(2_000)]
    span = redact(patterns={"ticket": r"TICKET-\d+$"})(attrs.evolve(fields_with("x"), inputs=texts))
    assert "TICKET" not in encode(span).decode()


def test_few_searches(monkeypatch: pytest.MonkeyPatch) -> None:
    """What came before is not searched again, secrets or not, and many texts are searched as one."""
    searched: list[str] = []
    monkeypatch.setattr(_clean, "find", lambda text: searched.append(text) or find(text))
    processor = redact()
    for _ in range(2):
        span = processor(fields_with(PREFIXED["groq"]))
        assert PREFIXED["groq"] not in encode(span).decode()
        assert len(searched) == len(set(searched))
    searched.clear()
    processor(attrs.evolve(span, inputs=[f"a text, number {index}" for index in range(2_000)]))
    assert len(searched) == 1


def test_what_is_looked_for_is_prepared_once() -> None:
    """Until another secret is known: to prepare takes longer than to look."""
    known = ["a secret of mine"]
    processor = Redactor(lambda: known, {}, environment=False)
    before = processor._walk()
    assert processor._walk() is before
    known.append("another secret of mine")
    assert processor._walk() is not before
    assert processor._walk() is processor._walk()


def test_sampling(make_span: Callable[..., Span]) -> None:
    """The share is about right, decided by the trace, and errors and slow spans are kept."""
    keep = sample(0.25, keep_slower_than=10)
    traces = [f"{i * 11400714819323198485 % 2**64:032x}" for i in range(10_000)]
    kept = sum(keep(make_span(context=SpanContext(t, "1" * 16))) is not None for t in traces)
    assert 2_200 < kept < 2_800
    dropped = SpanContext("f" * 32, "1" * 16)
    assert keep(make_span(context=dropped)) is None
    assert keep(make_span(context=dropped, status=Status(StatusCode.ERROR))) is not None
    assert keep(make_span(context=dropped, end_ns=0)) is not None
    assert keep(make_span(context=dropped, start_ns=0, end_ns=11 * 10**9)) is not None
    with pytest.raises(ConfigurationError, match="from 0 to 1"):
        sample(2)


def test_truncation() -> None:
    """Long texts are cut, saying how long they were; a span without any is the very same."""
    span = fields_with("x" * 50)
    assert truncate(100)(span) is span
    assert truncate(10)(span).status.description == "x" * 10 + "… (50 characters)"
    with pytest.raises(ConfigurationError, match="at least 1"):
        truncate(0)


def test_metadata_only() -> None:
    """What was said goes; that something happened, how long, how much and how it ended stays."""
    span = attrs.evolve(
        fields_with("said"),
        name="chat",
        usage=TokenUsage(1, 2, 3),
        attributes={"gen_ai.request.model": "m", "gen_ai.input.messages": "said"},
        events=(Event("exception", 1, {"exception.type": "T", "exception.message": "said"}),),
        resource={},
    )
    kept = drop_content()(span)
    assert "said" not in encode(kept).decode()
    assert kept.usage == span.usage
    assert kept.status.code is StatusCode.ERROR
    assert kept.attributes == {"gen_ai.request.model": "m"}
    assert kept.events[0].attributes == {"exception.type": "T"}


def test_large_payloads() -> None:
    """Images, base64 and vectors become a description; small ones and prose stay."""
    image = "data:image/png;base64," + "iVBORw0KGgo" * 500
    raw = "QUJDa1b2" * 500
    inputs = {
        "image": image,
        "inside": f"look at {image} please",
        "b64_json": raw,
        "source": {"type": "base64", "media_type": "image/png", "data": raw},
        "images": (raw, raw),
        "vector": tuple(float(i) for i in range(1_536)),
        "short": {"b64_json": "QUJD"},
        "few": (1, 2, 3),
        "prose": "many words " * 500,
        "content": raw,
        "data": raw,
    }
    limit = limit_payloads()
    result = limit(attrs.evolve(fields_with("x"), inputs=inputs)).inputs
    assert isinstance(result, dict)
    assert result["image"]["kind"] == "image/png"
    assert result["image"]["length"] == len(image)
    encoded = {"kind": "base64", "length": 4_000, "sha256": ANY}
    assert result["b64_json"] == encoded
    assert result["source"]["data"] == encoded
    assert result["images"] == (encoded, encoded)
    assert result["vector"]["kind"] == "vector"
    assert result["vector"]["length"] == 1_536
    assert str(result["inside"]).startswith(f"look at <image/png: {len(image)} characters, sha256")
    kept = ("short", "few", "prose", "content", "data")
    assert [result[key] for key in kept] == [inputs[key] for key in kept]
    span = fields_with("nothing large")
    assert limit(span) is span


WITHOUT_BLANKS = {
    "DNA": "ACGTTGCA" * 256,
    "protein": "MKTAYIAKQRQISFVKSHFSRQ" * 64,
    "hex": "da39a3ee5e6b4b0d3255bfef95601890afd80709" * 32,
    "digits": "31415926535897932384" * 64,
    "base64 of a text": "VGhlIHF1aWNrIGJyb3duIGZveCBqdW1wcyBvdmVy" * 32,
    "camel case": "someVeryLongIdentifier2" * 64,
}


@pytest.mark.parametrize("kind", WITHOUT_BLANKS)
def test_long_words_are_no_payloads(kind: str) -> None:
    """A long text without blanks is no file: it stays whole, wherever a user may write it."""
    text = WITHOUT_BLANKS[kind]
    places = {
        "messages": ({"role": "user", "content": text},),
        "arguments": {"data": text, "sequence": text, "result": text},
        "content": ({"type": "text", "text": text},),
    }
    span = attrs.evolve(fields_with("x"), inputs=places, outputs=text)
    assert limit_payloads()(span) is span


@given(
    st.text(alphabet="ACGTacgt0123456789+/=", min_size=1_024, max_size=1_500),
    st.sampled_from(["content", "text", "sequence", "input", "data", "prompt"]),
)
def test_no_field_of_a_user_is_cut(text: str, field: str) -> None:
    """Only fields that carry files in a provider's format are cut."""
    span = attrs.evolve(fields_with("x"), inputs={field: text})
    assert limit_payloads()(span) is span


@pytest.mark.parametrize(
    ("text", "is_base64"),
    [
        ("QUJa1b2D\r\n" * 500 + "QQ==\n", True),
        ("QUJa1b2D" * 250 + "===", False),
        ("QUJa1b2D" * 250 + "=" + "QUJa1b2D" * 250, False),
        ("QUJa1b2D" * 250 + " QUJD", False),
        ("QUJa1b2D" * 250 + "\u00e9", False),
    ],
)
def test_what_is_base64_to_its_end(text: str, is_base64: bool) -> None:
    """Padding ends it; what only begins like it stays."""
    cleaned = limit_payloads()(attrs.evolve(fields_with("x"), inputs={"b64_json": text})).inputs
    assert isinstance(cleaned, dict)
    assert (cleaned["b64_json"] != text) == is_base64
