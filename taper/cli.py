"""``taper``: the command that Amanda's driver runs; and ``taper ndmp-tape``, the tape server."""

import gc
import sys


def main() -> None:
    """Run the stock command line, and end with its exit status."""
    _serve_by_daemon()
    _serve()


def begin() -> None:
    """The same where Python runs without ``site``, as our launcher lets it: a command that a daemon
    serves does without, any other has it now."""
    _serve_by_daemon()
    load_site()
    _serve()


def load_site() -> None:
    """Let Python know all that is installed, as it does by itself unless it is told not to."""
    import site

    site.main()


def _serve_by_daemon() -> None:
    """End here if a daemon serves the driver."""
    if sys.argv[1:2] == ["ndmp-tape"]:
        return
    # what a start makes is not garbage; collected is from the moment when the driver is served
    gc.disable()
    from taper.daemon_client import serve_by_daemon

    status = serve_by_daemon()
    if status is not None:
        sys.exit(status)


def _serve() -> None:
    if sys.argv[1:2] == ["ndmp-tape"]:
        from taper.tapeserver.service import main as serve

        sys.exit(serve(sys.argv[2:]))
    from taper.run.late import execute_when_used

    execute_when_used()
    from taper.run.process import main as run

    sys.exit(run())


if __name__ == "__main__":
    main()
