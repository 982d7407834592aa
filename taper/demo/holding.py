"""Dumps on a holding disk, as a chunker leaves them [data-plane 4.1]."""

from __future__ import annotations

import os
from typing import BinaryIO

from attrs import evolve

from devices.base import HEADER_SIZE
from protocols.crc import UNKNOWN, Crc
from protocols.header import Header, HeaderType, build_header


class HoldingWriter:
    """Writes a dump as a chain of chunks.

    :ivar paths: the chunks so far
    :param first: path of the first chunk
    :param chunk_size: bytes of data in a chunk
    """

    def __init__(self, first: str, header: Header, chunk_size: int) -> None:
        self.paths: list[str] = []
        self._first = first
        self._header = header
        self._chunk_size = chunk_size
        self._file: BinaryIO | None = None
        self._left = 0

    def write(self, data: memoryview) -> None:
        """Append to the dump."""
        while data:
            if self._file is None or not self._left:
                self._file = self._next_chunk()
            taken = data[: self._left]
            self._file.write(taken)
            self._left -= len(taken)
            data = data[len(taken) :]

    def _next_chunk(self) -> BinaryIO:
        self.close()
        self.paths.append(f"{self._first}.{len(self.paths)}" if self.paths else self._first)
        chunk = open(self.paths[-1], "wb")  # noqa: SIM115 - closed by close()
        chunk.write(bytes(HEADER_SIZE))
        self._left = self._chunk_size
        return chunk

    def close(self) -> None:
        """Close the chunk being written; a finished dump needs :meth:`finish` instead."""
        if self._file is not None:
            self._file.close()

    def finish(self, crc: Crc) -> None:
        """Write the headers, now that the chain and the checksum are known."""
        self.close()
        for number, path in enumerate(self.paths):
            header = evolve(
                self._header,
                type=HeaderType.CONT_DUMPFILE if number else HeaderType.DUMPFILE,
                cont_filename="".join(self.paths[number + 1 : number + 2]),
                orig_size=-(-crc.size // 1024),
                native_crc=UNKNOWN if number else crc,
                client_crc=UNKNOWN if number else crc,
                server_crc=UNKNOWN if number else crc,
            )
            with open(path, "r+b") as file:
                file.write(build_header(header, HEADER_SIZE, HEADER_SIZE))

    def delete(self) -> None:
        """Delete the chunks, as a driver does after DONE."""
        for path in self.paths:
            os.unlink(path)
