"""Disklists as people write them (disklist(5))."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from protocols.disklist import MAX_FILES, Block, DiskEntry, find_disk, read_disklist


def files(**contents: str) -> Callable[[str], bytes]:
    def read(name: str) -> bytes:
        if name not in contents:
            raise FileNotFoundError(2, "No such file or directory", name)
        return contents[name].encode("utf-8", "surrogateescape")

    return read


def one(line: str) -> DiskEntry:
    (entry,) = read_disklist("d", files(d=line))
    return entry


@pytest.mark.parametrize(
    ("line", "entry"),
    [
        ("h /home tt", DiskEntry("h", "/home", None, "tt")),
        ("h /home tt # why", DiskEntry("h", "/home", None, "tt")),
        ("h /home tt 1", DiskEntry("h", "/home", None, "tt")),
        ("h /home tt -1 local", DiskEntry("h", "/home", None, "tt")),
        ("h root /dev/sda tt", DiskEntry("h", "root", "/dev/sda", "tt")),
        ("h root /dev/sda tt 2 local", DiskEntry("h", "root", "/dev/sda", "tt")),
        ("h root sda tt", DiskEntry("h", "root", "sda", "tt")),
        ('h "/a b" "t t"', DiskEntry("h", "/a b", None, "t t")),
        ('h "/a\\"b" tt', DiskEntry("h", '/a"b', None, "tt")),
        ("h /x { index no }", DiskEntry("h", "/x", None, Block(" index no "))),
        ("h /x /y { index no }", DiskEntry("h", "/x", "/y", Block(" index no "))),
        ("h /x {\n tt # }\n} 1\n", DiskEntry("h", "/x", None, Block("\n tt # }\n"))),
    ],
)  # fmt: skip
def test_entries(line: str, entry: DiskEntry) -> None:
    """Host, disk, perhaps a device, and a dumptype by name or in braces."""
    assert one(line) == entry


def test_what_is_no_entry() -> None:
    """Empty lines, comments, half lines and definitions are passed over."""
    text = "\n# nothing\nh\nh /half\ndefine dumptype x {\n index no\n}\nh /good tt\n"
    assert list(read_disklist("d", files(d=text))) == [DiskEntry("h", "/good", None, "tt")]


def test_files_that_include_each_other_twice_come_to_an_end() -> None:
    """Within a bound of files, not of ways through them, which double with each."""
    names: list[str] = []

    def read(name: str) -> bytes:
        names.append(name)
        return b"h /a tt\nincludefile e\nincludefile e\n"

    assert 0 < len(list(read_disklist("d", read))) <= MAX_FILES
    assert len(names) <= MAX_FILES


def test_included_files() -> None:
    """An included file's disks count; one that includes itself comes to an end."""
    read = files(d='h /a tt\nincludefile "e"\nh /c tt\n', e="h /b tt\nincludefile d\n")
    found = [entry.disk for entry in read_disklist("d", read)]
    assert found[:2] == ["/a", "/b"]
    assert "/c" in found


def test_finding_a_disk() -> None:
    """Hosts are compared without case, disks as they are."""
    read = files(d="Host.Example /a tt\nhost.example /A uu\n")
    found = find_disk("d", read, "host.example", "/A")
    assert found is not None
    assert found.dumptype == "uu"
    assert find_disk("d", read, "host.example", "/b") is None
    with pytest.raises(FileNotFoundError):
        find_disk("none", read, "host.example", "/a")


@example('""}\\')
@given(st.text(alphabet='h /{}"\\\n#atd\udcff', max_size=80))
def test_any_text_is_read(text: str) -> None:
    """No file does anything but give entries."""
    for entry in read_disklist("d", files(d=text)):
        assert entry.host
