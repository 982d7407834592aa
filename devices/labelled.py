"""What devices share whose volumes bear a label that is read again before anything is done."""

from __future__ import annotations

from devices.base import BaseDevice, timestamp_now
from devices.errors import DeviceError, DriveFailed, Status, VolumeFailed
from devices.interfaces import AccessMode, VolumeReading
from protocols.header import Header, HeaderError, HeaderType, build_header, parse_header

BAD_VOLUME = Status.DEVICE_ERROR | Status.VOLUME_ERROR
DUMPS = frozenset({HeaderType.DUMPFILE, HeaderType.CONT_DUMPFILE, HeaderType.SPLIT_DUMPFILE})
NO_HEADERS = frozenset({HeaderType.WEIRD, HeaderType.EMPTY, HeaderType.UNKNOWN})
INVALID_HEADER = "Invalid amanda header while reading file header"
TOO_LARGE = "Amanda file header won't fit in a single block!"
HEADER_IS_SOUND = "The file's header can be read"


def is_header(block: bytes | memoryview) -> bool:
    """A block is a header, whatever it says."""
    return parse_header(block).type not in NO_HEADERS


class LabelledDevice(BaseDevice):
    """A device whose volume has a label in file 0."""

    def read_label(self) -> VolumeReading:
        raise NotImplementedError

    def start(
        self, mode: AccessMode, label: str | None = None, timestamp: str | None = None
    ) -> None:
        self._need_mode("start", AccessMode.NULL)
        if mode is AccessMode.NULL:
            raise ValueError(f"start on {self.name} in mode NULL, expected READ, WRITE or APPEND")
        if mode is AccessMode.WRITE:
            if not label:
                raise ValueError(f"start on {self.name} for writing without a label")
            if self.status is Status.DEVICE_ERROR:
                raise DriveFailed(self.error or "", self.status)
            self._start_write(label, timestamp or timestamp_now())
        else:
            self._start_labelled(mode)
        self.access_mode = mode

    def _start_write(self, label: str, timestamp: str) -> None:
        """Replace the contents by a new label; refuse before anything is deleted."""
        raise NotImplementedError

    def _start_labelled(self, mode: AccessMode) -> None:
        """Read the label afresh, so that nothing is appended to a volume changed meanwhile."""
        known = self.label
        reading = self.read_label()
        if reading.status is not Status.SUCCESS:
            raise VolumeFailed(reading.error or "", reading.status)
        if known is not None and known != self.label:
            text = f"Volume label is '{self.label}', but was '{known}' when it was read before"
            raise self._fail(text, Status.VOLUME_ERROR, VolumeFailed)
        self.file = 0

    def _begin_seek_data(self, number: int) -> None:
        """Refuse what ``seek_data`` must not be given, or can have nothing of."""
        self._check_seek(number)
        self.in_file = False
        if not number:
            raise self._no_file(number)

    def _no_file(self, number: int) -> DeviceError:
        return self._fail(f"File {number} not found", Status.VOLUME_ERROR, VolumeFailed)

    def _need_damaged(self, block: bytes | memoryview) -> None:
        """:raise DeviceError: this begin of a file is a header"""
        if is_header(block):
            raise self._fail(HEADER_IS_SOUND, Status.VOLUME_ERROR, VolumeFailed)

    def _build_label(self, label: str, timestamp: str) -> bytes:
        """The block of a label. One that no reader would read as it is is refused."""
        if "\0" in label or label.split() != [label]:
            raise self._label_refused(label)
        return self._build(Header(type=HeaderType.TAPESTART, datestamp=timestamp, label=label))

    def _label_refused(self, label: str) -> DeviceError:
        text = f"Volume label '{label}' is refused: it has white space or '/', or is too long"
        return self._fail(text, BAD_VOLUME, VolumeFailed)

    def _build(self, header: Header) -> bytes:
        """The block of a header."""
        raise NotImplementedError

    def _build_block(self, header: Header, size: int, too_large: str) -> bytes:
        """The block of a header.

        :param too_large: what is told of one that is longer than ``size``
        """
        try:
            return build_header(header, size, size)
        except HeaderError as error:
            text = too_large if error.too_large else str(error)
            raise self._fail(text, Status.DEVICE_ERROR) from error
