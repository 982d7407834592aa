"""How boto3 reaches a store: clients, the bytes that they send, and what goes wrong [volumes 5.6].

Beside :mod:`devices.s3_store` the only module that knows boto3.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import os
import ssl
import threading
from typing import Any

import boto3
import botocore.session
import urllib3.exceptions
from botocore import exceptions as boto_errors
from botocore.config import Config

from devices.s3_facts import MOST_THREADS, Settings
from devices.s3_values import CONNECT_PATIENCE, STALL_PATIENCE, Speed, Waiter
from protocols.s3answers import CERTIFICATE, NETWORK, S3Error

_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/usr/local/share/certs/ca-root-nss.crt",
)
"""Where Debian, Fedora, SUSE and FreeBSD have it."""


class GivenUp(Exception):
    """Nobody waits for this request any more."""


class Body:
    """The bytes of a request, as a file: they are sent as fast as they may, and no longer than
    somebody waits for what comes of it."""

    def __init__(self, data: memoryview, speed: Speed, waiter: Waiter) -> None:
        self._data = data
        self._at = 0
        self._speed = speed
        self._waiter = waiter
        self.sending = False

    def __len__(self) -> int:
        return len(self._data)

    def tell(self) -> int:
        return self._at

    def seek(self, place: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: len(self._data)}[whence]
        self._at = base + place
        return self._at

    def read(self, size: int = -1) -> memoryview:
        if self._waiter.given_up:
            raise GivenUp
        end = len(self._data) if size is None or size < 0 else self._at + size
        piece = self._data[self._at : end]
        self._at += len(piece)
        if self.sending:
            self._speed.take(len(piece), self._waiter)
        return piece


# -- clients --------------------------------------------------------------------------------------

_making = threading.Lock()


def client_for(settings: Settings) -> Any:
    """A client for what is reached so; of the same settings the same one, in any thread."""
    with _making:  # a session is no thing for several threads
        return _make_client(settings)


@functools.lru_cache(maxsize=16)
def _make_client(settings: Settings) -> Any:
    """One client for all devices that are reached alike: to make one takes its time."""
    # nothing but the properties counts: no profile, no files, no variables of the environment
    nothing: tuple[None, None, None, None] = (None, None, None, None)
    core = botocore.session.Session(
        {name: nothing for name in ("profile", "config_file", "credentials_file")}
    )
    session = boto3.session.Session(
        botocore_session=core,
        aws_access_key_id=settings.access_key,
        aws_secret_access_key=settings.secret_key,
        aws_session_token=settings.session_token or None,
        region_name=settings.region or "us-east-1",
    )
    proxies = {"http": settings.proxy, "https": settings.proxy} if settings.proxy else None
    config = Config(
        signature_version="s3v4",
        s3={"addressing_style": "virtual" if settings.virtual else "path"},
        connect_timeout=CONNECT_PATIENCE,
        read_timeout=STALL_PATIENCE,
        retries={"total_max_attempts": 1, "mode": "standard"},
        max_pool_connections=MOST_THREADS,
        proxies=proxies,
        tcp_keepalive=True,
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        ignore_configured_endpoint_urls=True,
    )
    endpoint = None
    if settings.host:
        path = f"/{settings.path}" if settings.path else ""
        endpoint = f"{'https' if settings.tls else 'http'}://{settings.host}{path}"
    client = session.client(
        "s3",
        config=config,
        endpoint_url=endpoint,
        use_ssl=settings.tls,
        verify=settings.ca_file or system_authorities(),
    )
    client.meta.events.register("before-send.s3", _begin_sending)
    client.meta.events.register("before-call.s3.DeleteObjects", _sum_up)
    if not settings.keep_alive:
        client.meta.events.register("before-call.s3", _close_after)
    return client


def system_authorities() -> str | None:
    """The file of the authorities that this system trusts, as Amanda's own programs do; None:
    boto3's own has to do."""
    known = ssl.get_default_verify_paths().cafile
    return next((path for path in (known, *_BUNDLES) if path and os.path.isfile(path)), None)


def _begin_sending(request: Any, **_: Any) -> None:
    """From here on its body is read to be sent, and no more to be signed."""
    if isinstance(request.body, Body):
        request.body.sending = True


def _sum_up(params: Any, **_: Any) -> None:
    """Older stores want this sum, newer boto3s send another one only."""
    body = params["body"]
    data = body if isinstance(body, bytes) else str(body).encode()
    params["headers"]["Content-MD5"] = base64_of(md5_of(data))


def _close_after(params: Any, **_: Any) -> None:
    params["headers"]["Connection"] = "close"


# -- what goes wrong ------------------------------------------------------------------------------


def translated(error: Exception) -> S3Error:
    """What boto3 and what is below it raises."""
    if isinstance(error, S3Error):
        return error
    if isinstance(error, boto_errors.ClientError):
        told = error.response.get("Error", {})
        http = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        code = str(told.get("Code", ""))
        return S3Error(str(told.get("Message") or f"{error}"), code, http)
    if isinstance(error, GivenUp) or isinstance(_cause(error), GivenUp):
        return S3Error("given up", repeat=False)
    text = f"{error}" or type(error).__name__
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return S3Error(text, repeat=False, advice=CERTIFICATE)
    if isinstance(error, _NETWORK_ERRORS):
        return S3Error(text, repeat=True, advice=NETWORK)
    return S3Error(f"{type(error).__name__}: {text}", repeat=False)


_NETWORK_ERRORS = (
    boto_errors.HTTPClientError,
    boto_errors.ConnectionError,
    boto_errors.IncompleteReadError,
    boto_errors.ResponseStreamingError,
    urllib3.exceptions.HTTPError,
    OSError,
)


def _cause(error: BaseException) -> object:
    return error.kwargs.get("error") if isinstance(error, boto_errors.HTTPClientError) else None


# -- sums -----------------------------------------------------------------------------------------


def md5_of(data: bytes | memoryview) -> bytes:
    """The MD5 sum, which is no proof of anything but a way without faults."""
    return hashlib.md5(data, usedforsecurity=False).digest()


def base64_of(digest: bytes) -> str:
    """A sum as headers have it."""
    return base64.b64encode(digest).decode()
