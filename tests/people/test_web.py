"""``taperctl web``: the pages, as a browser gets them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from urllib.parse import unquote_to_bytes

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from protocols.quoting import quote
from taper.last_words import CannotStart
from taper.people.web import serve
from taper.people.web.asked import Asked, address, leaf_of
from taper.people.web.books import Books
from taper.people.web.doors import HEADERS, MOST_CONNECTIONS, is_ours
from taper.people.web.library import FRESH, PATIENCE, Library
from taper.people.web.listening import read_place
from taper.people.web.live import MOST_STREAMS, _Stream
from taper.people.web.live import PATIENCE as PATIENCE_OF_STREAMS
from tests.people.nights import PART, Dump, Nights
from tests.people.served import GET, Page, Served, served_record, serving
from tests.people.test_watch import Served as Status

FIRST, SECOND, THIRD = "20260106000000", "20260107000000", "20260108210000"

AMDUMP = """\
amdump: starttime 20260108210000
driver: start time 0.044 inparallel 4 bandwidth 80000 diskspace 1024  dir OBSOLETE
driver: state time 0.044 free kps: 80000 space: 1024 taper: idle idle-dumpers: 4 qlen
driver: send-cmd time 1.5 to dumper0: SHM-DUMP 00-00001 40671 NULL 4 localhost ff /home NODEVICE 0
driver: state time 1.6 free kps: 80000 space: 512 taper: idle idle-dumpers: 3 qlen
driver: result time 4.0 from dumper0: DONE 00-00001 5140 5140 1 x x "[sec 0.6 kb 5 kps 7 orig-kb 5]"
driver: send-cmd time 5.0 to taper0: FILE-WRITE worker0-0 00-00002 /x localhost /home 0
driver: result time 5.1 from taper0: REQUEST-NEW-TAPE worker0-0 00-00002
driver: result time 9.5 from taper0: NEW-TAPE worker0-0 00-00002 C03
driver: result time 9.6 from taper0: READY worker0-0 00-00002
driver: result time 11.0 from taper0: PARTDONE worker0-0 00-00002 C03 1 5120 "[sec 0.8]"
driver: result time 12.5 from taper0: DONE worker0-0 00-00002 INPUT-GOOD TAPE-GOOD "6f:5" "" "" ""
driver: send-cmd time 13.0 to dumper1: PORT-DUMP 00-00003 4 NULL 4 localhost ff /lost NODEVICE 1
driver: result time 14.0 from dumper1: FAILED 00-00003 "[no such \\"thing\\"]"
driver: FINISHED time 15.000
"""


async def three_nights(tmp_path: Path) -> Nights:
    """One with two dumps, one that failed and is known by its logs, one that is held."""
    nights = Nights(tmp_path).make()
    await nights.hold(FIRST, Dump("/home", 2 * PART + 5), Dump("/srv", 100))
    await nights.hold(SECOND, Dump("/home", 10, level=1))
    nights.hold_back(THIRD, Dump("/home", 7, level=1))
    disks = "".join(f'localhost {name} {{\n  program "GNUTAR"\n}}\n' for name in ("/home", "/lost"))
    (tmp_path / "etc/C/disklist").write_text(disks)
    nights.log(THIRD).write_text(
        "INFO amdump amdump pid 999999999\n"
        "DISK planner localhost /home\nDISK planner localhost /lost\n"
        f"FAIL dumper localhost /lost {THIRD} 1 [no such thing]\n"
    )
    (tmp_path / f"log/amdump.{THIRD}").write_text(AMDUMP)
    return nights


async def crawl(served: Served) -> dict[str, Page]:
    """All pages that can be reached, each well formed, each as it should be for everybody."""
    left, found = ["/"], {}
    while left:
        path = left.pop()
        reply = await served.get(path)
        assert reply.headers["content-type"] == "text/html; charset=utf-8"
        page = found[path] = Page(reply.text)
        look_at(page)
        new = [link for link in page.links if link.startswith("/") and link not in found]
        left += [link for link in dict.fromkeys(new) if link not in left]
    return found


def look_at(page: Page) -> None:
    """What holds for each page."""
    assert page.all("html") == [{"lang": "en"}]
    for landmark in ("header", "main", "footer", "h1"):
        assert len(page.all(landmark)) == 1, landmark
    assert page.elements[1][0] == "head"
    assert page.all("title")
    assert all(one.get("aria-label") for one in page.all("nav"))
    assert all(one.get("scope") in ("col", "row") for one in page.all("th"))
    assert len(page.all("caption")) == len(page.all("table"))
    assert all(one.get("role") and one.get("aria-label") for one in page.all("svg"))
    labelled = {one["for"] for one in page.all("label")}
    assert {one["id"] for one in page.all("input")} == labelled
    for name, attributes in page.elements:
        assert name != "style"
        assert "style" not in attributes, (name, attributes)
        assert not any(key.startswith("on") for key in attributes), (name, attributes)
        for key in ("href", "src", "action"):
            assert attributes.get(key, "/").startswith(("/", "#")), (name, attributes)
    assert [one for one in page.all("script") if set(one) != {"src", "defer"}] == []
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(set(ids)) == len(ids)


@ensureDeferred
async def test_all_pages(tmp_path: Path) -> None:
    nights = await three_nights(tmp_path)
    before = nights.snapshot()
    async with serving(nights) as served:
        found = await crawl(served)
        assert set(found) >= {"/", "/volumes", "/dumps", "/nights", "/errors"}
        words = {path: page.words for path, page in found.items()}
        assert "2 volumes" in words["/volumes"]
        assert "retained by retention-tapes until" in words["/volumes"]
        volume = words["/volume?label=C01"]
        assert "localhost:/home" in volume
        assert "4 parts" in volume
        night = words[f"/night?run={THIRD}"]
        assert "/lost failed dumper: no such thing" in night
        assert "Waiting for volumes" in night
        assert "written: localhost:/home level 0, 0:00:05 to 0:00:12" in night
        assert "died" in words["/nights"]
        assert "no such thing" in words["/errors"]
        assert "amcleanup" in words["/errors"]
        full = next(
            text for path, text in words.items() if f"at={FIRST}" in path and "home" in path
        )
        assert "taperctl restore C localhost /home '2026-01-06 00:00:00' --to DIRECTORY" in full
        level1 = next(text for path, text in words.items() if f"at={SECOND}" in path)
        assert "level 0 of 2026-01-06" in level1
        held = next(text for path, text in words.items() if f"at={THIRD}" in path)
        assert "from the holding disk" in held
        assert "none that can be restored" in words["/"]
    assert nights.snapshot() == before


HOSTILE = (
    *(
        "<script>alert(1)</script>",
        "\"'><svg onload=x>",
        "{{ 7 * 7 }}",
        "a&b=c#d?e%41",
        "\udcff\udc80",
    ),
    *("a\x1b[31mb", "\u202egnp.exe", "javascript:alert(1)", "../../etc/passwd", "C" * 3000),
)


def hostile_logs(nights: Nights) -> None:
    lines, entries, stats = [], [], "[sec 1 bytes 10 kps 1 orig-kb 1]"
    for number, name in enumerate(HOSTILE, start=1):
        label, word = quote(name.replace(" ", "_")), quote(name)
        lines += [
            f'START taper datestamp {FIRST} "ST:C" "POOL:C" label {label} tape {number}',
            f'PART taper "ST:C" "POOL:C" {label} 1 {word} {word} {FIRST} 1/-1 0 {stats}',
            f'DONE taper "ST:C" "POOL:C" {word} {word} {FIRST} 1 0 {stats}',
            f"FAIL dumper {word} {word} {FIRST} 0 [{name}]",
        ]
    text = "\n".join(("INFO amdump amdump pid 1", *lines, "FINISH driver date x", ""))
    nights.log(FIRST).write_bytes(text.encode("utf-8", "surrogateescape"))
    for name in HOSTILE:
        if name.isascii() and name.isprintable() and " " not in name:
            entries.append(f"{FIRST} {name} reuse POOL:C STORAGE:C CONFIG:C\n")
    (nights.root / "tapelist").write_text("".join(entries))
    driver = AMDUMP.replace("/home", quote(HOSTILE[0])).replace("C03", quote(HOSTILE[1]))
    (nights.root / f"log/amdump.{FIRST}").write_text(driver)


@ensureDeferred
async def test_names_that_mean_harm(tmp_path: Path) -> None:
    nights = Nights(tmp_path).make()
    hostile_logs(nights)
    async with serving(nights) as served:
        found = await crawl(served)
        texts = "".join(page.words for page in found.values())
        assert "<script>alert(1)</script>" in texts
        assert "{{ 7 * 7 }}" in texts
        assert "a\\x1b[31mb" in texts
        assert "\\xff\\x80" in texts
        assert "\\u202e" in texts
        assert not any(char in texts for char in "\x1b\u202e")
        dumps = [path for path in found if path.startswith("/dump?")]
        hosts = {unquote_to_bytes(path.partition("host=")[2].partition("&")[0]) for path in dumps}
        assert hosts == {name.encode("utf-8", "surrogateescape") for name in HOSTILE}


@ensureDeferred
async def test_nothing_is_taken_but_get_and_head(tmp_path: Path) -> None:
    nights = Nights(tmp_path).make()
    before = nights.snapshot()
    async with serving(nights) as served:
        whole = await served.get("/")
        head = await served.ask(GET.format(path="/").replace("GET", "HEAD"))
        assert (head.code, head.body) == (200, b"")
        assert head.headers["content-length"] == str(len(whole.body))
        for method in (
            "POST",
            "PUT",
            "DELETE",
            "PATCH",
            "OPTIONS",
            "TRACE",
            "CONNECT",
            "MKCOL",
            "X",
        ):
            for path in ("/", "/metrics", "/volumes", "/nix", "/style.css"):
                request = GET.format(path=path).replace("GET", method)
                reply = await served.ask(
                    request.replace("\r\n\r\n", "\r\nContent-Length: 0\r\n\r\n")
                )
                assert reply.code == 405, method
                assert reply.headers["allow"] == "GET, HEAD"
                assert_guarded(reply.headers)
        for path, code in (("/", 200), ("/metrics", 200), ("/nix", 404), ("/volume?label=x", 404)):
            assert_guarded((await served.get(path, code)).headers)
        assert (await served.get("/volume", 404)).text.startswith("<!DOCTYPE html>")
    assert nights.snapshot() == before


def assert_guarded(headers: dict[str, str]) -> None:
    for name, value in HEADERS.items():
        assert headers[name.lower()] == value


@ensureDeferred
async def test_what_no_browser_sends(tmp_path: Path) -> None:
    """Bodies, endless lines, bytes, and numbers of pages that there are not."""
    nights = Nights(tmp_path).make()
    async with serving(nights) as served:
        body = "x" * 300_000
        request = GET.format(path="/").replace(
            "\r\n\r\n", f"\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        assert (await served.ask(request + body)).code == 200
        assert (
            await served.get("/dumps?host=" + "a" * 9000, 414)
        ).body == b"The address is too long.\n"
        assert b" 200 " not in await served.say(b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n")
        assert b" 200 " not in await served.say(b"\x16\x03\x01\x00\xff\r\n\r\n\r\n")
        for page in ("0", "-1", "99999999999999999999", "9999999", "\u0661", "x", ""):
            path = address("/dumps", page=page)
            assert "0 dumps" in Page((await served.get(path)).text).words
        for path in (
            "/night?run=../../x",
            "/night?run=",
            "/dump?host=%00&disk=%ff",
            "/volume?label=%",
        ):
            await served.get(path, 404)


def test_by_which_names_it_is_called() -> None:
    for host in (
        "localhost",
        "LOCALHOST:7480",
        "127.0.0.1",
        "127.0.0.1:1",
        "[::1]:80",
        "[::1]",
        "10.0.0.9",
    ):
        assert is_ours(host, ()), host
    for host in (None, "", "evil.example", "localhost.evil.example:7480", "[::1", "[::1]x", "a:b"):
        assert not is_ours(host, ()), host
    assert not is_ours("localhost:80:80", ())
    assert is_ours("Backup.example:443", ("backup.EXAMPLE",))


@ensureDeferred
async def test_a_name_that_somebody_else_gave_to_its_address(tmp_path: Path) -> None:
    nights = Nights(tmp_path).make()
    words = ("--listen", "tcp:127.0.0.1:0", "--host", "backup.example")
    async with serving(nights, *words) as served:
        for host, code in (
            ("Host: evil.example", 421),
            ("Host: backup.example", 200),
            ("X: y", 421),
            ("Host: localhost\r\nHost: evil.example", 421),
        ):
            reply = await served.ask(GET.format(path="/").replace("Host: localhost", host))
            assert reply.code in (code, 400), host
            assert (reply.code == 200) is (code == 200)


@ensureDeferred
async def test_more_connections_than_anybody_needs(tmp_path: Path) -> None:
    """Those that are too many are closed, and the others get their pages."""
    nights = Nights(tmp_path).make()
    async with serving(nights) as served:
        request = GET.format(path="/").encode()
        many = [Deferred.fromCoroutine(served.say(request)) for _ in range(MOST_CONNECTIONS + 20)]
        for one in many:
            one.addErrback(lambda _: b"")  # closed before it was open
        answers = await gatherResults(many)
        assert sum(b" 200 " in answer for answer in answers) >= MOST_CONNECTIONS
        assert (await served.get("/")).code == 200


@ensureDeferred
async def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    nights = Nights(tmp_path).make()
    tapelist = tmp_path / "tapelist"
    tapelist.unlink()
    tapelist.mkdir()
    async with serving(nights) as served:
        reply = await served.get("/", 503)
        assert "tapelist" in reply.text
        assert (await served.get("/metrics", 503)).headers["content-type"].startswith("text/plain")


def books() -> Books:
    return Nothing()  # type: ignore[return-value]


class Nothing:
    """Stands for books that nobody opens."""


class Threads(Clock):
    """A reactor whose threads end when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.running: list[Deferred[Books]] = []

    def call(self, _: object) -> Deferred[Books]:
        self.running.append(Deferred())
        return self.running[-1]


def library(monkeypatch: pytest.MonkeyPatch) -> tuple[Threads, Library]:
    clock = Threads()
    found = Library(clock, books)
    monkeypatch.setattr(found, "_lane", clock)
    return clock, found


def test_the_first_who_asks_waits_and_nobody_else_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, found = library(monkeypatch)
    first = [Deferred.fromCoroutine(found.books()) for _ in range(2)]
    clock.advance(1000)
    assert not any(one.called for one in first)
    old, new = books(), books()
    (reading,) = clock.running
    reading.callback(old)
    assert [one.result for one in first] == [old, old]
    clock.advance(FRESH)
    patient, hasty = (Deferred.fromCoroutine(found.books()) for _ in range(2))
    assert not patient.called
    clock.advance(PATIENCE)
    assert patient.result is hasty.result is old
    clock.running[-1].callback(new)
    assert Deferred.fromCoroutine(found.books()).result is new
    assert len(clock.running) == 2
    assert clock.getDelayedCalls() == []


def test_old_books_are_better_than_none(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, found = library(monkeypatch)
    first = Deferred.fromCoroutine(found.books())
    clock.running[-1].errback(PermissionError(13, "Permission denied", "/x"))
    assert first.result is None
    assert found.trouble is not None
    assert "Permission denied" in found.trouble
    clock.advance(FRESH)
    second = Deferred.fromCoroutine(found.books())
    clock.running[-1].callback(old := books())
    assert (second.result, found.trouble) == (old, None)
    clock.advance(FRESH)
    third = Deferred.fromCoroutine(found.books())
    clock.running[-1].errback(ValueError("nobody foresaw it"))
    assert third.result is old
    assert "nobody foresaw it" in str(found.trouble)


def test_where_it_may_listen() -> None:
    assert read_place("tcp:127.0.0.1:0", exposed=False).told(81) == "http://127.0.0.1:81/"
    assert read_place("tcp:[::1]:7", exposed=False).told(7) == "http://[::1]:7/"
    assert read_place("unix:/run/x", exposed=False).told(0) == "unix:/run/x"
    for open_to_all in ("tcp:0.0.0.0:80", "tcp:10.1.2.3:80", "tcp:[::]:80"):
        with pytest.raises(CannotStart, match="--expose"):
            read_place(open_to_all, exposed=False)
        assert not read_place(open_to_all, exposed=True).is_private
    for senseless in (
        "",
        "7480",
        "tcp:80",
        "tcp:localhost:80",
        "unix:",
        "tcp:127.0.0.1:99999",
        "x:1:1",
    ):
        with pytest.raises(CannotStart, match="unix:PATH or tcp:ADDRESS:PORT expected"):
            read_place(senseless, exposed=False)


@ensureDeferred
async def test_a_socket_for_the_dump_user_alone(tmp_path: Path) -> None:
    nights = Nights(tmp_path).make()
    path = tmp_path / "web"
    async with served_record(nights, "--listen", f"unix:{path}") as record:
        assert record == {"schema": "taper/web/1", "config": "C", "listening": f"unix:{path}"}
        assert path.stat().st_mode & 0o777 == 0o600
    assert not path.exists()


@ensureDeferred
async def test_a_port_that_somebody_has(tmp_path: Path) -> None:
    nights = Nights(tmp_path).make()
    async with serving(nights) as served:
        status, _ = await nights.run("web", "--listen", f"tcp:127.0.0.1:{served.port}")
    assert status == 1
    assert any("cannot listen at" in text for text in nights.said)


def test_a_process(tmp_path: Path) -> None:
    """It says where it is at once, and a signal ends it."""
    nights = Nights(tmp_path).make()
    command = [sys.executable, "-m", "taper.ctl", "web", "C", "--listen", "tcp:127.0.0.1:0"]
    environment = {
        **os.environ,
        "AMANDA_CONFIG_DIR": nights.paths.config_root,
        "AMANDA_TMPDIR": nights.paths.tmpdir,
        "AMANDA_DBGDIR": nights.paths.dbgdir,
        "AMANDA_STATE_DIR": nights.paths.statedir,
    }
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            assert process.stdout is not None
            where = process.stdout.readline().removeprefix("Serving C at ").rstrip()
            assert where.startswith("http://127.0.0.1:"), where or process.communicate()[1]
            with urllib.request.urlopen(f"{where}metrics") as reply:
                assert b"taper_catalogue_up 1.0" in reply.read()
            process.send_signal(signal.SIGTERM)
            assert process.communicate() == ("", "")
            assert process.returncode == 130
        finally:
            process.kill()


def test_a_package_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def lacking(name: str) -> None:
        raise ImportError(name=name)

    monkeypatch.setattr(serve, "import_module", lacking)
    with pytest.raises(
        CannotStart, match=r"klein is not there: pip install 'twisted-taper\[web\]'"
    ):
        serve._load()


def test_pages_of_lists() -> None:
    rows = list(range(25))
    first = leaf_of(rows, Asked({}), 10, "/x", find="a b")
    assert (first.items, first.number, first.last, first.before) == (rows[:10], 1, 3, None)
    assert first.after == "/x?find=a%20b&page=2"
    last = leaf_of(rows, Asked({b"page": [b"99"]}), 10, "/x")
    assert (last.items, last.number, last.after) == (rows[20:], 3, None)
    assert leaf_of([], Asked({}), 10, "/x").last == 1


def names() -> Iterator[str]:
    yield from HOSTILE


def test_names_survive_addresses() -> None:
    for name in names():
        _, _, word = address("/x", name=name).partition("=")
        assert unescape(word) == word
        raw = unquote_to_bytes(word)
        assert Asked({b"name": [raw]}).text("name") == name


class Browser(Protocol):
    """Hears events; :meth:`until` waits for a text among them."""

    def __init__(self) -> None:
        self.heard = b""
        self._waiting: list[tuple[bytes, Deferred[None]]] = []

    def dataReceived(self, data: bytes) -> None:
        self.heard += data
        for waiting in tuple(self._waiting):
            if waiting[0] in self.heard:
                self._waiting.remove(waiting)
                waiting[1].callback(None)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.heard += b"END"
        self.dataReceived(b"")

    def until(self, text: bytes) -> Deferred[None]:
        self.heard = self.heard if text in self.heard else b""
        waiting: Deferred[None] = Deferred()
        self._waiting.append((text, waiting))
        self.dataReceived(b"")
        return waiting


async def open_browser(served: Served) -> Browser:
    browser = Browser()
    endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", served.port)
    await connectProtocol(endpoint, browser)
    assert browser.transport is not None
    browser.transport.write(GET.format(path="/now/events").encode())
    return browser


@ensureDeferred
async def test_what_runs_now(tmp_path: Path) -> None:
    """On the page for everybody, and as events for whoever listens; of this configuration only."""
    nights = Nights(tmp_path).make()
    other = Status(tmp_path / "tmp", pid=2, config="OTHER")
    taper = Status(tmp_path / "tmp")
    try:
        taper.write()
        async with serving(nights) as served:
            browser = await open_browser(served)
            await browser.until(b"worker0-0")
            assert b"text/event-stream" in browser.heard
            assert b"OTHER" not in browser.heard
            page = Page((await served.get("/")).text)
            look_at(page)
            assert "worker0-0" in page.words
            assert "C01" in page.words
            taper.end()
            await browser.until(b"No taper is running.")
            assert (
                (await served.get("/now.js")).headers["content-type"].startswith("text/javascript")
            )
        await browser.until(b"END")
    finally:
        taper.end()
        other.end()


@ensureDeferred
async def test_more_who_watch_than_anybody_needs(tmp_path: Path) -> None:
    nights = Nights(tmp_path).make()
    async with serving(nights) as served:
        browsers = [await open_browser(served) for _ in range(MOST_STREAMS)]
        for browser in browsers:
            await browser.until(b"No taper is running.")
        reply = await served.get("/now/events", 503)
        assert b"There are too many who watch.\n" in reply.body
        head = await served.ask(GET.format(path="/now/events").replace("GET", "HEAD"))
        assert (head.code, head.body) == (200, b"")
        await served.get("/")
        transport = browsers[0].transport
        assert transport is not None
        transport.loseConnection()
        await browsers[0].until(b"END")
        late = await open_browser(served)
        await late.until(b"HTTP/1.1")  # there may be room for it already, or not yet
        assert (await served.get("/")).code == 200


def test_a_browser_that_does_not_read() -> None:
    """It misses pictures, and is let go; the others are told."""
    deaf = Silent()
    stream = _Stream(deaf, lambda _: None)
    stream.tell(b"1")
    stream.pauseProducing()
    for _ in range(3):
        stream.tell(b"2")
    stream.resumeProducing()
    stream.tell(b"3")
    assert deaf.written == [b"1", b"3"]
    stream.pauseProducing()
    for _ in range(PATIENCE_OF_STREAMS):
        stream.tell(b"4")
    assert not deaf.lost
    stream.tell(b"5")
    assert deaf.lost
    assert verifyObject(IPushProducer, stream)


class Silent:
    """A request of somebody who reads when he likes."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.lost = False
        self.transport = self

    def notifyFinish(self) -> Deferred[None]:
        return Deferred()

    def setHeader(self, name: str, value: str) -> None:
        pass

    def registerProducer(self, producer: object, streaming: bool) -> None:
        assert streaming

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def abortConnection(self) -> None:
        self.lost = True
