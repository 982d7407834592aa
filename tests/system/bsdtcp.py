"""Amanda's client on this machine, reached by auth bsdtcp, with our application in its place.

DIRECTTCP needs bsdtcp: with auth local the stock dumper never sees the end of such a dump
[ndmp 7]. What inetd would do on port 10080 is done here on a free port, which the
dumptype names: every connection gets an ``amandad`` of its own, in the namespace of the test.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
from pathlib import Path
from types import TracebackType

from tests.namespace import USER, Namespace

SERVICES = ("amdump", "amindexd", "amidxtaped")
AMANDAD = ("/usr/lib/amanda/amandad", "-auth=bsdtcp", *SERVICES)
APPLICATIONS = "/usr/lib/amanda/application"
SECONDS = 30

DUMPTYPES = """
define application-tool app_amdirecttar {{
  plugin "amdirecttar"
  {properties}
}}
define dumptype through {{
  auth "bsdtcp"
  client-port "{port}"
  program "APPLICATION"
  application "app_amdirecttar"
  compress none
  index yes
}}
define dumptype direct {{
  through
  data-path directtcp
  holdingdisk never
}}
"""
"""``through``: data path AMANDA; ``direct``: data path DIRECTTCP; for ``Options.extra``."""


class Client:
    """An inetd for ``amandad``. As a context it is there until its end.

    :ivar port: where it listens, on localhost
    """

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._namespace: Namespace | None = None
        self._children: list[subprocess.Popen[bytes]] = []
        self._thread = threading.Thread(target=self._serve)

    def dumptypes(self, properties: str = "") -> str:
        """Configuration that uses this client and our application."""
        return DUMPTYPES.format(port=self.port, properties=properties)

    def enter(self, namespace: Namespace, launcher: Path) -> None:
        """Serve in this namespace; let its Amanda accept us, and find our application.

        :param launcher: of our taper, beside which all that ours needs is installed
        """
        self._namespace = namespace
        _allow(namespace)
        _add_application(namespace, launcher)
        self._thread.start()

    def _serve(self) -> None:
        assert self._namespace is not None
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:  # closed: it is over
                return
            with connection:
                # amandad asks for the peer's port: it must get the connection itself
                child = subprocess.Popen(
                    self._namespace.command(*AMANDAD),
                    stdin=connection.fileno(),
                    stdout=connection.fileno(),
                    stderr=subprocess.DEVNULL,
                    env=self._namespace.environment,
                )
            self._children.append(child)

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        if self._thread.ident is not None:
            self._thread.join()
        for child in self._children:
            if child.poll() is None:
                child.terminate()
            child.wait(SECONDS)


def _allow(namespace: Namespace) -> None:
    """Let the dump user and root of this machine in."""
    home = namespace.base / "home"
    home.mkdir()
    lines = f"localhost {USER} {' '.join(SERVICES)}\nlocalhost root {' '.join(SERVICES[1:])}\n"
    hosts = home / ".amandahosts"
    hosts.write_text(lines)
    hosts.chmod(0o600)
    for path in (home, hosts):
        shutil.chown(path, USER, USER)
    namespace.inside("mount", "--bind", str(home), namespace.user.pw_dir)


def _add_application(namespace: Namespace, launcher: Path) -> None:
    """The stock applications, setuid bits and all, and ours among them."""
    place = namespace.base / "application"
    subprocess.run(["cp", "-a", APPLICATIONS, str(place)], check=True)
    ours = place / "amdirecttar"
    text = launcher.read_text()
    assert "from taper.cli " in text
    ours.write_text(text.replace("from taper.cli ", "from taper.application.cli "))
    ours.chmod(0o755)
    namespace.inside("mount", "--bind", str(place), APPLICATIONS)
