"""``taperctl web``: serve the pages until somebody ends it."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import CannotListenError

from taper.last_words import CannotStart
from taper.people.telling import Answer
from taper.people.web.listening import DEFAULT, read_place

if TYPE_CHECKING:
    import argparse

    from taper.people.site import Site
    from taper.people.web.listening import Place

_WANTED = ("klein", "jinja2", "prometheus_client")
_MISSING = (
    "taperctl web needs klein, jinja2 and prometheus-client, and {name} is not there: "
    "pip install 'twisted-taper[web]'"
)


async def web(site: Site, options: argparse.Namespace) -> Answer:
    """See :mod:`taper.people.commands`. It ends by a signal only."""
    place = read_place(options.listen or DEFAULT, exposed=options.expose)
    served = await site.call(_load)
    pages: Any = served(site)
    try:
        await pages.begin()
        port = await _listen(site, place, pages.factory(options.host))
        try:
            where = place.told(getattr(port.getHost(), "port", 0))
            site.screen.answer(
                Answer(
                    record={
                        "schema": "taper/web/1",
                        "config": site.config.name,
                        "listening": where,
                    },
                    shown=(f"Serving {site.config.name} at {where}",),
                )
            )
            await Deferred()  # until it is cancelled
        finally:
            await maybeDeferred(port.stopListening)
    finally:
        await pages.close()
    raise AssertionError("nothing ends this but a signal")


def _load() -> Any:
    """Import what no other command needs; it takes half a second, so it is done in a thread.

    :raise CannotStart: a package is not there
    """
    for name in _WANTED:
        try:
            import_module(name)
        except ImportError as fault:
            raise CannotStart(_MISSING.format(name=fault.name or name)) from fault
    return import_module("taper.people.web.served").Pages


async def _listen(site: Site, place: Place, factory: Any) -> Any:
    try:
        return await place.endpoint(site.reactor).listen(factory)
    except CannotListenError as fault:
        raise CannotStart(
            f"cannot listen at {place.told(place.port)}: {fault.socketError}"
        ) from fault
