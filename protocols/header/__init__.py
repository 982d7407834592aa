"""Headers of files on volumes and holding disks, read and written (volumes-and-devices 1)."""

from protocols.header.types import Header, HeaderError, HeaderType

__all__ = ["Header", "HeaderError", "HeaderType"]
