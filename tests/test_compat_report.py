"""The table of releases says what pytest reported, failures too."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.compat_report import main

REPORT = '<testsuites><testsuite name="pytest">{}</testsuite></testsuites>'
CASE = '<testcase classname="t" name="{}">{}</testcase>'


def write(folder: Path, release: str, **outcomes: str) -> None:
    cases = [CASE.format(name.replace("__", "["), outcome) for name, outcome in outcomes.items()]
    text = "".join(cases).replace('_END"', ']"')
    (folder / f"{release}.xml").write_text(REPORT.format(text))


def test_tells_passed_failed_and_absent_apart(tmp_path: Path) -> None:
    """A scenario that failed is shown as such, one that a release lacks as a dash."""
    write(tmp_path, "1.100.5", test_scenario__new_END="", test_scenario__old_END="", test_other="")
    write(tmp_path, "1.65.8", test_scenario__old_END="<failure/>", test_other="<error/>")
    main(str(tmp_path), str(tmp_path / "page.md"))
    lines = (tmp_path / "page.md").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line.startswith("|")] == [
        "| scenario | 1.65.8 | 1.100.5 |",
        "| --- | :-: | :-: |",
        "| `new` | - | ✓ |",
        "| `old` | **✗** | ✓ |",
        "| **scenarios** | 0/1 | 2/2 |",
        "| other tests of the adapter | 0/1 | 1/1 |",
    ]


def test_leaves_out_what_was_skipped(tmp_path: Path) -> None:
    """A test that did not run neither passed nor failed."""
    write(tmp_path, "1.65.8", test_scenario__old_END="<skipped/>", test_other="<skipped/>")
    main(str(tmp_path), str(tmp_path / "page.md"))
    assert "| **scenarios** | - |" in (tmp_path / "page.md").read_text(encoding="utf-8")


def test_says_when_there_is_nothing_to_report(tmp_path: Path) -> None:
    """Without results the page is left as it is."""
    (tmp_path / "page.md").write_text("as it was")
    with pytest.raises(SystemExit, match="run nox -s compat first"):
        main(str(tmp_path), str(tmp_path / "page.md"))
    assert (tmp_path / "page.md").read_text() == "as it was"
