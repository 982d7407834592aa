"""moto, another store that speaks S3, in this process: what comes to it can be made to go wrong.

It holds everything in memory, and asks nobody who he is. A :class:`Fault` happens between it and
the network.
"""

from __future__ import annotations

import base64
import hashlib
import io
import logging
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from enum import Enum
from typing import Any

from attrs import define, field

Environ = dict[str, Any]
StartResponse = Callable[..., Any]

_SLOW_DOWN = b"""<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"""


class What(Enum):
    """What goes wrong with a request."""

    BUSY = "it is answered 503"
    CUT = "the connection is cut, and nothing is done"
    LOST = "it is done, and the connection is cut before the answer"
    SHORT = "it is answered, but half of the body is missing"
    CHANGED = "a byte of what is sent is changed, and so is the sum that tells of it"


@define
class Fault:
    """:ivar method: of the requests; :ivar part: of their paths; :ivar times: so often still."""

    what: What
    method: str
    part: str
    times: int = 1

    def takes(self, environ: Environ) -> bool:
        """It happens to this request."""
        where = f"{environ['PATH_INFO']}?{environ['QUERY_STRING']}"
        return self.times > 0 and environ["REQUEST_METHOD"] == self.method and self.part in where


@define
class MotoStore:
    """:ivar host: address and port, as in the property S3_HOST; :ivar faults: to come."""

    app: Callable[[Environ, StartResponse], Iterable[bytes]]
    host: str = ""
    faults: list[Fault] = field(factory=list)
    lock: threading.Lock = field(factory=threading.Lock)

    def properties(self) -> dict[str, str]:
        """The device properties that a configuration needs to use it."""
        keys = {"S3_ACCESS_KEY": "anybody", "S3_SECRET_KEY": "anything"}
        return {"S3_HOST": self.host, "S3_SSL": "no", **keys}

    def _fault(self, environ: Environ) -> What | None:
        with self.lock:
            for fault in self.faults:
                if fault.takes(environ):
                    fault.times -= 1
                    return fault.what
        return None

    def __call__(self, environ: Environ, start: StartResponse) -> Iterable[bytes]:
        """As WSGI has it."""
        what = self._fault(environ)
        if what is What.BUSY:
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            start("503 Slow Down", [("Content-Length", str(len(_SLOW_DOWN)))])
            return [_SLOW_DOWN]
        if what is What.CUT:
            return _cut(environ)
        if what is What.CHANGED:
            size = int(environ["CONTENT_LENGTH"])
            data = bytearray(environ["wsgi.input"].read(size))
            data[size // 2] ^= 1
            environ["wsgi.input"] = io.BytesIO(data)
            environ["HTTP_CONTENT_MD5"] = base64.b64encode(hashlib.md5(data).digest()).decode()
        body = self.app(environ, start)
        if what is What.LOST:
            list(body)
            return _cut(environ)
        if what is What.SHORT:
            data = b"".join(body)
            return _half(environ, data)
        return body


def _cut(environ: Environ) -> Iterable[bytes]:
    with suppress(OSError):  # whoever asked has gone already
        environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
    return []


def _half(environ: Environ, data: bytes) -> Iterator[bytes]:
    yield data[: len(data) // 2]
    _cut(environ)


@contextmanager
def running_moto() -> Iterator[MotoStore]:
    """A store, as long as it is wanted."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    store = MotoStore(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, store, threaded=True)
    store.host = f"127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield store
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
