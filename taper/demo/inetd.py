"""A host's services: who connects to a port talks to a program, once.

Run as ``python -m taper.demo.inetd HOST SERVICES``; SERVICES is JSON, a list of commands. A line
on standard output tells their ports. A program has the connection as standard input and output.
It ends when all programs have ended, with the worst of their statuses; 255: killed.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

RELAY = """
import shutil, socket, sys
port = int(sys.stdin.buffer.readline())
with socket.create_connection(("localhost", port)) as link, link.makefile("wb") as there:
    shutil.copyfileobj(sys.stdin.buffer, there)
"""
"""A program for a service: passes what follows a line with a port on to that port of its host."""


def _serve(listener: socket.socket, command: list[str]) -> int:
    with listener:
        link, _ = listener.accept()
    with subprocess.Popen(command, stdin=link.fileno(), stdout=link.fileno()) as process:
        link.close()
        status = process.wait()
    return status if status >= 0 else 255


def main(host: str, commands: list[list[str]]) -> int:
    """Serve each command once. :return: the worst status"""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listeners = [socket.create_server((host, 0), family=family) for _ in commands]
    print(*(listener.getsockname()[1] for listener in listeners), flush=True)
    with ThreadPoolExecutor() as pool:
        return max(pool.map(_serve, listeners, commands))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], json.loads(sys.argv[2])))
