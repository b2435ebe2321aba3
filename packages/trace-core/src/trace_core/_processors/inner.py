"""The formats of secrets that can be told by something inside them or before them.

The patterns never repeat a repetition, so that each takes time proportional to the text it matches.
"""

from __future__ import annotations

import functools
import re
from typing import Final

import attrs


@attrs.frozen(eq=False)
class Inner:
    """How to recognise secrets by something inside them or before them.

    Args:
        name: What the replacement says.
        literal: Every text with such a secret contains this ...
        source: A pattern, whose group ``secret``, where it has one, is what is replaced.
        random: Whether what is replaced must look as if a machine had made it.
        short: Whether there may be no word in it that is as long as keys.
        also: ... and this.
        before: A pattern for what stands before ``source`` and belongs to the secret.
        behind: Characters there may be before ``literal``, where the pattern does not begin with
            it.
    """

    name: str
    literal: str
    source: str
    random: bool = False
    short: bool = False
    also: str = ""
    before: str = ""
    behind: int = 0


@functools.cache  # compiled when first needed: all of them would make importing slow
def inner_pattern(inner: Inner) -> re.Pattern[str]:
    """Return the compiled pattern that is searched for.

    Args:
        inner: The rule.
    """
    return re.compile(inner.source)


@functools.cache
def pattern_before(inner: Inner) -> re.Pattern[str]:
    """Return the compiled pattern of what stands before the rest and belongs to the secret.

    Args:
        inner: The rule.
    """
    return re.compile(rf"{_begin()}(?:{inner.before})\Z")


_BREAK: Final = r"(?:[\s\"',>|]|\\+[nrt]|\+(?<=[\s\"']\+)(?=[\s\"'\\]))"
"""Between two lines of a private key, which may be inside code, JSON or YAML."""
_BASE64: Final = r"(?!\+[\s\"'\\])[A-Za-z0-9+/=]"
_ENTRY: Final = (
    rf"[A-Za-z\-]{{3,20}}: (?:[^\n\\]{{1,100}}(?:\n|\\+[nrt])"
    rf"|(?![^\n\\]{{1,100}}[\n\\])[^\s\\]{{1,100}}\s){_BREAK}{{0,24}}"
)
"""A line such as ``DEK-Info: ...``. There is one way to read each text: else some take for ever."""


def _begin(first: str = "") -> str:
    """Return a pattern for where a word begins, an escape of JSON or of a URL left aside.

    Args:
        first: A pattern of fixed width for how the word begins. It goes first, since a search for
            characters is ten times as fast as one for what is not before them.
    """
    return rf"{first}(?:(?<![A-Za-z0-9_\-]{first})|(?<=\\[nrt]{first})|(?<=%[0-9A-F]{{2}}{first}))"


def _behind(name: str, before: str, last: str, literal: str, rest: str) -> Inner:
    """Make a rule for what has something of the secret before a literal, and a fixed part of it."""
    source = re.escape(literal)
    return Inner(name, literal, rf"{source}(?<={last}{source}){rest}", before=before)


def _hook(name: str, literal: str, secret: str) -> Inner:
    """Make a rule for an address that whoever knows it may send to."""
    return Inner(name, literal, rf"{re.escape(literal)}(?P<secret>{secret})")


def _login(source: str, *, random: bool = False) -> Inner:
    """Make a rule for what stands before the host in a URL."""
    return Inner("url", "@", source, random=random, short=True, also="://")


def _told(literal: str, source: str, also: str = "", behind: int = 0) -> Inner:
    """Make a rule for a password that the format of a file or a command tells."""
    return Inner("assigned", literal, source, short=True, also=also, behind=behind)


_GAP: Final = r"(?:\s|\\[nrt]){1,8}"
_PART: Final = r"[^\s\\\0]{1,100}(?![^\s\\])"
_CHOSEN: Final = (
    r"(?P<secret>(?![$<{%*(\[]|(?i:your|my[_\-]?pass|passw|secret|token|changeme|example))"
    r"[^\s\"'\\]{4,})"
)
_NUMBERED: Final = rf"(?=[^\s\"']{{0,64}}[0-9])(?=[^\s\"'\\]{{6}}){_CHOSEN}"
_OPEN: Final = r"\\*[\"']"
_ARGUMENT: Final = (
    rf"(?:{_OPEN}[^\"'\\]{{0,200}}{_OPEN}|[\w.\[\]]{{1,64}}|{{[^{{}}]{{0,200}}}}),\s{{0,9}}"
)
_LOGIN: Final = rf"(?:{_GAP}(?:login|account){_GAP}{_PART}){{0,2}}{_GAP}password{_GAP}{_CHOSEN}"
_ENTRY_FOLLOWS: Final = (
    rf"(?=(?=(?P<host>[^\s\\]{{1,165}}))(?P=host){_GAP}(?:login|account|password))"
)
"""Mostly something else does, which is told soonest."""
_CALLS: Final = {
    1: ("login", "WiFi.begin", "NetworkCredential", "Authentication", "createHmac"),
    2: ("getConnection", "DBI->connect", "FTP"),
}
"""What is called with a password, by how many arguments there are before it."""
_READS: Final = r"(?:sudo )?(?:sudo -S|chpasswd|passwd|wrangler|(?:docker|podman|gh auth) login)"
"""Commands that read a password."""
_IN_CRYPT: Final = "[./A-Za-z0-9]"
_SALT: Final = _IN_CRYPT + "{1,64}"
_HASHES: Final = {
    "$": rf"\$(?:2[abxy]?\$[0-9]{{2}}\${_IN_CRYPT}{{53}}|(?:apr1|1)\${_SALT}\${_IN_CRYPT}{{22}}"
    rf"|(?:y\${_SALT}|[56](?:\$rounds=[0-9]{{4,9}})?)\${_SALT}\$(?:{_IN_CRYPT}{{43}}){{1,2}})",
    "$argon2": r"\$argon2(?:id?|d)\$(?:[a-z]=[0-9,=a-z]{1,32}\$){1,2}[A-Za-z0-9+/$]{24,}",
    "pbkdf2": rf"pbkdf2[:_]sha[0-9]{{1,3}}[$:][0-9]{{3,8}}\${_SALT}\$[A-Za-z0-9+/=]{{20,}}",
    "scrypt:": rf"scrypt:[0-9:]{{5,16}}\${_SALT}\$[0-9a-f]{{64,}}",
    "SCRAM-SHA-": r"SCRAM-SHA-[0-9]{1,3}\$[0-9]{3,7}:[A-Za-z0-9+/=]{12,}\$[A-Za-z0-9+/=:]{40,}",
}
"""What is stored of passwords, from which they can be guessed."""
_FIELD: Final = "|".join(
    rf"(?<={name}[\"'\]\\]{{{quotes}}}\)\.)"
    for name in ("password", "passwd", "pwd", "secret", "token")
    for quotes in range(1, 5)
)
"""What stands before what is typed into a field: ``By.ID, "password").``."""
_TILDE: Final = r"[A-Za-z0-9_~.\-]"
_ID: Final = "[A-Za-z0-9]{14}"
_APP: Final = rf"{_TILDE}{{3}}[0-9]"
_SESSION: Final = (
    "(?=(?:[A-Za-z0-9+/]|%2[BF]){60})[A-Za-z0-9+/]*(?:%2[BF][A-Za-z0-9+/]*)*(?:=|%3D){0,2}"
)
_NOT_REAL: Final = (
    r"(?!(?i:pass(?:w(?:or)?d)?|pwd|secret|xxx+|[*.]+|your[^@]{0,32}|example|changeme|token"
    r"|redacted)@|[^@]{0,32}(?:[{}<>\[\]()]|\$[A-Za-z]|\*\*|\.\.\.|%[sdv](?![0-9A-Za-z]))"
    r"|[0-9]{1,5}[/\s])"
)
"""Placeholders and templates in the place of a password, and ports."""
_DATABASE: Final = (
    r"(?:postgres(?:ql)?|mysql|mariadb|mongodb(?:\+srv)?|rediss?|amqps?|mssql)(?:\+[a-z0-9]{1,16})?"
)

INNER: Final = (
    Inner("aws", "ABSK", _begin("ABSK") + "[A-Za-z0-9+/]{109,}={0,2}"),
    *(Inner("aws", one, _begin(one) + _SESSION) for one in ("IQoJb3JpZ2lu", "FwoGZXIvYXdz")),
    Inner("fly", "fm", _begin("fm") + "(?:1[ar]?|2)_[A-Za-z0-9+/]{80,}={0,3}"),
    Inner("grafana", "glc_", _begin("glc_") + "[A-Za-z0-9+/]{32,}={0,3}"),
    *(Inner("sentry", s, _begin(s) + "[A-Za-z0-9+/_]{50,}={0,2}") for s in ("sntrys_", "sntryu_")),
    Inner("stripe", "whsec_", _begin("whsec_") + "[A-Za-z0-9+/]{24,}={0,2}"),
    Inner(
        "database",
        "://",
        rf"{_DATABASE}://(?P<secret>[^\s/:@\"'<>`]{{0,64}}:(?=[^\n@\"'<>`:]{{1,64}}@){_NOT_REAL}"
        r"[^\n@\"'<>`:]{1,64}@)(?=[A-Za-z0-9_.\-]{1,100}[:/])",
        short=True,
        also="@",
        behind=32,
    ),
    _told(
        "machine",
        # One way to read a host, or each is tried.
        rf"machine{_GAP}{_ENTRY_FOLLOWS}(?:[^\s.\\]{{1,64}}\.(?=[^\s\\\0])"
        rf"|(?![^\s.\\]{{1,64}}\.[^\s\\\0])(?=[^\s.\\]{{1,64}}\.|{_PART}{_GAP}login))"
        rf"{_PART}{_LOGIN}",
    ),
    _told("default", rf"default(?={_GAP}login){_LOGIN}"),
    _told("*:*:", r"\*:\*:(?:\*|\w{1,63}):[^\s:]{1,63}:" + _CHOSEN),
    _told(":5432:", rf":5432:[^\s:/]{{1,63}}:[^\s:]{{1,63}}:{_CHOSEN}"),
    *(
        _told(f"poetry config {of}.", rf"poetry config {of}\.{_PART} {before}{_CHOSEN}")
        for of, before in (("http-basic", f"{_PART} "), ("pypi-token", ""))
    ),
    _told(
        "uth",
        r"uth(?:=|\\*[\"']: ?)?[(\[]\s{0,8}\\*[\"'][^\s\"'\\]{1,100}\\*[\"'],\s{0,8}\\*[\"']"
        rf"(?=[^\s\"']{{0,64}}[0-9]){_CHOSEN}\\*[\"']\s{{0,8}}[)\]]",
    ),
    _told("jdbc:oracle:", r"jdbc:oracle:\w{2,8}:[^\s/@:]{1,64}/(?P<secret>[^\s@\"'/${]{4,64})@"),
    _told("ConvertTo-SecureString ", rf"ConvertTo-SecureString (?:-String )?[\"']{_CHOSEN}"),
    _told("AuthIdent", rf"AuthIdent[\"']?[:=] ?[\"']?{_CHOSEN}"),
    _told(
        "--from-literal",
        rf"secret generic {_PART} --from-literal[ =][^\s=]{{1,64}}={_CHOSEN}",
        behind=120,
    ),
    _told(
        "form-data; name=",
        rf"form-data; name={_OPEN}[A-Za-z_\-]{{0,24}}(?i:password|secret|api[_-]?key|token)"
        rf"{_OPEN}(?:\r?\n|(?:\\+r)?\\+n){{2}}{_NUMBERED}",
    ),
    *(
        _told(
            f"{command} ",
            rf"{command} (?:-[en] )?{_OPEN}?(?:[\w\-]{{1,32}}:)?{_NUMBERED}{_OPEN}? ?\| {_READS}",
            "|",
        )
        for command in ("echo", "printf")
    ),
    _told("%", rf"-U [\w.\-]{{1,64}}%{_NUMBERED}", "-U "),
    _told("htpasswd -", rf"htpasswd -[a-zA-Z]{{0,4}}b {_PART} {_PART} {_NUMBERED}"),
    _told(
        " / ",
        r"(?:redentials?|ugangsdaten|dentifiants?)(?: are)? ?:? [\w.@+\-]{1,64} / "
        rf"(?=\S{{0,64}}[!#%^*@+~]){_NUMBERED}",
        behind=100,
    ),
    _told(").", rf"\)\.(?=[stf])(?i:{_FIELD})(?:send_keys|type|fill)\({_OPEN}{_NUMBERED}", "("),
    _told("WIFI:", r"WIFI:(?:[TSH]:[^;]{0,64};){0,3}P:(?P<secret>[^;\s]{4,});"),
    *(
        _told(f"{call}(", rf"{call}\(\s{{0,16}}{_ARGUMENT * before}{_OPEN}{_NUMBERED}")
        for before, calls in _CALLS.items()
        for call in calls
    ),
    _told("jwt.", rf"jwt\.(?:sign|verify|encode|decode)\(\s{{0,16}}{_ARGUMENT}{_OPEN}{_NUMBERED}"),
    Inner("password hash", "{S", r"\{SS?HA[0-9]{0,3}\}[A-Za-z0-9+/]{26,}={0,2}"),
    *(Inner("password hash", one, rest, also="$") for one, rest in _HASHES.items()),
    _behind("telegram", "[0-9]{8,10}", "[0-9]{8}", ":AA", r"[A-Za-z0-9_\-]{33}(?![A-Za-z0-9])"),
    _behind("azure", _APP, _APP, "Q~", rf"{_TILDE}{{31,34}}(?![A-Za-z0-9_~\-])"),
    _behind("azure", "[A-Za-z0-9]{20,60}", "[A-Za-z0-9]{20}", "JQQJ9", "[9D][A-Za-z0-9]{20,48}"),
    _behind("mailchimp", "[0-9a-f]{32}", "[0-9a-f]{32}", "-us", "[0-9]{1,2}(?![A-Za-z0-9])"),
    _behind("terraform", _ID, _ID, ".atlasv1.", r"[A-Za-z0-9_\-=]{60,70}"),
    _behind("maxmind", f"[A-Za-z0-9]{{6}}_{_ID * 2}[A-Za-z0-9]", _ID, "_mmk", "(?![A-Za-z0-9_])"),
    _behind("new relic", "[0-9a-z]{32}", "[0-9a-f]{16}", "FFFFNRAL", ""),
    _behind("facebook", "[0-9]{15,16}", "[0-9]{15}", "|", r"[A-Za-z0-9_\-]{27}(?![A-Za-z0-9_\-])"),
    _hook("slack", "hooks.slack.com/", r"(?:services|workflows|triggers)/[A-Za-z0-9+/_\-]{20,}"),
    _hook("discord", "/api/webhooks/", r"[0-9]{15,21}/[A-Za-z0-9_\-]{50,}"),
    _hook("teams", ".webhook.office.com/", r"webhookb2/[A-Za-z0-9@/_\-]{60,}"),
    _hook("tines", ".tines.com/", "webhook/[a-z0-9]{32}/[a-z0-9]{32}"),
    _hook("zapier", "/hooks/catch/", "[0-9]{4,12}/[A-Za-z0-9]{6,}"),
    Inner("gitlab", "_gitlab_session=", "_gitlab_session=(?P<secret>[0-9a-z]{32})", short=True),
    Inner("openshift", "sha256~", _begin("sha256~") + r"[A-Za-z0-9_\-]{43}(?![A-Za-z0-9])"),
    Inner("google", "1//0", _begin("1//0") + r"[A-Za-z0-9_\-]{40,}"),
    Inner("asana", "/1", r"/1(?<=[0-9]/1)[0-9]{15}(?:/[0-9]{16})?:[0-9a-f]{32}(?![0-9a-f])"),
    Inner("braintree", "access_token$", r"access_token\$[a-z]{4,12}\$[0-9a-z]{16}\$[0-9a-f]{32}"),
    _told("_authToken=", r"_authToken=(?P<secret>[A-Za-z0-9_.+/=\-]{16,})"),
    _login(
        r"://(?<=[A-Za-z0-9+.\-]://)(?P<secret>[A-Za-z0-9_.~%\-]{16,255}:?)@(?=[A-Za-z0-9\[])",
        random=True,
    ),
    _login(
        r"://(?<=[A-Za-z0-9+.\-]://)(?P<secret>[^\s/:@\"'<>`]{0,64}:(?!//)(?=[^\s@:\"'<>`]{1,128}@)"
        + _NOT_REAL
        + r"[^\s@:\"'<>`]{1,128}@(?:[^\s\"'<>@:/`]{1,64}@)*)(?=[A-Za-z0-9\[_$%{])"
    ),
    Inner(
        "private key",
        "Private-Lines:",
        rf"Private-Lines: [0-9]{{1,4}}(?P<secret>(?:{_BREAK}{{1,24}}{_BASE64}{{32,}})+"
        rf"(?:{_BREAK}{{1,24}}{_BASE64}{{1,31}}(?={_BREAK}{{1,24}}Private-))?)",
    ),
    Inner(
        "private key",
        "PRIVATE KEY",
        rf"-----BEGIN [A-Z0-9 ]{{0,20}}PRIVATE KEY(?: BLOCK)?-----{_BREAK}{{0,24}}"
        rf"(?:{_ENTRY}){{0,8}}{_BASE64}{{16,}}(?:{_BREAK}{{1,24}}{_BASE64}{{32,}})*"
        rf"(?:{_BREAK}{{0,24}}(?:{_BASE64}{{1,80}}{_BREAK}{{0,24}}(?:{_BASE64}{{1,8}}{_BREAK}{{0,24}})?)?"
        rf"-----END [A-Z0-9 ]{{0,20}}PRIVATE KEY(?: BLOCK)?-----)?",
        short=True,
    ),
)
