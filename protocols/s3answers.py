"""What a store of objects answers when it does not do what it was asked for [volumes 5.6]."""

from __future__ import annotations

from collections.abc import Iterator

_LONGEST = 300
"""Characters of a server's message that are told."""

# beside all of 5xx but those below
_REPEATED = frozenset({408, 425, 429})
_REPEATED_CODES = frozenset(
    {
        *("RequestTimeout", "RequestTimeoutException", "SlowDown", "Throttling", "Busy"),
        *("ThrottlingException", "RequestLimitExceeded", "BandwidthLimitExceeded"),
        *("OperationAborted", "ConditionalRequestConflict", "InternalError"),
        # what came was not what was sent
        *("BadDigest", "IncompleteBody", "XAmzContentSHA256Mismatch"),
    }
)  # fmt: skip
_FINAL = frozenset({501, 505, 507})

_KEYS = "check S3_ACCESS_KEY, S3_SECRET_KEY and S3_SESSION_TOKEN"
_ROOM = "make room in the store, or raise the quota"
_RIGHTS = "look at what the policies of the access key and of the bucket allow"
_PLACE = "check S3_HOST and S3_BUCKET_LOCATION"
_ADVICE = {
    "AccessDenied": _RIGHTS,
    "AllAccessDisabled": _RIGHTS,
    "AccountProblem": "look at the account",
    "InvalidAccessKeyId": _KEYS,
    "SignatureDoesNotMatch": _KEYS,
    "ExpiredToken": _KEYS,
    "InvalidToken": _KEYS,
    "RequestTimeTooSkewed": "set the clock of this host",
    "NoSuchBucket": "make the bucket, or set CREATE_BUCKET",
    "InvalidBucketName": "choose another name for the bucket",
    "BucketAlreadyExists": "it belongs to somebody else: choose another name for the bucket",
    "TooManyBuckets": "delete a bucket, or raise the limit of the account",
    "PermanentRedirect": _PLACE,
    "AuthorizationHeaderMalformed": _PLACE,
    "IllegalLocationConstraintException": _PLACE,
    "InvalidLocationConstraint": _PLACE,
    "InvalidStorageClass": "check S3_STORAGE_CLASS",
    "InvalidEncryptionAlgorithmError": "check S3_SERVER_SIDE_ENCRYPTION",
    "InvalidObjectState": "restore the object from the archive first",
    "QuotaExceeded": _ROOM,
    "XMinioStorageFull": _ROOM,
    "XMinioAdminBucketQuotaExceeded": _ROOM,
    "InsufficientStorage": _ROOM,
    "EntityTooLarge": "lower BLOCK_SIZE",
}
_ADVICE_BY_STATUS = {401: _KEYS, 403: _RIGHTS, 407: "check PROXY", 507: _ROOM}

NETWORK = "check S3_HOST, S3_SSL, PROXY and the network, and whether the server runs"
CERTIFICATE = "check SSL_CA_INFO, and S3_HOST against the names in the server's certificate"


class S3Error(Exception):
    """A request to a store failed.

    :ivar message: what the server says, or the network; one line.
    :ivar code: the server's word for it; empty: it gave none.
    :ivar http: status of its answer; 0: there was none.
    :ivar repeat: the same request may succeed later.
    :ivar advice: what an operator should look at; empty: nothing is known.
    """

    taper_code = 2020

    def __init__(
        self,
        message: str,
        code: str = "",
        http: int = 0,
        *,
        repeat: bool | None = None,
        advice: str = "",
    ) -> None:
        self.message = one_line(message)
        self.code = one_line(code)[:80]
        self.http = http
        self.repeat = worth_repeating(http, code) if repeat is None else repeat
        self.advice = advice or _ADVICE.get(code) or _ADVICE_BY_STATUS.get(http, "")
        super().__init__(self.message)

    @property
    def missing(self) -> bool:
        """There is no such object; whether there is a bucket is not known of all servers."""
        return self.code == "NoSuchKey" or (self.http == 404 and not self.no_bucket)

    @property
    def no_bucket(self) -> bool:
        return self.code == "NoSuchBucket"

    def text(self, retries: int = 0) -> str:
        """All of it in one line [volumes 5.6]."""
        parts = [self.message or "no message"]
        if self.code and self.code not in (str(self.http), self.message):
            parts.append(f"({self.code})")
        if self.http:
            parts.append(f"(HTTP {self.http})")
        if retries:
            parts.append(f"(after {retries} {'retry' if retries == 1 else 'retries'})")
        text = " ".join(parts)
        return f"{text}: {self.advice}" if self.advice else text


def worth_repeating(http: int, code: str) -> bool:
    """Whether a request that was answered so may succeed later; one without an answer may."""
    if code in _REPEATED_CODES or not http:
        return True
    return http in _REPEATED or (http >= 500 and http not in _FINAL)


def one_line(text: str) -> str:
    """What a server says, without line ends and other control characters, and not too long."""
    line = "".join(char if char.isprintable() else " " for char in text[: 4 * _LONGEST])
    line = " ".join(line.split())
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}..."


def pauses(first: float, longest: float) -> Iterator[float]:
    """Seconds before one try and the next, doubling."""
    pause = first
    while True:
        yield pause
        pause = min(2 * pause, longest)
