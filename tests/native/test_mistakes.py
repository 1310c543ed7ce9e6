"""That every seeded mistake of this folder can still be made: a short run tries only some of them."""

from collections.abc import Iterator

import pytest
from native_stress import INCLUDE
from test_book_stress import MISTAKES as BOOK
from test_park import MISTAKES as PARK
from test_ring_stress import MISTAKES as RING
from test_shm_stress import CRASH_MISTAKES, PAUSES
from test_shm_stress import MISTAKES as SHM
from test_structures import CHECKED, INTERLEAVED, UNORDERED
from test_symbol_table import MISTAKES as SYMBOLS
from test_zmq_stress import MISTAKES as ZMQ


def edits() -> Iterator[tuple[str, str, str]]:
    """(header, right, wrong) of each."""
    yield from BOOK.values()
    yield from (("shm_park.hpp", *edit) for edit in PARK.values())
    yield from (("spsc_ring.hpp", right, wrong) for _, right, wrong in RING.values())
    for some in (*SHM.values(), *CRASH_MISTAKES.values(), PAUSES):
        # A later edit may need what an earlier one has made.
        yield ("shm_ring.hpp", *some[0])
    yield from ((header, right, wrong) for header, _, _, right, wrong in INTERLEAVED.values())
    yield from ((header, right, wrong) for header, _, right, wrong in CHECKED.values())
    yield from (edit for edit in UNORDERED.values() if not isinstance(edit, str))
    yield from (("symbol_table.hpp", *edit) for edit in SYMBOLS.values())
    yield from ((header, right, wrong) for header, right, wrong, _ in ZMQ.values())


@pytest.mark.parametrize("header", sorted({header for header, _, _ in edits()}))
def test_every_mistake_can_still_be_made(header: str) -> None:
    text = (INCLUDE / "hftcore" / header).read_text()
    for right, wrong in (edit[1:] for edit in edits() if edit[0] == header):
        assert right in text and right != wrong, right
