"""What Amanda's ndmjob 3.5.1 is known to fail, and why [ndmp 5.3], [ndmp-server 8]: by the name of
a scenario, or with what versions of the protocol that is so in: ``/4``, or ``/old`` for 3 and 2."""

from __future__ import annotations

_WHY = {
    "CONNECT_OPEN is good again and again": "IC3",
    "answers every CONFIG request before login": "IG2 IG5 IG7 IG10 IG12 S4a S6",
    "a new challenge comes once a second only": "S7b",
    "a failed login ends no earlier one": "S8 L8",
    "has no extensions, and says nothing to those who ask": "IG8 E1 E2 E3 E4 E5 E7",
    "says nothing to what it cannot decode, or does not know": "S10 S16a S16b S16d E6 E8 E12",
    "takes a body with more behind it, and answers any kind of login": "S16c S11",
    "a lost session keeps its drive locked": "S15a S15b",
    "no TUR, though the draft has two ways to say so": "IT12",
    "an empty write cannot be decoded": "T1a T1e T6e NT3",
    "drive and mover do not mind each other, or that is ILLEGAL_STATE": "T1b T1c",
    "after BSF it tells block 0": "T3b",
    "a filemark that a read has met leaves the block number known": "T3d/4 NT6/4",
    "behind everything is EOF": "T5b/4 T5i/4 T6d/4 T6f/4 NT5/4",
    "a filemark at the end of the tape is an I/O error": "T6i P12",
    "INQUIRY wants 96 bytes or more": "IS6 R2",
    "flags of both directions cannot be decoded": "IS7",
    "several sessions have the robot at once": "R1",
    "the status is told whole only": "R4 R7 R9",
    "one sense for every move that cannot be": "R8",
    "commands that it has not are no commands": "R10",
    "a command of any length is one": "R11",
    "the end of a window is SEEK": "L1/4 IP15/4",
    "CONTINUE needs no window": "IM16 L2",
    "MOVER_READ of nothing, or of what is no number, is good": "IM25 F14",
    "a window is to be even at once": "IM37 W5 W6 W7",
    "has a record size before one is set": "IM38 A1",
    "MOVER_CLOSE is good in every state but IDLE": "M-LISTEN M-ACTIVE M-HALTED F12",
    "the record size may be set in a pause": "M-PAUSED",
    "another record size keeps the window": "W12",
    "takes the first address only": "P4",
    "STOP forgets the record size": "P7",
    "the state tells mode READ, and where it has listened": "A2 A3",
    "a reader that goes away is not noticed": "F8 F9",
    "a second MOVER_READ is ILLEGAL_STATE": "IM29/4",
    "hangs where a piece does not end with a record": "F5",
    "never ends a record that is shorter than the record size": "F7",
    "has half a data agent": "ID1 ID4 ID7 ID10 ID21 ID24 ID27 ND2",
    "before version 4 a filemark is not crossed either": "T3d/old T5e/old T5f/old T6c NT6/old",
    "before version 4 a window may be set when it listens, not before": (
        "IM4/old IM13/old IM28/old IM29/old IP15/old M-ABORT/old W8/old W10/old W11/old L1/old "
        "L3/old F6/old F10/old F11/old NM1/old NM2/old NM4/old NM5/old NM6/old"
    ),
}
NDMJOB = {name: why for why, names in _WHY.items() for name in names.split()}
DEADLY = frozenset(("F5", "F7"))
"""Of these, what is not to be tried: the server would be busy for ever."""
