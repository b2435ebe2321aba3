"""Every format of secrets that can be told without guessing is found, in every place it is written.

The formats are those that gitleaks and detect-secrets know, and those of model providers. The
examples are made when the tests run, so that no scanner takes one of them for real.
"""

from __future__ import annotations

import base64
import json
import random
import re
import string

import pytest

from trace_core._processors.clean import clean_text
from trace_core._processors.rules import INNER, RULES

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
    "1password": "ops_eyJ{alnum:250}",
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
    "azure openai": "{alnum:52}JQQJ99{alnum:26}",
    "bedrock": "ABSK{base64:110}",
    "bitbucket": "ATBB{alnum:32}",
    "braintree": "access_token$production${lower:16}${hex:32}",
    "brave": "BSA{word:27}",
    "cerebras": "csk-{lower:48}",
    "clojars": "CLOJARS_{lower:60}",
    "cloudflare": "v1.0-{hex:24}-{hex:146}",
    "contentful": "CFPAT-{word:43}",
    "crates.io": "cio{alnum:32}",
    "databricks": "dapi{hex:32}",
    "digitalocean": "dop_v1_{hex:64}",
    "digitalocean oauth": "doo_v1_{hex:64}",
    "discord": "MTE{alnum:23}.{word:6}.{word:38}",
    "discord webhook": "https://discord.com/api/webhooks/{digit:18}/{word:68}",
    "docker": "dckr_pat_{word:27}",
    "docker organization": "dckr_oat_{word:32}",
    "doppler": "dp.pt.{alnum:43}",
    "duffel": "duffel_live_{word:43}",
    "dynatrace": "dt0c01.{upper:24}.{upper:64}",
    "e2b": "e2b_{hex:40}",
    "easypost": "EZAK{alnum:54}",
    "elevenlabs": "sk_{hex:48}",
    "facebook": "EAAC{alnum:120}",
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
    "mailchimp": "{hex:32}-us12",
    "mailgun": "key-{hex:32}",
    "mapbox": "sk.eyJ{word:80}.{word:22}",
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
    "vault batch": "hvb.{word:140}",
    "vercel": "vck_{alnum:56}",
    "voyage": "pa-{alnum:43}",
    "wandb": "wandb_v1_{word:60}",
    "xai": "xai-{alnum:80}",
    "yandex": "AQVN{word:36}",
}
PLACES = {
    "alone": "{}",
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


def test_every_rule_has_an_example() -> None:
    """No rule goes untested."""
    found = {
        kind
        for form in FORMATS.values()
        for kind in re.findall(r"\[redacted:([^\]]+)\]", clean_text(example(form)))
    }
    elsewhere = {"npm registry", "private key", "url", "assigned", "database", "encoded"}
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
    "npm": ("//registry.npmjs.org/:_authToken={}", TOKEN),
    "XML": ("<password>{}</password>", PASSWORD),
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
