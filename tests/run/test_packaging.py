"""What a wheel of ours has; ``make dist`` and ``make deb`` build and try the real ones."""

from __future__ import annotations

import fnmatch
import re
import tomllib
from pathlib import Path

from taper import __version__
from tests.docs.markdown import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
TOPS = ("devices", "protocols", "taper", "twisted")


def files() -> list[Path]:
    """All below our packages, from the root on."""
    return [
        path.relative_to(ROOT)
        for top in TOPS
        for path in (ROOT / top).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.name != "dropin.cache"
    ]


def test_every_package_is_in_the_wheel() -> None:
    found = {".".join(path.parent.parts) for path in files() if path.suffix == ".py"}
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == found


def test_every_other_file_of_a_package_is_in_the_wheel() -> None:
    data = PROJECT["tool"]["setuptools"]["package-data"]
    for path in files():
        if path.suffix != ".py":
            patterns = [
                f"{package.replace('.', '/')}/{pattern}"
                for package, patterns in data.items()
                for pattern in patterns
            ]
            assert any(fnmatch.fnmatch(str(path), pattern) for pattern in patterns), path


def test_version_of_the_debian_package() -> None:
    """It is that of the project."""
    (version,) = re.findall(r"\((.*?)\)", (ROOT / "debian/changelog").read_text().splitlines()[0])
    assert version == __version__ == PROJECT["project"]["version"]
