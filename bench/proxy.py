"""What tracing costs LiteLLM's proxy: requests a second, latency, CPU of a request, memory.

    python bench/proxy.py                                  # every setting, all ways; half an hour
    python bench/proxy.py --setting "8, 2 KB" --rounds 3 --seconds 10

Wants ``litellm[proxy]``, MLflow and ``opentelemetry-exporter-otlp`` beside us. All proxies run at
once and take turns under load: untraced, ours with its MLflow server well and away, MLflow's
callback, and LiteLLM's otel callback, which sends to a collector that takes everything. A proxy
has one processor, its provider, its MLflow server and the load the others. Read ratios of one
run: a shared machine's speed drifts. Prints JSON.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import secrets
import signal
import socket
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import provider

sys.path.append(str(Path(__file__).parents[1] / "tests"))
HERE = Path(__file__).parent
SCRIPTS = Path(sysconfig.get_path("scripts"))
CONNECTIONS = (1, 8, 64)
KINDS: dict[str, tuple[str, ...]] = {
    "2 KB": ("--size", "2000"),
    "50 KB": ("--size", "50000"),
    "stream": ("--size", "2000", "--stream"),
}
SETTINGS = {
    f"{number}, {kind}": ("--connections", str(number), *options)
    for kind, options in KINDS.items()
    for number in CONNECTIONS
}
NOWHERE = "http://127.0.0.1:9"
PROCESSORS = os.sched_getaffinity(0)
START_SECONDS = 300.0
WARM_UP_SECONDS = 3.0
KEY = f"sk-{secrets.token_hex(24)}"
"""The proxies' own, without which LiteLLM starts none. They serve loopback alone."""


@dataclass(frozen=True)
class Way:
    """A way to trace a proxy.

    Attributes:
        callbacks: LiteLLM's own, in its configuration.
        sink: Ours.
        environ: More of its environment.
    """

    callbacks: tuple[str, ...] = ()
    sink: str | None = None
    environ: dict[str, str] = field(default_factory=dict)


def ways(mlflow: str, collector: str) -> dict[str, Way]:
    """Make them, of the URLs of an MLflow server and of what takes OpenTelemetry's spans."""
    otel = {"OTEL_EXPORTER": "otlp_http", "OTEL_ENDPOINT": f"{collector}/v1/traces"}
    at_mlflow = {"MLFLOW_TRACKING_URI": mlflow, "MLFLOW_EXPERIMENT_NAME": "theirs"}
    return {
        "untraced": Way(),
        "ours": Way(sink=f"mlflow:{mlflow}?experiment=ours"),
        "ours, server away": Way(sink=f"mlflow:{NOWHERE}?experiment=ours"),
        "MLflow's callback": Way(("mlflow",), environ=at_mlflow),
        "LiteLLM's otel callback": Way(("otel",), environ=otel),
    }


# A proxy ---------------------------------------------------------------------------------------


def _free_port() -> int:
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _configuration(way: Way, base: str) -> dict[str, Any]:
    reached = {"model": "openai/gpt-4o-mini", "api_base": f"{base}/v1", "api_key": "sk-none"}
    models = [{"model_name": "gpt", "litellm_params": reached}]
    told: dict[str, Any] = {"model_list": models, "general_settings": {"master_key": KEY}}
    if way.callbacks:
        told["litellm_settings"] = {"callbacks": list(way.callbacks)}
    return told


def _command(way: Way, port: int, workers: int) -> list[str]:
    proxy = [str(SCRIPTS / "litellm"), "--config", "config.yaml", "--host", "127.0.0.1"]
    proxy += ["--port", str(port), "--num_workers", str(workers)]
    if way.sink is None:
        return proxy
    return [str(SCRIPTS / "trace-litellm"), "run", "--sink", way.sink, "--", *proxy]


class Proxy:
    """A running proxy, the first processor its own.

    Args:
        folder: Where it runs, and has its spool and log.
        way: How it is traced.
        base: URL of its provider.
        workers: How many processes serve.
    """

    def __init__(self, folder: Path, way: Way, base: str, workers: int) -> None:
        folder.mkdir()
        (folder / "config.yaml").write_text(json.dumps(_configuration(way, base)))  # JSON is YAML
        port = _free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._log = folder / "log"
        local = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "MLFLOW_DISABLE_TELEMETRY": "true"}
        local |= {"LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True", "LITELLM_LOG": "ERROR"}
        local |= {"XDG_STATE_HOME": str(folder), "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3"}
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("TRACE_", "OTEL_"))}
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                _command(way, port, workers),
                cwd=folder,
                env={**kept, **local, **way.environ},
                stdout=log,
                stderr=log,
            )

    def wait(self) -> None:
        """Wait until it serves, and give it its processor: starting, it may have all.

        Raises:
            RuntimeError: It does not.
        """
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"{self.url}/health/liveliness", timeout=10).close()
                self._pin()
                return
            time.sleep(0.2)
        raise RuntimeError(f"a proxy did not start: {self._log.read_text()[-2_000:]}")

    def _pin(self) -> None:
        for pid in self._processes():
            for thread in Path(f"/proc/{pid}/task").iterdir():
                with contextlib.suppress(ProcessLookupError):
                    os.sched_setaffinity(int(thread.name), _first())

    def stop(self) -> None:
        """End it as a service manager does, and wait."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def cpu_seconds(self) -> float:
        """Return the CPU time of all its processes so far."""
        ticks = 0
        for pid in self._processes():
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def mib(self) -> float:
        """Return the resident memory of all its processes."""
        pages = [int(Path(f"/proc/{p}/statm").read_text().split()[1]) for p in self._processes()]
        return sum(pages) * os.sysconf("SC_PAGE_SIZE") / 2**20

    def _processes(self) -> list[int]:
        own = self.process.pid
        children = Path(f"/proc/{own}/task/{own}/children").read_text().split()
        return [own, *map(int, children)]


def _first() -> set[int]:
    return {min(PROCESSORS)}


def _give_away_the_first() -> None:
    """Leave the first processor to the proxies, where there is another."""
    os.sched_setaffinity(0, PROCESSORS - _first() or PROCESSORS)


# Under load ------------------------------------------------------------------------------------


def measure(proxy: Proxy, setting: str, seconds: float) -> dict[str, float]:
    """Put a proxy under load for so many seconds."""
    before = proxy.cpu_seconds()
    command = (sys.executable, str(HERE / "load.py"), proxy.url, "--key", KEY, *SETTINGS[setting])
    done = subprocess.run(
        (*command, "--seconds", str(seconds)), stdout=subprocess.PIPE, text=True, check=True
    )
    found: dict[str, float] = json.loads(done.stdout)
    spent = proxy.cpu_seconds() - before
    return {**found, "cpu_ms": 1e3 * spent / max(found["answers"], 1), "mib": proxy.mib()}


def take_turns(
    proxies: dict[str, Proxy], settings: list[str], rounds: int, seconds: float
) -> dict[str, dict[str, list[dict[str, float]]]]:
    """Measure all proxies in all settings, round after round, each time in another order."""
    found: dict[str, dict[str, list[dict[str, float]]]] = {s: {} for s in settings}
    for setting in settings:
        for number in range(rounds + 1):
            names = list(proxies)
            for name in names if number % 2 else reversed(names):
                one = measure(proxies[name], setting, seconds if number else WARM_UP_SECONDS)
                if number:
                    found[setting].setdefault(name, []).append(one)
                    print(f"{setting}: {name}: {_told(one)}", file=sys.stderr, flush=True)
    return found


def _told(one: dict[str, float]) -> str:
    return ", ".join(f"{key} {value:.1f}" for key, value in one.items())


def summary(rounds: dict[str, list[dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Return the median of all rounds, with ``ratio``, of requests a second to untraced ones.

    The ratio is the median of those of each round, because the machine drifts between rounds.
    """
    base = rounds.get("untraced")
    found = {}
    for name, each in rounds.items():
        found[name] = {key: statistics.median(one[key] for one in each) for key in each[0]}
        for ratio, key in (
            ("ratio", "per_second"),
            ("p99_ratio", "p99_ms"),
            ("cpu_ratio", "cpu_ms"),
        ):
            if base:
                pairs = zip(each, base, strict=True)
                found[name][ratio] = statistics.median(a[key] / (b[key] or 1) for a, b in pairs)
    return found


@contextlib.contextmanager
def running(names: list[str], workers: int) -> Iterator[dict[str, Proxy]]:
    """Run the proxies, with what they need."""
    from support.mlflow_server import MlflowServer

    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        _give_away_the_first()
        base = stack.enter_context(provider.running())
        (folder / "server").mkdir()
        server = stack.enter_context(MlflowServer(folder / "server"))
        os.sched_setaffinity(0, PROCESSORS)
        proxies = {}
        for number, (name, way) in enumerate(ways(server.url, base).items()):
            if name in names:
                proxies[name] = Proxy(folder / str(number), way, base, workers)
                stack.callback(proxies[name].stop)
        for proxy in proxies.values():
            proxy.wait()
        yield proxies


def main() -> None:
    """Measure and print."""
    known = list(ways("", ""))
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--way", action="append", choices=known)
    parser.add_argument("--setting", action="append", choices=SETTINGS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    with running(options.way or known, options.workers) as proxies:
        _give_away_the_first()
        rounds = take_turns(
            proxies, options.setting or list(SETTINGS), options.rounds, options.seconds
        )
    print(json.dumps({setting: summary(each) for setting, each in rounds.items()}))


if __name__ == "__main__":
    main()
