"""The command that Amanda has started, where it lets the daemon serve its driver
(:mod:`protocols.daemon`): what the daemon then is in its stead."""

from __future__ import annotations

import errno
import os
import select
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from attrs import frozen

from protocols.greeting import Greeting
from taper import __version__
from taper.places import record_stamp
from taper.run.debug_log import DebugLog, keep_what_is_logged
from taper.run.kept_config import KeptConfig
from taper.run.options import UsageError, parse_options
from taper.run.paths import Paths, paths_from
from taper.run.setup import Setup, StartFailed, check_user

if TYPE_CHECKING:
    from taper.run.options import Options

DESCRIPTORS = 2
"""Error output, and the pipe for the exit status."""


class Guest:
    """One such command, while the daemon serves its driver.

    :param pid: its process
    :param descriptors: that came with its greeting; ours from now on
    """

    def __init__(self, pid: int, descriptors: list[int]) -> None:
        self.pid = pid
        self._descriptors = descriptors

    def write_error(self, data: bytes) -> None:
        """Write on its error output, if that takes it at once: whoever does not read it keeps his
        own taper waiting, but not the daemon, which would serve nobody for ever.

        :raise OSError: it takes none, or the guest is gone
        """
        if not self._descriptors:
            raise OSError(errno.EBADF, "the command that was served is gone")
        output = self._descriptors[0]
        ready = select.poll()
        ready.register(output, select.POLLOUT)
        while data:
            if not ready.poll(0):
                raise OSError(errno.EAGAIN, "nobody reads it")
            data = data[os.write(output, data[: select.PIPE_BUF]) :]

    def leave(self, status: int | None = None) -> None:
        """Let it go; safe to repeat.

        :param status: with which it shall end; None: it is none of our guests any more
        """
        descriptors, self._descriptors = self._descriptors, []
        if status is not None and descriptors:
            with suppress(OSError):  # it is gone
                os.set_blocking(descriptors[1], False)
                os.write(descriptors[1], b"%d\n" % status)
        for each in descriptors:
            os.close(each)


@frozen
class Offer:
    """What a guest is offered.

    :ivar setup: what the command would make of its command line; its debug log is the daemon's yet
    :ivar said: messages for its error output
    :ivar noted: what was noted meanwhile, for its debug log
    :ivar words: of its command line
    """

    setup: Setup
    said: list[str]
    noted: list[str]
    words: tuple[str, ...]

    def taken(self) -> Setup:
        """What to begin with: it has a debug log of its own, which all that is logged goes to."""
        general = self.setup.config.general
        debug = DebugLog(self.setup.paths.dbgdir, time.time())
        debug.begin(self.words)
        for text in self.noted:
            debug.write(text)
        debug.move_to(self.setup.config.name, general.dumpuser)
        debug.write_from_now_on_beside()
        keep_what_is_logged(debug, general)
        return self.setup.evolve(debug=debug)


class Host:
    """What the daemon has for its guests.

    :param environment: the daemon's
    :ivar debug: the daemon's debug log
    :ivar paths: where its files are
    """

    def __init__(self, debug: DebugLog, paths: Paths, environment: Mapping[str, str]) -> None:
        self.debug = debug
        self.paths = paths
        self._zone = environment.get("TZ")
        self._stamp = record_stamp()
        self._configs = KeptConfig()

    def offer_for(self, greeting: Greeting, guest: Guest) -> Offer:
        """What the command would make of its command line. Nothing has been begun by that, so who
        is refused can go on by itself, and tells what is wrong as ever.

        :raise StartFailed: it has to go on by itself
        """
        said: list[str] = []
        noted: list[str] = []
        options = self._read(greeting)
        assert options.log_filename is not None
        log_filename = os.path.join(greeting.directory, options.log_filename)
        paths = paths_from(dict(greeting.settings))
        config = self._configs.load(options, paths, noted.append, said.append, greeting.directory)
        check_user(config.general.dumpuser)
        setup = Setup(
            config=config,
            paths=paths,
            debug=self.debug,
            log_filename=log_filename,
            storage_name=options.storage or config.default_storage_name(),
            pid=guest.pid,
            error_output=guest.write_error,
        )
        return Offer(setup, said, noted, greeting.words)

    def over(self, setup: Setup, back: Setup | None) -> None:
        """What a guest was offered, and has taken, is over.

        :param back: of the drivers that come by themselves, if any do
        """
        keep_what_is_logged(self.debug, (back or setup).config.general)
        setup.debug.close(setup.config.general.debug_days, time.time())

    def _read(self, greeting: Greeting) -> Options:
        if greeting.program != __version__:
            raise StartFailed(f"the daemon is of release {__version__}; restart it")
        if greeting.record != self._stamp or self._stamp != record_stamp():
            raise StartFailed("where Amanda is was recorded anew; restart the daemon")
        if dict(greeting.settings).get("TZ") != self._zone:
            raise StartFailed("the daemon has another time zone (TZ)")
        try:
            options = parse_options(greeting.words)
        except UsageError as fault:
            raise StartFailed(str(fault)) from fault
        if options.help or options.version or options.log_filename is None:
            raise StartFailed("nothing is to be served")
        if not os.path.isabs(greeting.directory) and (
            options.config_name == "." or not os.path.isabs(options.log_filename)
        ):
            raise StartFailed("the working directory is not known")
        return options
