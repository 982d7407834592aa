"""docs/errors.md, made of ``taper/errors.toml``.

``python -m tests.docs.errors --write`` makes it; without ``--write`` the exit status is 1 if the
page is another.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from taper.codes import AREAS, Kind, kinds, paragraph
from tests.docs.markdown import ROOT

PAGE = ROOT / "docs" / "errors.md"
_HEAD = """\
<!-- made of taper/errors.toml by `python -m tests.docs.errors --write` -->
# Codes of errors

What goes wrong is told with a code, as `TAPER-8002`, at the end of the line: by `taperctl`,
`taper`, `taper ndmp-tape`, `amdirecttar` and `taper-recovery` on stderr, in their debug logs, and
as a key with `--json`. `taperctl explain TAPER-8002` prints what stands here.

A code stands for one kind of trouble, and keeps its meaning for ever; sentences may change. One
that ends in `00` tells no more than the area: the text in front of it says what it was. Codes are
in no reply to Amanda's driver, in no trace log and in nothing that Amanda's clients read. So
reports have the texts without them; the debug log of that time (below Amanda's debug directory,
`server/CONFIG/taper.*.debug`) has both.

The commands are those of a Debian server; `CONFIG`, `HOST`, `DISK` and `LABEL` stand for yours.
"""


def page() -> str:
    """The whole page."""
    parts = [_HEAD]
    areas = list(AREAS.items())
    for number, (start, title) in enumerate(areas):
        end = areas[number + 1][0] if number + 1 < len(areas) else 10_000
        parts.append(f'\n## {title} <a id="{start}"></a>\n')
        parts += [_section(kind) for code, kind in kinds().items() if start <= code < end]
    return "".join(parts)


def _section(kind: Kind) -> str:
    title, _, text = paragraph(kind).partition("\n")
    return f'\n### {title} <a id="{kind.label}"></a>\n{text}'


def main(arguments: Sequence[str]) -> int:
    """Compare or write. :return: the exit status"""
    wanted = page()
    if "--write" in arguments:
        PAGE.write_text(wanted)
        return 0
    if PAGE.exists() and PAGE.read_text() == wanted:
        return 0
    print("docs/errors.md is not what taper/errors.toml says;")
    print("python -m tests.docs.errors --write")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
