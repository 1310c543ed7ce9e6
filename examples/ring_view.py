"""Statistics over a batch of trades in the ring's own memory: no object is made, nothing is copied."""

from hftcore.ring import Ring
from hftcore.types import Trade


def main() -> float:
    """Put some trades, and return their volume-weighted average price."""
    ring = Ring(Trade, 1024, "block")
    for number in range(1, 501):
        ring.put_nowait(Trade(exchange="kraken", symbol="btc/usdt", price=100 + number % 5, volume=number, side="buy"))
    notional = volume = 0.0
    while not ring.empty():
        with ring.view(128) as trades:  # producers find these places taken until the block ends
            notional += float((trades["price"] * trades["volume"]).sum())
            volume += float(trades["volume"].sum())
    print(f"{ring.stats['popped']} trades, VWAP {notional / volume:.4f}")
    return notional / volume


if __name__ == "__main__":
    main()
