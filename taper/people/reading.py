"""Reading what the catalogue is made of: tapelist, trace logs, holding disks. All of it blocks, and
nothing is written."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from devices.regular import open_regular
from devices.tapelist_file import read_tapelist
from protocols.header import Header, HeaderType, parse_header
from protocols.stored import ToldDump, full_stamp, told_dumps
from taper.people.catalogue import Catalogue, HeldDump, make_catalogue
from taper.run.history import holding_files
from taper.run.log_catalog import HistoryError, dump_lines, logs_of

if TYPE_CHECKING:
    from protocols.conf import Config
    from protocols.tapelist import Tapelist

_HEADER_SIZE = 32768


def read_catalogue(config: Config) -> Catalogue:
    """The catalogue as it is now.

    :raise HistoryError: a log or holding disk cannot be read
    :raise TapelistError: the tapelist is damaged
    :raise OSError: the tapelist cannot be read
    """
    tapelist = read_tapelist(config.path(config.general.tapelist))
    return make_catalogue(tapelist, _told(config, tapelist), read_held(config))


def _told(config: Config, tapelist: Tapelist) -> Iterator[ToldDump]:
    stamps = sorted({entry.datestamp for entry in tapelist.entries}, key=full_stamp)
    for path, stamp in logs_of(config.path(config.general.logdir), stamps):
        yield from _told_by(config, path, stamp)


def _told_by(config: Config, path: str, stamp: str) -> list[ToldDump]:
    try:
        lines = dump_lines(path)
    except FileNotFoundError:
        return []  # tidied away since the directory was read
    except OSError as fault:
        text = f"cannot read the trace log {path}: {fault.strerror or fault}"
        raise HistoryError(text) from fault
    return list(told_dumps(lines, stamp, default_storage=config.name))


def is_under_way(config: Config, stamp: str) -> bool:
    """Whether the run of this datestamp goes on.

    :raise HistoryError: its log cannot be read
    """
    from taper.people.last_night import KINDS, read_run  # seldom wanted

    names = [stamp, stamp.removesuffix("000000")]  # without usetimestamps it has eight digits
    for path, _ in logs_of(config.path(config.general.logdir), dict.fromkeys(names)):
        try:
            run = read_run(dump_lines(path, KINDS), stamp)
        except FileNotFoundError:
            continue  # tidied away since the directory was read
        except OSError as fault:
            text = f"cannot read the trace log {path}: {fault.strerror or fault}"
            raise HistoryError(text) from fault
        if run is not None and not run.finished and run.pid is not None and lives(run.pid):
            return True
    return False


def lives(pid: str) -> bool:
    """There is a process of this number."""
    return pid.isascii() and pid.isdigit() and os.path.exists(f"/proc/{pid}")


def read_past(config: Config, tapelist: Tapelist, since: str) -> Catalogue:
    """The dumps of runs since then of which the tapelist has no volume any more. Their logs stay
    where they are until a program of Amanda's moves them to ``oldlog``.

    :param since: 14 digits
    :raise HistoryError: a log cannot be read
    """
    there = {full_stamp(entry.datestamp) for entry in tapelist.entries}
    told: list[ToldDump] = []
    logdir = config.path(config.general.logdir)
    for directory in (logdir, os.path.join(logdir, "oldlog")):
        try:
            names = os.listdir(directory)
        except FileNotFoundError:
            continue  # nothing was ever moved there
        except OSError as fault:
            text = f"cannot read the directory {directory}: {fault.strerror or fault}"
            raise HistoryError(text) from fault
        for name, stamp in log_names(names):
            if since <= full_stamp(stamp) and full_stamp(stamp) not in there:
                told += _told_by(config, os.path.join(directory, name), stamp)
    return make_catalogue(tapelist, told)


def read_held(config: Config) -> list[HeldDump]:
    """The dumps that wait on holding disks.

    :raise HistoryError: a holding disk cannot be read
    """
    chunks: dict[str, tuple[Header, int]] = {}
    for path in holding_files(config):
        try:
            with open(path, "rb", opener=open_regular) as file:
                header = parse_header(file.read(_HEADER_SIZE))
                size = os.fstat(file.fileno()).st_size
        except FileNotFoundError:
            continue  # flushed since the directory was read
        except OSError as fault:
            text = f"cannot read {path} on a holding disk: {fault.strerror or fault}"
            raise HistoryError(text) from fault
        if header.is_dump:
            chunks[path] = header, max(size - _HEADER_SIZE, 0)
    return list(_held(chunks))


def _held(chunks: dict[str, tuple[Header, int]]) -> Iterable[HeldDump]:
    for path, (header, size) in chunks.items():
        if header.type is not HeaderType.DUMPFILE:
            continue
        lacks = "the dump was not finished" if header.is_partial else None
        directory, following, seen = os.path.dirname(path), header.cont_filename, {path}
        while following:
            # by its name alone, as the directory may be reached by several
            chunk_path = os.path.join(directory, os.path.basename(following))
            chunk = chunks.get(following) or chunks.get(chunk_path)
            if chunk is None or following in seen:
                lacks = lacks or f"its file {following} is missing"
                break
            seen.add(following)
            size += chunk[1]
            following = chunk[0].cont_filename
        if path.endswith(".tmp"):
            lacks = "the dump is being written"
        yield HeldDump(
            path=path,
            host=header.host,
            disk=header.disk,
            datestamp=full_stamp(header.datestamp),
            level=str(header.level),
            size=size,
            lacks=lacks,
        )


def log_names(names: Iterable[str]) -> list[tuple[str, str]]:
    """Names and datestamps of the logs in a directory, the newest first."""
    found = []
    for name in names:
        head, *numbers = name.split(".")
        if head == "log" and len(numbers) == 2 and all(map(_is_number, numbers)):
            stamp, sequence = numbers
            if len(stamp) in (8, 14):
                found.append((full_stamp(stamp), int(sequence), name, stamp))
    return [(name, stamp) for _, _, name, stamp in sorted(found, reverse=True)]


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 14
