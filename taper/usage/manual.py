"""Manual pages, of what the programs are made of, in the macros of man(7)."""

from __future__ import annotations

import argparse
import os
import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from textwrap import wrap

from taper import __version__
from taper.usage.program import Program, Word
from taper.usage.programs import NAMES, program

SECTIONS = {"taperctl": 1, "taper": 8, "amdirecttar": 8, "taper-recovery": 8}
WIDTH = 80
MOST_OPTIONS = 20
"""So many are told of in a synopsis."""
ENVIRONMENT = {
    "AMANDA_CONFIG_DIR, AMANDA_TMPDIR, AMANDA_DBGDIR, AMANDA_STATE_DIR": "directories of Amanda's, "
    'in place of those that "taperctl install" has recorded, for trials',
}
ELSEWHERE = ("amanda(8)", "amanda.conf(5)", "amrecover(8)")

_MARKED = re.compile(r"[\w-]+|`[^`]*`")
"""Words, some of which are options, and what stands in bold type in a text."""
_OPTION = re.compile(r"--?[a-zA-Z][\w-]*")
_LETTERS = {"\\": r"\e", "^": r"\(ha", "~": r"\(ti", "`": r"\(ga", "'": r"\(aq", '"': r"\(dq"}


def write_pages(parser: argparse.ArgumentParser, directory: str) -> list[str]:
    """Write all pages below a directory, which is made if it is not there.

    :param parser: taperctl's
    :return: their paths
    :raise OSError: one cannot be written
    """
    written = []
    for name in NAMES:
        section = SECTIONS[name]
        path = os.path.join(directory, f"man{section}", f"{name}.{section}")
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="ascii") as file:
            file.write(page(program(name, parser), _date(os.environ)))
        written.append(path)
    return written


def _date(environment: Mapping[str, str]) -> str:
    """Of the build, as those who want the same bytes again say it."""
    moment = int(environment.get("SOURCE_DATE_EPOCH", time.time()))
    return time.strftime("%Y-%m-%d", time.gmtime(moment))


def page(program: Program, date: str) -> str:
    """The manual page of a program.

    :param date: as it stands at the foot
    """
    head = f'.TH {program.name.upper()} {SECTIONS[program.name]} {date} "taper {__version__}"'
    # no word is divided: half an option is none
    return "".join(f"{line}\n" for line in (head, ".nh", ".ad l", *_body(program)))


def _body(program: Program) -> Iterator[str]:
    common = tuple(word for word in _common(program) if "--help" not in word.names)
    yield from (".SH NAME", rf"{_escaped(program.name)} \- {_escaped(program.help)}")
    yield ".SH SYNOPSIS"
    yield from _synopsis((program.name,), program)
    yield ".SH DESCRIPTION"
    yield from _text(program.description)
    if program.words:
        yield ".SH OPTIONS"
        yield from _arguments(program.words)
    if program.commands:
        yield ".SH COMMANDS"
    if common:
        yield ".SS Arguments of several commands"
        yield from _arguments(common)
    for command in program.commands:
        yield f".SS {_escaped(command.name)}"
        yield from _synopsis((program.name, command.name), command)
        yield ".PP"
        yield from _text(command.description or _sentence(command.help))
        yield from _arguments(
            word for word in command.words if word not in common and "--help" not in word.names
        )
    yield ".SH EXIT STATUS"
    yield from _pairs((str(number), text) for number, text in program.exits)
    for command in program.commands:
        if command.exits:
            yield f".SS Of {_escaped(command.name)}"
            yield from _pairs((str(number), text) for number, text in command.exits)
    yield ".SH ENVIRONMENT"
    yield from _pairs(ENVIRONMENT.items())
    yield ".SH SEE ALSO"
    ours = [f"{name}({section})" for name, section in SECTIONS.items() if name != program.name]
    names = (*ours, *ELSEWHERE)
    yield from (f"{_reference(name)}," for name in names[:-1])
    yield _reference(names[-1])


def _common(program: Program) -> tuple[Word, ...]:
    """The arguments that most commands have; they are told of once."""
    seen = Counter(word for command in program.commands for word in command.words)
    return tuple(word for word, count in seen.items() if count > len(program.commands) / 2)


def _synopsis(names: Sequence[str], program: Program) -> Iterator[str]:
    yield rf"\fB{_literal(' '.join(names))}\fR"
    if program.commands:
        yield r"\fICOMMAND\fR ..."
        yield ".br"
        yield rf"\fB{_literal(' '.join(names))}\fR"
    for word in program.places:
        value = _value(word)
        yield {"?": f"[{value}]", "*": f"[{value} ...]"}.get(word.repeat, value)
    if len(program.options) > MOST_OPTIONS:
        yield r"[\fIOPTION\fR ...]"
        return
    for word in program.options:
        if "--help" in word.names and len(names) > 1:
            continue  # all commands have it
        yield f"[{_named(word, word.names[-1:])}]" + (" ..." if word.repeat == "append" else "")


def _value(word: Word) -> str:
    if word.choices:
        return "|".join(rf"\fB{_literal(choice)}\fR" for choice in word.choices)
    return rf"\fI{_literal(word.metavar)}\fR"


def _named(word: Word, names: Iterable[str]) -> str:
    text = ", ".join(rf"\fB{_literal(name)}\fR" for name in names)
    return f"{text} {_value(word)}" if word.metavar else text


def _arguments(words: Iterable[Word]) -> Iterator[str]:
    for word in words:
        yield ".TP"
        yield _named(word, word.names) if word.names else _value(word)
        yield from _text(_sentence(word.help))


def _pairs(pairs: Iterable[tuple[str, str]]) -> Iterator[str]:
    for name, text in pairs:
        yield ".TP"
        yield rf"\fB{_literal(name)}\fR"
        yield from _text(_sentence(text))


def _sentence(clause: str) -> str:
    return f"{clause[:1].upper()}{clause[1:]}."


def _text(text: str) -> Iterator[str]:
    """Paragraphs, the first without a request; lines that begin with blanks stay as they are."""
    for number, (kept, lines) in enumerate(_blocks(text)):
        if kept:
            yield from (".PP", ".nf", ".RS 4", *(_begun(_literal(line)) for line in lines))
            yield from (".RE", ".fi")
        else:
            if number:
                yield ".PP"
            yield from _plain(" ".join(lines))


def _blocks(text: str) -> Iterator[tuple[bool, list[str]]]:
    """Lines that belong together, without their blanks; whether they stay as they are."""
    for (kept, blank), lines in groupby(
        text.splitlines(), lambda line: (line.startswith(" "), not line)
    ):
        if not blank:
            yield kept, [line.strip() for line in lines]


def _plain(text: str) -> list[str]:
    """The lines of a text; its options and what stands between back quotes are in bold type."""
    pieces = []
    end = 0
    for match in _MARKED.finditer(text):
        if not (match[0].startswith("`") or _OPTION.fullmatch(match[0])):
            continue
        pieces += [_escaped(text[end : match.start()]), rf"\fB{_literal(match[0].strip('`'))}\fR"]
        end = match.end()
    whole = "".join((*pieces, _escaped(text[end:])))
    lines = wrap(whole, WIDTH, break_long_words=False, break_on_hyphens=False)
    return [_begun(line) for line in lines]


def _literal(text: str) -> str:
    """What somebody may copy into a command line."""
    return _escaped(text).replace("-", r"\-")


def _escaped(text: str) -> str:
    return "".join(_LETTERS.get(letter, letter) for letter in text)


def _begun(line: str) -> str:
    """One that groff does not take for a request."""
    return rf"\&{line}" if line.startswith(".") else line


def _reference(name: str) -> str:
    title, _, section = name.partition("(")
    return rf"\fB{_literal(title)}\fR({section}"
