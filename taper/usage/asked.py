"""What the scripts of the shells ask."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence

from taper.last_words import CannotStart
from taper.run.paths import paths_from
from taper.usage.completing import Line, complete
from taper.usage.knowing import known
from taper.usage.programs import NAMES, program
from taper.usage.shells import SHELLS, BashLine, told


def answer(parser: argparse.ArgumentParser, words: Sequence[str]) -> list[str]:
    """The lines of the answer.

    :param parser: taperctl's
    :param words: shell, program, and what else its script sends
    :raise CannotStart: that is not what a script sends
    """
    match words:
        case ["bash", name, breaks, text] if name in NAMES:
            line = BashLine(text, breaks)
            return line.answer(complete(program(name, parser), line.words, _known))
        case ["zsh" | "fish" as shell, name, *rest] if name in NAMES and rest:
            return told(shell, complete(program(name, parser), rest, _known))
    raise CannotStart(
        f"complete: expected a shell ({', '.join(SHELLS)}), a program ({', '.join(NAMES)}) "
        'and the line; a script that asks so is printed by "taperctl completion"'
    )


def _known(kind: str, line: Line) -> Mapping[str, str]:
    return known(kind, line, paths_from(os.environ))
