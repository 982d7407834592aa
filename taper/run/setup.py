"""What comes before any conversation: configuration, user, working directory [protocol 1]."""

from __future__ import annotations

import os
import pwd
import stat
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from devices.regular import open_regular
from protocols.conf import load
from protocols.errorcode import Coded
from protocols.records import Record
from protocols.tapelist import TapelistError, check_name
from taper.installation import installation
from taper.last_words import CannotStart, write_stderr
from taper.run.amanda_version import amanda_version
from taper.run.debug_log import keep_what_is_logged

if TYPE_CHECKING:
    from protocols.conf import Config, Storage
    from protocols.conf.values import Version
    from taper.run.debug_log import DebugLog
    from taper.run.options import Options
    from taper.run.paths import Paths


class StartFailed(CannotStart):
    """The process cannot start: exit status 1, after a FATAL line where there is a trace log.

    :ivar details: what stderr was told before.
    """

    def __init__(self, text: str, details: Sequence[str] = (), *, code: int | None = None) -> None:
        super().__init__(text, code=code)
        self.details = tuple(details)


class SetupFailed(Coded):
    """The storage cannot be served: TAPE-ERROR SETUP, exit status 0.

    :ivar text: for driver and trace log.
    """

    taper_code = 1100

    def __init__(self, text: str, *, code: int | None = None) -> None:
        super().__init__(text, code=code)
        self.text = text


class Setup(Record, kw_only=True):
    """What a conversation is set up from.

    :ivar log_filename: the trace log.
    :ivar storage_name: as asked for, or the configuration's first; None if it has none.
    :ivar pid: the process that the driver knows, and the trace log names; None: ours.
    :ivar error_output: writes where the driver reads what we have to tell people; raises OSError.
    """

    config: Config
    paths: Paths
    debug: DebugLog
    log_filename: str
    storage_name: str | None
    pid: int | None = None
    error_output: Callable[[bytes], object] = write_stderr

    def storage(self) -> Storage:
        """The storage to serve.

        :raise SetupFailed: there is none of that name, or its volumes could not be listed
        """
        found = None if self.storage_name is None else self.config.storage(self.storage_name)
        if found is None:
            raise SetupFailed(f"Storage '{self.storage_name or ''}' not found", code=1004)
        try:
            check_name("configuration", self.config.name)
            check_name("storage", found.name)
            check_name(f"tapepool of storage '{found.name}':", found.tapepool)
        except TapelistError as fault:
            raise SetupFailed(str(fault)) from fault
        return found


def _working_directory(whose: str) -> str:
    """The working directory, which only few things depend on.

    :raise StartFailed: it is gone, or hidden from us
    """
    try:
        return os.getcwd()
    except OSError as fault:
        raise StartFailed(
            f"{whose} is relative to the working directory, which cannot be found: "
            f"{fault.strerror}; start from a directory that exists, or give an absolute path",
            code=8003,
        ) from fault


def read_file(path: str) -> bytes:
    """All of a file of the configuration."""
    with open(path, "rb", opener=open_regular) as file:
        return file.read()


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def load_config(
    options: Options,
    paths: Paths,
    note: Callable[[str], object] = lambda text: None,
    say: Callable[[str], object] = _say,
    directory: str | None = None,
    read_one: Callable[[str], bytes] = read_file,
    version: Callable[[], Version | None] | None = None,
) -> Config:
    """Read amanda.conf.

    :param note: is told what is read
    :param say: is told every message
    :param directory: of the configuration ``.``; None: the working directory
    :param read_one: reads a file
    :param version: tells Amanda's; None: :func:`amanda_version`
    :raise StartFailed: a message was an error
    """
    if options.config_name == "." and directory is None:
        directory = _working_directory("configuration '.'")

    def read(path: str) -> bytes:
        note(f"reading config file {path}")
        return read_one(path)

    for override in options.overrides:
        note(f"config_overrides: {' '.join(override.split('=', 1))}")
    loaded = load(
        options.config_name,
        read,
        overrides=options.overrides,
        config_root=paths.config_root,
        cwd=directory if options.config_name == "." else None,
        amanda_version=version or amanda_version,
        installation=installation(),
    )
    for message in loaded.messages:
        note(message.text)
        say(message.text)
    errors = [message.text for message in loaded.messages if message.level == "error"]
    if errors:
        raise StartFailed("Errors processing config file", errors, code=1003)
    return loaded.config


def check_user(dumpuser: str) -> None:
    """Only the dump user may run a taper [config 6].

    :raise StartFailed: somebody else does
    """
    uid = os.getuid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        raise StartFailed(
            f"current userid {uid} not found in password database", code=1013
        ) from None
    try:
        wanted = pwd.getpwnam(dumpuser).pw_uid
    except KeyError:
        raise StartFailed(f'cannot look up dumpuser "{dumpuser}"', code=1013) from None
    if os.geteuid() != uid or uid != wanted:
        raise StartFailed(
            f'must be executed as the "{dumpuser}" user instead of the "{name}" user', code=1013
        )


def change_directory(paths: Paths) -> None:
    """Work where a core dump is safe: the debug or temporary directory if private, else ``/``."""
    for directory in (paths.dbgdir, paths.tmpdir):
        try:
            found = os.stat(directory)
            if stat.S_IMODE(found.st_mode) == 0o700 and found.st_uid == os.getuid():
                os.chdir(directory)
                return
        except OSError:
            continue  # missing, no directory, or not for us: as good as not private
    os.chdir("/")


def make_setup(options: Options, paths: Paths, debug: DebugLog, log_filename: str | None) -> Setup:
    """Read the configuration and settle where this process works.

    :param log_filename: the trace log; None: the one of the run in progress, ``log`` in logdir.

    :raise StartFailed: the configuration cannot be used
    """
    config = load_config(options, paths, debug.write)
    debug.move_to(config.name, config.general.dumpuser)
    keep_what_is_logged(debug, config.general)
    if log_filename is None:
        log_filename = os.path.join(config.path(config.general.logdir), "log")
    if not os.path.isabs(log_filename):
        whose = f"--log-filename {log_filename}"
        log_filename = os.path.join(_working_directory(whose), log_filename)
    change_directory(paths)
    return Setup(
        config=config,
        paths=paths,
        debug=debug,
        log_filename=log_filename,
        storage_name=options.storage or config.default_storage_name(),
    )
