"""Every NDMP message with every value it can have, for property tests."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from protocols.directtcp import Address
from protocols.ndmp import codes, structs
from protocols.ndmp.base import POSTS, REQUESTS, Struct
from protocols.ndmp.codes import VERSIONS, AddressType, AuthType, TapeMode
from protocols.ndmp.layout import row
from protocols.ndmp.messages import AuthData, Challenge, ClassVersion, DataAddress, Message
from tests.protocols.strategies import wire_text

VARIANTS = [
    (code, version, message)
    for code, request in sorted(REQUESTS.items())
    for version in request.versions
    for message in (request, request.reply)
] + [(code, version, post) for code, post in sorted(POSTS.items()) for version in post.versions]
"""(code, version, class) of all there is."""

u32 = st.one_of(st.sampled_from([0, 1, 2**31, 2**32 - 1]), st.integers(0, 2**32 - 1))
u64 = st.one_of(st.sampled_from([0, 2**32, 2**64 - 1]), st.integers(0, 2**64 - 1))
blobs = st.binary(max_size=40)
ipv4 = st.builds(
    Address,
    st.ip_addresses(v=4).map(str),
    st.integers(0, 2**16 - 1),
)
ipv6 = st.builds(
    Address,
    st.ip_addresses(v=6).map(str),
    st.integers(0, 2**16 - 1),
)


def _addresses(version: int) -> st.SearchStrategy[DataAddress]:
    most = 3 if version >= 4 else 1
    choices: list[st.SearchStrategy[DataAddress]] = [
        st.just(DataAddress()),
        st.just(DataAddress(123)),
        st.lists(ipv4, min_size=0 if version >= 4 else 1, max_size=most).map(
            lambda several: DataAddress(AddressType.TCP, tuple(several))
        ),
        st.lists(ipv6, min_size=0 if version >= 4 else 1, max_size=most).map(
            lambda several: DataAddress(AddressType.TCP_IPV6, tuple(several))
        ),
    ]
    if version >= 3:
        choices.append(blobs.map(lambda data: DataAddress(AddressType.IPC, ipc=data)))
    if version == 3:
        choices.append(u32.map(lambda number: DataAddress(AddressType.FC, loop_id=number)))
    return st.one_of(choices)


_auth = st.one_of(
    st.just(AuthData()),
    st.just(AuthData(77)),
    st.builds(AuthData, st.just(AuthType.TEXT), wire_text, wire_text),
    st.builds(
        AuthData,
        st.just(AuthType.MD5),
        wire_text,
        digest=st.binary(min_size=16, max_size=16),
    ),
)
_challenges = st.one_of(
    st.just(Challenge()),
    st.just(Challenge(AuthType.TEXT)),
    st.builds(Challenge, st.just(AuthType.MD5), st.binary(min_size=64, max_size=64)),
)
_SIMPLE: dict[str, st.SearchStrategy[Any]] = {
    "Long": u32,
    "Short": st.integers(0, 2**16 - 1),
    "Byte": st.integers(0, 255),
    "Quad": u64,
    "str": wire_text,
    "Opaque": blobs,
    "AuthData": _auth,
    "Challenge": _challenges,
    "Choices": st.lists(
        st.builds(ClassVersion, st.integers(0, 2**16 - 1), st.integers(0, 2**16 - 1)), max_size=3
    ).map(tuple),
}


def _of_kind(annotation: str, version: int) -> st.SearchStrategy[Any]:
    if annotation in _SIMPLE:
        return _SIMPLE[annotation]
    if annotation == "DataAddress":
        return _addresses(version)
    if annotation.startswith("tuple["):
        inner = annotation.removeprefix("tuple[").removesuffix(", ...]")
        return st.lists(_of_kind(inner, version), max_size=3).map(tuple)
    if annotation.endswith(" | int"):
        names = getattr(codes, annotation.removesuffix(" | int"))
        known = [name for name in names if name != TapeMode.RAW or version == 4]
        return st.sampled_from([*(known if names is TapeMode else names), 123])
    return records(getattr(structs, annotation), version)


def records(structure: type[Struct], version: int) -> st.SearchStrategy[Any]:
    """Values of a structure that the version can say."""
    return st.fixed_dictionaries(
        {name: _of_kind(structure.kinds[name], version) for name, _ in row(structure, version)}
    ).map(lambda values: structure(**values))


def _sample_of_kind(annotation: str, version: int) -> Any:
    if annotation.startswith("tuple["):
        inner = annotation.removeprefix("tuple[").removesuffix(", ...]")
        return (_sample_of_kind(inner, version),) * 2
    if annotation.endswith(" | int"):
        return 1
    samples: dict[str, Any] = {
        "Long": 2**32 - 2,
        "Short": 2**16 - 2,
        "Byte": 254,
        "Quad": 2**64 - 2,
        "str": "t\u00e9xt\udcff",
        "Opaque": b"12345",
        "AuthData": AuthData(AuthType.MD5, "name", digest=bytes(range(16))),
        "Challenge": Challenge(AuthType.MD5, bytes(range(64))),
        "DataAddress": DataAddress(AddressType.TCP, (Address("192.0.2.1", 65535),)),
        "Choices": (ClassVersion(1, 2), ClassVersion(65535, 3)),
    }
    if annotation in samples:
        return samples[annotation]
    return sample(getattr(structs, annotation), version)


def sample(structure: type[Struct], version: int) -> Any:
    """A value of a structure with something in every field."""
    kinds = structure.kinds
    return structure(
        **{name: _sample_of_kind(kinds[name], version) for name, _ in row(structure, version)}
    )


said = st.sampled_from(VARIANTS).flatmap(
    lambda variant: st.tuples(
        st.just(variant[0]), st.just(variant[1]), records(variant[2], variant[1])
    )
)
"""(code, version, body) of all that can be said."""

versions = st.sampled_from(VERSIONS)


def label(variant: tuple[int, int, type[Message]]) -> str:
    """For the names of parametrized tests."""
    return f"{variant[2].__name__}-v{variant[1]}-{variant[0]:x}"
