"""Every format of secrets that can be told without guessing is found, in every place it is written.

The formats are those that gitleaks and detect-secrets know, and those of model providers. The
examples are made when the tests run, so that no scanner takes one of them for real.
"""

from __future__ import annotations

import base64
import functools
import json
import random
import re
import secrets
import string
import urllib.parse
from pathlib import Path

import pytest

from trace_core import MemorySink, Tracer, names_credential, pipeline, redact
from trace_core._processors.clean import clean_text
from trace_core._processors.inner import INNER, Inner
from trace_core._processors.rules import RULES
from trace_core._processors.scan import ALONE

ALPHABETS = {
    "alnum": string.ascii_letters + string.digits,
    "base32": string.ascii_uppercase + "234567",
    "base64": string.ascii_letters + string.digits + "+/",
    "digit": string.digits,
    "hex": "0123456789abcdef",
    "lower": string.ascii_lowercase + string.digits,
    "upper": string.ascii_uppercase + string.digits,
    "word": string.ascii_letters + string.digits + "-_",
}
UUID = "{hex:8}-{hex:4}-{hex:4}-{hex:4}-{hex:12}"
FORMATS = {
    "password hash, apr1": "$apr1${alnum:8}${alnum:22}",
    "password hash, argon2": "$argon2id$v=19$m=65536,t=3,p=4${base64:22}${base64:43}",
    "password hash, bcrypt": "$2y$10${alnum:53}",
    "password hash, crypt": "$6$rounds=5000${alnum:16}${alnum:86}",
    "password hash, Django": "pbkdf2_sha256$600000${alnum:22}${base64:43}=",
    "password hash, LDAP": "{SSHA}{base64:38}==",
    "password hash, PostgreSQL": "SCRAM-SHA-256$4096:{base64:22}==${base64:43}=:{base64:43}=",
    "password hash, Werkzeug": "scrypt:32768:8:1${alnum:16}${hex:128}",
    "password hash, yescrypt": "$y$j9T${alnum:22}${alnum:43}",
    "1password": "ops_eyJ{alnum:250}",
    "1password secret key": "A3-{upper:6}-{upper:11}-{upper:5}-{upper:5}-{upper:5}",
    "1password secret key, longer": "A3-{upper:6}-{upper:6}-{upper:5}-{upper:5}-{upper:5}-{upper:5}",
    "adobe": "p8e-{lower:32}",
    "aws, older": "A3TX{base32:16}",
    "clickhouse": "4b1dXy{alnum:36}",
    "flutterwave encryption": "FLWSECK_TEST-{hex:12}",
    "flutterwave public test": "FLWPUBK_TEST-{hex:32}-X",
    "grafana api key": "eyJrIjoi{alnum:80}==",
    "gitlab session": "_gitlab_session={hex:32}",
    "maxmind": "{alnum:6}_{alnum:29}_mmk",
    "scalingo": "tk-us-{word:48}",
    "settlemint": "sm_pat_{alnum:16}",
    "yandex iam": "t1.{word:60}.{word:86}",
    "adafruit": "aio_{alnum:28}",
    "age": "AGE-SECRET-KEY-1{upper:58}",
    "airtable": "pat{alnum:14}.{hex:64}",
    "alibaba": "LTAI{alnum:20}",
    "anthropic": "sk-ant-api03-{word:93}AA",
    "anthropic admin": "sk-ant-admin01-{word:93}AA",
    "anyscale": "esecret_{lower:28}",
    "artifactory": "AKCp{alnum:69}",
    "artifactory reference": "cmVmdGtu{alnum:56}",
    "asana": "0/1{digit:15}:{hex:32}",
    "atlassian": "ATATT3{word:186}",
    "aws id": "AKIA{base32:16}",
    "aws temporary id": "ASIA{base32:16}",
    "aws session": "IQoJb3JpZ2lu{base64:200}",
    "azure client secret": "{alnum:3}8Q~{alnum:34}",
    "apify": "apify_api_{alnum:36}",
    "azure openai": "{alnum:52}JQQJ99{alnum:26}",
    "azure openai, shorter": "{alnum:28}JQQJ99{alnum:38}",
    "bedrock": "ABSK{base64:110}",
    "bitbucket": "ATBB{alnum:32}",
    "braintree": "access_token$production${lower:16}${hex:32}",
    "brave": "BSA{word:27}",
    "buildkite": "bkua_{hex:40}",
    "cerebras": "csk-{lower:48}",
    "circleci": "CCIPAT_{alnum:22}_{hex:40}",
    "clojars": "CLOJARS_{lower:60}",
    "cloudflare": "v1.0-{hex:24}-{hex:146}",
    "contentful": "CFPAT-{word:43}",
    "crates.io": "cio{alnum:32}",
    "databricks": "dapi{hex:32}",
    "daytona": "dtn_{hex:64}",
    "deno": "ddp_{alnum:36}",
    "digitalocean": "dop_v1_{hex:64}",
    "digitalocean oauth": "doo_v1_{hex:64}",
    "discord": "MTE{alnum:23}.{word:6}.{word:38}",
    "discord webhook": "https://discord.com/api/webhooks/{digit:18}/{word:68}",
    "docker": "dckr_pat_{word:27}",
    "docker organization": "dckr_oat_{word:32}",
    "doppler": "dp.pt.{alnum:43}",
    "duffel": "duffel_live_{word:43}",
    "dynatrace": "dt0c01.{upper:24}.{upper:64}",
    "dynatrace in lower case": "dt0c01.{lower:24}.{lower:64}",
    "e2b": "e2b_{hex:40}",
    "easypost": "EZAK{alnum:54}",
    "elevenlabs": "sk_{hex:48}",
    "facebook": "EAAC{alnum:120}",
    "figma": "figd_{word:40}",
    "figma oauth": "figor_{word:40}",
    "firecrawl": "fc-{hex:32}",
    "fireworks": "fw_{alnum:24}",
    "flutterwave": "FLWSECK_TEST-{hex:32}-X",
    "fly": "fo1_{word:43}",
    "fly macaroon": "fm2_{base64:120}",
    "frame.io": "fio-u-{word:64}",
    "github": "ghp_{alnum:36}",
    "github app": "ghs_{alnum:36}",
    "github fine-grained": "github_pat_{alnum:22}_{alnum:59}",
    "gitlab": "glpat-{alnum:20}",
    "gitlab deploy": "gldt-{alnum:20}",
    "gitlab runner": "glrt-{alnum:20}",
    "google": "AIza{word:35}",
    "google gemini": "AQ.Ab{word:48}",
    "google oauth": "ya29.{word:120}",
    "google client": "GOCSPX-{word:28}",
    "google refresh": "1//0{word:60}",
    "grafana": "glsa_{alnum:32}_{hex:8}",
    "grafana cloud": "glc_{base64:60}",
    "groq": "gsk_{alnum:52}",
    "harness": "pat.{word:22}.{hex:24}.{alnum:20}",
    "helicone": "sk-helicone-{lower:7}-{lower:7}-{lower:7}-{lower:7}",
    "heroku": "HRKU-AA{word:58}",
    "hubspot": "pat-na1-" + UUID,
    "huggingface": "hf_{alnum:34}",
    "infracost": "ico-{alnum:32}",
    "intra42": "s-s4t2ud-{hex:64}",
    "jina": "jina_{hex:32}{word:28}",
    "jwt": "eyJ{word:30}.eyJ{word:60}.{word:43}",
    "langfuse": "sk-lf-" + UUID,
    "langsmith": "lsv2_pt_{hex:32}_{hex:10}",
    "langsmith service": "lsv2_sk_{hex:32}_{hex:10}",
    "launchdarkly": "sdk-" + UUID,
    "linear": "lin_api_{alnum:40}",
    "litellm": "sk-{word:20}7Q",
    "litellm, 32 bytes": "sk-{word:40}7a8",
    "llamacloud": "llx-{alnum:48}",
    "logfire": "pylf_v1_us_{alnum:43}",
    "mailchimp": "{hex:32}-us12",
    "mailgun": "key-{hex:32}",
    "mapbox": "sk.eyJ{word:80}.{word:22}",
    "modal": "ak-{alnum:22}",
    "neon": "napi_{lower:64}",
    "netlify": "nfp_{alnum:36}",
    "new relic": "NRAK-{upper:27}",
    "notion": "ntn_{alnum:46}",
    "notion, older": "secret_{alnum:43}",
    "npm": "npm_{alnum:36}",
    "nuget": "oy2{lower:43}",
    "nvidia": "nvapi-{word:64}",
    "octopus": "API-{upper:26}",
    "openai": "sk-proj-{word:74}T3BlbkFJ{word:74}",
    "openai, older": "sk-{alnum:20}T3BlbkFJ{alnum:20}",
    "openai service": "sk-svcacct-{word:74}T3BlbkFJ{word:74}",
    "openai session": "sess-{alnum:40}",
    "openrouter": "sk-or-v1-{hex:64}",
    "openshift": "sha256~{word:42}a",
    "perplexity": "pplx-{alnum:48}",
    "pinecone": "pcsk_{alnum:5}_{alnum:63}",
    "planetscale": "pscale_tkn_{word:43}",
    "posthog": "phx_{alnum:43}",
    "postman": "PMAK-{hex:24}-{hex:34}",
    "prefect": "pnu_{alnum:36}",
    "pulumi": "pul-{hex:40}",
    "pypi": "pypi-AgEIcHlwaS5vcmc{word:100}",
    "razorpay": "rzp_live_{alnum:14}",
    "readme": "rdme_{lower:70}",
    "render": "rnd_{alnum:28}",
    "replicate": "r8_{alnum:37}",
    "resend": "re_{alnum:8}_{alnum:24}",
    "rubygems": "rubygems_{hex:48}",
    "runpod": "rpa_{upper:40}",
    "sendgrid": "SG.{word:22}.{word:43}",
    "sendinblue": "xkeysib-{hex:64}-{alnum:16}",
    "sentry": "sntrys_{alnum:90}",
    "sentry user": "sntryu_{hex:64}",
    "shippo": "shippo_live_{hex:40}",
    "shopify": "shpat_{hex:32}",
    "shopify shared": "shpss_{hex:32}",
    "slack": "xoxb-{digit:12}-{digit:12}-{alnum:24}",
    "slack app": "xapp-1-A{upper:10}-{digit:13}-{hex:64}",
    "slack user": "xoxp-{digit:12}-{digit:12}-{hex:32}",
    "slack webhook": "https://hooks.slack.com/services/T{upper:8}/B{upper:8}/{alnum:24}",
    "sonarqube": "squ_{hex:40}",
    "sourcegraph": "sgp_{hex:16}_{hex:40}",
    "square": "sq0atp-{word:22}",
    "square token": "EAAA{word:59}a",
    "stripe": "sk_live_{alnum:24}",
    "stripe restricted": "rk_test_{alnum:24}",
    "stripe webhook": "whsec_{alnum:32}",
    "supabase": "sbp_{hex:40}",
    "supabase secret": "sb_secret_{word:31}",
    "tailscale": "tskey-auth-{alnum:16}-{alnum:32}",
    "tavily": "tvly-{alnum:32}",
    "tavily dev": "tvly-dev-{alnum:32}",
    "teams webhook": "https://a.webhook.office.com/webhookb2/" + UUID + "@" + UUID + "/x/{hex:32}",
    "telegram": "{digit:9}:AA{word:32}a",
    "tencent": "AKID{alnum:32}",
    "terraform": "{alnum:14}.atlasv1.{word:66}",
    "together": "tgp_v1_{word:43}",
    "twilio": "SK{hex:32}",
    "twitter": "AAAAAAAAAAAAAAAAAAAAA{alnum:90}",
    "typeform": "tfp_{word:59}",
    "vault": "hvs.{word:95}",
    "vault, older": "s.{alnum:11}2{lower:1}7{alnum:10}",
    "authress": "sc_{lower:12}.{lower:4}.acc_{lower:12}.{word:40}",
    "vault batch": "hvb.{word:140}",
    "vercel": "vck_{alnum:56}",
    "voyage": "pa-{alnum:43}",
    "wandb": "wandb_v1_{word:60}",
    "xai": "xai-{alnum:80}",
    "yandex": "AQVN{word:36}",
    "airtable oauth": "oaa{alnum:14}.v1.{alnum:60}.{hex:64}",
    "atlassian, older": "ATATT{word:60}",
    "aws appsync": "da2-{lower:26}",
    "bannerbear": "bb_pr_{hex:30}",
    "besttime": "pri_{hex:32}",
    "bitbucket data center": "BBDC-{word:44}",
    "checkout": "sk_" + UUID,
    "clickup": "pk_{digit:8}_{upper:32}",
    "close": "api_{alnum:22}.{alnum:22}",
    "cloudflare global": "cfk_{alnum:40}{hex:8}",
    "cloudflare origin": "v1.0-{alnum:171}",
    "defined networking": "dnkey-{word:26}-{word:52}",
    "dropbox": "sl.u.{word:140}",
    "facebook app": "{digit:16}|{word:27}",
    "figma public": "figp_{word:40}",
    "fleetbase": "flb_live_{alnum:20}",
    "flexport": "shltm_{word:40}",
    "klaviyo": "pk_{alnum:6}_{hex:34}",
    "lob": "live_{hex:35}",
    "lob public": "test_pub_{hex:31}",
    "locationiq": "pk.{hex:32}",
    "mailgun, any letters": "key-{lower:32}",
    "new relic license": "{hex:32}FFFFNRAL",
    "nightfall": "NF-{alnum:32}",
    "pagarme": "ak_live_{alnum:30}",
    "pganalyze": "pgar_{alnum:28}",
    "photoroom": "sk_pr_{alnum:6}_{hex:40}",
    "plaid": "access-production-" + UUID,
    "portainer": "ptr_{alnum:44}",
    "pubnub": "sub-c-" + UUID,
    "ramp": "ramp_sec_{alnum:48}",
    "robinhood": "rh-api-" + UUID,
    "rootly": "rootly_{hex:64}",
    "salad": "salad_cloud_{alnum:6}_{alnum:40}",
    "salesforce": "3MVG9{alnum:80}",
    "secret key of a smaller vendor": "sk_{lower:32}",
    "sonarcloud": "sqco_{alnum:59}",
    "sourcegraph cody": "slk_{hex:64}",
    "stripe payment": "pi_{alnum:24}_secret_{alnum:25}",
    "teamwork": "tkn.v1_{alnum:71}",
    "telnyx": "KEY0{word:54}",
    "tines": "https://me.tines.com/webhook/{lower:32}/{lower:32}",
    "ubidots": "BBFF-{alnum:30}",
    "voiceflow": "VF.DM.{hex:24}.{alnum:16}",
    "zapier": "https://hooks.zapier.com/hooks/catch/{digit:7}/{lower:7}",
    "zoho": "1000.{hex:32}.{hex:32}",
}
LONG = "Nobody hides what these words say.\n" * 80
"""Of a longer text some rules look only at parts."""
PLACES = {
    "alone": "{}",
    "in a long text": f"{LONG}{{}}\n{LONG}",
    "in a sentence": "my key is {}, keep it",
    "in a provider's 401": "Incorrect API key provided: {}. You can find your key at https://x.",
    "after a colon": "key:{}",
    "in quotes": 'client = Client("{}")',
    "in JSON in JSON": '{{\\"a\\": \\"line\\n{}\\"}}',
    "after a line break in JSON": '{{"log": "first\\n{}"}}',
    "in a URL": "https://host/path?a=1&b={}&c=2",
    "percent-encoded": "https://host/path?q=a%20{}%22b",
    "on a line of its own": "before\n{}\nafter",
    "in Chinese": "密钥是{}。",
    "in brackets": "<{}>",
    "in colour": "see \x1b[32m{}\x1b[0m",
    "in several colours": "see \x1b[1m\x1b[38;5;208m{}\x1b[m there",
    "in colour, in JSON": "see \\u001b[1;32m{}\\u001b[0m there",
}


def example(form: str, seed: int = 0) -> str:
    """Make a secret of a format, the same each time."""
    chance = random.Random(f"{form}{seed}")
    return re.sub(
        r"\{(\w+):(\d+)\}",
        lambda m: "".join(chance.choices(ALPHABETS[m[1]], k=int(m[2]))),
        form,
    )


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_found(name: str) -> None:
    """Wherever it is written, all of it goes and what is around it stays."""
    for seed in range(20):
        secret = example(FORMATS[name], seed)
        hidden = secret.rpartition("/")[2] if "://" in secret else secret
        for place, template in PLACES.items():
            text = template.format(secret)
            cleaned = clean_text(text)
            assert hidden not in cleaned, (place, text)
            head, _, tail = template.format("|").partition("|")
            assert cleaned.startswith(head[: len(head) // 2]), (place, text, cleaned)
            assert cleaned.endswith(tail), (place, text, cleaned)


@pytest.mark.parametrize("inner", INNER, ids=lambda inner: inner.literal)
def test_a_rule_is_looked_for_around_its_literal(inner: Inner) -> None:
    """A pattern begins with its literal, or the rule says how far behind, or it is sought anywhere."""
    begins = re.sub(r"\\(.)", r"\1", inner.source).startswith(inner.literal)
    assert begins or inner.behind or inner.literal in ALONE


def test_every_rule_has_an_example() -> None:
    """No rule goes untested."""
    found = {
        kind
        for form in FORMATS.values()
        for kind in re.findall(r"\[redacted:([^\]]+)\]", clean_text(example(form)))
    }
    elsewhere = {"private key", "url", "assigned", "database", "encoded"}
    assert {rule.name for rule in (*RULES, *INNER)} <= found | elsewhere


PASSWORD = "tr0ub4dor" + "Xk29"
TOKEN = example("{alnum:32}")
JSON = base64.b64encode(json.dumps({"user": "me", "api_key": TOKEN}).encode()).decode()
STORAGE = example("{base64:86}") + "=="
WRITTEN = {
    "cookie": ("Cookie: session={}; theme=dark", TOKEN),
    "second cookie": ("Cookie: theme=dark; session={}", TOKEN),
    "set-cookie": ("Set-Cookie: sid={}; Path=/; HttpOnly", TOKEN),
    "cookie in JSON": ('{{"Cookie": "sid={}"}}', TOKEN),
    "token=": ("GET /callback?token={}&x=1", TOKEN),
    "token in a text": ("use token={} for it", TOKEN),
    "JSON token": ('{{"token": "{}"}}', TOKEN),
    "JSON token in JSON": ('{{\\"token\\": \\"{}\\"}}', TOKEN),
    "?key=": ("https://maps.example.com/api?key={}", TOKEN),
    "&key=": ("https://maps.example.com/api?q=1&key={}", TOKEN),
    "sig=": ("https://x.example.com/blob?sv=1&sig={}", TOKEN),
    "AccountKey": (
        "DefaultEndpointsProtocol=https;AccountName=me;AccountKey={};EndpointSuffix=core", STORAGE
    ),
    "AccountKey alone": ("AccountKey={}", STORAGE),
    "SharedAccessKey": (
        "Endpoint=sb://x.servicebus.windows.net/;SharedAccessKeyName=n;SharedAccessKey={};", STORAGE
    ),
    "DB_PASS": ("DB_PASS={}", PASSWORD),
    "DB_PASS in words": ("export DB_PASS={}", "correcthorsebattery"),
    "DB_PASSWORD in quotes": ('DB_PASSWORD="{}"', PASSWORD),
    "PGPASSWORD": ("PGPASSWORD={} psql -h db", PASSWORD),
    "env file": ("A=1\nSECRET_KEY={}\nB=2", TOKEN),
    "YAML": ("db:\n  password: {}\n  port: 5432", PASSWORD),
    "TOML": ('[auth]\nclient_secret = "{}"', TOKEN),
    "Python": ('requests.get(url, auth_token="{}")', TOKEN),
    "JavaScript": ("const config = {{ apiKey: '{}' }}", TOKEN),
    "Ruby": (":password => '{}'", PASSWORD),
    "Go": ('password := "{}"', PASSWORD),
    "option": ("mysql --password {} -u root", PASSWORD),
    "option with =": ("tool --api-key={}", TOKEN),
    "curl": ("curl -H 'Authorization: Bearer {}' https://host", TOKEN),
    "curl token": ("curl -H 'Authorization: token {}' https://host", TOKEN),
    "basic": ("Authorization: Basic {}", base64.b64encode(b"user:tr0ub4dor").decode()),
    "X-Auth-Token": ("X-Auth-Token: {}", TOKEN),
    "X-Api-Key": ("x-api-key: {}", TOKEN),
    "URL": ("postgres://me:{}@db/x", PASSWORD),
    "URL with a slash": ("postgres://me:{}@db:5432/x", "p4ss/w0rd"),
    "URL with an @": ("postgres://me:{}@db:5432/x", "p4ss@w0rd"),
    "URL without a user": ("redis://:{}@cache:6379/0", PASSWORD),
    "URL with a blank": ("postgres://me:{}@db:5432/x", "p4ss w0rd"),
    "connection string": ("Server=db;Database=x;User Id=me;Password={};", PASSWORD),
    "connection string with blanks": ("Server=db;User Id=me;Password={};Database=x", "my p4ss word"),
    "connection string with a slash": ("Server=db;Uid=me;Pwd={};", "a/b/c9"),
    "connection string at its end": ("Server=db;User Id=me;Password={}", "my p4ss word"),
    "base64 of JSON": ("config: {} end", JSON),
    "base64url of JSON": ("config={}", JSON.rstrip("=").replace("+", "-").replace("/", "_")),
    "base64 of an environment": ("config: {}", base64.b64encode(f"export API_KEY={TOKEN}".encode()).decode()),
    "base64 of YAML": ("data: {}", base64.b64encode(f"password: {PASSWORD}9x".encode()).decode()),
    "base64 of a vendor's key": ("data: {}", base64.b64encode(f"ghp_{TOKEN}a1B2".encode()).decode()),
    "npm": ("//registry.npmjs.org/:_authToken={}", TOKEN),
    "XML": ("<password>{}</password>", PASSWORD),
    "XML on several lines": ("<apiToken>\n    {}\n</apiToken>", TOKEN),
    "XML with a backslash": ("<password>{}</password>", "a\\b9\\new"),
    "XML in JSON": ('{{"x": "<apiToken>\\n    {}\\n</apiToken>"}}', TOKEN),
    "a typed setting": ('api_key: str = "{}"', TOKEN),
    "a typed setting that may be none": ('SECRET_KEY: str | None = "{}"', TOKEN),
    "a typed variable of Go": ('var apiToken string = "{}"', TOKEN),
    "a typed constant of Rust": ("const API_KEY: &'static str = \"{}\";", TOKEN),
    "an array of C": ('static const char password[] = "{}";', PASSWORD),
    "a comparison": ('if (apiKey === "{}") return;', TOKEN),
    "a comparison of Python": ("if password != '{}':", PASSWORD),
    "a name that says which": ('api_key_staging: "{}"', TOKEN),
    "a verbatim string of C#": ('password = @"{}";', PASSWORD),
    "a Makefile": ("API_TOKEN ?= {}", TOKEN),
    "a Makefile, at once": ("API_TOKEN ::= {}", TOKEN),
    "PHP": ('$token .= "{}";', TOKEN),
    "a number behind the name": ('API_KEY_2="{}"', TOKEN),
    "signs in quotes": ('{{"password": "{}", "a": 1}}', "ab;c&d{e},f9"),
    "a UUID of the environment": ("SNYK_TOKEN={}", "123e4567-e89b-12d3-a456-426614174000"),
    "netrc": ("machine host login me password {}", PASSWORD),
    "heroku": ("HEROKU_API_KEY={}", "123e4567-e89b-12d3-a456-426614174000"),
    "twilio": ("TWILIO_AUTH_TOKEN={}", example("{hex:32}")),
    "aws": ("aws_secret_access_key = {}", example("{base64:38}9a")),
    "private key": (
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----",
        "\n".join(example("{base64:64}", n) for n in range(12)),
    ),
    "private key in JSON": (
        '{{"private_key": "-----BEGIN RSA PRIVATE KEY-----\\n{}\\n-----END RSA PRIVATE KEY-----\\n"}}',
        "\\n".join(example("{base64:64}", n) for n in range(12)),
    ),
    "private key that is cut off": (
        "-----BEGIN EC PRIVATE KEY-----\n{}", example("{base64:64}") + "\n" + example("{base64:50}")
    ),
    "PGP": (
        ("-----BEGIN PGP PRIVATE KEY BLOCK-----\nVersion: 1\n\n{}\n=abcd\n"
        "-----END PGP PRIVATE KEY BLOCK-----"),
        example("{base64:64}"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRITTEN)
def test_what_has_no_prefix_is_found_by_where_it_stands(name: str) -> None:
    """By the name before it, the URL or the connection string around it, or the header."""
    template, secret = WRITTEN[name]
    text = f"look:\n{template.format(secret)}\nand go on"
    cleaned = clean_text(text)
    assert secret not in cleaned
    assert "[redacted:" in cleaned
    assert cleaned.startswith("look:\n")
    assert cleaned.endswith("and go on")


CHOSEN = "Summer2024" + "!x"
"""A password that somebody chose: no machine made it."""
TOLD = {
    "a key in colour": ['\x1b[1;34m"token"\x1b[0m: \x1b[32m"{token}"\x1b[0m', "API_KEY \x1b[33m{token}"],
    "other blanks": [
        "password:\u00a0{chosen}", "password\u200b: {chosen}", "password:\u3000{token}",
        "\ufeffAPI_KEY=\u2009{token}", "ключ\u00a0: {token}",
    ],
    "the next line": ["API key:\n{token}", "password:\n\n{token}", "token:\r\n    {token}"],
    "percent-encoded": ["client_secret%3D{token}%26x=1", "%22password%22%3A%22{token}%22"],
    "prose": [
        "My password is {chosen} and yours?", "my password is: {chosen}", "the api key is `{token}`",
        "The password for the database is {chosen}", "Here is my API key {token}, use it",
        "**Password:** {chosen}", "| password | {chosen} |", "password -> {chosen}",
    ],
    "a provider's error": [
        "Incorrect API key provided: {token}. You can find", "API key {token} is invalid",
        "Invalid proxy server token passed. Received API Key = {token}, Key Hash (Token) =1",
        "The API key you provided ({token}) is not valid", "invalid access token: {token}",
    ],
    "a pair": [
        '("x-api-key", "{token}")', "['--token', '{token}']", "define( 'DB_PASSWORD', '{chosen}' );",
        'monkeypatch.setenv("API_TOKEN", "{token}")', 'os.environ.setdefault("X_KEY", "{token}")',
    ],
    "a list": ['"api_keys": ["{token}", "{token}"]', "API_KEYS={token},{token}"],
    "name and value": [
        "- name: DB_PASSWORD\n  value: {token}", '- name: X_KEY\n  value: "{token}"',
        '{{"name": "API_KEY", "value": "{token}"}}', '{{"key":"x-api-key","value":"{token}"}}',
        '{{\\"name\\": \\"DB_PASSWORD\\",\\n \\"value\\": \\"{chosen}\\"}}',
    ],
    "a YAML block": ["password: |\n  {chosen}\n", "password: |\\n  {chosen}\\n", "token: >-\n    {token}\n", "key: 1\nsecret: |-\n {token}"],
    "a Dockerfile": ["ENV API_TOKEN {token}", "ENV DB_PASSWORD {chosen}", "ARG API_TOKEN={token}"],
    "settings of Redis": ["requirepass {token}"],
    "a shell": ["setenv X_TOKEN {token}", "set -gx X_TOKEN {token}", 'setx X_API_KEY "{token}"'],
    "a list of points": ["- API key - {token}", "token - '{token}'", "password - {chosen}"],
    "a key of a vendor in camelCase": ['stripeKey := "{token}"', "X-Acme-Key: {token}"],
    "several keys": ['os.environ["API_KEY_2"] = "{token}"', '("DB_PASSWORD_1", "{token}")'],
    "an index": [
        'os.environ["OPENAI_API_KEY"] = "{token}"', "config['password'] = '{chosen}'",
        'process.env["OPENAI_KEY"] = "{token}"', "{{b'password': b'{chosen}'}}",
    ],
    "a key of a vendor": ["OPENAI_KEY={token}", 'openai_key: "{token}"'],
    "the user of a URL": ["https://{token}@github.com/a/b.git", "https://{token}:@api.example.com/v1"],
    "the user of a command": [
        "curl -u admin:{chosen} https://h", "curl -u {token}: https://h", "http -a me:{chosen} GET h",
        'curl -X POST --user "admin:{chosen}" https://h', "curl --user  ':{chosen}' https://h",
    ],
    "the password of a command": [
        "mysql -uroot -p{chosen} db", "mysqldump -h db -p'{chosen}' app", "sshpass -p {chosen} ssh a@b",
        "docker login -u me -p {token} registry", "redis-cli -h x -a {token} ping",
        "ldapsearch -D cn=x -w {chosen} -b y",
    ],
    "AWS": ["AWS4-HMAC-SHA256 Credential=AKIDX/2020/us/s3, SignedHeaders=host, Signature={token}{token}"],
    "otpauth": ["otpauth://totp/Me:me@example.org?secret={token}&issuer=y"],
    "XML attributes": [
        '<add key="ApiKey" value="{token}" />', '<property name="db.password" value="{chosen}"/>',
        '<entry key="password">{chosen}</entry>',
    ],
    "SQL": [
        "CREATE USER u IDENTIFIED BY '{chosen}'", "CREATE USER u IDENTIFIED BY {token};",
        "ALTER USER u IDENTIFIED WITH mysql_native_password BY '{chosen}';",
        "CREATE ROLE x LOGIN PASSWORD '{chosen}'", "SET PASSWORD FOR 'u' = PASSWORD('{chosen}')",
    ],
    "Chinese": ["密码：{chosen}", "密码是{chosen}", "密钥: {token}", "口令为 {chosen}，请保管"],  # noqa: RUF001
    "Japanese": ["パスワード：{chosen}", "パスワードは{chosen}です"],  # noqa: RUF001
    "other languages": [
        "Passwort ist da; Kennwort: {chosen}", "Das Passwort lautet: {chosen}", "Passwort: {chosen}",
        "Mot de passe : {chosen}", "Contraseña: {chosen}", "la contraseña es {chosen}", "Senha: {chosen}",
        "Пароль: {chosen}", "пароль — {chosen}", "비밀번호: {chosen}", "Hasło: {chosen}", "Şifre: {chosen}",
        "Wachtwoord: {chosen}", "كلمة المرور: {chosen}", "סיסמה: {chosen}", "Mật khẩu: {chosen}",
    ],
    "a user and a password": [
        "requests.get(u, auth=('me', '{chosen}'))", 'HTTPBasicAuth("me", "{chosen}")',
        'req.SetBasicAuth("me", "{token}")', '{{"auth": ["me", "{chosen}"]}}',
        'GraphDatabase.driver("bolt://db:7687", auth=(\n    "neo4j", "{chosen}"))',
        "jdbc:oracle:thin:app/{chosen}@//db:1521/X", "cqlsh db -u cassandra -p {chosen}",
    ],
    "a wrapped value": [
        "Config(token=SecretStr('{token}'))", 'ConvertTo-SecureString "{chosen}" -AsPlainText',
        'variable "db_password" {{\n  default = "{chosen}"\n}}', "%7B%22password%22%3A%20%22{chosen}%22%7D",
    ],
    "a secret of Pulumi": ["pulumi config set --secret dbPassword {chosen}"],
    "a genitive": ["the wifi password's {chosen}, ok?"],
    "French": ["Voici la clé API : {token}", "Votre clé d'API est {token}"],
    "PuTTY": [
        "PuTTY-User-Key-File-3: ssh-rsa\nPrivate-Lines: 2\n{token}{token}\n{token}\nPrivate-MAC: 00",
    ],
    "numbers in JSON": ['{{"password": 98765432101}}'],
}  # fmt: skip


@pytest.mark.parametrize("kind", TOLD)
def test_what_a_text_tells_is_found(kind: str) -> None:
    """Secrets in sentences, commands, statements and settings, without a format of their own."""
    for template in TOLD[kind]:
        text = f"look:\n{template.format(token=TOKEN, chosen=CHOSEN)}\nand go on"
        cleaned = clean_text(text)
        assert not any(secret in cleaned for secret in (TOKEN, CHOSEN[:-2], "98765432101")), cleaned
        assert "[redacted:" in cleaned
        assert cleaned.startswith("look:\n")
        assert cleaned.endswith("\nand go on")


PLANTED = (Path(__file__).parent / "data" / "planted.jsonl").read_text("utf-8").splitlines()
"""Shapes that the traffic of models has: arguments of tools, commands, files, logs, languages."""
KINDS_OF_SECRETS = {
    "<chosen>": "Vq{digit:2}!" + "mReK2x",
    "<plain>": "zaq{digit:2}wsx" + "CDE3",
    "<camel>": "tiger{digit:2}" + "Scott",
    "<words>": "blauerHimmel" + "_{digit:4}",
    "<token>": "{alnum:40}",
    "<hex>": "{hex:32}",
    "<uuid>": UUID,
}


@pytest.mark.parametrize("planted", PLANTED)
def test_what_is_planted_is_found(planted: str) -> None:
    """The secret goes, and what is far from it stays."""
    text = json.loads(planted)
    for seed in range(5):
        made = {kind: example(form, seed) for kind, form in KINDS_OF_SECRETS.items()}
        filled = functools.reduce(lambda some, kind: some.replace(kind, made[kind]), made, text)
        before, behind = f"{LONG * (seed % 2)}Look at this:\n", f"\nand go on{LONG * (seed % 2)}"
        cleaned = clean_text(f"{before}{filled}{behind}")
        assert not any(one in cleaned for one in made.values()), cleaned
        assert cleaned.startswith(before)
        assert cleaned.endswith(behind)


def test_what_is_long_is_found_in_a_long_text() -> None:
    """An element whose end is far away; arguments before a password."""
    element = f"<password>{'a1B2c3D4' * 80}</password>"
    call = f'getConnection("{"h" * 186}", "{"u" * 190}", "S3cretV4lue9")'
    for text in (element, f"{LONG}{element}", call, f"{LONG}{call}"):
        cleaned = clean_text(text)
        assert "a1B2c3D4" not in cleaned
        assert "S3cretV4lue9" not in cleaned


def test_what_is_told_once_is_found_where_it_stands_again() -> None:
    """A log or an answer repeats a secret whose name stood before it elsewhere."""
    text = f"API_TOKEN={TOKEN}\nGET /v1/{TOKEN}/items\nGET /v1/{TOKEN}s -> {TOKEN[:-1]}"
    told = "[redacted:assigned]"
    assert clean_text(text) == (
        f"API_TOKEN={told}\nGET /v1/{told}/items\nGET /v1/{TOKEN}s -> {TOKEN[:-1]}"
    )


ID = "3f2b8c1e-9a7d-4e6f-8b5a-1c2d3e4f5a6b"
TOKENS_OF_PAGES = [
    *("pageToken", "next_page_token", "NextToken", "paginationToken", "nextForwardToken"),
    *("continuationToken", "resumeToken", "scroll_token", "syncToken", "startingToken"),
    *("cancellationToken", "cancel_token"),
]
TOKENS_THAT_OPEN = [
    *("sessionToken", "session_token", "X-Session-Token", "csrfToken", "reset_token"),
    *("accessToken", "refresh_token", "verificationToken", "inviteToken", "AUTH_TOKEN"),
    *("snykToken", "heroku_token", "sendbird-token"),
]
ASSIGNMENTS = ["{}={}", '"{}": "{}"', "{}: {}", "?a=1&{}={}&b=2", '{{\\"{}\\": \\"{}\\"}}']


@pytest.mark.parametrize("name", TOKENS_OF_PAGES)
def test_where_a_listing_goes_on_is_no_secret(name: str) -> None:
    """Neither in a text nor in a mapping, whether it is an id or something encoded."""
    sink = MemorySink()
    tracer = Tracer(pipeline(redact(environment=False), sink=sink))
    for value in (ID, "CAUQAA1b2c3d4e5f6g7h"):
        texts = [template.format(name, value) for template in ASSIGNMENTS]
        assert list(map(clean_text, texts)) == texts
        tracer.start("x", inputs={name: value}).end()
        assert sink.spans[-1].inputs == {name: value}


@pytest.mark.parametrize("name", TOKENS_THAT_OPEN)
def test_an_id_that_opens_a_session_is_a_secret(name: str) -> None:
    """By what stands before "token"; under "token" alone an id may be that of anything."""
    sink = MemorySink()
    tracer = Tracer(pipeline(redact(environment=False), sink=sink))
    tracer.start("x", inputs={name: ID}).end()
    assert sink.spans[-1].inputs == {name: "[redacted:by name]"}
    assert not any(ID in clean_text(template.format(name, ID)) for template in ASSIGNMENTS)
    assert clean_text(f"token={ID}") == f"token={ID}"


def test_keys_of_litellm_are_found_and_words_are_not() -> None:
    """Its virtual keys are `secrets.token_urlsafe(16)`: the last character is one of four."""
    for _ in range(200):
        key = f"sk-{secrets.token_urlsafe(16)}"
        if any(map(str.isdigit, key)):
            assert key not in clean_text(f"Use the key {key} for the proxy")


FILED = {
    "a token": {"github_token": TOKEN, "hf_token": TOKEN, "token": TOKEN, "csrfToken": TOKEN},
    "a key": {"access_key": TOKEN, "openai_key": TOKEN, "api_key_2": TOKEN, "signingKey": TOKEN},
    "Bedrock": {"aws_bearer_token_bedrock": TOKEN, "AWS_BEARER_TOKEN_BEDROCK": TOKEN},
    "several": {
        "api_keys": [TOKEN],
        "passwords": {"db": CHOSEN},
        "tokens": [TOKEN],
        "keys": [TOKEN],
    },
    "several below": {"secrets": {"prod": {"one": [TOKEN]}}, "hf_tokens": {"a": TOKEN}},
    "a number": {"password": 9876543210123, "api_key": 1234567890123456},
    "numbers": {"api_key": [1234567890123456]},
    "pairs": [("x-api-key", TOKEN), ("Accept", "text/html"), ["DB_PASSWORD", CHOSEN]],
    "arguments": ["curl", "--api-key", TOKEN, "https://example.com"],
    "name and value": [
        {"name": "API_KEY", "value": TOKEN},
        {"key": "DB_PASSWORD", "value": CHOSEN},
    ],
    "a browser's tools": [
        {"element": "Password input field", "ref": "e12", "text": CHOSEN},
        {"fields": [{"name": "API key field", "type": "textbox", "value": TOKEN}]},
        {"id": "api_key", "value": TOKEN},
        {"action": "input_text", "index": 3, "label": "password", "text": CHOSEN},
    ],
    "a weak name and value": [{"name": "openai_key", "value": TOKEN}],
    "a suffix": {"SecretString": CHOSEN, "api_key_prod": TOKEN, "client_secret_value": CHOSEN},
    "another language": {"密码": CHOSEN, "Passwort": CHOSEN, "mot_de_passe": CHOSEN},
    "a short name": {"pwd": CHOSEN, "db_pass": CHOSEN, "auth": ["me", CHOSEN]},
}


@pytest.mark.parametrize("kind", FILED)
def test_what_is_filed_under_a_name_is_hidden(kind: str) -> None:
    """In mappings, lists of names and values, and pairs."""
    sink = MemorySink()
    with Tracer(pipeline(redact(environment=False), sink=sink)).span("x", inputs=FILED[kind]):
        pass
    inputs = str(sink.spans[0].inputs)
    for secret in (TOKEN, CHOSEN, "9876543210123", "1234567890123456"):
        assert secret not in inputs
    assert "[redacted:by name]" in inputs


UNUSUAL = {
    "SERVICE_API_KEY": "kjhgfdsa-qwertyuiop-zxcvbnmlk",
    "DB_PASSWORD": "korrekt Pferd Batterie 99",
    "OPENAI_KEY": "plainkey123456",
    "APP_PRIVATE_KEY": "-----BEGIN\nabc1def2\nghi3jkl4\n-----END",
    "SSH_PASSPHRASE": "correct horse battery",
    "PLAIN_SECRET": "kjhgfdsaqwertyuiop",
    "API_KEYS": "first1first,second2second",
    "URL_PASSWORD": "p@ss/w0rd with blanks",
}


@pytest.mark.parametrize("name", UNUSUAL)
def test_unusual_values_of_the_environment_are_known(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """With blanks and line breaks, of letters alone, several in one; also in JSON and in a URL."""
    value = UNUSUAL[name]
    monkeypatch.setenv(name, value)
    for one in value.split(",") if name == "API_KEYS" else [value]:
        for written in (one, json.dumps(one)[1:-1], urllib.parse.quote(one, safe="")):
            assert clean_text(f"it said {written}.") == "it said [redacted:known]."


PLACEHOLDERS = [
    *("anything", "ollama", "placeholder", "password", "not-needed", "your-api-key-here"),
    *("change me in production please", "no key required", "local-development-only", "none"),
    *("replace-with-your-secret", "/home/me/keys/server.pem", ""),
]


@pytest.mark.parametrize("value", PLACEHOLDERS)
def test_plain_words_in_the_environment_are_not(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    """A text that holds such a word or a path stays, whatever variable has it as its value."""
    monkeypatch.setenv("SOME_ODD_KEY", value)
    text = f"it said {value}, and nothing else"
    assert clean_text(text) is text


NAMES = ["hf_token", "signingKey", "X-Api-Key", "db_password", "OPENAI_KEY", "sas_token", "sig"]
OTHER_NAMES = [
    "max_tokens",
    "maxToken",
    "cache_key",
    "primary-key",
    "key",
    "keys",
    "pass",
    "monkey",
]


def test_names_of_credentials() -> None:
    """What opens something is a credential's name; what counts or sorts is not."""
    assert all(map(names_credential, NAMES))
    assert not any(map(names_credential, OTHER_NAMES))


KNOWN = [
    "Zq7/mB+x9=Kd2&Lw",
    "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY",
    'p"ss\\wörd <1>',
    "a b/c+d e-f_g",
]


def test_many_known_secrets_are_found() -> None:
    """More than are looked for one by one, and short ones among them."""
    known = [f"{number * 7_919:08d}Tenant{number}Xy" for number in range(300)] + ["short-7x"]
    redactor = redact(known=known, environment=False)
    for number, secret in enumerate(known):
        memory = MemorySink()
        text = "a" * (number % 11) + f" {secret}, {base64.b64encode(secret.encode()).decode()} ok"
        Tracer(memory).start("call", inputs=text).end()
        cleaned = str(redactor(memory.spans[0]).inputs)
        assert cleaned.count("[redacted:known]") == 2, cleaned


@pytest.mark.parametrize("known", KNOWN)
def test_a_known_secret_is_found_however_it_is_encoded(known: str) -> None:
    """In an error that quotes a URL, JSON or a header."""
    quoted = urllib.parse.quote
    spelled = {
        "as it is": known,
        "percent": quoted(known, safe=""),
        "percent but /": quoted(known),
        "form": urllib.parse.urlencode({"a": known}),
        "small": re.sub("%..", lambda found: found.group().lower(), quoted(known, safe="")),
        "twice": quoted(quoted(known, safe=""), safe=""),
        "like encodeURIComponent": quoted(known, safe="!*'()"),
        "JSON": json.dumps({"a": known}),
        "JSON without escapes": json.dumps({"a": known}, ensure_ascii=False),
        "JSON in JSON": json.dumps(json.dumps({"a": known})),
        "JSON of PHP": json.dumps({"a": known}).replace("/", r"\/"),
        "JSON for HTML": json.dumps({"a": known}).replace("+", r"\u002B").replace("&", r"\u0026")
        if '"' not in known
        else known,
        **{
            f"base64 behind {n}": base64.b64encode(b"u" * n + known.encode() + b":" * n).decode()
            for n in range(6)
        },
        "base64 for URLs": base64.urlsafe_b64encode(known.encode()).decode(),
    }
    cleaner = redact(known=[known], environment=False)
    for kind, text in spelled.items():
        memory = MemorySink()
        with Tracer(pipeline(cleaner, sink=memory)).span("call") as span:
            span.set(outputs=f"401: invalid credentials {text} given")
        (cleaned,) = memory.spans
        assert "[redacted:known]" in str(cleaned.outputs), kind
