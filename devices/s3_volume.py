"""What objects a volume in a store has, and how they go [volumes 5.6]."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from attrs import define, field

from devices.s3_asking import Asking, RequestFailed
from devices.s3_values import Listed
from protocols.s3answers import S3Error
from protocols.s3keys import Key, Kind, Place

if TYPE_CHECKING:
    from devices.s3_store import S3Store

_MOST_DELETED = 1000
_MOST_PAGES = 1_000_000
_NO_MULTI_DELETE = frozenset({"NotImplemented", "MethodNotAllowed", "MissingContentMD5"})

_log = logging.getLogger(__name__)


@define
class Contents:
    """What was found of a volume.

    :ivar size: bytes of all its objects.
    :ivar data_size: bytes of those that hold data.
    :ivar headers: numbers of the files that have a header.
    :ivar keys: of all objects but the label, by the number of the file.
    :ivar strangers: objects below the same prefix that are none of the volume's, the first of them
        by name.
    """

    size: int = 0
    data_size: int = 0
    headers: set[int] = field(factory=set)
    keys: dict[int, list[str]] = field(factory=dict)
    strangers: int = 0
    stranger: str = ""

    @property
    def last(self) -> int:
        """The highest number of which anything is there; 0: of none."""
        return max(self.keys, default=0)


class S3Volume:
    """The objects of one volume.

    :param multi_delete: many may be deleted by one request
    """

    def __init__(self, asking: Asking, store: S3Store, place: Place, multi_delete: bool) -> None:
        self._asking = asking
        self._store = store
        self._place = place
        self._multi_delete = multi_delete

    def contents(self, prefix: str) -> Contents:
        """All objects of the volume whose keys begin with ``prefix``.

        :raise RequestFailed: they cannot be listed
        """
        found = Contents()
        for each in self._listed(prefix):
            key = self._place.read(each.key)
            if key is None:
                found.strangers += 1
                found.stranger = found.stranger or each.key
                continue
            found.size += each.size
            found.data_size += each.size if key.kind in (Kind.BLOCK, Kind.WHOLE) else 0
            self._note(found, key, each.key)
        return found

    @staticmethod
    def _note(found: Contents, key: Key, name: str) -> None:
        if key.kind is Kind.LABEL:
            return
        found.keys.setdefault(key.number, []).append(name)
        if key.kind is Kind.HEADER:
            found.headers.add(key.number)

    def _listed(self, prefix: str) -> Iterator[Listed]:
        after = ""
        for _ in range(_MOST_PAGES):
            start = after
            page, after = self._asking.ask(lambda _: self._store.page(prefix, start))  # noqa: B023
            yield from page
            if not after:
                return
        raise RequestFailed(S3Error("the listing does not end", repeat=False), 0)

    def delete(self, keys: Sequence[str]) -> None:
        """Delete these objects of the volume.

        :raise RequestFailed: some are left
        """
        for start in range(0, len(keys), _MOST_DELETED):
            some = keys[start : start + _MOST_DELETED]
            if not (self._multi_delete and self._delete_together(some)):
                for key in some:
                    self._asking.ask(lambda _: self._store.delete_one(key))  # noqa: B023

    def _delete_together(self, keys: Sequence[str]) -> bool:
        """:return: False: the store cannot do so"""
        try:
            errors = self._asking.ask(lambda _: self._store.delete(keys))
        except RequestFailed as failure:
            if failure.error.http not in (405, 501) and failure.error.code not in _NO_MULTI_DELETE:
                raise
            _log.warning("objects are deleted one by one from now on: %s", failure)
            self._multi_delete = False
            return False
        if errors:
            raise RequestFailed(errors[0], 0)
        return True

    def abort_uploads(self) -> None:
        """Give up the uploads that earlier writers have left; their parts cost room, and no
        listing shows them.

        :raise RequestFailed: some are left
        """
        done: set[tuple[str, str]] = set()
        while True:
            found = self._asking.ask(lambda _: self._store.uploads(self._place.files))
            ours = [each for each in found if self._place.read(each[0]) is not None]
            fresh = [each for each in ours if each not in done]
            if not fresh:
                return
            for key, upload in fresh:
                _log.info("giving up an upload of '%s' that was never completed", key)
                self._abort(key, upload)
                done.add((key, upload))

    def _abort(self, key: str, upload: str) -> None:
        try:
            self._asking.ask(lambda _: self._store.abort(key, upload))
        except RequestFailed as failure:
            if failure.error.code != "NoSuchUpload":
                raise
