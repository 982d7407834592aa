"""How a dump is undone of which no header can be read."""

from __future__ import annotations

from pathlib import Path

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from protocols.header import Header, HeaderType, build_header
from protocols.looks import Looks
from protocols.recovery.features import Features
from protocols.recovery.filters import undo_for
from taper.people.restore.inferring import (
    CONFIGURATION,
    DATA,
    NOTHING,
    StandIn,
    Unknowable,
    configured,
    infer,
)
from tests.people.nights import Nights

GZIP = ("/bin/gzip", "-dc")
BLANK = Header(
    type=HeaderType.DUMPFILE,
    datestamp="20260107000000",
    host="localhost",
    disk="/home",
    level=1,
)
TAR = evolve(BLANK, program="GNUTAR")
ZIPPED = evolve(TAR, comp_suffix=".gz")
CUSTOM = evolve(TAR, comp_suffix="cust", client_custom_compress="/opt/xz")
CRYPT = evolve(ZIPPED, encrypt_suffix="enc", server_encrypt="/bin/aes", server_decrypt_option="-x")
PGSQL = evolve(BLANK, program="APPLICATION", application="ampgsql")
DUMP = evolve(BLANK, program="DUMP")


def commands(header: Header) -> tuple[tuple[str, ...], ...]:
    return undo_for(header, Features(), "/bin/gzip").commands


def found(name: str) -> str | None:
    return f"/usr/bin/{name}"


@pytest.mark.parametrize(
    ("now", "looks", "undone", "by", "program", "who"),
    [
        # what can be seen is no more encrypted, nor compressed otherwise, than it looks
        (None, Looks("", "tar"), (), DATA, "GNUTAR", DATA),
        (CRYPT, Looks("", "tar"), (), DATA, "GNUTAR", CONFIGURATION),
        (TAR, Looks("gzip", "tar"), (GZIP,), DATA, "GNUTAR", CONFIGURATION),
        (CUSTOM, Looks("gzip", ""), (GZIP,), DATA, "GNUTAR", CONFIGURATION),
        (ZIPPED, Looks("zstd", ""), (("/usr/bin/zstd", "-d"),), DATA, "GNUTAR", CONFIGURATION),
        (None, Looks("bzip2", "tar"), (("/usr/bin/bzip2", "-d"),), DATA, "GNUTAR", DATA),
        (CUSTOM, Looks("xz", "tar"), (("/opt/xz", "-d"),), DATA, "GNUTAR", CONFIGURATION),
        (None, Looks("zstd", ""), (("/usr/bin/zstd", "-d"),), DATA, "GNUTAR", NOTHING),
        # what looks like nothing is as it is configured
        (TAR, Looks(), (), CONFIGURATION, "GNUTAR", CONFIGURATION),
        (CUSTOM, Looks(), (("/opt/xz", "-d"),), CONFIGURATION, "GNUTAR", CONFIGURATION),
        (CRYPT, Looks(), (("/bin/aes", "-x"), GZIP), CONFIGURATION, "GNUTAR", CONFIGURATION),
        # programs
        (PGSQL, Looks("gzip", "tar"), (GZIP,), DATA, "APPLICATION", CONFIGURATION),
        (DUMP, Looks("", "tar"), (), DATA, "GNUTAR", DATA),
        (DUMP, Looks("", "dump"), (), DATA, "DUMP", CONFIGURATION),
        (TAR, Looks("", "dump"), (), DATA, "DUMP", DATA),
        (ZIPPED, Looks("gzip", "xfsdump"), (GZIP,), DATA, "XFSDUMP", DATA),
        (None, Looks("", "xfsdump"), (), DATA, "XFSDUMP", DATA),
    ],
)
def test_what_is_known(
    now: Header | None,
    looks: Looks,
    undone: tuple[tuple[str, ...], ...],
    by: str,
    program: str,
    who: str,
) -> None:
    stand_in = infer(BLANK, now, looks, found)
    header = stand_in.header
    assert commands(header) == undone
    assert (stand_in.undoing, header.program, stand_in.program) == (by, program, who)
    assert (header.host, header.disk, header.level) == (BLANK.host, BLANK.disk, 1)
    named = {"/usr/bin/zstd", "/usr/bin/bzip2"} & {words[0] for words in undone}
    assert set(stand_in.ours) == named
    assert build_header(header, 32768, None), "it is one that could be written"
    assert ("as its data look" in stand_in.told) is (DATA in (by, who))
    assert ("as the configuration has it now" in stand_in.told) is (CONFIGURATION in (by, who))
    assert ("nothing tells who made it" in stand_in.told) is (who == NOTHING)


def test_what_is_told() -> None:
    stand_in = infer(BLANK, CRYPT, Looks(), found)
    assert stand_in.told == (
        "no header of it can be read. How it is undone was inferred: it is encrypted by /bin/aes "
        "and compressed by gzip, as the configuration has it now; made by GNUTAR, as the "
        "configuration has it now"
    )
    copied = StandIn(header=TAR, undoing="copy", program="copy", copy="D", where="D1 of storage D")
    assert (
        copied.told
        == "no header of it can be read; that of its copy on D1 of storage D is the same"
    )


def test_what_cannot_be_known() -> None:
    with pytest.raises(Unknowable, match="look like nothing known, and the disk is not in"):
        infer(BLANK, None, Looks(), found)
    for now in (None, ZIPPED):
        with pytest.raises(Unknowable, match="look like zstd, and there is no such program here"):
            infer(BLANK, now, Looks("zstd"), lambda name: None)


@given(
    st.sampled_from([None, TAR, ZIPPED, CUSTOM, CRYPT, PGSQL, DUMP]),
    st.sampled_from(["", "gzip", "bzip2", "xz", "zstd"]),
    st.sampled_from(["", "tar", "dump", "xfsdump"]),
)
def test_nothing_is_run_that_nobody_named(
    now: Header | None, compressed: str, archive: str
) -> None:
    """A program is this host's own, or the configuration's, option and all."""
    try:
        stand_in = infer(BLANK, now, Looks(compressed, archive), found)
    except Unknowable:
        assert (now, compressed, archive) == (None, "", "")
        return
    known = () if now is None else commands(now)
    for words in commands(stand_in.header):
        assert words in known or words == GZIP or words == (found(compressed), "-d")


@pytest.mark.parametrize(
    ("dumptype", "undone", "program"),
    [
        ('program "GNUTAR"', (GZIP,), "GNUTAR"),
        ('program "GNUTAR"\ncompress none', (), "GNUTAR"),
        ('program "GNUTAR"\ncompress server best', (GZIP,), "GNUTAR"),
        (
            'compress server custom\nserver_custom_compress "/bin/pack"',
            (("/bin/pack", "-d"),),
            "DUMP",
        ),
        (
            'compress client custom\nclient_custom_compress "/bin/pack"\n'
            'encrypt client\nclient_encrypt "/bin/hide"\nclient_decrypt_option "-show"',
            (("/bin/hide", "-show"), ("/bin/pack", "-d")),
            "DUMP",
        ),
        (
            'encrypt server\nserver_encrypt "/bin/hide"\ncompress none\napplication "db"',
            (("/bin/hide", "-d"),),
            "APPLICATION",
        ),
        ('application "gone"', None, ""),
    ],
)
def test_what_the_configuration_has(
    tmp_path: Path, dumptype: str, undone: tuple[tuple[str, ...], ...] | None, program: str
) -> None:
    nights = Nights(tmp_path).make()
    nights.configure(
        more='define application db {\nplugin "ampgsql"\n}\n'
        f"define dumptype its {{\n{dumptype}\n}}\n"
        if "gone" not in dumptype
        else ""
    )
    (tmp_path / "etc/C/disklist").write_text("localhost /home its\nelse /home its\n")
    header = configured(nights.config(), BLANK)
    if undone is None:
        assert header is None
        return
    assert header is not None
    assert (commands(header), header.program) == (undone, program)
    assert header.application == ("ampgsql" if program == "APPLICATION" else "")
    assert "<disk>/home</disk>" in header.dle
    assert build_header(header, 32768, None)
    assert configured(nights.config(), evolve(BLANK, disk="/other")) is None
