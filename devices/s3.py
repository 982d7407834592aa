"""The device ``s3:``: a volume is objects in a bucket [volumes 5.6].

What is not confirmed by the server does not count: a file is finished only when all of its blocks
are. A file that cannot be finished may leave some of its objects.
"""

from __future__ import annotations

import logging

from attrs import evolve
from zope.interface import implementer

from devices.base import timestamp_now
from devices.errors import DeviceError, Status, VolumeFailed
from devices.file_backed import LIMIT_REACHED
from devices.interfaces import (
    AccessMode,
    FileStart,
    IDevice,
    IFindsData,
    IHurries,
    VolumeReading,
    WriteEnd,
    Written,
)
from devices.labelled import BAD_VOLUME, DUMPS, INVALID_HEADER, TOO_LARGE
from devices.s3_asking import RequestFailed
from devices.s3_reading import BlockReading, Reading, WholeReading
from devices.s3_retention import S3Retention
from devices.s3_writing import BlockUpload, Upload, WholeUpload
from protocols.header import Header, HeaderType, build_header, parse_header
from protocols.header.types import HeaderError
from protocols.s3keys import LARGEST_NUMBER

UNLABELLED = Status.DEVICE_ERROR | Status.VOLUME_UNLABELED | Status.VOLUME_ERROR

_NO_LABEL = "Amanda header not found -- unlabeled volume?"
_DLE_RESERVE = 2048

_log = logging.getLogger(__name__)


@implementer(IDevice, IFindsData, IHurries)
class S3Device(S3Retention):
    """A bucket and a prefix; see :class:`devices.s3_link.S3Link` for what it is made of."""

    _upload: Upload | None = None
    _reading: Reading | None = None
    _lost: str | None = None

    # -- labels ---------------------------------------------------------------------------------

    def read_label(self) -> VolumeReading:
        self._need_mode("read_label", AccessMode.NULL)
        self.label = self.timestamp = None
        self.reset()
        self.asking.calm()
        found: HeaderType | None = None
        try:
            data = self._read_label_object()
            header = parse_header(data)
            found = header.type if data else None
            if found is not HeaderType.TAPESTART:
                text = "Invalid amanda header" if data else "Empty header file"
                raise self._fail(text, Status.VOLUME_ERROR, VolumeFailed)
        except DeviceError as error:
            return VolumeReading(error.status, found, error=error.text)
        self._label_size = len(data)
        self.label, self.timestamp = header.label, header.datestamp
        self.catalogue.note(header.label, data)
        return VolumeReading(Status.SUCCESS, header.type, header.label, header.datestamp)

    def _read_label_object(self) -> bytes:
        """:raise DeviceError: there is none, or it cannot be read"""
        try:
            data = self._get_header(self.place.label)
        except RequestFailed as failure:
            raise self._connecting(failure) from failure
        if data is None:
            self.catalogue.forget()
            raise self._fail(_NO_LABEL, UNLABELLED, VolumeFailed)
        return data

    def _start_write(self, label: str, timestamp: str) -> None:
        """Replace the contents by a new label. The old one goes last."""
        block = self._build_label(label, timestamp)
        self.asking.calm()
        self._refuse_if_held()
        self._begin_holding()
        self.label = self.timestamp = None  # whatever happens now, it is not what it was
        self._tidy(everything=True)
        try:
            self._put_label(block)
        except RequestFailed as failure:
            text = f"While writing amanda header: {self._about(self.place.label, failure)}"
            raise self._fail(text, BAD_VOLUME, VolumeFailed) from failure
        self.catalogue.note(label, block)
        self.reset()
        self._room.size = len(block)
        self.label, self.timestamp, self.file = label, timestamp, 0

    def _start_labelled(self, mode: AccessMode) -> None:
        super()._start_labelled(mode)
        if mode is AccessMode.APPEND:
            self._begin_holding()
            contents = self._tidy(everything=False)
            self._room.size = contents.size + self._label_size
            self.file = contents.last
        self.is_eom = False

    def erase(self) -> None:
        """See IDevice. The bucket stays."""
        self._need_mode("erase", AccessMode.NULL)
        self.asking.calm()
        self._refuse_if_held()
        self.label = self.timestamp = None
        key = self.place.label
        try:
            self.asking.ask(lambda _: self.store.delete_one(key))
        except RequestFailed as failure:
            if not failure.error.no_bucket:
                text = f"While deleting the amanda header: {self._about(key, failure)}"
                raise self._fail(text, BAD_VOLUME, VolumeFailed) from failure
        else:
            self._tidy(everything=True, creates=False)
        self.catalogue.forget()
        self._note("Unlabeled volume", Status.VOLUME_UNLABELED)

    # -- writing --------------------------------------------------------------------------------

    def start_file(self, header: Header) -> FileStart:
        """See IDevice. At the limit the status is 1, as stock has it, but that is no obstacle."""
        self._need_writable("start_file", False)
        self.is_eom, self._lost = False, None
        self.asking.calm()
        block = self._build(header)
        run = self._room.judge_header(len(block), self._terms())
        self.is_eom = run.early
        if not run.size:
            self._note(LIMIT_REACHED, Status.DEVICE_ERROR)
            return FileStart(0, True)
        number = self.file + 1
        if number > LARGEST_NUMBER:
            raise self._fail("no number is left for another file", BAD_VOLUME, VolumeFailed)
        key = self.place.header(number)
        try:
            if self._is_there(number):
                text = f"'{key}' in {self._bucket_text} is there, though no listing shows it"
                raise self._fail(text, BAD_VOLUME, VolumeFailed)
            self._hold_file(header)
            self._put(key, block)
        except RequestFailed as failure:
            text = f"While writing filestart header: {self._about(key, failure)}"
            raise self._fail(text, BAD_VOLUME, VolumeFailed) from failure
        self._room.wrote(len(block))
        self._upload = self._begin_upload(number)
        self._begin_file(number)
        return FileStart(number, self.is_eom)

    def _begin_upload(self, number: int) -> Upload:
        to = self.asking, self.store, self.place, number, self.writers
        return WholeUpload(*to, self.block_size) if self.multi_part else BlockUpload(*to)

    def next_run(self, offered: int) -> int:
        if self.is_eom:
            return super().next_run(offered)
        return self._room.next_run(offered, self._terms()).size or super().next_run(offered)

    def write_blocks(self, data: memoryview) -> Written:
        """See IDevice. Accepted is what is on its way; that an earlier block was not stored is told
        at a later one, or by ``finish_file``."""
        self._check_offer(len(data))
        terms, size = self._terms(), self.block_size
        accepted = 0
        while accepted < len(data):
            offered = len(data) - accepted
            run = self._room.next_run(min(offered, size) if self.is_eom else offered, terms)
            self.is_eom = self.is_eom or run.early
            if not run.size:
                self._note(LIMIT_REACHED, Status.VOLUME_ERROR)
                return Written(accepted, WriteEnd.FULL if terms.leom else WriteEnd.FAILED)
            for start in range(accepted, accepted + run.size, size):
                block = data[start : min(start + size, accepted + run.size)]
                try:
                    self._current().add(block)
                except RequestFailed as failure:
                    self._lose(failure)
                    return Written(start, WriteEnd.FAILED)
                self._room.wrote(len(block))
                self._count(len(block))
            accepted += run.size
            if self.is_eom:
                return Written(accepted, WriteEnd.EARLY)
        return Written(accepted, WriteEnd.NONE)

    def _current(self) -> Upload:
        assert self._upload is not None, "inside a written file there is one"
        return self._upload

    def _lose(self, failure: RequestFailed) -> None:
        """Some block of the file is not stored."""
        self._lost = f"While writing data block to S3: {self._about(failure.key, failure)}"
        self._note(self._lost, BAD_VOLUME)

    def finish_file(self) -> None:
        """See IDevice: all blocks are stored when it comes back, or it raises."""
        self._need_writable("finish_file", True)
        upload = self._current()
        if self._lost is None:
            try:
                upload.finish()
            except RequestFailed as failure:
                self._lose(failure)
        self._end_upload()
        if self._lost is not None:
            raise self._fail(self._lost, BAD_VOLUME, VolumeFailed)
        self._hold_dump(self.file)

    def _end_upload(self) -> None:
        upload, self._upload, self.in_file = self._upload, None, False
        if upload is None:
            return
        try:
            upload.abandon()
        except RequestFailed as failure:
            _log.warning("%s: an upload is left until the next writing: %s", self.name, failure)

    # -- reading --------------------------------------------------------------------------------

    def seek_file(self, number: int) -> Header | None:
        self._check_seek(number)
        self.in_file = False
        self._close_reading()
        self.asking.calm()
        if not number:
            return self._read_label_again()
        data = self._get_file_header(number) if number <= LARGEST_NUMBER else None
        if data is None:
            headers = sorted(self._contents(self.place.files).headers)
            following = [each for each in headers if each >= number]
            if not following:
                return self._seek_past(number, headers[-1] if headers else 0)
            self.file = number = following[0]  # whose header it is that cannot be read
            data = self._get_file_header(number)
        header = parse_header(data or b"")
        if header.type not in DUMPS:
            raise self._fail(INVALID_HEADER, Status.VOLUME_ERROR, VolumeFailed)
        self._reading = self._open_data(number)
        self._begin_file(number)
        return header

    def seek_data(self, number: int) -> int:
        """See IFindsData. The header's object may be damaged or missing, or be one that the store
        answers for and does not give."""
        self._begin_seek_data(number)
        self._close_reading()
        self.asking.calm()
        if number > LARGEST_NUMBER:
            raise self._no_file(number)
        try:
            header = self._get_header(self.place.header(number))
        except RequestFailed as failure:
            if failure.error.repeat and not failure.error.http:
                raise self._no_header(number, failure) from failure
            header = None
        self._need_damaged(header or b"")
        found = self._contents(self.place.file(number))
        if not found.data_size:
            raise self._no_file(number)
        reading = self._reading = self._open_data(number)
        self._begin_file(number)
        return reading.size if isinstance(reading, WholeReading) else found.data_size

    def _read_label_again(self) -> Header:
        header = parse_header(self._read_label_object())
        if header.type is not HeaderType.TAPESTART:
            raise self._fail(INVALID_HEADER, Status.VOLUME_ERROR, VolumeFailed)
        self.file = 0
        return header

    def _seek_past(self, number: int, last: int) -> Header | None:
        """There is no such file: the volume's end, or a place beyond it."""
        if number == last + 1:
            self.file = number
            return Header(type=HeaderType.TAPEEND, datestamp=timestamp_now())
        self._note("Attempt to read past tape-end file", Status.SUCCESS)
        return None

    def _get_file_header(self, number: int) -> bytes | None:
        try:
            return self._get_header(self.place.header(number))
        except RequestFailed as failure:
            raise self._no_header(number, failure) from failure

    def _no_header(self, number: int, failure: RequestFailed) -> DeviceError:
        about = self._about(self.place.header(number), failure)
        text = f"While reading filestart header from S3: {about}"
        return self._fail(text, Status.VOLUME_ERROR, VolumeFailed)

    def _open_data(self, number: int) -> Reading:
        """Whatever the layout of the file is, whoever has written it."""
        key = self.place.whole(number)
        with_them = self.asking, self.store, self.readers
        try:
            size = self.asking.ask(lambda _: self.store.size(key))
        except RequestFailed as failure:
            if failure.error.missing:
                return BlockReading(*with_them, self.place, number, self.block_size)
            text = f"While reading data block from S3: {self._about(key, failure)}"
            raise self._fail(text, Status.VOLUME_ERROR, VolumeFailed) from failure
        return WholeReading(*with_them, key, size, self.block_size)

    def read_blocks(self, buffer: memoryview) -> int:
        self._check_buffer(len(buffer))
        assert self._reading is not None, "inside a file that is read there is one"
        try:
            got = self._reading.read(buffer)
        except RequestFailed as failure:
            key = failure.key or self.place.file(self.file)
            text = f"While reading data block from S3: {self._about(key, failure)}"
            raise self._fail(text, Status.VOLUME_ERROR, VolumeFailed) from failure
        if not got:
            self.in_file = False
            self._close_reading()
        return got

    def _close_reading(self) -> None:
        reading, self._reading = self._reading, None
        if reading is not None:
            reading.close()

    # -- the end --------------------------------------------------------------------------------

    def finish(self) -> None:
        """See IDevice. A file still open is given up."""
        self.access_mode = AccessMode.NULL
        self._end_upload()
        self._close_reading()

    def _build(self, header: Header) -> bytes:
        """A header, of its natural length; a description of the disk that is too long is left
        out."""
        most = self.block_size
        if len(header.dle.encode("utf-8", "surrogateescape")) >= most - _DLE_RESERVE:
            header = evolve(header, dle="")
        try:
            block = build_header(header, 0, None)
        except HeaderError as error:
            raise self._fail(error.text, Status.DEVICE_ERROR) from error
        if len(block) > most:
            label = header.type is HeaderType.TAPESTART
            text = "Amanda tapestart header won't fit in a single block!" if label else TOO_LARGE
            raise self._fail(text, Status.DEVICE_ERROR)
        return block
