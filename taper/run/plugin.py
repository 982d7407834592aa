"""What ``twistd`` looks for: ``Options`` and ``makeService``."""

from taper.run.daemon_options import TaperOptions as Options
from taper.run.reactor import settle_reactor
from taper.run.service import TaperService, make_service


def makeService(options: Options) -> TaperService:
    """The service, on the reactor of a process that is ours alone."""
    from twisted.internet import reactor

    settle_reactor(reactor)
    return make_service(options)


__all__ = ["Options", "makeService"]
