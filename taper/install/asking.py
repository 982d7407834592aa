"""Asking an installation of Amanda where it keeps things [amanda-3.5.4 13].

Amanda's ``amgetconf`` knows the values of its build, and the defaults of parameters; where changer
states are it does not tell, but the Perl library does that it names.
"""

from __future__ import annotations

import os
import subprocess

from protocols.installation import Installation, InstallationError, check
from taper.install.programs import find
from taper.install.refused import Refused
from taper.ownership import not_roots_alone

_SECONDS = 60
_PROGRAM = "amgetconf"

_BUILD = (
    "client_login",
    "amlibexecdir",
    "application_dir",
    "amperldir",
    "config_dir",
    "amanda_tmpdir",
    "amanda_dbgdir",
    "gnutar_listed_incremental_dir",
    "uncompress_path",
)
_DEFAULTS = ("logdir", "mailer")
_STATES = "print $Amanda::Paths::localstatedir"


def find_amgetconf(given: str | None) -> str:
    """The program to ask. :raise Refused: there is none"""
    if given is not None:
        if not os.path.isabs(given) or not os.access(given, os.X_OK):
            raise Refused(f"{given} cannot be asked: expected the absolute path of an amgetconf")
        return given
    found = find(_PROGRAM)
    if found is None:
        raise Refused(
            f"there is no {_PROGRAM}, which tells where Amanda keeps things; is Amanda installed? "
            f"--amgetconf names the program where it is elsewhere"
        )
    return found


def ask(given: str | None = None) -> Installation:
    """Ask for everything.

    :param given: the ``amgetconf`` to ask; None: the one that is found
    :raise Refused: there is none, root should not run it, or it does not say
    """
    program = find_amgetconf(given)
    _trust(program)
    values = {"amgetconf": _checked(program, "amgetconf", program)}
    for name in _BUILD:
        values[name] = _value(program, name, f"build.{name}")
    for name in _DEFAULTS:
        values[name] = _value(program, name, name)
    values["localstatedir"] = _states(program, values["amperldir"])
    return Installation(**values)


def ask_version(program: str) -> str:
    """The version of Amanda, for people. :raise Refused: it does not say"""
    _trust(program)
    return _said([program, "build.version"])


def _states(program: str, library: str) -> str:
    include = [f"-I{library}"] if library else []
    if library:
        _trust(library)
    perl = find("perl")
    if perl is None:
        raise Refused("there is no perl, which Amanda's programs need")
    _trust(perl)
    said = _said([perl, *include, "-MAmanda::Paths", "-e", _STATES])
    return _checked(program, "localstatedir", said)


def _trust(path: str) -> None:
    """Whoever is not root can harm only himself."""
    if os.geteuid() != 0:
        return
    reason = not_roots_alone(os.path.abspath(path))
    if reason is not None:
        raise Refused(reason)


def _value(program: str, name: str, parameter: str) -> str:
    return _checked(program, name, _said([program, parameter]))


def _checked(program: str, name: str, value: str) -> str:
    try:
        return check(name, value)
    except InstallationError as fault:
        raise Refused(f"{program}: {fault}") from None


def _said(command: list[str]) -> str:
    """The one line that a program says, in a directory where no configuration is."""
    try:
        done = subprocess.run(
            command,
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
            timeout=_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise Refused(f"{' '.join(command)}: no answer in {_SECONDS} s") from None
    if done.returncode:
        said = (done.stderr or done.stdout).strip().split("\n")[-1]
        raise Refused(f"{' '.join(command)}: status {done.returncode}, {said or 'nothing said'}")
    return done.stdout.removesuffix("\n")
