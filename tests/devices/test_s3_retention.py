"""``s3:`` volumes that are locked, on SeaweedFS: who may change them, and from when on."""

from __future__ import annotations

import datetime
import time
from contextlib import suppress
from typing import Any

import pytest
from attrs import evolve
from botocore.exceptions import ClientError

from devices import s3_client, s3_retention, s3_store
from devices.errors import DeviceError, DriveFailed, VolumeFailed
from devices.interfaces import AccessMode, WriteEnd
from devices.s3 import S3Device
from devices.s3_asking import Terms
from devices.s3_locked import LockedStore
from devices.s3_retention import end_of
from protocols.s3answers import S3Error
from tests.contract.device import PART, STAMP, read_rest, some_bytes, write_part
from tests.fakes.weed import Keys, Weed

BLOCK = 4096
DAYS = 30
QUICK = Terms(first=0.01, longest=0.1, repeat_for=20.0)
LAYOUTS = pytest.mark.parametrize("whole", [False, True], ids=["blocks", "whole"])


class Vault:
    """A bucket with object lock, and devices on a volume in it."""

    def __init__(self, weed: Weed, bucket: str) -> None:
        self.weed = weed
        self.bucket = bucket

    def device(
        self, slot: str = "slot-1-", *, keys: Keys | None = None, **properties: Any
    ) -> S3Device:
        device = S3Device(f"s3:{self.bucket}/{slot}", f"{self.bucket}/{slot}", terms=QUICK)
        usual = {
            **self.weed.properties(keys or self.weed.taper),
            "block_size": BLOCK,
            "s3_retention_mode": "compliance",
            "s3_retention": DAYS,
        }
        for name, value in {**usual, **properties}.items():
            device.properties.set(name, value)
        return device

    def written(self, slot: str = "slot-1-", **properties: Any) -> S3Device:
        """A new volume with two parts; the device is finished."""
        device = self.device(slot, **properties)
        device.start(AccessMode.WRITE, "TAPE-01", STAMP)
        for number in (1, 2):
            write_part(device, some_bytes(3 * BLOCK + 1), evolve(PART, partnum=number))
        device.finish()
        return device

    def objects(self) -> dict[str, bytes]:
        keys = self.weed.keys_in(self.bucket)
        return {key: self.weed.content(self.bucket, key) for key in keys}

    def until(self, prefix: str) -> set[datetime.datetime]:
        """Up to when the objects with such keys are held."""
        client = self.weed.client()
        return {
            client.head_object(Bucket=self.bucket, Key=key)["ObjectLockRetainUntilDate"]
            for key in self.weed.keys_in(self.bucket, prefix)
        }

    def versions(self) -> list[dict[str, Any]]:
        answer = self.weed.client().list_object_versions(Bucket=self.bucket)
        return [*answer.get("Versions", []), *answer.get("DeleteMarkers", [])]

    def let_time_pass(self) -> None:
        """As if the dates had come: the administrator, who may, makes them early."""
        client = self.weed.client()
        waiting = self.versions()
        while waiting:
            soon = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=2)
            # on a slow machine the date may have come before the server knows of it
            with suppress(ClientError):
                client.put_object_retention(
                    Bucket=self.bucket,
                    Key=waiting[0]["Key"],
                    VersionId=waiting[0]["VersionId"],
                    Retention={"Mode": "GOVERNANCE", "RetainUntilDate": soon},
                    BypassGovernanceRetention=True,
                )
                waiting.pop(0)
        while datetime.datetime.now(datetime.UTC) <= soon + datetime.timedelta(seconds=1):
            time.sleep(0.1)


@pytest.fixture
def vault(weed: Weed) -> Vault:
    return Vault(weed, weed.make_bucket(lock=True))


def test_the_end_of_a_day() -> None:
    """A volume is held to the end of its last day."""

    def at(*numbers: int) -> datetime.datetime:
        return datetime.datetime(*numbers, tzinfo=datetime.UTC)  # type: ignore[arg-type, misc]

    assert end_of(3, at(2026, 2, 26, 13)) == at(2026, 3, 2)
    assert end_of(3, at(2026, 2, 26, 23, 59, 59)) == at(2026, 3, 2)
    assert end_of(3, at(2026, 2, 26)) == at(2026, 3, 1)


@LAYOUTS
@pytest.mark.parametrize("mode", ["compliance", "GOVERNANCE"])
def test_the_server_holds_everything(vault: Vault, mode: str, whole: bool) -> None:
    """Label, headers and data: the taper's keys delete nothing, shorten nothing, bypass nothing."""
    vault.written(s3_retention_mode=mode, s3_multi_part_upload=whole)
    before = vault.objects()
    assert len(before) == (5 if whole else 11)
    (until,) = vault.until("")
    assert until >= datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=DAYS)
    client = vault.weed.client(vault.weed.taper)
    for each in vault.versions():
        where = {"Bucket": vault.bucket, "Key": each["Key"], "VersionId": each["VersionId"]}
        for bypass in ({}, {"BypassGovernanceRetention": True}):
            with pytest.raises(ClientError, match="AccessDenied"):
                client.delete_object(**where, **bypass)
            sooner = {
                "Mode": mode.upper(),
                "RetainUntilDate": until - datetime.timedelta(days=1),
            }
            with pytest.raises(ClientError, match="AccessDenied"):
                client.put_object_retention(**where, Retention=sooner, **bypass)
    assert vault.objects() == before


@LAYOUTS
def test_a_locked_volume_is_not_written_over(vault: Vault, whole: bool) -> None:
    """Whatever the device is told of locks: it says so before anything has changed."""
    vault.written(s3_multi_part_upload=whole)
    before, versions = vault.objects(), vault.versions()
    for mode in ({}, {"s3_retention_mode": "governance"}, {"s3_retention_mode": ""}):
        device = vault.device(**mode)
        assert device.read_label().label == "TAPE-01"
        with pytest.raises(VolumeFailed, match=r"is locked until 2\S+ 00:00:00 UTC \(compliance"):
            device.start(AccessMode.WRITE, "TAPE-02", STAMP)
        assert device.label == "TAPE-01"
        with pytest.raises(VolumeFailed, match="is locked until"):
            vault.device(**mode).erase()
    assert vault.objects() == before
    assert len(vault.versions()) == len(versions)


@LAYOUTS
def test_once_the_date_has_come(vault: Vault, whole: bool) -> None:
    """The volume is written over, and nothing of what there was is left, not even hidden."""
    how = {"s3_retention_mode": "governance", "s3_multi_part_upload": whole}
    vault.written(**how)
    vault.let_time_pass()
    device = vault.device(**how)
    device.start(AccessMode.WRITE, "TAPE-02", STAMP)
    assert [each["Key"] for each in vault.versions()] == ["slot-1-special-tapestart"]
    write_part(device, some_bytes(BLOCK))
    device.finish()
    assert vault.device().read_label().label == "TAPE-02"
    assert len(vault.versions()) == len(vault.objects()) == 3
    (until,) = vault.until("")
    assert until > datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=DAYS - 1)


def test_erasing_once_the_date_has_come(vault: Vault) -> None:
    """Nothing is left, nor are marks of deletion."""
    vault.written(s3_retention_mode="governance")
    vault.let_time_pass()
    vault.device(s3_retention_mode="governance").erase()
    assert vault.versions() == []


def test_a_bucket_without_locks(weed: Weed) -> None:
    """The text says what is to be done, and nothing is stored."""
    vault = Vault(weed, weed.make_bucket())
    with pytest.raises(DriveFailed, match=f"bucket '{vault.bucket}' has no object lock: make a"):
        vault.device().start(AccessMode.WRITE, "TAPE-01", STAMP)
    assert vault.objects() == {}
    vault.written(s3_retention_mode="")
    with pytest.raises(DriveFailed, match="has no object lock"):
        vault.device().start(AccessMode.APPEND)


def test_a_bucket_that_is_made(weed: Weed) -> None:
    """It has object lock."""
    vault = Vault(weed, f"{weed.make_bucket()}-made")
    vault.written(keys=weed.admin)
    (until,) = vault.until("")
    assert until > datetime.datetime.now(datetime.UTC)


def test_for_how_long_must_be_known(vault: Vault) -> None:
    """A mode alone is not enough where no policy of a storage is known."""
    device = S3Device("s3:b", f"{vault.bucket}/slot-1-")
    for name, value in {**vault.weed.properties(), "s3_retention_mode": "compliance"}.items():
        device.properties.set(name, value)
    with pytest.raises(DriveFailed, match="S3_RETENTION, a number of days, is not"):
        device.start(AccessMode.WRITE, "TAPE-01", STAMP)


@LAYOUTS
def test_each_object_is_written_once(vault: Vault, whole: bool) -> None:
    """One that is there already stays as it is, and the part fails."""
    name = "mp" if whole else "b0000000000000001"
    key = f"slot-1-f00000001-{name}.data"
    device = vault.device(s3_multi_part_upload=whole)
    device.start(AccessMode.WRITE, "TAPE-01", STAMP)
    vault.weed.client().put_object(Bucket=vault.bucket, Key=key, Body=b"of somebody else")
    device.start_file(PART)
    written = device.write_blocks(some_bytes(3 * BLOCK))
    with pytest.raises(DeviceError, match="there is an object of this name already"):
        device.finish_file()
    assert written.end in (WriteEnd.NONE, WriteEnd.FAILED)
    assert vault.weed.content(vault.bucket, key) == b"of somebody else"


@LAYOUTS
def test_lost_answers(vault: Vault, whole: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was stored, though nobody heard of it, is found to be there, and the same."""
    plain = s3_store.S3Store._do
    lost: set[str] = set()

    def forgetful(store: s3_store.S3Store, operation: str, **arguments: Any) -> Any:
        answer = plain(store, operation, **arguments)
        key = arguments.get("Key", "")
        if operation in ("put_object", "complete_multipart_upload") and key not in lost:
            lost.add(key)
            raise S3Error("Connection was closed", repeat=True)
        return answer

    monkeypatch.setattr(s3_store.S3Store, "_do", forgetful)
    data = some_bytes(11 << 20 if whole else 3 * BLOCK)
    device = vault.device(s3_multi_part_upload=whole)
    device.start(AccessMode.WRITE, "TAPE-01", STAMP)
    write_part(device, data)
    device.finish()
    assert len(lost) == (3 if whole else 5)
    device = vault.device()
    device.start(AccessMode.READ)
    device.seek_file(1)
    assert read_rest(device) == data
    assert len(vault.versions()) == len(lost)


@LAYOUTS
def test_all_parts_of_a_dump_are_held_together(
    vault: Vault, whole: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Midnight passes between two parts on two volumes; what is of another dump stays as it is."""
    today = s3_retention.now()
    monkeypatch.setattr(s3_retention, "now", lambda: today)
    layout = {"s3_multi_part_upload": whole}
    first, second = vault.device("slot-1-", **layout), vault.device("slot-2-", **layout)
    first.start(AccessMode.WRITE, "TAPE-01", STAMP)
    write_part(first, some_bytes(3 * BLOCK), evolve(PART, disk="/other"))
    write_part(first, some_bytes(3 * BLOCK), PART)
    write_part(first, some_bytes(3 * BLOCK), evolve(PART, partnum=2))
    first.finish()
    assert vault.until("slot-1-") == {end_of(DAYS, today)}
    monkeypatch.setattr(s3_retention, "now", lambda: today + datetime.timedelta(days=1))
    second.start(AccessMode.WRITE, "TAPE-02", STAMP)
    assert vault.until("slot-1-") == {end_of(DAYS, today)}
    write_part(second, some_bytes(3 * BLOCK), evolve(PART, partnum=3))
    second.finish()
    later = end_of(DAYS + 1, today)
    assert vault.until("slot-1-f00000001") == {end_of(DAYS, today)}
    assert vault.until("slot-1-f00000002") == {later}
    assert vault.until("slot-1-f00000003") == {later}
    assert vault.until("slot-1-special") == {later}
    assert vault.until("slot-2-") == {later}


def test_the_label_is_held_as_long_as_what_is_appended(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So it tells how long the volume cannot be written over."""
    vault.written()
    later = s3_retention.now() + datetime.timedelta(days=2)
    monkeypatch.setattr(s3_retention, "now", lambda: later)
    device = vault.device()
    device.start(AccessMode.APPEND)
    write_part(device, some_bytes(BLOCK), evolve(PART, disk="/other"))
    device.finish()
    assert vault.until("slot-1-special") == {end_of(DAYS, later)}
    assert vault.until("slot-1-f00000003") == {end_of(DAYS, later)}


def test_a_dump_whose_parts_cannot_be_held_is_no_good(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The part is stored, but not called good."""
    device = vault.device()
    device.start(AccessMode.WRITE, "TAPE-01", STAMP)
    write_part(device, some_bytes(BLOCK))
    later = s3_retention.now() + datetime.timedelta(days=1)
    monkeypatch.setattr(s3_retention, "now", lambda: later)
    device.start_file(evolve(PART, partnum=2))
    device.write_blocks(some_bytes(BLOCK))

    def denied(store: LockedStore, key: str, until: datetime.datetime) -> None:
        raise S3Error("Access Denied", "AccessDenied", 403)

    monkeypatch.setattr(LockedStore, "retain", denied)
    with pytest.raises(VolumeFailed, match="Earlier parts of the dump cannot be locked until 2"):
        device.finish_file()


def test_nothing_asks_to_bypass(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    """No request of writing, relabelling and erasing has such a header."""
    sent: list[dict[str, Any]] = []
    client = s3_client.client_for(vault.device().settings())
    client.meta.events.register(
        "before-send.s3", lambda request, **_: sent.append(dict(request.headers))
    )
    vault.written(s3_retention_mode="governance")
    vault.let_time_pass()
    vault.written(s3_retention_mode="governance")
    with pytest.raises(VolumeFailed):
        vault.device().erase()
    assert len(sent) > 20
    assert not [name for headers in sent for name in headers if "bypass" in name.lower()]
