"""A new installation: an empty directory, and a changer that may make its slots."""

import os

import pytest

from tests.conformance.harness import STAMP, VTAPES, Options, World
from tests.conformance.harness_talk import HANDLE, Conversation, split_by
from tests.conformance.harness_text import crc, payload

SMALL = payload(65_536)
DATA = payload(600_000)
NUM_SLOT = '  property "num-slot" "10"'
AUTO = '  property "auto-create-slot" "yes"'
TEMPLATE = f"{NUM_SLOT}\n{AUTO}"
REMOVABLE = f'{TEMPLATE}\n  property "removable" "yes"'
SCANS = ("traditional", "lexical", "oldest")


def installed(
    world: World, properties: str, scan: str, kind: str = "chg-disk", labels: str = ""
) -> Options:
    """A configuration with an empty directory of vtapes."""
    changer = f'define changer vtapes {{\n  tpchanger "{kind}:{VTAPES}"\n{properties}\n}}'
    plugin = f'define taperscan scan {{\n  plugin "{scan}"\n}}\ntaperscan "scan"'
    options = Options(slots=0, changer=f'{changer}\ntpchanger "vtapes"', extra=plugin)
    if labels:
        options.labels = labels
    world.configure(options)
    return options


def small_dump(world: World, talk: Conversation, label: str = "PROTO01") -> None:
    """Write a dump on the first volume."""
    talk.file_write(world.holding(SMALL))
    talk.grant(label)
    talk.ready()
    talk.part(label, 1, 65_536)
    talk.done(crc(SMALL))


@pytest.mark.parametrize("scan", SCANS)
@pytest.mark.parametrize(
    "properties",
    [
        pytest.param(TEMPLATE, id="template"),
        pytest.param(REMOVABLE, id="removable"),
        pytest.param(
            NUM_SLOT,
            id="num-slot",
            marks=pytest.mark.known_stock_failure("stock makes slots with auto-create-slot only"),
        ),
    ],
)
def test_an_empty_directory(world: World, scan: str, properties: str) -> None:
    """The first night finds a volume."""
    installed(world, properties, scan)
    if properties is REMOVABLE:
        world.mount_small(VTAPES, 8192)
    talk = world.start()
    talk.start_taper()
    small_dump(world, talk)
    talk.quit()
    made = [name for name in os.listdir(world.path(VTAPES)) if name.startswith("slot")]
    if not world.program.stock:
        assert made == ["slot1"]
    assert len(made) == 1


@pytest.mark.parametrize("scan", SCANS)
def test_the_next_volumes_of_a_new_directory(world: World, scan: str) -> None:
    """One slot after the other is made, as they are needed."""
    installed(world, f'{TEMPLATE}\n  device-property "MAX_VOLUME_USAGE" "360448"', scan)
    talk = world.start()
    talk.start_taper()
    talk.file_write(world.holding(DATA), split_by(262_144))
    for number, size in ((1, 262_144), (2, 262_144), (3, 75_712)):
        talk.grant(f"PROTO0{number}")
        if number == 1:
            talk.ready()
        talk.part(f"PROTO0{number}", 1, size)
    talk.done(crc(DATA))
    if not os.path.exists(world.path(f"{VTAPES}/slot0")):  # where stock begins with traditional
        world.check_dump(HANDLE, DATA)


@pytest.mark.parametrize("properties", ["", NUM_SLOT, TEMPLATE])
@pytest.mark.parametrize("scan", SCANS)
def test_an_empty_directory_of_flat_volumes(world: World, scan: str, properties: str) -> None:
    """Likewise with chg-diskflat, where slots are names only."""
    if world.program.stock and (scan != "traditional" and properties is not TEMPLATE):
        pytest.xfail("stock's inventory has no slot then")
    labels = 'labelstr "^PROTO-[0-9]*$"\nautolabel "PROTO-$2s" any'
    installed(world, properties, scan, "chg-diskflat", labels)
    talk = world.start()
    talk.start_taper()
    small_dump(world, talk, "PROTO-00" if flat_zero(world, scan, properties) else "PROTO-01")
    talk.quit()


def flat_zero(world: World, scan: str, properties: str) -> bool:
    """Stock begins with slot 0 where it has none to list."""
    return world.program.stock and scan == "traditional" and properties is not TEMPLATE


@pytest.mark.parametrize("program", ["amtape", "amlabel"])
def test_after_programs_of_stock(world: World, program: str) -> None:
    """What they leave in an empty directory is no obstacle, slot 0 included."""
    options = installed(world, TEMPLATE, "traditional")
    command = {
        "amtape": ("/usr/sbin/amtape", "PROTO", "reset"),
        "amlabel": ("/usr/sbin/amlabel", "PROTO", "PROTO77"),
    }[program]
    if not os.path.exists(command[0]):
        pytest.skip(f"{command[0]} is not installed")
    world.as_user("env", "-C", "/tmp/amanda", *command)
    options.labels = 'labelstr "^PROTO[0-9][0-9]$"\nautolabel "PROTO%%" any'
    talk = world.start()
    talk.start_taper()
    label = "PROTO77" if program == "amlabel" else "PROTO01"
    small_dump(world, talk, label)
    talk.quit()
    assert world.log(f'START taper datestamp {STAMP} "ST:PROTO" "POOL:PROTO" label {label}')
