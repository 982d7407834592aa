"""``taperctl restore --to HOST:DIR`` by OpenSSH's own programs."""

from __future__ import annotations

import os
import pwd
import shlex
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from pytest_twisted import ensureDeferred

from taper.gnutar import find_tar
from taper.people.exits import Exit
from taper.people.restore import far
from tests.people.archives import AGAIN, HOME, found, two_nights

WORDS = ("restore", "localhost", "/home", "--to")

SSHD = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:" + os.environ.get("PATH", ""))


def why_no_sshd() -> str:
    """What is missing; empty: nothing."""
    if find_tar() is None:
        return "there is no tar"
    if SSHD is None or shutil.which("ssh") is None:
        return "openssh-server and openssh-client are not installed"
    if os.getuid() == 0 and "sshd" not in {user.pw_name for user in pwd.getpwall()}:
        return "root's sshd needs a user sshd"
    return ""


@contextmanager
def sshd(root: Path) -> Iterator[list[str]]:
    """A server of our own, with keys of its own, on the loopback. Gives the ssh that gets in."""
    assert SSHD is not None
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # as the package's own script does
    for name in ("host", "key"):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(root / name)], check=True
        )
    (root / "authorized").write_text((root / "key.pub").read_text())
    settings = {
        "HostKey": f'"{root}/host"',
        "AuthorizedKeysFile": f'"{root}/authorized"',
        "StrictModes": "no",
        "UsePAM": "no",
        "PasswordAuthentication": "no",
        "KbdInteractiveAuthentication": "no",
        "PermitRootLogin": "prohibit-password",
    }
    lines = "".join(f"{name} {value}\n" for name, value in settings.items())
    (root / "sshd_config").write_text(lines)
    command = [SSHD, "-i", "-f", str(root / "sshd_config")]
    sessions: list[subprocess.Popen[bytes]] = []
    with socket.create_server(("127.0.0.1", 0)) as door:
        port = door.getsockname()[1]
        (root / "known").write_text(f"[127.0.0.1]:{port} {(root / 'host.pub').read_text()}")

        def serve() -> None:
            """One process for each who comes, as inetd does it: so nobody else has the port."""
            with suppress(OSError):  # the door is shut
                while True:
                    caller, _ = door.accept()
                    with caller:
                        sessions.append(subprocess.Popen(command, stdin=caller, stdout=caller))

        serving = threading.Thread(target=serve)
        serving.start()
        try:
            yield [
                *("ssh", "-F", "none", "-p", str(port), "-i", str(root / "key")),
                *("-o", f'UserKnownHostsFile="{root}/known"', "-o", "IdentitiesOnly=yes"),
                *("-o", "GlobalKnownHostsFile=none"),
            ]
        finally:
            door.shutdown(socket.SHUT_RDWR)
            serving.join()
            for session in sessions:
                session.wait()


@pytest.mark.skipif(bool(why_no_sshd()), reason=why_no_sshd())
@ensureDeferred
async def test_the_real_sshd(tmp_path: Path) -> None:
    """Two levels arrive; a key that is not let in, and a host that is not known, are told."""
    nights = await two_nights(tmp_path)
    place = tmp_path / "far's $(id) \\ place"
    words = (*WORDS, f"127.0.0.1:{place}", "--ssh")
    with sshd(tmp_path) as ssh:
        said = await nights.lines(*words, shlex.join(ssh))
        assert said[-1] == "Restored. All checksums are as they were when it was dumped."
        assert found(place) == HOME.files() | AGAIN.files()
        shutil.rmtree(place)
        (tmp_path / "authorized").write_text("")
        assert (await nights.run(*words, shlex.join(ssh)))[0] == Exit.FAILED
        assert "ssh does not reach 127.0.0.1: " in nights.said[-1]
        assert "Permission denied (publickey)" in nights.said[-1]
        (tmp_path / "known").write_text("")
        assert (await nights.run(*words, shlex.join(ssh)))[0] == Exit.FAILED
        assert "Host key verification failed." in nights.said[-1]
    assert (await nights.run(*words, shlex.join(ssh)))[0] == Exit.FAILED
    assert "Connection refused" in nights.said[-1]
    assert nights.codes[-1] == far.Unreachable.taper_code
    assert not place.exists()
