"""`hftpy decode` of every recorded file: each line is answered, with an error only where it is known to be broken.

The folder of recorded messages is named by the environment variable HFTPY_FIXTURES.
"""

import gzip
import io
import json
import os
from pathlib import Path

import pytest

from hftcore.enums import Exchange
from hftpy.cli.decode import decode_files

pytestmark = [
    pytest.mark.recorded,
    pytest.mark.skipif("HFTPY_FIXTURES" not in os.environ, reason="HFTPY_FIXTURES names no folder of messages"),
]
ROOT = Path(os.environ.get("HFTPY_FIXTURES", ".")) / "real"
VENUES = {
    "kraken": "kraken", "kraken_futures": "kraken_future", "binance_spot": "binance", "binance_us": "binance",
    "binance_usdm": "binance_future", "binance_coinm": "binance_future", "coinbase": "coinbase", "okx_spot": "okx",
    "okx_swap": "okx_swap", "okx_other": "okx_swap", "okx_common": "okx",
}  # fmt: skip
# How many recorded frames of a file lack what an event needs.
ERRORS = {
    "binance_spot/aggtrade.jsonl": 1, "binance_spot/trade.jsonl": 1, "binance_usdm/aggtrade.jsonl": 1,
    "okx_spot/trades.jsonl": 1, "kraken/v1_ticker.jsonl": 1,
    # A level without a volume; a volume "0.-10000"; a book that does not say whether it is whole.
    "binance_usdm/depth.jsonl.gz": 1, "coinbase/exch_book.jsonl": 1, "okx_spot/books.jsonl": 1,
    # Klines and funding without the fields that make them.
    "kraken/v2_ohlc.jsonl": 2, "binance_spot/kline.jsonl": 3, "binance_usdm/kline.jsonl": 2,
    "coinbase/adv_candle.jsonl": 2, "okx_spot/candle.jsonl": 2, "okx_swap/funding.jsonl": 1,
}  # fmt: skip


def decoded(venue: str, path: Path) -> list[dict[str, object]]:
    out = io.StringIO()
    decode_files(Exchange.parse(venue), [path], out)
    rows = [json.loads(line) for line in out.getvalue().splitlines()]
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        lines = sum(1 for _ in file)
    numbers = [row["line"] for row in rows]
    assert sorted(set(numbers)) == list(range(1, lines + 1)) and numbers == sorted(numbers)
    return rows


@pytest.mark.parametrize("folder", VENUES)
def test_every_line_of_a_venue(folder: str) -> None:
    paths = [path for path in sorted((ROOT / folder).glob("*.jsonl*")) if path.name.partition(".")[0].islower()]
    assert paths
    for path in paths:
        rows = decoded(VENUES[folder], path)
        if "rest_" not in path.name:
            errors = [row for row in rows if row["type"] == "error"]
            assert len(errors) == ERRORS.get(f"{folder}/{path.name}", 0), (path, errors)


@pytest.mark.parametrize(
    ("prefix", "venue"),
    [("binance_spot", "binance"), ("binance_us", "binance"), ("binance_usdm", "binance_future"), ("okx", "okx"),
     ("coinbase", "coinbase"), ("kraken", "kraken"), ("kraken_futures", "kraken_future")],
)  # fmt: skip
def test_every_line_of_the_sessions(prefix: str, venue: str) -> None:
    paths = sorted((ROOT / "sessions").glob(f"{prefix}__*"))
    assert paths
    events = 0
    for path in paths:
        rows = decoded(venue, path)
        assert [row for row in rows if row["type"] == "error"] == [], path
        events += sum(row["type"] in ("ticker", "trade") for row in rows)
    assert events > 0
