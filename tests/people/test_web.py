"""``taperctl web``: the pages, as a browser gets them, and who gets none."""

from __future__ import annotations

from collections.abc import Iterator
from html import unescape
from pathlib import Path
from urllib.parse import unquote_to_bytes

from pytest_twisted import ensureDeferred
from twisted.internet.defer import Deferred, gatherResults

from taper.people.web.asked import Asked, address, leaf_of
from taper.people.web.doors import HEADERS, MOST_CONNECTIONS, is_ours
from tests.people.nights import Nights
from tests.people.served import GET, Page, Served, look_at, serving
from tests.people.written import FIRST, HOSTILE, SECOND, THIRD, hostile_logs, three_nights


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
