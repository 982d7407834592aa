"""What a conversation may need, imported before the daemon serves anybody: an import would hold up
its reactor, where in a process of its own nobody is served yet."""

from __future__ import annotations

import importlib
from contextlib import suppress

from devices.registry import CHANGERS, DEVICES

_LATE = (
    "crc32c",
    "posix_ipc",
    "protocols.catalog",
    "protocols.commandfile",
    "protocols.ere",
    "protocols.logindex",
    "protocols.twisted_transports.ndmp",
    "devices.addresses",
    "devices.changers.removable",
    "devices.configure",
    "devices.unknown",
    "taper.core.clerk",
    "taper.flow.made_header",
    "taper.flow.rendezvous.origin",
    "taper.flow.rendezvous.terms",
    "taper.flow.resolving",
    "taper.flow.sent",
    "taper.flow.taken",
    "taper.plane.left",
    "taper.plane.monotonic_wait",
    "taper.plane.shm",
    "taper.run.interactivity",
    "taper.run.shm_sweep",
    "taper.run.status_files",
    "taper.run.vault_catalog",
    "taper.run.volume_mail",
    "tempfile",
)
"""What others import inside functions, because few runs need it."""


def import_ahead() -> None:
    """Import it all; what lacks a package of an extra is told when it is used."""
    factories = (*DEVICES.values(), *CHANGERS.values())
    modules = {factory.partition(":")[0] for factory in factories}
    for name in (*sorted(modules), *_LATE):
        with suppress(ImportError):
            importlib.import_module(name)
