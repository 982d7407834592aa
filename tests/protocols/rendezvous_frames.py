"""Frames of a rendezvous with any values."""

from __future__ import annotations

from hypothesis import strategies as st

from protocols.directtcp import Address
from protocols.rendezvous.forms import MAX_ADDRESSES, MAX_REMARK, MAX_SIZE
from protocols.rendezvous.frames import (
    DUMP_ID_SIZE,
    MAX_BLOCK,
    NONCE_SIZE,
    Alive,
    Broken,
    Cannot,
    Challenge,
    Delivered,
    End,
    EndResult,
    Frame,
    Halt,
    Halted,
    HeaderBlock,
    HeaderFields,
    Hello,
    Outcome,
    Proof,
    Refusal,
    Refused,
    Result,
    Send,
    Sending,
    Stored,
    Why,
)

sizes = st.integers(0, MAX_SIZE)
runs = st.integers(1, 2**32 - 1)
u32s = st.integers(0, 2**32 - 1)
names = st.binary(max_size=300).map(lambda data: data.decode("utf-8", "surrogateescape"))
remarks = st.text(st.characters(exclude_categories=["Cs"]), max_size=MAX_REMARK // 4)
nonces = st.binary(min_size=NONCE_SIZE, max_size=NONCE_SIZE)
addresses = st.builds(
    Address,
    st.sampled_from(("192.0.2.1", "127.0.0.1", "2001:db8::1", "::1")),
    st.integers(1, 65535),
)
versions = st.lists(st.integers(1, 255), min_size=2, max_size=2).map(sorted)

ANY: dict[type[Frame], st.SearchStrategy[Frame]] = {
    Hello: st.builds(
        lambda between, nonce, dump_id: Hello(between[0], between[1], nonce, dump_id),
        versions,
        nonces,
        st.binary(min_size=DUMP_ID_SIZE, max_size=DUMP_ID_SIZE),
    ),
    Challenge: st.builds(Challenge, st.integers(1, 255), nonces),
    Proof: st.builds(Proof, names, names, st.integers(0, 65535), names, sizes, u32s),
    HeaderFields: st.builds(
        HeaderFields, st.lists(st.tuples(names, names), max_size=20).map(tuple)
    ),
    HeaderBlock: st.builds(HeaderBlock, st.binary(min_size=1, max_size=MAX_BLOCK)),
    Sending: st.builds(Sending, runs, sizes, u32s),
    Cannot: st.builds(Cannot, runs, st.sampled_from(Why), sizes, remarks),
    Halted: st.builds(Halted, runs, sizes, u32s),
    Broken: st.builds(Broken, runs, sizes, remarks),
    Delivered: st.builds(Delivered, runs, sizes),
    End: st.builds(End, sizes, u32s, st.sampled_from(EndResult), remarks),
    Alive: st.builds(Alive, sizes),
    Send: st.builds(
        Send,
        runs,
        sizes,
        st.lists(addresses, min_size=1, max_size=MAX_ADDRESSES).map(tuple),
    ),
    Halt: st.builds(Halt, runs, sizes),
    Stored: st.lists(sizes, min_size=2, max_size=2).map(lambda both: Stored(*sorted(both))),
    Result: st.builds(Result, st.sampled_from(Outcome), sizes, st.booleans(), u32s, remarks),
    Refused: st.builds(Refused, st.sampled_from(Refusal), remarks),
}

frames = st.one_of(*ANY.values())
