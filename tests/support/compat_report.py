"""Writes the table of what works on which LiteLLM release, from what pytest reported on each.

``python -m support.compat_report RESULTS PAGE`` reads ``RESULTS/<release>.xml``, as
``pytest --junitxml`` writes them, and replaces the page.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

PASSED, FAILED, ABSENT = "✓", "**✗**", "-"
SCENARIO = re.compile(r"test_scenario\[(\w+)\]")
HEAD = """\
# What works on which LiteLLM release

Written by `nox -s compat_report` from what `nox -s compat` found; not by hand. Each line but the
last is a scenario of `tests/support/scenarios.py`: real calls over HTTP, made with tracing and
without. It passes if there are exactly the spans there should be, with all they should tell, and
if the caller and the provider saw no difference.

✓ passes · ✗ fails · - the release does not have it, cannot do it with the packages that belong to
it today, does it in another way, or is older than 1.65.8 and not held to it

"""


@dataclass
class Release:
    """What was found on one release.

    Attributes:
        name: Its number.
        scenarios: Whether each scenario that it has passed.
        others: How many of the other tests passed, and how many there are.
    """

    name: str
    scenarios: dict[str, bool] = field(default_factory=dict)
    passed: int = 0
    total: int = 0


def read(path: Path) -> Release:
    """Read pytest's report of one release.

    Args:
        path: The file, named after the release.
    """
    release = Release(path.stem)
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        outcomes = {child.tag for child in case}
        if "skipped" in outcomes:
            continue
        good = not outcomes & {"failure", "error"}
        scenario = SCENARIO.fullmatch(case.get("name", ""))
        if scenario:
            release.scenarios[scenario[1]] = good
        else:
            release.passed += good
            release.total += 1
    return release


def page(releases: Iterable[Release]) -> str:
    """Write the page.

    Args:
        releases: What was found, in any order.

    Returns:
        The page, in Markdown.
    """
    ordered = sorted(releases, key=lambda release: [int(n) for n in release.name.split(".")])
    names = dict.fromkeys(name for r in reversed(ordered) for name in r.scenarios)
    rows = [
        ["scenario", *(release.name for release in ordered)],
        ["---", *(":-:" for _ in ordered)],
        *([f"`{name}`", *(_mark(r.scenarios, name) for r in ordered)] for name in names),
        ["**scenarios**", *(_ratio(sum(r.scenarios.values()), len(r.scenarios)) for r in ordered)],
        ["other tests of the adapter", *(_ratio(r.passed, r.total) for r in ordered)],
    ]
    return HEAD + "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _mark(scenarios: Mapping[str, bool], name: str) -> str:
    if name not in scenarios:
        return ABSENT
    return PASSED if scenarios[name] else FAILED


def _ratio(passed: int, total: int) -> str:
    return f"{passed}/{total}" if total else ABSENT


def main(results: str, target: str) -> None:
    """Replace the page.

    Args:
        results: The folder of reports.
        target: The page.
    """
    reports = sorted(Path(results).glob("*.xml"))
    if not reports:
        raise SystemExit(f"no reports in {results}: run nox -s compat first")
    Path(target).write_text(page(map(read, reports)), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
