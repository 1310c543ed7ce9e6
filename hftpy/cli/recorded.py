"""What a recorded session holds: the demo plays it and then compares what the strategies got with this."""

from collections import Counter
from pathlib import Path

import msgspec

from hftcore.parse import FrameKind, Parser
from hftpy.cli.market_maker import fold
from hftpy.common import Channel, CurrencyPair, Exchange, Flag, Ticker
from hftpy.errors import ParseError
from hftpy.sim.recording import iter_session, session_exchange, session_pairs

DOLLARS = frozenset({"usd", "usdt", "usdc", "busd"})


class Recorded(msgspec.Struct, kw_only=True):
    """The counts of a session, and the checksum of its tickers in their order."""

    exchange: Exchange
    tickers: int
    trades: int
    aggregate: bool  # its trades are aggregates
    digest: int
    pairs: dict[Channel, list[CurrencyPair]]
    to_quote: list[CurrencyPair]  # the two with most tickers of those that are priced in dollars


def read_recorded(path: Path) -> Recorded:
    """Read a session once.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is no session, or its venue is not known.
    """
    exchange = session_exchange(path)
    pairs = session_pairs(path)
    parser = Parser(exchange)
    tickers = trades = digest = 0
    aggregate = False
    counts: Counter[CurrencyPair] = Counter()
    for entry in iter_session(path):
        if entry.kind != "recv":
            continue
        try:
            events = parser.parse(entry.data.encode())
        except ParseError:
            continue  # the stream counts it as one, as here
        if parser.kind != FrameKind.EVENTS:
            continue
        for event in events:
            if isinstance(event, Ticker):
                tickers += 1
                digest = fold(digest, event)
                counts[event.symbol] += 1
            else:
                trades += 1
                aggregate = aggregate or Flag.AGGREGATE in event.flags
    return Recorded(
        exchange=exchange, tickers=tickers, trades=trades, aggregate=aggregate, digest=digest, pairs=pairs,
        to_quote=[pair for pair, _ in counts.most_common() if pair.quote in DOLLARS][:2],
    )  # fmt: skip
