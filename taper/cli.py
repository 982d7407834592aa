"""``taper``: the command that Amanda's driver runs; and ``taper ndmp-tape``, the tape server."""

from __future__ import annotations

import gc
import sys


def main() -> None:
    """Run the stock command line, and end with its exit status."""
    if sys.argv[1:2] == ["ndmp-tape"]:
        from taper.tapeserver.service import main as serve

        sys.exit(serve(sys.argv[2:]))
    # what a start makes is not garbage; collected is from the moment when the driver is served
    gc.disable()
    from taper.daemon_client import serve_by_daemon

    status = serve_by_daemon()
    if status is not None:
        sys.exit(status)
    from taper.run.late import execute_when_used

    execute_when_used()
    from taper.run.process import main as run

    sys.exit(run())


if __name__ == "__main__":
    main()
