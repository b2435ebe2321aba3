"""How often one request of LiteLLM's proxy goes into our functions, on the event loop's thread.

    python bench/proxy_calls.py            # the number, as JSON: needs no clock
    python bench/proxy_calls.py --list     # every call, in order

The proxy's own application is run here, in this process, and asked once after it is warm. MLflow is
imported, so that our bridge to it is on, as it is where the proxy's Python has MLflow. Nothing is
delivered. Wants ``litellm[proxy]`` and MLflow.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import secrets
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import provider

OURS = ("trace_core", "trace_litellm", "trace_mlflow_sink")
TRAMPOLINE = "<trace_core>"
WARM_UP = 5
SETTLE_SECONDS = 0.3
KEY = f"sk-{secrets.token_hex(24)}"
BODY = {"model": "gpt", "messages": [{"role": "user", "content": "What is it? " * 160}]}


def configure(folder: str, base: str) -> None:
    """Write the proxy's configuration, and tell it and all else where things are."""
    reached = {"model": "openai/gpt-4o-mini", "api_base": f"{base}/v1", "api_key": "sk-none"}
    models = [{"model_name": "gpt", "litellm_params": reached}]
    path = Path(folder) / "config.yaml"
    path.write_text(json.dumps({"model_list": models, "general_settings": {"master_key": KEY}}))
    os.environ |= {"CONFIG_FILE_PATH": str(path), "XDG_STATE_HOME": folder}
    os.environ |= {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "MLFLOW_DISABLE_TELEMETRY": "true"}
    os.environ |= {"LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True", "LITELLM_LOG": "ERROR"}


def trace() -> None:
    """Turn tracing on as it is for MLflow, but deliver nothing."""
    import mlflow  # noqa: F401  # the bridge is on in programs that have it

    import trace_litellm
    from trace_core import Span
    from trace_mlflow_sink import MlflowSink

    class Nowhere(MlflowSink):
        def write(self, spans: Sequence[Span], /) -> None:
            """Drop the spans."""

    trace_litellm.autolog(Nowhere("http://127.0.0.1:9", "bench"))


async def count() -> list[str]:
    """Ask the proxy, and return the calls of our functions for the last request."""
    import httpx
    from litellm.proxy.proxy_server import app

    calls: list[str] = []

    def note(frame: FrameType, event: str, _argument: Any) -> None:
        module = str(frame.f_globals.get("__name__"))
        if event != "call":
            return
        if frame.f_code.co_filename == TRAMPOLINE or module.partition(".")[0] in OURS:
            calls.append(f"{module}.{frame.f_code.co_name}")

    headers = {"authorization": f"Bearer {KEY}"}
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://proxy", headers=headers) as client,
    ):
        for number in range(WARM_UP + 1):
            if number == WARM_UP:
                sys.setprofile(note)
            answer = await client.post("/v1/chat/completions", json=BODY)
            assert answer.status_code == 200, answer.text
        await asyncio.sleep(SETTLE_SECONDS)
        sys.setprofile(None)
    return calls


def main() -> None:
    """Count and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--list", action="store_true", help="print every call")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, provider.running() as base:
        configure(folder, base)
        trace()
        calls = asyncio.run(count())
        if options.list:
            print(*calls, sep="\n")
        print(json.dumps({"calls": len(calls)}), flush=True)
        import trace_litellm

        trace_litellm.autolog(disable=True)


if __name__ == "__main__":
    main()
