"""Puts pages that stand elsewhere in the repository into the site, and has all links lead there."""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent
PACKAGES = sorted(path.parent.name for path in ROOT.glob("packages/*/README.md"))
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    **{f"packages/{name}/README.md": f"packages/{name}.md" for name in PACKAGES},
    "examples/trace-openai/README.md": "examples/trace-openai.md",
}
"""Where a page of the repository is in the site; what is in docs/ keeps its place there."""
_SOURCES = {there: here for here, there in PAGES.items()}
_TARGETS = PAGES | {f"packages/{name}": f"packages/{name}.md" for name in PACKAGES}
_LINK = re.compile(r"\]\((?!\w+:)([^)#\s]+)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages."""
    for here, there in PAGES.items():
        files.append(File.generated(config, there, content=(ROOT / here).read_text()))
    return files


def on_page_markdown(markdown: str, *, page: Page, **_: object) -> str:
    """Have each relative link lead to where its target is in the site."""
    there = page.file.src_uri
    here = PurePosixPath(_SOURCES.get(there, f"docs/{there}"))

    def moved(link: re.Match[str]) -> str:
        target = os.path.normpath(here.parent / link[1])
        place = _TARGETS.get(target, target.removeprefix("docs/"))
        return f"]({os.path.relpath(place, PurePosixPath(there).parent)}"

    return _LINK.sub(moved, markdown)
