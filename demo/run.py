"""Trace real calls through LiteLLM into MLflow, and show what was stored.

The calls go to a small language model that runs on this machine, or to a provider of yours.
Started by ``nox -s demo``, which installs what it needs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
os.environ.setdefault("LITELLM_LOG", "ERROR")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")

import litellm
from litellm.caching.caching import Cache
from report import print_report

import trace_core
import trace_litellm
from trace_core import SpanKind, Tracer

litellm.suppress_debug_info = True
EXPERIMENT = "LiteLLM demo"
PRICE = {"input_cost_per_token": 0.15e-6, "output_cost_per_token": 0.60e-6}
"""What the local model would cost, in USD, had it the price of a small hosted one."""
MODEL_SECONDS = 300.0
"""A tiny model on a busy machine may take its time."""
CONTEXT_OVERFLOW = "word " * 5_000
NOBODY = "http://127.0.0.1:9/v1"
"""An address that nobody listens at."""
WEATHER = {
    "type": "function",
    "function": {
        "name": "look_up_weather",
        "description": "The weather in a city, now.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}
MOCK_TOOL_CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "look_up_weather", "arguments": '{"city": "Paris"}'},
}
"""What LiteLLM answers in place of the local model, which is too small to call tools."""


class Calls:
    """The calls that are traced, each showing one thing.

    Args:
        model: The model's name for LiteLLM.
        options: What every call is given: where the model is, what it costs.
        tracer: For the spans that are not LiteLLM's.
    """

    def __init__(self, model: str, options: Mapping[str, Any], tracer: Tracer) -> None:
        self.model = model
        self.tracer = tracer
        self._options = {
            "model": model,
            "max_tokens": 16,
            "num_retries": 0,
            "timeout": MODEL_SECONDS,
            **options,
        }

    @property
    def _is_local(self) -> bool:
        return "api_base" in self._options

    def _ask(self, question: str, **more: Any) -> dict[str, Any]:
        return {**self._options, "messages": [{"role": "user", "content": question}], **more}

    def plain(self) -> None:
        """A call."""
        litellm.completion(**self._ask("What is the capital of France?", temperature=0.0))

    def stream(self) -> None:
        """A stream, read to its end."""
        usage = {"include_usage": True}
        chunks = litellm.completion(
            **self._ask("Count to five.", stream=True, stream_options=usage)
        )
        for _ in chunks:
            pass

    def abandoned_stream(self) -> None:
        """A stream of which two chunks are read."""
        chunks = litellm.completion(**self._ask("Tell me a story.", stream=True))
        for _, _ in zip(range(2), chunks, strict=False):
            pass

    def cached(self) -> None:
        """The same call twice, the second answered by LiteLLM's cache."""
        before, litellm.cache = litellm.cache, Cache(type="local")
        try:
            for _ in range(2):
                litellm.completion(**self._ask("What is the colour of snow?", caching=True))
        finally:
            litellm.cache = before

    def failing(self) -> None:
        """A call that fails: a prompt too long for the local model, or a model there is not."""
        if self._is_local:
            wrong = self._ask(CONTEXT_OVERFLOW)
        else:
            wrong = self._ask("Hello?", model=f"{self.model}-of-which-nobody-heard")
        try:
            litellm.completion(**wrong)
        except (litellm.exceptions.BadRequestError, litellm.exceptions.NotFoundError) as error:
            print(f"    It failed, as it should: {type(error).__name__}.")

    def embedding(self) -> None:
        """An embedding of two texts."""
        litellm.embedding(
            **{k: v for k, v in self._options.items() if k != "max_tokens"},
            input=["a cat", "a dog"],
            encoding_format="float",
        )

    async def asynchronous(self) -> None:
        """A call with await."""
        await litellm.acompletion(**self._ask("What is the capital of Italy?"))

    async def asynchronous_stream(self) -> None:
        """A stream with await."""
        chunks = await litellm.acompletion(**self._ask("Name a colour.", stream=True))
        async for _ in chunks:
            pass

    def router(self) -> None:
        """A Router whose first model is not there: it falls back to the second."""
        there = {key: value for key, value in self._options.items() if key != "num_retries"}
        missing = {"api_base": NOBODY} if self._is_local else {"model": f"{self.model}-of-nobody"}
        router = litellm.Router(
            model_list=[
                {"model_name": "first", "litellm_params": {**there, **missing}},
                {"model_name": "second", "litellm_params": there},
            ],
            fallbacks=[{"first": ["second"]}],
            num_retries=0,
        )
        router.completion("first", [{"role": "user", "content": "What is the capital of Spain?"}])

    async def agent(self) -> None:
        """An agent: the model asks for a tool, the tool answers, the model goes on."""

        @self.tracer.trace(name="look up weather", kind=SpanKind.TOOL)
        def look_up_weather(city: str) -> str:
            return f"It is 21 degrees in {city}."

        question = "Is it warm in Paris?"
        async with self.tracer.span("weather agent", kind=SpanKind.AGENT, inputs=question) as span:
            ask = self._ask(question, tools=[WEATHER])
            if self._is_local:
                ask["mock_tool_calls"] = [MOCK_TOOL_CALL]
            wanted = (await litellm.acompletion(**ask)).choices[0].message
            calls = wanted.tool_calls or ()
            cities = [json.loads(call.function.arguments)["city"] for call in calls]
            weather = " ".join(map(look_up_weather, cities))
            answer = await litellm.acompletion(**self._ask(f"{weather} {question}"))
            span.set(outputs=answer.choices[0].message.content)

    async def side_by_side(self) -> None:
        """Two calls side by side, under one span."""
        async with self.tracer.span("two questions", kind=SpanKind.CHAIN):
            await asyncio.gather(
                litellm.acompletion(**self._ask("Greet somebody from Paris.")),
                litellm.acompletion(**self._ask("What does one wear in Paris?")),
            )

    def all(self) -> None:
        """Make every call, saying which."""
        calls = [self.plain, self.stream, self.abandoned_stream, self.cached, self.failing]
        calls += [self.embedding, self.router] if self._is_local else [self.router]
        for call in calls:
            _announce(call)
            call()
        asyncio.run(self._all_asynchronous())

    async def _all_asynchronous(self) -> None:
        for call in (self.asynchronous, self.asynchronous_stream, self.side_by_side, self.agent):
            _announce(call)
            await call()


def _announce(what: Callable[..., object]) -> None:
    print(f"  - {(what.__doc__ or '').strip()}", flush=True)


@contextmanager
def _provider(model: str | None) -> Generator[tuple[str, dict[str, Any]]]:
    """Give a model's name and the options its calls need.

    Args:
        model: The user's own, or ``None`` for the local one.
    """
    if model is not None:
        _check_keys(model)
        yield model, {}
        return
    from local_model import LocalModel

    print("Starting a language model on this machine (SmolLM2, 135 million parameters) ...")
    with LocalModel() as local:
        print(f"It answers at {local.base_url}.")
        print(
            f"It costs nothing; to show costs it is given a price: "
            f"${PRICE['input_cost_per_token'] * 1e6:.2f} for a million tokens in, "
            f"${PRICE['output_cost_per_token'] * 1e6:.2f} out."
        )
        where = {"api_base": local.base_url, "api_key": "none"}
        yield f"openai/{local.name}", {**where, **PRICE}


def _check_keys(model: str) -> None:
    found = litellm.validate_environment(model)
    if not found["keys_in_environment"]:
        missing = ", ".join(found["missing_keys"]) or "the provider's API key"
        sys.exit(f"To call {model}, set {missing} in the environment.")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="nox -s demo --", description=__doc__)
    parser.add_argument(
        "--model",
        help="call this model, named as for LiteLLM, such as anthropic/claude-sonnet-4-5, with "
        "your own key from the environment, instead of the local one",
    )
    parser.add_argument(
        "--dir",
        type=Path,
        default=Path.cwd(),
        help="the folder of mlflow.db (default: %(default)s)",
    )
    parser.add_argument("--ui", action="store_true", help="then show the traces in MLflow's UI")
    parser.add_argument("--port", type=int, default=5000, help="of the UI (default: %(default)s)")
    return parser.parse_args()


def main() -> None:
    """Run the demo."""
    arguments = _arguments()
    arguments.dir.mkdir(parents=True, exist_ok=True)
    database = arguments.dir.resolve() / "mlflow.db"
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{database.as_posix()}"
    os.environ["MLFLOW_EXPERIMENT_NAME"] = EXPERIMENT
    session = f"demo-{int(time.time())}"

    with _provider(arguments.model) as (model, options):
        instrumentation = trace_litellm.autolog()
        if not instrumentation.active:
            sys.exit("Tracing is off.")
        print(f"\nCalling {model}, traced by trace_litellm.autolog():")
        with trace_core.attributes(session_id=session):
            Calls(model, options, instrumentation.tracer).all()
        if not instrumentation.flush(60):
            print("MLflow did not take everything within a minute.")
        trace_litellm.autolog(disable=True)

    print(f"\nWhat MLflow has in {database}:\n")
    experiment_id = print_report(EXPERIMENT, session)
    _show(arguments, database, experiment_id)


def _show(arguments: argparse.Namespace, database: Path, experiment_id: str) -> None:
    page = f"http://127.0.0.1:{arguments.port}/#/experiments/{experiment_id}/traces"
    if not arguments.ui:
        print("\nTo see them in MLflow's UI: nox -s demo -- --ui")
        server = f"{shlex.quote(sys.executable)} -m mlflow server"
        print(f"or: {server} --backend-store-uri sqlite:///{database.as_posix()}")
        return
    print(f"\nStarting MLflow's UI; in a few seconds open {page} (Ctrl-C ends it)", flush=True)
    where = ("--backend-store-uri", f"sqlite:///{database.as_posix()}")
    port = ("--port", str(arguments.port), "--workers", "1")
    quick = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    command = (sys.executable, "-m", "mlflow", "server", *where, *port)
    try:
        subprocess.run(command, cwd=arguments.dir, env=quick, check=False)  # noqa: S603  # ours
    except KeyboardInterrupt:
        print("\nMLflow's UI is closed; the traces stay.")


if __name__ == "__main__":
    main()
