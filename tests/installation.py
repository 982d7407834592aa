"""Our taper, installed where the dump user can read it.

A checkout or its venv may lie below a private directory, as a fresh clone in a home directory
does; Amanda's dump user then cannot run the taper in it. So the packages, and what they need, are
copied to a world-readable place, with a launcher that can be bind-mounted over Amanda's taper.
"""

from __future__ import annotations

import compileall
import importlib.metadata
import os
import re
import shutil
import stat
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]

LAUNCHER = """#!{python} -I
import os
import sys

# as in a venv: what the system has in store for others is not ours
sys.path[:] = [path for path in sys.path if not path.endswith("-packages")]
sys.path.insert(0, {packages!r})
if os.environ.get("TAPER_REACTOR_ALARM"):
    import reactor_alarm

    reactor_alarm.arm(os.environ["TAPER_REACTOR_ALARM"])
# tapes are simulated drives
from devices.registry import DEVICES

DEVICES["tape"] = "tests.fakes.tape:SimulatedTape"
from taper.cli import main

main()
"""

UNUSED = re.compile(
    r"/twisted/(conch|mail|names|pair|runner|spread|trial|web|words)/|/(pygments|markdown_it|rich)/"
)
"""What no start of ours imports, and so needs no byte code."""


def needed() -> set[str]:
    """Names of the distributions that ours needs to run, for buckets, too, and what they need."""
    from packaging.requirements import Requirement  # pytest brings it along

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names: set[str] = set()
    waiting: list[str] = [*project["dependencies"], *project["optional-dependencies"]["s3"]]
    while waiting:
        requirement = Requirement(waiting.pop())
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        if requirement.name not in names:
            names.add(requirement.name)
            waiting += importlib.metadata.requires(requirement.name) or []
    return names


OTHER_SERVICES = re.compile(r"boto(core|3)/data/(?!s3/|[^/]*$)")
"""What boto3 knows of services that are no object store: hundreds of files."""


def _wanted(path: Path) -> bool:
    if OTHER_SERVICES.match(str(path)):
        return False
    return "__pycache__" not in path.parts and ".." not in path.parts and "test" not in path.parts


def _copy_distribution(name: str, target: Path) -> None:
    for file in importlib.metadata.files(name) or []:
        if _wanted(Path(file)):
            copy = target / file
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(str(file.locate()), copy)


def _copy_own(target: Path) -> None:
    for package in ("taper", "protocols", "devices", "twisted/plugins"):
        for source in (ROOT / package).rglob("*"):
            if source.is_file() and _wanted(source.relative_to(ROOT)):
                copy = target / source.relative_to(ROOT)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, copy)


def _copy_simulated_drives(target: Path) -> None:
    fakes = ROOT / "tests" / "fakes"
    for source in (fakes.parent / "__init__.py", fakes / "__init__.py", fakes / "medium.py",
                   *(fakes / "tape").glob("*.py")):  # fmt: skip
        copy = target / source.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, copy)


def _public_directory() -> str | None:
    """A directory for temporary things that everybody may enter; None: the usual one."""
    usual = Path(tempfile.gettempdir())
    if all(step.stat().st_mode & stat.S_IXOTH for step in (usual, *usual.parents)):
        return None
    return "/tmp"


def _interpreter() -> str:
    """The Python below our venv, which is not in a private place as the venv may be."""
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    base = Path(sys.base_prefix) / "bin" / name
    return str(base) if base.exists() else os.path.realpath(sys.executable)


def unreadable_python() -> str | None:
    """Why nobody but us can run a copy of ours; None: everybody can.

    It takes this interpreter, which may lie in a private directory as those of pyenv in a home
    directory do; what is built for it is of no use to another.
    """
    for path in (_interpreter(), os.path.realpath(os.__file__)):
        for step in (Path(path), *Path(path).parents):
            needed = stat.S_IXOTH if step.is_dir() else stat.S_IROTH
            if not step.stat().st_mode & needed:
                return f"others cannot read {path}, which this Python is made of"
    return None


def twistd_beside(launcher: Path) -> Path:
    """Twisted's command, in that installation."""
    found = launcher.parent / "twistd"
    text = launcher.read_text()
    if not found.exists():
        imported = "from twisted.scripts.twistd import run"
        text = text.replace("from taper.cli import main", imported).replace("\nmain()", "\nrun()")
        # where there is no taper to be about to start, the reactor is watched from now on
        watched = "from twisted.internet import reactor; reactor_alarm.watch(reactor, "
        text = text.replace("reactor_alarm.arm(", watched)
        found.write_text(text)
        shutil.copymode(launcher, found)
    return found


@contextmanager
def installed() -> Iterator[Path]:
    """A world-readable installation of the working tree as it is now, removed in the end.

    :return: the launcher, to be run like Amanda's taper
    """
    place = Path(tempfile.mkdtemp(prefix="taper-installed.", dir=_public_directory()))
    before = os.umask(0o022)
    try:
        place.chmod(0o755)
        packages = place / "packages"
        for name in sorted(needed()):
            _copy_distribution(name, packages)
        _copy_own(packages)
        _copy_simulated_drives(packages)
        shutil.copyfile(ROOT / "tests" / "reactor_alarm.py", packages / "reactor_alarm.py")
        # the dump user cannot write byte code; without it each start would compile everything
        compileall.compile_dir(packages, quiet=2, rx=UNUSED)
        launcher = place / "taper"
        launcher.write_text(LAUNCHER.format(python=_interpreter(), packages=str(packages)))
        launcher.chmod(0o755)
        os.umask(before)
        yield launcher
    finally:
        os.umask(before)
        shutil.rmtree(place)
