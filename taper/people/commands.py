"""The commands for people, declared: their arguments, their texts, and what runs them.

A new command is one file in this package and one entry in :data:`COMMANDS`. Parsers, manual pages
and completions are made of what stands here.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from taper.people.declaring import STORAGE, Argument, Command
from taper.people.manage.declared import MANAGING

if TYPE_CHECKING:
    from collections.abc import Callable

COMMANDS: Mapping[str, Command] = {
    command.name: command
    for command in (
        Command(
            name="restore",
            help="restore a disk, or files of it, from volumes and holding disks",
            description="""\
Shows first which dumps are restored, from which volumes, and where these are. Then each dump is
read, decrypted and decompressed as its header says, and unpacked into the directory by GNU tar,
or by the application that made it, the full dump first; what was deleted between two dumps is
deleted. All that is read is compared with the checksums of the trace log.

A volume that is not in the changer is asked for, where there is a terminal to ask on; elsewhere
nothing is restored, and the list of what is missing is told. The changer is looked at meanwhile,
so it is enough to put the volume in. One that somebody else has is waited for. Parts that cannot
be read are passed
over: all other files are restored, and those that are damaged are named.

While a volume is read, the next one is loaded in another drive, if one is free.

It may be left: when its terminal goes away it goes on to its end, and says all that it says to a
debug log, which it names when it begins; "taperctl watch" shows what it is at.

With --to HOST:DIR the files are unpacked on another host, by the same programs there, which
OpenSSH's ssh runs. Nobody is asked for a password: a key or an agent has to let ssh in, and the
host's key must be known. The dump is read, decrypted and decompressed on this host, before it
leaves.

Started by root, files get back their owners; everything but the unpacking is done as the dump
user, and ssh is root's. On another host they get them back if ssh logs in as root. A program that
decrypts, decompresses or unpacks, and that only a volume names, is not run before it was asked
for.""",
            run="restore.session:restore",
            as_root=True,
            leavable=True,
            arguments=(
                Argument(names=("host",), metavar="HOST", help="whose disk it is", kind="host"),
                Argument(
                    names=("disk",), metavar="DISK", help="as the disklist names it", kind="disk"
                ),
                Argument(
                    names=("date",),
                    metavar="DATE",
                    repeat="?",
                    help="as it was then, YYYY-MM-DD with HH:MM or not (default: the newest)",
                ),
                Argument(
                    names=("--to",),
                    metavar="DIR|-|[USER@]HOST:DIR",
                    help="where to: an empty or new directory, here (./a:b, if its name has a "
                    "colon) or on another host; - is standard output, as one dump",
                    kind="directory",
                ),
                Argument(
                    names=("--ssh",),
                    metavar="WORDS",
                    help='the ssh of OpenSSH that reaches HOST, with options, such as "ssh -p 2222 '
                    '-i KEY" (default: ssh); no shell reads it',
                ),
                Argument(
                    names=("--path",),
                    metavar="PATH",
                    repeat="append",
                    help="restore this file or directory alone, named below the disk's directory",
                ),
                Argument(
                    names=("--no-index",),
                    help="with --path: read all of these dumps, whatever their indexes say",
                ),
                Argument(
                    names=("--level",),
                    metavar="N",
                    type=int,
                    help="restore the newest dump of this level, and none that it builds on",
                ),
                Argument(
                    names=("--storage",),
                    metavar="NAME",
                    help="restore copies of this storage alone; HOLDING: from holding disks",
                    kind="storage",
                ),
                Argument(names=("--dry-run",), help="show the plan, and do nothing"),
                Argument(
                    names=("--partial",),
                    help="do not ask for volumes that are missing, nor wait for those that "
                    "somebody else has; restore what the others have, where there is no whole "
                    "dump, what there is of one, and where no header can be read, by what is "
                    "known otherwise",
                ),
                Argument(
                    names=("--overwrite",),
                    help="restore into a directory that is not empty; nothing is deleted there",
                ),
                Argument(
                    names=("--trust",),
                    metavar="PROGRAM",
                    repeat="append",
                    help="run this program if a dump names it, though the configuration does not",
                ),
                Argument(
                    names=("--drives",),
                    metavar="N",
                    type=int,
                    help="load the next volumes ahead in up to N drives, the one that is read "
                    "included (default: 2)",
                ),
            ),
        ),
        Command(
            name="doctor",
            help="say what is wrong or risky, each with its cause and a remedy",
            description="""\
Looks at the configuration, at what it works with, at the dumps that there are and at the last
run, and says what is wrong (WRONG: dumps fail or are lost because of it) and what is risky (RISK:
they may be). Each has the name of its check in brackets, its cause, and a remedy. The changers
are asked for what they know; nothing is loaded, and nothing is written.""",
            run="doctor.visit:doctor",
        ),
        Command(
            name="monitor",
            help="tell Nagios or Icinga how old the last dumps are, and what else is wrong",
            description="""\
A plugin by the convention of Nagios and Icinga: one line with performance data, longer text in the
lines after it, and an exit status of 0 (OK), 1 (WARNING), 2 (CRITICAL) or 3 (UNKNOWN: it could not
be found out; the line says why).

Tells of each disk of the disklist how old and how large its last dump is that can be restored (one
that has none is critical), how many volumes may be written tonight, and what failed in the last
run. The changers are asked for what they know; nothing is loaded, and nothing is written.""",
            run="monitor:monitor",
            plugin=True,
            arguments=(
                Argument(
                    names=("--warning",),
                    metavar="AGE",
                    help="of the last dump, above which it is a warning: a number, with s, m, h, "
                    "d or w behind it (default: 36h)",
                ),
                Argument(
                    names=("--critical",),
                    metavar="AGE",
                    help="the same, above which it is critical (default: 60h)",
                ),
                Argument(
                    names=("--volumes-warning",),
                    metavar="N",
                    type=int,
                    help="fewer volumes left than these are a warning (default: runtapes); 0: none "
                    "need be left",
                ),
                Argument(
                    names=("--volumes-critical",),
                    metavar="N",
                    type=int,
                    help="fewer than these are critical (default: 1)",
                ),
                Argument(
                    names=("--disk",),
                    metavar="HOST[:DISK]",
                    repeat="append",
                    help="look at this disk alone, or at those of this host",
                    kind="host:disk",
                ),
            ),
        ),
        Command(
            name="volumes",
            help="list the volumes: where they are, what is on them, why they are kept",
            description="""\
Lists all volumes of the tapelist and all that the changers have: label, storage, slot, barcode,
when they were written, how much is on them, and whether they may be written over; if not, the
rules of retention that keep them, and until when.

The changers are asked for what they know; nothing is loaded.""",
            run="volumes:volumes",
            arguments=(
                STORAGE,
                Argument(
                    names=("--offline",),
                    help="ask no changer; what is in which slot is not told then",
                ),
            ),
        ),
        Command(
            name="dumps",
            help="list the dumps: where they lie, and whether they can be restored",
            description="""\
Lists the dumps that trace logs and holding disks tell of, the newest first: their levels, sizes and
checksums, their volumes, and whether all of a dump is there; if not, what is missing. A volume that
was written again since has nothing of its old dumps any more.""",
            run="dumps:dumps",
            arguments=(
                Argument(
                    names=("host",),
                    metavar="HOST",
                    repeat="?",
                    help="dumps of this host alone; its case does not matter",
                    kind="host",
                ),
                Argument(
                    names=("disk",),
                    metavar="DISK",
                    repeat="?",
                    help="dumps of this disk of the host alone",
                    kind="disk",
                ),
            ),
        ),
        Command(
            name="show",
            help="show what is on a volume: its label, and the headers of its parts",
            description="""\
Loads a volume, reads its label and the headers of all its files, and compares them with what the
trace logs say is there. The volume is named by its label, or by the device or changer that it is in
(then it is the one in the drive, or in the current slot).

The parts themselves are not read; "taperctl verify" does that.""",
            run="show:show",
            arguments=(
                Argument(
                    names=("volume",),
                    metavar="LABEL|DEVICE",
                    help="a label, or a device or changer, as the configuration names it",
                    kind="label",
                ),
                STORAGE,
            ),
        ),
        Command(
            name="verify",
            help="read every part of volumes, and say what is damaged, and where",
            description="""\
Reads the parts of all dumps on the volumes, and compares headers, lengths and checksums with the
trace logs, the tapelist, and the other parts of the same dump. What is wrong is told with its
volume, file, part and, where that can be known, block.

The volumes are named by their labels, or all that were written are read, or so many dumps, drawn at
random, that they make up that share of all bytes. A checksum is that of a whole dump: where it has
several parts, and one of them lies on a volume that is not read, lengths and headers alone are
compared.

With --drives, several volumes are read side by side, each in a drive of its own. Only drives are
used that no other program has; where these are fewer, fewer volumes are read at a time.

It may be left: when its terminal goes away it goes on to its end, and says what it has found to a
debug log, which it names when it begins; "taperctl watch" shows what it is at.

With --rebuild-catalogue, all volumes in the changers are read, and a tapelist and trace logs are
made of what stands on them, in a new directory: for whoever has lost his own. No log is needed for
it. In that tapelist no volume may be written over before somebody says so.""",
            run="verify:verify",
            leavable=True,
            arguments=(
                Argument(
                    names=("volumes",),
                    metavar="VOLUME",
                    repeat="*",
                    help="labels of the volumes",
                    kind="label",
                ),
                Argument(names=("--all",), help="all volumes that were written"),
                Argument(
                    names=("--sample",),
                    metavar="PERCENT",
                    help='dumps that make up this share of all, such as "5%%"',
                ),
                Argument(
                    names=("--rebuild-catalogue",),
                    metavar="DIR",
                    help="make a tapelist and trace logs of all volumes, in this new directory",
                    kind="directory",
                ),
                Argument(
                    names=("--drives",),
                    metavar="N",
                    type=int,
                    help="read so many volumes side by side, where drives are free (default: 1)",
                ),
                STORAGE,
            ),
        ),
        Command(
            name="check",
            help="say which volume tonight's run would take, and why none of the others",
            description="""\
A dry run of tonight: looks for volumes as the taper of a run that began now would, with the same
scan and the same rules, and says which one it would take, which one after that, and for each other
slot why it would not, with the rules of retention that keep its volume.

Nothing is written. The labels of vtapes, and of the volume in a drive that stands alone, are read;
of a library the inventory is believed, and volumes that it does not know are not loaded but with
--load.""",
            run="check:check",
            arguments=(
                STORAGE,
                Argument(names=("--load",), help="load volumes that the changer does not know"),
            ),
        ),
        Command(
            name="simulate",
            help="say which volumes the next nights would take, and when none is left",
            description="""\
Lets so many nights pass on paper, one a day from now on, and says which volumes they would take,
and on which night none would be left. Every night takes as many volumes as "runtapes" says, or
--volumes. For "retention-recover" and "retention-full" it is taken for granted that each disk has
its full and incremental dumps by turns as it had them last.

Nothing is written; how the changer is looked at is told by "taperctl check --help".""",
            run="simulate:simulate",
            arguments=(
                Argument(
                    names=("nights",), metavar="NIGHTS", type=int, help="how many nights, 1 to 1000"
                ),
                STORAGE,
                Argument(
                    names=("--volumes",),
                    metavar="N",
                    type=int,
                    help="volumes that every night fills (default: runtapes)",
                ),
                Argument(names=("--load",), help="load volumes that the changer does not know"),
            ),
        ),
        Command(
            name="web",
            help="serve pages for a browser, and metrics for Prometheus",
            description="""\
Serves pages that show the volumes, the dumps, how each night went, and what is wrong; and, as
/metrics, numbers for Prometheus. Everything is read, and nothing can be changed there; the changers
are not asked. It goes on until a signal ends it.

There is no password: whoever reaches the pages reads them. By default that is who is on this host;
with unix:PATH it is the dump user alone. It needs packages that no other command does:
pip install 'twisted-taper[web]'.""",
            run="web.serve:web",
            arguments=(
                Argument(
                    names=("--listen",),
                    metavar="PLACE",
                    help="unix:PATH or tcp:ADDRESS:PORT (default: tcp:127.0.0.1:7480; port 0 is "
                    "any that is free)",
                ),
                Argument(
                    names=("--expose",),
                    help="let --listen be an address that other hosts reach: whoever reaches it "
                    "reads the names of all hosts, disks and volumes, unencrypted",
                ),
                Argument(
                    names=("--host",),
                    metavar="NAME",
                    repeat="append",
                    help="a name by which browsers may call this server, besides localhost and "
                    "numbers, as behind a proxy",
                    kind="host",
                ),
            ),
        ),
        Command(
            name="watch",
            help="watch what the running tapers do, as they do it",
            description="""\
Shows what all tapers do that this user, the dump user, runs: their workers, the dump, part and
volume that each is at, how fast the source gives and the device takes, who of them waits for whom
("empty": the device waits for data; "full": the source waits for the device), and what else is
waited for. Restores and verifications are shown as well: what they are at, and how long they will
take. On a terminal it is a picture that changes, elsewhere there are lines; it goes on until
it is interrupted, whatever tapers come and go meanwhile.

Nothing is slower because somebody watches it, or waits for who does.""",
            run="watch:watch",
            configured=False,
            arguments=(Argument(names=("--once",), help="show how things are now, and end"),),
        ),
        *MANAGING,
    )
}


def add_commands(
    parsers: Any, run: Callable[[argparse.Namespace], int], commands: Iterable[Command]
) -> None:
    """Let a parser of command lines know commands.

    :param parsers: what ``add_subparsers`` gave
    :param run: is given the parsed options of a command, whose ``command`` is its name
    """
    for command in commands:
        parser = parsers.add_parser(
            command.name,
            help=command.help,
            description=command.description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        _add_all(parser, command.all_arguments)
        parser.set_defaults(run=run, command=command.name)


def _add_all(parser: argparse.ArgumentParser, arguments: Iterable[Argument]) -> None:
    for argument in arguments:
        argument.add_to(parser)
