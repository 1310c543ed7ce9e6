"""Runs the compiled strategy on rings that this program fills itself: `python run.py`."""

import asyncio

from imbalance import Imbalance

from hftcore.ring import Ring
from hftcore.types import Ticker, Trade


async def main() -> None:
    tickers, trades = Ring(Ticker), Ring(Trade)
    strategy = Imbalance("btc/usdt", threshold=0.75)
    async with asyncio.TaskGroup() as group:
        group.create_task(strategy.run(tickers))
        group.create_task(strategy.run(trades))
        for volume in (1.0, 9.0, 9.5, 1.0, 0.1):
            tickers.put_nowait(
                Ticker(exchange="kraken", symbol="btc/usdt", bidPrice=99, bidVolume=volume, askPrice=101, askVolume=1)
            )
            tickers.put_nowait(Ticker(exchange="kraken", symbol="eth/usdt", bidPrice=9, bidVolume=8, askPrice=11))
            trades.put_nowait(Trade(exchange="kraken", symbol="btc/usdt", price=100, volume=2, side="buy"))
            await asyncio.sleep(0.01)
        tickers.close()
        trades.close()
    print(f"{strategy.tickers} tickers, {strategy.trades} trades, bought {strategy.bought}, sides {strategy.seen}")


asyncio.run(main())
