"""Where an installation of Amanda keeps things, and the record of that [amanda-3.5.4 13].

The record is one JSON object, whose names are those that ``amgetconf build.NAME`` and Amanda's own
``Amanda::Paths`` use. Half of one is no JSON, so it cannot be taken for a whole one.
"""

from __future__ import annotations

import json

from protocols.records import Record

LONGEST = 1 << 16
"""Bytes of a record; a real one has less than one KiB."""

_USERS = ("client_login",)
_TEXTS = ("logdir", "mailer")
_MAY_BE_EMPTY = ("amperldir", "kept", "kept_amidxtaped")
_MAY_BE_MISSING = ("uncompress_path", "kept_amidxtaped")
"""What an earlier release of ours did not record."""


class InstallationError(ValueError):
    """This is no record; the text says what is wrong with it, without a name."""

    taper_code = 8007


class Installation(Record, kw_only=True):
    """Directories, programs and user of an installation; the defaults are Debian's [config 0].

    :ivar amgetconf: the program that was asked
    :ivar client_login: the user that Amanda was built for; a configuration's ``dumpuser`` may name
        another
    :ivar amlibexecdir: has the driver, and the taper that it starts
    :ivar application_dir: where the client looks for applications
    :ivar amperldir: has Amanda's Perl library; empty if it is not known
    :ivar config_dir: holds one directory per configuration
    :ivar amanda_tmpdir: status files, lists
    :ivar amanda_dbgdir: debug logs
    :ivar localstatedir: changer states that no configuration places elsewhere are in ``amanda``
        below it
    :ivar gnutar_listed_incremental_dir: states of incremental dumps
    :ivar logdir: of a configuration that names none; may be relative to it
    :ivar mailer: likewise; may be empty
    :ivar uncompress_path: the program that undoes compression that no other program did
    :ivar kept: Amanda's own taper, put aside by us without the help of a package manager; empty if
        there is none
    :ivar kept_amidxtaped: her own amidxtaped, likewise
    """

    amgetconf: str = "/usr/sbin/amgetconf"
    client_login: str = "backup"
    amlibexecdir: str = "/usr/lib/amanda"
    application_dir: str = "/usr/lib/amanda/application"
    amperldir: str = ""
    config_dir: str = "/etc/amanda"
    amanda_tmpdir: str = "/tmp/amanda"
    amanda_dbgdir: str = "/var/log/amanda"
    localstatedir: str = "/var/lib"
    gnutar_listed_incremental_dir: str = "/var/lib/amanda/gnutar-lists"
    logdir: str = "/etc/amanda"
    mailer: str = "/usr/bin/mail"
    uncompress_path: str = "/bin/gzip"
    kept: str = ""
    kept_amidxtaped: str = ""

    @property
    def taper(self) -> str:
        """What the driver starts."""
        return f"{self.amlibexecdir}/taper"

    @property
    def amidxtaped(self) -> str:
        """What amandad starts for amrecover."""
        return f"{self.amlibexecdir}/amidxtaped"

    @property
    def runtar(self) -> str:
        """The setuid program that runs tar."""
        return f"{self.amlibexecdir}/runtar"

    @property
    def statedir(self) -> str:
        """Changer states."""
        return f"{self.localstatedir}/amanda"

    def values(self) -> dict[str, str]:
        """Everything by name."""
        return {name: getattr(self, name) for name in self.fields}


DEBIAN = Installation()


def check(name: str, value: object) -> str:
    """A value, if it can be one of that name.

    :raise InstallationError: it cannot
    """
    if not isinstance(value, str):
        raise InstallationError(f"{name} is {value!r}, expected a text")
    if not value.isprintable():
        raise InstallationError(f"{name} is {value!r}, which is more than one printable line")
    if not value and name in _MAY_BE_EMPTY:
        return value
    if name in _TEXTS:
        return value
    if name in _USERS:
        if not value or "/" in value:
            raise InstallationError(f"{name} is {value!r}, expected the name of a user")
    elif not value.startswith("/"):
        raise InstallationError(f"{name} is {value!r}, expected an absolute path")
    return value


def parse(data: bytes) -> Installation:
    """Read a record. Names that we do not know, as of a later release, are passed over.

    :raise InstallationError: it is none, lacks something, or has values that cannot be right
    """
    if len(data) > LONGEST:
        raise InstallationError(f"it is longer than {LONGEST} bytes")
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        raise InstallationError("it is damaged, or only half is there") from None
    if not isinstance(found, dict):
        raise InstallationError("it is damaged")
    values = {}
    for name in Installation.fields:
        if name not in found:
            if name in _MAY_BE_MISSING:
                continue
            raise InstallationError(f"{name} is missing")
        values[name] = check(name, found[name])
    return Installation(**values)


def render(installation: Installation) -> bytes:
    """The record, as :func:`parse` reads it."""
    return f"{json.dumps(installation.values(), indent=1)}\n".encode("ascii")
