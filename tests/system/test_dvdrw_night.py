"""A night on a disc: a simulated burner, Amanda's driver around ours, and her own programs that
read it."""

from __future__ import annotations

import pytest

from tests.fakes.burner import Burner
from tests.system.amanda import Options
from tests.system.conftest import MakeAmanda

pytestmark = pytest.mark.system

HOME = "/var/lib/amanda/burner"


def test_a_night_on_a_disc(make_amanda: MakeAmanda) -> None:
    """Dumped, burned by the time amdump ends, and read from the disc; then a second night replaces
    what is on it."""
    amanda = make_amanda(Options(slots=0, tapecycle=1, runtapes=1))
    amanda.mkdir(HOME)
    burner = Burner(amanda.path(HOME), HOME)
    burner.insert_empty()
    amanda.inside("chown", "-R", "backup:backup", HOME)
    properties = "\n".join(
        f'device-property "{name}" "{value}"' for name, value in burner.properties.items()
    )
    changer = f'tpchanger "chg-single:{burner.name}"\n{properties}\n'
    amanda.configure(
        Options(slots=0, tapecycle=1, runtapes=1, extra=changer, tapetype="part-size 2 mbytes")
    )
    amanda.fill("home", 5)
    amanda.ask("amdump")
    assert amanda.tapelist() == ["SYS-01"]
    assert next(iter(burner.files())) == "00000.SYS-01"
    assert burner.files("cache") == {}
    amanda.report()
    amanda.check_restored("home", amanda.fetch("home"))
    amanda.satisfied("amcheckdump")

    amanda.fill("home", 4, seed=1)
    amanda.ask("amdump")
    assert amanda.tapelist() == ["SYS-01"]
    assert burner.files("cache") == {}
    amanda.check_restored("home", amanda.fetch("home"))
