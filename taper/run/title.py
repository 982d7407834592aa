"""What ``ps`` shows of a taper.

Amanda's ``amcleanup`` looks there: a process that the trace log names is one of the run if the
first word of its command, without directories, is ``taper``. Ours would be ``python3``; with the
driver gone, ``amcleanup`` would go to work beside a taper that writes.
"""

import sys

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
    """The package, or in a process that logs nothing the module in it that does the work: the
    package imports ``logging``, which takes such a process longer than all else that it does."""
    if "logging" not in sys.modules:
        found = _alone("setproctitle")
        if found is not None:
            return found
    import setproctitle

    return setproctitle


def _alone(name: str) -> "Any":
    """The module ``_NAME`` of a package, without the package; None: there is none."""
    if f"_{name}" in sys.modules:
        return sys.modules[f"_{name}"]
    for finder in sys.meta_path:
        package = finder.find_spec(name, None)
        if package is None:
            continue
        spec = finder.find_spec(f"{name}._{name}", package.submodule_search_locations)
        if spec is None or spec.loader is None:
            return None
        module = spec.loader.create_module(spec)
        if module is not None:
            spec.loader.exec_module(module)
        return module
    return None
