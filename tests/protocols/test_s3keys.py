"""Names of objects of ``s3:`` volumes: stock's, byte for byte, and none that leads elsewhere."""

from __future__ import annotations

import posixpath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.s3keys import KEY_LIMIT, LARGEST_NUMBER, Key, Kind, Place, place_of

PREFIXES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=40).filter(
    lambda prefix: not {".", ".."} & set(prefix.split("/"))
)
NUMBERS = st.integers(1, LARGEST_NUMBER)
BLOCKS = st.integers(0, 2**64 - 1)


def test_stocks_keys() -> None:
    """As [volumes 5.6] has them."""
    place = place_of("bucket/slot-1-")
    assert place == Place("bucket", "slot-1-")
    assert place.label == "slot-1-special-tapestart"
    assert place.header(1) == "slot-1-f00000001-filestart"
    assert place.block(1, 1) == "slot-1-f00000001-b0000000000000001.data"
    assert place.block(0xABCDEF, 0xABC) == "slot-1-f00abcdef-b0000000000000abc.data"
    assert place.whole(26) == "slot-1-f0000001a-mp.data"
    assert place_of("bucket").label == "special-tapestart"
    assert place_of("bucket/a/b/").header(1) == "a/b/f00000001-filestart"


@given(PREFIXES, NUMBERS, BLOCKS)
def test_what_is_made_is_read(prefix: str, number: int, block: int) -> None:
    """Every key says what it stands for, and is short enough."""
    place = place_of(f"bucket/{prefix}")
    made = {
        place.label: Key(Kind.LABEL),
        place.header(number): Key(Kind.HEADER, number),
        place.whole(number): Key(Kind.WHOLE, number),
        place.block(number, block): Key(Kind.BLOCK, number, block),
    }
    assert {key: place.read(key) for key in made} == made
    assert all(key.startswith(prefix) and len(key.encode()) <= KEY_LIMIT for key in made)
    assert all(key.startswith(place.files) for key in made if key != place.label)


@given(PREFIXES, st.one_of(st.text(max_size=60), st.from_regex(r"f[0-9a-fA-F]{8}-\w*")))
def test_keys_of_strangers_are_none(prefix: str, rest: str) -> None:
    """What is read of a listing is made of it again, or is nobody's."""
    place = place_of(f"bucket/{prefix}")
    for key in (prefix + rest, rest):
        found = place.read(key)
        if found is None:
            continue
        makers = {
            Kind.LABEL: lambda _: place.label,
            Kind.HEADER: lambda found: place.header(found.number),
            Kind.WHOLE: lambda found: place.whole(found.number),
            Kind.BLOCK: lambda found: place.block(found.number, found.block),
        }
        assert makers[found.kind](found) == key


@pytest.mark.parametrize(
    "rest",
    [
        "f0000001-filestart",
        "f00000001-filestart.old",
        "f00000001-filestart\n",
        "f00000000-filestart",
        "f80000000-filestart",
        "f0000000A-filestart",
        "f00000001-b1.data",
        "f00000001-b00000000000000001.data",
        "f00000001-mp_data",
        "xf00000001-filestart",
        "special-tapestart2",
        "../slot-1-special-tapestart",
    ],
)
def test_what_is_nearly_a_key(rest: str) -> None:
    assert place_of("bucket/slot-1-").read(f"slot-1-{rest}") is None


@given(st.text(max_size=80))
def test_a_name_never_leads_out_of_its_bucket(node: str) -> None:
    """Whatever the configuration says: it is refused, or its keys stay below bucket and prefix as
    a path of a URL and of a file has them."""
    try:
        place = place_of(node)
    except ValueError:
        return
    assert node in (place.bucket, f"{place.bucket}/{place.prefix}")
    assert "/" not in place.bucket
    for key in (place.label, place.header(1), place.block(1, 0)):
        path = posixpath.normpath(f"/{place.bucket}//{key}")
        assert path.startswith((f"/{place.bucket}/", f"//{place.bucket}/"))
        assert path.endswith(posixpath.basename(key))


@pytest.mark.parametrize(
    ("node", "text"),
    [
        ("", "is not the name of a bucket"),
        (".", "is not the name of a bucket"),
        ("-bucket", "is not the name of a bucket"),
        ("buck..et", "is not the name of a bucket"),
        ("bücket", "is not the name of a bucket"),
        ("b" * 256, "is not the name of a bucket"),
        ("bucket/a\nb", "has a control character in it"),
        ("bucket/./a", "has a segment '.' or '..' in it"),
        ("bucket/a/..", "has a segment '.' or '..' in it"),
        ("bucket/\udc80", "is not UTF-8"),
        ("bucket/" + "ä" * 500, "has 1000 bytes, expected 992 at most"),
    ],
)
def test_bad_names(node: str, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        place_of(node)
