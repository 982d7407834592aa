"""The daemon's door is opened: on an endpoint, on what systemd has opened, as root or not."""

from __future__ import annotations

import os
import socket
from typing import Any

from attrs import frozen
from twisted.internet.defer import Deferred, succeed
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IListeningPort

from protocols.errorcode import CANNOT_LISTEN, WRONG_WORDS
from taper.run.as_root import become, dump_user, look_up
from taper.run.daemon_options import STDIO, SYSTEMD, TaperOptions
from taper.run.door import Door
from taper.run.driver_door import private_endpoint, refuse_unverified
from taper.run.mtls import is_mtls
from taper.run.options import Options
from taper.run.paths import Paths
from taper.run.setup import StartFailed
from taper.run.unix_door import InheritedPort, Listening, socket_path
from taper.run.usher import CertifiedUsher, DriverConnection
from taper.systemd import inherited_socket


class Inherited:
    """The socket that systemd has opened for us, as an endpoint."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor

    def listen(self, factory: Any) -> Deferred[Any]:
        """See IStreamServerEndpoint.

        :raise CannotStart: there is none, or it is not of a kind for drivers
        """
        link = inherited_socket((socket.AF_UNIX,))
        if link is None:
            raise StartFailed(
                "--driver systemd: systemd hands over no socket; is this started by a socket unit?",
                code=1014,
            )
        port = InheritedPort(link, factory, self._reactor)
        port.startListening()
        return succeed(port)


def endpoint_of(reactor: Any, text: str) -> Any:
    """What ``--driver`` stands for.

    :raise StartFailed: nothing, or one by which whoever likes could drive us
    """
    if text == SYSTEMD:
        return Inherited(reactor)
    refuse_unverified(text)
    try:
        serverFromString(reactor, text)
    except StartFailed:
        raise
    # whoever reads the arguments of an endpoint raises what he likes
    except Exception as fault:
        raise StartFailed(
            f"--driver {text} is no endpoint: {fault}; "
            "expected stdio, systemd, or for example unix:/run/amanda/taper.sock",
            code=1014,
        ) from fault
    return serverFromString(Listening(reactor), private_endpoint(text))


def why_deaf(driver: str, failure: Any) -> str:
    """A sentence of why nothing is listened on."""
    reason = getattr(failure.value, "socketError", failure.value)
    text = getattr(reason, "strerror", None) or failure.getErrorMessage()
    return f"cannot listen on --driver {driver}: {text}"


def _listen(endpoint: Any, door: Door, driver: str) -> IListeningPort:
    """Listen at once.

    :raise StartFailed: it cannot be done
    """
    found: list[IListeningPort] = []
    failures: list[Any] = []
    endpoint.listen(door).addCallbacks(found.append, failures.append)
    for failure in failures:
        raise StartFailed(why_deaf(driver, failure), code=CANNOT_LISTEN)
    if not found:
        raise StartFailed(f"--driver {driver} is none that root can open at once", code=1014)
    return found[0]


@frozen
class Opened:
    """A door, and the port that it is at."""

    door: Door
    port: IListeningPort


def make_door(driver: str, waiting: int) -> Door:
    """The door of such an endpoint."""
    return Door(CertifiedUsher if is_mtls(driver) else DriverConnection, waiting)


def open_as_root(
    reactor: Any, options: TaperOptions, wanted: Options | None, paths: Paths, usual: str
) -> Opened | None:
    """As root, open the door and become the dump user; nothing for anybody else.

    :param wanted: the configuration; None: there is none
    :param usual: the dump user where no configuration names one
    :raise StartFailed: the door cannot be opened, or there is nobody to become
    """
    driver = options["driver"]
    if os.geteuid() != 0 or driver == STDIO:
        return None
    if wanted is None:
        user: str | None = usual
    else:
        user = dump_user(wanted.config_name, wanted.overrides, paths)
    if user is None or user == "root":
        return None
    parent = getattr(options, "parent", None)
    if parent is not None and any(parent[name] is not None for name in ("uid", "gid")):
        raise StartFailed(
            f"twistd's --uid and --gid are not for the taper: it becomes {user}, the dump user",
            code=WRONG_WORDS,
        )
    owner = look_up(user)
    door = make_door(driver, options["waiting"])
    port = _listen(endpoint_of(reactor, driver), door, driver)
    path = socket_path(driver)
    if path is not None:
        os.lchown(path, owner.pw_uid, owner.pw_gid)
    become(owner)
    return Opened(door, port)
