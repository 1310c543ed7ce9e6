"""Frames of klines and funding, as bytes, into objects; a broken one costs only itself.

Run: python examples/parse_klines.py
"""

import time

from hftcore.errors import ParseError
from hftcore.kline import Kline, PeriodicParser

FRAMES = {
    "coinbase": [
        b'{"channel":"candles","timestamp":"2026-09-21T14:16:05Z","sequence_num":3,"events":[{"type":"update","candles":'
        b'[{"start":"1790000100","high":"84100.5","low":"84090","open":"84093.1","close":"84099.99","volume":"1.25",'
        b'"product_id":"BTC-USD"}]}]}',
        b'{"channel":"heartbeats","timestamp":"2026-09-21T14:16:06Z","sequence_num":4,"events":[]}',
    ],
    "kraken_future": [
        b'{"feed":"ticker","product_id":"PF_XBTUSD","time":1790000165000,"bid":84093.0,"ask":84094.0,"bid_size":1.5,'
        b'"ask_size":2.0,"tag":"perpetual","markPrice":84093.46,"index":84090.1,"relative_funding_rate":2.5E-5,'
        b'"next_funding_rate_time":1790002800000}',
        b'{"feed":"ticker","product_id":"PF_XBTUSD","time":1790000166000,"markPrice":1e999}',
    ],
}


def main() -> None:
    for venue, frames in FRAMES.items():
        parser = PeriodicParser(venue)
        for frame in frames:
            try:
                events = parser.parse(frame, time.time_ns())
            except ParseError as error:
                print(f"{venue}: refused: {error}")
                continue
            if not events:
                print(f"{venue}: nothing of ours, frame {parser.frameNumber}")
            for event in events:
                if isinstance(event, Kline):
                    prices = f"{event.open} {event.high} {event.low} {event.close}"
                    print(f"{venue}: {event.symbol} {prices} x {event.volume}")
                else:
                    print(f"{venue}: {event['symbol']} rate {event['rate']} mark {event['markPrice']}")


if __name__ == "__main__":
    main()
