"""What the maintainer scripts of a package of ours do: ``python3 -I -m taper.install.package``.

They go no way of their own: Amanda's programs are put aside, and back, by the same ``install`` and
``uninstall`` that ``taperctl`` has, so the two never disagree about whose a diversion is. An
administrator who has given a place back keeps it so: it is taken only where nothing is recorded.
"""

from __future__ import annotations

import os
import sys

from protocols.installation import DEBIAN
from taper.application.link import NAME, LinkRefused, interpreter_of, is_linked, unlink
from taper.install import Say, Wanted, install, uninstall
from taper.install.asking import ask
from taper.install.place import Place, State, interpreter, look_at
from taper.install.refused import Refused
from taper.install.standin import PROGRAMS, TAPER
from taper.installation import Unusable, read_record, record_path
from taper.last_words import guarded
from taper.running import running_tapers

ACTIONS = ("configure", "upgrade", "remove")


def configure(say: Say) -> None:
    """Take the place of Amanda's own taper, if nobody else has; whatever forbids it is told, and
    the package is installed all the same."""
    try:
        amanda = ask()
    except Refused as fault:
        say(f'Amanda\'s taper stays as it is: {fault}. "taperctl install" asks again.')
        return
    path = f"{amanda.amlibexecdir}/{TAPER.name}"
    try:
        place = look_at(path, read_record(record_path()), TAPER)
        if place.launcher is not None and not _runs_us(place):
            say(f'{path} is of another installation of ours: {place.runs}. "taperctl install" ')
            say("puts this one in its place.")
        elif place.state is State.MISSING:
            say(f"There is no {path}, so nothing is put in its place; for clients there is")
            say('"taperctl application install".')
        else:
            install(Wanted(), say)
    except (Refused, Unusable, OSError) as fault:
        say(f'{path} stays as it is: {fault}. "taperctl install" tries again.')


def upgrade(say: Say) -> None:
    """Nothing is done.

    :raise Refused: a taper runs: it imports what it needs when it needs it, and would find others
        there
    """
    running = running_tapers()
    if running:
        pids = ", ".join(str(pid) for pid in running)
        raise Refused(f"a taper runs (process {pids}); upgrade when its run is over")


def remove(say: Say) -> None:
    """Give back every place in which this installation is; those of others stay.

    :raise Refused, OSError: one cannot be given back, so this installation must stay
    """
    recorded = read_record(record_path())
    amanda = recorded or DEBIAN
    for program in PROGRAMS:
        path = f"{amanda.amlibexecdir}/{program.name}"
        if os.path.isdir(amanda.amlibexecdir) and _is_ours(look_at(path, recorded, program)):
            uninstall(Wanted(program=program), say)
    _remove_application(amanda.application_dir, say)
    if recorded is not None:
        os.unlink(record_path())


def _is_ours(place: Place) -> bool:
    """It was put there by this installation, or an install of it was cut short."""
    return place.kept if place.launcher is None else _runs_us(place)


def _runs_us(place: Place) -> bool:
    return interpreter(place.path, place.command) == sys.executable


def _remove_application(directory: str, say: Say) -> None:
    if not is_linked(directory):
        return
    path = os.path.join(directory, NAME)
    try:
        ours = interpreter_of(path) == sys.executable
    except LinkRefused:
        return  # somebody has changed it since, so it is his
    if ours:
        unlink(directory)
        say(f"{path} is gone.")


def main() -> None:
    """Do what a maintainer script asks for, and end with its exit status."""
    sys.exit(guarded("taperctl", _run))


def _run() -> int:
    if sys.argv[1:] not in ([action] for action in ACTIONS):
        raise Refused(f"expected one of {', '.join(ACTIONS)}")
    action = {"configure": configure, "upgrade": upgrade, "remove": remove}[sys.argv[1]]
    try:
        action(print)
    except (Refused, Unusable) as fault:
        sys.stderr.write(f"taperctl: {fault}\n")
        return 1
    return 0


if __name__ == "__main__":
    main()
