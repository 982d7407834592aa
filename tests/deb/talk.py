"""A driver's conversation, inside a machine: ``talk.py CONFIG STAMP WHAT``.

It runs by the Python of the package, and prints what the taper says. WHAT is

* ``greet``: START-TAPER, and QUIT;
* ``hold``: the same, but QUIT comes when /run/go is there;
* ``stop``: a dump by PORT-WRITE, in the middle of which the taper's unit is stopped.
"""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
import time
from pathlib import Path

from protocols.header import Header, HeaderType, build_header

MIB = 1 << 20
PARTS_BEFORE = 3
DISK = "/srv/talk"


class Talk:
    """The driver of one taper."""

    def __init__(self, config: str, stamp: str) -> None:
        self.stamp = stamp
        words = ("/usr/lib/amanda/taper", config)
        log = f"/var/log/amanda/{config}/log.{stamp}.0"
        self._taper = subprocess.Popen(
            ["runuser", "-u", "backup", "--", *words, "--log-filename", log],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        self.tell(f"START-TAPER taper0 worker0 {config} {stamp}")

    def tell(self, line: str) -> None:
        assert self._taper.stdin is not None
        self._taper.stdin.write(f"{line}\n")

    def hear(self, *words: str) -> list[str]:
        """What comes up to a line that begins with one of these; without any, up to the end."""
        assert self._taper.stdout is not None
        for line in self._taper.stdout:
            sys.stdout.write(line)
            sys.stdout.flush()
            if line.split()[0] in words:
                return line.split()
        if words:
            sys.exit(f"the taper ended, and never said {words}")
        return []

    def end(self) -> None:
        self.hear()
        print("exit status", self._taper.wait())


def stop(talk: Talk) -> None:
    """Send some parts and the half of another, stop the unit, and hear what became of it."""
    dump = f"worker0 handle localhost {DISK} 0 {talk.stamp}"
    talk.tell(f'PORT-WRITE {dump} "" "" "" 1 {MIB} "" "" "" AMANDA')
    port = talk.hear("PORT")
    header = Header(
        type=HeaderType.DUMPFILE,
        datestamp=talk.stamp,
        host="localhost",
        disk=DISK,
        level=0,
        program="/bin/tar",
        recover_cmd="/bin/tar -xpf - ...",
    )
    with socket.create_connection(("localhost", int(port[3]))) as link:
        link.sendall(build_header(header, 32768, None))
    data = random.Random(talk.stamp).randbytes(PARTS_BEFORE * MIB + MIB // 2)
    host, _, number = port[4].strip('"').split(";")[0].rpartition(":")
    with socket.create_connection((host, int(number))) as link:
        talk.hear("REQUEST-NEW-TAPE")
        talk.tell("NEW-TAPE worker0 handle")
        link.sendall(data)
        for _ in range(PARTS_BEFORE):
            talk.hear("PARTDONE")
        subprocess.run(["systemctl", "stop", "taper.service"], check=True)
        talk.end()


def main() -> None:
    config, stamp, what = sys.argv[1:]
    talk = Talk(config, stamp)
    talk.hear("TAPER-OK", "TAPE-ERROR")
    if what == "stop":
        stop(talk)
        return
    while what == "hold" and not Path("/run/go").exists():
        time.sleep(0.1)
    talk.tell("QUIT")
    talk.end()


if __name__ == "__main__":
    os.chdir("/")
    main()
