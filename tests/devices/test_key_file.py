"""The key of a rendezvous."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from devices.key_file import LARGEST_PEM, FileRefused, read_key, read_pem
from protocols.rendezvous.keys import LARGEST_KEY, KeyRefused, key_of

KEY = "bTq1vT0l5Jb8mXy3"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "key"
    path.write_text(f"{KEY}\n")
    path.chmod(0o600)
    return path


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_good_one(path: Path, mode: int) -> None:
    """White space at its end is none of it."""
    path.chmod(mode)
    assert read_key(str(path)) == KEY.encode()


@pytest.mark.parametrize("mode", [0o644, 0o660, 0o602, 0o601, 0o620])
def test_others_can_read_or_change_it(path: Path, mode: int) -> None:
    """Then it is no secret."""
    path.chmod(mode)
    with pytest.raises(KeyRefused, match=f"^{path}: others can .* mode is {mode:04o}, not 0600"):
        read_key(str(path))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_owners(path: Path) -> None:
    """Ours or root's; a group of root's choice may read it."""
    path.chmod(0o640)
    assert read_key(str(path)) == KEY.encode()
    path.chmod(0o600)
    os.chown(path, 1, 0)
    with pytest.raises(KeyRefused, match="it belongs to user 1"):
        read_key(str(path))


def test_no_file(tmp_path: Path) -> None:
    """Nor is a directory one, or a FIFO, which nobody waits for."""
    with pytest.raises(KeyRefused, match="none: No such file or directory"):
        read_key(str(tmp_path / "none"))
    with pytest.raises(KeyRefused, match="Is a directory"):
        read_key(str(tmp_path))
    os.mkfifo(tmp_path / "fifo", 0o600)
    with pytest.raises(KeyRefused, match="not a regular file"):
        read_key(str(tmp_path / "fifo"))


def test_sizes(path: Path) -> None:
    """Too short can be guessed, too long is no key."""
    path.write_text("x" * 15 + " \n\n")
    with pytest.raises(KeyRefused, match=f"^{path}: the key has 15 bytes, at least 16 are needed"):
        read_key(str(path))
    path.write_text("x" * (1 << 20))
    with pytest.raises(KeyRefused, match=f"longer than {LARGEST_KEY} bytes"):
        read_key(str(path))
    assert key_of(b"x" * LARGEST_KEY) == b"x" * LARGEST_KEY


def test_files_of_tls(path: Path) -> None:
    """Certificates may be read by all, and changed by none; a private key is a key."""
    path.chmod(0o644)
    assert read_pem(str(path), secret=False) == f"{KEY}\n".encode()
    with pytest.raises(FileRefused, match="others can read or change it"):
        read_pem(str(path), secret=True)
    for mode in (0o664, 0o646):
        path.chmod(mode)
        with pytest.raises(FileRefused, match=f"^{path}: others can change it: .* {mode:04o}"):
            read_pem(str(path), secret=False)
    path.chmod(0o600)
    assert read_pem(str(path), secret=True) == f"{KEY}\n".encode()
    path.write_bytes(bytes(LARGEST_PEM + 1))
    with pytest.raises(FileRefused, match=f"longer than {LARGEST_PEM} bytes"):
        read_pem(str(path), secret=True)
