"""MLflow's switches and ours: both autologs at once, and what turns MLflow's tracing off."""

from __future__ import annotations

import json
from pathlib import Path

from support.program import run_program
from support.provider import Provider, Scenario

PROGRAM = """
import asyncio, json, sys
import litellm, mlflow, trace_litellm
from litellm.litellm_core_utils.logging_worker import GLOBAL_LOGGING_WORKER
litellm.suppress_debug_info = True
mlflow.set_tracking_uri("sqlite:///both.db")
mlflow.set_experiment("both")
mlflow.litellm.autolog()
ours = trace_litellm.autolog()
where = dict(messages=[{"role": "user", "content": "hi"}], api_base=sys.argv[1], api_key="k")

async def tasks():
    await litellm.acompletion("openai/async", **where)
    async for _ in await litellm.acompletion("openai/async-stream", stream=True, **where):
        pass
    try:
        await litellm.acompletion("openai/both-bad", **where)
    except litellm.BadRequestError:
        pass
    await GLOBAL_LOGGING_WORKER.flush()

litellm.completion("openai/sync", **where)
for _ in litellm.completion("openai/stream", stream=True, **where):
    pass
try:
    litellm.completion("openai/both-bad", **where)
except litellm.BadRequestError:
    pass
asyncio.run(tasks())
assert ours.flush(60)
mlflow.flush_trace_async_logging()
both = [[s.name for s in t.data.spans] for t in mlflow.search_traces(return_type="list")]
theirs = [c for c in litellm.success_callback if type(c).__name__ == "MlflowLogger" or c == "mlflow"]
assert theirs, "MLflow's logger stays where it was"
trace_litellm.autolog(disable=True)
litellm.completion("openai/theirs", **where)
mlflow.flush_trace_async_logging()
alone = mlflow.search_traces(return_type="list", max_results=1)[0]
print(json.dumps([sorted(both), [s.name for s in alone.data.spans]]))
"""


def test_each_call_is_recorded_once_and_said_once(provider: Provider, tmp_path: Path) -> None:
    """By ours while it is on, by MLflow's afterwards; no list of LiteLLM's is touched."""
    provider.script("both-bad", Scenario(status=400, error_body="no"))
    done = run_program(PROGRAM, tmp_path, provider.openai_base)
    both, theirs = json.loads(done.stdout.splitlines()[-1])
    names = ("async", "async-stream", "both-bad", "both-bad", "stream", "sync")
    assert both == [[f"chat openai/{name}"] for name in names]
    assert theirs == ["litellm-completion"]
    assert done.stderr.count("mlflow.litellm.autolog() is on as well") == 1, done.stderr


SWITCHES = """
import json, sys, threading
import litellm, mlflow, trace_litellm
litellm.suppress_debug_info = True
mlflow.set_tracking_uri("sqlite:///switches.db")
mlflow.set_experiment("switches")
ours = trace_litellm.autolog()
# LiteLLM imports more on a thread of its own after a call, for ever if MLflow is registering its
# import hooks meanwhile: each waits for the other's lock.
logged = threading.Event()
litellm.success_callback.append(lambda *_: logged.set())

def call(model):
    where = dict(api_base=sys.argv[1], api_key="k")
    logged.clear()
    litellm.completion(f"openai/{model}", [{"role": "user", "content": "hi"}], **where)
    assert logged.wait(60)

call("before")
mlflow.autolog(disable=True)
call("autolog-off")
mlflow.autolog(disable=False)
call("autolog-on")
mlflow.tracing.disable()
call("tracing-off")
mlflow.tracing.enable()
call("tracing-on")
mlflow.litellm.autolog(disable=True)
call("after")
assert ours.flush(60)
mlflow.flush_trace_async_logging()
found = mlflow.search_traces(return_type="list", order_by=["timestamp_ms ASC"])
print(json.dumps([[s.name for s in t.data.spans] for t in found]))
"""


def test_mlflows_switches_are_honoured(provider: Provider, tmp_path: Path) -> None:
    """``mlflow.autolog(disable=True)`` and ``mlflow.tracing.disable()``, at the moment of a call."""
    done = run_program(SWITCHES, tmp_path, provider.openai_base)
    names = [["chat openai/" + n] for n in ("before", "autolog-on", "tracing-on", "after")]
    assert json.loads(done.stdout.splitlines()[-1]) == names
