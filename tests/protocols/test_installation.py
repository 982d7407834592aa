"""The record of an installation: written and read back whole, or refused."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.installation import (
    DEBIAN,
    LONGEST,
    Installation,
    InstallationError,
    check,
    parse,
    render,
)

PRINTABLE = st.characters(exclude_categories=("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs"))
LINES = st.text(PRINTABLE, max_size=30)
PATHS = LINES.map(lambda text: f"/{text}")
USERS = LINES.map(lambda text: f"u{text.replace('/', '')}")
INSTALLATIONS = st.builds(
    Installation,
    **{name: USERS if name == "client_login" else PATHS for name in Installation.fields},
)


@given(INSTALLATIONS)
def test_a_record_is_read_back(installation: Installation) -> None:
    """Whatever characters names have; a later release may have added to it."""
    data = render(installation)
    assert parse(data) == installation
    assert parse(json.dumps({**json.loads(data), "new": 1}).encode()) == installation


@given(INSTALLATIONS, st.data())
def test_half_a_record_is_none(installation: Installation, data: st.DataObject) -> None:
    """Cut off anywhere before its last brace."""
    whole = render(installation)
    cut = data.draw(st.integers(0, len(whole.rstrip()) - 1))
    with pytest.raises(InstallationError, match="damaged, or only half is there"):
        parse(whole[:cut])


@given(st.binary(max_size=200))
def test_any_bytes_are_refused(data: bytes) -> None:
    """With a sentence, whatever they are."""
    with pytest.raises(InstallationError):
        parse(data)


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("config_dir", "etc", "config_dir is 'etc', expected an absolute path"),
        ("config_dir", "", "config_dir is '', expected an absolute path"),
        ("config_dir", "/a\n/b", "more than one printable line"),
        ("config_dir", 3, "config_dir is 3, expected a text"),
        ("client_login", "", "client_login is '', expected the name of a user"),
        ("client_login", "/x", "client_login is '/x', expected the name of a user"),
    ],
)
def test_values_that_cannot_be_right(name: str, value: object, text: str) -> None:
    """The text names the value and what was expected."""
    with pytest.raises(InstallationError, match=text):
        parse(json.dumps({**DEBIAN.values(), name: value}).encode())


def test_what_is_missing_or_too_long() -> None:
    """No value is made up for it."""
    values = DEBIAN.values()
    del values["amanda_tmpdir"]
    with pytest.raises(InstallationError, match="amanda_tmpdir is missing"):
        parse(json.dumps(values).encode())
    with pytest.raises(InstallationError, match="longer than"):
        parse(render(DEBIAN) + b" " * LONGEST)
    with pytest.raises(InstallationError, match="damaged"):
        parse(b"[" * 60000)
    assert check("amperldir", "") == ""
