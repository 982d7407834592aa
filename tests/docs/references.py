"""Checks that every reference to a fact leads to a place in docs/facts.

``python -m tests.docs.references`` prints each that does not, and each that is written in another
form than the one of docs/facts/README.md; its exit status is 1 if there is any.
"""

from __future__ import annotations

import io
import re
import sys
import tokenize
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.docs.markdown import ROOT, prose

FACTS = ROOT / "docs" / "facts"
SEARCHED = ("taper", "protocols", "devices", "twisted", "tests", "docs", "README.md")
SUFFIXES = frozenset({".py", ".pl", ".md"})

# a line may end within a reference: the next one begins with blanks, perhaps behind a comment sign
_GAP = r"(?:[ ]|[ ]*\n[ ]*(?:\#[ ]+)?)"
_PLACE = rf"(?:quirk{_GAP}\d+|[QT]\d+b?|\d+(?:\.\d+)*[ab]?)"
_PLACES = rf"{_PLACE}(?:(?:,{_GAP}|{_GAP}to{_GAP}){_PLACE})*"

_OTHER_NAMES = (
    *("taper-protocol", "volumes-and-devices", "config-and-state", "scan-and-changers"),
    *("directtcp-and-ndmp", "directtcp-recovery"),
)
_ANCHOR = re.compile(r'<a id="([^"]+)"></a>')


def names(facts: Path = FACTS) -> list[str]:
    """Names of the documents that can be referred to."""
    return sorted(path.stem for path in facts.glob("*.md") if path.stem != "README")


def places(facts: Path = FACTS) -> dict[str, set[str]]:
    """The anchors of each document.

    :raise ValueError: a document has the same anchor twice
    """
    found: dict[str, set[str]] = {}
    for name in names(facts):
        anchors = _ANCHOR.findall((facts / f"{name}.md").read_text())
        found[name] = set(anchors)
        if len(anchors) != len(found[name]):
            twice = sorted({anchor for anchor in anchors if anchors.count(anchor) > 1})
            raise ValueError(f"{name}.md has anchors twice: {', '.join(twice)}")
    return found


class Checker:
    """Knows the documents.

    :ivar count: references seen so far
    """

    def __init__(self, known: dict[str, set[str]]) -> None:
        self.count = 0
        self._known = known
        any_name = "|".join(re.escape(name) for name in sorted(known, key=len, reverse=True))
        self._reference = re.compile(
            rf"\[(?P<name>{any_name}){_GAP}(?P<places>{_PLACES})\](?!\()", re.VERBOSE
        )
        others = "|".join(_OTHER_NAMES)
        self._strays = re.compile(
            rf"""
            \b(?:{others})\b(?!\.md)                        # a name that no document has
            | \b(?:{any_name}){_GAP}(?:\d+\.\d|Q\d|T\d)     # no brackets
            | \b[Qq]uirks?{_GAP}\#?\d                       # of which document?
            | \[(?:{any_name})[ ][^\]\n]*\](?!\()           # no place, or another form
            """,
            re.VERBOSE,
        )
        self._numbers = re.compile(r"(?<![\w.:/-])[QT]\d{1,2}b?(?![\w/])")

    def check(self, text: str, spoken: str | None = None) -> Iterator[tuple[int, str]]:
        """Look at the text of one file.

        :param spoken: the same text with blanks where nobody speaks in words, such as in code;
            numbers of quirks and transcripts without a document are looked for in it alone
        :return: line and fault
        """
        for found in self._reference.finditer(text):
            self.count += 1
            for place in re.findall(_PLACE, found["places"], re.VERBOSE):
                anchor = "-".join(place.replace("#", " ").split())
                if anchor not in self._known[found["name"]]:
                    yield _line(text, found), f"{found['name']}.md has no place {anchor}"
        without = self._reference.sub(_blank, text)
        for stray in self._strays.finditer(without):
            yield _line(text, stray), f"not in the form [document place]: {stray[0]!r}"
        without = self._reference.sub(_blank, text if spoken is None else spoken)
        for stray in self._numbers.finditer(without):
            yield _line(text, stray), f"of which document? {stray[0]!r}"


def _line(text: str, found: re.Match[str]) -> int:
    return text.count("\n", 0, found.start()) + 1


def _blank(found: re.Match[str]) -> str:
    return re.sub(r"[^\n]", " ", found[0])


def spoken_python(text: str) -> str:
    """A program without all that is neither comment nor docstring; lines and columns stay."""
    lines = [[" "] * len(line) for line in text.split("\n")]
    source = text.split("\n")
    begins = True
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        words = token.type == tokenize.COMMENT or (token.type == tokenize.STRING and begins)
        if words:
            (top, left), (bottom, right) = token.start, token.end
            for number in range(top, bottom + 1):
                start = left if number == top else 0
                end = right if number == bottom else len(source[number - 1])
                lines[number - 1][start:end] = source[number - 1][start:end]
        if token.type not in (tokenize.COMMENT, tokenize.NL):
            begins = token.type in (
                *(tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING),
            )
    return "\n".join("".join(line) for line in lines)


def files(root: Path = ROOT) -> Iterator[Path]:
    """The files in which references are looked for: programs and documents, not the facts."""
    for name in SEARCHED:
        top = root / name
        for path in [top] if top.is_file() else sorted(top.rglob("*")):
            inside = path.relative_to(root).parts
            if path.suffix not in SUFFIXES or "vectors" in inside:
                continue
            if inside[:2] in {("docs", "facts"), ("tests", "docs")}:
                continue
            yield path


def faults(root: Path = ROOT, facts: Path = FACTS) -> tuple[list[str], int]:
    """All that is wrong. :return: as lines, and the number of references"""
    checker = Checker(places(facts))
    found = []
    for path in files(root):
        text = path.read_text()
        spoken = spoken_python(text) if path.suffix == ".py" else None
        if path.suffix == ".md":
            spoken = ""
        for line, fault in checker.check(text, spoken):
            found.append(f"{path.relative_to(root)}:{line}: {fault}")
    for path in sorted(facts.glob("*.md")):
        if path.stem == "README":
            continue
        for line, fault in checker.check(_prose(path), ""):
            found.append(f"{path.relative_to(root)}:{line}: {fault}")
    return found, checker.count


def _prose(path: Path) -> str:
    """A document without its fenced blocks; the numbers of lines stay."""
    text = path.read_text()
    lines = [""] * (text.count("\n") + 1)
    for number, line in prose(text):
        lines[number - 1] = line
    return "\n".join(lines)


def main(arguments: Iterable[str] = ()) -> int:
    """Check the whole tree. :return: the exit status"""
    found, count = faults()
    for fault in found:
        print(fault)
    print(f"{count} references to docs/facts, {len(found)} at fault")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
