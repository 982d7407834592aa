"""The steps by which our launcher takes the place of Amanda's program, and gives it back.

A step is a rename or a link, so that a program is there whenever Amanda looks, and whoever is
killed between two steps leaves a state that the next install or uninstall goes on from.
"""

from __future__ import annotations

import contextlib
import os

from taper.install.place import Place, State, write_beside


def take_place(place: Place, launcher: str) -> None:
    """Second name, keeper, launcher; what was done is undone if one of them fails.

    :param launcher: a file beside it that is renamed
    :raise Refused, OSError: one of them did
    """
    with contextlib.ExitStack() as undo:
        if place.state is State.STOCK:
            os.link(place.path, place.aside)
            undo.callback(os.unlink, place.aside)
        elif place.state is State.OVERWRITTEN:
            _put_newer_aside(place)
        if not place.kept:
            place.keep()
            undo.callback(place.give_up)
        os.rename(launcher, place.path)
        undo.pop_all()


def _put_newer_aside(place: Place) -> None:
    """The program that an upgrade has brought takes the place of the one before it."""
    name = write_beside(place.path, "")
    os.unlink(name)
    os.link(place.path, name)
    os.rename(name, place.aside)


def give_back(place: Place) -> str:
    """Undo whatever of it was done.

    :return: what has become of it, for people
    :raise Refused, OSError: it could not be, and ours is in place as before
    """
    path, name = place.path, place.program.name
    gone = f"{path} is Amanda's own {name}, and what was left of ours is gone."
    if place.state in (State.STOCK, State.MISSING):
        if place.kept:  # as somebody left it who was killed at the last step
            place.give_up()
        return f"{path} is {place.words}. There is nothing to take back."
    if place.state is State.HALF:
        place.give_up()
        os.unlink(place.aside)
        return gone
    if place.state is State.OVERWRITTEN:
        os.unlink(place.aside)
        place.give_up()
        return gone
    if os.path.lexists(place.aside):
        _rename_back(place)
        return f"{path} is Amanda's own {name} again."
    place.give_up()
    if place.launcher is not None:
        os.unlink(path)
    return f"Our {name} is gone from {path}. Amanda's own was not there any more."


def _rename_back(place: Place) -> None:
    """Amanda's program over the launcher, then it is kept no more; undone if that fails."""
    launcher = write_beside(place.path, place.launcher or "")
    try:
        os.rename(place.aside, place.path)
        try:
            place.give_up()
        except BaseException:
            os.link(place.path, place.aside)
            if place.launcher is None:
                os.unlink(place.path)
            else:
                os.rename(launcher, place.path)
            raise
    finally:
        if os.path.lexists(launcher):
            os.unlink(launcher)
