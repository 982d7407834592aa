"""A configuration with vtapes on which our taper has written real dumps, night after night."""

from __future__ import annotations

import argparse
import getpass
import io
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from attrs import define, evolve, field
from twisted.internet import reactor

from protocols.conf import Config, load
from protocols.driver.codec import decode_command
from protocols.driver.messages import Message
from protocols.errorcode import code_of
from protocols.header import Header, HeaderType, build_header
from taper import ctl
from taper.people.commands import COMMANDS
from taper.people.exits import Exit
from taper.people.running import Work
from taper.people.screen import Screen, Style
from taper.people.site import Site
from taper.run.debug_log import DebugLog
from taper.run.options import Options
from taper.run.paths import Paths
from taper.run.session import Session
from taper.run.setup import make_setup
from tests.plane.dumping import crc_of
from tests.run.sessions import HANDLE, WORKER, Listener

PART = 64 * 1024
"""Bytes of a part at most."""
NOW = 1_767_960_000.0
"""When the commands are given: 2026-01-09, by any time zone."""

_CONF = """
dumpuser "{user}"
logdir "{root}/log"
tapelist "{root}/tapelist"
tapecycle {tapecycle}
runtapes {runtapes}
dtimeout 30
tapetype T
define tapetype T {{
  length 10 mbytes
}}
define policy keep {{
  {policy}
}}
define changer vtapes {{
  {changer}
  device-property "FSYNC" "no"
  {device}
}}
define storage C {{
  tpchanger "vtapes"
  tapetype "T"
  policy "keep"
  labelstr "^C[0-9]+$"
  {labels}
  {storage}
}}
storage "C"
define holdingdisk hd {{
  directory "{root}/holding"
}}
holdingdisk "hd"
{more}
"""


@define
class Dump:
    """One dump.

    :ivar disk: its disk; the host is localhost
    """

    disk: str
    size: int
    level: int = 0
    host: str = "localhost"

    def fields(self, stamp: str) -> dict[str, Any]:
        """What its header has besides."""
        return {}

    def data(self, stamp: str) -> bytes:
        return random.Random(f"{self.disk} {stamp}").randbytes(self.size)


@define
class Nights:
    """The directories of one configuration.

    :ivar said: what commands have told of on stderr, without codes.
    :ivar codes: which they have told there.
    """

    root: Path
    settings: dict[str, Any] = field(factory=dict)
    said: list[str] = field(factory=list)
    codes: list[int] = field(factory=list)

    def make(self, slots: int = 4) -> Nights:
        """Make all that is needed before the first night."""
        for number in range(1, slots + 1):
            (self.root / f"vtapes/slot{number}").mkdir(parents=True)
        for name in ("etc/C", "log", "tmp", "dbg", "state", "holding"):
            (self.root / name).mkdir(parents=True)
        (self.root / "tapelist").write_text("")
        self.configure()
        return self

    def configure(self, **settings: Any) -> None:
        """Write amanda.conf."""
        self.settings |= settings
        values = {
            "root": self.root,
            "user": getpass.getuser(),
            "tapecycle": 3,
            "runtapes": 2,
            "policy": "",
            "changer": f'tpchanger "chg-disk:{self.root}/vtapes"',
            "device": "",
            "labels": 'autolabel "C%%" empty',
            "storage": "",
            "more": "",
        }
        (self.root / "etc/C/amanda.conf").write_text(_CONF.format(**values | self.settings))

    @property
    def paths(self) -> Paths:
        return Paths(
            config_root=str(self.root / "etc"),
            tmpdir=str(self.root / "tmp"),
            dbgdir=str(self.root / "dbg"),
            statedir=str(self.root / "state"),
        )

    def log(self, stamp: str) -> Path:
        return self.root / "log" / f"log.{stamp}.0"

    async def hold(
        self, stamp: str, *dumps: Dump, storage: str = "C", dumped: str | None = None
    ) -> list[str]:
        """A night.

        :param dumped: when the dumps were made; None: in that night
        :return: what the driver heard
        """
        debug = DebugLog(self.paths.dbgdir, NOW)
        options = Options(config_name="C", storage=storage)
        setup = make_setup(options, self.paths, debug, str(self.log(stamp)))
        heard = Listener()
        session = Session(reactor, setup, heard)
        session.begin()
        session.open()
        ready = heard.hear("TAPER-OK")
        _tell(session, f"START-TAPER taper0 {WORKER} {storage} {stamp}")
        await ready
        for number, dump in enumerate(dumps):
            await self._write(session, heard, dumped or stamp, number, dump)
        await session.quit()
        return heard.lines

    async def _write(
        self, session: Session, heard: Listener, stamp: str, number: int, dump: Dump
    ) -> None:
        handle = f"00-{number:05d}"
        path = self.hold_back(stamp, dump)
        split = f'"" "" "" "" {PART} "" "" ""'
        ended = {word: heard.hear(word) for word in ("DONE", "PARTIAL", "FAILED")}
        asking = heard.hear("REQUEST-NEW-TAPE")

        def answer(line: str) -> None:
            nonlocal asking
            asking = heard.hear("REQUEST-NEW-TAPE")
            asking.addCallbacks(answer, lambda _: None)
            _tell(session, f"START-SCAN {WORKER} {handle}")
            _tell(session, f"NEW-TAPE {WORKER} {handle}")

        asking.addCallbacks(answer, lambda _: None)
        who = f"{dump.host} {dump.disk} {dump.level} {stamp}"
        _tell(session, f"FILE-WRITE {WORKER} {handle} {path} {who} {split} 1")
        for word in ended:
            ended[word].addErrback(lambda _: "")
        done = await ended["DONE"]
        asking.cancel()
        for deferred in ended.values():
            deferred.cancel()
        assert done.startswith("DONE"), heard.lines
        path.unlink()

    def hold_back(self, stamp: str, dump: Dump, *, partial: bool = False) -> Path:
        """Leave a dump on the holding disk."""
        data = dump.data(stamp)
        header = Header(
            type=HeaderType.DUMPFILE,
            datestamp=stamp,
            host=dump.host,
            disk=dump.disk,
            level=dump.level,
            program="tar",
            recover_cmd="tar",
            is_partial=partial,
            server_crc=crc_of(data),
        )
        header = evolve(header, **dump.fields(stamp))
        directory = self.root / "holding" / stamp
        directory.mkdir(exist_ok=True)
        path = directory / f"{dump.host}.{dump.disk.replace('/', '_')}.{dump.level}"
        path.write_bytes(build_header(header, 32768, None) + data)
        return path

    # commands

    def config(self, *overrides: str) -> Config:
        loaded = load(
            "C",
            lambda path: Path(path).read_bytes(),
            overrides=overrides,
            config_root=self.paths.config_root,
            amanda_version=lambda: (3, 5, 1),
        )
        assert not loaded.failed, loaded.messages
        return loaded.config

    async def run(self, *words: str, style: Style = Style.PLAIN) -> tuple[int, str]:
        """Run a command of ``taperctl``; the configuration is put behind its name.

        :return: exit status, and what it said on stdout
        """
        options = parse(words[0], "C", *words[1:])
        out = io.StringIO()
        screen = Screen(style, out, lambda: 0.0)

        def warn(text: str, code: int | BaseException | None = None) -> None:
            self.said.append(text)
            if code is not None:
                self.codes.append(code if isinstance(code, int) else code_of(code))

        screen.warn = warn  # type: ignore[method-assign]
        site = Site(
            reactor, self.config(*getattr(options, "o", ())), self.paths, screen, now=lambda: NOW
        )
        status = await Work(site, COMMANDS[options.command], options).run()
        return status, out.getvalue()

    async def lines(self, *words: str, exit: Exit = Exit.WELL) -> list[str]:
        """What a command says in lines."""
        status, said = await self.run(*words)
        assert status == exit, (said, self.said)
        return said.splitlines()

    async def record(self, *words: str, exit: Exit = Exit.WELL) -> Any:
        """What a command says as JSON."""
        status, said = await self.run(*words, style=Style.JSON)
        assert status == exit, (said, self.said)
        return json.loads(said)

    @staticmethod
    def read(said: str) -> Any:
        """What a command has said as JSON."""
        return json.loads(said)

    def snapshot(self) -> dict[str, bytes]:
        """All files, but for the debug logs."""
        return {
            str(path.relative_to(self.root)): path.read_bytes()
            for path in sorted(self.root.rglob("*"))
            if path.is_file() and "dbg" not in path.parts
        }


def parse(*words: str) -> argparse.Namespace:
    """As the command line is read."""
    return ctl._parser().parse_args(words)


def _tell(session: Session, line: str) -> None:
    message = decode_command(line.encode())
    assert isinstance(message, Message), line
    assert session.controller is not None
    session.controller.command_received(message)


def cells(lines: Sequence[str]) -> list[list[str]]:
    """The cells of a table in lines, without its head; they have two blanks or more between."""
    return [[cell for cell in line.split("  ") if cell] for line in lines[1:]]


def works_begun(monkeypatch: pytest.MonkeyPatch) -> list[Work]:
    """Commands that are run from now on, of which a person may leave one."""
    begun: list[Work] = []
    run = Work.run

    def keep(work: Work) -> Any:
        begun.append(work)
        return run(work)

    monkeypatch.setattr(Work, "run", keep)
    return begun


__all__ = ["HANDLE", "NOW", "PART", "Dump", "Nights", "cells", "parse", "works_begun"]
