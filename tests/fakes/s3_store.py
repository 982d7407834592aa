"""A store of objects in memory, which fails when and how a test says.

It takes the place of :class:`devices.s3_store.S3Store`, as one try of each request.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase

from attrs import define, field

from devices.s3_values import Got, Listed, Lock, Waiter
from protocols.s3answers import S3Error


def slow_down() -> S3Error:
    return S3Error("Please reduce your request rate.", "SlowDown", 503)


def denied() -> S3Error:
    return S3Error("Access Denied", "AccessDenied", 403)


def reset() -> S3Error:
    return S3Error("Connection was closed", repeat=True)


@define
class Fault:
    """What happens at requests like this.

    :ivar operation: ``put``, ``get``... as the store's methods are called; ``*``: any
    :ivar key: pattern of keys
    :ivar errors: one for each such request, None: it goes well; when they are used up all go well
    :ivar done: the request is done all the same, and only its answer is lost
    """

    operation: str
    key: str
    errors: list[S3Error | None]
    done: bool = False


@define
class MemoryStore:
    """One bucket.

    :ivar exists: there is the bucket.
    :ivar calls: what was asked for, as operation and key.
    :ivar hang: such operations never answer, until ``answer`` is set
    :ivar most_at_once: requests that were on their way at the same time.
    :ivar hidden: keys that no listing shows.
    :ivar locks: what holds objects.
    """

    objects: dict[str, bytes] = field(factory=dict)
    uploads_begun: dict[str, tuple[str, dict[int, bytes]]] = field(factory=dict)
    exists: bool = True
    place: str = ""
    faults: list[Fault] = field(factory=list)
    calls: list[tuple[str, str]] = field(factory=list)
    hang: Callable[[str, str], bool] = lambda operation, key: False
    answer: threading.Event = field(factory=threading.Event)
    page_size: int = 3
    hidden: set[str] = field(factory=set)
    locks: dict[str, Lock] = field(factory=dict)
    unsound: set[str] = field(factory=set)
    at_once: int = 0
    most_at_once: int = 0
    lock: threading.RLock = field(factory=threading.RLock)

    def _ask(self, operation: str, key: str, act: Callable[[], object] | None = None) -> None:
        """Count the request, and fail if it is its turn to."""
        with self.lock:
            self.calls.append((operation, key))
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            if self.hang(operation, key):
                assert self.answer.wait(60)
            with self.lock:
                for fault in self.faults:
                    if fault.operation not in ("*", operation):
                        continue
                    if not fnmatchcase(key, fault.key) or not fault.errors:
                        continue
                    error = fault.errors.pop(0)
                    if error is not None:
                        if fault.done and act is not None:
                            act()
                        raise error
                if not self.exists and operation != "create_bucket":
                    raise S3Error("The specified bucket does not exist", "NoSuchBucket", 404)
                if act is not None:
                    act()
        finally:
            with self.lock:
                self.at_once -= 1

    def _found(self, key: str) -> bytes:
        if key not in self.objects:
            raise S3Error("The specified key does not exist.", "NoSuchKey", 404)
        return self.objects[key]

    def put(self, key: str, data: memoryview, waiter: Waiter) -> None:
        self._ask("put", key, lambda: self.objects.update({key: bytes(data)}))

    def get(self, key: str, waiter: Waiter, most: int) -> Got:
        self._ask("get", key)
        data = self._found(key)
        return Got(data if len(data) <= most else b"", len(data), key not in self.unsound)

    def get_range(self, key: str, waiter: Waiter, start: int, size: int) -> Got:
        self._ask("get_range", key)
        data = self._found(key)
        return Got(data[start : start + size], len(data))

    def size(self, key: str) -> int:
        self._ask("size", key)
        return len(self._found(key))

    def lock_of(self, key: str) -> Lock | None:
        self._ask("lock_of", key)
        self._found(key)
        return self.locks.get(key)

    def delete(self, keys: Sequence[str]) -> list[S3Error]:
        errors: list[S3Error] = []
        for key in keys:
            try:
                self._ask("delete", key, lambda: self.objects.pop(key, None))  # noqa: B023
            except S3Error as error:
                if error.http in (405, 501):
                    raise
                errors.append(error)
        return errors

    def delete_one(self, key: str) -> None:
        self._ask("delete_one", key, lambda: self.objects.pop(key, None))

    def page(self, prefix: str, after: str = "") -> tuple[list[Listed], str]:
        self._ask("page", prefix)
        keys = sorted(key for key in self.objects if key.startswith(prefix) and key > after)
        shown = [key for key in keys if key not in self.hidden]
        page = shown[: self.page_size]
        more = page[-1] if len(shown) > len(page) else ""
        return [Listed(key, len(self.objects[key])) for key in page], more

    def begin(self, key: str) -> str:
        name = f"upload-{len(self.calls)}"
        self._ask("begin", key, lambda: self.uploads_begun.update({name: (key, {})}))
        return name

    def put_part(
        self, key: str, upload: str, number: int, data: memoryview, waiter: Waiter
    ) -> tuple[str, bytes]:
        md5 = hashlib.md5(data).digest()
        self._ask(
            "put_part",
            key,
            lambda: self._upload(upload)[1].update({number: bytes(data)}),
        )
        return f'"{md5.hex()}"', md5

    def _upload(self, name: str) -> tuple[str, dict[int, bytes]]:
        if name not in self.uploads_begun:
            raise S3Error("The specified upload does not exist", "NoSuchUpload", 404)
        return self.uploads_begun[name]

    def complete(self, key: str, upload: str, parts: Sequence[tuple[str, bytes]]) -> None:
        def act() -> None:
            _, stored = self._upload(upload)
            assert sorted(stored) == list(range(1, len(parts) + 1))
            assert [hashlib.md5(stored[n]).digest() for n in sorted(stored)] == [
                md5 for _, md5 in parts
            ]
            self.objects[key] = b"".join(stored[n] for n in sorted(stored))
            del self.uploads_begun[upload]

        self._ask("complete", key, act)

    def abort(self, key: str, upload: str) -> None:
        def act() -> None:
            self._upload(upload)
            del self.uploads_begun[upload]

        self._ask("abort", key, act)

    def uploads(self, prefix: str) -> list[tuple[str, str]]:
        self._ask("uploads", prefix)
        found = [(key, name) for name, (key, _) in self.uploads_begun.items()]
        return [each for each in found if each[0].startswith(prefix)][: self.page_size]

    def create_bucket(self, location: str) -> None:
        def act() -> None:
            self.exists, self.place = True, self.place or location

        self._ask("create_bucket", "", act)

    def location(self) -> str:
        self._ask("location", "")
        return self.place
