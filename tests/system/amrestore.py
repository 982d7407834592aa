"""What Amanda's own ``amrestore`` finds on volumes, each for itself and part by part.

Of Amanda's programs it alone reads a dump that spans NDMP volumes: block by block, by TAPE
requests. ``amfetchdump`` takes the stream from the mover and trips over its own device, which takes
an old note of the mover for the end of the next part [ndmp 3.6]. With ``-p`` or
``-O`` it then seeks for ever; with ``-n`` a part is short in one run of four, and all ends well. So
it is with stock's tapes as with ours.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

PLACE = "/tmp/amanda/parts"
SCRIPT = f"""mkdir {PLACE} && cd {PLACE} || exit
for device; do number=$((number + 1)); echo $number "$device"; done |
xargs -L 1 -P 6 sh -c '
    mkdir $0 && cd $0 && amrestore "$1" >said 2>&1 || {{ cat said >&2; exit 1; }}
'"""
_VOLUME = re.compile(r"^Restoring from tape (\S+) starting with file 1\.$", re.MULTILINE)


def restore(
    run: Callable[..., str], path: Callable[[str], Path], devices: Sequence[str]
) -> tuple[list[str], dict[int, bytes]]:
    """Let amrestore read volumes.

    :param run: runs a command as the dump user, which must succeed
    :param path: finds a path of the namespace that ``run`` runs in
    :return: the labels in the order of the volumes, and the parts by their numbers, in order. One
        of which only the header stood on a volume has its number again on the next.
    """
    run("sh", "-c", SCRIPT, "sh", *devices)
    labels: list[str] = []
    parts: dict[int, bytes] = {}
    for number in range(1, len(devices) + 1):
        place = path(f"{PLACE}/{number}")
        labels += _VOLUME.findall((place / "said").read_text())
        for file in place.glob("*.*.*.*.*"):
            part = int(file.suffix[1:])
            assert not parts.get(part), f"part {part} is on two volumes"
            parts[part] = file.read_bytes()
    return labels, dict(sorted(parts.items()))
