"""The stage of the demonstration: directories, a configuration, holding files."""

from __future__ import annotations

import os
import pwd
import sys
from collections.abc import Iterator

from attrs import frozen

from protocols.crc import Crc
from protocols.header import Header, HeaderType, build_header

HEADER_SIZE = 32768
MIB = 1024 * 1024
CONFIG = "demo"

AMANDA_CONF = """\
# The configuration of taper's demonstration; volumes are directories.
org "demo"
dumpuser "{user}"
logdir "{root}/log"
tapelist "{root}/etc/demo/tapelist"
tpchanger "chg-disk:{root}/vtapes"
tapetype VTAPE
tapecycle {volumes}
runtapes {volumes}
labelstr MATCH-AUTOLABEL
autolabel "DEMO-%%" any
define tapetype VTAPE {{
  length {length_kb} kbytes
}}
"""


@frozen(kw_only=True)
class Stage:
    """Where the demonstration plays.

    :ivar root: a directory of its own.
    :ivar volume_size: bytes that a volume holds.
    :ivar part_size: bytes of a part.
    :ivar volumes: how many slots there are.
    """

    root: str
    volume_size: int
    part_size: int
    volumes: int

    def path(self, *names: str) -> str:
        return os.path.join(self.root, *names)

    @property
    def trace_log(self) -> str:
        return self.path("log", "log.demo")

    def slot(self, number: int) -> str:
        return self.path("vtapes", f"slot{number}")

    def build(self) -> None:
        """Make the directories and the configuration."""
        for number in range(1, self.volumes + 1):
            os.makedirs(self.slot(number), mode=0o700)
        for name in ("etc/demo", "log", "tmp", "debug", "holding", "restored"):
            os.makedirs(self.path(name), mode=0o700)
        with open(self.path("etc", "demo", "amanda.conf"), "w", encoding="utf-8") as conf:
            conf.write(
                AMANDA_CONF.format(
                    user=pwd.getpwuid(os.getuid()).pw_name,
                    root=self.root,
                    volumes=self.volumes,
                    length_kb=self.volume_size // 1024,
                )
            )

    def environment(self) -> dict[str, str]:
        """The environment that makes our taper play on this stage."""
        return {
            **os.environ,
            "AMANDA_CONFIG_DIR": self.path("etc"),
            "AMANDA_TMPDIR": self.path("tmp"),
            "AMANDA_DBGDIR": self.path("debug"),
            "AMANDA_STATE_DIR": self.path("debug"),
        }

    def taper_command(self) -> list[str]:
        """The command line by which a driver starts the taper."""
        return [
            sys.executable,
            "-m",
            "taper.cli",
            CONFIG,
            "--storage",
            CONFIG,
            "--log-filename",
            self.trace_log,
        ]


def stage_for(root: str, size: int) -> Stage:
    """A stage on which two dumps of about ``size`` bytes span several volumes."""
    volume_size = max(size * 2 // 5, 8 * MIB) // MIB * MIB
    part_size = max(volume_size // 4, 2 * MIB) // MIB * MIB
    volumes = 2 * size // volume_size + 4
    return Stage(root=root, volume_size=volume_size, part_size=part_size, volumes=volumes)


def dump_header(disk: str, stamp: str, **more: Crc | str) -> Header:
    """The header that a dumper would send for a dump of ``disk``."""
    return Header(
        type=HeaderType.DUMPFILE,
        datestamp=stamp,
        host="localhost",
        disk=disk,
        level=0,
        program="/bin/tar",
        recover_cmd="/bin/tar -xpGf - ...",
        **more,  # type: ignore[arg-type]
    )


class HoldingWriter:
    """Writes a dump as chunked holding files, as a chunker does (data-plane 4.1)."""

    def __init__(self, base: str, header: Header, chunk: int) -> None:
        self._base = base
        self._header = header
        self._chunk = chunk
        self.paths: list[str] = []

    def write(self, blocks: Iterator[bytes]) -> str:
        """Write all of it. :return: the path of the first file"""
        left, file = 0, None
        for block in blocks:
            view = memoryview(block)
            while view:
                if not left:
                    if file is not None:
                        file.close()
                    self.paths.append(f"{self._base}.{len(self.paths)}" if self.paths else self._base)
                    file = open(self.paths[-1], "wb")  # noqa: SIM115 - closed by the loop
                    file.write(bytes(HEADER_SIZE))
                    left = self._chunk
                taken = view[:left]
                file.write(taken)  # type: ignore[union-attr]
                left -= len(taken)
                view = view[len(taken) :]
        if file is not None:
            file.close()
        return self.paths[0]

    def finish(self, server_crc: Crc) -> None:
        """Write the headers, now that the chain and the checksum are known."""
        from attrs import evolve

        for number, path in enumerate(self.paths):
            following = self.paths[number + 1] if number + 1 < len(self.paths) else ""
            header = evolve(
                self._header,
                type=HeaderType.CONT_DUMPFILE if number else HeaderType.DUMPFILE,
                cont_filename=following,
                server_crc=server_crc if not number else Crc(0, 0),
            )
            with open(path, "r+b") as file:
                file.write(build_header(header, HEADER_SIZE, HEADER_SIZE))
