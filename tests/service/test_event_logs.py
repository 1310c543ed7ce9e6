"""One strategy, one market, five ways to it that differ in the config alone: its log is the same on each.

From a stream of its own, from a gateway by ZeroMQ, from one by shared memory, from `hftpy replay`, and live where the
recording was made. Sessions are written here by the simulated venue; recorded ones where HFTPY_FIXTURES points.
"""

import pytest
from event_log_ways import MARKETS, PAIRS, live_log, log_of_the_replay, logs_of_the_venue, same

from hftpy.sim.recording import session_exchange, session_pairs

pytestmark = [pytest.mark.usefixtures("patient"), pytest.mark.slow]


# Kraken Futures' funding comes in the tickers' feed: on a connection of its own, begun at another moment.
@pytest.mark.parametrize(("exchange", "channels"), [*MARKETS.items(), ("kraken_future", ["funding"])])
async def test_a_strategys_log_is_the_same_on_every_way(exchange, channels, tmp_path, root, eventually):
    live, (session,), setting = await live_log(exchange, tmp_path, channels, eventually)
    assert set(live) == {(channel, pair) for channel in channels for pair in PAIRS}
    replayed, said = await log_of_the_replay(session, tmp_path, setting)
    same(live, replayed)
    assert "note" not in said
    for transport in ("zmq", "shm"):
        for rows in await logs_of_the_venue(session, tmp_path, PAIRS, channels, eventually, transport):
            same(live, rows)


RECORDED = (
    "binance_spot__all_20210417", "binance_spot__all_20211012", "binance_spot__b38f7c_20210405",
    "binance_spot__ee25be_20210404", "binance_spot__hftbacktest_spot_btcusdt_20240808", "binance_us__all_20210417",
    "binance_us__all_20211012", "binance_usdm__1125a2_20210405", "binance_usdm__all_20210417",
    "binance_usdm__hftbacktest_usdm_btcusdt_20240808", "coinbase__advanced_20260809", "kraken__v1_book1000_20210405",
    "kraken__v1_ticker_20210405", "kraken__v1_trade_20210405", "kraken_futures__all_20210417", "okx__v5_all_20210722",
    "okx__v5_books_20220513",
)  # fmt: skip


@pytest.mark.recorded
@pytest.mark.parametrize("name", RECORDED)
async def test_recorded_sessions_give_the_same_log_on_every_way(fixtures, name, tmp_path, root, eventually):
    session = fixtures / "sessions" / f"{name}.jsonl.gz"
    exchange = str(session_exchange(session))
    carried = session_pairs(session)
    channels = sorted(map(str, carried))
    pairs = sorted({str(pair) for found in carried.values() for pair in found})
    args = {"book": {"levels": 10, "depth": 1000}} if exchange == "kraken" else {}
    stream = {
        "exchange": exchange, "currency_pairs": pairs, "subscribe_channels": channels,
        "subscribe_args": {"book": {"levels": 10}, **args},
    }  # fmt: skip
    logs = [tmp_path / "one.jsonl", tmp_path / "two.jsonl"]
    replayed, said = await log_of_the_replay(session, tmp_path, {"streams": [stream]}, logs[0])
    again, _ = await log_of_the_replay(session, tmp_path, {"streams": [stream]}, logs[1])
    assert replayed == again and logs[0].read_bytes() == logs[1].read_bytes()
    assert {key[0] for key in replayed} == set(channels)
    assert "snapshot" not in said
    transport = "shm" if RECORDED.index(name) % 2 else "zmq"
    for rows in await logs_of_the_venue(session, tmp_path, pairs, channels, eventually, transport, **args):
        same(replayed, rows)
