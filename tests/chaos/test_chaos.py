"""Whatever happens to programs, disks and sinks: what was acknowledged is delivered.

An oracle knows every id that was handed over. After each calamity all of them are delivered,
none is invented, each payload is equal, and a fresh span still flows. ``TRACE_CHAOS_ROUNDS`` sets
the number of kills: a few by default, 200 in ``nox -s chaos``.
"""

from __future__ import annotations

import http.client
import http.server
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from trace_core import (
    ConfigurationError,
    JsonLinesSink,
    MemorySink,
    Retry,
    RetryLater,
    Span,
    SpanContext,
    SpanKind,
    Spool,
    decode,
    encode,
)
from trace_core._spool.frames import SPAN, key_in, unpack
from trace_core._spool.reader import read_spans

ROUNDS = int(os.environ.get("TRACE_CHAOS_ROUNDS", "6"))
WORKER = Path(__file__).with_name("worker.py")
PER_ROUND = 1_000_000


class Oracle:
    """Knows what was handed over, and what became of it."""

    def __init__(self, folder: Path) -> None:
        self.spool, self.file, self.logs = folder / "spool", folder / "out.jsonl", folder / "logs"
        self.logs.mkdir()
        self.started = 0
        self.duplicates = 0
        self.interrupted: set[int] = set()

    def start(
        self,
        *,
        count: int = 300,
        rate: float = 2_000,
        mood: str = "well",
        ending: str = "return",
        handoff: str = "caller",
    ) -> subprocess.Popen[bytes]:
        """Start a worker with ids of its own."""
        self.started += 1
        log = self.logs / str(self.started)
        first = self.started * PER_ROUND
        arguments = [self.spool, self.file, log, first, count, rate, mood, ending, handoff]
        return subprocess.Popen(
            [sys.executable, str(WORKER), *map(str, arguments)], stderr=subprocess.DEVNULL
        )

    def handed_over(self) -> set[int]:
        """Return the numbers the workers wrote down after handing their spans over."""
        lines = [line for log in self.logs.iterdir() for line in log.read_text().split("\n")[:-1]]
        assert len(lines) == len(set(lines))
        return set(map(int, lines))

    def wait_for_log(self) -> None:
        """Wait until the newest worker has handed a first span over."""
        log = self.logs / str(self.started)
        deadline = time.monotonic() + 60
        while not (log.exists() and log.stat().st_size):
            assert time.monotonic() < deadline
            time.sleep(0.002)

    def segments(self) -> list[Path]:
        """Return the segments that are to be delivered, not those kept because of damage."""
        walk = os.walk(self.spool)  # because folders vanish while we look
        found = (Path(at, n) for at, _, names in walk for n in names if n.endswith(".seg"))
        return sorted(path for path in found if ".damaged-" not in str(path))

    def settle(self) -> dict[int, Span]:
        """Have a fresh process deliver what is left, with a fresh span, and read all back."""
        file = JsonLinesSink(self.file)
        last = Spool(self.spool, file, key="chaos", adopt_every=0.05)
        last.start()
        deadline = time.monotonic() + 120
        while self.segments():
            assert time.monotonic() < deadline, "spans are stuck in the spool"
            time.sleep(0.02)
        (fresh,) = _fresh()
        last.write((fresh,))
        assert last.flush(30)
        last.close()
        spans = list(self._read())
        # of several with the same id the last counts, as in a store
        seen = Counter(int(span.span_id, 16) for span in spans if span.end_ns)
        assert seen.pop(int(fresh.span_id, 16)) == 1
        self.duplicates = sum(count - 1 for count in seen.values())
        found = {int(span.span_id, 16): span for span in spans if span.name == "work"}
        self.interrupted = {number for number, span in found.items() if _is_interrupted(span)}
        return {number: found[number] for number in found.keys() - self.interrupted}

    def _read(self) -> Iterator[Span]:
        """Read the file, in which each kill may have torn a line that another process ended."""
        torn = 0
        for line in self.file.read_bytes().splitlines():
            try:
                yield decode(line)
            except ConfigurationError:
                torn += 1
        assert torn <= self.started

    def check(self, *, may_lose: int = 0) -> set[int]:
        """Compare what was handed over with what was delivered; return what is missing."""
        from worker import payload

        delivered = self.settle()
        wanted = self.handed_over()
        lost = wanted - delivered.keys()
        assert len(lost) <= may_lose, f"{len(lost)} acknowledged spans lost"
        for number in delivered.keys() & wanted:
            span = delivered[number]
            assert span.inputs == payload(number)
        for number in (delivered.keys() | self.interrupted) - wanted:
            # handed over, but killed before it could write that down: the next in its row
            assert number - 1 in wanted or number % PER_ROUND in (1, 100_000), f"{number} invented"
        return lost


def _is_interrupted(span: Span) -> bool:
    """Say whether all that is known of a span is that it started."""
    return span.attributes.get("trace.ending") == "interrupted"


def _fresh() -> Sequence[Span]:
    from trace_core.testing import sample_spans

    return sample_spans()[:1]


@pytest.fixture
def oracle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Oracle:
    monkeypatch.syspath_prepend(str(WORKER.parent))
    return Oracle(tmp_path)


MOODS = ("well", "away", "slow", "flapping", "hung", "forgetful")


def test_kill_9_loses_nothing_acknowledged(oracle: Oracle) -> None:
    """Killed at random moments, with sinks in every mood: no acknowledged span is lost."""
    random.seed(ROUNDS)
    for round_ in range(ROUNDS):
        worker = oracle.start(count=100_000, mood=MOODS[round_ % len(MOODS)])
        oracle.wait_for_log()
        time.sleep(random.uniform(0, 0.3))
        worker.send_signal(signal.SIGKILL)
        worker.wait()
    assert not oracle.check()


@pytest.mark.parametrize("ending", ["return", "hog"])
def test_kill_9_between_hand_over_and_append(oracle: Oracle, ending: str) -> None:
    """What is still in the queue when the process is killed is lost, and nothing before it.

    How many spans that is depends on the machine: half a span on a quiet one, dozens where thirty
    other programs compute, since these here come at a rate by the clock. For how long a span may be
    in memory alone is tested in `test_kill`, in the processor time of its program.
    """
    rounds = max(3, ROUNDS // 4)
    for _ in range(rounds):
        worker = oracle.start(count=100_000, handoff="thread", ending=ending)
        oracle.wait_for_log()
        time.sleep(random.uniform(0.05, 0.3))
        worker.send_signal(signal.SIGKILL)
        worker.wait()
    lost = oracle.check(may_lose=PER_ROUND)
    of_each = Counter(number // PER_ROUND for number in lost)
    counts = sorted(of_each.get(round_ + 1, 0) for round_ in range(rounds))
    mean = sum(counts) / rounds
    print(f"lost between hand-over and append, {ending}: {mean:.2f} per kill; {counts}")
    first = {number // PER_ROUND: number for number in sorted(lost, reverse=True)}
    later = {n for n in oracle.handed_over() if n >= first.get(n // PER_ROUND, n + 1)}
    assert later <= lost  # only the newest of each program: nothing is lost out of the middle


@pytest.mark.parametrize(
    "ending",
    [
        "return",
        "sys.exit",
        "exception",
        "sigterm",
        "os._exit",
        "cancel",
        "clock",
        "tomorrow",
        "fork",
    ],
)
def test_every_way_to_end(oracle: Oracle, ending: str) -> None:
    """However a program ends, and with its sink away or well, its spans are delivered."""
    workers = [oracle.start(mood=mood, ending=ending) for mood in ("well", "away")]
    for worker in workers:
        worker.wait(60)
    time.sleep(0.3 if ending == "fork" else 0)  # the children end after their parents
    assert not oracle.check()


def cut_off(data: bytearray) -> tuple[int, int]:
    """Lose the end, as when a disk took a part of the last write."""
    middle = len(data) // 2
    del data[middle:]
    return middle, sys.maxsize


def flip_a_bit(data: bytearray) -> tuple[int, int]:
    """Have the disk return something else than it was given."""
    place = random.randrange(len(data))
    data[place] ^= 1 << random.randrange(8)
    return place, place + 1


def fill_with_zeros(data: bytearray) -> tuple[int, int]:
    """Find zeros where data was, and more behind it, as after a power failure."""
    begin = random.randrange(len(data))
    end = min(len(data), begin + 20_000)
    data[begin:end] = bytes(end - begin)
    data += bytes(4_096)
    return begin, end


def scribble(data: bytearray) -> tuple[int, int]:
    """Find somebody else's data."""
    begin = random.randrange(len(data))
    end = min(len(data), begin + 5_000)
    data[begin:end] = random.randbytes(end - begin)
    return begin, end


def lose(data: bytearray) -> tuple[int, int]:
    """Lose the whole segment."""
    data.clear()
    return 0, sys.maxsize


def numbers_in(data: bytes, begin: int, end: int) -> set[int]:
    """Return the numbers of the finished spans that have a byte in a stretch of a segment."""
    found, start = set(), 0
    for kind, payload, after in unpack(data, 0, last=True, limit=sys.maxsize).frames:
        if kind == SPAN and start < end and begin < after:
            found.add(int(key_in(payload), 16))
        start = after
    return found


@pytest.mark.parametrize("damage", [cut_off, flip_a_bit, fill_with_zeros, scribble, lose])
def test_damaged_segments(oracle: Oracle, damage: Callable[[bytearray], tuple[int, int]]) -> None:
    """What is damaged on disk costs the spans that had a byte in it, and no other."""
    random.seed(damage.__name__)
    for round_ in range(max(1, ROUNDS // 20)):
        assert oracle.start(mood="away", ending="os._exit", rate=10_000).wait(60) == 0
        victims = oracle.segments()
        assert len(victims) > 1
        victim = victims[round_ % len(victims)]
        data = bytearray(victim.read_bytes())
        before = bytes(data)
        hurt = numbers_in(before, *damage(data))
        if data:
            victim.write_bytes(data)
        else:
            victim.unlink()
        lost = oracle.check(may_lose=len(hurt))
        assert lost == hurt
        for log in oracle.logs.iterdir():
            log.unlink()
        oracle.file.unlink()


def test_four_processes_share_a_folder(oracle: Oracle) -> None:
    """Four at once, delivering for each other as they end: nothing is lost, nothing invented."""
    workers = [oracle.start(count=500, mood=mood) for mood in ("well", "slow", "flapping", "away")]
    for worker in workers:
        assert worker.wait(60) == 0
    assert not oracle.check()


def test_duplicates_are_counted(oracle: Oracle) -> None:
    """A sink whose answers get lost sees spans twice, with the same ids: harmless, and known."""
    for _ in range(3):
        assert oracle.start(mood="forgetful").wait(60) == 0
    assert not oracle.check()
    print(f"duplicates: {oracle.duplicates} of {len(oracle.handed_over())}")


class Server(http.server.BaseHTTPRequestHandler):
    """Answers by a script, and keeps what it has accepted."""

    script: list[str]
    accepted: list[bytes]

    def do_POST(self) -> None:
        act = self.script.pop(0) if self.script else "200"
        if act == "reset":
            self.connection.close()
            return
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if act == "200":
            self.accepted.extend(body.splitlines())
        self.send_response(int(act))
        if act == "429":
            self.send_header("Retry-After", "0.05")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[http.server.ThreadingHTTPServer]:
    Server.script, Server.accepted = [], []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.shutdown()


def post_to(port: int, timeout: float = 5) -> Callable[[Sequence[Span]], None]:
    def post(spans: Sequence[Span]) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
        try:
            connection.request("POST", "/", b"\n".join(map(encode, spans)))
            answer = connection.getresponse()
        except http.client.HTTPException as error:
            raise ConnectionError(str(error)) from error
        finally:
            connection.close()
        if answer.status == 429:
            raise RetryLater("slow down", float(answer.headers["Retry-After"]))
        if answer.status != 200:
            raise ConnectionError(answer.status)

    return post


def test_a_server_with_every_fault(server: http.server.ThreadingHTTPServer, tmp_path: Path) -> None:
    """500s, 429 with Retry-After, connections reset half way: everything arrives in the end."""
    Server.script = ["500", "reset", "429", "200", "503", "reset", "reset", "200", "429", "500"]
    sink = post_to(server.server_address[1])
    spool = Spool(tmp_path, sink, key="http", batch_size=7, retry=Retry(0.01, longest=0.05))
    spans = numbered(100)
    for span in spans:
        spool.write((span,))
    assert spool.flush(30)
    spool.close()
    assert not Server.script
    accepted = {span.span_id: span for span in map(decode, Server.accepted)}
    assert list(accepted.values()) == spans


def post_spans(address: str) -> list[Span]:
    """Return the spans a server of another process has accepted."""
    with urllib.request.urlopen(address, timeout=10) as answer:
        return list({s.span_id: s for s in map(decode, answer.read().splitlines())}.values())


@pytest.fixture
def own_server() -> Iterator[Callable[[int], subprocess.Popen[str]]]:
    """Start servers in processes of their own, on a port of choice; 0 for any."""
    running: list[subprocess.Popen[str]] = []

    def start(port: int) -> subprocess.Popen[str]:
        command = [sys.executable, str(WORKER.with_name("server.py")), str(port)]
        running.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        return running[-1]

    yield start
    for server in running:
        server.kill()
        server.wait()


def port_of(server: subprocess.Popen[str]) -> int:
    assert server.stdout is not None
    return int(server.stdout.readline())


def test_a_stopped_server(
    own_server: Callable[[int], subprocess.Popen[str]], tmp_path: Path
) -> None:
    """A server that takes connections and never answers, as under SIGSTOP, then goes on."""
    server = own_server(0)
    port = port_of(server)
    post = post_to(port, timeout=0.3)
    spool = Spool(tmp_path, post, key="http", batch_size=7, retry=Retry(0.01, longest=0.05))
    spans = numbered(60)
    for span in spans[:20]:
        spool.write((span,))
    assert spool.flush(30)
    server.send_signal(signal.SIGSTOP)
    for span in spans[20:40]:
        spool.write((span,))
    assert not spool.flush(1.0)
    server.send_signal(signal.SIGCONT)
    for span in spans[40:]:
        spool.write((span,))
    assert spool.flush(30)
    spool.close()
    assert post_spans(f"http://127.0.0.1:{port}/") == spans


LIFE = """
import sys
sys.path.insert(0, sys.argv[1])
from trace_core import Tracer, durable
from test_chaos import post_to
import time
post = post_to(int(sys.argv[2]))
tracer = Tracer(durable(post, spool_dir=sys.argv[3], environ={}, key="http"))
for number in range(int(sys.argv[4])):
    with tracer.span("call", inputs=f"question {number}"):
        pass
print(time.time(), flush=True)
"""


def test_a_server_that_is_down_all_the_programs_life(
    own_server: Callable[[int], subprocess.Popen[str]], tmp_path: Path
) -> None:
    """The program ends within its deadline and says where its spans are; the next delivers all."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    first = run_life(port, tmp_path, 50)
    left = time.time() - float(first.stdout)
    assert first.returncode == 0
    assert left < 5 + 15, left  # the deadline, and what a busy machine needs beside it
    assert str(tmp_path) in first.stderr
    assert len(list(read_spans(tmp_path))) == 50
    server = own_server(port)
    assert port_of(server) == port
    second = run_life(port, tmp_path, 1)
    assert second.returncode == 0, second.stderr
    last = Spool(tmp_path, post_to(port), key="http", adopt_every=0.05)
    last.start()
    deadline = time.monotonic() + 30
    while len(post_spans(f"http://127.0.0.1:{port}/")) < 51:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    last.close()
    said = Counter(str(span.inputs) for span in post_spans(f"http://127.0.0.1:{port}/"))
    assert said == Counter([*(f"question {n}" for n in range(50)), "question 0"])


def run_life(port: int, spool: Path, count: int) -> subprocess.CompletedProcess[str]:
    """Run a program that traces to a server, to its end."""
    arguments = [str(WORKER.parent), str(port), str(spool), str(count)]
    command = [sys.executable, "-c", LIFE, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def numbered(count: int) -> list[Span]:
    """Make spans of 4 KB."""
    return [
        Span(
            SpanContext(f"{i + 1:032x}", f"{i + 1:016x}"),
            None,
            "numbered",
            SpanKind.LLM,
            1,
            2,
            inputs="x" * 4_000,
        )
        for i in range(count)
    ]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)],
        capture_output=True,
        check=False,
    )
    if done.returncode:
        pytest.skip("cannot mount a small disk here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_disk_that_fills_up(small_disk: Path) -> None:
    """Full by our own spans and by others' files, then free again: all is accounted for."""
    memory, well = MemorySink(), threading.Event()

    def sink(spans: Sequence[Span]) -> None:
        if not well.is_set():
            raise OSError("away")
        memory.write(spans)

    spool = Spool(
        small_disk, sink, key="small", max_memory=400_000, retry=Retry(0.01, longest=0.05)
    )
    spans = numbered(800)
    for span in spans[:600]:
        spool.write((span,))
    stats = spool.stats
    assert stats.accepted == 600 == stats.pending + stats.dropped
    assert stats.pending > 400  # some 490 fit on the disk, and 90 into memory
    well.set()
    assert spool.flush(30)
    for span in spans[600:]:
        spool.write((span,))
    assert spool.flush(30)
    stats = spool.stats
    assert stats.delivered == len(memory.spans) == 800 - stats.dropped
    assert memory.spans[-1] == spans[-1]
    spool.close()
