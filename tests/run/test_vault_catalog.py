"""Which logs are searched for a dump to be vaulted, and which copy is taken [data-plane 4.4]."""

from __future__ import annotations

from pathlib import Path

import pytest
from attrs import evolve

from protocols.conf import Config, load
from protocols.stored import DumpName
from protocols.tapelist import TapelistError
from taper.run.vault_catalog import find_stored

NAME = DumpName(storage="near", host="h", disk="/d", datestamp="20250101000000", level="0")


@pytest.fixture
def config(tmp_path: Path) -> Config:
    text = f'logdir "{tmp_path}"\ntapelist "{tmp_path}/tapelist"\n'
    loaded = load("CONF", {"/etc/amanda/CONF/amanda.conf": text.encode()}.get)
    assert not [message.text for message in loaded.messages if message.level == "error"]
    return loaded.config


def log(place: Path, stamp: str, label: str, *, name: str = "", dump: str = NAME.datestamp) -> None:
    """A log of one dump on one volume."""
    where = '"ST:near" "POOL:near"'
    stats = "[sec 1.0 bytes 10 kps 0.0]"
    lines = (
        f"START taper datestamp {stamp} {where} label {label} tape 1",
        f"PART taper {where} {label} 1 h /d {dump} 1/-1 0 {stats}",
        f"DONE taper {where} h /d {dump} 1 0 0:0 0:0 0:0 {stats}",
    )
    path = place / (name or f"log.{stamp}.0")
    path.write_text("".join(f"{line}\n" for line in lines))


def tapelist(place: Path, **volumes: str) -> None:
    lines = [f"{stamp} {label} reuse\n" for label, stamp in volumes.items()]
    (place / "tapelist").write_text("".join(sorted(lines, reverse=True)))


def found(config: Config, name: DumpName = NAME) -> str | None:
    dump = find_stored(config, name)
    return None if dump is None else dump.labels[0]


def test_the_oldest_copy_that_is_left_is_taken(config: Config, tmp_path: Path) -> None:
    for day, label in (("03", "C"), ("02", "B"), ("01", "A")):
        log(tmp_path, f"202501{day}000000", label)
    tapelist(tmp_path, A="20250101000000", B="20250102000000", C="20250103000000")
    assert found(config) == "A"
    tapelist(tmp_path, A="20250601000000", B="20250102000000", C="20250103000000")
    assert found(config) == "B"
    tapelist(tmp_path, C="20250103000000")
    assert found(config) == "C"
    tapelist(tmp_path, A="20250601000000")
    assert found(config) is None


@pytest.mark.parametrize(
    "name", ["log.20250101000000.0", "log.20250101000000.amflush", "log.20250101000000"]
)
def test_every_name_a_log_can_have(config: Config, tmp_path: Path, name: str) -> None:
    log(tmp_path, "20250101000000", "A", name=name)
    tapelist(tmp_path, A="20250101000000")
    assert found(config) == "A"


def test_stamps_of_eight_digits_are_midnight(config: Config, tmp_path: Path) -> None:
    log(tmp_path, "20250101", "A", dump="20250101")
    tapelist(tmp_path, A="20250101")
    assert found(config) == "A"


def test_logs_older_than_the_dump_are_not_read(config: Config, tmp_path: Path) -> None:
    log(tmp_path, "20241231000000", "A")
    tapelist(tmp_path, A="20241231000000", Z="0")
    assert found(config) is None


def test_other_dumps_are_others(config: Config, tmp_path: Path) -> None:
    log(tmp_path, "20250101000000", "A")
    tapelist(tmp_path, A="20250101000000")
    assert found(config, evolve(NAME, disk="/other")) is None


def test_other_line_ends_are_line_ends(config: Config, tmp_path: Path) -> None:
    log(tmp_path, "20250101000000", "A")
    path = tmp_path / "log.20250101000000.0"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    tapelist(tmp_path, A="20250101000000")
    assert found(config) == "A"


def test_a_log_that_cannot_be_read_is_named(config: Config, tmp_path: Path) -> None:
    path = tmp_path / "log.20250101000000.0"
    path.symlink_to(path)
    tapelist(tmp_path, A="20250101000000")
    with pytest.raises(OSError, match="where the dump lies is not known without it") as caught:
        found(config)
    assert str(caught.value).startswith(f"cannot read the trace log {path}: Too many levels of")


def test_bytes_that_are_no_text_do_no_harm(config: Config, tmp_path: Path) -> None:
    log(tmp_path, "20250101000000", "A")
    path = tmp_path / "log.20250101000000.0"
    path.write_bytes(b"\xff\xfe\x00 20250101\n" * 5 + b"PART taper 20250101\n" + path.read_bytes())
    tapelist(tmp_path, A="20250101000000")
    assert found(config) == "A"


def test_an_unreadable_tapelist_is_an_error(config: Config, tmp_path: Path) -> None:
    (tmp_path / "tapelist").write_text("this is no tapelist\n")
    with pytest.raises(TapelistError):
        find_stored(config, NAME)
