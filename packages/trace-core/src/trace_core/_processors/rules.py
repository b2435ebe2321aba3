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
def pattern(rule: Rule) -> re.Pattern[str]:
    """Return the compiled pattern of the whole secret.

    Args:
        rule: The rule.
    """
    return re.compile(f"(?:{'|'.join(map(re.escape, rule.starts))})(?:{rule.rest})")


def _rules(rest: str, *named: str) -> tuple[Rule, ...]:
    """Make rules for secrets that go on alike.

    Args:
        rest: A pattern for what follows.
        *named: A name and how its secrets begin, each: ``"slack: xoxa- xoxb-"``.
    """
    pairs = (one.split(": ") for one in named)
    return tuple(Rule(name, tuple(starts.split()), rest) for name, starts in pairs)


_ANY: Final = r"[A-Za-z0-9_\-]"
_ALNUM: Final = "[A-Za-z0-9]"
_HEX: Final = r"[0-9a-fA-F]"
_UUID: Final = r"[0-9a-zA-Z]{8}(?:-[0-9a-zA-Z]{4}){3}-[0-9a-zA-Z]{12}" + _END
_URLSAFE: Final = (
    r"(?=[a-z0-9_\-]{0,42}[A-Z])(?=[A-Z0-9_\-]{0,42}[a-z])"
    rf"(?:{_ANY}{{21}}[AQgw]|{_ANY}{{42}}[AEIMQUYcgkosw048])(?![A-Za-z0-9_\-])"
)
"""What ``secrets.token_urlsafe`` makes of 16 or 32 bytes. The last character has but few bits."""

RULES: Final = (
    # of a vendor that has several formats
    *_rules(_ANY + "{20,}", "anthropic: sk-ant-", "helicone: sk-helicone- pk-helicone-"),
    *_rules(_ANY + "{20,}", "openai: sk-proj- sk-svcacct- sk-admin- sk-None- sk-service-"),
    *_rules(_HEX + "{32,}", "openrouter: sk-or-v1- sk-or-"),
    *_rules(r"[0-9a-f\-]{36}", "langfuse: sk-lf- pk-lf-"),
    *_rules(_ALNUM + "{32,}", "openai: sk-"),
    *_rules(_URLSAFE, "litellm: sk-"),
    *_rules(_ALNUM + "{10,}", "stripe: sk_live_ sk_test_ rk_live_ rk_test_ sk_prod_ rk_prod_"),
    *_rules("[0-9a-f]{48}" + _END, "elevenlabs: sk_"),
    *_rules(_UUID, "checkout: sk_ sk_test_ sk_sbox_"),
    *_rules("(?:[A-Za-z0-9]{1,12}_){1,2}" + _HEX + "{32,40}" + _END, "key: sk_ pk_"),
    *_rules("(?:[0-9a-z]{1,12}_)?[0-9A-Za-z]{28,}" + _END, "key: sk_ pk_"),
    *_rules(_ALNUM + r"{24}_secret_[A-Za-z0-9]{20,}", "stripe: pi_ seti_"),
    *_rules("(?![ACGTUN]{16})[A-Z2-7]{16}" + _END, "aws: AKIA ASIA ABIA ACCA"),
    *_rules("[A-Z0-9][A-Z2-7]{16}" + _END, "aws: A3T"),
    *_rules("[A-Za-z0-9_]{50,}", "github: github_pat_"),
    *_rules(
        r"[A-Za-z0-9_.=\-]{19,}[A-Za-z0-9_\-]",
        "gitlab: glpat- gldt- glft- glrt- glrtr- glcbt- glptt- glimt- glagent- gloas- glsoat- "
        "glffct- GR1348941",
    ),
    *_rules(
        r"[A-Za-z0-9.\-]{10,}(?:%[0-9A-F]{2}[A-Za-z0-9.\-]{4,})*[A-Za-z0-9]",
        "slack: xoxa- xoxb- xoxe- xoxo- xoxp- xoxr- xoxs- xoxd- xoxc-",
    ),
    *_rules(r"[A-Za-z0-9\-]{20,}", "slack: xoxe.xoxb- xoxe.xoxp- xapp-"),
    *_rules(r"[0-9a-z]{32}-X", "flutterwave: FLWSECK- FLWPUBK- FLWPUBK_TEST- FLWSECK_TEST-"),
    *_rules("[0-9a-h]{12}" + _END, "flutterwave: FLWSECK_TEST-"),
    # letters and digits
    *_rules(_ALNUM + "{20,}", "fireworks: fw_ fpk_", "anyscale: esecret_", "vercel: vck_ vcp_"),
    *_rules(_ALNUM + "{20,}", "fleetbase: flb_live_", "pagarme: ak_live_"),
    *_rules(_ALNUM + "{20,}", "ramp: ramp_id_ ramp_sec_"),
    *_rules(_ALNUM + "{24,}", "bitbucket: ATBB", "render: rnd_", "pganalyze: pgar_"),
    *_rules(_ALNUM + "{24,}", "runpod: rpa_"),
    *_rules(_ALNUM + "{30,}", "huggingface: hf_ api_org_", "groq: gsk_", "perplexity: pplx-"),
    *_rules(_ALNUM + "{30,}", "cerebras: csk-", "apify: apify_api_", "linear: lin_api_ lin_oauth_"),
    *_rules(_ALNUM + "{30,}", "notion: ntn_ secret_", "github: ghp_ gho_ ghu_ ghs_ ghr_"),
    *_rules(_ALNUM + "{30,}", "nightfall: NF-"),
    *_rules(_ALNUM + "{40,}", "logfire: pylf_v1_us_ pylf_v1_eu_", "llamacloud: llx-"),
    *_rules(_ALNUM + "{40,}", "neon: napi_"),
    *_rules("[A-Za-z0-9_]{36,}", "pinecone: pcsk_", "netlify: nfp_ nfc_ nfo_", "posthog: phx_"),
    *_rules("[A-Za-z0-9_]{40,}", "xai: xai-", "sonarqube: sqco_"),
    *_rules("[A-Za-z0-9]{1,8}_[A-Za-z0-9]{7,}" + _END, "salad: salad_cloud_"),
    *_rules(_ALNUM + "{14,}", "razorpay: rzp_live_ rzp_test_"),
    *_rules(_ALNUM + "{16}" + _END, "settlemint: sm_aat_ sm_pat_ sm_sat_"),
    *_rules(_ALNUM + "{16,24}" + _END, "alibaba: LTAI"),
    *_rules(_ALNUM + "{22}" + _END, "modal: as- ak-"),
    *_rules("[a-z0-9]{26}" + _END, "aws: da2-"),
    *_rules(_ALNUM + "{28,30}" + _END, "adafruit: aio_", "ubidots: BBFF-"),
    *_rules(_ALNUM + "{32}" + _END, "tencent: AKID", "infracost: ico-", "crates.io: cio"),
    *_rules(_ALNUM + "{32}" + _END, "adobe: p8e-", "locationiq: pk."),
    *_rules("[0-9a-z]{32}(?:[A-Za-z0-9]{32})?" + _END, "mailgun: key- pubkey-"),
    *_rules(_ALNUM + "{36}" + _END, "prefect: pnu_ pnb_", "deno: ddp_ ddw_", "npm: npm_"),
    *_rules("(?=[a-z0-9]{0,37}[A-Z])[A-Za-z0-9]{38}" + _END, "clickhouse: 4b1d"),
    *_rules(_ALNUM + "{40}" + _END, "pulumi: pul-", "buildkite: bkua_", "supabase: sbp_"),
    *_rules(_ALNUM + "{40}" + _END, "openai: sess-", "e2b: e2b_", "sonarqube: sqp_ squ_ sqa_"),
    *_rules("[a-z0-9]{43}" + _END, "nuget: oy2"),
    *_rules("[A-Za-z0-9.]{45}" + _END, "close: api_"),
    *_rules(_ALNUM + "{48}" + _END, "cloudflare: cfk_ cfut_ cfat_", "rubygems: rubygems_"),
    *_rules(_ALNUM + "{54}" + _END, "easypost: EZAK EZTK"),
    *_rules(_ALNUM + "{56,}", "artifactory: AKCp cmVmdGtu"),
    *_rules("[a-z0-9]{60,}", "clojars: CLOJARS_", "readme: rdme_"),
    *_rules(_ALNUM + "{80,}", "facebook: EAAC EAAM EAAG EAAB"),
    *_rules("[A-Z0-9]{26,29}" + _END, "octopus: API-"),
    *_rules("[A-Z0-9]{50,}", "age: AGE-SECRET-KEY-1"),
    # hexadecimal
    *_rules("[0-9a-f]{30}" + _END, "bannerbear: bb_pr_ bb_ma_"),
    *_rules(_HEX + "{32}" + _END, "firecrawl: fc-", "twilio: SK", "besttime: pri_"),
    *_rules(_HEX + "{32}" + _END, "shopify: shpat_ shpca_ shppa_ shpss_ shpua_ shptka_"),
    *_rules("[0-9a-f]{32}(?:-[0-9])?" + _END, "databricks: dapi"),
    *_rules(r"[0-9a-f]{32}[0-9a-f_]{0,12}", "langsmith: lsv2_pt_ lsv2_sk_ ls__"),
    *_rules("(?:[0-9a-f]{31}|[0-9a-f]{35})" + _END, "lob: live_ test_ live_pub_ test_pub_"),
    *_rules(_HEX + "{40}" + _END, "shippo: shippo_live_ shippo_test_"),
    *_rules(rf"(?:(?:{_HEX}{{16}}|local)_)?{_HEX}{{40,}}", "sourcegraph: sgp_ sgd_ slk_"),
    *_rules("[0-9a-f]{60,}", "daytona: dtn_", "rootly: rootly_"),
    *_rules("[0-9a-f]{60,}", "digitalocean: dop_v1_ doo_v1_ dor_v1_"),
    *_rules("[0-9a-f]{60,}", "intra42: s-s4t2ud- s-s4t2af- u-s4t2ud- u-s4t2af-"),
    # with - and _
    *_rules(_ANY + "{19,}", "new relic: NRAK- NRJS- NRII- NRAA- NRRA- NRBR- NRIQ-"),
    *_rules(_ANY + "{20,}", "google: ya29. GOCSPX- AQ.Ab", "tavily: tvly-"),
    *_rules(_ANY + "{20,}", "docker: dckr_pat_ dckr_oat_", "vault: hvs. hvb. hvr."),
    *_rules(_ANY + "{20,}", "supabase: sb_secret_", "square: sq0atp- sq0csp- sq0idp-"),
    *_rules(_ANY + "{24,}", "brave: BSA", "flexport: shltm_"),
    *_rules(_ANY + "{30,}", "together: tgp_v1_", "nvidia: nvapi-", "yandex: AQVN"),
    *_rules(_ANY + "{30,}", "figma: figd_ figdr_ figu_ figur_ figo_ figor_ figoh_ figp_"),
    *_rules(_ANY + "{30,}", "google: AIza"),
    *_rules(_ANY + "{36,}", "wandb: wandb_v1_", "fly: fo1_", "heroku: HRKU-", "contentful: CFPAT-"),
    *_rules(_ANY + "{36,}", "bitbucket: BBDC-", "defined networking: dnkey-"),
    *_rules(_ANY + "{48,}", "scalingo: tk-us-", "pypi: pypi-AgE"),
    *_rules(_ANY + "{48,}", "sendinblue: xkeysib- xsmtpsib-"),
    *_rules(_ALNUM + "{10}" + _ANY + "{22,}", "replicate: r8_"),
    *_rules(_ALNUM + "{10}" + _ANY + "{30,}", "voyage: pa-"),
    *_rules(_ALNUM + "{32}" + _ANY + "{20,}", "jina: jina_"),
    *_rules(_ALNUM + r"{12}[A-Za-z0-9+/=_\-]{16,}", "portainer: ptr_"),
    *_rules("[0-9]" + _ANY + "{50,}", "telnyx: KEY"),
    *_rules(r"[A-Za-z0-9]{8}_[A-Za-z0-9]{20,}", "resend: re_"),
    *_rules(_UUID, "launchdarkly: sdk- mob-", "plaid: access-sandbox- access-production-"),
    *_rules(_UUID, "pubnub: pub-c- sub-c- sec-c-", "robinhood: rh-api-"),
    *_rules("[0-9]-" + _UUID, "hubspot: pat-na pat-eu"),
    *_rules(_ANY + "{120,}", "cloudflare: v1.0-", "dropbox: sl. sl.u."),
    *_rules("[0-9a-f]{24}-[0-9a-f]{34}" + _END, "postman: PMAK-"),
    *_rules(_ALNUM + "{20,24}_" + _HEX + "{40}" + _END, "circleci: CCIPAT_ CCIPRJ_"),
    *_rules(r"[a-z]{2,12}-[A-Za-z0-9]{8,}(?:-[A-Za-z0-9]{10,})?", "tailscale: tskey-"),
    *_rules(
        "[A-Z0-9]{6}-(?:[A-Z0-9]{11}|[A-Z0-9]{6}-[A-Z0-9]{5})(?:-[A-Z0-9]{5}){3}", "1password: A3-"
    ),
    *_rules(r"[A-Za-z0-9]{32}_[A-Fa-f0-9]{8}" + _END, "grafana: glsa_"),
    # with dots and others
    *_rules("[A-Za-z0-9+/=]{20,}", "aws: bedrock-api-key-"),
    *_rules("[A-Za-z0-9+/]{70,}={0,3}", "grafana: eyJrIjoi"),
    *_rules("[A-Za-z0-9+/_-]{100,}={0,3}", "1password: ops_eyJ"),
    *_rules(r"[A-Za-z0-9_+/\-]{16,}(?:=[A-Za-z0-9]{0,8})?", "atlassian: ATATT ATCTT3"),
    *_rules("[A-Za-z0-9_+=-]{60}" + _END, "square: EAAA"),
    *_rules("(?:[A-Za-z0-9]|%(?:2B|2F|3D)){80,100}(?![A-Za-z0-9+/])", "twitter: " + "A" * 21),
    *_rules(r"[A-Za-z0-9_=\-]{40,}", "duffel: duffel_live_ duffel_test_"),
    *_rules("[A-Za-z0-9_=-]{59,}" + _ANY, "frame.io: fio-u-"),
    *_rules(r"[A-Za-z0-9_.=\-]{29,}" + _ANY, "planetscale: pscale_tkn_ pscale_pw_ pscale_oauth_"),
    *_rules(r"[A-Za-z0-9_.\-]{39,}" + _ANY, "typeform: tfp_"),
    *_rules(
        r"[A-Za-z0-9._]{39,}[A-Za-z0-9]", "doppler: dp.pt. dp.st. dp.ct. dp.sa. dp.scim. dp.audit."
    ),
    *_rules(r"[a-z][0-9]{2}\.[A-Za-z0-9]{24}\.[A-Za-z0-9]{64}" + _END, "dynatrace: dt0"),
    *_rules(r"[A-Za-z0-9_\-]{22}\.[A-Za-z0-9]{24}\.[A-Za-z0-9]{20}" + _END, "harness: pat. sat."),
    *_rules(r"[A-Za-z0-9]{14}\.[0-9a-f]{64}" + _END, "airtable: pat"),
    *_rules(r"[A-Za-z0-9]{12,20}\.v1\." + _ANY + r"{20,}\.[0-9a-f]{32,}", "airtable: oaa"),
    *_rules(r"(?:DM\.|WS\.)?[a-fA-F0-9]{24}\.[a-zA-Z0-9]{16}" + _END, "voiceflow: VF."),
    *_rules(r"[0-9a-f]{32}\.[0-9a-f]{32}" + _END, "zoho: 1000."),
    *_rules(r"[A-Za-z0-9._+/=]{79,}[A-Za-z0-9_=]", "salesforce: 3MVG9 5Aep861 5AEP861"),
    *_rules("[A-Za-z0-9]{60,}", "teamwork: tkn.v1_"),
    *_rules(_ANY + r"{1,200}={0,2}\." + _ANY + "{86}={0,2}", "yandex: t1."),
    *_rules(r"[A-Za-z0-9_=\-]{16,32}\.[A-Za-z0-9_=\-]{29,}" + _ANY, "sendgrid: SG."),
    *_rules(r"(?=[A-Za-z]*[0-9]+[A-Za-z]+[0-9])[A-Za-z0-9]{24}(?![\w(]|\.\w)", "vault: s."),
    *_rules(
        r"[a-z0-9]{5,30}\.[a-z0-9]{4,6}\.acc[_-][a-z0-9-]{10,32}\.[A-Za-z0-9+/_=-]{30,120}",
        "authress: sc_ ext_ scauth_ authress_",
    ),
    *_rules(
        r"[A-Za-z0-9_\-]{21,26}\.[A-Za-z0-9_\-]{6}\.[A-Za-z0-9_\-]{27,}",
        "discord: MT Mj Mz ND NT Nj Nz OD OT",
    ),
    *_rules(_ANY + r"{20,}\.[A-Za-z0-9_\-]{20,}", "mapbox: pk.eyJ sk.eyJ tk.eyJ"),
    *_rules(_ANY + r"{8,}\.eyJ[A-Za-z0-9_\-]{8,}(?:\.[A-Za-z0-9_\-]{8,})?", "jwt: eyJ"),
    *_rules(_ANY + r"{8,}\.[A-Za-z0-9_\-]{0,}(?:\.[A-Za-z0-9_\-]{8,}){3}", "jwt: eyJ"),
    *_rules(_ANY + r"{16,}\.[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{40,}", "jwt: eyJ"),
    # base64 of JSON, of PEM, and of some vendors' keys, which is decoded
    *_rules(
        r"[A-Za-z0-9+/_\-]{20,}",
        "encoded: eyJ eyA ewo ewk ew0 ZXlK LS0tLS1CRUdJTi ZXhwb3J0I cGFzc3dvcmQ YXBpVmVyc2lvbj "
        "c2st Z2hwX Z2l0aHViX3BhdF QUtJQ QUl6Y eG94 aGZf",
    ),
)
"""More exact rules first: the first that matches names the secret."""
