"""Which programs of Amanda's ours can stand in for."""

from __future__ import annotations

import os
import shlex
import sys
from typing import TYPE_CHECKING

from attrs import frozen

import taper
from taper.places import prefix_of

if TYPE_CHECKING:
    from taper.install.place import State

_WITHOUT_SITE = (
    'import sys; sys.path.append("%s/lib/python%d.%d/site-packages" % '
    '(sys.executable.rpartition("/bin/")[0], *sys.version_info[:2])); '
    "from {module} import {name}; {name}()"
)
"""``site``, which tells Python where packages are, and ``-m`` take half as long as Python takes to
be there at all. So the launcher tells it where, by the version that runs then: an upgrade of Python
moves them."""
_AT_ONCE = ("taper", "protocols", "setproctitle")
"""The packages that are needed before ``site`` has run."""


@frozen(kw_only=True)
class Program:
    """A program of ours, and which of Amanda's it stands in for.

    :ivar name: Amanda's
    :ivar module: what the launcher runs
    :ivar proof: imports all that a real start does
    :ivar kept: name of the value of our record that tells where Amanda's own is
    :ivar option: of taperctl, for it
    :ivar leaves: it leaves something to Amanda's own, so it is told where that is
    :ivar begin: the module's function to begin with where Python runs without ``site``; empty:
        there is none
    """

    name: str
    module: str
    proof: str
    kept: str
    option: str = ""
    leaves: bool = False
    begin: str = ""

    def command(self, aside: str) -> str:
        """What the launcher tells Python, as words of a shell.

        :param aside: where Amanda's own is kept
        """
        if self.begin and _can_do_without_site():
            code = _WITHOUT_SITE.replace("{module}", self.module).replace("{name}", self.begin)
            return f"-S -c {shlex.quote(code)}"
        amanda = f" --amanda {shlex.quote(aside)}" if self.leaves else ""
        return f"-m {self.module}{amanda}"

    def words(self, state: State) -> str:
        """What is at its place, for people."""
        return state.value.format(name=self.name, option=self.option)


def _can_do_without_site() -> bool:
    """What is needed at once is where such a launcher looks for it, as in a virtual environment."""
    home = prefix_of(sys.executable)
    place = "{}/lib/python{}.{}/site-packages".format(home, *sys.version_info[:2])
    return (
        home == sys.prefix
        and all(os.path.isfile(f"{place}/{name}/__init__.py") for name in _AT_ONCE)
        and os.path.samefile(f"{place}/taper", taper.__path__[0])
    )


TAPER = Program(
    name="taper", module="taper.cli", proof="taper.run.stdio", kept="kept", begin="begin"
)
"""What Amanda's driver starts."""

RECOVERY = Program(
    name="amidxtaped",
    module="taper.recovery.cli",
    proof="taper.recovery.session",
    kept="kept_amidxtaped",
    option=" --recovery",
    leaves=True,
)
"""What Amanda's amandad starts for amrecover."""

PROGRAMS = (TAPER, RECOVERY)
