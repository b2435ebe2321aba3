"""What `nox -s release` does to the files of a checkout, and what it refuses."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from support.release_scripts import ROOT, module, scripts  # noqa: F401  # a fixture for all

pytest.importorskip("tomllib", reason="releases are made with Python 3.11 or newer")
pytest.importorskip("packaging")
pytest.importorskip("towncrier")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout in which trace-core and trace-nats are released, and nothing has changed since."""
    for path in ROOT.glob("packages/*/pyproject.toml"):
        folder = tmp_path / "packages" / path.parent.name
        folder.mkdir(parents=True)
        for name in ("pyproject.toml", "CHANGELOG.md"):
            shutil.copy(path.parent / name, folder / name)
    for name in ("trace-core", "trace-nats"):
        package = packages(tmp_path)[name]
        if not package.is_released:
            prepare(tmp_path, name, None)
    return tmp_path


def packages(root: Path):
    return module("checkout").find_packages(root)


def prepare(root: Path, name: str, part: str | None):
    return module("prepare").prepare(name, part, packages(root))


def changed(root: Path, name: str, text: str = "A thing.") -> None:
    """Note a change that users see."""
    folder = root / "packages" / name / "changes"
    folder.mkdir(exist_ok=True)
    (folder / "+thing.added.md").write_text(text)


def test_a_release_takes_the_fragments_into_the_changelog(checkout):
    """The version goes up, its heading comes first, and the fragments are gone."""
    package = packages(checkout)["trace-nats"]
    before = package.version
    changed(checkout, "trace-nats", "Sends spans twice as fast.")
    prepare(checkout, "trace-nats", "patch")
    assert package.version.release == (*before.release[:2], before.release[2] + 1)
    assert package.headings[0][0] == str(package.version)
    assert package.is_released
    assert package.notes(package.version) == "### Added\n\n- Sends spans twice as fast.\n"
    assert not package.fragments
    tag = module("checkout").tag_of(package)
    assert module("checkout").package_of(tag, packages(checkout)) == package


def test_siblings_follow_a_version_that_they_would_refuse(checkout):
    """A minor release of trace-core raises the range in each sibling; a released one says so."""
    changed(checkout, "trace-core")
    core = prepare(checkout, "trace-core", "minor")
    series = f">={core.version.major}.{core.version.minor},"
    for sibling in packages(checkout).values():
        assert all(series in text for text in sibling.requirements_on("trace-core"))
    (note,) = packages(checkout)["trace-nats"].fragments
    assert note.read_text().startswith("Requires trace-core")


def test_siblings_stay_with_a_version_that_they_take(checkout):
    """A patch release of trace-core changes no sibling."""
    changed(checkout, "trace-core")
    before = {p.name: p.pyproject.read_text() for p in packages(checkout).values()}
    prepare(checkout, "trace-core", "patch")
    after = {p.name: p.pyproject.read_text() for p in packages(checkout).values()}
    assert {name for name in after if after[name] != before[name]} == {"trace-core"}


@pytest.mark.parametrize(
    ("name", "part", "complaint"),
    [
        ("trace-nats", "minor", "no fragment"),
        ("trace-nats", None, "major|minor|patch"),
        ("trace-knot", "minor", "there are trace-core"),
    ],
)
def test_what_makes_no_sense_is_refused(checkout, name, part, complaint):
    """Nothing to release, no word of which version, no such package: a clear error, no change."""
    before = {p: p.read_text() for p in checkout.rglob("*.*") if p.is_file()}
    with pytest.raises(module("checkout").ReleaseError) as caught:
        prepare(checkout, name, part)
    assert complaint in str(caught.value)
    assert before == {p: p.read_text() for p in checkout.rglob("*.*") if p.is_file()}


@pytest.mark.parametrize("tag", ["trace-core", "trace-core-v9.9.9", "core-v0.1.0", "v0.1.0"])
def test_a_tag_that_fits_nothing_is_refused(checkout, tag):
    """A tag is the name of a package and the version that both of its files say."""
    with pytest.raises(module("checkout").ReleaseError):
        module("checkout").package_of(tag, packages(checkout))


def test_siblings_admit_each_other_as_they_are():
    """No package requires a version of a sibling that this checkout does not have."""
    here = packages(ROOT)
    requirement = pytest.importorskip("packaging.requirements").Requirement
    refused = [
        f"{package.name} requires {text}, here is {sibling.version}"
        for package in here.values()
        for sibling in here.values()
        for text in package.requirements_on(sibling.name)
        if sibling.version not in requirement(text).specifier
    ]
    assert not refused, refused


def test_fragments_are_of_a_kind_that_changelogs_have():
    """Each fragment is called NAME.KIND.md, with a kind of release/towncrier.toml."""
    tomllib = module("tomllib")
    config = tomllib.loads((ROOT / "release" / "towncrier.toml").read_text())["tool"]["towncrier"]
    kinds = {kind["directory"] for kind in config["type"]}
    found = [path for package in packages(ROOT).values() for path in package.fragments]
    assert [path for path in found if path.suffixes[-2][1:] not in kinds] == []


WORKFLOWS = ROOT / ".github" / "workflows"
FIRST = "python -m pip install --require-hashes -r requirements/nox.txt"


def test_each_package_has_a_workflow_that_releases_it():
    """They differ in the package's name alone: trusted publishing wants one workflow for each."""
    names = list(packages(ROOT))
    texts = {n: (WORKFLOWS / f"release-{n}.yml").read_text().replace(n, "NAME") for n in names}
    assert len(set(texts.values())) == 1


def test_workflows_run_sessions_that_are_there():
    """What a workflow runs is nox, and so can be run anywhere; each session exists."""
    sessions = set(
        re.findall(r"^def (\w+)\(session", (ROOT / "noxfile.py").read_text(), re.MULTILINE)
    )
    lines = [
        line
        for path in WORKFLOWS.glob("*.yml")
        for line in re.findall(r"^ *(?:- )?run: (.*)$", path.read_text(), re.MULTILINE)
    ]
    named = re.compile(r"python -m nox(?: -s (?P<name>[\w$\"]+)(?: -- .*)?)?$")
    runs = [named.match(line) for line in lines if line != FIRST]
    assert all(runs), lines
    assert {run["name"] for run in runs if run and run["name"]} - {'"$SESSION"'} <= sessions
    (matrix,) = re.findall(
        r"^ +session:\n((?: +- \w+\n)+)", (WORKFLOWS / "nightly.yml").read_text(), re.MULTILINE
    )
    assert set(re.findall(r"- (\w+)", matrix)) <= sessions
