"""The first half of the demonstration, on the reactor: two dumps onto volumes."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

from attrs import evolve, frozen
from twisted.internet.task import LoopingCall
from twisted.internet.threads import deferToThread

from protocols.crc import Crc
from protocols.driver import replies
from protocols.driver.messages import Message
from taper.demo.driver import Driver, Dump, Result
from taper.demo.dumper import TarDumper, dump_header
from taper.demo.holding import HoldingWriter
from taper.demo.progress import Progress, bar, row
from taper.demo.screen import DemoFailed, Screen, count
from taper.demo.stage import Stage
from taper.demo.survey import Survey
from taper.demo.tar import Tar, dumping

_TICK_SECONDS = 0.1


@frozen
class Written:
    """A dump on volumes, and what the taper said its checksum is."""

    dump: Dump
    crc: Crc


class Writer:
    """Writes both dumps.

    :param tar: path of GNU tar
    """

    def __init__(self, stage: Stage, found: Survey, tar: str, screen: Screen) -> None:
        self._stage = stage
        self._found = found
        self._tar = tar
        self._screen = screen
        self._progress: Progress | None = None
        self._tars: list[Tar] = []
        self._holding_since: float | None = None

    async def write(self, reactor: Any) -> list[Written]:
        """Start the taper, write the dumps, see it off; leaves no process.

        :raise DemoFailed: something is wrong with the taper, or with tar
        """
        driver = Driver(reactor, self._stage, self._heard, self._moved)
        ticking = LoopingCall(self._tick)
        ticking.start(_TICK_SECONDS, now=False)
        try:
            seconds = await driver.start(self._stage.stamp)
            self._screen.line(f"Taper    a process of its own, ready after {seconds:.2f} s")
            written = [await self._file_write(driver), await self._port_write(reactor, driver)]
            await driver.finish()
            return written
        finally:
            ticking.stop()
            for tar in self._tars:
                tar.stop()
            driver.kill()

    def _heard(self, reply: Message) -> None:
        if self._progress is not None:
            self._progress.heard(reply)

    def _moved(self) -> int:
        return self._stage.stored() + sum(tar.crc.size for tar in self._tars)

    def _tick(self) -> None:
        if self._progress is not None:
            self._progress.tick()
        elif self._holding_since is not None:
            seconds = time.monotonic() - self._holding_since
            size = self._tars[-1].crc.size
            self._screen.update(bar("holding", size, self._found.size, seconds))

    def _dump(self, kind: str, number: int) -> tuple[Dump, Tar]:
        """A dump to be, and the tar that makes its data."""
        names = self._stage.path("tmp", "names")
        self._found.write_list(names)
        errors = self._stage.path("log", f"tar.{kind}.stderr")
        tar = Tar(dumping(self._tar, self._found.source, names), errors)
        self._tars.append(tar)
        disk = self._found.source.decode("utf-8", "surrogateescape")
        # dumps of one disk are told apart by their datestamps
        stamp = time.strftime("%Y%m%d%H%M%S", time.localtime(time.time() + number))
        return Dump(kind, f"{number:02d}-{number + 1:05d}", dump_header(disk, stamp)), tar

    async def _file_write(self, driver: Driver) -> Written:
        dump, tar = self._dump("FILE-WRITE", 0)
        self._screen.heading("FILE-WRITE: tar to a holding disk, from there to volumes")
        began = self._holding_since = time.monotonic()
        first = self._stage.path("holding", "dump")
        holding = HoldingWriter(first, dump.header, self._stage.chunk_size)
        try:
            crc = await deferToThread(tar.dump_to, holding.write)
        finally:
            holding.close()
            self._holding_since = None
        self._check_tar(tar)
        holding.finish(crc)
        chunks = count(len(holding.paths), "chunk")
        self._screen.line(row("holding", chunks, crc.size, time.monotonic() - began))
        dump = evolve(dump, header=evolve(dump.header, orig_size=-(-crc.size // 1024)))
        written = await self._watched(
            dump, tar, crc.size, lambda: driver.file_write(dump, holding.paths[0])
        )
        holding.delete()
        return written

    async def _port_write(self, reactor: Any, driver: Driver) -> Written:
        dump, tar = self._dump("PORT-WRITE", 1)
        self._screen.heading("PORT-WRITE: tar over TCP straight to volumes")
        dumper = TarDumper(reactor, dump.header, tar)

        async def write() -> Result:
            result = await driver.port_write(dump, dumper)
            if dumper.error and not result.tapererr:
                self._tell_complaints(tar)
                raise DemoFailed(f"{dump.kind}: the data could not be sent: {dumper.error}")
            return result

        return await self._watched(dump, tar, self._found.size, write)

    async def _watched(
        self, dump: Dump, tar: Tar, size: int, write: Callable[[], Awaitable[Result]]
    ) -> Written:
        """Write with its progress shown, and check what the taper says in the end."""
        progress = self._progress = Progress(self._screen, size, self._stage.stored)
        try:
            result = await write()
        finally:
            self._progress = None
            progress.volume_over()
        if not isinstance(result, replies.Done):
            raise DemoFailed(_fault(dump, result))
        progress.over(result.server_crc.size)
        self._check_tar(tar)
        given = tar.crc.value()
        if result.server_crc != given:
            raise DemoFailed(f"{dump.kind}: the taper wrote {result.server_crc}, was given {given}")
        return Written(dump, result.server_crc)

    def _tell_complaints(self, tar: Tar) -> None:
        """tar complains of files that change; the comparison tells whether that matters."""
        for complaint in tar.complaints():
            self._screen.line(f"  {complaint}")

    def _check_tar(self, tar: Tar) -> None:
        self._tell_complaints(tar)
        if tar.died:
            raise DemoFailed(f"tar ended with status {tar.status}")


def _fault(dump: Dump, result: Result) -> str:
    """What the taper said of a dump that is not whole."""
    reasons = [text for text in (result.inputerr, result.tapererr) if text]
    said = f"{result.name} {result.input} {result.tape}"
    return f"{dump.kind}: the taper said {said}: {'; '.join(reasons) or 'no reason given'}"
