"""``python -m tests.dist DIRECTORY``: the wheel and the sdist there have all that they should.

Each file of a package that git knows is in the wheel, each file at all is in the sdist, and what
the wheel installs runs.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("devices/", "protocols/", "taper/", "twisted/")
PROGRAMS = ("amdirecttar", "taper", "taper-recovery", "taperctl")
NOT_SENT = (".gitignore",)


def known() -> list[str]:
    """The files of this tree, those that are new and not ignored among them."""
    command = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [name for name in names.splitlines() if (ROOT / name).is_file()]


def lacking(have: Iterable[str], wanted: Iterable[str]) -> list[str]:
    there = set(have)
    return [name for name in wanted if name not in there]


def check_wheel(path: Path) -> list[str]:
    """What is missing in the wheel."""
    with zipfile.ZipFile(path) as wheel:
        return lacking(wheel.namelist(), (name for name in known() if name.startswith(PACKAGES)))


def check_sdist(path: Path) -> list[str]:
    """What is missing in the sdist."""
    with tarfile.open(path) as sdist:
        names = [name.partition("/")[2] for name in sdist.getnames()]
    return lacking(names, (name for name in known() if name not in NOT_SENT))


def check_programs(path: Path) -> list[str]:
    """The programs of the wheel that do not run where it alone is installed."""
    with tempfile.TemporaryDirectory() as place:
        subprocess.run([sys.executable, "-m", "venv", place], check=True)
        programs = Path(place) / "bin"
        pip = [str(programs / "python"), "-m", "pip", "install", "--quiet", str(path)]
        subprocess.run(pip, check=True)
        return [
            name
            for name in PROGRAMS
            if subprocess.run([programs / name, "--version"], stdout=subprocess.DEVNULL).returncode
        ]


def main() -> int:
    (directory,) = map(Path, sys.argv[1:])
    (wheel,) = directory.glob("*.whl")
    (sdist,) = directory.glob("*.tar.gz")
    faults = [f"not in {wheel.name}: {name}" for name in check_wheel(wheel)]
    faults += [f"not in {sdist.name}: {name}" for name in check_sdist(sdist)]
    faults += [f"does not run: {name}" for name in check_programs(wheel)]
    print("\n".join(faults) or f"{wheel.name} and {sdist.name} have all that they should")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
