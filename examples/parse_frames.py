"""Frames of two venues, as bytes, into tickers and trades; a broken one costs only itself.

Run: python examples/parse_frames.py
"""

import time

from hftcore.errors import ParseError
from hftcore.parse import FrameKind, Parser
from hftcore.types import Ticker

FRAMES = {
    "okx_swap": [
        b'{"event":"subscribe","arg":{"channel":"bbo-tbt","instId":"BTC-USDT-SWAP"},"connId":"26c9b771"}',
        b'{"arg":{"channel":"bbo-tbt","instId":"BTC-USDT-SWAP"},"data":[{"asks":[["84093.5","667.19","0","70"]],'
        b'"bids":[["84093.4","570.27","0","83"]],"ts":"1790439594900","seqId":342177336945}]}',
        b'{"arg":{"channel":"trades","instId":"BTC-USDT-SWAP"},"data":[{"instId":"BTC-USDT-SWAP","tradeId":"295',
        b"pong",
    ],
    "binance_future": [
        b'{"e":"trade","E":1790370834849,"T":1790370834848,"s":"BTCUSDT","t":8121136411,"p":"83680.00","q":"0.001",'
        b'"X":"MARKET","m":true,"st":1}',
    ],
}


def main() -> None:
    for venue, frames in FRAMES.items():
        parser = Parser(venue)
        for frame in frames:
            try:
                events = parser.parse(frame, time.time_ns())
            except ParseError as error:
                print(f"{venue}: refused: {error}")
                continue
            if parser.kind is not FrameKind.EVENTS:
                print(f"{venue}: {parser.kind.name.lower()}")
            for event in events:
                if isinstance(event, Ticker):
                    print(f"{venue}: {event.symbol} {event.bidPrice} x {event.askPrice}")
                else:
                    print(f"{venue}: {event.symbol} {event.side} {event.volume} at {event.price}")


if __name__ == "__main__":
    main()
