"""The formats of secrets that can be told by their beginning: one rule per vendor.

A rule gives the characters every secret of a vendor begins with, and a pattern for the rest. The
patterns never repeat a repetition, so that each takes time proportional to the text it matches.
"""

from __future__ import annotations

import functools
import re
from typing import Final

import attrs

_END: Final = r"(?![A-Za-z0-9])"


@attrs.frozen(eq=False)
class Rule:
    """How to recognise one vendor's secrets.

    Args:
        name: What the replacement says.
        starts: Every secret begins with one of these; at least two characters each.
        rest: A pattern for what follows.
    """

    name: str
    starts: tuple[str, ...]
    rest: str


@functools.cache  # compiled when first needed: all of them would make importing slow
def pattern(rule: Rule | Inner) -> re.Pattern[str]:
    """Return the compiled pattern of the whole secret.

    Args:
        rule: The rule.
    """
    if isinstance(rule, Inner):
        return re.compile(rule.source)
    return re.compile(f"(?:{'|'.join(map(re.escape, rule.starts))})(?:{rule.rest})")


@functools.cache
def pattern_before(inner: Inner) -> re.Pattern[str]:
    """Return the compiled pattern of what stands before the rest and belongs to the secret.

    Args:
        inner: The rule.
    """
    return re.compile(rf"{_begin()}(?:{inner.before})\Z")


def _rule(name: str, starts: str, rest: str) -> Rule:
    return Rule(name, tuple(starts.split()), rest)


_ANY: Final = r"[A-Za-z0-9_\-]"
_DOPPLER: Final = "dp.pt. dp.st. dp.ct. dp.sa. dp.scim. dp.audit."
_HEX: Final = r"[0-9a-fA-F]"
_URLSAFE: Final = (
    r"(?=[a-z0-9_\-]{0,42}[A-Z])(?=[A-Z0-9_\-]{0,42}[a-z])"
    rf"(?:{_ANY}{{21}}[AQgw]|{_ANY}{{42}}[AEIMQUYcgkosw048])(?![A-Za-z0-9_\-])"
)
"""What ``secrets.token_urlsafe`` makes of 16 or 32 bytes. The last character has but few bits."""

RULES: Final = (
    # model providers and what surrounds them
    _rule("anthropic", "sk-ant-", _ANY + "{20,}"),
    _rule("openai", "sk-proj- sk-svcacct- sk-admin- sk-None- sk-service-", _ANY + "{20,}"),
    _rule("openrouter", "sk-or-v1- sk-or-", _HEX + "{32,}"),
    _rule("helicone", "sk-helicone- pk-helicone-", _ANY + "{20,}"),
    _rule("langfuse", "sk-lf- pk-lf-", r"[0-9a-f\-]{36}"),
    _rule("openai", "sk-", "[A-Za-z0-9]{32,}"),
    _rule("openai", "sess-", "[A-Za-z0-9]{40}" + _END),
    _rule("litellm", "sk-", _URLSAFE),
    _rule("google", "AIza", _ANY + "{35,}"),
    _rule("google", "ya29. GOCSPX- AQ.Ab", _ANY + "{20,}"),
    _rule("huggingface", "hf_ api_org_", "[A-Za-z0-9]{30,}"),
    _rule("groq", "gsk_", "[A-Za-z0-9]{32,}"),
    _rule("xai", "xai-", "[A-Za-z0-9]{40,}"),
    _rule("perplexity", "pplx-", "[A-Za-z0-9]{32,}"),
    _rule("replicate", "r8_", "[A-Za-z0-9]{32,}"),
    _rule("nvidia", "nvapi-", _ANY + "{32,}"),
    _rule("cerebras", "csk-", "[A-Za-z0-9]{32,}"),
    _rule("fireworks", "fw_ fpk_", "[A-Za-z0-9]{20,}"),
    _rule("together", "tgp_v1_", _ANY + "{30,}"),
    _rule("voyage", "pa-", "[A-Za-z0-9]{10}" + _ANY + "{30,}"),
    _rule("jina", "jina_", "[A-Za-z0-9]{32}" + _ANY + "{20,}"),
    _rule("tavily", "tvly-", _ANY + "{20,}"),
    _rule("firecrawl", "fc-", "[0-9a-f]{32}" + _END),
    _rule("brave", "BSA", _ANY + "{24,}"),
    _rule("e2b", "e2b_", "[0-9a-f]{40}" + _END),
    _rule("langsmith", "lsv2_pt_ lsv2_sk_ ls__", r"[0-9a-f]{32}[0-9a-f_]{0,12}"),
    _rule("pinecone", "pcsk_", "[A-Za-z0-9_]{40,}"),
    _rule("elevenlabs", "sk_", "[0-9a-f]{48}" + _END),
    _rule("anyscale", "esecret_", "[a-z0-9]{20,}"),
    _rule("runpod", "rpa_", "[A-Z0-9]{30,}"),
    _rule("vercel", "vck_ vcp_", "[A-Za-z0-9]{24,}"),
    _rule("wandb", "wandb_v1_", _ANY + "{40,}"),
    _rule("logfire", "pylf_v1_us_ pylf_v1_eu_", "[A-Za-z0-9]{40,}"),
    _rule("llamacloud", "llx-", "[A-Za-z0-9]{40,}"),
    _rule("apify", "apify_api_", "[A-Za-z0-9]{32,}"),
    _rule("modal", "as- ak-", "[A-Za-z0-9]{22}" + _END),
    _rule("daytona", "dtn_", "[0-9a-f]{60,}" + _END),
    _rule("posthog", "phx_", "[A-Za-z0-9]{32,}"),
    _rule("yandex", "AQVN", _ANY + "{35,}"),
    # clouds and infrastructure
    _rule("aws", "AKIA ASIA ABIA ACCA", "(?![ACGTUN]{16})[A-Z2-7]{16}" + _END),
    _rule("aws", "bedrock-api-key-", "[A-Za-z0-9+/=]{20,}"),
    _rule("aws", "A3T", "[A-Z0-9][A-Z2-7]{16}" + _END),
    _rule("adobe", "p8e-", "[a-z0-9]{32}" + _END),
    _rule("clickhouse", "4b1d", "(?=[a-z0-9]{0,37}[A-Z])[A-Za-z0-9]{38}" + _END),
    _rule("alibaba", "LTAI", "[A-Za-z0-9]{16,24}" + _END),
    _rule("tencent", "AKID", "[A-Za-z0-9]{32}" + _END),
    _rule("databricks", "dapi", "[0-9a-f]{32}(?:-[0-9])?" + _END),
    _rule("digitalocean", "dop_v1_ doo_v1_ dor_v1_", "[0-9a-f]{64}" + _END),
    _rule("docker", "dckr_pat_ dckr_oat_", _ANY + "{20,}"),
    _rule("doppler", _DOPPLER, r"[A-Za-z0-9._]{39,}[A-Za-z0-9]"),
    _rule("dynatrace", "dt0", r"[a-z][0-9]{2}\.[A-Z0-9]{24}\.[A-Z0-9]{64}" + _END),
    _rule("fly", "fo1_", _ANY + "{40,}"),
    _rule("heroku", "HRKU-", _ANY + "{36,}"),
    _rule("vault", "hvs. hvb. hvr.", _ANY + "{20,}"),
    _rule("pulumi", "pul-", "[0-9a-f]{40}" + _END),
    _rule("planetscale", "pscale_tkn_ pscale_pw_ pscale_oauth_", r"[A-Za-z0-9_.\-]{29,}" + _ANY),
    _rule("neon", "napi_", "[a-z0-9]{40,}"),
    _rule("supabase", "sbp_", "[0-9a-f]{40}" + _END),
    _rule("supabase", "sb_secret_", _ANY + "{20,}"),
    _rule("tailscale", "tskey-", r"[a-z]{2,12}-[A-Za-z0-9]{8,}(?:-[A-Za-z0-9]{10,})?"),
    _rule("prefect", "pnu_ pnb_", "[A-Za-z0-9]{36}" + _END),
    _rule("netlify", "nfp_ nfc_ nfo_", "[A-Za-z0-9_]{36,}"),
    _rule("cloudflare", "v1.0-", "[0-9a-f]{24}-[0-9a-f]{100,}"),
    _rule("artifactory", "AKCp cmVmdGtu", "[A-Za-z0-9]{56,}"),
    _rule("grafana", "eyJrIjoi", "[A-Za-z0-9+/]{70,}={0,3}"),
    _rule("grafana", "glsa_", "[A-Za-z0-9]{32}_[A-Fa-f0-9]{8}" + _END),
    _rule("new relic", "NRAK- NRJS- NRII- NRAA- NRRA-", _ANY + "{19,}"),
    _rule("octopus", "API-", "[A-Z0-9]{26,28}" + _END),
    _rule("harness", "pat. sat.", r"[A-Za-z0-9_\-]{22}\.[A-Za-z0-9]{24}\.[A-Za-z0-9]{20}" + _END),
    _rule(
        "1password",
        "A3-",
        "[A-Z0-9]{6}-(?:[A-Z0-9]{11}|[A-Z0-9]{6}-[A-Z0-9]{5})(?:-[A-Z0-9]{5}){3}",
    ),
    _rule("1password", "ops_eyJ", "[A-Za-z0-9+/_-]{100,}={0,3}"),
    _rule("age", "AGE-SECRET-KEY-1", "[A-Z0-9]{50,}"),
    _rule("launchdarkly", "sdk- mob-", r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}" + _END),
    _rule("scalingo", "tk-us-", _ANY + "{48}"),
    _rule("settlemint", "sm_aat_ sm_pat_ sm_sat_", "[A-Za-z0-9]{16}" + _END),
    _rule("yandex", "t1.", _ANY + r"{1,200}={0,2}\." + _ANY + "{86}={0,2}"),
    _rule("render", "rnd_", "[A-Za-z0-9]{28,}"),
    _rule("deno", "ddp_ ddw_", "[A-Za-z0-9]{36}" + _END),
    _rule("sonarqube", "sqp_ squ_ sqa_", "[0-9a-f]{40}" + _END),
    # code and packages
    _rule("github", "ghp_ gho_ ghu_ ghs_ ghr_", "[A-Za-z0-9]{36,}"),
    _rule("github", "github_pat_", "[A-Za-z0-9_]{50,}"),
    _rule(
        "gitlab",
        "glpat- gldt- glft- glrt- glrtr- glcbt- glptt- glimt- glagent- gloas- glsoat- glffct- "
        "GR1348941",
        r"[A-Za-z0-9_.\-]{19,}[A-Za-z0-9_\-]",
    ),
    _rule("atlassian", "ATATT3 ATCTT3", r"[A-Za-z0-9_\-]{60,}(?:=[A-Za-z0-9]{0,8})?"),
    _rule("bitbucket", "ATBB", "[A-Za-z0-9]{24,}"),
    _rule("sourcegraph", "sgp_ sgd_", rf"(?:(?:{_HEX}{{16}}|local)_)?{_HEX}{{40,}}"),
    _rule("npm", "npm_", "[A-Za-z0-9]{36}" + _END),
    _rule("pypi", "pypi-AgE", _ANY + "{50,}"),
    _rule("rubygems", "rubygems_", "[0-9a-f]{48}" + _END),
    _rule("crates.io", "cio", "[A-Za-z0-9]{32}" + _END),
    _rule("nuget", "oy2", "[a-z0-9]{43}" + _END),
    _rule("clojars", "CLOJARS_", "[a-z0-9]{60}" + _END),
    _rule("postman", "PMAK-", "[0-9a-f]{24}-[0-9a-f]{34}" + _END),
    _rule("readme", "rdme_", "[a-z0-9]{60,}"),
    _rule("linear", "lin_api_ lin_oauth_", "[A-Za-z0-9]{32,}"),
    _rule("infracost", "ico-", "[A-Za-z0-9]{32}" + _END),
    _rule("buildkite", "bkua_", "[0-9a-f]{40}" + _END),
    _rule("circleci", "CCIPAT_ CCIPRJ_", "[A-Za-z0-9]{20,24}_[0-9a-f]{40}" + _END),
    _rule("figma", "figd_ figdr_ figu_ figur_ figo_ figor_ figoh_", _ANY + "{32,}"),
    # messages, money, offices
    _rule(
        "slack",
        "xoxa- xoxb- xoxe- xoxo- xoxp- xoxr- xoxs- xoxd- xoxc-",
        r"[A-Za-z0-9.\-]{10,}(?:%[0-9A-F]{2}[A-Za-z0-9.\-]{4,})*[A-Za-z0-9]",
    ),
    _rule("slack", "xoxe.xoxb- xoxe.xoxp- xapp-", r"[A-Za-z0-9\-]{20,}"),
    _rule("stripe", "sk_live_ sk_test_ rk_live_ rk_test_ sk_prod_ rk_prod_", "[A-Za-z0-9]{10,}"),
    _rule("sendgrid", "SG.", r"[A-Za-z0-9_\-]{16,32}\.[A-Za-z0-9_\-]{30,}"),
    _rule("sendinblue", "xkeysib- xsmtpsib-", r"[0-9a-f]{64}-[A-Za-z0-9]{16}" + _END),
    _rule("mailgun", "key- pubkey-", "[0-9a-f]{32}" + _END),
    _rule("resend", "re_", "[A-Za-z0-9]{8}_[A-Za-z0-9]{20,}"),
    _rule("twilio", "SK", _HEX + "{32}" + _END),
    _rule(
        "discord",
        "MT Mj Mz ND NT Nj Nz OD OT",
        r"[A-Za-z0-9_\-]{21,26}\.[A-Za-z0-9_\-]{6}\.[A-Za-z0-9_\-]{27,}",
    ),
    _rule("shopify", "shpat_ shpca_ shppa_ shpss_ shpua_ shptka_", _HEX + "{32}" + _END),
    _rule("square", "sq0atp- sq0csp- sq0idp-", _ANY + "{22,}"),
    _rule("square", "EAAA", _ANY + "{60}" + _END),
    _rule("facebook", "EAAC EAAM EAAG EAAB", "[A-Za-z0-9]{80,}"),
    _rule(
        "twitter",
        "AAAAAAAAAAAAAAAAAAAAA",
        "(?:[A-Za-z0-9]|%(?:2B|2F|3D)){80,100}(?![A-Za-z0-9+/])",
    ),
    _rule("flutterwave", "FLWSECK- FLWPUBK- FLWPUBK_TEST- FLWSECK_TEST-", r"[0-9a-h]{32}-X"),
    _rule("flutterwave", "FLWSECK_TEST-", "[0-9a-h]{12}" + _END),
    _rule("easypost", "EZAK EZTK", "[A-Za-z0-9]{54}" + _END),
    _rule("shippo", "shippo_live_ shippo_test_", _HEX + "{40}" + _END),
    _rule("duffel", "duffel_live_ duffel_test_", r"[A-Za-z0-9_=\-]{40,}"),
    _rule("razorpay", "rzp_live_ rzp_test_", "[A-Za-z0-9]{14,}"),
    _rule("notion", "ntn_ secret_", "[A-Za-z0-9]{43,}"),
    _rule("airtable", "pat", r"[A-Za-z0-9]{14}\.[0-9a-f]{64}" + _END),
    _rule("hubspot", "pat-na pat-eu", r"[0-9]-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}" + _END),
    _rule("typeform", "tfp_", r"[A-Za-z0-9_.\-]{39,}" + _ANY),
    _rule("contentful", "CFPAT-", _ANY + "{40,}"),
    _rule("frame.io", "fio-u-", _ANY + "{60,}"),
    _rule("adafruit", "aio_", "[A-Za-z0-9]{28}" + _END),
    _rule("intra42", "s-s4t2ud- s-s4t2af-", "[0-9a-f]{64}" + _END),
    _rule("mapbox", "pk.eyJ sk.eyJ tk.eyJ", _ANY + r"{20,}\.[A-Za-z0-9_\-]{20,}"),
    _rule("jwt", "eyJ", _ANY + r"{8,}\.eyJ[A-Za-z0-9_\-]{8,}(?:\.[A-Za-z0-9_\-]{8,})?"),
    _rule("jwt", "eyJ", _ANY + r"{8,}\.[A-Za-z0-9_\-]{0,}(?:\.[A-Za-z0-9_\-]{8,}){3}"),
)
"""More exact rules first: the first that matches names the secret."""


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
    """

    name: str
    literal: str
    source: str
    random: bool = False
    short: bool = False
    also: str = ""
    before: str = ""


_BREAK: Final = r"(?:\s|\\+[nrt]|[\"',+>|])"
"""Between two lines of a private key, which may be inside code, JSON or YAML."""


def _begin(first: str = "") -> str:
    """Return a pattern for where a word begins, an escape of JSON or of a URL left aside.

    Args:
        first: A pattern of fixed width for how the word begins. It goes first, since a search for
            characters is ten times as fast as one for what is not before them.
    """
    return rf"{first}(?:(?<![A-Za-z0-9_\-]{first})|(?<=\\[nrt]{first})|(?<=%[0-9A-F]{{2}}{first}))"


_SESSION: Final = "(?:[A-Za-z0-9+/]|%2[BF]){60,}(?:=|%3D){0,2}"
_XML_NAME: Final = r"[A-Za-z:_\-]{0,24}(?:password|secret|token|key|Password|Secret|Token|Key)"
_NOT_REAL: Final = (
    r"(?!(?:pass(?:w(?:or)?d)?|pwd|secret|xxx+|[*.]+|your[^@]{0,32}|example|changeme|token)@"
    r"|[^@]{0,32}(?:[{}<>\[\]()]|\$[A-Za-z]|\*\*|\.\.\.)|[0-9]{1,5}[/\s])"
)
"""Placeholders and templates in the place of a password, and ports."""
_DATABASE: Final = (
    r"(?:postgres(?:ql)?|mysql|mariadb|mongodb(?:\+srv)?|rediss?|amqps?|mssql)(?:\+[a-z0-9]{1,16})?"
)

INNER: Final = (
    Inner("aws", "ABSK", _begin("ABSK") + "[A-Za-z0-9+/]{109,}={0,2}"),
    Inner("aws", "IQoJb3JpZ2lu", _begin("IQoJb3JpZ2lu") + _SESSION),
    Inner("aws", "FwoGZXIvYXdz", _begin("FwoGZXIvYXdz") + _SESSION),
    Inner("fly", "fm1", _begin("fm1") + "[ar]?_[A-Za-z0-9+/]{80,}={0,3}"),
    Inner("fly", "fm2_", _begin("fm2_") + "[A-Za-z0-9+/]{80,}={0,3}"),
    Inner("grafana", "glc_", _begin("glc_") + "[A-Za-z0-9+/]{32,}={0,3}"),
    Inner("sentry", "sntry", _begin("sntry") + "[su]_[A-Za-z0-9+/_]{50,}={0,2}"),
    Inner("stripe", "whsec_", _begin("whsec_") + "[A-Za-z0-9+/]{24,}={0,2}"),
    Inner(
        "database",
        "@",
        _DATABASE + r"://(?P<secret>[^\s/:@\"'<>`]{0,64}:" + _NOT_REAL + r"[^\n@\"'<>`:]{1,64}@)"
        r"(?=[A-Za-z0-9_.\-]{1,100}[:/])",
        short=True,
        also="://",
    ),
    Inner(
        "assigned",
        "</",
        rf"<{_XML_NAME}>(?P<secret>(?=[^<>]{{0,64}}[0-9])[^<>\s]{{6,}})</",
        short=True,
    ),
    Inner(
        "assigned",
        "machine ",
        r"machine\s{1,8}\S{1,100}\s{1,8}login\s{1,8}\S{1,100}\s{1,8}password\s{1,8}(?P<secret>\S{4,})",
        short=True,
    ),
    Inner(
        "slack",
        "hooks.slack.com/",
        r"hooks\.slack\.com/(?P<secret>(?:services|workflows|triggers)/[A-Za-z0-9+/_\-]{20,})",
    ),
    Inner(
        "discord",
        "/api/webhooks/",
        r"/api/webhooks/(?P<secret>[0-9]{15,21}/[A-Za-z0-9_\-]{50,})",
    ),
    Inner(
        "teams",
        ".webhook.office.com/",
        r"\.webhook\.office\.com/(?P<secret>webhookb2/[A-Za-z0-9@/_\-]{60,})",
    ),
    Inner(
        "telegram",
        ":AA",
        r":AA(?<=[0-9]{8}:AA)[A-Za-z0-9_\-]{33}(?![A-Za-z0-9])",
        before=r"[0-9]{8,10}",
    ),
    Inner(
        "azure",
        "Q~",
        r"Q~(?<=[A-Za-z0-9_~.\-]{3}[0-9]Q~)[A-Za-z0-9_~.\-]{31,34}(?![A-Za-z0-9_~\-])",
        before=r"[A-Za-z0-9_~.\-]{3}[0-9]",
    ),
    Inner(
        "azure",
        "JQQJ9",
        r"JQQJ9(?<=[A-Za-z0-9]{20}JQQJ9)[9D][A-Za-z0-9]{20,48}(?![A-Za-z0-9])",
        before=r"[A-Za-z0-9]{20,60}",
    ),
    Inner(
        "mailchimp",
        "-us",
        r"-us(?<=[0-9a-f]{32}-us)[0-9]{1,2}(?![A-Za-z0-9])",
        before=r"[0-9a-f]{32}",
    ),
    Inner(
        "terraform",
        ".atlasv1.",
        r"\.atlasv1\.(?<=[A-Za-z0-9]{14}\.atlasv1\.)[A-Za-z0-9_\-=]{60,70}",
        before=r"[A-Za-z0-9]{14}",
    ),
    Inner(
        "maxmind",
        "_mmk",
        r"_mmk(?<=[A-Za-z0-9]{6}_[A-Za-z0-9]{29}_mmk)(?![A-Za-z0-9_])",
        before=r"[A-Za-z0-9]{6}_[A-Za-z0-9]{29}",
    ),
    Inner("gitlab", "_gitlab_session=", "_gitlab_session=(?P<secret>[0-9a-z]{32})", short=True),
    Inner("openshift", "sha256~", _begin("sha256~") + r"[A-Za-z0-9_\-]{43}(?![A-Za-z0-9])"),
    Inner("google", "1//0", _begin("1//0") + r"[A-Za-z0-9_\-]{40,}"),
    Inner("asana", "/1", r"/1(?<=[0-9]/1)[0-9]{15}(?:/[0-9]{16})?:[0-9a-f]{32}(?![0-9a-f])"),
    Inner("braintree", "access_token$", r"access_token\$[a-z]{4,12}\$[0-9a-z]{16}\$[0-9a-f]{32}"),
    Inner(
        "npm registry",
        "_authToken=",
        r"_authToken=(?P<secret>[A-Za-z0-9_.+/=\-]{16,})",
        short=True,
    ),
    Inner(
        "url",
        "@",
        r"://(?<=[A-Za-z0-9+.\-]://)(?P<secret>[A-Za-z0-9_.~%\-]{16,255}:?)@(?=[A-Za-z0-9\[])",
        random=True,
        short=True,
        also="://",
    ),
    Inner(
        "url",
        "@",
        r"://(?<=[A-Za-z0-9+.\-]://)(?P<secret>[^\s/:@\"'<>`]{0,64}:"
        r"(?!//)"
        + _NOT_REAL
        + r"[^\s@:\"'<>`]{1,128}@(?:[^\s\"'<>@:/`]{1,64}@)*)(?=[A-Za-z0-9\[_$%{])",
        short=True,
        also="://",
    ),
    Inner(
        "private key",
        "Private-Lines:",
        rf"Private-Lines: [0-9]{{1,4}}(?P<secret>(?:{_BREAK}{{1,24}}[A-Za-z0-9+/=]{{32,}})+"
        rf"(?:{_BREAK}{{1,24}}[A-Za-z0-9+/=]{{1,31}}(?={_BREAK}{{1,24}}Private-))?)",
    ),
    Inner(
        "private key",
        "PRIVATE KEY",
        rf"-----BEGIN [A-Z0-9 ]{{0,20}}PRIVATE KEY(?: BLOCK)?-----{_BREAK}{{0,24}}"
        rf"(?:[A-Za-z\-]{{3,20}}: [^\n\\]{{1,100}}{_BREAK}{{1,24}}){{0,8}}"
        rf"[A-Za-z0-9+/=]{{16,}}(?:{_BREAK}{{1,24}}[A-Za-z0-9+/=]{{32,}})*"
        rf"(?:{_BREAK}{{0,24}}[A-Za-z0-9+/=]{{0,80}}{_BREAK}{{0,24}}[A-Za-z0-9+/=]{{0,8}}"
        rf"{_BREAK}{{0,24}}-----END [A-Z0-9 ]{{0,20}}PRIVATE KEY(?: BLOCK)?-----)?",
        short=True,
    ),
)
