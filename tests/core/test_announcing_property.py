"""Changes of volumes in any order of what waits for disks, and whatever of it fails."""

from __future__ import annotations

from itertools import cycle

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core.checking import check_dump, check_permissions
from tests.core.conversing import HANDLE, LIMIT, Conversation, content, file_write, split_by
from tests.core.stocked import Tape
from tests.core.volumes import idle

BLOCK = 200
LATE = ("tapelist update", "log Start", "log Part", "storing")
"""What a part may overtake."""
NEVER = "nothing"

TAPES = st.lists(st.tuples(st.integers(4, 25), st.booleans()), min_size=3, max_size=12)
ORDER = st.lists(st.integers(0, 5), min_size=1, max_size=40)
FAULTS = st.lists(st.sampled_from([None, None, OSError(5, "disk")]), max_size=8)


def step(talk: Conversation, which: int, late: str) -> bool:
    """One of the things that may come next, what is late now and then only. :return: False: none
    may"""
    waiting = talk.moments.waiting
    places = talk.moments.lanes()
    if which:
        places = [at for at in places if not waiting[at][0].startswith(late)] or places
    choices = len(places) + bool(talk.inbox)
    if not choices:
        return talk.vaults.threads.call()
    place = which % choices
    if place == len(places):
        talk.tell(talk.inbox.popleft())
    else:
        talk.moments.step(places[place])
    return True


@settings(max_examples=100)
@given(
    TAPES,
    st.integers(0, 60 * BLOCK),
    st.integers(1, 12),
    ORDER,
    st.sampled_from([NEVER, *LATE]),
    st.sampled_from(LATE[:3]),
    FAULTS,
)
def test_any_order_and_any_fault(
    tapes: list[tuple[int, bool]],
    size: int,
    part: int,
    order: list[int],
    late: str,
    failing: str,
    faults: list[Exception | None],
) -> None:
    """Nothing of a volume is told before it, what is told is stored and follows what was told
    before, and the dump ends for a reason that somebody can understand."""
    data = content(size)
    media = [
        Tape(blocks * BLOCK, block_size=BLOCK, warning=1, behind=behind) for blocks, behind in tapes
    ]
    talk = idle(*media, data=data)
    talk.moments.fail(failing, *faults)
    talk.tell(file_write(split=split_by(part * BLOCK)))
    for which, _ in zip(cycle(order), range(LIMIT), strict=False):
        if not step(talk, which, late):
            break
    talk.settle()
    word = check_dump(talk, HANDLE, data, "/home", whole_log=failing == LATE[0])
    assert "internal error" not in talk.driver.lines[-1]
    if word == "DONE":
        assert talk.stored() == data
    check_permissions(talk)
    talk.quit()
    talk.check_sound()
