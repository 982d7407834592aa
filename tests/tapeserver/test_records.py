"""What comes from a connection leaves for a tape in its order, whatever the records."""

from __future__ import annotations

from unittest import mock

from hypothesis import example, given
from hypothesis import strategies as st

from taper.tapeserver import records
from taper.tapeserver.records import Records

SIZES = st.sampled_from([1, 3, 8, 20, 50])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("come"), st.integers(1, 40)),
        st.tuples(st.just("write"), st.integers(0, 5)),
        st.tuples(st.just("fit"), SIZES),
    ),
    max_size=40,
)


# what lies around the end of the memory meets records of another size
@example(
    first=8, steps=[("come", 16), ("come", 16), ("write", 1), ("come", 5), ("fit", 3), ("write", 9)]
)
@given(first=SIZES, steps=STEPS)
def test_nothing_is_lost_or_moved(first: int, steps: list[tuple[str, int]]) -> None:
    """A run is written while more comes; records of another size may follow, and zeros at last."""
    with mock.patch.object(records, "RUN", 16):
        kept, size = Records(), first
        kept.fit(size)
        came = wrote = 0

        def write(most: int) -> int:
            run = kept.run(most * size)
            assert len(run) <= records.run_size(size)
            assert len(run) % size == 0
            real = kept.real(len(run))
            assert bytes(run) == _bytes(wrote, real) + bytes(len(run) - real)
            return len(run)

        for step, value in steps:
            if step == "fit":
                size = value
                kept.fit(size)
            elif step == "come":
                before = write(2)
                room = kept.room()
                got = min(value, len(room))
                room[:got] = _bytes(came, got)
                came += got
                kept.came(got)
                assert write(2) >= before  # what is on its way stays
            else:
                done = write(value)
                kept.written(done)
                wrote += done
            assert kept.count == came - wrote
            assert kept.room() or kept.whole
        kept.pad()
        kept.pad()
        assert kept.count == kept.whole == came - wrote + -(came - wrote) % size
        while kept.whole:
            done = write(1)
            assert done
            real = kept.real(done)
            kept.written(done)
            wrote += real
        assert wrote == came
        assert kept.real(0) == 0


def test_zeros_fill_up_a_record_of_the_new_size() -> None:
    """The last record was filled up, and not written, before the size changed: it is filled up to
    the new one, and no record of zeros alone follows."""
    for second in (2, 3, 50):
        kept = Records()
        kept.fit(20)
        kept.room()[:5] = _bytes(0, 5)
        kept.came(5)
        kept.pad()
        kept.fit(second)
        kept.pad()
        assert kept.count == kept.whole == 5 + -5 % second
        assert kept.real(kept.count) == 5
        assert bytes(kept.run(kept.count)) == _bytes(0, 5) + bytes(-5 % second)


def _bytes(start: int, size: int) -> bytes:
    return bytes(number % 251 + 1 for number in range(start, start + size))
