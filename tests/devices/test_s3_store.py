"""What goes to an S3 server, and what is made of its answers."""

from __future__ import annotations

import base64
import hashlib
import inspect
import logging
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from attrs import define, evolve, field

from devices import s3_client, s3_values
from devices.s3_facts import Settings
from devices.s3_store import S3Store
from devices.s3_values import Speed
from protocols.s3answers import S3Error
from tests.fakes.certificates import Authority
from tests.fakes.s3_store import MemoryStore

DATA = memoryview(b"0123456789" * 5000)
MD5 = hashlib.md5(DATA).hexdigest()
XML = '<?xml version="1.0" encoding="UTF-8"?>'


@define
class Asked:
    """One request as it came."""

    line: str
    headers: dict[str, str]
    body: bytes


@define
class Answer:
    """One answer; ``cut`` bytes of its body are not sent."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(factory=dict)
    cut: int = 0


def error(status: int, code: str, message: str = "No.") -> Answer:
    text = f"{XML}<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return Answer(status, text.encode())


class Server:
    """Answers what a test says, one after another, and keeps what it was asked."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.answers: list[Answer] = []
        self.asked: list[Asked] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one_request(self) -> None:
                self.close_connection = True
                try:
                    self.raw_requestline = self.rfile.readline(65537)
                    if not self.raw_requestline or not self.parse_request():
                        return
                    body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                except OSError:  # whoever asked has gone
                    return
                headers = {name.lower(): value for name, value in self.headers.items()}
                server.asked.append(Asked(self.requestline, headers, body))
                answer = server.answers.pop(0)
                self.send_response(answer.status)
                usual = {"Content-Length": str(len(answer.body))}
                for name, value in {**usual, **answer.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(answer.body[: len(answer.body) - answer.cut])
                if answer.cut:
                    self.close_connection = True

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.host = f"127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="module")
def one_server() -> Iterator[Server]:
    """One for all, since for another one boto3 would have to make another client."""
    server = Server()
    yield server
    server.close()


@pytest.fixture
def server(one_server: Server) -> Server:
    one_server.answers, one_server.asked = [], []
    return one_server


class Waiter:
    given_up = False


WAITER = Waiter()


def settings(server: Server, **changes: Any) -> Settings:
    usual = Settings(
        access_key="AKIAEXAMPLE",
        secret_key="verysecret",
        session_token="",
        host=server.host,
        path="",
        tls=False,
        virtual=False,
        region="",
        ca_file="",
        proxy="",
        keep_alive=True,
    )
    return evolve(usual, **changes)


def store(server: Server, **changes: Any) -> S3Store:
    return S3Store(settings(server, **changes), "bucket")


def failure(act: Callable[[], object]) -> S3Error:
    with pytest.raises(S3Error) as caught:
        act()
    return caught.value


def test_the_fake_is_like_the_real_one() -> None:
    """Method by method."""
    for name, method in vars(S3Store).items():
        if name.startswith("_") or isinstance(method, staticmethod):
            continue
        fake = getattr(MemoryStore, name)
        assert inspect.signature(fake) == inspect.signature(method), name


# -- what goes to the server ----------------------------------------------------------------------


def test_put(server: Server) -> None:
    """With the sum of the bytes, and whatever the object is to be like."""
    server.answers = [Answer(headers={"ETag": f'"{MD5}"'})]
    S3Store(settings(server), "bucket", storage_class="STANDARD_IA", encryption="AES256").put(
        "a/b c-f00000001-filestart", DATA, WAITER
    )
    (asked,) = server.asked
    assert asked.line == "PUT /bucket/a/b%20c-f00000001-filestart HTTP/1.1"
    assert asked.body == DATA
    sent = asked.headers
    assert sent["content-md5"] == base64.b64encode(bytes.fromhex(MD5)).decode()
    assert sent["x-amz-storage-class"] == "STANDARD_IA"
    assert sent["x-amz-server-side-encryption"] == "AES256"
    assert sent["x-amz-content-sha256"] == hashlib.sha256(DATA).hexdigest()
    assert "/us-east-1/s3/aws4_request" in sent["authorization"]
    assert "x-amz-security-token" not in sent
    assert "transfer-encoding" not in sent


def test_how_a_server_is_reached(server: Server) -> None:
    """A token, a region, a path before the bucket, connections that are used once."""
    server.answers = [Answer(headers={"ETag": f'"{MD5}"'})]
    special = store(
        server, session_token="token", region="eu-west-1", path="gate/way", keep_alive=False
    )
    special.put("key", DATA, WAITER)
    (asked,) = server.asked
    assert asked.line == "PUT /gate/way/bucket/key HTTP/1.1"
    assert asked.headers["x-amz-security-token"] == "token"
    assert "/eu-west-1/s3/aws4_request" in asked.headers["authorization"]
    assert asked.headers["connection"] == "close"


def test_only_the_properties_count(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not what other programs of the dump user are told."""
    monkeypatch.setenv("AWS_PROFILE", "nosuch")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAOTHER")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "other")
    monkeypatch.setenv("AWS_REGION", "eu-north-1")
    server.answers = [Answer(200, b"data")]
    store(server, access_key="AKIAOWN").get("key", WAITER, 10)
    sent = server.asked[0].headers
    assert "Credential=AKIAOWN/" in sent["authorization"]
    assert "/us-east-1/" in sent["authorization"]
    assert "x-amz-security-token" not in sent


@pytest.mark.parametrize(
    ("changes", "url"),
    [
        ({"host": "store.example.com"}, "http://store.example.com/bucket/key"),
        ({"host": "store.example.com", "virtual": True}, "http://bucket.store.example.com/key"),
        ({"host": ""}, "http://s3.amazonaws.com/bucket/key"),
        ({"host": "", "region": "eu-west-1", "virtual": True},
         "http://bucket.s3.eu-west-1.amazonaws.com/key"),
    ],
)  # fmt: skip
def test_a_proxy(server: Server, changes: dict[str, Any], url: str) -> None:
    """Is asked for everything, whatever the store is; and so one sees which that is."""
    server.answers = [Answer(headers={"ETag": f'"{MD5}"'})]
    store(server, **{"proxy": server.host, **changes}).put("key", DATA, WAITER)
    assert server.asked[0].line == f"PUT {url} HTTP/1.1"


def test_delete(server: Server) -> None:
    """Many at once, with the sum that older servers want; those that are left are told."""
    answer = (
        f"{XML}<DeleteResult><Error><Key>b</Key><Code>AccessDenied</Code>"
        "<Message>It is locked</Message></Error></DeleteResult>"
    )
    server.answers = [Answer(body=answer.encode()), Answer(status=204)]
    errors = store(server).delete(["a", "b"])
    assert [(each.code, each.message) for each in errors] == [("AccessDenied", "'b': It is locked")]
    (asked,) = server.asked
    md5 = base64.b64encode(hashlib.md5(asked.body).digest()).decode()
    assert asked.headers["content-md5"] == md5
    assert b"<Key>a</Key>" in asked.body
    store(server).delete_one("a")
    assert server.asked[1].line == "DELETE /bucket/a HTTP/1.1"


def listing(*keys: str, more: bool = False) -> Answer:
    contents = "".join(f"<Contents><Key>{key}</Key><Size>7</Size></Contents>" for key in keys)
    text = f"<IsTruncated>{'true' if more else 'false'}</IsTruncated>"
    return Answer(
        body=f"{XML}<ListBucketResult>{contents}{text}</ListBucketResult>".encode()
    )  # fmt: skip


def test_a_listing_in_pages(server: Server) -> None:
    server.answers = [listing("p-a", "p-b", more=True), listing("p-c")]
    found, after = store(server).page("p-")
    assert ([each.key for each in found], after) == (["p-a", "p-b"], "p-b")
    found, after = store(server).page("p-", after)
    assert ([(each.key, each.size) for each in found], after) == ([("p-c", 7)], "")
    assert "marker=p-b" in server.asked[1].line


def test_a_listing_that_goes_on_nowhere(server: Server) -> None:
    server.answers = [listing(more=True), listing("a", more=True)]
    assert "does not say where" in failure(lambda: store(server).page("p-")).message
    assert "does not say where" in failure(lambda: store(server).page("p-", "a")).message


# -- what is made of answers ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "good"),
    [
        ({"ETag": f'"{MD5}"'}, True),
        ({"ETag": '"d41d8cd98f00b204e9800998ecf8427e"'}, False),
        ({"ETag": f'"{MD5}"', "x-amz-server-side-encryption": "AES256"}, True),
        ({"ETag": '"d41d8cd98f00b204e9800998ecf8427e"',
          "x-amz-server-side-encryption": "aws:kms"}, True),
        ({"ETag": '"d41d8cd98f00b204e9800998ecf8427e-1"'}, True),
        ({}, True),
    ],
)  # fmt: skip
def test_what_the_server_has_stored(server: Server, headers: dict[str, str], good: bool) -> None:
    """Is compared with what was sent, if its tag is the sum of it; a difference is tried again."""
    server.answers = [Answer(headers=headers)]
    if good:
        store(server).put("key", DATA, WAITER)
        return
    found = failure(lambda: store(server).put("key", DATA, WAITER))
    assert (found.code, found.repeat) == ("BadDigest", True)
    assert MD5 in found.message


@pytest.mark.parametrize(
    ("answer", "code", "http", "repeat"),
    [
        (error(503, "SlowDown"), "SlowDown", 503, True),
        (error(500, "InternalError"), "InternalError", 500, True),
        (error(429, "TooManyRequests"), "TooManyRequests", 429, True),
        (error(400, "RequestTimeout"), "RequestTimeout", 400, True),
        (error(400, "BadDigest"), "BadDigest", 400, True),
        (error(403, "AccessDenied"), "AccessDenied", 403, False),
        (error(403, "SignatureDoesNotMatch"), "SignatureDoesNotMatch", 403, False),
        (error(404, "NoSuchBucket"), "NoSuchBucket", 404, False),
        (error(400, "InvalidStorageClass"), "InvalidStorageClass", 400, False),
        (error(501, "NotImplemented"), "NotImplemented", 501, False),
        (error(507, "InsufficientStorage"), "InsufficientStorage", 507, False),
        (Answer(502, b"<html>Bad gateway</html>"), "502", 502, True),
        (Answer(200, b"x" * 100, {"ETag": '"x"'}, cut=50), "", 0, True),
    ],
)  # fmt: skip
def test_what_is_worth_another_try(
    server: Server, answer: Answer, code: str, http: int, repeat: bool
) -> None:
    """And how it is told."""
    server.answers = [answer]
    found = failure(lambda: store(server).get("key", WAITER, 1000))
    assert (found.code, found.http, found.repeat) == (code, http, repeat)
    assert len(server.asked) == 1


def test_get(server: Server) -> None:
    """All of it; one that is too large is not read; one that is not what its tag says is told."""
    etag = {"ETag": f'"{MD5}"'}
    server.answers = [Answer(200, bytes(DATA), etag), Answer(200, b"other", etag)]
    server.answers += [Answer(200, bytes(DATA), etag)]
    got = store(server).get("key", WAITER, len(DATA))
    assert (got.data, got.size, got.sound) == (DATA, len(DATA), True)
    assert not store(server).get("key", WAITER, len(DATA)).sound
    got = store(server).get("key", WAITER, len(DATA) - 1)
    assert (got.data, got.size) == (b"", len(DATA))


@pytest.mark.parametrize(
    ("told", "good"),
    [("bytes 10-19/100", True), ("bytes 0-9/100", False), ("", False), ("bytes 10-29/100", False)],
)
def test_get_range(server: Server, told: str, good: bool) -> None:
    """Only what was asked for."""
    headers = {"Content-Range": told} if told else {}
    server.answers = [Answer(206, b"0123456789", headers)]
    if good:
        got = store(server).get_range("key", WAITER, 10, 10)
        assert (got.data, got.size) == (b"0123456789", 100)
        assert server.asked[0].headers["range"] == "bytes=10-19"
        return
    found = failure(lambda: store(server).get_range("key", WAITER, 10, 10))
    assert (found.code, found.repeat) == ("WrongRange", True)


def complete(etag: str) -> Answer:
    text = f"<CompleteMultipartUploadResult><ETag>{etag}</ETag></CompleteMultipartUploadResult>"
    return Answer(body=f"{XML}{text}".encode())


def test_complete(server: Server) -> None:
    """The tag of the object is made of those of its parts; an error may come with status 200."""
    parts = [(f'"{hashlib.md5(bytes([n])).hexdigest()}"', hashlib.md5(bytes([n])).digest())
             for n in range(3)]  # fmt: skip
    right = hashlib.md5(b"".join(md5 for _, md5 in parts)).hexdigest()
    server.answers = [complete(f"&quot;{right}-3&quot;"), complete("something-else")]
    store(server).complete("key", "upload", parts)
    store(server).complete("key", "upload", parts)
    assert server.asked[0].line == "POST /bucket/key?uploadId=upload HTTP/1.1"
    assert b"<PartNumber>3</PartNumber>" in server.asked[0].body
    server.answers = [complete(f"&quot;{MD5}-3&quot;")]
    found = failure(lambda: store(server).complete("key", "upload", parts))
    assert (found.code, found.repeat) == ("BadDigest", False)
    server.answers = [evolve(error(200, "InternalError"), status=200)]
    found = failure(lambda: store(server).complete("key", "upload", parts))
    assert (found.code, found.repeat) == ("InternalError", True)


def test_a_bucket_that_is_there(server: Server) -> None:
    """Is as good as one that was made; another's is not."""
    server.answers = [error(409, "BucketAlreadyOwnedByYou"), error(409, "BucketAlreadyExists")]
    store(server).create_bucket("eu-west-1")
    assert b"<LocationConstraint>eu-west-1</LocationConstraint>" in server.asked[0].body
    found = failure(lambda: store(server).create_bucket(""))
    assert found.code == "BucketAlreadyExists"
    assert "choose another name" in found.advice


def test_texts(server: Server) -> None:
    """One line, not too long, without secrets."""
    server.answers = [error(403, "Odd", "verysecret\nand AKIAEXAMPLE " + "x" * 2000)]
    text = failure(lambda: store(server).get("key", WAITER, 10)).text(2)
    assert text.startswith("*** and *** xxx")
    assert "... (Odd) (HTTP 403) (after 2 retries): look at what the policies" in text
    assert len(text) < 600


def test_verbose(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    """Every request and its outcome is told, and no secret."""
    server.answers = [Answer(200, b"data"), error(403, "AccessDenied")]
    with caplog.at_level(logging.DEBUG, "devices"):
        talkative = S3Store(settings(server), "bucket", verbose=True)
        talkative.get("key", WAITER, 10)
        failure(lambda: talkative.size("other"))
    first, second = caplog.messages
    assert re.fullmatch(r"get_object 'key' took [0-9.]+ s: done", first)
    assert re.match(r"head_object 'other' took [0-9.]+ s: .*\(HTTP 403\)", second)
    assert "verysecret" not in caplog.text


def test_nobody_listens() -> None:
    """The text names the address, and what to look at."""
    with socket.create_server(("127.0.0.1", 0)) as gone:
        host = f"127.0.0.1:{gone.getsockname()[1]}"

    class Gone:
        pass

    server = Gone()
    server.host = host  # type: ignore[attr-defined]
    found = failure(lambda: store(server).get("key", WAITER, 10))  # type: ignore[arg-type]
    assert found.repeat
    assert host in found.message
    assert "check S3_HOST" in found.advice


def test_a_certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is checked, against SSL_CA_INFO if that is set, else against what the system trusts; one
    that is not good is not tried again."""
    authority = Authority(tmp_path)
    key, certificate = authority.sign("store", address="127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = Server(context)
    try:
        server.answers = [Answer(200, b"data")]
        known = store(server, tls=True, ca_file=str(authority.file))
        assert known.get("key", WAITER, 10).data == b"data"
        monkeypatch.setattr(s3_client, "system_authorities", lambda: str(authority.file))
        server.answers = [Answer(200, b"data")]
        trusted = store(server, tls=True, region="other")  # so that boto3 makes another client
        assert trusted.get("key", WAITER, 10).data == b"data"
        monkeypatch.setattr(s3_client, "system_authorities", lambda: None)
        found = failure(lambda: store(server, tls=True).get("key", WAITER, 10))
        assert not found.repeat
        assert "SSL_CA_INFO" in found.advice
    finally:
        server.close()


# -- who does not wait any more, and who may not be fast ------------------------------------------


def test_nobody_waits_for_it(server: Server) -> None:
    """Then nothing more is sent, nor read."""
    gone = Waiter()
    gone.given_up = True
    found = failure(lambda: store(server).put("key", DATA, gone))
    assert not found.repeat
    server.answers = [Answer(200, bytes(DATA))]
    found = failure(lambda: store(server).get("key", gone, len(DATA)))
    assert not found.repeat


class Clock:
    """Time that goes on by sleeping only."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_speed(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """So many bytes a second for all requests of a device together."""
    clock = Clock()
    monkeypatch.setattr(s3_values, "time", clock)
    sending, receiving = Speed(10_000), Speed(5_000)
    limited = S3Store(settings(server), "bucket", sending=sending, receiving=receiving)
    server.answers = [Answer(headers={"ETag": f'"{MD5}"'}) for _ in range(2)]
    for _ in range(2):
        limited.put("key", DATA, WAITER)
    # what is signed is read, but not sent; the last bytes need not be waited for
    assert 8 < clock.now - 100 <= 10
    begun = clock.now
    server.answers = [Answer(200, bytes(DATA)) for _ in range(2)]
    for _ in range(2):
        limited.get("key", WAITER, len(DATA))
    assert 10 <= clock.now - begun <= 20
    waiter = Waiter()
    waiter.given_up = True
    receiving.take(10**9, waiter)
    receiving.take(10**9, waiter)
    assert clock.now < 200
