"""Whatever is wrong with the source of a vaulted dump: never DONE, and no wrong byte is stored."""

from __future__ import annotations

from attrs import evolve, frozen
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core.checking import check_closed
from tests.core.conversing import HANDLE, START, WORKER, Conversation, content, crc_text, split_by
from tests.core.stocked import Tape
from tests.core.vaulting import OLD, shelve

BLOCK = 1000


@frozen
class Damage:
    """What happens to one part, or to the volume that it is on."""

    kind: str
    part: int
    size: int


DAMAGES = st.builds(
    Damage,
    st.sampled_from(["none", "truncated", "longer", "header", "no file", "no volume", "busy"]),
    st.integers(0, 5),
    st.integers(1, 4000),
)


def damage(what: Damage, talk: Conversation, places: list[tuple[Tape, int]]) -> bool:
    """Do it. :return: the dump cannot be had as it was"""
    at = what.part % len(places)
    tape, size = places[at]
    fileno = sum(1 for other, _ in places[: at + 1] if other is tape)
    file = tape.medium.files[fileno]
    if what.kind == "truncated":
        cut = min(what.size, size)
        del file.data[size - cut :]
        return cut > 0
    if what.kind == "longer":
        file.data += bytes(BLOCK + what.size)
    elif what.kind == "header":
        file.header = evolve(file.header, partnum=99)
    elif what.kind == "no file":
        del tape.medium.files[fileno]
    elif what.kind == "no volume":
        tape.medium.label = "OTHER"
        tape.look()
    elif what.kind == "busy":
        tape.listing.in_use = True
    return what.kind != "none"


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 9000)), min_size=1, max_size=6),
    DAMAGES,
    st.integers(1, 5),
    st.booleans(),
)
def test_done_means_all_of_it(
    layout: list[tuple[int, int]], what: Damage, blocks: int, padded: bool
) -> None:
    """Parts anywhere on three volumes, one thing wrong with one of them, any size of new parts."""
    layout.sort()  # parts of a dump never go back to a volume
    tapes = [Tape(label=f"SRC{n}", timestamp=OLD, block_size=BLOCK) for n in range(3)]
    places = [(tapes[number], size) for number, size in layout]
    data = content(sum(size for _, size in places))
    talk = Conversation(Tape(block_size=BLOCK), Tape(block_size=BLOCK))
    talk.vaults.add("SRC", {str(number): tape for number, tape in enumerate(tapes, 1)})
    talk.vaults.dumps["/home"] = shelve(data, *places)
    if padded:
        for tape in tapes:
            for file in tape.medium.files.values():
                file.data += bytes(-len(file.data) % BLOCK)
    broken = damage(what, talk, places) if not padded or what.kind != "truncated" else False
    talk.say(START)
    split = split_by(blocks * BLOCK)
    reply = talk.say(f"VAULT-WRITE {WORKER} {HANDLE} SRC P L localhost /home 0 {OLD} {split} 64")[
        -1
    ]
    word = reply.split(" ")[0]
    if broken:
        assert word in ("PARTIAL", "FAILED"), reply
        assert " INPUT-ERROR TAPE-GOOD " in reply
    else:
        assert word == "DONE", reply
        assert talk.stored() == data
        assert f'"{crc_text(data)}"' in reply
    assert data.startswith(talk.stored())
    talk.quit()
    talk.check_sound()
    check_closed(talk)
