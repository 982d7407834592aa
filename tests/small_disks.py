"""Small file systems of each kind, in an image that a loop device shows; for root only."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

MAKE = {
    "ext4": (24, ["mkfs.ext4", "-q", "-F", "-m", "0"]),
    "ext4-inodes": (24, ["mkfs.ext4", "-q", "-F", "-m", "0", "-N", "64"]),
    "xfs": (320, ["mkfs.xfs", "-q", "-f"]),
    "btrfs": (128, ["mkfs.btrfs", "-q", "-f"]),
    "btrfs-mixed": (32, ["mkfs.btrfs", "-q", "-f", "--mixed"]),
}
"""Kind: MiB that it needs at least, and the command that makes it."""


def make_image(kind: str, path: Path) -> None:
    """Make an image with a file system of a kind."""
    size, command = MAKE[kind]
    with path.open("wb") as image:
        image.truncate(size << 20)
    subprocess.run([*command, str(path)], check=True, capture_output=True, timeout=600)


@cache
def trouble(kind: str) -> str | None:
    """Why there can be no such file system here; None: there can."""
    program = MAKE[kind][1][0]
    if shutil.which(program, path="/usr/sbin:/sbin:/usr/bin:/bin") is None:
        return f"{program} is not installed"
    with TemporaryDirectory() as directory:
        image, place = Path(directory, "image"), Path(directory, "place")
        place.mkdir()
        make_image(kind, image)
        command = ["unshare", "-m", "mount", "-o", "loop", str(image), str(place)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    return f"cannot mount {kind}: {done.stderr[:200]}" if done.returncode else None
