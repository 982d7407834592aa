"""Removing what others have left over."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

Thing = TypeVar("Thing")


def tidy(things: Iterable[Thing], remove: Callable[[Thing], object]) -> None:
    """Remove things, one after another; one that cannot be removed keeps none of the others.

    :param remove: removes one; that it is gone already, as others tidy up too, is no error
    :raise OSError: what was wrong with the last that could not be removed
    """
    failed: OSError | None = None
    for thing in things:
        try:
            remove(thing)
        except FileNotFoundError:
            continue
        except OSError as fault:
            failed = fault
    if failed is not None:
        raise failed
