"""The storages that dumps are read from."""

from __future__ import annotations

from typing import Any

import pytest
from zope.interface.verify import verifyObject

from protocols.conf import load
from taper.core.errors import DeviceFault, SourceFault
from taper.core.interfaces import IVaults
from taper.run.setup import SetupFailed
from taper.run.vaults import Vaults
from tests.core.vaulting import FakeVaults


def test_storages_that_cannot_be_opened() -> None:
    """The texts arrive as input errors."""
    text = b'define storage near {\n  tpchanger "chg-disk:/nowhere"\n}\nstorage "near"\n'
    config = load("CONF", {"/etc/amanda/CONF/amanda.conf": text}.get).config

    def refuse(storage: object) -> Any:
        raise SetupFailed("directory '/nowhere' does not exist")

    own = config.storages()[0]
    vaults = Vaults(config, own, refuse)
    verifyObject(IVaults, vaults)
    verifyObject(IVaults, FakeVaults(None))  # type: ignore[arg-type]
    with pytest.raises(SourceFault, match="Storage 'far' not found"):
        vaults.open_changer("far")
    with pytest.raises(SourceFault, match="directory '/nowhere' does not exist") as caught:
        vaults.open_changer("near")
    assert not isinstance(caught.value, DeviceFault)


def test_one_drive_for_both() -> None:
    """However it is called: nothing is opened."""
    text = b"""
define device tape {
  tapedev "ndmp:server@d0"
}
define changer lone {
  tpchanger "chg-single:tape"
}
define storage near {
  tpchanger "lone"
}
define storage far {
  tpchanger "ndmp:server@d0"
}
define storage other {
  tpchanger "ndmp:server@d1"
}
storage "near"
"""
    config = load("CONF", {"/etc/amanda/CONF/amanda.conf": text}.get).config
    opened: list[object] = []
    own = config.storages()[0]
    vaults = Vaults(config, own, opened.append)  # type: ignore[arg-type]
    drive = "far and near have the same single drive 'ndmp:server@d0'"
    with pytest.raises(SourceFault, match=drive):
        vaults.open_changer("far")
    assert not opened
    vaults.open_changer("other")
    assert len(opened) == 1
