"""An installation of ours that the dump user can read, and machines to put it in place on."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.installation import installed, unreadable_python
from tests.run.installing import Machine, make_venv


@pytest.fixture
def top() -> Iterator[Path]:
    """A directory that the dump user can enter; pytest's own he cannot."""
    with tempfile.TemporaryDirectory(prefix="install.") as directory:
        os.chmod(directory, 0o755)
        yield Path(directory)


@pytest.fixture(scope="session")
def packages() -> Iterator[Path]:
    """Our packages and what they need, where the dump user can read them."""
    reason = unreadable_python()
    if reason is not None:
        pytest.skip(reason)
    with installed() as launcher:
        yield launcher.parent / "packages"


@pytest.fixture(scope="session")
def python(packages: Path) -> str:
    return make_venv(packages.parent / "venv", packages)


@pytest.fixture
def machine(top: Path, python: str) -> Machine:
    return Machine(top, python)
