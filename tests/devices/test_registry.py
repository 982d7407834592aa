"""How a name becomes a device."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from attrs import frozen

from devices.errors import DriveFailed
from devices.indirect import ILateListener, IndirectTCP
from devices.registry import CHANGERS, DEVICES, load_factory
from devices.registry import open_blocking_device as open_device
from devices.tape import TapeDevice


@frozen
class Section:
    tapedev: str | None


@frozen
class Sections:
    sections: dict[str, Section]

    def device(self, name: str, /) -> Section | None:
        return self.sections.get(name)


DEVICES_HERE = f"devices here are {', '.join(sorted(DEVICES))}"
CHANGERS_HERE = f"changers here are {', '.join(sorted(f'chg-{kind}' for kind in CHANGERS))}"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("", '"" is not a valid device name'),
        (":x", '":x" is not a valid device name'),
        ("foobar:x", f'Device type "foobar" is not known; {DEVICES_HERE}'),
        ("fil:/x", f'Device type "fil" is not known (did you mean "file"?); {DEVICES_HERE}'),
        ("FILE:/x", f'Device type "FILE" is not known (did you mean "file"?); {DEVICES_HERE}'),
        ("tap:/x", f'Device type "tap" is not known (did you mean "tape"?); {DEVICES_HERE}'),
        (
            "dvdrw:/cache",
            "DVDRW device requires cache directory and DVD-RW device separated by a colon (:) in "
            "tapedev: 'dvdrw:/cache'",
        ),
        (
            "chg-dsk:/x",
            'Device type "chg-dsk" is not known: there is no changer chg-dsk '
            f'(did you mean "chg-disk"?); {CHANGERS_HERE}',
        ),
        (
            "chg-robot:/dev/sg1",
            'Device type "chg-robot" is not known: it is a changer, and a device is wanted; '
            + DEVICES_HERE,
        ),
        (
            "chg-rait:{a,b}",
            'Device type "chg-rait" is not known: it is a changer, and a device is wanted; '
            + DEVICES_HERE,
        ),
        ("s3:", "Empty bucket name in device s3:"),
        ("s3:/x", "Empty bucket name in device s3:/x"),
        ("bare", 'Device "bare" has no tapedev'),
    ],
)
def test_bad_names(name: str, text: str) -> None:
    """What is no device is refused in stock's words first, and each kind has more of its own."""
    with pytest.raises(DriveFailed) as caught:
        open_device(name, Sections({"bare": Section(None)}))
    assert caught.value.text == text


def test_alias(tmp_path: Path) -> None:
    """A device keeps its alias as its name, and opening it touches nothing."""
    config = Sections({"vtape": Section(f"file:{tmp_path}/none")})
    device = open_device("vtape", config)
    assert device.name == "vtape"
    assert device.properties["canonical_name"].value == "vtape"
    assert not any(tmp_path.iterdir())
    assert open_device(f"file:{tmp_path}", config).name == f"file:{tmp_path}"


def test_old_style_name() -> None:
    """A name without a colon is a tape, with a warning."""
    warnings: list[str] = []
    device = open_device("/dev/nst0", warn=warnings.append)
    assert isinstance(device, TapeDevice)
    assert device.name == "/dev/nst0"
    assert warnings == [
        '"/dev/nst0" uses deprecated device naming convention; \nusing "tape:/dev/nst0" instead.\n'
    ]


def test_every_entry_can_be_imported() -> None:
    """Each line of the tables names something that is there."""
    for entry in (*DEVICES.values(), *CHANGERS.values()):
        assert callable(load_factory(entry))


def test_only_the_ndmp_device_listens_late() -> None:
    """No other one stands behind a port that somebody must ask first."""
    late = set()
    for scheme, entry in DEVICES.items():
        made = load_factory(entry)
        if isinstance(made, type):
            assert not issubclass(made, IndirectTCP)
            assert not ILateListener.implementedBy(made)
        elif made.__annotations__["return"] == "IndirectTCP":
            late.add(scheme)
    assert late == {"ndmp"}


def test_importing_the_table_imports_no_device() -> None:
    """A start pays for the devices it uses only."""
    code = "import sys, devices.registry as r; print([m for m in sys.modules if 'devices.' in m])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "devices.file" not in done.stdout
    assert "devices.registry" in done.stdout
