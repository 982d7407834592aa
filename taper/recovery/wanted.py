"""The dump that is wanted, by name, and what is kept of it beside the volumes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from protocols.records import Record
from protocols.stored import full_stamp

if TYPE_CHECKING:
    from protocols.conf import Config

_UNFIT = re.compile(r"[/:\\\0]")
"""What Amanda makes fit for the name of a directory."""


class Wanted(Record, kw_only=True):
    """A dump, as :class:`taper.flow.stored.StoredOrigin` wants it named."""

    src_storage: str
    hostname: str
    diskname: str
    level: str
    datestamp: str
    handle: str = "recovery"


def index_stem(config: Config, host: str, disk: str, datestamp: str, level: str) -> str:
    """Path of what Amanda keeps of a dump in the index, without its ending [recovery 6.1]."""
    host, disk = (_UNFIT.sub("_", text) for text in (host, disk))
    indexdir = config.path(config.general.indexdir)
    return f"{indexdir}/{host}/{disk}/{full_stamp(datestamp)}_{level}"
