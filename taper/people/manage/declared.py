"""The commands that change something, declared."""

from __future__ import annotations

from taper.people.declaring import STORAGE, Argument, Command

_DRY_RUN = Argument(names=("--dry-run",), help="show the plan, and do nothing")
_NAME = Argument(
    names=("--name",),
    metavar="LABEL",
    repeat="append",
    help="lose what is on this volume, though it is active: where nobody can be asked",
    kind="label",
)
_ITS_STORAGE = Argument(
    names=("--storage",),
    metavar="NAME",
    help="the storage whose changer is meant (default: the first that the configuration names)",
    kind="storage",
)

MANAGING = (
    Command(
        name="label",
        help="give a volume a label",
        description="""\
Labels the volume in a slot, or in the current one, for later runs, as a taper labels it: the
tapelist gets it, too. The label must be one that the storage's "labelstr" matches, and no other
volume may have it.

A blank volume is labelled at once. One that has a label, that is not Amanda's, or that cannot be
read, is labelled with --force only. If it is active, as it is retained, marked no-reuse, of another
configuration or pool, or unknown to the tapelist, its name must be typed besides; where there is no
terminal, --name names it.""",
        run="manage.label:label",
        arguments=(
            Argument(names=("label",), metavar="LABEL", help="that it is to have"),
            Argument(
                names=("--slot",),
                metavar="N",
                help="the slot that it is in (default: the current one)",
                kind="slot",
            ),
            Argument(
                names=("--force",), help="label what is not blank; what is on it will be lost"
            ),
            _NAME,
            _ITS_STORAGE,
            _DRY_RUN,
        ),
    ),
    Command(
        name="erase",
        help="erase a volume, and forget it",
        description="""\
Erases a volume and takes it out of the tapelist; with --keep-label it is as if newly labelled. The
device must be able to erase: vtapes and buckets are, tapes are not.

If it is active, as it is retained, marked no-reuse, of another configuration or pool, or unknown to
the tapelist, its name must be typed; where there is no terminal, --name names it. The dumps that
can not be restored without it are told before.""",
        run="manage.erase:erase",
        arguments=(
            Argument(names=("label",), metavar="LABEL", help="of the volume", kind="label"),
            Argument(names=("--keep-label",), help="leave its label, and the tapelist's line"),
            _NAME,
            STORAGE,
            _DRY_RUN,
        ),
    ),
    Command(
        name="update",
        help="let a changer look again at what is in its slots",
        description="""\
Lets the changer of a storage look at the volumes in all its slots, or in some, load them where that
must be, and remember their labels; then says what is where, and what was thought to be there
before. Slots that are in use are passed over. Nothing on a volume is changed.

SLOTS are as Amanda's amtape has them: "3", "1-5,7", or "error" for those whose volumes could not be
read; "1-5=" lets the changer forget what is there, "3=LABEL" makes it believe that this volume is.
Changers that know their slots by heart (chg-disk) have no such thing.""",
        run="manage.slots:update",
        arguments=(
            Argument(
                names=("slots",),
                metavar="SLOTS",
                repeat="?",
                help="the slots (default: all)",
                kind="slot",
            ),
            _ITS_STORAGE,
            _DRY_RUN,
        ),
    ),
    Command(
        name="move",
        help="move a volume from one slot to another",
        description="""\
Lets the robot of a storage's changer carry a volume from a slot, or from the drive that it was
loaded into, to another slot, which must be empty: to a slot for import and export, too. A volume
that is in use stays where it is. Nothing on the volume is changed.""",
        run="manage.slots:move",
        arguments=(
            Argument(names=("source",), metavar="FROM", help="the slot that it is in", kind="slot"),
            Argument(names=("target",), metavar="TO", help="the slot that it goes to", kind="slot"),
            _ITS_STORAGE,
            _DRY_RUN,
        ),
    ),
)
