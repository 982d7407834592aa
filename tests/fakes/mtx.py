#!/usr/bin/python3 -IS
"""A simulated ``mtx``: a program that ours and Amanda's changers run like the real one.

The robot's device is a file, in which it keeps what is where (:mod:`tests.fakes.library` makes it).
It obeys a real robot's rules and says what the real program says. Cartridges are entries of the
directory ``cartridges`` beside the device; one that is in drive N is what the link ``driveN`` there
points to, or with tape drives the link ``driveN/loaded``, as in :mod:`tests.fakes.tape.drive`. What
was asked of it stands in ``log``, a line for each call.
"""

from __future__ import annotations

import fcntl
import json
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

SENSE = """mtx: Request Sense: Long Report=yes
mtx: Request Sense: Valid Residual=no
mtx: Request Sense: Error Code=70 (Current)
mtx: Request Sense: Sense Key={key}
mtx: Request Sense: FileMark=no
mtx: Request Sense: Additional Sense Code = {code}
mtx: Request Sense: Additional Sense Qualifier = {qualifier}
{command} Failed
"""
INQUIRY = """Product Type: Medium Changer
Vendor ID: 'ACME    '
Product ID: 'Library 8       '
Revision: '0104'
Attached Changer API: No
"""
FOREVER = 3600.0


def refuse(text: str) -> NoReturn:
    sys.stdout.flush()
    sys.stderr.write(text)
    sys.exit(1)


def scsi_error(key: str, code: str, qualifier: str, command: str) -> NoReturn:
    refuse(SENSE.format(key=key, code=code, qualifier=qualifier, command=command))


class Robot:
    """The robot of one device, which nobody else uses meanwhile."""

    def __init__(self, device: Path, state: dict[str, Any], barcodes: bool) -> None:
        self.device = device
        self.state = state
        self.barcodes = barcodes
        self.slots = state["slots"]
        self.drives = state["drives"]
        self.faults = state["faults"]

    def tag(self, form: str, cartridge: str | None) -> str:
        barcode = self.state["barcodes"].get(cartridge)
        return form.format(barcode) if barcode and self.barcodes else ""

    def status(self) -> None:
        if "nonsense" in self.faults:
            print(self.faults["nonsense"])
            return
        if self.faults.get("not ready", 0) > 0:
            self.faults["not ready"] -= 1
            scsi_error("Not Ready", "04", "01", "READ ELEMENT STATUS Command")
        ports = sum(slot["ie"] for slot in self.slots)
        print(
            f"  Storage Changer {self.device}:{len(self.drives)} Drives, "
            f"{len(self.slots)} Slots ( {ports} Import/Export )"
        )
        for number, drive in enumerate(self.drives):
            if drive["cartridge"] is None:
                print(f"Data Transfer Element {number}:Empty")
                continue
            source = drive["source"]
            home = "Unknown Storage Element" if source is None else f"Storage Element {source}"
            tag = self.tag(":VolumeTag = {}", drive["cartridge"])
            print(f"Data Transfer Element {number}:Full ({home} Loaded){tag}")
        for number, slot in enumerate(self.slots, 1):
            kind = " IMPORT/EXPORT" if slot["ie"] else ""
            tag = self.tag(":VolumeTag={}", slot["cartridge"])
            full = "Empty" if slot["cartridge"] is None else f"Full {tag}"
            print(f"      Storage Element {number}{kind}:{full}")

    def slot(self, text: str, command: str) -> dict[str, Any]:
        if not text.isdigit() or not 0 < int(text) <= len(self.slots):
            refuse(f"Illegal <storage-element-number> argument '{text}' to '{command}' command\n")
        slot: dict[str, Any] = self.slots[int(text) - 1]
        return slot

    def drive(self, text: str, command: str) -> int:
        if not text.isdigit() or int(text) >= len(self.drives):
            refuse(f"Illegal <transfer-element-number> argument '{text}' to '{command}' command\n")
        return int(text)

    def move(self, command: str, first: str, second: str) -> None:
        """The arm takes what it is told to; a jammed one does not."""
        source = self.slot(first, command)
        if command == "transfer":
            target = self.slot(second, command)
            if source["cartridge"] is None:
                refuse(f"source Element Address {first} is Empty\n")
            if target["cartridge"] is not None:
                refuse(f"destination Element Address {second} is Already Full\n")
            self.jam()
            source["cartridge"], target["cartridge"] = None, source["cartridge"]
            return
        number = self.drive(second, command)
        drive = self.drives[number]
        if command == "load":
            if drive["cartridge"] is not None:
                home = drive["source"]
                refuse(f"Drive {number} Full (Storage Element {home or 'Unknown'} loaded)\n")
            if source["cartridge"] is None:
                refuse(f"source Element Address {first} is Empty\n")
            print(f"Loading media from Storage Element {first} into drive {number}...", end="")
            self.jam()
            drive["cartridge"], drive["source"] = source["cartridge"], int(first)
            source["cartridge"] = None
            self.put_in(number, drive["cartridge"])
        else:
            if drive["cartridge"] is None:
                refuse(f"Data Transfer Element {number} is Empty\n")
            if source["cartridge"] is not None:
                refuse(f"Storage Element {first} is Already Full\n")
            print(f"Unloading drive {number} into Storage Element {first}...", end="")
            self.jam()
            self.take_out(number)
            source["cartridge"] = drive["cartridge"]
            drive["cartridge"] = drive["source"] = None
        print("done")

    def place(self, number: int) -> Path:
        """Where the drive's medium is: not where it should be, if the cables are crossed."""
        wiring = self.faults.get("wiring")
        return self.device.parent / f"drive{number if wiring is None else wiring[number]}"

    def put_in(self, number: int, cartridge: str) -> None:
        place = self.place(number)
        if not self.state["tapes"]:
            place.symlink_to(f"cartridges/{cartridge}")
            return
        facts = json.loads((self.device.parent / f"cartridges/{cartridge}.json").read_text())
        (place / "loaded").symlink_to(f"../cartridges/{cartridge}")
        set_drive(place, at=0, ejected=False, polls=facts["load_polls"])

    def take_out(self, number: int) -> None:
        """A tape drive gives its cartridge away when it was ejected."""
        place = self.place(number)
        if not self.state["tapes"]:
            place.unlink()
            return
        if not drive_state(place).get("ejected"):
            scsi_error("Illegal Request", "53", "02", "MOVE MEDIUM from Element Address")
        (place / "loaded").unlink()
        set_drive(place, at=0, ejected=False, polls=0)

    def jam(self) -> None:
        if self.faults.get("jammed"):
            scsi_error("Hardware Error", "15", "01", "MOVE MEDIUM from Element Address")


def drive_state(place: Path) -> dict[str, Any]:
    path = place / "state.json"
    state: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return state


def set_drive(place: Path, **facts: Any) -> None:
    draft = place / "state.json.mtx"
    draft.write_text(json.dumps({**drive_state(place), **facts}))
    draft.replace(place / "state.json")


def main(words: list[str]) -> None:
    if words[:1] != ["-f"] or len(words) < 3:
        refuse("Usage: mtx -f <generic-device> <command>\n")
    device, words = Path(words[1]), words[2:]
    with open(device.parent / "log", "r+") as log:
        number = len(log.readlines())
        log.write(" ".join(words) + "\n")
    barcodes = words[0] != "nobarcode"
    command, *places = words if barcodes else words[1:]
    with open(device, "r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        state = json.load(file)
        robot = Robot(device, state, barcodes)
        time.sleep(robot.faults.get("slow", {}).get(command, 0))
        if command in robot.faults.get("hung", ()):
            time.sleep(FOREVER)
        try:
            if robot.faults.get("failing") == number:
                scsi_error("Hardware Error", "15", "01", f"{command.upper()} Command")
            if command == "inquiry":
                print(INQUIRY, end="")
            elif command == "status":
                robot.status()
            elif command in ("load", "unload", "transfer") and len(places) == 2:
                robot.move(command, *places)
            else:
                refuse(f"mtx: unknown command {command}\n")
        finally:
            file.seek(0)
            json.dump(state, file)
            file.truncate()


if __name__ == "__main__":
    main(sys.argv[1:])
