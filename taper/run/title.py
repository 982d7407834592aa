"""What ``ps`` shows of a taper.

Amanda's ``amcleanup`` looks there: a process that the trace log names is one of the run if the
first word of its command, without directories, is ``taper``. Ours would be ``python3``; with the
driver gone, ``amcleanup`` would go to work beside a taper that writes.
"""

import sys
from _frozen_importlib_external import PathFinder

TYPE_CHECKING = False  # as typing has it, which need not be imported
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

PROGRAM = "taper"


def show(words: "Sequence[str]") -> str:
    """Show this process as a taper with these arguments. :return: what was shown before

    :raise ImportError, OSError, MemoryError: what does it cannot be had
    """
    title = _setproctitle()
    before: str = title.getproctitle()
    title.setproctitle(" ".join([PROGRAM, *words]))
    return before


def show_again(title: str) -> None:
    """Show what was shown before, as a daemon does between two conversations: ``amcleanup`` would
    wait for it as long as it lives, since it looks for the end of processes, not of records."""
    _setproctitle().setproctitle(title)


def _setproctitle() -> "Any":
    """The package; or, in a process that logs nothing, the module in it that does the work, since
    the package imports ``logging``, which takes such a process longer than all else."""
    if "logging" not in sys.modules:
        found = _module_alone("setproctitle", "_setproctitle")
        if found is not None:
            return found
    import setproctitle

    return setproctitle


def _module_alone(package: str, name: str) -> "Any":
    """A module in C of a package, without the package; None: there is no such module."""
    if name in sys.modules:
        return sys.modules[name]
    around = PathFinder.find_spec(package)
    if around is None:
        return None
    found = PathFinder.find_spec(name, around.submodule_search_locations)
    if found is None or found.loader is None:
        return None
    module = found.loader.create_module(found)
    if module is None:
        return None
    found.loader.exec_module(module)
    sys.modules[name] = module
    return module
