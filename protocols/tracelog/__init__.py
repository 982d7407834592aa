"""The trace log: its lines as records, written and read."""

from protocols.tracelog.read import parse_line, read_record
from protocols.tracelog.records import (
    Done,
    Error,
    Fail,
    Fatal,
    Info,
    NoTapeConfig,
    NoTapeError,
    Other,
    Part,
    Partial,
    PartPartial,
    PidDone,
    PidStart,
    Start,
    TapeInfo,
    Warning_,
)
from protocols.tracelog.write import TEXT_LIMIT, encode

__all__ = [
    "TEXT_LIMIT",
    "Done",
    "Error",
    "Fail",
    "Fatal",
    "Info",
    "NoTapeConfig",
    "NoTapeError",
    "Other",
    "Part",
    "PartPartial",
    "Partial",
    "PidDone",
    "PidStart",
    "Start",
    "TapeInfo",
    "Warning_",
    "encode",
    "parse_line",
    "read_record",
]
