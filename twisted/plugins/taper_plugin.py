"""Makes ``twistd taper`` and ``twistd ndmp-tape`` known, and the endpoint ``mtls:`` on which
drivers of other hosts call."""

from typing import Any

from twisted.application.service import ServiceMaker
from twisted.internet.interfaces import IStreamServerEndpointStringParser
from twisted.plugin import IPlugin
from zope.interface import implementer

taper = ServiceMaker(
    "taper",
    "taper.run.plugin",
    "The volume writer of the Amanda backup system.",
    "taper",
)

ndmp_tape = ServiceMaker(
    "taper ndmp-tape",
    "taper.tapeserver.plugin",
    "An NDMP tape server on vtapes and files.",
    "ndmp-tape",
)


@implementer(IPlugin, IStreamServerEndpointStringParser)
class MutualTLS:
    """``mtls:PORT:...``, see :mod:`taper.run.mtls`."""

    prefix = "mtls"

    def parseStreamServer(self, reactor: Any, *arguments: str, **named: str) -> Any:
        from taper.run.mtls import tls_endpoint  # every program with endpoints comes by here

        return tls_endpoint(reactor, *arguments, **named)


mtls = MutualTLS()
