"""Frames of one's own: the codec and a socket of pyzmq's, without pyzmq's cost per message.

Run: python examples/native_frames.py
"""

import time

import zmq

from hftcore.codec import decode_ticker, encode_batch
from hftcore.types import Ticker
from hftcore.zmq import NativeSocket

COUNT = 500


def main() -> None:
    with zmq.Context() as context, context.socket(zmq.PUSH) as push, context.socket(zmq.PULL) as pull:
        port = pull.bind_to_random_port("tcp://127.0.0.1")
        push.connect(f"tcp://127.0.0.1:{port}")
        sender, receiver = NativeSocket(push), NativeSocket(pull)
        tickers = [
            Ticker(exchange="kraken", symbol="btc/usd", bidPrice=n + 0.5, askPrice=n + 1.0, seq=n) for n in range(COUNT)
        ]
        for message in encode_batch(tickers, seq=1, epoch=time.time_ns()):
            while not sender.send(message):  # it never waits: False until there is a connection, and room
                time.sleep(0.001)
        received = []
        while len(received) < COUNT:
            frame = receiver.recv()
            if frame is None:
                time.sleep(0.001)
                continue
            ticker, _seq, _epoch, _resent = decode_ticker(frame)
            received.append(ticker)
        assert received == tickers
        last = received[-1]
        print(f"{COUNT} frames, the last {last.exchange} {last.symbol} {last.bidPrice} / {last.askPrice}")


if __name__ == "__main__":
    main()
