"""What the driver of the act with three hosts is told, and what it tells, as JSON."""

from __future__ import annotations

import json

from attrs import asdict, frozen

from protocols.directtcp import Address
from protocols.header import Header
from taper.demo.holding import dump_header
from taper.demo.stage import Stage


@frozen(kw_only=True)
class Task:
    """What to do.

    :ivar stage: of the taper
    :ivar client: address of the client host's service
    :ivar taper: address of the taper; empty: it runs here
    :ivar relay: address of the service that passes the header on to the taper; empty likewise
    :ivar stamp: datestamp of the dump
    """

    stage: Stage
    client: str
    taper: str = ""
    relay: str = ""
    stamp: str

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Task:
        values = json.loads(text)
        return cls(**{**values, "stage": Stage(**values["stage"])})

    @property
    def header(self) -> Header:
        """As the dumper makes it. The client is named by its address: the taper takes data from
        the dump's host only, and there is no name service between these hosts."""
        return dump_header("/home", self.stamp, Address.parse(self.client).host)


@frozen(kw_only=True)
class Outcome:
    """How it ended.

    :ivar said: the taper's last word on the dump: ``DONE``, ``PARTIAL`` or ``FAILED``
    :ivar error: why it is not good, by the taper
    :ivar client_error: what the dumper found wrong with the client; empty: nothing
    :ivar taper_crc: what the taper counted
    :ivar client_crc: what the client sent; both may be unknown
    :ivar indirect: the addresses had to be asked for
    """

    said: str
    error: str
    client_error: str
    taper_crc: str
    client_crc: str
    indirect: bool

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Outcome:
        return cls(**json.loads(text))
