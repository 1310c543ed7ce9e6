"""An order book on its own: a snapshot, deltas, what it costs to buy, and a check against the venue's checksum.

    python examples/order_book.py
"""

from hftcore.book import OrderBook


def main() -> None:
    """Follow a book for two updates."""
    book = OrderBook("kraken", "btc/usd", depth=10)
    # The venue's own digits: 0.50000000 is kept as it is written.
    book.apply_snapshot(
        bids=[("64001.1", "0.50000000"), ("64000.9", "2.00000000"), ("63999.0", "1.25000000")],
        asks=[("64001.2", "0.75000000"), ("64002.0", "3.00000000"), ("64005.5", "0.10000000")],
    )
    print(f"{book.state}: {book.best_bid} {book.best_ask}")

    # Absolute volumes; 0 removes the level.
    book.apply(bids=[("64001.1", "0.00000000")], asks=[("64001.2", "0.25000000")], seq=2)
    print(f"mid {book.mid:.2f}, microprice {book.microprice:.2f}, imbalance of 3 levels {book.imbalance(3):+.3f}")

    fill = book.take("sell", 1.0)
    print(f"buying 1.0 takes {fill.levels} levels: {fill.price:.3f} on average, {fill.worstPrice} at worst")

    from_venue = 3780893037  # what the venue sends with the update
    if book.checksum_kraken() != from_venue:
        book.invalidate("checksum")
    print(f"checksum {book.checksum_kraken()}: {book.state}")

    snapshot = book.snapshot(levels=2)  # a copy, for whoever looks at it later
    print(f"asks {snapshot.asksPrice} {snapshot.asksVolume}")


if __name__ == "__main__":
    main()
