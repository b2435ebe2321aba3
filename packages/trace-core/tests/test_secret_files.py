"""Secrets in the files and manifests of well-known programs, which an agent reads and prints."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable

import pytest

from trace_core import MemorySink, Tracer, pipeline, redact
from trace_core._processors.clean import clean_text

CHOSEN = "Sommer2024" + "!x"
TOKEN = "a1B2c3D4e5F6g7H8" + "i9J0k1L2m3N4o5P6"
PHRASE = "correct horse battery"


def encoded(text: str) -> str:
    """A text in base64."""
    return base64.b64encode(text.encode()).decode()


MANIFEST = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {"name": "db-2024", "uid": "123e4567-e89b-12d3-a456-426614174000"},
    "data": {"redis": encoded(CHOSEN), "url": encoded(PHRASE), "ca.crt": encoded("{abc}")},
    "stringData": {"config": PHRASE, "b": '{"a": "' + PHRASE + '"}'},
}
HARMLESS_MANIFEST = {"apiVersion": "v1", "data": {"level": "info2024"}, "kind": "ConfigMap"}
YAML = f"""\
apiVersion: v1
data:
  redis: {encoded(CHOSEN)}
  url: "{encoded(PHRASE)}"
kind: Secret
metadata:
  creationTimestamp: "2024-05-12T10:00:00Z"
  name: db-2024
---
apiVersion: v1
kind: ConfigMap
data:
  level: info2024
---
apiVersion: v1
kind: Secret
stringData:
  config.yaml: |
    user: {CHOSEN}

    {PHRASE}
  a: '{PHRASE}'
type: Opaque
"""
FILES = {
    "Kubernetes, YAML": YAML,
    "Kubernetes, YAML in JSON": json.dumps({"output": YAML}),
    "Kubernetes, JSON": json.dumps(MANIFEST),
    "Kubernetes, sorted and indented": json.dumps(MANIFEST, indent=4, sort_keys=True),
    "Kubernetes, JSON in JSON": json.dumps({"content": json.dumps(MANIFEST, indent=2)}),
    "Kubernetes, a list in JSON": json.dumps(
        {"apiVersion": "v1", "items": [HARMLESS_MANIFEST, MANIFEST, HARMLESS_MANIFEST]}
    ),
    "Kubernetes, Python": str({**MANIFEST, "stringData": {"config": PHRASE}}),
    "Kubernetes, a key of a client": f"user:\n  client-key-data: {encoded('-----BEGIN EC PRIVATE KEY-----' + TOKEN)}",
    "Kubernetes, a command": f"kubectl create secret generic db --from-literal=redis={CHOSEN}",
    "Docker": json.dumps({"auths": {"ghcr.io": {"auth": encoded(f"deploy:{CHOSEN}")}}}, indent=4),
    "Docker in a manifest": f"  .dockerconfigjson: {encoded(json.dumps({'auths': {'x': {'auth': encoded('a:' + CHOSEN)}}}))}",
    "netrc": f"machine api.example.com login me password {CHOSEN}\n",
    "netrc on several lines": f"machine host\n  login me\n  account a1\n  password {CHOSEN}\n",
    "netrc without a login": f"machine ftp.example.org password {CHOSEN}",
    "netrc for any machine": f"default login anonymous password {CHOSEN}",
    "netrc in JSON": json.dumps({"t": f"machine h\n\tlogin me\n\tpassword {CHOSEN}\n"}),
    "pgpass": f"db.example.com:5432:app:deploy:{CHOSEN}\nlocalhost:5432:*:me:{TOKEN}",
    "pgpass for any database": f"*:*:*:postgres:{CHOSEN}",
    "AWS": f"[default]\naws_secret_access_key = {TOKEN}a1B2c3D4\naws_session_token={TOKEN}",
    "npm": f"//npm.example.com/:_authToken={TOKEN}\n//npm.example.com/:_password={encoded(CHOSEN)}",
    "npm, a login": f"//npm.example.com/:_auth={encoded('me:' + CHOSEN)}",
    "Yarn": f'npmAuthToken: "{TOKEN}"\nnpmAuthIdent: "me:{CHOSEN}"',
    "pip": f"[global]\nextra-index-url = https://__token__:{TOKEN}@pypi.example.com/simple",
    "Poetry": f"poetry config http-basic.foo me {CHOSEN} && poetry config pypi-token.pypi {TOKEN}",
    "Poetry's file": f'[http-basic.foo]\nusername = "me"\npassword = "{CHOSEN}"',
    "pypirc": f"[pypi]\nusername = __token__\npassword = {TOKEN}",
    "Terraform, variables": f'db_password = "{CHOSEN}"\napi_token   = "{TOKEN}"',
    "Terraform, a block": f'login = {{\n  user = "me"\n  pass = "{CHOSEN}"\n}}',
    "Terraform, state": json.dumps({"db_password": {"value": CHOSEN, "type": "string"}}, indent=2),
    "Azure, parameters": json.dumps({"parameters": {"adminPassword": {"value": CHOSEN}}}),
    "Ansible": f"ansible_ssh_pass: {CHOSEN}\nansible_become_password: '{CHOSEN}'",
    "Ansible, an inventory": f"web1 ansible_host=10.0.0.1 ansible_ssh_pass={CHOSEN}",
    "MySQL": f"[client]\nuser=root\npassword={CHOSEN}",
    "Git": f"https://me:{TOKEN}@git.example.com",
    "Maven": f"<server><id>x</id><password>{CHOSEN}</password></server>",
    "Gradle": f"ossrhPassword={CHOSEN}\nsigning.password={CHOSEN}\nsigning.keyId=24875D73",
    "WordPress": f"define('AUTH_KEY', '{TOKEN}');\ndefine('DB_PASSWORD', '{CHOSEN}');",
    "htpasswd": "jane:$2y$05$" + "c4WoMPo3SXsafkva.HHa6uXQZWr7oboPiC2bT/r7q1BB8I2s0BRqC",
}
"""What a file or a command looks like, by the program."""
SECRETS = (CHOSEN, TOKEN, PHRASE, encoded(CHOSEN), encoded(PHRASE), encoded("{abc}"), "c4WoMPo3SX")


@pytest.mark.parametrize("name", FILES)
def test_what_a_file_keeps_secret_is_found(name: str) -> None:
    """Nothing of it is left, and what is beside it stays."""
    cleaned = clean_text(f"look:\n{FILES[name]}\nand go on")
    assert not any(secret in cleaned for secret in SECRETS), cleaned
    assert "[redacted:" in cleaned
    assert cleaned.startswith("look:\n")
    assert cleaned.endswith("\nand go on")
    kept = (
        "db-2024",
        "ConfigMap",
        "info2024",
        "10.0.0.1",
        "24875D73",
        "api.example.com",
        "ghcr.io",
    )
    assert [one for one in kept if one in FILES[name]] == [one for one in kept if one in cleaned]


@pytest.mark.parametrize("wrap", [lambda one: one, lambda one: {"items": [one, one]}])
def test_a_manifest_that_is_no_text_is_known_too(wrap: Callable[[object], object]) -> None:
    """A tool's answer that was parsed."""
    sink = MemorySink()
    tracer = Tracer(pipeline(redact(environment=False), sink=sink))
    with tracer.span("x", inputs=wrap(MANIFEST)) as span:
        span.set(outputs=HARMLESS_MANIFEST)
    (ended,) = sink.spans
    assert not any(secret in str(ended.inputs) for secret in SECRETS)
    assert "db-2024" in str(ended.inputs)
    assert ended.outputs == HARMLESS_MANIFEST
