"""A process of another user of this host that connects to a port."""

from __future__ import annotations

import os
import shutil
import subprocess
from types import TracebackType

import pytest

NOBODY = 65534

needs_root = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None,
    reason="to connect as another user needs root and setpriv",
)


class Stranger:
    """Connects as ``nobody``, says ``text``, and stays until it is left.

    :param text: may be empty
    """

    def __init__(self, port: int, text: str = "", host: str = "127.0.0.1") -> None:
        script = (
            f"exec 3<>/dev/tcp/{host}/{port} || exit 1; "
            'printf %s "$1" >&3; echo connected; exec cat <&3'
        )
        drop = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
        self._process = subprocess.Popen(
            [*drop, "bash", "-c", script, "-", text],
            stdout=subprocess.PIPE,
            cwd="/",
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"connected\n"

    def heard(self, patience: float = 60.0) -> bytes:
        """All that the port said until it hung up, which it must within ``patience`` seconds."""
        try:
            return self._process.communicate(timeout=patience)[0]
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the port had not hung up after {patience:g} s") from None

    def __enter__(self) -> Stranger:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
