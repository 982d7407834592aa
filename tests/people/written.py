"""What stands in logs, tapelist and on volumes before pages are made of it."""

from __future__ import annotations

from pathlib import Path

from protocols.quoting import quote
from tests.people.nights import PART, Dump, Nights

FIRST, SECOND, THIRD = "20260106000000", "20260107000000", "20260108210000"

AMDUMP = """\
amdump: starttime 20260108210000
driver: start time 0.044 inparallel 4 bandwidth 80000 diskspace 1024  dir OBSOLETE
driver: state time 0.044 free kps: 80000 space: 1024 taper: idle idle-dumpers: 4 qlen
driver: send-cmd time 1.5 to dumper0: SHM-DUMP 00-00001 40671 NULL 4 localhost ff /home NODEVICE 0
driver: state time 1.6 free kps: 80000 space: 512 taper: idle idle-dumpers: 3 qlen
driver: result time 4.0 from dumper0: DONE 00-00001 5140 5140 1 x x "[sec 0.6 kb 5 kps 7 orig-kb 5]"
driver: send-cmd time 5.0 to taper0: FILE-WRITE worker0-0 00-00002 /x localhost /home 0
driver: result time 5.1 from taper0: REQUEST-NEW-TAPE worker0-0 00-00002
driver: result time 9.5 from taper0: NEW-TAPE worker0-0 00-00002 C03
driver: result time 9.6 from taper0: READY worker0-0 00-00002
driver: result time 11.0 from taper0: PARTDONE worker0-0 00-00002 C03 1 5120 "[sec 0.8]"
driver: result time 12.5 from taper0: DONE worker0-0 00-00002 INPUT-GOOD TAPE-GOOD "6f:5" "" "" ""
driver: send-cmd time 13.0 to dumper1: PORT-DUMP 00-00003 4 NULL 4 localhost ff /lost NODEVICE 1
driver: result time 14.0 from dumper1: FAILED 00-00003 "[no such \\"thing\\"]"
driver: FINISHED time 15.000
"""


async def three_nights(tmp_path: Path) -> Nights:
    """One with two dumps, one that failed and is known by its logs, one that is held."""
    nights = Nights(tmp_path).make()
    await nights.hold(FIRST, Dump("/home", 2 * PART + 5), Dump("/srv", 100))
    await nights.hold(SECOND, Dump("/home", 10, level=1))
    nights.hold_back(THIRD, Dump("/home", 7, level=1))
    disks = "".join(f'localhost {name} {{\n  program "GNUTAR"\n}}\n' for name in ("/home", "/lost"))
    (tmp_path / "etc/C/disklist").write_text(disks)
    nights.log(THIRD).write_text(
        "INFO amdump amdump pid 999999999\n"
        "DISK planner localhost /home\nDISK planner localhost /lost\n"
        f"FAIL dumper localhost /lost {THIRD} 1 [no such thing]\n"
    )
    (tmp_path / f"log/amdump.{THIRD}").write_text(AMDUMP)
    return nights


HOSTILE = (
    *(
        "<script>alert(1)</script>",
        "\"'><svg onload=x>",
        "{{ 7 * 7 }}",
        "a&b=c#d?e%41",
        "\udcff\udc80",
    ),
    *("a\x1b[31mb", "\u202egnp.exe", "javascript:alert(1)", "../../etc/passwd", "C" * 3000),
)


def hostile_logs(nights: Nights) -> None:
    lines, entries, stats = [], [], "[sec 1 bytes 10 kps 1 orig-kb 1]"
    for number, name in enumerate(HOSTILE, start=1):
        label, word = quote(name.replace(" ", "_")), quote(name)
        lines += [
            f'START taper datestamp {FIRST} "ST:C" "POOL:C" label {label} tape {number}',
            f'PART taper "ST:C" "POOL:C" {label} 1 {word} {word} {FIRST} 1/-1 0 {stats}',
            f'DONE taper "ST:C" "POOL:C" {word} {word} {FIRST} 1 0 {stats}',
            f"FAIL dumper {word} {word} {FIRST} 0 [{name}]",
        ]
    text = "\n".join(("INFO amdump amdump pid 1", *lines, "FINISH driver date x", ""))
    nights.log(FIRST).write_bytes(text.encode("utf-8", "surrogateescape"))
    for name in HOSTILE:
        if name.isascii() and name.isprintable() and " " not in name:
            entries.append(f"{FIRST} {name} reuse POOL:C STORAGE:C CONFIG:C\n")
    (nights.root / "tapelist").write_text("".join(entries))
    driver = AMDUMP.replace("/home", quote(HOSTILE[0])).replace("C03", quote(HOSTILE[1]))
    (nights.root / f"log/amdump.{FIRST}").write_text(driver)
