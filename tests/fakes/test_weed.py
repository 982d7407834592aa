"""The store that tests use: two at once, what it holds, and that it goes with its test."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.fakes.weed import POLL, Weed, running_weed, why_no_weed

pytestmark = pytest.mark.skipif(why_no_weed() is not None, reason=str(why_no_weed()))

STARTS_ONE = """
import sys
from tests.fakes.weed import Weed

with Weed() as weed:
    print(weed.process.pid, weed.directory, flush=True)
    sys.stdin.read()
"""


def test_two_at_once(weed: Weed) -> None:
    """Each has its own buckets and keys, and keeps what is put into it."""
    bucket = weed.make_bucket()
    weed.client().put_object(Bucket=bucket, Key="a/b c", Body=b"one")
    with running_weed() as other:
        assert bucket not in {each["Name"] for each in other.client().list_buckets()["Buckets"]}
        assert other.host != weed.host
    assert weed.keys_in(bucket) == ["a/b c"]
    assert weed.content(bucket, "a/b c") == b"one"


def test_object_lock_and_conditional_put_are_there(weed: Weed) -> None:
    """What immutable volumes need of a store; and a stranger may nothing."""
    from botocore.exceptions import ClientError

    bucket = weed.make_bucket(lock=True)
    answer = weed.client().get_object_lock_configuration(Bucket=bucket)
    assert answer["ObjectLockConfiguration"]["ObjectLockEnabled"] == "Enabled"
    weed.client(weed.taper).put_object(Bucket=bucket, Key="k", Body=b"one", IfNoneMatch="*")
    with pytest.raises(ClientError, match="PreconditionFailed"):
        weed.client(weed.taper).put_object(Bucket=bucket, Key="k", Body=b"two", IfNoneMatch="*")
    assert weed.content(bucket, "k") == b"one"
    with pytest.raises(ClientError, match="AccessDenied"):
        weed.client(weed.taper).create_bucket(Bucket="of-the-taper")


def test_it_dies_with_its_test() -> None:
    """Even if that is killed."""
    test = subprocess.Popen(
        [sys.executable, "-c", STARTS_ONE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert test.stdout is not None
    pid, directory = test.stdout.readline().split()
    try:
        assert Path(f"/proc/{pid}").exists()
        test.send_signal(signal.SIGKILL)
        test.communicate()
        while Path(f"/proc/{pid}").exists():
            time.sleep(POLL)
    finally:
        shutil.rmtree(directory)
