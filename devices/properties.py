"""Properties of devices: typed values with surety, source and access phases.

Facts: [volumes 3].
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator

from attrs import evolve, frozen

from devices.errors import PropertyRefused

Value = bool | int | str


class Surety(enum.IntEnum):
    """Whether a value is known to hold."""

    BAD = 0
    GOOD = 1


class Source(enum.IntEnum):
    """Where a value comes from."""

    DEFAULT = 0
    DETECTED = 1
    USER = 2


class Phase(enum.IntFlag):
    """Moments of a device's life, as bits of an access mask; set bits are these << 8."""

    BEFORE_START = 0x01
    BETWEEN_FILE_WRITE = 0x02
    INSIDE_FILE_WRITE = 0x04
    BETWEEN_FILE_READ = 0x08
    INSIDE_FILE_READ = 0x10


READ_ONLY = 0x001F
SET_BEFORE_START = 0x011F
SET_ANY_TIME = 0x1F1F
SET_EXCEPT_IN_WRITTEN_FILE = 0x1B1F
WRITE_ONLY = 0x1F00


class Kind(enum.Enum):
    """Types of values, under the names that error texts use."""

    INT = "gint"
    UINT = "guint"
    UINT64 = "guint64"
    DOUBLE = "gdouble"
    BOOL = "gboolean"
    STRING = "gchararray"


_MAXIMA = {Kind.INT: 2**31 - 1, Kind.UINT: 2**32 - 1, Kind.UINT64: 2**64 - 1}

# every name some device knows: a name not here is "No such", one here but not on the
# device in hand is "unknwon" [volumes 3.1, 3.2, 3.3]
_KNOWN_NAMES = """
appendable block_size min_block_size max_block_size canonical_name comment compression
compression_rate concurrency streaming medium_access_type partial_deletion full_deletion leom
max_volume_usage enforce_max_volume_usage verbose read_block_size read_buffer_size proxy
ssl_ca_info reuse_connection max_send_speed max_recv_speed nb_threads_backup nb_threads_recovery
multi_part_upload monitor_free_space slow_write use_data fsync direct_io fsf bsf fsr bsr eom
fsf_after_filemark bsf_after_eom broken_gmt_online nonblocking_open final_filemarks
dvdrw_mount_point dvdrw_keep_cache dvdrw_unlabelled_when_unmountable dvdrw_growisofs_command
dvdrw_mount_command dvdrw_umount_command ndmp_username ndmp_password ndmp_auth indirect
directtcp_address directtcp_peer_address degraded_write
chunked create_bucket timeout read_from_glacier transition_to_glacier storage_api
openstack_swift_api swift_account_id swift_access_key username password tenant_id tenant_name
project_name domain_name client_id client_secret refresh_token project_id reps reps_bucket
"""
KNOWN_NAMES = frozenset(_KNOWN_NAMES.split())

SECRET_NAMES = frozenset(
    {
        *("ndmp_password", "s3_access_key", "s3_secret_key", "s3_session_token", "s3_user_token"),
        *("swift_access_key", "password", "client_secret", "refresh_token"),
    }
)
"""Properties whose values no text may show."""

NOT_ALLOWED = "The value is no allowed"
"""It is not of the property's type."""
NOT_TO_BE_SET = "Not allowed to set property"
"""The device itself says what it is, or not now."""

_UNITS = {
    1: "b byte bytes bps day days tape tapes",
    7: "week weeks",
    2**10: "k kb kbyte kbytes kilobyte kilobytes kbps kps",
    2**20: "m mb meg mbyte mbytes megabyte megabytes mbps mps",
    2**30: "g gb gig gbyte gbytes gigabyte gigabytes gbps",
    2**40: "t tb tera tbyte tbytes terabyte terabytes tbps",
}
_FACTORS = {unit: factor for factor, units in _UNITS.items() for unit in units.split()}
_FALSE = ("0", "n", "no", "f", "false", "off")
_TRUE = ("1", "y", "yes", "t", "true", "on")
_DIGITS = {16: "0123456789abcdef", 10: "0123456789", 8: "01234567"}


def normal_name(name: str) -> str:
    """The name as stored and listed: lower case, with ``_``."""
    return name.lower().replace("-", "_")


def parse_integer(text: str, maximum: int) -> int:
    """Read ``512k``, ``0x200``, ``017``, ``10 GB``, ``inf``... [volumes 3.1].

    :raise ValueError: not such a number, negative, or over ``maximum``
    """
    if len(text) > 100:
        raise ValueError(f"{text[:80]!r}... is too long for a number")
    word = text.strip().lower()
    if word == "inf":
        return maximum
    base = 10
    if word.startswith("0x"):
        base, word = 16, word[2:]
    elif word.startswith("0"):
        base = 8
    digits = len(word)
    for at, char in enumerate(word):
        if char not in _DIGITS[base]:
            digits = at
            break
    number, unit = word[:digits], word[digits:].strip()
    if not number or (unit and unit not in _FACTORS):
        raise ValueError(f"{text[:80]!r} is not a whole number with an optional unit")
    value = int(number, base) * _FACTORS.get(unit, 1)
    if value > maximum:
        raise ValueError(f"{text[:80]!r} is over {maximum}")
    return value


def parse_boolean(text: str) -> bool:
    """Read ``yes``, ``off``, ``1``... in any case. :raise ValueError: anything else"""
    word = text.strip().lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise ValueError(f"{text[:80]!r} is not a boolean")


def convert(kind: Kind, value: Value) -> Value:
    """Make a value of ``kind`` out of ``value``, which is that already or a text from a file.

    :raise ValueError: it cannot be one
    """
    if kind is Kind.STRING:
        return str(value)
    if kind is Kind.BOOL:
        return parse_boolean(value) if isinstance(value, str) else bool(value)
    if isinstance(value, str):
        return parse_integer(value, _MAXIMA[kind])
    if not 0 <= value <= _MAXIMA[kind]:
        raise ValueError(f"{value} is not between 0 and {_MAXIMA[kind]}")
    return int(value)


@frozen
class Property:
    """One property of one device.

    :ivar value: None when unset.
    :ivar access: mask of :class:`Phase` bits for reading, and << 8 for setting.
    """

    name: str
    kind: Kind
    access: int
    value: Value | None = None
    surety: Surety = Surety.GOOD
    source: Source = Source.DEFAULT

    def text(self) -> str | None:
        """The value as ``amdevcheck`` prints it, None when unset."""
        if self.value is None:
            return None
        return self.value if isinstance(self.value, str) else str(int(self.value))


class Properties:
    """The properties of one device, by normal name.

    :param phase: tells in which phase the device is.
    :param in_error: tells whether the device is in error and takes no settings.
    """

    def __init__(self, phase: Callable[[], Phase], in_error: Callable[[], bool]) -> None:
        self._phase = phase
        self._in_error = in_error
        self._all: dict[str, Property] = {}
        self._checks: dict[str, Callable[[Value], Value]] = {}

    def declare(self, prop: Property, check: Callable[[Value], Value] | None = None) -> None:
        """Add a property, or replace one declared before.

        :param check: gets each new value after conversion; returns what to store or raises
            PropertyRefused.
        """
        self._all[prop.name] = prop
        if check is not None:
            self._checks[prop.name] = check

    def __iter__(self) -> Iterator[Property]:
        return iter(self._all.values())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and normal_name(name) in self._all

    def __getitem__(self, name: str) -> Property:
        """:raise KeyError: the device has no such property"""
        return self._all[normal_name(name)]

    def is_default(self, name: str) -> bool:
        """There is such a property, and nothing has set it."""
        return name in self and self[name].source is Source.DEFAULT

    def flag(self, name: str) -> bool:
        """A boolean's value; False when unset."""
        return bool(self._all[name].value)

    def number(self, name: str) -> int:
        """An integer's value; 0 when unset."""
        return int(self._all[name].value or 0)

    def string(self, name: str) -> str:
        """A text's value; empty when unset."""
        return str(self._all[name].value or "")

    def set(
        self,
        name: str,
        value: Value,
        surety: Surety = Surety.GOOD,
        source: Source = Source.USER,
    ) -> None:
        """Set a property as configuration or a caller wants it.

        :param value: of the property's type, or its text from a configuration file
        :raise PropertyRefused: with the reason alone [volumes 3.1]
        """
        name = normal_name(name)
        prop = self._all.get(name)
        if prop is None:
            known = name in KNOWN_NAMES or name.startswith("s3_")
            raise PropertyRefused("unknwon device-property" if known else "No such device-property")
        if self._in_error():
            raise PropertyRefused("device already in error")
        if not prop.access >> 8 & self._phase():
            raise PropertyRefused(NOT_TO_BE_SET)
        try:
            converted = convert(prop.kind, value)
        except ValueError as error:
            raise PropertyRefused(NOT_ALLOWED) from error
        if name in self._checks:
            converted = self._checks[name](converted)
        self._all[name] = evolve(prop, value=converted, surety=surety, source=source)

    def note(self, name: str, value: Value, source: Source = Source.DETECTED) -> None:
        """Store what the device itself found out, whatever the access mask says."""
        self._all[name] = evolve(self._all[name], value=value, surety=Surety.GOOD, source=source)
