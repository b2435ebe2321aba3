"""Writes the issue to open when the newest LiteLLM breaks tracing: which tests fail, and how.

``python canary.py RESULTS PAGE`` reads what ``pytest --junitxml`` wrote.
"""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path
from xml.etree import ElementTree

MOST_SHOWN = 50
SHOWN_CHARACTERS = 300


def failures(results: Path) -> list[tuple[str, str]]:
    """Return the tests that failed, each with the first line of its failure.

    Args:
        results: Pytest's report.
    """
    return [
        (f"{case.get('classname')}.{case.get('name')}", (fault.get("message") or "").split("\n")[0])
        for case in ElementTree.parse(results).getroot().iter("testcase")
        for fault in case
        if fault.tag in {"failure", "error"}
    ]


def issue(release: str, failed: list[tuple[str, str]]) -> str:
    """Write the issue; its first line is the title.

    Args:
        release: LiteLLM's.
        failed: Tests and reasons.
    """
    lines = [f"- `{name}`: {reason[:SHOWN_CHARACTERS]}" for name, reason in failed[:MOST_SHOWN]]
    more = len(failed) - len(lines)
    if more > 0:
        lines.append(f"- and {more} more")
    how = f"`nox -s 'compat-3.11({release})'` repeats it, once {release} is in `compat.toml`."
    title = f"# LiteLLM {release}: {len(failed)} tests of trace-litellm fail"
    return "\n".join([title, "", *lines, "", how, ""])


if __name__ == "__main__":
    found = failures(Path(sys.argv[1]))
    Path(sys.argv[2]).write_text(issue(version("litellm"), found), "utf-8")
