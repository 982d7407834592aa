"""The documents as MkDocs reads them: hooks of mkdocs.yml.

They are written for whoever reads them in the tree, as GitHub shows it. What is otherwise there is
changed on the way to the site, and nowhere else.
"""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

from tests.docs import markdown
from tests.docs.markdown import ROOT

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ABOUT = "about.md"
"""What the README is there, which lies beside docs."""
OUTPUT = "output"
"""The language, there, of what a command prints: it looks otherwise, and nobody copies it."""

_FENCE = re.compile(r"^(?P<indent> *)(?P<mark>`{3,}|~{3,})(?P<language>[\w-]*)(?P<more>.*)$")
_TO_README = re.compile(r"\]\((?:\.\./)+README\.md(?=[)#])")
_INTO_DOCS = re.compile(r"\]\(docs/")
_OUT_OF_DOCS = re.compile(r"\[([^\]]*)\]\((?!https?:|#|docs/)[^)]*\)")
_NAMED_AS_FILE = re.compile(r"\[[\w./-]+\.md\]\((?P<target>[\w./-]+\.md)(?P<anchor>#[\w-]+)?\)")
_STEP = 4
"""Blanks by which Python-Markdown has something belong to a list; GitHub is content with fewer."""


def slug(heading: str, blank: str) -> str:
    """The anchor of a heading on the site, for mkdocs.yml: the theme's script breaks at one that
    begins with a digit. Links lead to anchors of ours there."""
    anchor = markdown.slug(heading, blank)
    return f"s-{anchor}" if anchor[:1].isdigit() else anchor


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Let the README be a page."""
    from mkdocs.structure.files import File

    text = _OUT_OF_DOCS.sub(r"\1", (ROOT / "README.md").read_text())
    files.append(File.generated(config, ABOUT, content=_INTO_DOCS.sub("](", text)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Let a page be what MkDocs understands."""
    return for_site(markdown, page.file.src_uri)


def for_site(text: str, place: str) -> str:
    """A document as Python-Markdown understands it.

    :param place: its path below docs
    """
    return "".join(f"{line}\n" for line in _lines(text, place))


def _lines(text: str, place: str) -> list[str]:
    about = posixpath.relpath(ABOUT, posixpath.dirname(place) or ".")
    lines: list[str] = []
    end = ""  # of the fenced block that a line is in
    more = ""
    for line in text.splitlines():
        fence = _FENCE.match(line)
        if end:
            lines.append(f"{more}{line}" if line else line)
            end = "" if line.strip() == end else end
        elif fence is not None:
            end = fence["mark"]
            more = " " * (-len(fence["indent"]) % _STEP)
            kind = OUTPUT if fence["more"].strip() == OUTPUT else fence["language"]
            lines.append(f"{more}{fence['indent']}{end}{kind}")
        else:
            line = _NAMED_AS_FILE.sub(lambda link: _titled(link, place), line)
            lines.append(_TO_README.sub(f"]({about}", line))
    return lines


def _titled(link: re.Match[str], place: str) -> str:
    """A link whose text is a file's name, with the title of that document instead."""
    path = ROOT / "docs" / posixpath.dirname(place) / link["target"]
    title = next(line for line in path.read_text().splitlines() if line.startswith("# ")).strip(
        "# "
    )
    return f"[{title}]({link['target']}{link['anchor'] or ''})"
