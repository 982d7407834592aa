"""``python -m tests.deb``: build the package and try it; the exit status is 1 if that fails."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.deb.build import ROOT, build
from tests.deb.rooms import Failed, need, say
from tests.deb.serving import try_units
from tests.deb.trying import try_package


def main() -> int:
    parser = argparse.ArgumentParser(prog="make deb", description=__doc__)
    parser.add_argument("--rooms", type=Path, default=ROOT / ".venv-deb", metavar="DIR")
    parser.add_argument("--result", type=Path, default=ROOT / "dist", metavar="DIR")
    parser.add_argument("--package", type=Path, metavar="FILE", help="try this one; build none")
    options = parser.parse_args()
    try:
        need("unshare", "nsenter", "tar", "git")
        rooms = options.rooms.absolute()
        rooms.mkdir(parents=True, exist_ok=True)
        package = options.package or build(rooms, options.result)
        try_package(rooms, package)
        try_units(rooms, package)
    except Failed as fault:
        print(fault, file=sys.stderr)
        return 1
    say(f"{package} is good.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
