"""How changers refuse, for the tests of those that are made of others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from devices.errors import ChangerError, ChangerReason
from devices.interfaces import LoadRequest


def failure(changer: Any, request: LoadRequest) -> tuple[str, ChangerReason | None, str | None]:
    """What is told of a volume that is not loaded: text, reason, slot."""
    with pytest.raises(ChangerError) as caught:
        changer.load(request)
    return caught.value.message, caught.value.reason, caught.value.slot


def assert_told_with_place(make: Callable[[], object], text: str, place: str) -> None:
    """A configuration is refused for good: with a text, what was expected, and where it stands."""
    with pytest.raises(ChangerError) as caught:
        make()
    assert caught.value.fatal
    assert caught.value.message.startswith(text)
    assert caught.value.message.endswith(f"expected {place}")
