"""What scans may find in the slots and in the tapelist [changers 1.4, 1.10]."""

from __future__ import annotations

from attrs import frozen

ALL = ("traditional", "lexical", "oldest")
TWO = ("traditional", "lexical")
LISTS = ("lexical", "oldest")


@frozen(kw_only=True)
class Situation:
    """What is in the slots and in the tapelist.

    :ivar slots: ``LABEL`` a volume of that label; ``NAME=LABEL`` one whose file claims another;
        ``""`` blank; ``~`` foreign data; ``*`` a file too short for a header.
    :ivar tapelist: lines, without the pool of ours, which is added.
    :ivar scans: how many workers scan, one after the other, keeping what they found.
    :ivar in_use: a slot that another living process holds.
    """

    slots: tuple[str, ...]
    tapelist: tuple[str, ...] = ()
    algorithms: tuple[str, ...] = TWO
    autolabel: str | None = '"Scan-%%" empty'
    labelstr: str = '"^Scan-[0-9][0-9]$"'
    tapecycle: int = 2
    scans: int = 1
    in_use: int | None = None


WRITTEN = (
    "20260503010101 Scan-03 reuse POOL:pool",
    "20260502010101 Scan-02 reuse POOL:pool",
    "20260501010101 Scan-01 reuse POOL:pool",
)
STRANGERS = (
    "20260505010101 Scan-12 reuse POOL:pool CONFIG:Else",
    "20260504010101 Scan-13 reuse POOL:deep",
    "20260503010101 Scan-14 no-reuse POOL:pool",
    "20260502010101 Foo-02 reuse",
)

SITUATIONS = {
    "reusable": Situation(
        algorithms=ALL, slots=("Scan-03", "Scan-01", "Scan-02"), tapelist=WRITTEN, scans=3
    ),
    "active": Situation(slots=("Scan-01", "Scan-02"), tapelist=WRITTEN, tapecycle=9),
    "blank": Situation(algorithms=ALL, slots=("", "", ""), scans=4),
    "blank after written": Situation(
        algorithms=ALL,
        slots=("Scan-01", "", "Scan-02", "Scan-03"),
        tapelist=WRITTEN,
        tapecycle=3,
        scans=3,
    ),
    "autolabel has other words": Situation(slots=("", "~"), autolabel='"Scan-%%" volume-error'),
    "autolabel not set": Situation(slots=("", "~", "*"), autolabel=None),
    "autolabel set to nothing": Situation(slots=("",), autolabel='""'),
    "foreign": Situation(slots=("~", ""), scans=2),
    "foreign allowed": Situation(slots=("~", "*", ""), autolabel='"Scan-%%" any', scans=3),
    "damaged": Situation(slots=("*", "")),
    "strangers": Situation(
        slots=("Foo-01", "Scan-11", "Scan-12", "Scan-13", "Scan-14", "Foo-02", ""),
        tapelist=STRANGERS,
    ),
    "strangers, anything labelled": Situation(
        slots=("Scan-11", "Scan-12", "Scan-13", "Scan-14", "Foo-02"),
        tapelist=STRANGERS,
        autolabel='"Scan-%%" any',
    ),
    "label of nobody": Situation(
        slots=("Foo-01",), autolabel='"Scan-%%" other-config', algorithms=("traditional",)
    ),
    "newly labelled": Situation(
        algorithms=ALL,
        slots=("Scan-01", "Scan-04", ""),
        tapelist=(*WRITTEN, "0 Scan-04 reuse POOL:pool"),
        tapecycle=3,
        scans=2,
    ),
    "pool volume of another name": Situation(
        slots=("Old-01",), tapelist=("20260501010101 Old-01 reuse POOL:pool",), tapecycle=1
    ),
    "written without pool": Situation(
        slots=("Scan-01", "Scan-02"),
        tapelist=("20260502010101 Scan-02 reuse", "20260501010101 Scan-01 reuse"),
    ),
    "held elsewhere": Situation(slots=("Scan-01", "Scan-02"), tapelist=WRITTEN, in_use=1),
    "only one, held elsewhere": Situation(slots=("Scan-01",), tapelist=WRITTEN, in_use=1),
    "no label left": Situation(
        slots=("",),
        autolabel='"S%" empty',
        labelstr='"^S"',
        tapelist=tuple(f"0 S{number} no-reuse POOL:pool" for number in range(1, 10)),
    ),
    "label without counter": Situation(slots=("",), autolabel='"Same" empty'),
    "label from slot": Situation(
        slots=("", ""),
        autolabel='"Scan-$2s" empty',
        tapelist=("0 Scan-01 no-reuse POOL:pool",),
        algorithms=LISTS,
    ),
    "after the last": Situation(
        algorithms=ALL,
        slots=("Scan-01", "Scan-04", "Scan-02", "Scan-05"),
        tapelist=(
            "20260509010101 Scan-03 reuse POOL:pool",
            "20260508010101 Scan-05 reuse POOL:pool",
            "20260503010101 Scan-01 reuse POOL:pool",
            "20260502010101 Scan-04 reuse POOL:pool",
            "20260501010101 Scan-02 reuse POOL:pool",
        ),
        scans=4,
    ),
    "no slots": Situation(slots=(), algorithms=LISTS),
    "match autolabel": Situation(
        slots=("main-02x", "main-01"),
        tapelist=(
            "20260502010101 main-02x reuse POOL:pool",
            "20260501010101 main-01 reuse POOL:pool",
        ),
        autolabel='"main-%%" empty',
        labelstr="MATCH-AUTOLABEL",
        tapecycle=1,
    ),
}
