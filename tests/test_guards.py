"""What keeps a package from being released as it is: each guard is shown something that it refuses."""

from __future__ import annotations

import io
import re
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from support.release_scripts import ROOT, module, scripts  # noqa: F401  # a fixture for all

pytest.importorskip("tomllib", reason="releases are made with Python 3.11 or newer")
pytest.importorskip("packaging")
pytest.importorskip("griffe")

SOURCE = '"""A package."""\n\n\ndef greet(name: str) -> str:\n    """Greet."""\n    return name\n'
PYPROJECT = '[project]\nname = "trace-toy"\nversion = "0.1.0"\n'
CHANGELOG = "# Changelog\n\n## 0.1.0 - 2026-01-31\n\nFirst version.\n"


def git(folder: Path, *words: str) -> str:
    who = ("-c", "user.name=test", "-c", "user.email=test@localhost", "-c", "commit.gpgsign=false")
    done = subprocess.run(
        ("git", *who, *words), cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout whose one package, trace-toy, is released; its tag stands on the last commit."""
    package = tmp_path / "packages" / "trace-toy"
    (package / "src" / "trace_toy").mkdir(parents=True)
    (package / "changes").mkdir()
    (tmp_path / "release").mkdir()
    (package / "src" / "trace_toy" / "__init__.py").write_text(SOURCE)
    (package / "pyproject.toml").write_text(PYPROJECT)
    (package / "CHANGELOG.md").write_text(CHANGELOG)
    (tmp_path / "release" / "released.toml").write_text("")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", "--all")
    git(tmp_path, "commit", "--quiet", "-m", "First")
    git(tmp_path, "tag", "trace-toy-v0.1.0")
    return tmp_path


def toy(checkout: Path):
    return module("checkout").find_packages(checkout)["trace-toy"]


def change(checkout: Path, old: str, new: str) -> None:
    """Change the source of the package."""
    path = checkout / "packages" / "trace-toy" / "src" / "trace_toy" / "__init__.py"
    path.write_text(path.read_text().replace(old, new))


def note(checkout: Path, kind: str) -> None:
    (checkout / "packages" / "trace-toy" / "changes" / f"+x.{kind}.md").write_text("A thing.\n")


def faults(checkout: Path) -> list[str]:
    return list(module("guard").faults(checkout, toy(checkout)))


def test_what_is_as_it_was_released_is_fine(checkout):
    """No change, no fault."""
    assert faults(checkout) == []


def test_a_change_wants_a_fragment(checkout):
    """Users get something else, and nothing tells them."""
    change(checkout, "return name", "return name.title()")
    (fault,) = faults(checkout)
    assert "note what users see" in fault
    assert "packages/trace-toy/changes/" in fault
    note(checkout, "fixed")
    assert faults(checkout) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("def greet(", "def salute("),
        ("name: str)", "name: str, language: str)"),
    ],
    ids=["name", "parameter"],
)
def test_a_broken_api_wants_a_fragment_that_says_so(checkout, old, new):
    """A public name is gone, or wants more of its callers: "added" does not tell that."""
    change(checkout, old, new)
    note(checkout, "added")
    (fault,) = faults(checkout)
    assert "public API of 0.1.0" in fault
    assert "greet" in fault
    note(checkout, "removed")
    assert faults(checkout) == []


def test_a_patch_release_breaks_nothing(checkout):
    """It is refused, with the name that is gone; a minor one may."""
    change(checkout, "def greet(", "def salute(")
    refuse, error = module("guard").refuse_breakage, module("checkout").ReleaseError
    with pytest.raises(error, match=r"say minor(?s:.*)greet"):
        refuse(checkout, toy(checkout), "patch")
    refuse(checkout, toy(checkout), "minor")


def test_a_release_that_is_prepared_needs_no_fragments(checkout):
    """They are in the changelog by then, and the tag comes later."""
    change(checkout, "def greet(", "def salute(")
    package = toy(checkout)
    package.pyproject.write_text(PYPROJECT.replace("0.1.0", "0.2.0"))
    package.changelog.write_text(CHANGELOG.replace("0.1.0", "0.2.0"))
    assert faults(checkout) == []


def test_before_the_first_release_all_may_change(checkout, capsys):
    """What a commit that stands for a release had, and is gone, is told and no fault."""
    git(checkout, "tag", "--delete", "trace-toy-v0.1.0")
    assert faults(checkout) == []
    commit = git(checkout, "rev-parse", "HEAD")
    line = f'trace-toy = {{ version = "0.1.0", commit = "{commit}" }}\n'
    (checkout / "release" / "released.toml").write_text(line)
    log = checkout / "packages" / "trace-toy" / "CHANGELOG.md"
    log.write_text(CHANGELOG.replace("2026-01-31", "unreleased"))
    change(checkout, "def greet(", "def salute(")
    assert faults(checkout) == []
    assert "greet" in capsys.readouterr().out


def test_a_tag_wins_over_the_commit_that_stands_for_it(checkout):
    """Of the same version the tag; a newer version wins in any case."""
    line = 'trace-toy = { version = "0.1.0", commit = "HEAD" }\n'
    (checkout / "release" / "released.toml").write_text(line)
    last = module("history").last_release
    assert last(checkout, "trace-toy").commit == "trace-toy-v0.1.0"
    git(checkout, "tag", "trace-toy-v0.10.0")
    assert last(checkout, "trace-toy").commit == "trace-toy-v0.10.0"


def test_a_clone_without_the_history_says_what_to_fetch(checkout):
    """The commit of the last release is not there: not "nothing to compare with"."""
    line = f'trace-toy = {{ version = "0.2.0", commit = "{"0" * 40}" }}\n'
    (checkout / "release" / "released.toml").write_text(line)
    with pytest.raises(module("checkout").ReleaseError, match="git fetch --unshallow"):
        faults(checkout)


METADATA = """Metadata-Version: 2.4
Name: trace-toy
Version: 0.1.0
Summary: A toy
Author: Somebody
License-Expression: Apache-2.0
Classifier: Typing :: Typed
Requires-Python: >=3.10
Description-Content-Type: text/markdown
{more}

See [there]({link}).
"""
IN_A_WHEEL = ("trace_toy/__init__.py", "trace_toy/py.typed", "x.dist-info/licenses/LICENSE")
IN_AN_SDIST = ("src/trace_toy/__init__.py", "LICENSE", "PKG-INFO", "README.md", "pyproject.toml")


def wheel(folder: Path, *more: str, metadata: str = "") -> Path:
    path = folder / "trace_toy-0.1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name in (*IN_A_WHEEL, *more):
            archive.writestr(name, "")
        archive.writestr("x.dist-info/METADATA", metadata)
    return path


def sdist(folder: Path, *names: str) -> Path:
    path = folder / "trace_toy-0.1.0.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name in names:
            archive.addfile(tarfile.TarInfo(f"trace_toy-0.1.0/{name}"), io.BytesIO())
    return path


def test_files_hold_what_they_should(tmp_path):
    """A package's code, its licence and what describes it."""
    look = module("contents").faults
    assert look(wheel(tmp_path)) == []
    assert look(sdist(tmp_path, *IN_AN_SDIST, "tests/test_toy.py")) == []


@pytest.mark.parametrize(
    "stranger",
    ["trace_toy/.env", "tests/test_toy.py", "litellm_init.pth", "trace_toy/_x.so", "other/a.py"],
)
def test_a_stranger_in_a_wheel_is_named(tmp_path, stranger):
    """Also one that Python would run at each start."""
    assert module("contents").faults(wheel(tmp_path, stranger)) == [
        f"{stranger} should not be there"
    ]


@pytest.mark.parametrize("stranger", ["traces.jsonl", "src/trace_toy/a.pyc", ".env", "src/b/a.py"])
def test_a_stranger_in_an_sdist_is_named(tmp_path, stranger):
    """Such as what lay in the folder when it was built."""
    assert module("contents").faults(sdist(tmp_path, *IN_AN_SDIST, stranger)) == [
        f"{stranger} should not be there"
    ]


def test_what_is_missing_is_named(tmp_path):
    """A package without a licence."""
    found = module("contents").faults(sdist(tmp_path, *set(IN_AN_SDIST) - {"LICENSE"}))
    assert found == ["no LICENSE"]


@pytest.mark.parametrize(
    ("more", "link", "address", "complaint"),
    [
        ("", "https://there", "", None),
        ("", "../there.md", "", "links to ../there.md: wanted a URL"),
        ("Project-URL: Source, https://a/b/c", "https://there", "", "set the address"),
        ("Project-URL: Source, https://a/b/c/d", "https://there", "https://a/b/c", None),
        ("Project-URL: Source, https://a/b/x/d", "https://there", "https://a/b/c", "wanted https"),
        ("", "https://there", "https://a/b/c", "has no Project-URL"),
    ],
)
def test_a_wheel_tells_where_it_comes_from(tmp_path, more, link, address, complaint):
    """Links lead somewhere from the index, and project URLs are on the one address that is set."""
    text = METADATA.format(more=more, link=link).replace("\n\n\n", "\n\n")
    found = module("contents").told_wrong(wheel(tmp_path, metadata=text), address)
    assert [complaint in fault for fault in found] == ([True] if complaint else [])


def test_all_packages_say_the_same_address():
    """That of the root pyproject.toml: whoever changes it does so by ``nox -s address``."""
    address = module("contents").repository(ROOT)
    for package in module("checkout").find_packages(ROOT).values():
        text = package.pyproject.read_text("utf-8")
        assert module("address").written(text, address, package.name) == text
    owners = (ROOT / ".github" / "CODEOWNERS").read_text("utf-8")
    assert owners == module("address").owners(address)


def test_an_address_is_written_and_taken_back():
    """Each package gets its own URLs; nothing of another address stays."""
    written = module("address").written
    for package in module("checkout").find_packages(ROOT).values():
        before = written(package.pyproject.read_text("utf-8"), "", package.name)
        first = written(before, "https://github.com/ada/tracing", package.name)
        assert f"https://github.com/ada/tracing/tree/main/packages/{package.name}" in first
        second = written(first, "https://github.com/grace/tracing", package.name)
        assert "com/ada" not in second
        assert len(re.findall(r"^\[project.urls\]$", second, re.MULTILINE)) == 1
        assert written(second, "", package.name) == before
