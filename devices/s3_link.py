"""What an ``s3:`` device knows of the store, and how it asks it [volumes 5.6]."""

from __future__ import annotations

import functools
import importlib.util
import logging
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from attrs import evolve

from devices.errors import DeviceError, DriveFailed, Status, VolumeFailed
from devices.labelled import BAD_VOLUME
from devices.room import Room
from devices.s3_asking import SLOWEST, Asking, RequestFailed, Terms
from devices.s3_catalogue import Catalogue
from devices.s3_facts import S3Facts
from devices.s3_values import STALL_PATIENCE, Speed
from devices.s3_volume import Contents, S3Volume
from protocols.s3answers import S3Error
from protocols.s3keys import place_of

if TYPE_CHECKING:
    from devices.s3_store import S3Store

Store = TypeVar("Store", bound="S3Store")

LARGEST_HEADER = 10 * 2**20
"""Bytes of a label or a header that is read."""
SHORTEST_TIMEOUT = 300

_NO_BOTO3 = "the package boto3 is needed, and not installed: pip install 'twisted-taper[s3]'"

_log = logging.getLogger(__name__)


class S3Link(S3Facts):
    """A device and its store.

    Nothing is asked before the volume is; opening it touches nothing.

    :param node: ``BUCKET[/PREFIX]``
    :param directory: of the configuration, where stock keeps a note of the label; None: there is
        none
    :param terms: how long requests may take; None: as usual
    :raise DriveFailed: no such place
    """

    def __init__(
        self,
        name: str,
        node: str,
        directory: str | None = None,
        terms: Terms | None = None,
    ) -> None:
        if importlib.util.find_spec("boto3") is None:
            raise DriveFailed(f"{name}: {_NO_BOTO3}", code=8005)
        if not node.partition("/")[0]:
            raise DriveFailed(f"Empty bucket name in device {name}", code=1006)
        try:
            place = place_of(node)
        except ValueError as error:
            raise DriveFailed(f"Invalid name of device {name[:80]}: {error}", code=1006) from error
        super().__init__(name, place)
        self.asking = Asking(name, terms)
        self.catalogue = Catalogue(directory, place)
        self._room = Room(lambda: None)
        self._label_size = 0

    def hurry(self) -> None:
        """See IHurries."""
        self.asking.hurry()

    @functools.cached_property
    def store(self) -> S3Store:
        """The bucket. The properties count that it is first asked with.

        :raise DriveFailed: something is missing to reach it
        """
        from devices.s3_store import S3Store  # boto3 takes its time, and the reactor has none

        return self._open_store(S3Store)

    def _open_store(self, make: Callable[..., Store]) -> Store:
        authorities = self.text("ssl_ca_info")
        if authorities and not os.path.isfile(authorities):
            text = f"there is no file '{authorities}' (device property SSL_CA_INFO)"
            raise self._fail(text, Status.DEVICE_ERROR, DriveFailed)
        timeout = self.properties.number("timeout")
        if timeout:
            most = float(max(timeout, SHORTEST_TIMEOUT))
            self.asking.terms = evolve(self.asking.terms, most=most)
        speeds = [self.properties.number(f"max_{way}_speed") for way in ("send", "recv")]
        shared = min(filter(None, speeds), default=0) / (2 * max(self.writers, self.readers))
        self.asking.slowest = min(SLOWEST, shared or SLOWEST)
        sending, receiving = map(Speed, speeds)
        return make(
            self.settings(),
            self.place.bucket,
            storage_class=self.text("s3_storage_class"),
            encryption=self.text("s3_server_side_encryption"),
            verbose=self.properties.flag("verbose"),
            sending=sending,
            receiving=receiving,
        )

    @functools.cached_property
    def volume(self) -> S3Volume:
        """The objects of the volume."""
        multi_delete = self.properties.flag("s3_multi_delete")
        return S3Volume(self.asking, self.store, self.place, multi_delete)

    # -- what is said of failures ---------------------------------------------------------------

    @property
    def _bucket_text(self) -> str:
        return f"bucket '{self.place.bucket}'"

    def _about(self, key: str, failure: RequestFailed) -> str:
        return f"'{key}' in {self._bucket_text}: {failure.text}"

    def _connecting(self, failure: RequestFailed) -> DeviceError:
        """The store does not answer as it should before anything was done."""
        if failure.error.no_bucket:
            text = f"Can't list bucket: {self._bucket_text}: {failure.text}"
        else:
            text = f"While connecting to S3 bucket: {self._bucket_text}: {failure.text}"
        return self._fail(text, Status.DEVICE_ERROR, DriveFailed)

    # -- requests -------------------------------------------------------------------------------

    def _put(self, key: str, data: bytes) -> None:
        """:raise RequestFailed: it is not stored"""
        self.asking.ask(lambda job: self.store.put(key, memoryview(data), job), len(data))

    def _get_header(self, key: str) -> bytes | None:
        """The bytes of a label or header; None: there is none.

        :raise RequestFailed: it cannot be read
        """
        store = self.store
        try:
            got = self.asking.ask(lambda job: store.get(key, job, LARGEST_HEADER))
        except RequestFailed as failure:
            creates = self.properties.flag("create_bucket")
            if failure.error.missing or (failure.error.no_bucket and creates):
                return None
            raise
        if got.size > LARGEST_HEADER:
            text = f"'{key}' has {got.size} bytes, expected a header"
            raise RequestFailed(S3Error(text, repeat=False), 0)
        return got.data

    def _contents(self, prefix: str) -> Contents:
        """:raise VolumeFailed: it cannot be listed"""
        try:
            return self.volume.contents(prefix)
        except RequestFailed as failure:
            raise self._listing(failure) from failure

    def _listing(self, failure: RequestFailed) -> DeviceError:
        text = f"While listing S3 keys: {self._bucket_text}: {failure.text}"
        return self._fail(text, BAD_VOLUME, VolumeFailed)

    def _tidy(self, *, everything: bool, creates: bool = True) -> Contents:
        """Before something is written: what earlier writers have left behind goes, and what they
        have stored, if ``everything`` is to go.

        :param creates: make the bucket if there is none
        :return: what is there of files then
        :raise DeviceError: it cannot be done
        """
        if not self.asking.settled(STALL_PATIENCE + 10):
            text = "requests that were given up may still change the volume: try again later"
            raise self._fail(text, Status.DEVICE_ERROR, DriveFailed)
        try:
            contents = self.volume.contents(self.place.files)
        except RequestFailed as failure:
            if not failure.error.no_bucket:
                raise self._listing(failure) from failure
            if creates:
                self._create_bucket(failure)
            return Contents()
        if contents.strangers:
            _log.warning(
                "%s: %d objects with the same prefix are none of Amanda's, '%s' is one; they stay",
                self.name,
                contents.strangers,
                contents.stranger,
            )
        self._abort_uploads()
        try:
            unwanted = {
                number: keys
                for number, keys in contents.keys.items()
                if everything or (number not in contents.headers and not self._is_there(number))
            }
            self.volume.delete([key for keys in unwanted.values() for key in sorted(keys)])
        except RequestFailed as failure:
            text = f"While deleting S3 keys: {self._bucket_text}: {failure.text}"
            raise self._fail(text, BAD_VOLUME, VolumeFailed) from failure
        return contents

    def _abort_uploads(self) -> None:
        """Where that is not possible nothing is lost but room."""
        try:
            self.volume.abort_uploads()
        except RequestFailed as failure:
            text = "%s: uploads that earlier writers have left in %s stay there: %s"
            _log.warning(text, self.name, self._bucket_text, failure)

    def _is_there(self, number: int) -> bool:
        """Whether a file has a header, whatever listings say.

        :raise RequestFailed: nobody knows
        """
        key = self.place.header(number)
        try:
            self.asking.ask(lambda _: self.store.size(key))
        except RequestFailed as failure:
            if failure.error.missing:
                return False
            raise
        return True

    def _create_bucket(self, failure: RequestFailed) -> None:
        """Make the bucket that is missing, if it may be made."""
        if not self.properties.flag("create_bucket"):
            raise self._connecting(failure)
        location = self.location
        try:
            self.asking.ask(lambda _: self.store.create_bucket(location))
            found = self.asking.ask(lambda _: self.store.location()) if location else ""
        except RequestFailed as error:
            text = f"While creating new S3 bucket: {self._bucket_text}: {error.text}"
            raise self._fail(text, Status.DEVICE_ERROR, DriveFailed) from error
        if found != location and (found or location != "us-east-1"):
            text = (
                f"While creating new S3 bucket: {self._bucket_text} is in '{found}', but "
                f"S3_BUCKET_LOCATION is '{location}'"
            )
            raise self._fail(text, Status.DEVICE_ERROR, DriveFailed)
