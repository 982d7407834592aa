"""Where the dump lies that is asked for, and who may have it."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from protocols.conf.config import Config
from protocols.conf.sections import Dumptype, Holdingdisk
from protocols.crc import Crc
from protocols.header import Header, HeaderType, build_header
from protocols.recovery.request import Place, Request
from taper.recovery.catalog import check_limit, find_listed, read_holding
from taper.recovery.errors import RecoveryFailed
from tests.fakes.config import make_config

STAMP = "20260101000000"
LOG = f"""\
START taper datestamp {STAMP} "ST:near" "POOL:near" label D01 tape 1
PART taper "ST:near" "POOL:near" D01 1 localhost /other {STAMP} 1/-1 0 [sec 1 bytes 9 kps 1]
DONE taper "ST:near" "POOL:near" localhost /other {STAMP} 1 0 1:1 2:2 3:9 [sec 1 bytes 9 kps 1]
PART taper "ST:near" "POOL:near" D01 2 localhost /srv {STAMP} 1/-1 0 [sec 1 bytes 10 kps 1]
START taper datestamp {STAMP} "ST:near" "POOL:near" label D02 tape 2
PART taper "ST:near" "POOL:near" D02 1 localhost /srv {STAMP} 2/-1 0 [sec 1 bytes 11 kps 1]
DONE taper "ST:near" "POOL:near" localhost /srv {STAMP} 2 0 a:21 b:21 c:21 [sec 1 bytes 21 kps 1]
"""
ASKED = Request(
    config="C",
    places=(Place("near", "D01", (2,)), Place("near", "D02", (1,))),
    host="^localhost$",
    disk="^/srv$",
    datestamp=STAMP,
)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / f"log.{STAMP}.0").write_text(LOG)
    (tmp_path / "tapelist").write_text(f"{STAMP} D02 reuse\n{STAMP} D01 reuse\n")
    disklist = 'here /srv {\n recovery-limit same-host "^backup.*$"\n}\nhere /home open\n'
    (tmp_path / "disklist").write_text(disklist)
    (tmp_path / "amanda.conf").write_text("")
    (tmp_path / "hold" / STAMP).mkdir(parents=True)
    return make_config(
        Dumptype("open"),
        Holdingdisk("hd", directory=str(tmp_path / "hold")),
        directory=str(tmp_path),
        tapelist="tapelist",
        logdir="log",
        diskfile="disklist",
        holdingdisk=("hd",),
    )


def test_the_dump_that_is_listed(config: Config) -> None:
    dump = find_listed(config, ASKED)
    assert (dump.name.storage, dump.name.disk, dump.name.level) == ("near", "/srv", "0")
    assert [(part.label, part.fileno, part.size) for part in dump.parts] == [
        ("D01", 2, 10),
        ("D02", 1, 11),
    ]
    assert (dump.native_crc, dump.client_crc, dump.crc) == (Crc(10, 21), Crc(11, 21), Crc(12, 21))


def asked(**changes: object) -> Request:
    values = {name: getattr(ASKED, name) for name in ("config", "places", "host", "disk")}
    return Request(**{**values, "datestamp": STAMP, **changes})


def test_an_old_peer_tells_less(config: Config) -> None:
    """One label and where it begins, and no storage."""
    request = asked(places=(Place("", "D01", ()),), fsf=2, host="", disk="", datestamp="")
    assert find_listed(config, request).labels == ("D01", "D02")


@pytest.mark.parametrize(
    "changes",
    [
        {"host": "^elsewhere$"},
        {"disk": "^/other$"},
        {"datestamp": "20250101"},
        {"places": (Place("far", "D01", (2,)),)},
        {"places": (Place("near", "D01", (2, 3)),)},
        {"places": (Place("near", "D01", (9,)),)},
        {"places": (Place("near", "D09", (1,)),)},
        {"places": ()},
    ],
)
def test_what_fits_no_dump(config: Config, changes: dict[str, object]) -> None:
    with pytest.raises(RecoveryFailed):
        find_listed(config, asked(**changes))


def test_a_log_that_cannot_be_read(config: Config, tmp_path: Path) -> None:
    log = tmp_path / "log" / f"log.{STAMP}.0"
    log.unlink()
    log.mkdir()
    with pytest.raises(RecoveryFailed, match="cannot be found out"):
        find_listed(config, ASKED)


def held(path: Path, disk: str = "/srv") -> str:
    header = Header(
        type=HeaderType.DUMPFILE,
        datestamp=STAMP,
        host="localhost",
        disk=disk,
        program="GNUTAR",
        recover_cmd="tar",
    )
    path.write_bytes(build_header(header, 32768, 32768))
    return str(path)


def test_a_dump_on_the_holding_disk(config: Config, tmp_path: Path) -> None:
    path = held(tmp_path / "hold" / STAMP / "localhost._srv.0")
    assert read_holding(config, path, ASKED).disk == "/srv"


def test_only_holding_disks_are_read(config: Config, tmp_path: Path) -> None:
    """Neither other files, nor by way of a link or of dots."""
    outside = held(tmp_path / "outside")
    link = tmp_path / "hold" / "link"
    link.symlink_to(outside)
    for path in (outside, str(link), f"{tmp_path}/hold/../outside"):
        with pytest.raises(RecoveryFailed, match="is in no holding disk"):
            read_holding(config, path, ASKED)
    other = held(tmp_path / "hold" / "other", "/other")
    with pytest.raises(RecoveryFailed, match="does not match dumpspec"):
        read_holding(config, other, ASKED)
    for name in ("nothing", STAMP):
        with pytest.raises(RecoveryFailed, match="could not open"):
            read_holding(config, str(tmp_path / "hold" / name), ASKED)
    garbage = tmp_path / "hold" / "garbage"
    garbage.write_bytes(b"x" * 40000)
    with pytest.raises(RecoveryFailed, match="not a holding file"):
        read_holding(config, str(garbage), ASKED)


@pytest.mark.parametrize(
    ("peer", "good"),
    [("HERE", True), ("backup.example", True), ("elsewhere", False), ("", False)],
)
def test_the_limit_of_a_disk(config: Config, peer: str, good: bool) -> None:
    assert (check_limit(config, "here", "/srv", peer) is None) is good


def test_without_a_limit_everybody_may(config: Config) -> None:
    for disk in ("/home", "/not/in/the/disklist"):
        assert check_limit(config, "here", disk, "") is None


def test_the_global_limit(config: Config) -> None:
    limited = make_config(
        Dumptype("open"),
        directory=config.directory,
        diskfile="disklist",
        recovery_limit=("SERVER",),
    )
    assert check_limit(limited, "here", "/home", socket.gethostname()) is None
    assert check_limit(limited, "here", "/home", "elsewhere") is not None
    assert check_limit(limited, "here", "/srv", "here") is None
