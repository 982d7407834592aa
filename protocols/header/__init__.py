"""Headers of files on volumes and holding disks, read and written [volumes 1]."""

from protocols.header.build import build_header
from protocols.header.parse import parse_header
from protocols.header.schema import FIELD_LIMIT
from protocols.header.types import Header, HeaderError, HeaderType

__all__ = [
    "FIELD_LIMIT",
    "Header",
    "HeaderError",
    "HeaderType",
    "build_header",
    "parse_header",
]
