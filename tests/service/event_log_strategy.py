"""A strategy that writes down what it is told, the same in every run of the same market: whatever is the venue's."""

import math
from typing import Any

import msgspec

from hftpy.common import Exchange, Flag, Gap
from hftpy.service import ServiceBase

OURS = ("localTimeNs", "local_timestamp")  # when we received it
Row = tuple[Any, ...]


class EventLogStrategy(ServiceBase):
    """`rows` by channel and symbol: the order among them is not the same on every way."""

    def on_setup(self) -> bool:
        self.rows: dict[tuple[str, str], list[Row]] = {}
        self.count = 0
        return True

    def write(self, channel: str, item: Any) -> None:
        self.count += 1
        self.rows.setdefault((channel, str(item.symbol or "")), []).append(row_of(item))

    def on_ticker(self, ticker: Any) -> None:
        self.write("ticker", ticker)

    def on_trade(self, trade: Any) -> None:
        self.write("trade", trade)

    def on_book(self, book: Any) -> None:
        self.write("book", book)

    def on_kline(self, kline: Any) -> None:
        self.write("kline", kline)

    def on_funding(self, funding: Any) -> None:
        self.write("funding", funding)

    def on_gap(self, gap: Gap) -> None:
        channel = str(gap.channel)
        row = ("gap", gap.reason, gap.lost, gap.source)
        # In its place: after what came before, before what comes next.
        for key in [key for key in self.rows if key[0] == channel and gap.symbol in (None, key[1])]:
            self.rows[key].append(row)
        self.rows.setdefault(("gaps", channel), []).append((*row, str(gap.symbol or "")))


def row_of(item: Any) -> Row:
    """The fields that are the venue's, by name."""
    fields = item.to_dict() if hasattr(item, "to_dict") else msgspec.structs.asdict(item)
    if "flags" in fields:
        fields["flags"] = int(fields["flags"]) & ~int(Flag.REPLAY)
    if item.exchange is Exchange.COINBASE:
        del fields["seq"]  # counts the frames of a connection, heartbeats too
    return tuple(
        (name, "none" if isinstance(value, float) and math.isnan(value) else value)
        for name, value in fields.items()
        if name not in OURS
    )
