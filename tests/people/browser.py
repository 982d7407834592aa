"""A real browser, one of Debian's two chromiums without a screen, led by its own protocol over a
pipe. Whatever it does or does not, there is an end.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as Late
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

CHROMIUM = shutil.which("chromium-headless-shell") or shutil.which("chromium")
NONE = "there is neither chromium-headless-shell nor chromium"
"""Why tests are skipped."""
PATIENCE = 240.0
"""Seconds for all that one browser is to do, and again for its end."""
_TO, _FROM = 3, 4
"""The descriptors of the pipe, in the browser."""
_OPTIONS = (
    *("--headless=new", "--no-sandbox", "--remote-debugging-pipe", "--disable-gpu"),
    *("--no-first-run", "--disable-dev-shm-usage", "--disable-background-networking"),
    *("--disable-component-update", "--hide-scrollbars", "--force-device-scale-factor=1"),
)

CONTRAST = """
(() => {
  const numbers = (colour) => (colour.match(/[0-9.]+/g) || []).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((value) => value / 255).map(
    (value) => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4
  ).reduce((sum, value, place) => sum + value * [0.2126, 0.7152, 0.0722][place], 0);
  const behind = (element) => {
    for (; element; element = element.parentElement) {
      const colour = numbers(getComputedStyle(element).backgroundColor);
      if (colour.length === 3 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const faint = [];
  for (const element of document.querySelectorAll("body *:not(svg *)")) {
    const own = [...element.childNodes].some((one) => one.nodeType === 3 && one.data.trim());
    if (!own || element.closest("noscript")) continue;
    const [one, other] = [numbers(getComputedStyle(element).color), behind(element)].map(light);
    const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    if (ratio < 4.5) faint.push(`${element.tagName} ${element.textContent.trim()}: ${ratio}`);
  }
  return faint;
})()
"""
"""Texts that are hard to read."""


class Browser(ProcessProtocol):
    """The process, and one page in it.

    :ivar complaints: what the page's console has of errors.
    :ivar requests: addresses that the page asked for.
    """

    def __init__(self) -> None:
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.ended: Deferred[None] = Deferred()
        self.said = b""
        self._heard = b""
        self._number = 0
        self._answers: dict[int, tuple[str, Deferred[Any]]] = {}
        self._loaded: set[str] = set()
        self._waiting: list[Deferred[Any]] = []
        self._session: str | None = None
        self._fault: str | None = None

    def connectionMade(self) -> None:
        assert self.transport is not None
        self._group: int = self.transport.pid  # type: ignore[attr-defined]

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        if childFD != _FROM:
            self.said = (self.said + data)[-10_000:]
            return
        *messages, self._heard = (self._heard + data).split(b"\0")
        for message in messages:
            self._take(json.loads(message))

    def _take(self, message: dict[str, Any]) -> None:
        if "id" in message:
            _, answer = self._answers.pop(message["id"], ("", None))
            if answer is None:
                return  # it comes too late
            if "error" in message:
                answer.errback(RuntimeError(message["error"]["message"]))
            else:
                answer.callback(message["result"])
            return
        method, said = message["method"], message["params"]
        if method == "Network.requestWillBeSent":
            self.requests.append(said["request"]["url"])
        elif method == "Log.entryAdded" and said["entry"]["level"] == "error":
            self.complaints.append(said["entry"]["text"])
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(str(said["exceptionDetails"]))
        elif method == "Page.lifecycleEvent" and said["name"] == "load":
            self._loaded.add(said["loaderId"])
            waiting, self._waiting = self._waiting, []
            for one in waiting:
                one.callback(None)

    def processExited(self, reason: Failure) -> None:
        self._kill_all()

    def processEnded(self, reason: Failure) -> None:
        self._fail("the browser has ended")
        self.ended.callback(None)

    def be_late(self) -> None:
        """Its time is over."""
        asked = [method for method, _ in self._answers.values()]
        asked += ["the load of a page"] * len(self._waiting)
        self._fail(f"{PATIENCE:g} s after its start the browser still owed {', '.join(asked)}")

    def _fail(self, fault: str) -> None:
        """All who wait hear of it, and whoever asks for something from now on."""
        self._fault = self._fault or fault
        answers, self._answers = self._answers, {}
        waiting, self._waiting = self._waiting, []
        for answer in (*(answer for _, answer in answers.values()), *waiting):
            answer.errback(self._told(fault))

    def _told(self, fault: str) -> RuntimeError:
        said = self.said.decode(errors="replace").strip()
        return RuntimeError(f"{fault}; it said:\n{said}" if said else f"{fault}, and said nothing")

    def call(self, method: str, **params: object) -> Deferred[Any]:
        """Have something done.

        :raise RuntimeError: by the answer: it cannot be done, or the browser is gone or too late
        """
        answer: Deferred[Any] = Deferred()
        if self._fault is not None:
            answer.errback(self._told(self._fault))
            return answer
        self._number += 1
        message: dict[str, object] = {"id": self._number, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        self._answers[self._number] = method, answer
        assert self.transport is not None
        self.transport.writeToChild(_TO, json.dumps(message).encode() + b"\0")  # type: ignore[attr-defined]
        return answer

    async def open(self) -> None:
        """Have a page."""
        target = await self.call("Target.createTarget", url="about:blank")
        attached = await self.call(
            "Target.attachToTarget", targetId=target["targetId"], flatten=True
        )
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            await self.call(f"{domain}.enable")
        await self.call("Page.setLifecycleEventsEnabled", enabled=True)

    async def go(self, address: str) -> None:
        """Load an address, to the end."""
        found = await self.call("Page.navigate", url=address)
        assert "errorText" not in found, found
        while found["loaderId"] not in self._loaded:
            await self._a_load()

    async def follow(self, selector: str) -> None:
        """Click on a link, and wait for its page."""
        before = set(self._loaded)
        await self.run(f"document.querySelector({json.dumps(selector)}).click()")
        while self._loaded == before:
            await self._a_load()

    def _a_load(self) -> Deferred[None]:
        """Some page is loaded; it may be one from before."""
        loaded: Deferred[None] = Deferred()
        if self._fault is not None:
            loaded.errback(self._told(self._fault))
        else:
            self._waiting.append(loaded)
        return loaded

    async def run(self, script: str) -> Any:
        """The value of an expression, or of the promise that it is."""
        found = await self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    async def prefer(self, scheme: str) -> None:
        """``dark`` or ``light``."""
        await self.call(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": scheme}],
        )

    async def be_wide(self, width: int, height: int = 800) -> None:
        """The size of the window, in pixels."""
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    async def picture(self) -> bytes:
        """What is to be seen, as PNG."""
        shot = await self.call("Page.captureScreenshot", format="png", optimizeForSpeed=False)
        return base64.b64decode(shot["data"])

    def _kill_all(self) -> None:
        """The browser, too, where what we started is a script that has started it, as Debian's
        headless shell is: it holds the ends of our pipes.
        """
        with suppress(ProcessLookupError):
            os.killpg(self._group, signal.SIGKILL)

    async def end(self, clock: Any) -> None:
        """Kill it, and all that it has started.

        :param clock: measures how long that takes
        :raise RuntimeError: something of it lives on
        """
        assert self.transport is not None
        self._kill_all()
        with suppress(ProcessExitedAlready):
            self.transport.signalProcess("KILL")  # type: ignore[attr-defined]
        try:
            await self.ended.addTimeout(PATIENCE, clock)
        except Late:
            fault = "the browser was killed, but something of it lives on"
            raise self._told(fault) from None


@asynccontextmanager
async def browsing(program: str | None = CHROMIUM, clock: Any = reactor) -> AsyncIterator[Browser]:
    """Start a browser; in the end it is gone, with all that it has left.

    :param program: another one
    :param clock: measures its time
    """
    assert program is not None, NONE
    browser = Browser()
    with tempfile.TemporaryDirectory(prefix="taper-browser.", ignore_cleanup_errors=True) as place:
        words = ["setsid", program, *_OPTIONS, f"--user-data-dir={place}/profile", "about:blank"]
        environment = {"HOME": place, "TMPDIR": place, "PATH": "/usr/bin:/bin"}
        descriptors = {0: "w", 1: "r", 2: "r", _TO: "w", _FROM: "r"}
        reactor.spawnProcess(browser, words[0], words, environment, childFDs=descriptors)  # type: ignore[attr-defined]
        late = clock.callLater(PATIENCE, browser.be_late)
        try:
            await browser.open()
            yield browser
        finally:
            if late.active():
                late.cancel()
            await browser.end(clock)
