"""How a dump is undone of which no header can be read: by what the configuration has now, and by
what its data look like."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from attrs import evolve, frozen

from taper.core.errors import SourceFault
from taper.flow.made_header import described
from taper.people.restore.trust import is_tar, of_disk
from taper.people.telling import printable

if TYPE_CHECKING:
    from protocols.conf import Config
    from protocols.conf.sections import Dumptype
    from protocols.header import Header
    from protocols.looks import Looks

COPY, CONFIGURATION, DATA, NOTHING = "copy", "configuration", "data", "nothing"
"""What tells of something."""

_UNFILTERED = {
    "comp_suffix": "",
    "encrypt_suffix": "",
    "server_custom_compress": "",
    "client_custom_compress": "",
    "server_encrypt": "",
    "client_encrypt": "",
    "server_decrypt_option": "",
    "client_decrypt_option": "",
}
_PROGRAMS = {"tar": "GNUTAR", "dump": "DUMP", "xfsdump": "XFSDUMP"}
"""What makes an archive, as headers name it."""


class Unknowable(Exception):
    """Nothing tells how a dump is undone; the text says what was looked at."""

    taper_code = 7013


@frozen(kw_only=True)
class StandIn:
    """What is taken for the header of a dump.

    :ivar undoing: what tells how it is decrypted and decompressed; one of the words above.
    :ivar program: what tells who has made it, likewise.
    :ivar copy: the storage of the copy that has this header; empty: it is none's.
    :ivar where: that copy, for people.
    :ivar looks: what its data look like; None: nobody looked.
    :ivar ours: programs that were not named by anybody, but chosen here.
    """

    header: Header
    undoing: str
    program: str
    copy: str = ""
    where: str = ""
    looks: Looks | None = None
    ours: tuple[str, ...] = ()

    @property
    def guessed(self) -> bool:
        """Nothing of the dump itself tells how it is undone."""
        return self.undoing == CONFIGURATION

    @property
    def told(self) -> str:
        """All of it, for people."""
        if self.copy:
            return f"no header of it can be read; that of its copy on {self.where} is the same"
        return (
            f"no header of it can be read. How it is undone was inferred: {self._undoing}; "
            f"{self._program}"
        )

    @property
    def _undoing(self) -> str:
        if self.undoing == DATA:
            packed = None if self.looks is None else self.looks.compressed
            state = f"compressed by {packed}" if packed else "neither compressed nor encrypted"
            return f"it is {state}, as its data look"
        header = self.header
        what = []
        if header.encrypt_suffix:
            program = header.server_encrypt or header.client_encrypt
            what.append(f"encrypted by {printable(program)}")
        if header.comp_suffix:
            program = header.server_custom_compress or header.client_custom_compress or "gzip"
            what.append(f"compressed by {printable(program)}")
        told = " and ".join(what) or "neither compressed nor encrypted"
        return f"it is {told}, as the configuration has it now"

    @property
    def _program(self) -> str:
        name = printable(self.header.application or self.header.program)
        return {
            CONFIGURATION: f"made by {name}, as the configuration has it now",
            DATA: f"made by {name}, as its data look",
        }.get(self.program, f"nothing tells who made it, and it is taken for a dump of {name}")


def configured(config: Config, blank: Header) -> Header | None:
    """The header that a dump would have that is made now; None: the configuration has no such disk.
    Blocks.

    :param blank: names host, disk, datestamp and level
    """
    for entry, its, dumptype in of_disk(config, blank.host, blank.disk):
        try:
            return _filtered(described(blank, entry, its, dumptype), dumptype)
        except SourceFault:
            return None  # nobody could make one
    return None


def _filtered(header: Header, dumptype: Dumptype) -> Header:
    """With what a dumper writes of the programs that compress and encrypt."""
    fields: dict[str, str] = {}
    where, _, how = dumptype.compress.partition(" ")
    if how == "custom":
        name = f"{where}_custom_compress"
        fields |= {"comp_suffix": "cust", name: getattr(dumptype, name)}
    elif how:
        fields["comp_suffix"] = ".gz"
    if dumptype.encrypt != "none":
        names = (f"{dumptype.encrypt}_encrypt", f"{dumptype.encrypt}_decrypt_option")
        fields["encrypt_suffix"] = "enc"
        fields |= {name: getattr(dumptype, name) for name in names}
    return evolve(header, **fields)  # type: ignore[arg-type]


def infer(
    blank: Header, now: Header | None, looks: Looks, find: Callable[[str], str | None]
) -> StandIn:
    """Put together what is known. What the data look like counts for more than what the
    configuration has, which may have been another one.

    :param blank: names host, disk, datestamp and level
    :param now: from :func:`configured`
    :param find: the path of a program; None: this host has none
    :raise Unknowable: that is not enough
    """
    if looks.compressed or looks.archive:
        undoing, header = DATA, evolve(now or blank, **_UNFILTERED)  # type: ignore[arg-type]
        header, ours = _unpacked_by(header, now, looks.compressed, find)
    elif now is None:
        raise Unknowable("its data look like nothing known, and the disk is not in the disklist")
    else:
        undoing, header, ours = CONFIGURATION, now, ()
    program = _who(now, looks.archive)
    if program != CONFIGURATION:
        name = _PROGRAMS[looks.archive or "tar"]
        header = evolve(header, program=name, application="", recover_cmd="", dle="")
    return StandIn(header=header, undoing=undoing, program=program, looks=looks, ours=ours)


def _unpacked_by(
    header: Header, now: Header | None, packed: str, find: Callable[[str], str | None]
) -> tuple[Header, tuple[str, ...]]:
    """:return: the header that names what decompresses, and what nobody else has named of it"""
    if not packed:
        return header, ()
    if packed == "gzip":
        return evolve(header, comp_suffix=".gz"), ()
    custom = "" if now is None else now.server_custom_compress or now.client_custom_compress
    if custom.rpartition("/")[2] == packed:
        return evolve(header, comp_suffix="cust", server_custom_compress=custom), ()
    path = find(packed)
    if path is None:
        raise Unknowable(f"its data look like {packed}, and there is no such program here")
    return evolve(header, comp_suffix="cust", server_custom_compress=path), (path,)


def _who(now: Header | None, archive: str) -> str:
    """What tells which program has made it."""
    if not archive:
        return NOTHING if now is None else CONFIGURATION
    if now is None:
        return DATA
    if archive == "tar":  # applications of other names make such archives, too
        fits = is_tar(now) or now.program == "APPLICATION"
    else:
        fits = not is_tar(now)
    return CONFIGURATION if fits else DATA
