"""Every recorded frame against the slow reading of order books: each level's digits, times, numbers and checksums.

The folder of recorded messages is named by the environment variable HFTPY_FIXTURES.
"""

import gzip
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import book_reading
import pytest

from hftcore.book_parse import BookParser
from hftcore.errors import ParseError

pytestmark = pytest.mark.recorded
VENUES = {
    "kraken": "kraken", "kraken_futures": "kraken_future", "binance_spot": "binance", "binance_us": "binance",
    "binance_usdm": "binance_future", "binance_coinm": "binance_future", "coinbase": "coinbase", "okx_spot": "okx",
    "okx_swap": "okx_swap", "okx_other": "okx_swap", "okx_common": "okx",
}  # fmt: skip
TOLD = ("native", "snapshot", "bids", "asks", "exchangeTimeNs", "firstSeq", "lastSeq", "prevSeq", "checksum")
# How many books a folder holds, at least.
LEAST = {
    "kraken": 16_000, "kraken_futures": 6_500, "binance_spot": 9_400, "binance_us": 1_100, "binance_usdm": 6_500,
    "binance_coinm": 10, "coinbase": 790, "okx_spot": 970, "okx_swap": 460, "okx_other": 440, "okx_common": 0,
}  # fmt: skip


def frames(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.glob("*.jsonl*")):
        if path.name[0].islower():
            with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
                yield from ((path.name, line.rstrip(b"\r\n")) for line in file)


@pytest.mark.parametrize("folder", VENUES)
def test_every_frame(fixtures: Path, folder: str) -> None:
    parser, venue = BookParser(VENUES[folder]), VENUES[folder]
    count: Counter[str] = Counter()
    for name, frame in frames(fixtures / folder):
        # A depth of Binance's REST API does not say whose it is: whoever asked knows.
        rest = "rest" in name or name == "depth_partial.jsonl"
        native = "BTCUSDT" if rest and b'"symbol"' not in frame and b'"stream"' not in frame else ""
        try:
            wanted = book_reading.read(venue, frame, native) or []
        except ValueError:
            with pytest.raises(ParseError):
                parser.parse(frame, symbol=native or None)
            count["refused"] += 1
            continue
        updates = parser.parse(frame, symbol=native or None)
        assert [{field: getattr(update, field) for field in TOLD} for update in updates] == wanted, (name, frame[:300])
        count["books"] += len(updates)
    assert count["books"] >= LEAST[folder]
    assert count["refused"] <= 2, count
