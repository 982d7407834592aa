"""The statements of amanda.conf, read into drafts [config 1.3, 1.4, 1.6]."""

from typing import Protocol

from protocols.conf.checks import CHECKS, template_error
from protocols.conf.choices import READERS
from protocols.conf.cursor import Cursor, Refused, printable
from protocols.conf.draft import Draft, Drafts
from protocols.conf.grammar import (
    DEPRECATED,
    DUMPTYPE_DEFAULTS,
    GLOBAL,
    KEYWORDS,
    KIND_ALIASES,
    PARAMETER_TITLES,
    PARENT_TITLES,
    SECTIONS,
    Table,
)
from protocols.conf.lexer import BAD, COMMA, END, LEFT, NEWLINE, RIGHT, STRING, UNKNOWN, WORD
from protocols.conf.values import Version

_DEFINE_EXPECTED = (
    "DUMPTYPE, INTERFACE, TAPETYPE, HOLDINGDISK, APPLICATION, SCRIPT, DEVICE, CHANGER,"
    " INTERACTIVITY, TAPERSCAN, POLICY or STORAGE expected"
)
_INLINE_NAMES = {"taperscan": "ts", "interactivity": "iv", "policy": "po"}
_CHANGERFILE = "warning: Global changerfile is deprecated, it must be set in the changer section"


class IncludeHost(Protocol):
    """What a statement may need from outside the file it stands in."""

    def include(self, name: str, line: int) -> None:
        """Read the named file here. Raises Refused."""

    def finish(self, draft: Draft) -> None:
        """Apply the overrides of a section whose block has ended."""

    def directory_error(self, path: str) -> str | None:
        """What is wrong with a directory that must exist, if anything."""

    def is_older_than(self, version: Version) -> bool:
        """Whether Amanda is known to be older."""


class Parser:
    """Reads the statements of one file, or the value of one override."""

    def __init__(
        self, cursor: Cursor, drafts: Drafts, around: IncludeHost, *, place: str, argument: bool
    ) -> None:
        """``place``: the file's path, or the text of an override (``argument``)."""
        self._cursor = cursor
        self._drafts = drafts
        self._around = around
        self._place = place
        self._argument = argument
        self._owner: Draft | None = None

    def statements(self) -> None:
        """Read the whole file. Errors become messages; reading goes on with the next line."""
        cursor = self._cursor
        while cursor.kind != END:
            if cursor.kind == NEWLINE:
                cursor.skip()
                continue
            line = cursor.line
            try:
                self._statement()
                cursor.end_of_line()
            except Refused as refused:
                self.report(refused, cursor.line if cursor.kind == END else line)
                cursor.recover()

    def warn(self, line: int, text: str) -> None:
        """Note a warning about this line."""
        self._drafts.warning(self._prefix(line) + text)

    def is_older_than(self, version: Version) -> bool:
        """See ``readers.Sections``."""
        return self._around.is_older_than(version)

    def report(self, refused: Refused, line: int) -> None:
        """Note an error in this line."""
        self._drafts.error(self._prefix(line) + str(refused))

    def _prefix(self, line: int) -> str:
        return f"{self.place(line)}: "

    def place(self, line: int) -> str:
        """See ``readers.Sections``."""
        return f"argument '{self._place}'" if self._argument else f"'{self._place}', line {line}"

    def _statement(self) -> None:
        cursor = self._cursor
        word = cursor.word()
        if word is None or word not in KEYWORDS:
            if cursor.kind in (UNKNOWN, BAD, COMMA):
                cursor.refuse("configuration keyword expected")
            cursor.refuse("error: not a keyword.")
        line = cursor.line
        self._warn_deprecated(word)
        if word == "define":
            cursor.skip()
            self._define(line)
        elif word == "includefile":
            cursor.skip()
            self._around.include(cursor.take(STRING), line)
        elif word == "holdingdisk":
            cursor.skip()
            self._use_holdingdisks(line)
        elif word in GLOBAL:
            cursor.skip()
            self.parameter(self._drafts.general, GLOBAL, word)
        else:
            cursor.refuse("configuration keyword expected")

    def _warn_deprecated(self, word: str) -> None:
        if word in DEPRECATED and word not in self._drafts.deprecated:
            self._drafts.deprecated.add(word)
            self.warn(self._cursor.line, f"warning: Keyword {self._cursor.value} is deprecated.")

    def parameter(self, draft: Draft, table: Table, keyword: str) -> None:
        """Read, store and check the value of a parameter. Raises Refused."""
        cursor = self._cursor
        type_, check = table[keyword]
        shown, line = cursor.found(), cursor.line
        owner, self._owner = self._owner, draft
        try:
            old = draft.values.get(keyword, {} if type_ in ("prop", "exinc") else ())
            draft.values[keyword] = value = READERS[type_](cursor, old, self)
        finally:
            self._owner = owner
        if check == "changerfile":
            self.warn(line, _CHANGERFILE)
            return
        text = self._check(keyword, type_, check, value)
        if text is not None:
            raise Refused(f"{text} (found {shown})")

    def _check(self, keyword: str, type_: str, check: str, value: object) -> str | None:
        if check == "tmpdir":
            return self._around.directory_error(str(value))
        if type_ in ("labelstr", "autolabel"):
            return template_error(keyword, value)
        return CHECKS[check](keyword, value) if check else None

    # Sections

    def _define(self, line: int) -> None:
        cursor = self._cursor
        word = cursor.word() or ""
        kind = KIND_ALIASES.get(word, word)
        if kind not in SECTIONS:
            cursor.refuse(_DEFINE_EXPECTED)
        cursor.skip()
        name = self._section_name(kind)
        if kind == "holdingdisk" and cursor.kind != LEFT:
            cursor.refuse("holdingdisk definition must specify holdingdisk parameters")
        self._section(kind, name, line)

    def _section_name(self, kind: str) -> str:
        name = self._cursor.ident()
        if any(char in " \t\n\r\f\v" for char in name):
            raise Refused(f"{kind.upper()} must not contains space (found '{printable(name)}')")
        if '"' in name:
            raise Refused(
                f"{kind.upper()} must not contains double quotes (found '{printable(name)}')"
            )
        return name

    def _section(self, kind: str, name: str, line: int) -> None:
        """Read the block of a named section, from its ``{``, and register it."""
        cursor = self._cursor
        cursor.take(LEFT)
        if cursor.kind != NEWLINE:
            try:
                cursor.end_of_line()
            except Refused as refused:
                self.report(refused, line)
                cursor.recover()
        draft = Draft(kind, name, f"{self._place}:{line}")
        self._block(draft)
        self._around.finish(draft)
        if kind == "dumptype":
            general = self._drafts.general.values
            for keyword in DUMPTYPE_DEFAULTS:
                if keyword in general and keyword not in draft.values:
                    draft.derived[keyword] = general[keyword]
        self._register(draft)

    def _register(self, draft: Draft) -> None:
        old = self._drafts.find(draft.kind, draft.name)
        if old is None:
            self._drafts.add(draft)
        elif draft.kind == "holdingdisk":
            raise Refused(f"holding disk '{draft.name}' already defined")
        elif not old.place:
            raise Refused(f"{old.kind} {old.name} is defined by default and cannot be redefined")
        else:
            raise Refused(f"{old.kind} {old.name} already defined at {old.place}")

    def _block(self, draft: Draft) -> None:
        """Read the lines of a block, and its ``}``. Raises Refused if that is missing."""
        cursor = self._cursor
        while cursor.kind != RIGHT:
            if cursor.kind == NEWLINE:
                cursor.skip()
                continue
            line = cursor.line
            try:
                self._block_line(draft)
                cursor.end_of_line()
            except Refused as refused:
                if cursor.kind == END:
                    raise
                self.report(refused, line)
                cursor.recover()
        cursor.skip()

    def _block_line(self, draft: Draft) -> None:
        cursor = self._cursor
        table = SECTIONS[draft.kind]
        word = cursor.word()
        if cursor.kind == STRING or (word is not None and word not in KEYWORDS):
            parent = self._drafts.find(draft.kind, cursor.value)
            if parent is None:
                title = PARENT_TITLES.get(draft.kind, draft.kind)
                cursor.refuse(f"{title} parameter expected")
            cursor.skip()
            draft.inherit(parent, table)
            return
        if cursor.kind == END:
            cursor.refuse("end of line is expected")
        if word is not None:
            self._warn_deprecated(word)
        if word is None or word not in table:
            title = PARAMETER_TITLES.get(draft.kind, draft.kind)
            cursor.refuse(f"{title} parameter expected")
        cursor.skip()
        self.parameter(draft, table, word)

    def reference(self, cursor: Cursor, kind: str, title: str) -> str:
        """See ``readers.Sections``."""
        if cursor.kind == LEFT:
            return self._inline(kind)
        bare = cursor.kind == WORD and (kind != "script" or cursor.word() not in KEYWORDS)
        if cursor.kind != STRING and not bare:
            cursor.refuse(f"{title} name expected")
        name = cursor.ident()
        if name and self._drafts.find(kind, name) is None:
            raise Refused(f"Unknown {title} named: {printable(name)}")
        if not name and kind == "policy":
            raise Refused('policy must name a policy, but is ""')  # stock crashes on it later
        return name

    def _inline(self, kind: str) -> str:
        """Read an inline block; the name it is given."""
        owner = self._owner
        what = _INLINE_NAMES.get(kind, f"DUMPTYPE:{owner.name if owner else ''}")
        self._drafts.inline += 1
        name = f"custom({what}).{self._drafts.inline}".replace("/", "_")
        draft = Draft(kind, name, f"{self._place}:{self._cursor.line}")
        self._cursor.skip()
        self._block(draft)
        self._drafts.add(draft)
        return name

    def _use_holdingdisks(self, line: int) -> None:
        cursor = self._cursor
        names = [self._section_name("holdingdisk")]
        if cursor.kind == LEFT:
            self._section("holdingdisk", names[0], line)
        else:
            names += self.more_holdingdisks()
        self.use_holdingdisks(names)

    def more_holdingdisks(self) -> list[str]:
        """The names on the rest of the line. Raises Refused."""
        cursor = self._cursor
        names = []
        while cursor.kind in (WORD, STRING):
            names.append(cursor.ident())
        if cursor.kind not in (NEWLINE, END):
            cursor.refuse("IDENT or NL expected")
        return names

    def use_holdingdisks(self, names: list[str]) -> None:
        """Put holding disks into use. Raises Refused."""
        used = self._drafts.used_holding
        for name in names:
            if name in used:
                raise Refused(f"holding disk '{name}' already in use")
            used.append(name)
