"""Reading a configuration: its files in order, and the overrides [config 1.1, 1.9]."""

from collections.abc import Callable, Sequence

from protocols.conf.config import Loaded
from protocols.conf.cursor import Cursor, Refused
from protocols.conf.derive import derive, make_implicit
from protocols.conf.draft import Draft, Drafts
from protocols.conf.grammar import GLOBAL, KIND_ALIASES, SECTIONS, Table
from protocols.conf.lexer import END, STRING
from protocols.conf.parser import Parser
from protocols.conf.values import Version, fold
from protocols.installation import DEBIAN, Installation

MAX_FILE = 16 * 1024 * 1024
"""Bytes of one file."""
MAX_DEPTH = 20
"""Files that include one another."""
MAX_FILES = 1000
"""Files in all."""

Read = Callable[[str], bytes | None]

_MISSING = "No such file or directory"
_NAMES = ("name", "taperscan", "interactivity", "policy", "application")
"""Types of which an override may have quotes: from 3.5.2 on it needs them, unless it is a word."""
_LITERAL = (
    "str",
    "intstr",
    *_NAMES,
)
"""Types whose override is taken as it is, without quotes."""


def load(
    name: str,
    read: Read,
    *,
    overrides: Sequence[str] = (),
    config_root: str = DEBIAN.config_dir,
    cwd: str | None = None,
    amanda_version: Callable[[], Version | None] = lambda: None,
    installation: Installation = DEBIAN,
) -> Loaded:
    """Read the configuration ``name``.

    :param read: gives the bytes of the file at an absolute path, or None if there is none; may
        raise OSError, which is reported in the messages. Nothing else is asked of the system.
    :param overrides: the ``-o`` options, each ``KEY=VALUE``.
    :param config_root: where the global file and the config directories are.
    :param cwd: the directory that the name ``.`` means.
    :param amanda_version: of the programs that read the configuration besides us, None if it is not
        known. It is asked for only if a word means something else before and after a version.
    :param installation: its build knows the defaults of some parameters.
    :return: the configuration and all messages. It never raises: what is wrong with the files
        or the overrides is in the messages.
    """
    directory = f"{config_root}/{name}"
    local = name == "." and cwd is not None
    if local and cwd is not None:
        directory = cwd
        name = cwd.rstrip("/").rpartition("/")[2]
    loader = _Loader(read, overrides, amanda_version)
    loader.file(f"{config_root}/amanda.conf", config_root, optional=True)
    loader.file(f"{directory}/amanda.conf", directory, optional=local)
    loader.override_globals()
    for implicit in make_implicit(loader.drafts, name):
        loader.finish(implicit)
    loader.override_rest()
    config = derive(loader.drafts, name, directory, installation)
    return Loaded(config, tuple(loader.drafts.messages))


class _Override:
    """One ``-o`` option: ``kind`` and ``section`` are empty for a global parameter."""

    def __init__(self, key: str, text: str) -> None:
        self.key = key
        self.text = text
        kind, _, rest = key.partition(":")
        self.section, _, keyword = rest.rpartition(":")
        self.kind, self.keyword = fold(kind), fold(keyword)
        self.kind = KIND_ALIASES.get(self.kind, self.kind)
        self.used = False
        if ":" not in key:
            self.kind, self.keyword = "", fold(key)

    def table(self) -> Table:
        """The parameters that it may mean."""
        return SECTIONS.get(self.kind, {}) if self.kind else GLOBAL


class _Loader:
    """Files, includes and overrides, read into drafts; the surroundings of every parser."""

    def __init__(
        self,
        read: Read,
        overrides: Sequence[str],
        amanda_version: Callable[[], Version | None],
    ) -> None:
        self.drafts = Drafts()
        self._read = read
        self._amanda_version = amanda_version
        self._directory = ""
        self._open: list[str] = []
        self._files = 0
        self._overrides: list[_Override] = []
        for text in overrides:
            key, equals, value = text.partition("=")
            if equals:
                self._overrides.append(_Override(key, value))
            else:
                self.drafts.error(f"Must specify a value for {key}.")

    def file(self, path: str, directory: str, *, optional: bool) -> None:
        """Read a main file. ``directory`` is what names in it are relative to."""
        self._directory = directory
        try:
            data = self._data(path)
        except Refused as refused:
            if not (optional and str(refused).endswith(_MISSING)):
                self.drafts.error(f"parse error: {refused}")
            return
        self._parse(path, data)

    def include(self, name: str, line: int) -> None:
        """See ``parser.IncludeHost``."""
        path = name if name.startswith("/") else f"{self._directory}/{name}"
        if path in self._open:
            raise Refused(f"includefile '{name}' includes itself")
        if len(self._open) >= MAX_DEPTH:
            raise Refused(f"includefile '{name}': more than {MAX_DEPTH} files include one another")
        try:
            data = self._data(path)
        except Refused as refused:
            # Stock names the file that is missing, not the one that wants it.
            place = f"'{path}', line {line}:"
            if isinstance(refused.__cause__, IsADirectoryError):
                self.drafts.warning(f"{place} warning: it is a directory, and includes nothing")
            else:
                self.drafts.error(f"{place} {refused}")
            return
        self._parse(path, data)

    def _data(self, path: str) -> bytes:
        self._files += 1
        if self._files > MAX_FILES:
            raise Refused(f"could not open conf file '{path}': more than {MAX_FILES} files")
        try:
            data = self._read(path)
        except (OSError, ValueError) as error:  # ValueError: a NUL in the path
            reason = error.strerror if isinstance(error, OSError) else None
            raise Refused(f"could not open conf file '{path}': {reason or error}") from error
        if data is None:
            raise Refused(f"could not open conf file '{path}': {_MISSING}")
        if len(data) > MAX_FILE:
            raise Refused(f"could not read conf file '{path}': over {MAX_FILE} bytes")
        return data

    def _parse(self, path: str, data: bytes) -> None:
        cursor = Cursor.over(data.decode("utf-8", "surrogateescape"))
        self._open.append(path)
        Parser(cursor, self.drafts, self, place=path, argument=False).statements()
        self._open.pop()

    def directory_error(self, path: str) -> str | None:
        """See ``parser.IncludeHost``. Reading a directory fails in a way that tells it is one."""
        try:
            data = self._read(path)
        except IsADirectoryError:
            return None
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else None
            return f"invalid TMPDIR: directory '{path}': {reason or error}."
        if data is None:
            return f"invalid TMPDIR: directory '{path}': {_MISSING}."
        return f"invalid TMPDIR: '{path}' is not a directory."

    def is_older_than(self, version: Version) -> bool:
        """See ``parser.IncludeHost``."""
        found = self._amanda_version()
        return found is not None and found < version

    # Overrides

    def finish(self, draft: Draft) -> None:
        """See ``parser.IncludeHost``. Each override is applied to its section once."""
        for override in self._overrides:
            if override.kind == draft.kind and override.section.lower() == draft.name.lower():
                self._apply(override, draft)
        blocksize = draft.values.get("blocksize", 0)
        if draft.values.get("readblocksize", blocksize) < blocksize:
            del draft.values["readblocksize"]  # raised to the block size later: not a setting

    def override_globals(self) -> None:
        """Apply the overrides of global parameters."""
        for override in self._overrides:
            if not override.kind and override.keyword in GLOBAL:
                self._apply(override, self.drafts.general)

    def override_rest(self) -> None:
        """Apply the overrides of sections that no file defines, and report those of nothing."""
        for override in self._overrides:
            draft = self.drafts.find(override.kind, override.section) if override.kind else None
            if draft is not None and not override.used:
                self._apply(override, draft)
            if not override.used:
                self.drafts.error(f"parse error: unknown parameter '{override.key}'")

    def _apply(self, override: _Override, draft: Draft) -> None:
        table = override.table()
        if override.used or override.keyword not in table:
            return
        override.used = True
        type_ = table[override.keyword][0]
        draft.overridden.add(override.keyword)
        text = override.text
        if type_ in _LITERAL and not (type_ in _NAMES and text.startswith('"')):
            cursor = Cursor([(STRING, text, 1), (END, "", 1)])
            text = f'"{text}"'
        else:
            cursor = Cursor.over(text)
        parser = Parser(cursor, self.drafts, self, place=text, argument=True)
        try:
            if type_ == "holdingdisk":
                self.drafts.used_holding.clear()
                parser.use_holdingdisks(parser.more_holdingdisks())
            else:
                parser.parameter(draft, table, override.keyword)
        except Refused as refused:
            parser.report(refused, 1)
