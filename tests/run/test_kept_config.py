"""The configuration that a daemon keeps for the next command."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from taper.run import kept_config
from taper.run.kept_config import KeptConfig
from taper.run.options import Options
from taper.run.paths import Paths
from taper.run.setup import StartFailed

OLD = 1_000_000_000


class Kept:
    """What is kept, of a configuration that is old.

    :ivar reads: files that were read for the last one
    """

    def __init__(self, root: Path, patch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.reads: list[str] = []
        self.paths = Paths(config_root=str(root))
        self._kept = KeptConfig()
        (root / "C/directory").mkdir(parents=True)
        self.main = root / "C/amanda.conf"
        self.more = root / "C/more.conf"
        self.main.write_text('org "one"\nincludefile "more.conf"\nincludefile "directory"\n')
        self.more.write_text("tapecycle 5\n")
        read = kept_config.read_file

        def noting(path: str) -> bytes:
            self.reads.append(os.path.relpath(path, root))
            return read(path)

        patch.setattr(kept_config, "read_file", noting)
        # how long ago a file was changed cannot be set
        patch.setattr(kept_config, "is_settled", lambda seen: True)

    def load(self, *overrides: str) -> tuple[str, int, list[str], list[str]]:
        """:return: two of its settings, what was noted, and what was said"""
        noted: list[str] = []
        said: list[str] = []
        self.reads.clear()
        options = Options(config_name="C", overrides=overrides)
        config = self._kept.load(options, self.paths, noted.append, said.append, "/")
        return config.general.org, config.general.tapecycle, noted, said


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kept:
    return Kept(tmp_path, monkeypatch)


def test_what_has_not_changed_is_not_read_again(kept: Kept) -> None:
    """And all that it has to say is said again."""
    first = kept.load()
    assert "C/more.conf" in kept.reads
    assert first[:2] == ("one", 5)
    assert any("more.conf" in text for text in first[2])
    assert any("includes nothing" in text for text in first[3])
    assert kept.load() == first
    assert kept.reads == []
    assert kept.load("org=two")[0] == "two"
    assert kept.load()[0] == "one"


def same_size(kept: Kept) -> None:
    kept.more.write_text("tapecycle 6\n")


def same_times(kept: Kept) -> None:
    facts = kept.more.stat()
    same_size(kept)
    os.utime(kept.more, ns=(facts.st_atime_ns, facts.st_mtime_ns))


def another_file(kept: Kept) -> None:
    copy = kept.root / "copy"
    shutil.copy2(kept.more, copy)
    facts = copy.stat()
    copy.write_text("tapecycle 6\n")
    os.utime(copy, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    copy.rename(kept.more)


def another_before_it(kept: Kept) -> None:
    (kept.root / "amanda.conf").write_text("tapecycle 6\n")
    kept.more.write_text("\n")


@pytest.mark.parametrize("change", [same_size, same_times, another_file, another_before_it])
def test_a_change_is_seen(kept: Kept, change: Callable[[Kept], None]) -> None:
    """However little of it shows: of what was read, and of what was not there."""
    assert kept.load()[1] == 5
    change(kept)
    assert kept.load()[1] == 6


def test_what_cannot_be_read_any_more(kept: Kept) -> None:
    """It is an error as if nothing were kept, and nothing is."""
    kept.load()
    kept.more.unlink()
    with pytest.raises(StartFailed):
        kept.load()
    same_size(kept)
    assert kept.load()[1] == 6
    kept.more.unlink()
    kept.more.mkdir()
    assert kept.load()[1] != 6  # it includes nothing, which is a warning
    kept.load()
    assert kept.reads == []


def test_another_amanda(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a word means may depend on it."""
    kept.main.write_text('autolabel "x" any\n')
    versions = [(3, 5, 1)]
    monkeypatch.setattr(kept_config, "amanda_version", lambda: versions[0])
    kept.load()
    kept.load()
    assert kept.reads == []
    versions[0] = (3, 6, 0)
    kept.load()
    assert kept.reads != []


def test_a_file_that_was_changed_just_now(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not kept: after another change it might look the same."""
    monkeypatch.undo()
    kept.load()
    reading, _ = kept._kept._last  # type: ignore[misc]
    assert not reading.holds
    facts = kept_config.look(str(kept.main))
    assert not kept_config.is_settled(facts)
    assert kept_config.is_settled((*facts[:-2], 0, 0))
