"""Calls to another provider that others wrote: aimock speaks Bedrock's, Azure's and Ollama's HTTP.

It is a program for Node: ``TRACE_AIMOCK`` names it, and ``nox -s others`` installs it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import trace_litellm
from trace_core import MemorySink, Span, StatusCode, Tracer

PROGRAM = os.environ.get("TRACE_AIMOCK", "")
pytestmark = pytest.mark.skipif(
    not PROGRAM, reason="TRACE_AIMOCK does not name aimock's program: nox -s others installs it"
)

MESSAGES = [{"role": "user", "content": "tell numbers"}]
TEXT = "one two three four five six seven eight"
CLAUDE = "anthropic.claude-3-haiku-20240307-v1:0"
AWS = {
    "aws_access_key_id": "AKIAEXAMPLE",
    "aws_secret_access_key": "hidden-4711",
    "aws_region_name": "us-east-1",
}
BEDROCK = pytest.mark.skipif(find_spec("boto3") is None, reason="boto3 is not installed")


@pytest.fixture(scope="module")
def aimock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run it on a port of its own."""
    path = tmp_path_factory.mktemp("aimock") / "fixtures.json"
    answer = {"match": {"userMessage": "tell numbers"}, "response": {"content": TEXT}}
    path.write_text(json.dumps({"fixtures": [answer]}))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [PROGRAM, "--port", str(port), "--fixtures", str(path), "--log-level", "warn"]
    log = Path(path.parent, "log")
    with log.open("w") as out, subprocess.Popen(command, stdout=out, stderr=out) as process:
        try:
            wait_for(f"http://127.0.0.1:{port}", process, log)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(600):
        assert process.poll() is None, log.read_text()
        with contextlib.suppress(OSError):
            journal(url)
            return
        time.sleep(0.05)
    raise AssertionError(f"aimock did not answer: {log.read_text()}")


def journal(url: str) -> list[Any]:
    with urllib.request.urlopen(f"{url}/__aimock/journal") as answer:
        return json.load(answer)  # type: ignore[no-any-return]


def where(url: str, model: str) -> dict[str, Any]:
    """Say how a model is reached."""
    if model.startswith("bedrock/"):
        return {**AWS, "aws_bedrock_runtime_endpoint": url}
    if model.startswith("azure/"):
        return {"api_base": url, "api_key": "k", "api_version": "2024-10-21", "max_retries": 0}
    return {"api_base": url}


MODELS = [
    pytest.param(f"bedrock/{CLAUDE}", "aws.bedrock", "/converse", marks=BEDROCK),
    pytest.param("azure/gpt-4o-mini", "azure.ai.openai", "", id="azure"),
    pytest.param("ollama/mistral", "ollama", "/api/generate", id="ollama"),
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("model", "provider", "path"), MODELS)
def test_a_call(
    model: str, provider: str, path: str, stream: bool, aimock: str, litellm: Any
) -> None:
    """One request, one span, in what Amazon, Microsoft and Ollama speak, whole and streamed."""
    before = len(journal(aimock))
    span, said = traced(litellm, model, aimock, stream)
    assert said == TEXT
    assert spoken(span) == TEXT
    assert span.status.code is StatusCode.OK
    assert span.attributes["gen_ai.provider.name"] == provider
    assert path in str(span.attributes["url.full"])
    assert str(span.attributes["url.full"]).startswith(aimock)
    assert "hidden-4711" not in repr(span)
    assert len(journal(aimock)) == before + 1
    assert span.usage is not None
    if stream:
        assert span.attributes["trace.stream.ending"] == "completed"
        assert span.usage.source.value == "estimated"  # aimock tells none in a stream


def traced(litellm: Any, model: str, url: str, stream: bool) -> tuple[Span, str]:
    sink = MemorySink()

    async def call() -> str:
        answer = await litellm.acompletion(
            model=model, messages=MESSAGES, stream=stream, **where(url, model)
        )
        if not stream:
            return str(answer.choices[0].message.content)
        return "".join([chunk.choices[0].delta.content or "" async for chunk in answer])

    with trace_litellm.instrument(Tracer(sink)) as on:
        said = asyncio.run(call())
        assert not on.tracer.open_spans
    [span] = sink.spans
    return span, said


def spoken(span: Span) -> str:
    [choice] = span.outputs["choices"]  # type: ignore[index,call-overload]
    return str(choice["message"]["content"])


@pytest.mark.parametrize(("model", "provider", "path"), MODELS)
def test_nothing_that_matches(
    model: str, provider: str, path: str, aimock: str, litellm: Any
) -> None:
    """Its own refusal, in each provider's words, is an error on the span."""
    sink = MemorySink()
    unknown = [{"role": "user", "content": "nothing is known of this"}]
    with (
        trace_litellm.instrument(Tracer(sink)),
        pytest.raises(litellm.exceptions.openai.APIError) as caught,
    ):
        litellm.completion(model=model, messages=unknown, **where(aimock, model))
    [span] = sink.spans
    assert span.status.code is StatusCode.ERROR
    assert span.attributes["gen_ai.provider.name"] == provider
    assert span.attributes["http.response.status_code"] == caught.value.status_code  # type: ignore[attr-defined]
