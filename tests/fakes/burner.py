"""A DVD burner made of directories: programs that do what growisofs, mount and umount do to a disc.

What they obey is known from the manual pages of growisofs(1) and mount(8). A disc is a directory;
mounted, the mount point is a link to it. ``growisofs -Z`` replaces what is on the disc, so it
writes to a blank or rewritable one; it refuses one that is too small, write-protected or missing.
"""

from __future__ import annotations

from pathlib import Path
from shlex import quote

_GROWISOFS = """#!/bin/sh
echo "growisofs $*" >>{root}/calls
for last in "$@"; do :; done
[ "$1 $2 $4 $5 $6 $7" = "-use-the-force-luke -Z -J -R -pad -quiet" ] || exit 22
[ "$3" = {root}/drive ] || {{ echo ":-( unable to open64(\\"$3\\"): No such file" >&2; exit 2; }}
. {root}/faults
[ -d {root}/disc ] || {{ echo ':-( no media mounted, exiting...' >&2; exit 251; }}
[ -e {root}/protected ] && {{ echo ':-( media is not writable, exiting...' >&2; exit 252; }}
size=$(du -sk "$last" | cut -f 1)
[ "$size" -gt "$(cat {root}/capacity)" ] && {{
    echo ":-( $size KiB are too much for this disc" >&2; exit 28; }}
rm -rf {root}/disc/..?* {root}/disc/* && cp -a "$last"/. {root}/disc/ && touch {root}/burned
"""
_MOUNT = """#!/bin/sh
echo "mount $*" >>{root}/calls
. {root}/faults
[ -L "$1" ] && {{ echo "mount: $1: already mounted" >&2; exit 32; }}
[ -e {root}/burned ] || {{ echo "mount: $1: no medium found or unknown file system" >&2; exit 32; }}
rmdir "$1" && ln -s {root}/disc "$1"
"""
_UMOUNT = """#!/bin/sh
echo "umount $*" >>{root}/calls
. {root}/faults
[ -L "$1" ] || {{ echo "umount: $1: not mounted" >&2; exit 32; }}
rm "$1" && mkdir "$1"
"""


class Burner:
    """A drive with a blank disc in it.

    :param seen: the same place, as the programs see it that use the drive; None: the same path
    :ivar cache: the cache directory
    :ivar mount_point: where discs are mounted
    :ivar programs: has the three programs
    """

    def __init__(self, root: Path, seen: str | None = None) -> None:
        self.place(root, seen)
        for directory in (self.cache / "data", self.mount_point, self.programs):
            directory.mkdir(parents=True)
        (root / "drive").touch()
        self.set(capacity=4_482_625)
        self.faults()
        for name, text in (("growisofs", _GROWISOFS), ("mount", _MOUNT), ("umount", _UMOUNT)):
            program = self.programs / name
            program.write_text(text.format(root=quote(self.seen)))
            program.chmod(0o755)
        self.insert_blank()

    def place(self, root: str | Path, seen: str | None = None) -> None:
        """Be the one that was made there."""
        self.root = Path(root)
        self.seen = seen or str(root)
        self.cache = self.root / "cache"
        self.mount_point = self.root / "mnt"
        self.programs = self.root / "bin"

    @property
    def name(self) -> str:
        """Of the device."""
        return f"dvdrw:{self.seen}/cache:{self.seen}/drive"

    @property
    def properties(self) -> dict[str, str]:
        """That name the programs and the mount point."""
        named = {
            f"dvdrw_{name}_command": f"{self.seen}/bin/{name}"
            for name in ("growisofs", "mount", "umount")
        }
        return {"dvdrw_mount_point": f"{self.seen}/mnt", **named}

    def set(self, *, capacity: int) -> None:
        """How many KiB a disc has."""
        (self.root / "capacity").write_text(f"{capacity}\n")

    def faults(self, text: str = "") -> None:
        """What each program does before its work, in the words of a shell; ``$0`` is which."""
        (self.root / "faults").write_text(f"{text}\n")

    def eject(self, name: str = "") -> None:
        """Take the disc out, to a shelf if it has a name there."""
        disc, burned = self.root / "disc", self.root / "burned"
        if name:
            disc.rename(self.root / name)
        else:
            disc.rename(self.root / f"gone{len(list(self.root.iterdir()))}")
        burned.unlink(missing_ok=True)

    def insert_blank(self) -> None:
        """Put a blank disc in."""
        (self.root / "disc").mkdir()

    def insert_empty(self) -> None:
        """Put a disc in that has a file system, and nothing of Amanda's in it."""
        (self.root / "disc").mkdir(exist_ok=True)
        (self.root / "burned").touch()

    def insert(self, name: str) -> None:
        """Put a burned disc from the shelf in."""
        (self.root / name).rename(self.root / "disc")
        (self.root / "burned").touch()

    def protect(self) -> None:
        """Let the disc be one that cannot be written."""
        (self.root / "protected").touch()

    def calls(self) -> list[str]:
        """The command lines of the programs, since this was asked for last."""
        path = self.root / "calls"
        found = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return found

    def files(self, where: str = "disc") -> dict[str, bytes]:
        """The volume on the disc, or in the cache."""
        place = self.root / where / "data"
        return {path.name: path.read_bytes() for path in sorted(place.iterdir())}
