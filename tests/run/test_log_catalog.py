"""Each trace log is read once, and what it told is kept beside the logs."""

from __future__ import annotations

import builtins
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from protocols.catalog import DumpsTold
from taper.run.log_catalog import HistoryError, LogCatalog
from taper.run.log_index import NAME

NOW = 1_800_000_000.0
HOUR = 3600
STAMPS = ("20261101000000", "20261102000000", "20261103000000")
STATS = "[sec 0.100000 bytes 1048576 kps 10240.000000]"


def write_log(directory: Path, stamp: str, label: str, age: float = HOUR) -> Path:
    """A log last written so many seconds ago."""
    path = directory / f"log.{stamp}.0"
    path.write_text(f'PART taper "ST:S" "POOL:P" {label} 1 host / {stamp} 1/-1 0 {STATS}\n')
    os.utime(path, (NOW - age, NOW - age))
    return path


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    for number, stamp in enumerate(STAMPS):
        write_log(tmp_path, stamp, f"V{number}")
    return tmp_path


class Reader:
    """A taper that has just started."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.notes: list[str] = []
        self.stop = threading.Event()
        self._catalog = LogCatalog(lambda: NOW, self.notes.append, self.stop)

    def read(self, *stamps: str) -> list[DumpsTold]:
        return self._catalog.read(str(self.directory), stamps or STAMPS)

    def labels(self, *stamps: str) -> list[str]:
        """The volumes that the logs tell of."""
        told = self.read(*stamps)
        return [label for one in told for copy in one for label, _ in copy.volumes]


@contextmanager
def opened(directory: Path) -> Iterator[list[str]]:
    """Names of logs that are opened meanwhile."""
    names: list[str] = []
    plain: Callable[..., Any] = open

    def spy(file: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(file, str) and file.startswith(f"{directory}/log."):
            names.append(os.path.basename(file))
        return plain(file, *args, **kwargs)

    with patch.object(builtins, "open", spy):
        yield names


def test_a_known_log_is_not_opened_again(logs: Path) -> None:
    """Not by this process, and not by the next."""
    reader = Reader(logs)
    with opened(logs) as names:
        assert reader.labels() == ["V0", "V1", "V2"]
    assert len(names) == 3
    for again in (reader, Reader(logs)):
        with opened(logs) as names:
            assert again.labels() == ["V0", "V1", "V2"]
        assert names == []


def test_the_directory_is_listed_once_however_many_logs_there_are(logs: Path) -> None:
    Reader(logs).read()
    reader = Reader(logs)
    with (
        patch("os.listdir", wraps=os.listdir) as listed,
        patch("os.stat", wraps=os.stat) as asked,
    ):
        reader.read()
    assert listed.call_count == 1
    assert asked.call_count == len(STAMPS)


def test_the_index_is_ours_alone_and_bears_no_name_of_a_log(logs: Path) -> None:
    """Stock programs look for ``log*`` and ``amdump*``. No draft is left beside it."""
    os.umask(os.umask(0))  # whatever it is, the file's mode does not depend on it
    Reader(logs).read()
    others = {path.name for path in logs.iterdir()} - {f"log.{stamp}.0" for stamp in STAMPS}
    assert others == {NAME}
    assert not NAME.startswith(("log", "amdump"))
    facts = (logs / NAME).stat()
    assert (facts.st_mode & 0o777, facts.st_uid) == (0o600, os.geteuid())


def test_a_log_that_changed_is_read_again(logs: Path) -> None:
    """By its size, its times, or because it is another file of that name."""
    Reader(logs).read()
    path = logs / f"log.{STAMPS[1]}.0"
    before = path.stat()

    def grow() -> None:
        path.write_text(path.read_text().replace("V1", "W1") + "INFO x\n")

    def touch() -> None:
        path.write_text(path.read_text().replace("W1", "X1"))

    def replace() -> None:
        text = path.read_text().replace("X1", "Y1")
        path.rename(logs / "elsewhere")
        path.write_text(text)

    def hide() -> None:
        """As a restore does that sets the times back: only ctime tells."""
        path.write_text(path.read_text().replace("Y1", "Z1"))

    for change, label in ((grow, "W1"), (touch, "X1"), (replace, "Y1"), (hide, "Z1")):
        change()
        os.utime(path, ns=(before.st_mtime_ns, before.st_mtime_ns))
        with opened(logs) as names:
            assert Reader(logs).labels() == ["V0", label, "V2"]
        assert names == [path.name]


def test_a_log_that_still_grows_is_not_in_the_index(logs: Path) -> None:
    """Its times could be too coarse to tell a later state from this one."""
    write_log(logs, STAMPS[2], "V2", age=1)
    Reader(logs).read()
    with opened(logs) as names:
        Reader(logs).read()
    assert names == [f"log.{STAMPS[2]}.0"]


def test_the_index_is_not_written_for_a_log_that_grows(logs: Path) -> None:
    """A run reads its own log often."""
    Reader(logs).read()
    before = (logs / NAME).stat()
    write_log(logs, STAMPS[2], "V2", age=0)
    Reader(logs).read()
    assert (logs / NAME).stat() == before


def test_the_index_knows_logs_of_other_configurations_and_forgets_what_is_gone(logs: Path) -> None:
    """Several configurations may have one directory of logs, and amtrmlog moves old ones away."""
    first, second = Reader(logs), Reader(logs)
    first.read(STAMPS[0])
    second.read(STAMPS[1])
    with opened(logs) as names:
        Reader(logs).read(*STAMPS[:2])
    assert names == []
    (logs / f"log.{STAMPS[0]}.0").unlink()
    Reader(logs).read(*STAMPS)
    assert STAMPS[0].encode() not in (logs / NAME).read_bytes()


def spoil(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"V0", b"VX"))


def cut(path: Path) -> None:
    os.truncate(path, 20)


def link(path: Path) -> None:
    path.rename(path.with_name("index"))
    path.symlink_to("index")


def hard_link(path: Path) -> None:
    os.link(path, path.with_name("index"))


def open_to_all(path: Path) -> None:
    path.chmod(0o622)


def make_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def make_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    "fault", [spoil, cut, link, hard_link, open_to_all, make_fifo, make_directory]
)
def test_an_index_that_is_damaged_or_not_ours_counts_for_nothing(
    logs: Path, fault: Callable[[Path], None]
) -> None:
    """The logs are read, and it is said why; where it can be, a good one takes its place."""
    Reader(logs).read()
    fault(logs / NAME)
    reader = Reader(logs)
    with opened(logs) as names:
        assert reader.labels() == ["V0", "V1", "V2"]
    assert len(names) == 3
    assert reader.notes
    assert NAME in reader.notes[0]
    with opened(logs) as names:
        assert Reader(logs).labels() == ["V0", "V1", "V2"]
    assert names == [] or fault is make_directory


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give a file away")
def test_an_index_of_another_user_counts_for_nothing(logs: Path) -> None:
    Reader(logs).read()
    os.chown(logs / NAME, 65534, 65534)
    reader = Reader(logs)
    with opened(logs) as names:
        reader.read()
    assert len(names) == 3
    assert "no plain file of ours alone" in reader.notes[0]


def test_an_index_that_cannot_be_written_is_done_without(logs: Path) -> None:
    """Said, with the reason; nothing is left behind."""
    reader = Reader(logs)
    with patch("taper.run.log_index.write_all", side_effect=OSError(28, "No space left on device")):
        assert reader.labels() == ["V0", "V1", "V2"]
    assert reader.notes == [
        "the index of the trace logs was not written: [Errno 28] No space left on device"
    ]
    assert len(list(logs.iterdir())) == 3


def test_a_draft_that_a_killed_taper_left_is_taken_over(logs: Path) -> None:
    (logs / f"{NAME}.new").write_text("half an index, and longer than a whole one\n" * 100)
    Reader(logs).read()
    with opened(logs) as names:
        Reader(logs).read()
    assert names == []


def test_a_log_that_cannot_be_read_is_named(logs: Path) -> None:
    """With what follows from it."""
    path = logs / f"log.{STAMPS[1]}.0"
    path.unlink()
    path.mkdir()
    with pytest.raises(HistoryError, match=rf"{path}: Is a directory; what must be kept is not"):
        Reader(logs).read()


def test_a_log_that_is_tidied_away_meanwhile_is_no_trouble(logs: Path) -> None:
    """amtrmlog may run at any time."""
    reader = Reader(logs)
    with patch("os.listdir", return_value=[*os.listdir(logs), "log.20261103000000.1"]):
        assert reader.labels() == ["V0", "V1", "V2"]


def test_no_logs_at_all(tmp_path: Path) -> None:
    """A directory that is not there yet is not made, and none gets an index of nothing."""
    assert Reader(tmp_path / "absent").read() == []
    assert Reader(tmp_path).read() == []
    assert list(tmp_path.iterdir()) == []


def test_reading_is_given_up_when_the_taper_is_to_end(logs: Path) -> None:
    """Thousands of logs may take longer than a driver waits after QUIT."""
    reader = Reader(logs)
    reader.stop.set()
    with opened(logs) as names, pytest.raises(HistoryError, match="stopped"):
        reader.read()
    assert names == []
