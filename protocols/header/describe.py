"""One line about a header, for messages to people (volumes-and-devices 1.12)."""

from __future__ import annotations

from protocols.header.schema import CLAUSES
from protocols.header.types import Header, HeaderType
from protocols.quoting import quote

_STARTS = {
    HeaderType.DUMPFILE: "FILE",
    HeaderType.CONT_DUMPFILE: "CONT_FILE",
    HeaderType.SPLIT_DUMPFILE: "split dumpfile",
}


def summary(header: Header) -> str:
    """What ``amtape`` and others print about a file."""
    if header.type is HeaderType.TAPESTART:
        return f"start of tape: date {header.datestamp} label {header.label}"
    if header.type is HeaderType.TAPEEND:
        return f"end of tape: date {header.datestamp}"
    if header.type not in _STARTS:
        return f"{header.type.name} file"
    parts = [
        f"{_STARTS[header.type]}: date {header.datestamp} host {header.host}"
        f" disk {quote(header.disk)}"
    ]
    if header.type is HeaderType.SPLIT_DUMPFILE:
        total = str(header.totalparts) if header.totalparts > 0 else "UNKNOWN"
        parts.append(f"part {header.partnum}/{total}")
    parts.append(f"lev {header.level} comp {header.comp_suffix or 'N'}")
    for clause in CLAUSES:
        value: str = getattr(header, clause.attribute)
        if value and (clause.attribute != "encrypt_suffix" or value == "enc"):
            parts.append(f"{clause.keyword} {value}")
    return " ".join(parts)
