"""Checks of files and directories, as the dump user sees them. All of it blocks, and nothing is
written."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from devices.errors import ChangerError
from devices.registry import find_changer
from devices.regular import open_regular
from taper.installation import installation
from taper.last_words import reason
from taper.people.doctor.advice import Advice, Weight
from taper.people.telling import printable, size
from taper.run.log_catalog import dump_lines

if TYPE_CHECKING:
    from protocols.conf import Config, Storage
    from taper.people.catalogue import Catalogue

_MOST = 1 << 20
"""Bytes of a log, or of a launcher, that are looked at."""
_BEGUN = re.compile(r"^INFO \S+ \S+ pid (\d+)$", re.MULTILINE)
_DONE = re.compile(r"^INFO \S+ pid-done (\d+)$", re.MULTILINE)
_OURS = b"taper.cli"


def places(config: Config, storages: Iterable[Storage]) -> Iterator[Advice]:
    """Files and directories that must be there, for the dump user to write."""
    general = config.general
    wanted = [
        ("logdir", config.path(general.logdir)),
        ("tapelist", os.path.dirname(config.path(general.tapelist))),
        ("indexdir", config.path(general.indexdir)),
        *(("holding disk", path) for path in _holding(config)),
        *(("vtapes", path) for path in vtapes(config, storages)),
    ]
    for what, path in dict.fromkeys(wanted):
        trouble = _trouble(path)
        if trouble is not None:
            yield Advice(
                check="places",
                code=8020,
                weight=Weight.RISK if what == "indexdir" else Weight.WRONG,
                what=f"The directory of the {what}, {printable(path)}, {trouble}.",
                values={"DUMPUSER": printable(general.dumpuser)},
            )
    tapelist = config.path(general.tapelist)
    if os.path.exists(tapelist) and not os.access(tapelist, os.R_OK | os.W_OK, effective_ids=True):
        yield Advice(
            check="places",
            code=8021,
            weight=Weight.WRONG,
            what=f"The tapelist {printable(tapelist)} is closed to the dump user.",
            values={"DUMPUSER": printable(general.dumpuser)},
        )


def _trouble(path: str) -> str | None:
    if not os.path.lexists(path):
        return "is not there"
    if not os.path.isdir(path):
        return "is no directory"
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK, effective_ids=True):
        return "is closed to the dump user"
    return None


def _holding(config: Config) -> list[str]:
    found = map(config.holdingdisk, config.general.holdingdisk)
    return [disk.directory for disk in found if disk is not None and disk.directory]


def vtapes(config: Config, storages: Iterable[Storage]) -> list[str]:
    """Directories of vtapes."""
    found = []
    for storage in storages:
        try:
            changer = find_changer(None, config, storage)
        except ChangerError:
            continue  # whoever opens it says what is wrong with it
        if changer.kind in ("disk", "diskflat"):
            found.append(changer.argument)
    return list(dict.fromkeys(found))


def shared_disks(config: Config, storages: Iterable[Storage]) -> Iterator[Advice]:
    """Holding disks that are lost with the volumes, or fill their disk."""
    for directory in vtapes(config, storages):
        for holding in _holding(config):
            try:
                same = os.stat(directory).st_dev == os.stat(holding).st_dev
            except OSError:
                continue  # told elsewhere
            if same:
                yield Advice(
                    check="shared-disk",
                    code=1033,
                    weight=Weight.RISK,
                    what=(
                        f"The holding disk {printable(holding)} and the vtapes in "
                        f"{printable(directory)} are on one file system."
                    ),
                )


def room(config: Config, storages: Iterable[Storage], catalogue: Catalogue) -> Iterator[Advice]:
    """File systems on which a night like the last does not fit any more."""
    last = max((copy.dump.written for copy in catalogue.copies if not copy.gone), default="")
    night = sum(
        copy.dump.size for copy in catalogue.copies if copy.dump.written == last and not copy.gone
    )
    for what, paths in (
        ("vtapes in", vtapes(config, storages)),
        ("holding disk", _holding(config)),
    ):
        for path in paths:
            try:
                facts = os.statvfs(path)
            except OSError:
                continue  # told elsewhere
            free = facts.f_bavail * facts.f_frsize
            if free < night:
                yield Advice(
                    check="room",
                    code=8022,
                    weight=Weight.RISK,
                    what=(
                        f"The disk of the {what} {printable(path)} has {size(free)} left; the last "
                        f"night had {size(night)}."
                    ),
                )


def run_in_progress(config: Config) -> Iterator[Advice]:
    """A run that died, and whose log nobody has put away. The log of one that has ended stays
    there, too, until the next one begins."""
    path = os.path.join(config.path(config.general.logdir), "log")
    try:
        text = "".join(dump_lines(path, (b"INFO ",)))
    except FileNotFoundError:
        return
    except OSError as fault:
        text = reason(fault)
    begun = set(_BEGUN.findall(text))
    pids = begun - set(_DONE.findall(text))
    if begun and not pids:
        return
    if any(os.path.exists(f"/proc/{pid}") for pid in pids):
        return
    yield Advice(
        check="stale-run",
        code=8024,
        weight=Weight.WRONG,
        what=(
            f"{printable(path)} is the log of a run, and none of its programs is there any more "
            f"(pids {', '.join(sorted(pids, key=int)) or 'unknown'})."
        ),
        values={"CONFIG": printable(config.name)},
    )


def taper_in_place() -> Iterator[Advice]:
    """Amanda starts another taper than ours."""
    path = installation().taper
    try:
        with open(path, "rb", opener=open_regular) as file:
            ours = _OURS in file.read(_MOST)
    except OSError as fault:
        what = f"The taper that Amanda starts cannot be looked at: {printable(reason(fault))}."
    else:
        if ours:
            return
        what = f"Amanda starts {printable(path)}, which is not our taper."
    yield Advice(
        check="taper",
        code=8025,
        weight=Weight.RISK,
        what=what,
    )
