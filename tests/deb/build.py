"""The package, built from a source tree by dpkg-buildpackage, and looked at by lintian."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from tests.deb.rooms import Failed, Room, room, say, stock

ROOT = Path(__file__).parents[2]
NO_ADDRESS = "bogus-mail-host,bogus-mail-host-in-debian-changelog"
"""The project has no address where mail is read; whoever publishes the package has one."""
UNUSED = ("test", "docs")
"""Extras of the project that debian/rules leaves out."""
TOOLS = ("build-essential", "debhelper", "lintian", "python3", "python3-pip", "python3-venv")


def build(rooms: Path, result: Path) -> Path:
    """Build the package.

    :param rooms: where Debians are kept
    :param result: where to put it
    :return: the package
    """
    tar = stock(rooms / "build.tar", TOOLS)
    with room(tar) as place:
        tree = place.path / "build/twisted-taper"
        _copy_tree(tree)
        say("collecting the wheels")
        _collect(tree / "debian/wheels")
        say("building the package")
        place.run("sh", "-ec", "cd /build/twisted-taper && dpkg-buildpackage -us -uc -b")
        say("lintian looks at it")
        options = f"--allow-root --fail-on error --tag-display-limit 0 --suppress-tags {NO_ADDRESS}"
        said = place.shell(f"cd /build && lintian {options} *.changes")
        say(said.rstrip() or "it has nothing to say")
        return _fetch(place, result)


def _copy_tree(tree: Path) -> None:
    """What git knows, and what is new here and not ignored."""
    command = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for name in names.splitlines():
        if (ROOT / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, tree / name)


def _collect(wheels: Path) -> None:
    """What the package needs of others, and what builds it: the build itself needs no network."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    wanted = [*project["build-system"]["requires"], *project["project"]["dependencies"]]
    wanted += [each for name, extra in extras.items() if name not in UNUSED for each in extra]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--only-binary", ":all:"]
    subprocess.run([*command, "--dest", str(wheels), *wanted], check=True)


def _fetch(place: Room, result: Path) -> Path:
    found = list((place.path / "build").glob("*.deb"))
    if len(found) != 1:
        raise Failed(f"expected one package, found {[path.name for path in found]}")
    result.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copy2(found[0], result))
