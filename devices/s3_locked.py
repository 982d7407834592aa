"""A bucket with object lock, in which each object is written once [volumes 5.6].

Every object is stored on condition that there is none of its name, and held by the server until a
date. Nothing here ever asks to bypass that, so it holds for whoever has the taper's keys, too.
"""

from __future__ import annotations

import datetime
import os.path
from collections.abc import Collection, Sequence
from typing import Any

from devices.s3_store import S3Store
from devices.s3_values import Waiter
from protocols.s3answers import S3Error

MODES = ("COMPLIANCE", "GOVERNANCE")

_STORED = ("put_object", "create_multipart_upload")
_MADE = ("put_object", "complete_multipart_upload")
_MOST_DELETED = 1000
_THERE = 412
_NO_LOCKS = ("ObjectLockConfigurationNotFoundError", "NoSuchObjectLockConfiguration")


class LockedStore(S3Store):
    """One bucket, whose objects are held until a date.

    :param mode: one of :data:`MODES`
    :ivar until: the date for what is stored from now on, in UTC
    """

    def __init__(self, *arguments: Any, mode: str, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.mode = mode
        self.until = datetime.datetime.now(datetime.UTC)

    def _do(self, operation: str, **arguments: Any) -> Any:
        if operation in _STORED:
            arguments["ObjectLockMode"] = self.mode
            arguments["ObjectLockRetainUntilDate"] = self.until
        if operation in _MADE:
            arguments["IfNoneMatch"] = "*"
        if operation == "create_bucket":
            arguments["ObjectLockEnabledForBucket"] = True
        return super()._do(operation, **arguments)

    # -- each object once -----------------------------------------------------------------------

    def put(self, key: str, data: memoryview, waiter: Waiter) -> None:
        """Store an object of which there is none. Where the answer to an earlier try was lost, it
        is there already, and the same."""
        try:
            super().put(key, data, waiter)
        except S3Error as error:
            if error.http != _THERE:
                raise
            if not waiter.retries:
                raise _taken(error, _FOREIGN) from error
            if self.get(key, waiter, len(data)).data != data:
                raise _taken(error, "other bytes than were sent are there already") from error
            self.retain(key, self.until)

    def complete(self, key: str, upload: str, parts: Sequence[tuple[str, bytes]]) -> None:
        """Make one object of the parts, if there is none; likewise."""
        try:
            super().complete(key, upload, parts)
        except S3Error as error:
            if error.http != _THERE:
                raise
            found = str(self._do("head_object", Key=key).get("ETag", "")).strip('"')
            if found != self.tag_of(parts):
                raise _taken(error, _FOREIGN) from error
            self.retain(key, self.until)

    # -- until a date ---------------------------------------------------------------------------

    def locks(self) -> bool:
        """The bucket has object lock at all."""
        try:
            answer = self._do("get_object_lock_configuration")
        except S3Error as error:
            if error.code in _NO_LOCKS:
                return False
            raise
        return bool(answer["ObjectLockConfiguration"].get("ObjectLockEnabled") == "Enabled")

    def retain(self, key: str, until: datetime.datetime) -> None:
        """Let an object be held until a later date than now."""
        retention = {"Mode": self.mode, "RetainUntilDate": until}
        self._do("put_object_retention", Key=key, Retention=retention)

    # -- what is to go --------------------------------------------------------------------------

    def delete(self, keys: Sequence[str]) -> list[S3Error]:
        """As from there, with all their versions; what is still held is refused by the server."""
        errors = []
        doomed = self._versions(keys)
        for start in range(0, len(doomed), _MOST_DELETED):
            named = [
                {"Key": key, "VersionId": version}
                for key, version in doomed[start : start + _MOST_DELETED]
            ]
            answer = self._do("delete_objects", Delete={"Objects": named, "Quiet": True})
            errors += self.refusals(answer)
        return errors

    def delete_one(self, key: str) -> None:
        """Likewise."""
        for _, version in self._versions([key]):
            self._do("delete_object", Key=key, VersionId=version)

    def _versions(self, keys: Collection[str]) -> list[tuple[str, str]]:
        """Key and version of all versions of these objects, marks of deletion too."""
        wanted = set(keys)
        found: list[tuple[str, str]] = []
        prefix = os.path.commonprefix(sorted(wanted))  # noqa: RUF071 - keys are no paths
        where: dict[str, str] = {"Prefix": prefix}
        while True:
            answer = self._do("list_object_versions", **where)
            for each in [*answer.get("Versions", ()), *answer.get("DeleteMarkers", ())]:
                if each["Key"] in wanted:
                    found.append((str(each["Key"]), str(each["VersionId"])))
            if not answer.get("IsTruncated"):
                return found
            following = {
                "KeyMarker": str(answer.get("NextKeyMarker", "")),
                "VersionIdMarker": str(answer.get("NextVersionIdMarker", "")),
            }
            if following.items() <= where.items():
                raise S3Error("the listing goes on, and does not say where", "BadListing")
            where.update(following)


_FOREIGN = "there is an object of this name already, which was not stored here"


def _taken(error: S3Error, text: str) -> S3Error:
    return S3Error(
        text,
        error.code,
        error.http,
        repeat=False,
        advice="look whether another taper writes to this volume",
    )
