"""A tar archive as a stream of members, for whoever lets tar unpack it and wants to know what of it
was damaged.

Pure: bytes go in, members come out. It reads what GNU tar writes: ustar, GNU's and POSIX's formats,
long names, sparse files, the directories of incremental archives. Where bytes are lost it goes on
as tar does: with the data of the same member, or at the next block that is a header.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from attrs import frozen

BLOCK = 512
_MOST_TEXT = 1 << 20
"""Bytes of a long name, or of the headers of POSIX, that are kept."""
_NAME, _MAGIC, _PREFIX = slice(0, 100), slice(257, 265), slice(345, 500)
_SIZE, _SUM, _TYPE = slice(124, 136), slice(148, 156), 156
_ZEROS = bytes(BLOCK)
_LONG_NAME, _LONG_LINK, _PAX, _PAX_ALL, _SPARSE = b"L", b"K", b"x", b"g", b"S"
_TEXTS = (_LONG_NAME, _LONG_LINK, _PAX, _PAX_ALL)
_WITHOUT_DATA = b"123456"
_SPARSE_MORE_IN_HEADER, _SPARSE_MORE = 482, 504
_DIRECTORIES = b"5D"
_LISTING = b"D"
_PAX_LISTING = "GNU.dumpdir"


@frozen
class Member:
    """A member of which all was seen, or some is missing.

    :ivar name: as it stands in the archive; bytes that are no UTF-8 as surrogates.
    :ivar is_directory: or a directory's list of names.
    :ivar damaged: bytes of it were lost.
    """

    name: str
    is_directory: bool
    damaged: bool


@frozen
class Hole:
    """A place where no member could be told.

    :ivar start: bytes from the archive's begin.
    :ivar size: bytes.
    :ivar before: the last member that was told before it; empty: none.
    :ivar after: the first one behind it; empty: none.
    """

    start: int
    size: int
    before: str
    after: str


class ArchiveScanner:
    """Follows an archive.

    :ivar position: bytes seen or lost so far.
    :ivar ended: the archive's end was seen.
    :ivar members: how many were told.
    :ivar holes: where members may have been that nobody can name.
    """

    def __init__(
        self,
        tell: Callable[[Member], object],
        listed: Callable[[str, str, str], object] | None = None,
    ) -> None:
        """:param tell: is given each member when its end has come
        :param listed: is given what an incremental archive says of the content of its directories:
            the directory's name, a letter as GNU tar has it (``N`` stands before a name that is
            there and was dumped before; ``R`` and ``T`` before the old and the new name of a
            directory), and the name
        """
        self.position = 0
        self.ended = False
        self.members = 0
        self.holes: list[Hole] = []
        self._tell = tell
        self._listed = listed
        self._entry: bytearray | None = None  # of a listing, as far as it has come
        self._block = bytearray()
        self._skip = 0  # bytes up to the next block that matters
        self._text: bytearray | None = None
        self._text_type = b""
        self._text_left = 0
        self._long_name: str | None = None
        self._pax: dict[str, str] = {}
        self._name = ""
        self._type = 0
        self._data = 0  # bytes of the member's data that are still to come
        self._damaged = False
        self._open = False
        self._sparse = False
        self._zeros = 0
        self._before = ""
        self._lost_since: int | None = None

    @property
    def whole(self) -> bool:
        """An archive that came to its end, and between whose members nothing is missing."""
        return self.ended and not self.holes

    def feed(self, data: memoryview) -> None:
        """Take what comes next."""
        size = len(data)
        at = 0
        while at < size and not self.ended:
            if self._text is not None or self._skip:
                at += self._pass(data[at:])
                continue
            if not self._block and size - at >= BLOCK:
                block, taken = bytes(data[at : at + BLOCK]), BLOCK
            else:
                more = data[at : at + BLOCK - len(self._block)]
                self._block += more
                block, taken = bytes(self._block), len(more)
            at += taken
            self.position += taken
            if len(block) < BLOCK:
                return
            self._block.clear()
            self._read_block(block)
        self.position += size - at

    def lose(self, size: int) -> None:
        """So many bytes are missing here."""
        if self.ended or not size:
            self.position += size
            return
        start = self.position - len(self._block)
        self._damaged = self._damaged or (self._open and self._data > 0)
        at_a_header = self._text is not None or self._sparse or bool(self._block)
        room = 0 if at_a_header else self._skip
        self._entry = None
        self.position += size
        if size <= room:
            self._skip -= size
            self._data = max(0, self._data - size)
            self._end_member_if_through()
            return
        self._end_member()
        self._forget_texts()
        self._sparse = False
        self._skip = 0
        if self._lost_since is None:
            self._lost_since = start + room
        # where the next block begins, whatever the bytes before it belong to
        self._block.clear()
        self._skip = -self.position % BLOCK

    def end(self) -> None:
        """No more bytes come."""
        cut = self._open and bool(self._skip)
        self._damaged = self._damaged or (cut and self._data > 0)
        self._end_member()
        if not self.ended and self._lost_since is not None:
            self._found("")

    # pieces

    def _pass(self, data: memoryview) -> int:
        """Bytes that are no header: data of a member, texts, padding."""
        if self._text is not None:
            taken = min(len(data), self._text_left)
            self._text += data[: min(taken, max(0, _MOST_TEXT - len(self._text)))]
            self._text_left -= taken
            self.position += taken
            if not self._text_left:
                self._skip = -self.position % BLOCK
                self._end_text()
            return taken
        taken = min(len(data), self._skip)
        if self._entry is not None:
            self._list(self._entry + data[: min(taken, self._data)])
        self._skip -= taken
        self._data = max(0, self._data - taken)
        self.position += taken
        self._end_member_if_through()
        return taken

    def _read_block(self, block: bytes) -> None:
        if self._sparse:
            self._sparse = bool(block[_SPARSE_MORE])
            if not self._sparse:
                self._begin_data()
            return
        if block == _ZEROS:
            self._zeros += 1
            if self._zeros == 2:
                if self._lost_since is not None:
                    self._found("")
                self.ended = True
            return
        self._zeros = 0
        if not _is_header(block):
            if self._lost_since is None:
                self._lost_since = self.position - BLOCK
            self._forget_texts()
            return
        self._read_header(block)

    def _read_header(self, block: bytes) -> None:
        type_ = block[_TYPE : _TYPE + 1]
        size = _number(block[_SIZE]) or 0
        if type_ in _TEXTS:
            self._text, self._text_type, self._text_left = bytearray(), type_, size
            if not size:
                self._end_text()
            return
        name = self._pax.get("GNU.sparse.name") or self._pax.get("path") or self._long_name
        listing = self._pax.get(_PAX_LISTING)
        size = _decimal(self._pax.get("size"), size)
        self._forget_texts()
        self._name = name if name is not None else _plain_name(block)
        # a name as long as that may be the begin of one that is lost
        alone = name is None and 0 not in block[_NAME]
        self._damaged = alone and self._lost_since is not None
        if self._lost_since is not None:
            self._found(self._name)
        self._type = type_[0]
        self._open = True
        self._data = 0 if type_ in _WITHOUT_DATA else size
        self._entry = bytearray() if self._listed is not None and type_ == _LISTING else None
        if self._listed is not None and listing is not None:
            self._list(bytearray(listing.encode("utf-8", "surrogateescape")))
            self._entry = None
        self._sparse = type_ == _SPARSE and bool(block[_SPARSE_MORE_IN_HEADER])
        if not self._sparse:
            self._begin_data()

    def _begin_data(self) -> None:
        self._skip = self._data + -self._data % BLOCK
        self._end_member_if_through()

    def _end_member_if_through(self) -> None:
        if not self._skip and not self._sparse:
            self._end_member()

    def _end_member(self) -> None:
        if not self._open:
            return
        self._open = False
        self._before = self._name
        self.members += 1
        self._tell(Member(self._name, self._type in _DIRECTORIES, self._damaged))

    def _list(self, data: bytearray) -> None:
        """Tell of the entries that are complete; each ends with a zero byte."""
        assert self._listed is not None, "somebody wants to know"
        *entries, rest = data.split(b"\0")
        for entry in entries:
            if entry:
                text = _decode(bytes(entry))
                self._listed(self._name, text[0], text[1:])
        # more than that is no name
        self._entry = rest if len(rest) <= _MOST_TEXT else bytearray()

    def _end_text(self) -> None:
        text, self._text = self._text or bytearray(), None
        if self._text_type == _LONG_NAME:
            self._long_name = _decode(bytes(text).split(b"\0", 1)[0])
        elif self._text_type == _PAX:
            self._pax.update(_pax_records(bytes(text)))

    def _forget_texts(self) -> None:
        self._text = None
        self._long_name = None
        self._pax = {}

    def _found(self, name: str) -> None:
        """A header stands where none was expected any more."""
        assert self._lost_since is not None, "nothing was lost"
        header = BLOCK if name else 0
        size = self.position - header - self._lost_since
        self.holes.append(Hole(self._lost_since, size, self._before, name))
        self._lost_since = None


def _decode(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _plain_name(block: bytes) -> str:
    name = block[_NAME].split(b"\0", 1)[0]
    prefix = block[_PREFIX].split(b"\0", 1)[0] if block[_MAGIC][:6] == b"ustar\0" else b""
    return _decode(prefix + b"/" + name if prefix else name)


def _number(field: bytes) -> int | None:
    """A number of a header, octal or binary; None: it is none."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.strip(b" \0")
    if not digits.isdigit() or any(digit > 0x37 for digit in digits):
        return None
    return int(digits, 8)


def _decimal(text: str | None, usual: int) -> int:
    return int(text) if text is not None and text.isascii() and text.isdigit() else usual


def _is_header(block: bytes) -> bool:
    told = _number(block[_SUM])
    blanks = 8 * 0x20
    return told == sum(block) - sum(block[_SUM]) + blanks and _number(block[_SIZE]) is not None


def _pax_records(data: bytes) -> Iterator[tuple[str, str]]:
    """``LENGTH KEY=VALUE``, each with its line end; what is none ends it."""
    while data:
        digits, blank, _ = data.partition(b" ")
        if not blank or not digits.isdigit() or len(digits) > 8:
            return
        size = int(digits)
        record = data[len(digits) + 1 : size - 1]
        key, equals, value = record.partition(b"=")
        if not equals:
            return
        yield _decode(key), _decode(value)
        data = data[size:]
