"""A simulated tape drive, in the place of a device file of the driver ``st``.

A drive is a directory, so that several processes, a simulated robot among them, see the same one::

    drive = make_drive(path)                        # a drive, empty
    cartridge = make_cartridge(file, capacity=...)  # a blank cartridge; also with facts of its own
    load(path, cartridge)                           # as a robot or an operator does
    unload(path)                                    # -> the cartridge that was in it
    stack(path, *cartridges)                        # it takes the next whenever one is ejected

A cartridge is a file in the format of ndmjob's simulated tape [ndmp 5.2], which the real ndmjob
reads; what else is to be known of it stands beside it in ``FILE.json``
(:class:`tests.fakes.tape.cartridge.CartridgeFacts`). :func:`open_simulated` is what
:class:`devices.tape.TapeDevice` is given to open drives with. :class:`SimulatedTape` is the device
``tape:DIRECTORY`` with it, to be put in the place of the registry's entry; the launcher of
:mod:`tests.installation` starts the real taper so::

    DEVICES["tape"] = "tests.fakes.tape:SimulatedTape"
"""

from __future__ import annotations

from devices.tape import TapeDevice
from tests.fakes.tape.cartridge import (
    CartridgeFacts,
    files_on,
    make_cartridge,
    read_facts,
    records_on,
    write_facts,
)
from tests.fakes.tape.drive import (
    DriveFacts,
    SimulatedDrive,
    cartridge_in,
    load,
    make_drive,
    open_simulated,
    stack,
    unload,
)
from tests.fakes.tape.faults import Fault

__all__ = [
    "CartridgeFacts",
    "DriveFacts",
    "Fault",
    "SimulatedDrive",
    "SimulatedTape",
    "cartridge_in",
    "files_on",
    "load",
    "make_cartridge",
    "make_drive",
    "open_simulated",
    "read_facts",
    "records_on",
    "stack",
    "unload",
    "write_facts",
]


class SimulatedTape(TapeDevice):
    """``tape:DIRECTORY``, the directory being a simulated drive."""

    def __init__(self, name: str, node: str) -> None:
        super().__init__(name, node, open_simulated, lambda _: None)
