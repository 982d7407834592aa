"""One bucket of a store that speaks S3, by boto3: one try of each request [volumes 5.6].

Whatever goes wrong is an S3Error. Beside :mod:`devices.s3_client` the only module that knows boto3.
"""

from __future__ import annotations

import datetime
import logging
import re
import time
from collections.abc import Sequence
from typing import Any

from devices.s3_client import Body, GivenUp, base64_of, client_for, md5_of, translated
from devices.s3_facts import Settings
from devices.s3_values import Got, Listed, Lock, Speed, Waiter
from protocols.s3answers import S3Error

_log = logging.getLogger(__name__)

_READ_AT_ONCE = 256 * 1024
_MOST_LISTED = 1000
_MD5 = re.compile(r"[0-9a-f]{32}")
_MD5_OF_PARTS = re.compile(r"([0-9a-f]{32})-([0-9]+)")
_RANGE = re.compile(r"bytes ([0-9]+)-([0-9]+)/([0-9]+)")


class S3Store:
    """One bucket.

    :param storage_class: of what is stored; empty: the bucket's own. So ``encryption``.
    :param verbose: tell the debug log of every request.
    """

    def __init__(
        self,
        settings: Settings,
        bucket: str,
        *,
        storage_class: str = "",
        encryption: str = "",
        sending: Speed | None = None,
        receiving: Speed | None = None,
        verbose: bool = False,
    ) -> None:
        self._settings = settings
        self._bucket = bucket
        self._sending = sending or Speed(0)
        self._receiving = receiving or Speed(0)
        self._verbose = verbose
        self._stored: dict[str, Any] = {}
        if storage_class:
            self._stored["StorageClass"] = storage_class
        if encryption:
            self._stored["ServerSideEncryption"] = encryption

    def _do(self, operation: str, **arguments: Any) -> Any:
        """One request.

        :raise S3Error: it failed
        """
        begun = time.monotonic()
        outcome = "done"
        try:
            method = getattr(client_for(self._settings), operation)
            return method(Bucket=self._bucket, **arguments)
        except Exception as error:
            found = self._translated(error)
            outcome = found.text()
            raise found from error
        finally:
            if self._verbose:
                key = arguments.get("Key") or arguments.get("Prefix", "")
                seconds = time.monotonic() - begun
                _log.debug("%s '%s' took %.3f s: %s", operation, key, seconds, outcome)

    def _translated(self, error: Exception) -> S3Error:
        found = translated(error)
        for secret in self._settings.secrets:
            found.message = found.message.replace(secret, "***")
        return found

    # -- objects --------------------------------------------------------------------------------

    def put(self, key: str, data: memoryview, waiter: Waiter) -> None:
        """Store an object. The server compares what it got with the MD5 sum that it is told, and
        what it says about it is compared here."""
        md5 = md5_of(data)
        answer = self._do(
            "put_object",
            Key=key,
            Body=Body(data, self._sending, waiter),
            ContentMD5=base64_of(md5),
            **self._stored,
        )
        _check_tag(answer, md5.hex())

    def get(self, key: str, waiter: Waiter, most: int) -> Got:
        """Read an object.

        :param most: bytes; of an object that has more nothing is got but its size
        """
        answer = self._do("get_object", Key=key)
        return self._receive(answer, most, waiter)

    def get_range(self, key: str, waiter: Waiter, start: int, size: int) -> Got:
        """Read so many bytes of an object, which has them."""
        answer = self._do("get_object", Key=key, Range=f"bytes={start}-{start + size - 1}")
        told = str(answer.get("ContentRange", ""))
        match = _RANGE.fullmatch(told)
        if match is None or (int(match[1]), int(match[2])) != (start, start + size - 1):
            answer["Body"].close()
            raise S3Error(
                f"the server sent '{told[:80]}' where bytes {start} to {start + size - 1} were "
                "asked for",
                "WrongRange",
                repeat=True,
            )
        return self._receive(answer, size, waiter, int(match[3]))

    def _receive(self, answer: Any, most: int, waiter: Waiter, whole: int | None = None) -> Got:
        body, size = answer["Body"], int(answer["ContentLength"])
        try:
            if size > most:
                return Got(b"", size)
            pieces = []
            left = size
            while left:
                if waiter.given_up:
                    raise GivenUp
                piece = body.read(min(left, _READ_AT_ONCE))
                if not piece:
                    raise S3Error(f"{left} of {size} bytes are missing", "IncompleteBody")
                pieces.append(piece)
                left -= len(piece)
                self._receiving.take(len(piece), waiter)
        except S3Error:
            raise
        except Exception as error:
            raise self._translated(error) from error
        finally:
            body.close()
        data = b"".join(pieces)
        tag = str(answer.get("ETag", "")).strip('"')
        sound = whole is not None or not _is_md5(answer, tag) or md5_of(data).hex() == tag
        return Got(data, size if whole is None else whole, sound)

    def size(self, key: str) -> int:
        """Bytes of an object."""
        return int(self._do("head_object", Key=key)["ContentLength"])

    def lock_of(self, key: str) -> Lock | None:
        """What holds an object, as far as one is allowed to know; None: nothing."""
        answer = self._do("head_object", Key=key)
        if answer.get("ObjectLockLegalHoldStatus") == "ON":
            return Lock("legal hold", None)
        until = answer.get("ObjectLockRetainUntilDate")
        if not isinstance(until, datetime.datetime):
            return None
        return Lock(f"{str(answer.get('ObjectLockMode', '')).lower()} mode", until)

    def delete(self, keys: Sequence[str]) -> list[S3Error]:
        """Delete up to 1000 objects by one request; those that are not there are no failure.

        :return: why some were not deleted
        """
        named = [{"Key": key} for key in keys]
        answer = self._do("delete_objects", Delete={"Objects": named, "Quiet": True})
        return self.refusals(answer)

    @staticmethod
    def refusals(answer: Any) -> list[S3Error]:
        """Why some objects were not deleted."""
        return [
            S3Error(f"'{each.get('Key')}': {each.get('Message')}", str(each.get("Code", "")))
            for each in answer.get("Errors", ())
        ]

    def delete_one(self, key: str) -> None:
        """Delete an object; one that is not there is no failure."""
        self._do("delete_object", Key=key)

    def page(self, prefix: str, after: str = "") -> tuple[list[Listed], str]:
        """A page of the objects whose keys begin with ``prefix``.

        :param after: they come after this key
        :return: they, and the ``after`` of the next page; empty: this was the last
        """
        answer = self._do("list_objects", Prefix=prefix, Marker=after, MaxKeys=_MOST_LISTED)
        found = [Listed(each["Key"], int(each["Size"])) for each in answer.get("Contents", ())]
        if not answer.get("IsTruncated"):
            return found, ""
        following = str(answer.get("NextMarker") or (found[-1].key if found else ""))
        if not following or following == after:
            raise S3Error("the listing goes on, and does not say where", "BadListing")
        return found, following

    # -- objects in many parts ------------------------------------------------------------------

    def begin(self, key: str) -> str:
        """Begin to store an object in parts. :return: what the upload is called"""
        return str(self._do("create_multipart_upload", Key=key, **self._stored)["UploadId"])

    def put_part(
        self, key: str, upload: str, number: int, data: memoryview, waiter: Waiter
    ) -> tuple[str, bytes]:
        """Store a part, from 1. :return: its ETag and MD5 sum"""
        md5 = md5_of(data)
        answer = self._do(
            "upload_part",
            Key=key,
            UploadId=upload,
            PartNumber=number,
            Body=Body(data, self._sending, waiter),
            ContentMD5=base64_of(md5),
        )
        _check_tag(answer, md5.hex())
        return str(answer["ETag"]), md5

    def complete(self, key: str, upload: str, parts: Sequence[tuple[str, bytes]]) -> None:
        """Make one object of the parts."""
        named = [{"PartNumber": number, "ETag": tag} for number, (tag, _) in enumerate(parts, 1)]
        answer = self._do(
            "complete_multipart_upload",
            Key=key,
            UploadId=upload,
            MultipartUpload={"Parts": named},
        )
        match = _MD5_OF_PARTS.fullmatch(str(answer.get("ETag", "")).strip('"'))
        if match is None or "aws:kms" in str(answer.get("ServerSideEncryption", "")):
            return
        expected = self.tag_of(parts)
        all_md5 = all(tag.strip('"') == md5.hex() for tag, md5 in parts)
        if all_md5 and match[0] != expected:
            raise S3Error(
                f"the server made ETag {match[0]} of the parts, expected {expected}",
                "BadDigest",
                repeat=False,
            )

    @staticmethod
    def tag_of(parts: Sequence[tuple[str, bytes]]) -> str:
        """The ETag of an object that is made of these parts."""
        return f"{md5_of(b''.join(md5 for _, md5 in parts)).hex()}-{len(parts)}"

    def abort(self, key: str, upload: str) -> None:
        """Give up an upload; its parts go."""
        self._do("abort_multipart_upload", Key=key, UploadId=upload)

    def uploads(self, prefix: str) -> list[tuple[str, str]]:
        """Key and name of uploads that are not complete, of keys that begin with ``prefix``; not
        all of them if there are many."""
        answer = self._do("list_multipart_uploads", Prefix=prefix, MaxUploads=_MOST_LISTED)
        return [(str(each["Key"]), str(each["UploadId"])) for each in answer.get("Uploads", ())]

    # -- the bucket -----------------------------------------------------------------------------

    def create_bucket(self, location: str) -> None:
        """Make the bucket; one that is ours already is no failure.

        :param location: empty: the default place of the store
        """
        more: dict[str, Any] = {}
        if location and location != "us-east-1":
            more["CreateBucketConfiguration"] = {"LocationConstraint": location}
        try:
            self._do("create_bucket", **more)
        except S3Error as error:
            if error.code != "BucketAlreadyOwnedByYou":
                raise

    def location(self) -> str:
        """Where the bucket is; empty: the default place of the store."""
        return str(self._do("get_bucket_location").get("LocationConstraint") or "")


def _is_md5(answer: Any, tag: str) -> bool:
    """The ETag is the MD5 sum of the bytes, as far as one can know."""
    encryption = str(answer.get("ServerSideEncryption", ""))
    return bool(_MD5.fullmatch(tag)) and encryption in ("", "AES256")


def _check_tag(answer: Any, md5: str) -> None:
    """:raise S3Error: the server has stored something else than was sent"""
    tag = str(answer.get("ETag", "")).strip('"')
    if _is_md5(answer, tag) and tag != md5:
        raise S3Error(
            f"the server has stored data with MD5 sum {tag}, but {md5} was sent", "BadDigest"
        )
