"""Net positions and realised profit from fills, per strategy and symbol. Exact: Decimal; fees are in the profit."""

from collections.abc import Iterator
from decimal import Decimal

from hftpy.common import CurrencyPair, MyTrade, Position, Side
from hftpy.common.orders import ZERO


class PositionBook:
    """Average-cost positions.

    A fill that reduces a position realises profit at the average price; one that crosses zero opens the rest anew.
    A fee in the quote currency reduces the profit; a fee in another asset is kept in `fees`.
    """

    def __init__(self) -> None:
        self._positions: dict[tuple[str, CurrencyPair], Position] = {}
        self.fees: dict[str, Decimal] = {}

    def __iter__(self) -> Iterator[Position]:
        return iter(self._positions.values())

    def get(self, strategy: str, symbol: CurrencyPair) -> Position | None:
        """The position of a strategy in a symbol, if it ever traded it."""
        return self._positions.get((strategy, symbol))

    def on_trade(self, trade: MyTrade) -> Position:
        """Take in a fill (each fill once).

        Returns
        -------
        Position
            The position after it.
        """
        key = (trade.strategy, trade.symbol)
        position = self._positions.get(key)
        if position is None:
            position = self._positions[key] = Position(
                exchange=trade.exchange, symbol=trade.symbol, strategy=trade.strategy
            )
        signed = trade.amount if trade.side == Side.BUY else -trade.amount
        before, after = position.amount, position.amount + signed
        if before == 0 or (before > 0) == (signed > 0):
            cost = abs(before) * position.avgPrice + trade.amount * trade.price
            position.avgPrice = cost / abs(after)
        else:
            closed = min(abs(before), trade.amount)
            gain = (trade.price - position.avgPrice) * closed
            position.realizedPnl += gain if before > 0 else -gain
            if after == 0:
                position.avgPrice = ZERO
            elif (after > 0) != (before > 0):
                position.avgPrice = trade.price
        position.amount = after
        position.timestamp = trade.timestamp
        if trade.fee:
            asset = trade.feeAsset or trade.symbol.quote
            if asset == trade.symbol.quote:
                position.realizedPnl -= trade.fee
            self.fees[asset] = self.fees.get(asset, ZERO) + trade.fee
        return position
