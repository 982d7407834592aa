"""Readers of values made of keywords, and of names of sections [config 1.5, 1.6]."""

from protocols.conf.cursor import Cursor
from protocols.conf.grammar import EXECUTE_ON, FALSE_WORDS, KEYWORDS, TRUE_WORDS
from protocols.conf.lexer import COMMA, END, INT, LEFT, NEWLINE, RIGHT, STRING, WORD
from protocols.conf.readers import READERS as VALUE_READERS
from protocols.conf.readers import Reader, Sections
from protocols.conf.values import AutoLabel, LabelStr, fold

_LIMITS = {"same-host", "server"}
_COMPRESS_EXPECTED = (
    "NONE, CLIENT FAST, CLIENT BEST, CLIENT CUSTOM, SERVER FAST, SERVER BEST or SERVER CUSTOM"
    " expected"
)
_ANY_IS_NARROW = (3, 5, 2)
"""From this version on ``autolabel any`` spares other configurations' volumes, and what is not
Amanda's (amanda-3.5.4, row 1)."""
_AUTOLABEL_EXPECTED = "ANY, NEW-VOLUME, OTHER-CONFIG, NON-AMANDA, VOLUME-ERROR or EMPTY is expected"


def _choice(words: str, expected: str) -> Reader:
    known = frozenset(words.split())

    def read(cursor: Cursor, _old: object, _sections: Sections) -> str:
        word = cursor.word()
        if word not in known or word is None:
            cursor.refuse(expected)
        cursor.skip()
        return word

    return read


def _at_end(cursor: Cursor) -> bool:
    return cursor.kind in (NEWLINE, END, RIGHT)


def _labelstr(cursor: Cursor, _old: object, sections: Sections) -> LabelStr:
    if cursor.take_word("match-autolabel"):
        return LabelStr("", True)
    if cursor.kind != STRING:
        cursor.refuse("labelstr template or MATCH_AUTOLABEL expected")
    line, template = cursor.line, cursor.take(STRING)
    if fold(template) == "match-autolabel":
        sections.warn(
            line,
            f'warning: labelstr is set to "{template}", you probably want the {template} keyword,'
            " without the double quote",
        )
    return LabelStr(template, False)


def _autolabel(cursor: Cursor, old: object, sections: Sections) -> AutoLabel:
    """The words are those of the last line; a line without a template leaves the one there was
    (both as amgetconf shows)."""
    template = cursor.take(STRING) if cursor.kind == STRING else None
    words: set[str] = set()
    while not _at_end(cursor):
        word = cursor.word()
        if word not in ("any", "other-config", "non-amanda", "volume-error", "empty"):
            cursor.refuse(_AUTOLABEL_EXPECTED)
        words.add(word)
        cursor.skip()
    if template is None and not words:
        return AutoLabel()
    if template is None and isinstance(old, AutoLabel):
        template = old.template
    every = "any" in words and sections.is_older_than(_ANY_IS_NARROW)
    if not words or "any" in words:
        words |= {"volume-error", "empty"}
    return AutoLabel(
        template or None,
        empty=every or "empty" in words,
        non_amanda=every or "non-amanda" in words,
        volume_error=every or "volume-error" in words,
        other_config=every or "other-config" in words,
    )


def _limits(cursor: Cursor, _old: object, _sections: Sections) -> tuple[str, ...]:
    """Hosts as written; the keywords in capitals, which no host name is."""
    limits: list[str] = []
    while not _at_end(cursor):
        word = cursor.word()
        if cursor.kind == STRING:
            limits.append(cursor.value)
        elif word in _LIMITS:
            limits.append(word.upper())
        else:
            cursor.refuse("SAME-HOST or a string expected")
        cursor.skip()
    return tuple(limits)


def _compress(cursor: Cursor, _old: object, _sections: Sections) -> str:
    sides: set[str] = set()
    kinds: set[str] = set()
    while not _at_end(cursor):
        word = cursor.word()
        if word in ("client", "server"):
            sides.add(word)
        elif word in ("none", "fast", "best", "custom"):
            kinds.add(word)
        else:
            cursor.refuse(_COMPRESS_EXPECTED)
        if len(sides) > 1 or len(kinds) > 1:
            cursor.refuse(_COMPRESS_EXPECTED)
        cursor.skip()
    kind = kinds.pop() if kinds else "fast"
    return kind if kind == "none" else f"{sides.pop() if sides else 'client'} {kind}"


def _estimates(cursor: Cursor, _old: object, _sections: Sections) -> tuple[str, ...]:
    found: list[str] = []
    while not found or not _at_end(cursor):
        word = cursor.word()
        if word is None or word not in ("client", "server", "calcsize"):
            cursor.refuse("CLIENT, SERVER or CALCSIZE expected")
        found.append(word)
        cursor.skip()
    return tuple(found)


def _hold(cursor: Cursor, _old: object, _sections: Sections) -> str:
    word = cursor.word()
    if word in ("never", "auto", "required"):
        cursor.skip()
        return word
    if cursor.kind == NEWLINE:
        return "auto"
    if cursor.kind == INT:
        on = any(char in "123456789" for char in cursor.value)
    elif word in TRUE_WORDS or word in FALSE_WORDS:
        on = word in TRUE_WORDS
    else:
        cursor.refuse("YES, NO, TRUE, FALSE, ON, OFF, 0, 1 expected")
    cursor.skip()
    return "auto" if on else "never"


_Selection = tuple[tuple[str, str, str], ...]


def _dump_selection(cursor: Cursor, old: _Selection, _sections: Sections) -> _Selection:
    if _at_end(cursor):
        return ()
    what, tag = cursor.word(), ""
    if cursor.kind == STRING:
        what, tag = "tag", cursor.value
    elif what not in ("all", "other"):
        cursor.refuse("string, ALL or OTHER expected")
    cursor.skip()
    level = cursor.word()
    if level not in ("all", "full", "incr"):
        cursor.refuse("ALL, FULL or INCR expected")
    cursor.skip()
    if not _at_end(cursor):
        cursor.refuse("string expected")
    kept = {(entry[0], entry[1]): entry[2] for entry in old}
    kept[what or "", tag] = level
    return tuple((*key, value) for key, value in kept.items())


_Vaults = tuple[tuple[str, int], ...]


def _vault(cursor: Cursor, old: _Vaults, sections: Sections) -> _Vaults:
    vaults = dict(old)
    if _at_end(cursor):
        return ()
    while cursor.kind == STRING or (cursor.kind == WORD and cursor.word() not in KEYWORDS):
        name = cursor.ident()
        vaults[name] = VALUE_READERS["int"](cursor, None, sections)
        if cursor.kind == INT:  # a number too many ends the list without a word, as in stock
            cursor.skip()
            break
    return tuple(vaults.items())


_Lists = dict[str, tuple[str, ...]]


def _exclusions(cursor: Cursor, old: _Lists, _sections: Sections) -> _Lists:
    """Without a text the list becomes empty, even with ``append``; ``optional`` is of the last line
    (both as amgetconf shows)."""
    which = "list" if cursor.take_word("list") else "file"
    if which == "file":
        cursor.take_word("file")
    optional = cursor.take_word("optional")
    append = cursor.take_word("append")
    texts: list[str] = []
    while cursor.kind == STRING:
        texts.append(cursor.take(STRING))
    lists = {key: value for key, value in old.items() if key != "optional"}
    lists[which] = (*(lists.get(which, ()) if append and texts else ()), *texts)
    if optional:
        lists["optional"] = ()
    return lists


def _execute_on(cursor: Cursor, _old: object, _sections: Sections) -> tuple[str, ...]:
    found: set[str] = set()
    while True:
        word = cursor.word()
        if word is None or word not in EXECUTE_ON:
            cursor.refuse("Execute-on expected")
        found.add(word)
        cursor.skip()
        if cursor.kind != COMMA:
            return tuple(name for name in EXECUTE_ON if name in found)
        cursor.skip()


def _reference(kind: str, title: str) -> Reader:
    def read(cursor: Cursor, _old: object, sections: Sections) -> str:
        return sections.reference(cursor, kind, title)

    return read


def _scripts(cursor: Cursor, old: tuple[str, ...], sections: Sections) -> tuple[str, ...]:
    if cursor.kind == LEFT:
        return (*old, sections.reference(cursor, "script", "pp_script"))
    names = list(old)
    first = True
    while first or not _at_end(cursor):
        names.append(sections.reference(cursor, "script", "pp_script"))
        first = False
    return tuple(name for name in names if name)


READERS: dict[str, Reader] = {
    **VALUE_READERS,
    "labelstr": _labelstr,
    "autolabel": _autolabel,
    "algo": _choice(
        "first firstfit largest largestfit smallest last",
        "FIRST, FIRSTFIT, LARGEST, LARGESTFIT, SMALLEST or LAST expected",
    ),
    "cache": _choice("none disk memory", "NONE, DISK or MEMORY expected"),
    "mailon": _choice("all strange error never", "ALL, STRANGE, ERROR or NEVER expected"),
    "encrypt": _choice("none client server", "NONE, CLIENT or SERVER expected"),
    "strategy": _choice("skip standard nofull noinc hanoi incronly", "dump strategy expected"),
    "prio": _choice("low medium high", "LOW, MEDIUM, HIGH or integer expected"),
    "dpath": _choice("amanda directtcp", "AMANDA or DIRECTTCP expected"),
    "where": _choice("client server", "CLIENT or SERVER expected"),
    "hostlim": _limits,
    "compress": _compress,
    "estimate": _estimates,
    "hold": _hold,
    "dumpsel": _dump_selection,
    "vault": _vault,
    "exinc": _exclusions,
    "execon": _execute_on,
    "taperscan": _reference("taperscan", "taperscan"),
    "interactivity": _reference("interactivity", "interactivity"),
    "policy": _reference("policy", "policy"),
    "application": _reference("application", "application"),
    "scripts": _scripts,
}
"""By the type names of ``grammar``; ``holdingdisk`` is a statement of its own."""
