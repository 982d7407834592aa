"""The real ndmjob starts, serves and ends as the tests need it."""

from __future__ import annotations

import socket

import pytest

from tests.fakes.ndmjob import NdmJob, conformance, missing_ndmjob

pytestmark = pytest.mark.skipif(missing_ndmjob() is not None, reason=str(missing_ndmjob()))


def test_it_listens_when_started_and_is_gone_when_closed() -> None:
    """READY means that a client may connect; after the end nobody listens."""
    with NdmJob() as job:
        with socket.create_connection(("127.0.0.1", job.port)) as client:
            greeting = client.recv(100)
        directory = job.directory
    assert greeting[4:8] == b"\0\0\0\1"
    assert not directory.exists()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", job.port))


def test_its_own_conformance_test_passes_against_it() -> None:
    """The mover test passes, so what we hold against other servers is what ndmjob does."""
    with NdmJob() as job:
        job.blank("tape")
        status, said = conformance("test-mover", job.port, tape=job.device("tape"))
    assert status == 0, said
    assert "pass=100 warn=0 fail=0 (total 100)" in said
