"""What README and docs say is so: their Python runs, their links lead somewhere."""

from __future__ import annotations

import argparse
import ast
import json
import os
import re
import sqlite3
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("packages/*/README.md"),
        *ROOT.glob("examples/*/README.md"),
    ]
)
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)")
VERSION = re.compile(r"\d+\.\d+\.\d+")

RUNNER = """
import ast, asyncio, inspect, json, sys

page = {"__name__": "__main__"}
loop = asyncio.new_event_loop()
for name, line, source in json.load(sys.stdin):
    tree = ast.parse("\\n" * (line - 1) + source, name)
    code = compile(tree, name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    result = eval(code, page)
    if inspect.iscoroutine(result):
        loop.run_until_complete(result)
loop.close()
"""


def blocks(page: Path) -> list[tuple[str, int, str]]:
    """The Python of a page: where it stands, and what it says."""
    text = page.read_text()
    return [(page.name, text[: m.start(1)].count("\n") + 1, m[1]) for m in BLOCK.finditer(text)]


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


ELSEWHERE = {
    ROOT / "docs" / "how-to" / "trace-frameworks.md",
    *ROOT.glob("examples/*/README.md"),
}
"""Run by ``nox -s frameworks`` and ``nox -s examples``, where what they need is installed."""
WITH_PYTHON = [page for page in PAGES if blocks(page) and page not in ELSEWHERE]


@pytest.mark.skipif(find_spec("trace_mlflow_sink") is None, reason="the pages are about all three")
@pytest.mark.parametrize("page", WITH_PYTHON, ids=name_of)
def test_python_runs(page, provider, tmp_path):
    """The blocks of a page, one after the other, as a reader would type them."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "TRACE_"))}
    told = {
        "OPENAI_API_KEY": "sk-loopback",
        "OPENAI_BASE_URL": provider.openai_base,
        "ANTHROPIC_API_KEY": "sk-loopback",
        "ANTHROPIC_API_BASE": provider.url,
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "TRACE_EXIT_TIMEOUT": "200",  # a busy machine takes long to make a database
    }
    done = subprocess.run(
        [sys.executable, "-c", RUNNER],
        input=json.dumps(blocks(page)),
        cwd=tmp_path,
        env={**kept, **told},
        capture_output=True,
        check=False,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    if page == ROOT / "README.md":
        with sqlite3.connect(tmp_path / "mlflow.db") as database:
            stored = database.execute("select name from spans where type like '%CHAT%'").fetchall()
        assert len(stored) == readme().count("litellm.completion(")


ANCHOR = re.compile(r"\]\(([^)#:\s]*)#([^)\s]+)\)")


def sections(page: Path) -> set[str]:
    """What links to the sections of a page are called."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_to_sections(page):
    """Each link to a section of a page leads to one."""
    targets = [
        (page.parent / name if name else page, section)
        for name, section in ANCHOR.findall(page.read_text())
    ]
    assert [
        (str(target), section)
        for target, section in targets
        if target.suffix == ".md" and target.exists() and section not in sections(target)
    ] == []


def commands(parser: argparse.ArgumentParser, name: str = "") -> dict[str, set[str]]:
    """The long options of each command of a parser, by the command's name."""
    found: dict[str, set[str]] = {}
    options: set[str] = set()
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for key, inner in action.choices.items():
                found |= commands(inner, f"{name} {key}".strip())
        options |= {text for text in action.option_strings if text.startswith("--")}
    return found or {name: options - {"--help"}}


def test_the_commands_told_are_those_that_exist():
    """docs/reference/cli.md has a section for each command, and each of its options in that."""
    from trace_core._cli.main import parser_of_all
    from trace_litellm._run import _parser
    from trace_nats._command import _parser as parser_of_nats

    known = commands(_parser()) | commands(parser_of_all()) | commands(parser_of_nats())
    page = (ROOT / "docs" / "reference" / "cli.md").read_text()
    parts = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL))
    told = {name: set(re.findall(r"`(--[a-z-]+)", text)) for name, text in parts.items()}
    filters = told.pop("Filters")
    source = told.pop("Where spans are read from")
    spool = [options for name, options in known.items() if name.startswith("spool ")]
    plain = {name: options for name, options in known.items() if " " not in name}
    plain["spool"] = set().union(*spool)
    assert told.keys() == plain.keys()
    for name, options in plain.items():
        shared = filters if "--grep" in options else set()
        shared |= source if "--experiment" in options else set()
        assert shared <= options, name
        assert told[name] | shared == options, name


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page):
    """Each relative link and picture is in the repository."""
    targets = LINK.findall(page.read_text())
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_the_test_command_is_the_one_that_is_run():
    """`.ci/run` calls exactly what the README tells to call."""
    (command,) = re.findall(r"^python -m pip install .* && python -m nox$", readme(), re.MULTILINE)
    assert command.split(" && ") == [
        part.strip() for part in (ROOT / ".ci" / "run").read_text().splitlines()[-1].split("&&")
    ]


def test_every_session_named_exists():
    """`nox -s NAME` anywhere in the pages names a session of the noxfile."""
    tree = ast.parse((ROOT / "noxfile.py").read_text())
    sessions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    text = "".join(page.read_text() for page in PAGES)
    named = set(re.findall(r"nox -s ([\w-]+)", text))
    assert named
    assert named <= sessions


def test_the_releases_told_are_the_releases_tested():
    """docs/reference/compatibility.md and compat.toml list the same releases of LiteLLM."""
    page = (ROOT / "docs" / "reference" / "compatibility.md").read_text()
    table = page.partition("## LiteLLM")[2].partition("\n## ")[0]
    told = re.findall(r"^\| (\d+\.\d+\.\d+) ", table, re.MULTILINE)
    listed = (ROOT / "compat.toml").read_text().partition("litellm = [")[2].partition("]")[0]
    assert told == VERSION.findall(listed)


def test_the_frameworks_told_are_the_frameworks_tested():
    """docs/how-to/trace-frameworks.md has a section and a release for each in compat.toml."""
    page = (ROOT / "docs" / "how-to" / "trace-frameworks.md").read_text()
    listed = (ROOT / "compat.toml").read_text().partition("[frameworks]\n")[2]
    tested = re.findall(r'^([\w-]+) = \["([\w-]+)(?:\[\w+\])?==([\d.]+)"', listed, re.MULTILINE)
    assert {f"{package} {release}" for _, package, release in tested} == set(
        re.findall(r"^\| ([\w-]+ \d[\d.]*) \|", page, re.MULTILINE)
    )
    assert {name for name, _, _ in tested} <= set(re.findall(r"^## ([\w-]+)$", page, re.MULTILINE))
    releases = (ROOT / "compat.toml").read_text().partition("litellm = [")[2].partition("]")[0]
    assert f"LiteLLM {VERSION.findall(releases)[-1]} " in page


def test_the_files_to_change_exist():
    """Each row of the table in development.md names a file or folder of a package."""
    page = (ROOT / "docs" / "reference" / "development.md").read_text()
    table = page.partition("## Where to change what")[2]
    named = re.findall(r"`(trace_\w+/[\w/]+(?:\.py)?)`", table)
    assert len(named) > 20
    folders = {path.parent.name: path for path in ROOT.glob("packages/*/src/*/__init__.py")}
    assert [
        name for name in named if not (folders[name.split("/")[0]].parents[1] / name).exists()
    ] == []


def test_the_settings_told_are_those_that_are_read():
    """docs/reference/settings.md has a row for each variable, in the code's order."""
    from trace_core._settings import VARIABLES

    page = (ROOT / "docs" / "reference" / "settings.md").read_text()
    assert re.findall(r"^\| `(TRACE_\w+)` ", page, re.MULTILINE) == list(VARIABLES)


def readme() -> str:
    return (ROOT / "README.md").read_text()
