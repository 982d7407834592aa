"""A rendezvous for a dump, as the properties want it."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from devices.key_file import FileRefused, read_key, read_pem
from protocols.application import Properties, Request, RequestError
from protocols.rendezvous.application import ApplicationHalf, Names
from protocols.rendezvous.frames import DUMP_ID_SIZE, NONCE_SIZE, HeaderFields
from protocols.rendezvous.keys import KeyRefused
from protocols.rendezvous.window import SpoolError, Window
from taper.application.calls import Patience
from taper.application.conversation import Conversation
from taper.application.errors import ApplicationError
from taper.application.link import NAME
from taper.application.meeting import Meeting
from taper.ownership import refuse_strangers
from taper.plane.crc import crc32c, prepare
from taper.plane.spool import FileSpool

if TYPE_CHECKING:
    from taper.application.tls import Trust

_MIB = 1 << 20


def key_of(properties: Properties) -> bytes:
    """What both ends know.

    :raise RequestError: no file is named
    :raise ApplicationError: it cannot be used
    """
    path = properties.rendezvous_key_file
    if path is None:
        raise RequestError("property RENDEZVOUS needs RENDEZVOUS-KEY-FILE")
    try:
        return read_key(path)
    except KeyRefused as refusal:
        raise ApplicationError(f"property RENDEZVOUS-KEY-FILE: {refusal}", code=1010) from None


def trust_of(properties: Properties) -> Trust | None:
    """Who may be the taper; None: there is no TLS.

    :raise ApplicationError: there is no certificate where the property says
    """
    path = properties.rendezvous_tls_ca
    if path is None:
        return None
    from taper.application.tls import NoAuthority, Trust  # brings OpenSSL

    try:
        return Trust(read_pem(path, secret=False))
    except FileRefused as refusal:
        raise ApplicationError(f"property RENDEZVOUS-TLS-CA: {refusal}", code=1011) from None
    except NoAuthority as fault:
        raise ApplicationError(f"property RENDEZVOUS-TLS-CA: {path}: {fault}", code=1011) from None


def spool_of(properties: Properties) -> FileSpool | None:
    """Room for more than memory has.

    :raise ApplicationError: it cannot be made where the property says
    """
    directory = properties.rendezvous_spool
    if directory is None:
        return None
    try:
        refuse_strangers(directory)
        return FileSpool(directory, properties.rendezvous_spool_size * _MIB)
    except OSError as error:
        raise ApplicationError(f"property RENDEZVOUS-SPOOL: {error}", code=6006) from None
    except SpoolError as error:
        raise ApplicationError(f"property RENDEZVOUS-SPOOL: {error}", code=6006) from None


def meeting(request: Request) -> Meeting:
    """The rendezvous of a dump; nobody has been called yet.

    :raise ApplicationError: key, spool or certificates cannot be used, or there is nobody to call
    :raise RequestError: a property is missing
    """
    properties = request.properties
    if not request.addresses:
        raise ApplicationError("no address for the rendezvous was given", code=5004)
    key, trust = key_of(properties), trust_of(properties)
    disk = request.disk or request.directory
    names = Names(request.host, disk, request.level, NAME)
    dump_id = os.urandom(DUMP_ID_SIZE)
    memory = properties.rendezvous_window * _MIB
    prepare()
    window = Window(memory, crc32c, spool_of(properties))

    def half() -> ApplicationHalf:
        return ApplicationHalf(key, names, dump_id, os.urandom(NONCE_SIZE), window.capacity)

    fields = (("program", "APPLICATION"), ("application", NAME), ("compression", "N"))
    timeout = properties.connect_timeout
    patience = Patience(first=timeout, again=properties.rendezvous_patience)
    conversation = Conversation(half, HeaderFields(fields), window, patience, time.monotonic())
    return Meeting(conversation, request.addresses, timeout, trust)
