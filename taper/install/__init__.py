"""Our taper in the place of Amanda's, and back (``taperctl install | uninstall | status``); so too
what serves amrecover (``standin``).

Amanda's driver, or amandad, starts a fixed path. There we put a launcher that runs this
installation, and keep Amanda's own program beside it (``keeping``). Nothing is ever missing in
between: the launcher is renamed over Amanda's program, which has got a second name before. Where
Amanda is, and keeps things, she is asked (``asking``); ours reads it in a record at every start.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shlex
import sys
from collections.abc import Callable

from attrs import frozen

from protocols.installation import DEBIAN, Installation
from taper.daemon_client import NotServed, read_place
from taper.install.asking import ask, ask_version
from taper.install.moving import give_back, take_place
from taper.install.place import (
    LAUNCHER,
    MARK,
    State,
    interpreter,
    launcher_text,
    look_at,
    write_beside,
)
from taper.install.record import NO_DAEMON, check_daemon, evolve, write_daemon, write_record
from taper.install.refused import Refused
from taper.install.standin import PROGRAMS, RECOVERY, TAPER, Program
from taper.install.trying import check_launcher, check_owners, check_paths
from taper.installation import Unusable, read_record, record_path
from taper.last_words import tell
from taper.places import DAEMON, place_of, prefix_of
from taper.running import running_tapers

__all__ = [
    "LAUNCHER",
    "MARK",
    "RECOVERY",
    "TAPER",
    "Refused",
    "Wanted",
    "application_directory",
    "install",
    "record_for_application",
    "run",
    "status",
    "uninstall",
]

Say = Callable[[str], None]

_SHOWN = (
    "amlibexecdir",
    "config_dir",
    "amanda_tmpdir",
    "amanda_dbgdir",
    "localstatedir",
    "application_dir",
    "gnutar_listed_incremental_dir",
)
_KEPT = tuple(program.kept for program in PROGRAMS)
_NOT_COMPARED = ("amgetconf", "amlibexecdir", *_KEPT, "logdir", "mailer")
"""Of a record: what is ours to choose, or what Amanda's global configuration may change."""


@frozen(kw_only=True)
class Wanted:
    """What the command line names; None: Amanda is asked.

    :ivar taper: what the driver starts
    :ivar user: the dump user
    :ivar amgetconf: the program that tells
    :ivar daemon: where the daemon is that is to serve the driver, or ``none``; None: as it was
    :ivar program: which of ours is meant; the place of another than the taper is beside that
    """

    taper: str | None = None
    user: str | None = None
    amgetconf: str | None = None
    daemon: str | None = None
    program: Program = TAPER

    @property
    def named(self) -> str | None:
        """The path that the command line names; None: none."""
        if self.taper is None or self.program is TAPER:
            return self.taper
        return os.path.join(os.path.dirname(self.taper), self.program.name)


def run(action: Callable[[Say], None]) -> int:
    """Do one of the actions below. :return: the exit status"""
    try:
        action(print)
    except (Refused, Unusable, OSError) as fault:
        return tell("taperctl", str(fault), fault)
    return 0


def _need_root(what: str) -> None:
    if os.geteuid() != 0:
        raise Refused(f"{what} needs root")


def _need_silence(what: str, program: Program) -> None:
    """No taper runs: the driver of a run would start both kinds for it."""
    if program is not TAPER:
        return  # each recovery is on its own
    running = running_tapers()
    if running:
        pids = ", ".join(str(pid) for pid in running)
        raise Refused(f"a taper runs (process {pids}); {what} when its run is over")


# -- install ------------------------------------------------------------------------------------


def install(wanted: Wanted, say: Say) -> None:
    """Put our launcher where Amanda starts it, if the dump user can run it, and record where she
    keeps things; again is no mistake.

    :raise Refused: and everything is as before
    """
    _need_root("install")
    program = wanted.program
    if wanted.daemon is not None:
        check_daemon(wanted.daemon)
    _need_silence("install", program)
    found = ask(wanted.amgetconf)
    path = _place_in(found, wanted)
    user = wanted.user or found.client_login
    before = _replaceable_record()
    _refuse_another_amanda(before, path, program)
    place = look_at(path, before, program)
    place.refuse_strange()
    if place.state is State.MISSING:
        raise Refused(f"{path} is {place.words}")
    check_paths(user, path)
    python, command = shlex.quote(sys.executable), program.command(place.aside)
    text = LAUNCHER.format(mark=MARK, python=python, command=command)
    launcher = write_beside(path, text)
    try:
        with contextlib.ExitStack() as undo:
            kept = {} if before is None else {name: before.values()[name] for name in _KEPT}
            _record(evolve(found, amlibexecdir=os.path.dirname(path), **kept), before, undo)
            check_owners(record_path())
            check_launcher(launcher, user, program)  # which reads the record
            place = look_at(path, read_record(record_path()), program)
            already = place.launcher == text
            if not already:
                take_place(place, launcher)
            elif not place.kept and os.path.lexists(place.aside):
                place.keep()
            undo.pop_all()
    finally:
        if os.path.lexists(launcher):
            os.unlink(launcher)
    if wanted.daemon is not None:
        write_daemon(place_of(DAEMON), wanted.daemon)
        _say_daemon(program, sys.executable, say)
    if already:
        say(f"{path} is our {program.name} already, and {user} can run it.")
        return
    say(f"{path} is our {program.name} now; it runs {sys.executable}.")
    if place.keeper.protects:
        say(f"Amanda's own is kept as {place.aside}; upgrades of Amanda go there too.")
    else:
        say(f"Amanda's own is kept as {place.aside}.")
        say(
            "An upgrade of Amanda puts its own over ours: "
            f'then run "taperctl install{program.option}" again.'
        )
    say(f"To go back: taperctl uninstall{program.option}")


def _place_in(found: Installation, wanted: Wanted) -> str:
    """The path for us. :raise Refused: the one that is named is not of the Amanda that was asked"""
    if wanted.named is None:
        return _place_of(wanted.program, found)
    directory = os.path.dirname(wanted.named)
    if wanted.amgetconf is None and os.path.realpath(directory) != os.path.realpath(
        found.amlibexecdir
    ):
        raise Refused(
            f"{found.amgetconf} is of the Amanda that has its taper in {found.amlibexecdir}; "
            f"--amgetconf names the one that belongs to {wanted.named}"
        )
    return wanted.named


def _place_of(program: Program, installation: Installation) -> str:
    return f"{installation.amlibexecdir}/{program.name}"


def _replaceable_record() -> Installation | None:
    """Our record; None: there is none, or it is not fit to be one, which hinders nobody here."""
    try:
        return read_record(record_path())
    except Unusable:
        return None


def _refuse_another_amanda(before: Installation | None, path: str, program: Program) -> None:
    """An installation of ours has one record, so it can work for one Amanda."""
    if before is None or path == _place_of(program, before):
        return
    for each in PROGRAMS:
        there = _place_of(each, before)
        launcher = launcher_text(there) or ""
        if f"\nexec {shlex.quote(sys.executable)} " in launcher:
            raise Refused(
                f"this installation of ours is in place of {there} already; "
                f"for {path} make another virtual environment, or uninstall first"
            )


def _record(
    installation: Installation, before: Installation | None, undo: contextlib.ExitStack
) -> None:
    path = record_path()
    if before == installation:
        return
    write_record(path, installation)
    if before is None:
        undo.callback(os.unlink, path)
    else:
        undo.callback(write_record, path, before)


# -- uninstall ----------------------------------------------------------------------------------


def uninstall(wanted: Wanted, say: Say) -> None:
    """Give Amanda's own program its place back; takes away only what ``install`` made. The record
    stays with this installation: its other programs need it.

    :raise Refused: and everything is as before
    """
    _need_root("uninstall")
    program = wanted.program
    _need_silence("uninstall", program)
    recorded = _replaceable_record()
    path = wanted.named or _place_of(program, _known(recorded, wanted))
    place = look_at(path, recorded, program)
    place.refuse_strange()
    say(give_back(place))
    if program is TAPER:
        write_daemon(place_of(DAEMON), NO_DAEMON)


def _known(recorded: Installation | None, wanted: Wanted) -> Installation:
    """The installation: as asked for, as recorded, as she says, as Debian has her."""
    if wanted.amgetconf is None and recorded is not None:
        return recorded
    try:
        return ask(wanted.amgetconf)
    except Refused:
        if wanted.amgetconf is not None:
            raise
        return DEBIAN


# -- the application ----------------------------------------------------------------------------


def application_directory(wanted: Wanted) -> str:
    """Where Amanda's client looks for applications, as far as is known."""
    return _known(read_record(record_path()), wanted).application_dir


def record_for_application(wanted: Wanted) -> None:
    """Record where Amanda keeps things, unless it is recorded: our application needs it, on a
    client as well, where there is no taper to install.

    :raise Refused: Amanda does not say
    :raise OSError: it cannot be written
    """
    if read_record(record_path()) is None:
        write_record(record_path(), ask(wanted.amgetconf))


# -- status -------------------------------------------------------------------------------------


def status(wanted: Wanted, say: Say) -> None:
    """Say whose program is in place, and where Amanda keeps things; of ours, check all that
    ``install`` checks.

    :raise Refused: neither Amanda's nor ours, the dump user cannot run ours, or Amanda keeps things
        elsewhere than ours supposes
    """
    program = wanted.program
    recorded = read_record(record_path())
    path = wanted.named or _place_of(program, _known(recorded, wanted))
    place = look_at(path, recorded, program)
    place.refuse_strange()
    if place.state is State.STOCK:
        say(f"{path} is {place.words}.")
        try:
            _say_where(ask(wanted.amgetconf), say)
        except Refused as fault:
            say(f"Where it keeps things is not known: {fault}")
        return
    if place.launcher is None:
        raise Refused(f"{path} is {place.words}.")
    say(f"{path} is our {program.name}: {place.runs}")
    kept = "kept as" if os.path.exists(place.aside) else "gone: there is no"
    say(f"Amanda's own is {kept} {place.aside}")
    python = interpreter(path, place.command)
    _say_daemon(program, python, say)
    supposed = _check_record(record_path(python), wanted, say)
    user = wanted.user or supposed.client_login
    if os.geteuid() != 0:
        user = pwd.getpwuid(os.geteuid()).pw_name
    check_paths(user, path, python)
    check_launcher(path, user, program, python)
    say(f"User {user} can run it.")


def _check_record(path: str, wanted: Wanted, say: Say) -> Installation:
    """Say where the installation of ours with this record supposes Amanda's things.

    :raise Refused: she says otherwise
    """
    if os.geteuid() == 0 and os.path.lexists(path):
        check_owners(path)
    supposed = read_record(path) or DEBIAN
    _say_where(supposed, say)
    said = ask(wanted.amgetconf or supposed.amgetconf)
    compare = {name: said.values()[name] for name in said.fields if name not in _NOT_COMPARED}
    if supposed == DEBIAN:
        del compare["amperldir"]  # which depends on the architecture
    different = [
        f"{name} {value}, not {getattr(supposed, name)}"
        for name, value in compare.items()
        if value != getattr(supposed, name)
    ]
    if different:
        raise Refused(
            f'{said.amgetconf} says: {"; ".join(different)}. "taperctl install" records that'
        )
    return supposed


def _say_daemon(program: Program, python: str, say: Say) -> None:
    """Say which daemon serves the driver, if one does."""
    if program is not TAPER:
        return
    path = place_of(DAEMON, prefix_of(python))
    if os.geteuid() == 0 and os.path.lexists(path):
        check_owners(path)
    try:
        where = read_place(path)
    except NotServed as reason:
        raise Refused(f'{reason}; "taperctl install --daemon" writes it anew') from reason
    if where is not None:
        say(f"The daemon at {where} serves Amanda's driver; without it our taper does.")


def _say_where(installation: Installation, say: Say) -> None:
    version = ask_version(installation.amgetconf)
    say(f"Amanda {version}, user {installation.client_login}, keeps things in:")
    for name in _SHOWN:
        say(f"  {name} {getattr(installation, name)}")
