"""What Amanda's client asks of a DirectTCP application, and what it is told: words, not deeds.

One command per process: ``support``, ``selfcheck``, ``estimate``, ``backup``, ``restore``,
``validate``, ``index``. Everything is in the command line; properties of the dumptype's
application are options of that name [ndmp 1.8, 7].
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from attrs import evolve, field, fields, frozen

from protocols.directtcp import Address, AddressError, parse_list
from protocols.installation import DEBIAN, Installation

COMMANDS = {
    "support": "say what it can do",
    "selfcheck": "see whether a disk can be dumped",
    "estimate": "say how large dumps of a disk would be",
    "backup": "dump a disk",
    "restore": "unpack a dump that comes on standard input, or by DirectTCP",
    "validate": "read such a dump to its end, and unpack nothing",
    "index": "list what is in such a dump",
}
"""What each does."""

SUPPORT = (
    "CONFIG YES",
    "HOST YES",
    "DISK YES",
    "MAX-LEVEL 399",
    "INDEX-LINE YES",
    "INDEX-XML NO",
    "MESSAGE-LINE YES",
    "MESSAGE-XML NO",
    "RECORD YES",
    "INCLUDE-FILE YES",
    "INCLUDE-LIST YES",
    "INCLUDE-LIST-GLOB YES",
    "INCLUDE-OPTIONAL YES",
    "EXCLUDE-FILE YES",
    "EXCLUDE-LIST YES",
    "EXCLUDE-LIST-GLOB YES",
    "EXCLUDE-OPTIONAL YES",
    "COLLECTION NO",
    "MULTI-ESTIMATE YES",
    "CALCSIZE NO",
    "CLIENT-ESTIMATE YES",
    "DATA-PATH AMANDA",
    "DATA-PATH DIRECTTCP",
)
"""Lines of the answer to ``support``."""

MAX_LEVEL = 399
_MAX_SECONDS = 7 * 24 * 3600
_MAX_BLOCKING = 1 << 16
_MAX_WINDOW = 1 << 16
_MAX_SPOOL = 1 << 24
_YES = frozenset({"yes", "y", "true", "t", "on", "1"})
_NO = frozenset({"no", "n", "false", "f", "off", "0"})
_FLAGS = frozenset({"record", "calcsize"})
"""Options without a value."""

_UNUSED = frozenset(
    {
        "amfeatures",
        "calcsize",
        "collection",
        "dar",
        "execute-where",
        "message",
        "prefix",
        "recover-dump-state-file",
        "recover-mode",
        "recover-path",
        "server-backup-result",
        "state-stream",
        "timestamp",
        "verbose",
    }
)
"""Options of Amanda that change nothing here."""


OPTIONS = {
    "config": "name of the configuration",
    "host": "whose disk it is",
    "disk": "as the disklist names it",
    "device": "the directory to dump",
    "level": "of the dump; for estimates it may be given several times",
    "index": "whether to list what is dumped: line, or no",
    "record": "let later dumps build on this one",
    "data-path": "amanda or directtcp",
    "direct-tcp": "addresses for the data connection",
    "target": "the directory to restore into",
    "include-file": "a pattern of what to dump or restore",
    "include-list": "a file with such patterns",
    "include-list-glob": "a file with patterns, also where such files have names",
    "include-optional": "whether such a file may be missing",
    "exclude-file": "a pattern of what not to dump or restore",
    "exclude-list": "a file with such patterns",
    "exclude-list-glob": "a file with patterns, also where such files have names",
    "exclude-optional": "whether such a file may be missing",
}
"""What is asked for; besides these there are :data:`PROPERTIES`."""


class RequestError(ValueError):
    """The command line is wrong; the text names the option, its value and what was expected."""

    taper_code = 1001


@frozen(kw_only=True)
class Selection:
    """What of the disk is meant: patterns, and files that hold patterns, one per line.

    :ivar globs: files whose lines are patterns also when restoring, where ``lists`` are names
    :ivar optional: a list that is missing is no cause for alarm
    """

    files: tuple[str, ...] = ()
    lists: tuple[str, ...] = ()
    globs: tuple[str, ...] = ()
    optional: bool = False

    @property
    def given(self) -> bool:
        return bool(self.files or self.lists or self.globs)


@frozen(kw_only=True)
class Properties:
    """The properties, by the names of GNU tar's usual application where it has them.

    :ivar tar_blocksize: blocks of 512 bytes per record of the archive; None: tar's own
    :ivar exit_handling: exit status of tar to whether it is good
    :ivar crc: tell the CRC of what went to a data connection
    :ivar connect_timeout: seconds for all addresses together
    :ivar answer_timeout: seconds for the answer behind an IndirectTCP address
    :ivar close_timeout: seconds for the receiver to end its side too, which proves that it read all
    :ivar rendezvous: the address of a dump is a rendezvous with the taper, not a data connection
    :ivar rendezvous_key_file: what both ends know; None: not told
    :ivar rendezvous_tls_ca: who may vouch for the taper, in PEM; None: no TLS
    :ivar rendezvous_patience: seconds for a rendezvous that broke to come about again
    :ivar rendezvous_window: MiB of memory for what may have to be sent again
    :ivar rendezvous_spool: directory for more of it; None: memory only
    :ivar rendezvous_spool_size: MiB that may lie there
    """

    gnutar_path: str | None = None
    gnutar_listdir: str = DEBIAN.gnutar_listed_incremental_dir
    runtar_path: str = DEBIAN.runtar
    directory: str | None = None
    one_file_system: bool = True
    sparse: bool = True
    atime_preserve: bool = True
    check_device: bool = True
    no_unquote: bool = False
    acls: bool = False
    selinux: bool = False
    xattrs: bool = False
    ignore_zeros: bool = True
    crc: bool = False
    tar_blocksize: int | None = None
    connect_timeout: int = 60
    answer_timeout: int = 1800
    close_timeout: int = 10
    rendezvous: bool = False
    rendezvous_key_file: str | None = None
    rendezvous_tls_ca: str | None = None
    rendezvous_patience: int = 300
    rendezvous_window: int = 16
    rendezvous_spool: str | None = None
    rendezvous_spool_size: int = 1024
    command_options: tuple[str, ...] = ()
    exit_handling: Mapping[int, bool] = field(factory=dict)
    normal: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    strange: tuple[str, ...] = ()


PROPERTIES = tuple(one.name.replace("_", "-") for one in fields(Properties))
"""Names of those of the dumptype's application, as options."""


@frozen(kw_only=True)
class Request:
    """One call of the application.

    :ivar levels: what to estimate, or the one level to dump
    :ivar direct: data path DIRECTTCP
    :ivar addresses: where the data connection is to be made
    :ivar target: directory to restore into
    :ivar names: what to restore; none: everything
    :ivar unknown: names of options that nobody knows
    """

    command: str
    config: str = "NOCONFIG"
    host: str = "localhost"
    disk: str | None = None
    device: str | None = None
    levels: tuple[int, ...] = ()
    index: bool = False
    record: bool = False
    direct: bool = False
    addresses: tuple[Address, ...] = ()
    target: str | None = None
    include: Selection = Selection()
    exclude: Selection = Selection()
    properties: Properties = Properties()
    names: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()

    @property
    def directory(self) -> str:
        """What is dumped.

        :raise RequestError: nothing is named
        """
        found = self.properties.directory or self.device
        if found is None:
            raise RequestError("no device was named, --device is needed")
        return found

    @property
    def level(self) -> int:
        """:raise RequestError: not exactly one level was named"""
        if len(self.levels) != 1:
            raise RequestError(f"{len(self.levels)} levels were named, one is needed")
        return self.levels[0]


def parse_request(arguments: Sequence[str], installation: Installation = DEBIAN) -> Request:
    """Read the command line, without the program's name.

    Options are ``--name value`` or ``--name=value``, in any case, with ``-`` or ``_``.

    :param installation: knows the defaults of some properties

    :raise RequestError: it cannot be understood
    """
    words: list[str] = []
    options: dict[str, list[str]] = {}
    for name, value in _pairs(arguments):
        if name:
            options.setdefault(name, []).append(value)
        else:
            words.append(value)
    if not words:
        raise RequestError(f"no command was given, expected one of {', '.join(COMMANDS)}")
    command, *names = words
    if command not in COMMANDS:
        raise RequestError(f"unknown command {command!r}, expected one of {', '.join(COMMANDS)}")
    return _build(
        Request(
            command=command,
            names=tuple(names),
            properties=Properties(
                gnutar_listdir=installation.gnutar_listed_incremental_dir,
                runtar_path=installation.runtar,
            ),
        ),
        options,
    )


def _pairs(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Name and value of each option; words that are none with an empty name."""
    rest = iter(arguments)
    for word in rest:
        if word == "--":
            yield from (("", other) for other in rest)
        elif not word.startswith("--"):
            yield "", word
        else:
            name, equals, value = word[2:].partition("=")
            name = name.lower().replace("_", "-")
            if not equals:
                value = "YES" if name in _FLAGS else _value(name, rest)
            yield name, value


def _value(name: str, rest: Iterator[str]) -> str:
    for value in rest:
        return value
    raise RequestError(f"option --{name} has no value")


def _build(request: Request, options: dict[str, list[str]]) -> Request:
    def last(name: str) -> str | None:
        return options.pop(name, [None])[-1]

    disk, device = last("disk"), last("device")
    target = last("target")
    return evolve(
        request,
        config=last("config") or request.config,
        host=last("host") or request.host,
        disk=disk if disk is not None else device,
        device=device if device is not None else disk,
        levels=tuple(_number("level", text, MAX_LEVEL) for text in options.pop("level", [])),
        index=(last("index") or "no").lower() not in _NO,
        record=_boolean("record", last("record") or "no"),
        direct=_data_path(last("data-path")),
        addresses=_addresses(options.pop("direct-tcp", [])),
        target=target,
        include=_selection("include", options),
        exclude=_selection("exclude", options),
        properties=_properties(request.properties, options),
        unknown=tuple(name for name in options if name not in _UNUSED),
    )


def _data_path(text: str | None) -> bool:
    if text is None or text.lower() == "amanda":
        return False
    if text.lower() == "directtcp":
        return True
    raise RequestError(f"--data-path {text!r}: expected amanda or directtcp")


def _addresses(texts: list[str]) -> tuple[Address, ...]:
    try:
        return parse_list(" ".join(texts))
    except AddressError as error:
        raise RequestError(f"--direct-tcp: {error}") from None


def _selection(kind: str, options: dict[str, list[str]]) -> Selection:
    def all_of(what: str) -> tuple[str, ...]:
        return tuple(options.pop(f"{kind}-{what}", []))

    optional = options.pop(f"{kind}-optional", ["no"])[-1]
    return Selection(
        files=all_of("file"),
        lists=all_of("list"),
        globs=all_of("list-glob"),
        optional=_boolean(f"{kind}-optional", optional),
    )


def _properties(usual: Properties, options: dict[str, list[str]]) -> Properties:
    found: dict[str, Any] = {}
    limits = {
        "tar_blocksize": _MAX_BLOCKING,
        "rendezvous_window": _MAX_WINDOW,
        "rendezvous_spool_size": _MAX_SPOOL,
    }
    for name in [name for name in options if hasattr(usual, name.replace("-", "_"))]:
        values = options.pop(name)
        key = name.replace("-", "_")
        default = getattr(usual, key)
        if key == "exit_handling":
            found[key] = _exit_handling(" ".join(values))
        elif isinstance(default, tuple):
            found[key] = tuple(values)
        elif isinstance(default, bool):
            found[key] = _boolean(name, values[-1])
        elif isinstance(default, int) or key in limits:
            found[key] = _number(name, values[-1], limits.get(key, _MAX_SECONDS), least=1)
        else:
            found[key] = values[-1]
    return evolve(usual, **found)


def _exit_handling(text: str) -> dict[int, bool]:
    """``1=GOOD 2=BAD``."""
    found = {}
    for word in text.split():
        status, _, verdict = word.partition("=")
        if verdict.upper() not in ("GOOD", "BAD"):
            raise RequestError(f"--exit-handling {word!r}: expected STATUS=GOOD or STATUS=BAD")
        found[_number("exit-handling", status, 255)] = verdict.upper() == "GOOD"
    return found


def _boolean(name: str, text: str) -> bool:
    if text.lower() in _YES:
        return True
    if text.lower() in _NO:
        return False
    raise RequestError(f"--{name} {text!r}: expected YES or NO")


def _number(name: str, text: str, most: int, least: int = 0) -> int:
    if text.isascii() and text.isdigit() and len(text) < 10 and least <= int(text) <= most:
        return int(text)
    raise RequestError(f"--{name} {text!r}: expected a number from {least} to {most}")


def one_line(text: str) -> str:
    """The text as it can stand between the brackets of an error line."""
    return " ".join(text.split()).replace("[", "(").replace("]", ")")
