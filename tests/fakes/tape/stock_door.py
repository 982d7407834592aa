"""A door to a simulated drive for programs that know nothing of it, above all Amanda's own.

A small library, preloaded, sends what they ask of the drive through a socket in its directory. So
Amanda's device code opens, positions, reads and writes the very drive and cartridge that ours does.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO

from devices.mtio import IDrive
from tests.fakes import preloaded
from tests.fakes.tape.drive import SimulatedDrive

SOURCE = Path(__file__).with_suffix(".c")
_QUESTION = struct.Struct("=IIq")
_ANSWER = struct.Struct("=iIq")
_OPEN, _READ, _WRITE, _IOCTL, _CLOSE = range(1, 6)


def why_no_door() -> str | None:
    """Why none can be made here."""
    reason = preloaded.why_no_library()
    if reason is not None:
        return reason
    return None if Path("/usr/include/linux/mtio.h").exists() else "no headers of the kernel here"


def made_library() -> AbstractContextManager[Path]:
    """Compile the library, for everybody to use. :return: its path, for LD_PRELOAD"""
    return preloaded.made_library(SOURCE)


@contextmanager
def door_of(drive: SimulatedDrive) -> Iterator[None]:
    """Keep a door at a drive; what comes through it is told in its ``history``."""
    path = drive.directory / "door"
    path.unlink(missing_ok=True)
    here = os.open(drive.directory, os.O_RDONLY)  # names of sockets are short
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"/proc/self/fd/{here}/door")
        os.close(here)
        path.chmod(0o666)
        listener.listen()
        thread = threading.Thread(target=_serve, args=(drive, listener), daemon=True)
        thread.start()
        try:
            yield
        finally:
            path.unlink()
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def _serve(drive: SimulatedDrive, listener: socket.socket) -> None:
    guests: list[tuple[socket.socket, threading.Thread]] = []
    with contextlib.suppress(OSError):  # the end of the listener
        while True:
            guest, _ = listener.accept()
            thread = threading.Thread(target=_talk, args=(drive, guest), daemon=True)
            guests.append((guest, thread))
            thread.start()
    for guest, thread in guests:
        with contextlib.suppress(OSError):  # it has gone by itself
            guest.shutdown(socket.SHUT_RDWR)
        thread.join()


def _ask(questions: IO[bytes], size: int) -> bytes:
    """So many bytes, or less: whoever asks may be killed with an answer on its way to him."""
    try:
        return questions.read(size)
    except ConnectionResetError:
        return b""


def _talk(drive: SimulatedDrive, guest: socket.socket) -> None:
    handle: IDrive | None = None
    with guest, guest.makefile("rb") as questions:
        while len(head := _ask(questions, _QUESTION.size)) == _QUESTION.size:
            what, size, number = _QUESTION.unpack(head)
            data = bytearray(_ask(questions, size))
            if len(data) < size:
                break
            error, result, answer = 0, 0, b""
            try:
                if what == _OPEN:
                    handle = drive.open("", number)
                elif handle is not None:
                    result, answer = _do(handle, what, number, data)
                    handle = None if what == _CLOSE else handle
            except OSError as fault:
                error = fault.errno or 0
                handle = None if what == _CLOSE else handle
            with contextlib.suppress(OSError):  # who has gone needs no answer
                guest.sendall(_ANSWER.pack(error, len(answer), result) + answer)
    if handle is not None:
        handle.close()  # as of a process that was killed


def _do(handle: IDrive, what: int, number: int, data: bytearray) -> tuple[int, bytes]:
    if what == _READ:
        buffer = bytearray(number)
        got = handle.read(memoryview(buffer))
        return got, bytes(buffer[:got])
    if what == _WRITE:
        return handle.write(data), b""
    if what == _IOCTL:
        handle.ioctl(number, data)
        return 0, bytes(data)
    handle.close()
    return 0, b""
