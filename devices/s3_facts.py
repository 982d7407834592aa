"""What is to be known of an ``s3:`` device: its properties [volumes 3.2, 5.6]."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable

from attrs import evolve, field, frozen

from devices.errors import DriveFailed, PropertyRefused, Status
from devices.labelled import LabelledDevice
from devices.properties import (
    SET_BEFORE_START,
    SET_EXCEPT_IN_WRITTEN_FILE,
    Kind,
    Property,
    Value,
)
from devices.room import EARLY_BLOCKS, Terms
from protocols.s3keys import Place

SMALLEST_BLOCK = 1024
LARGEST_BLOCK = 3 * 2**30
USUAL_BLOCK = 10 * 2**20

AMAZON = "s3.amazonaws.com"
SLOWEST_ALLOWED = 5120
MOST_THREADS = 64
USUAL_THREADS = 4
LONGEST_RETENTION = 36500
"""Days."""

_SUBDOMAIN = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]", re.ASCII)
_WORD = r"[A-Za-z0-9_.:-]{1,100}"
_FORMS = {
    "s3_host": re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?", re.ASCII),
    "s3_bucket_location": re.compile(r"[A-Za-z0-9-]{1,63}|\*?", re.ASCII),
    "s3_service_path": re.compile(r"(?!(?:.*/)?\.\.?(?:/|$))[A-Za-z0-9._~/-]*", re.ASCII),
    "s3_storage_class": re.compile(_WORD, re.ASCII),
    "s3_server_side_encryption": re.compile(_WORD, re.ASCII),
    "s3_retention_mode": re.compile("compliance|governance", re.IGNORECASE),
    "proxy": re.compile(r"[!-~]+"),
}
"""What texts must look like, and in words:"""
_EXPECTED = {
    "s3_host": "a host, or HOST:PORT, and nothing like http://",
    "s3_bucket_location": "the name of a region, or *",
    "s3_service_path": "a path",
    "s3_storage_class": "one word, STANDARD_IA for example",
    "s3_server_side_encryption": "AES256 or aws:kms",
    "s3_retention_mode": "compliance or governance",
    "proxy": "a host, HOST:PORT or a URL",
}

_BOOLEANS = {
    "s3_ssl": True,
    "s3_multi_part_upload": False,
    "chunked": False,
    "s3_multi_delete": True,
    "create_bucket": True,
    "reuse_connection": True,
    "verbose": False,
}
_STRINGS = (*("s3_access_key", "s3_secret_key", "s3_session_token", "ssl_ca_info"),)
_OF_OTHERS = {
    **dict.fromkeys(("swift_account_id", "swift_access_key", "username"), "Swift and CAStor"),
    **dict.fromkeys(("password", "tenant_id", "tenant_name"), "Swift and CAStor"),
    **dict.fromkeys(("project_name", "domain_name"), "Swift"),
    **dict.fromkeys(("client_id", "client_secret", "refresh_token", "project_id"), "OAuth 2"),
    **dict.fromkeys(("reps", "reps_bucket"), "CAStor"),
    "s3_user_token": "Amazon DevPay, which is no more",
}
"""What those properties of stock are for that mean nothing to S3."""

_WITHOUT_EFFECT = {
    "read_from_glacier": "an archived object must be restored by other means before it is read",
    "transition_to_glacier": "rules of the bucket can move what is old to an archive",
    **{key: f"it is for {of}" for key, of in _OF_OTHERS.items()},
}

_log = logging.getLogger(__name__)


@frozen
class Settings:
    """How a store is reached; what is secret is not shown.

    :ivar host: and port; empty: Amazon's.
    :ivar region: for signatures; empty: us-east-1.
    :ivar ca_file: empty: those of the system.
    """

    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    session_token: str = field(repr=False)
    host: str
    path: str
    tls: bool
    virtual: bool
    region: str
    ca_file: str
    proxy: str
    keep_alive: bool

    @property
    def secrets(self) -> tuple[str, ...]:
        """What no text may show."""
        return tuple(filter(None, (self.secret_key, self.session_token, self.access_key)))


class S3Facts(LabelledDevice):
    """The properties of ``s3:``.

    :ivar place: where the volume lies.
    """

    def __init__(self, name: str, place: Place) -> None:
        super().__init__(name, (SMALLEST_BLOCK, LARGEST_BLOCK, USUAL_BLOCK))
        self.place = place
        self._fix(appendable=True, partial_deletion=True, full_deletion=True, concurrency=1)
        add = self.properties.declare
        add(evolve(self.properties["leom"], value=True, access=SET_BEFORE_START))
        add(Property("max_volume_usage", Kind.UINT64, SET_EXCEPT_IN_WRITTEN_FILE))
        add(
            Property(
                "enforce_max_volume_usage", Kind.BOOL, SET_EXCEPT_IN_WRITTEN_FILE, False
            )
        )  # fmt: skip
        for key, default in _BOOLEANS.items():
            add(Property(key, Kind.BOOL, SET_BEFORE_START, default))
        for key in _STRINGS:
            add(Property(key, Kind.STRING, SET_BEFORE_START))
        for key in _FORMS:
            add(Property(key, Kind.STRING, SET_BEFORE_START), _matching(key))
        subdomain = Property("s3_subdomain", Kind.BOOL, SET_BEFORE_START, False)
        add(subdomain, self._check_subdomain)
        for key in ("nb_threads_backup", "nb_threads_recovery"):
            prop = Property(key, Kind.UINT64, SET_BEFORE_START, USUAL_THREADS)
            add(prop, _between(1, MOST_THREADS))
        for key in ("max_send_speed", "max_recv_speed"):
            add(Property(key, Kind.UINT64, SET_BEFORE_START), _speed(key))
        add(Property("timeout", Kind.UINT64, SET_BEFORE_START, 0))
        retention = Property("s3_retention", Kind.UINT64, SET_BEFORE_START)
        add(retention, _between(1, LONGEST_RETENTION))
        self._declare_what_is_not_served()

    def _declare_what_is_not_served(self) -> None:
        add = self.properties.declare
        add(Property("storage_api", Kind.STRING, SET_BEFORE_START), self._check_api)
        swift = Property("openstack_swift_api", Kind.BOOL, SET_BEFORE_START, False)
        add(swift, _refuse_swift)
        add(Property("read_from_glacier", Kind.BOOL, SET_BEFORE_START, False))
        add(Property("transition_to_glacier", Kind.UINT64, SET_BEFORE_START))
        for key in _OF_OTHERS:
            kind = Kind.UINT64 if key.startswith("reps") else Kind.STRING
            add(Property(key, kind, SET_BEFORE_START))
        for key, why in _WITHOUT_EFFECT.items():
            self.properties.declare(self.properties[key], self._without_effect(key, why))

    # -- checks ---------------------------------------------------------------------------------

    def _without_effect(self, key: str, why: str) -> Callable[[Value], Value]:
        def check(value: Value) -> Value:
            if value:
                text = "%s: the property %s has no effect on this device: %s"
                _log.warning(text, self.name, key.upper(), why)
            return value

        return check

    def _check_subdomain(self, value: Value) -> Value:
        bucket = self.place.bucket
        if value and not _SUBDOMAIN.fullmatch(bucket):
            raise PropertyRefused(
                f"S3-SUBDOMAIN is set, but the bucket name ({bucket}) is not usable as a "
                "subdomain, only [a-zo-9-] characters are allowed."
            )
        return value

    def _check_api(self, value: Value) -> Value:
        api = str(value).upper()
        if api in _OTHER_APIS:
            raise PropertyRefused(f"{api} is not served by this taper, expected S3 or AWS4")
        if api not in ("S3", "AWS4"):
            _log.warning("%s: the STORAGE_API '%s' is taken for S3", self.name, value)
        return value

    # -- what they mean -------------------------------------------------------------------------

    def text(self, name: str) -> str:
        """A string's value; empty when unset."""
        return str(self.properties[name].value or "")

    @property
    def multi_part(self) -> bool:
        """The data of a file are one object."""
        get = self.properties.flag
        return get("s3_multi_part_upload") or get("chunked")

    @property
    def location(self) -> str:
        """Where the bucket is to be; empty: the default place of the store."""
        return self.text("s3_bucket_location").removeprefix("*")

    def settings(self) -> Settings:
        """How the store is reached.

        :raise DriveFailed: something that is needed is missing
        """
        get = self.properties
        for key, what in (("s3_access_key", "access"), ("s3_secret_key", "secret")):
            if not self.text(key):
                shown = key.upper()
                text = f"No Amazon {what} key specified (device property {shown})"
                raise self._fail(text, Status.DEVICE_ERROR, DriveFailed)
        host = self.text("s3_host").lower()
        amazon = host in ("", AMAZON)
        bucket = self.place.bucket
        if amazon and self.location and not _SUBDOMAIN.fullmatch(bucket):
            text = (
                f"Location constraint given for Amazon S3 bucket, but the bucket name ({bucket}) "
                "is not usable as a subdomain."
            )
            raise self._fail(text, Status.DEVICE_ERROR, DriveFailed)
        return Settings(
            access_key=self.text("s3_access_key"),
            secret_key=self.text("s3_secret_key"),
            session_token=self.text("s3_session_token"),
            host="" if amazon else host,
            path=self.text("s3_service_path").strip("/"),
            tls=get.flag("s3_ssl"),
            virtual=get.flag("s3_subdomain") or (amazon and bool(self.location)),
            region=self.location,
            ca_file=self.text("ssl_ca_info"),
            proxy=self.text("proxy"),
            keep_alive=get.flag("reuse_connection"),
        )

    @property
    def writers(self) -> int:
        """How many requests store data at the same time."""
        return self.properties.number("nb_threads_backup")

    @property
    def readers(self) -> int:
        """How many requests get data at the same time."""
        return self.properties.number("nb_threads_recovery")

    def _terms(self) -> Terms:
        get = self.properties
        enforced = get.flag("enforce_max_volume_usage")
        return Terms(
            block_size=self.block_size,
            limit=get.number("max_volume_usage") if enforced else 0,
            leom=self.leom,
            monitor=False,
            early_blocks=EARLY_BLOCKS + self.writers,
        )


_OTHER_APIS = frozenset({"SWIFT-1.0", "SWIFT-2.0", "SWIFT-3", "OAUTH2", "CASTOR"})


def _matching(key: str) -> Callable[[Value], Value]:
    def check(value: Value) -> Value:
        if value and not _FORMS[key].fullmatch(str(value)):
            raise PropertyRefused(f"it must be {_EXPECTED[key]}")
        return value

    return check


def _between(least: int, most: int) -> Callable[[Value], Value]:
    def check(value: Value) -> Value:
        if not least <= int(value) <= most:
            raise PropertyRefused(f"it must be between {least} and {most}")
        return value

    return check


def _speed(name: str) -> Callable[[Value], Value]:
    shown = name.upper().replace("_", "-")

    def check(value: Value) -> Value:
        if int(value) < SLOWEST_ALLOWED:
            raise PropertyRefused(
                f"{shown} property is too low (minimum value is {SLOWEST_ALLOWED})"
            )
        return value

    return check


def _refuse_swift(value: Value) -> Value:
    if value:
        raise PropertyRefused("OpenStack Swift is not served by this taper, expected no")
    return value
