"""Ticker and Trade: 64-byte native structs with a Python face.

Each object holds its struct by value and is immutable from Python. `symbol`, `exchange` and `side` read as
CurrencyPair, Exchange and Side; `…Ns` fields are nanoseconds, `timestamp`, `localTimestamp` and `tradeTimestamp`
microseconds. A time that the venue does not give is 0. Objects may be read from any thread.
"""

cimport cython

import numpy as np

from hftcore.enums import Exchange, Flag, Side
from hftcore.symbols import CurrencyPair, pair_of_id
from hftcore import symbols as _symbols

cdef extern from *:
    """
    #define HFT_BUILD_MODE_TEXT HFT_BUILD_MODE
    """
    const char* HFT_BUILD_MODE_TEXT

build_mode = (<bytes>HFT_BUILD_MODE_TEXT).decode()
"""How the core was compiled: release, debug, asan, tsan or coverage."""

TICKER_DTYPE = np.dtype(
    [
        ("exchangeTimeNs", "<i8"), ("localTimeNs", "<i8"), ("bidPrice", "<f8"), ("bidVolume", "<f8"),
        ("askPrice", "<f8"), ("askVolume", "<f8"), ("seq", "<u8"), ("symbol", "<i4"), ("exchange", "u1"),
        ("reserved", "u1"), ("flags", "<u2"),
    ]
)
TRADE_DTYPE = np.dtype(
    [
        ("exchangeTimeNs", "<i8"), ("localTimeNs", "<i8"), ("tradeTimeNs", "<i8"), ("price", "<f8"),
        ("volume", "<f8"), ("tradeId", "<i8"), ("seq", "<u8"), ("symbol", "<i4"), ("exchange", "u1"),
        ("side", "u1"), ("flags", "<u2"),
    ]
)

cdef tuple EXCHANGES = tuple(
    Exchange(number) if number in Exchange._value2member_map_ else None for number in range(256)
)
cdef tuple SIDES = (Side.UNKNOWN, Side.BUY, Side.SELL)
cdef tuple FLAGS = tuple(Flag(bits) for bits in range(8))
cdef list PAIRS = _symbols._pairs


cdef int32_t symbol_number(object symbol) except -1:
    return CurrencyPair(symbol).id


cdef uint8_t exchange_number(object exchange) except? 0:
    return Exchange.parse(exchange).value


cdef uint8_t side_number(object side) except? 0:
    return Side.parse(side).value


@cython.final
@cython.no_gc
@cython.freelist(1024)
cdef class Ticker:
    """Best bid and ask of one symbol.

    Parameters
    ----------
    exchange
        Exchange, or its name.
    symbol
        CurrencyPair, or any spelling of one.
    bidPrice, bidVolume, askPrice, askVolume
        Price in the quote currency, volume in the base currency.
    exchangeTimeNs
        When the venue published or made the change, ns since 1970; 0 if it does not say.
    localTimeNs
        When it was received, ns since 1970.
    seq
        The venue's own sequence or update number, 0 if it has none.
    flags
        Flag bits.

    Raises
    ------
    ValueError
        If the exchange or the symbol is not one.
    """

    def __init__(
        self, *, exchange, symbol, double bidPrice=0.0, double bidVolume=0.0, double askPrice=0.0,
        double askVolume=0.0, int64_t exchangeTimeNs=0, int64_t localTimeNs=0, uint64_t seq=0, uint16_t flags=0,
    ):
        self.c.exchange = exchange_number(exchange)
        self.c.symbol = symbol_number(symbol)
        self.c.bidPrice = bidPrice
        self.c.bidVolume = bidVolume
        self.c.askPrice = askPrice
        self.c.askVolume = askVolume
        self.c.exchangeTimeNs = exchangeTimeNs
        self.c.localTimeNs = localTimeNs
        self.c.seq = seq
        self.c.flags = flags

    @property
    def exchange(self):
        return EXCHANGES[self.c.exchange]

    @property
    def symbol(self):
        return PAIRS[self.c.symbol]

    @property
    def bidPrice(self):
        return self.c.bidPrice

    @property
    def bidVolume(self):
        return self.c.bidVolume

    @property
    def askPrice(self):
        return self.c.askPrice

    @property
    def askVolume(self):
        return self.c.askVolume

    @property
    def exchangeTimeNs(self):
        return self.c.exchangeTimeNs

    @property
    def localTimeNs(self):
        return self.c.localTimeNs

    @property
    def seq(self):
        return self.c.seq

    @property
    def flags(self):
        return FLAGS[self.c.flags] if self.c.flags < 8 else Flag(self.c.flags)

    @property
    def timestamp(self):
        """The venue's time in microseconds."""
        return self.c.exchangeTimeNs // 1000

    @property
    def localTimestamp(self):
        """The time of receipt in microseconds."""
        return self.c.localTimeNs // 1000

    @property
    def bid_price(self):
        return self.bidPrice

    @property
    def bid_volume(self):
        return self.bidVolume

    @property
    def ask_price(self):
        return self.askPrice

    @property
    def ask_volume(self):
        return self.askVolume

    @property
    def exchange_time_ns(self):
        return self.exchangeTimeNs

    @property
    def local_time_ns(self):
        return self.localTimeNs

    @property
    def local_timestamp(self):
        return self.localTimestamp


    def to_dict(self):
        """The fields by name, with `symbol` and `exchange` as text."""
        return {
            "exchange": str(self.exchange), "symbol": str(self.symbol),
            "bidPrice": self.c.bidPrice, "bidVolume": self.c.bidVolume,
            "askPrice": self.c.askPrice, "askVolume": self.c.askVolume,
            "exchangeTimeNs": self.c.exchangeTimeNs, "localTimeNs": self.c.localTimeNs,
            "seq": self.c.seq, "flags": self.c.flags,
        }

    def to_bytes(self):
        """The 64 bytes of the struct, as `TICKER_DTYPE` reads them in this process."""
        return (<char*>&self.c)[:sizeof(TickerStruct)]

    def __repr__(self):
        return (
            f"Ticker(exchange={str(self.exchange)!r}, symbol={str(self.symbol)!r}, bidPrice={self.c.bidPrice!r}, "
            f"bidVolume={self.c.bidVolume!r}, askPrice={self.c.askPrice!r}, askVolume={self.c.askVolume!r}, "
            f"exchangeTimeNs={self.c.exchangeTimeNs}, localTimeNs={self.c.localTimeNs}, seq={self.c.seq}, "
            f"flags={self.c.flags})"
        )

    cdef tuple _key(self):
        return (
            self.c.exchange, self.c.symbol, self.c.bidPrice, self.c.bidVolume, self.c.askPrice, self.c.askVolume,
            self.c.exchangeTimeNs, self.c.localTimeNs, self.c.seq, self.c.flags,
        )

    def __eq__(self, other):
        return self._key() == (<Ticker>other)._key() if isinstance(other, Ticker) else NotImplemented

    def __hash__(self):
        return hash(self._key())

    def __reduce__(self):
        return _ticker_from_dict, (self.to_dict(),)


@cython.final
@cython.no_gc
@cython.freelist(1024)
cdef class Trade:
    """One trade of the venue, or an aggregate of several (`Flag.AGGREGATE`).

    Parameters
    ----------
    exchange, symbol
        As for `Ticker`.
    price, volume
        Price in the quote currency, volume in the base currency.
    side
        The taker's Side, or its name.
    tradeId
        The venue's number; 0 if it has none, or it is not a number of 63 bits.
    exchangeTimeNs, tradeTimeNs, localTimeNs
        When the venue published it, when it happened, when it was received: ns since 1970, 0 if not known.
    seq, flags
        As for `Ticker`.

    Raises
    ------
    ValueError
        If the exchange, the symbol or the side is not one.
    """

    def __init__(
        self, *, exchange, symbol, double price=0.0, double volume=0.0, side=0, int64_t tradeId=0,
        int64_t exchangeTimeNs=0, int64_t tradeTimeNs=0, int64_t localTimeNs=0, uint64_t seq=0, uint16_t flags=0,
    ):
        self.c.exchange = exchange_number(exchange)
        self.c.symbol = symbol_number(symbol)
        self.c.price = price
        self.c.volume = volume
        self.c.side = side_number(side)
        self.c.tradeId = tradeId
        self.c.exchangeTimeNs = exchangeTimeNs
        self.c.tradeTimeNs = tradeTimeNs
        self.c.localTimeNs = localTimeNs
        self.c.seq = seq
        self.c.flags = flags

    @property
    def exchange(self):
        return EXCHANGES[self.c.exchange]

    @property
    def symbol(self):
        return PAIRS[self.c.symbol]

    @property
    def price(self):
        return self.c.price

    @property
    def volume(self):
        return self.c.volume

    @property
    def side(self):
        return SIDES[self.c.side]

    @property
    def tradeId(self):
        return self.c.tradeId

    @property
    def exchangeTimeNs(self):
        return self.c.exchangeTimeNs

    @property
    def tradeTimeNs(self):
        return self.c.tradeTimeNs

    @property
    def localTimeNs(self):
        return self.c.localTimeNs

    @property
    def seq(self):
        return self.c.seq

    @property
    def flags(self):
        return FLAGS[self.c.flags] if self.c.flags < 8 else Flag(self.c.flags)

    @property
    def timestamp(self):
        """The venue's time in microseconds."""
        return self.c.exchangeTimeNs // 1000

    @property
    def tradeTimestamp(self):
        """The time of the trade in microseconds."""
        return self.c.tradeTimeNs // 1000

    @property
    def localTimestamp(self):
        """The time of receipt in microseconds."""
        return self.c.localTimeNs // 1000

    @property
    def trade_id(self):
        return self.tradeId

    @property
    def exchange_time_ns(self):
        return self.exchangeTimeNs

    @property
    def trade_time_ns(self):
        return self.tradeTimeNs

    @property
    def local_time_ns(self):
        return self.localTimeNs

    @property
    def trade_timestamp(self):
        return self.tradeTimestamp

    @property
    def local_timestamp(self):
        return self.localTimestamp


    def to_dict(self):
        """The fields by name, with `symbol`, `exchange` and `side` as text."""
        return {
            "exchange": str(self.exchange), "symbol": str(self.symbol), "price": self.c.price,
            "volume": self.c.volume, "side": str(self.side), "tradeId": self.c.tradeId,
            "exchangeTimeNs": self.c.exchangeTimeNs, "tradeTimeNs": self.c.tradeTimeNs,
            "localTimeNs": self.c.localTimeNs, "seq": self.c.seq, "flags": self.c.flags,
        }

    def to_bytes(self):
        """The 64 bytes of the struct, as `TRADE_DTYPE` reads them in this process."""
        return (<char*>&self.c)[:sizeof(TradeStruct)]

    def __repr__(self):
        return (
            f"Trade(exchange={str(self.exchange)!r}, symbol={str(self.symbol)!r}, price={self.c.price!r}, "
            f"volume={self.c.volume!r}, side={str(self.side)!r}, tradeId={self.c.tradeId}, "
            f"exchangeTimeNs={self.c.exchangeTimeNs}, tradeTimeNs={self.c.tradeTimeNs}, "
            f"localTimeNs={self.c.localTimeNs}, seq={self.c.seq}, flags={self.c.flags})"
        )

    cdef tuple _key(self):
        return (
            self.c.exchange, self.c.symbol, self.c.price, self.c.volume, self.c.side, self.c.tradeId,
            self.c.exchangeTimeNs, self.c.tradeTimeNs, self.c.localTimeNs, self.c.seq, self.c.flags,
        )

    def __eq__(self, other):
        return self._key() == (<Trade>other)._key() if isinstance(other, Trade) else NotImplemented

    def __hash__(self):
        return hash(self._key())

    def __reduce__(self):
        return _trade_from_dict, (self.to_dict(),)


cdef Ticker ticker_of(const TickerStruct* source):
    """A Ticker with a copy of the struct, whose symbol and exchange must be ones of this process."""
    cdef Ticker ticker = Ticker.__new__(Ticker)
    ticker.c = source[0]
    return ticker


cdef Trade trade_of(const TradeStruct* source):
    """A Trade with a copy of the struct, whose symbol, exchange and side must be ones of this process."""
    cdef Trade trade = Trade.__new__(Trade)
    trade.c = source[0]
    return trade


def _ticker_from_dict(fields):
    return Ticker(**fields)


def _trade_from_dict(fields):
    return Trade(**fields)


def _from_buffer(kind, buffer):
    cdef const unsigned char[::1] view = memoryview(buffer).cast("B")
    cdef Py_ssize_t count, index
    cdef const TickerStruct* ticker
    cdef const TradeStruct* trade
    if view.shape[0] % 64:
        raise ValueError(f"a batch must be a multiple of 64 bytes, was {view.shape[0]}")
    count = view.shape[0] // 64
    batch = []
    for index in range(count):
        if kind is Ticker:
            ticker = <const TickerStruct*>&view[index * 64]
            _check(ticker.symbol, ticker.exchange, 0)
            batch.append(ticker_of(ticker))
        else:
            trade = <const TradeStruct*>&view[index * 64]
            _check(trade.symbol, trade.exchange, trade.side)
            batch.append(trade_of(trade))
    return batch


cdef int _check(int32_t symbol, uint8_t exchange, uint8_t side) except -1:
    pair_of_id(symbol)
    Exchange(exchange)
    Side(side)
    return 0


def tickers_to_array(tickers):
    """A numpy array of `TICKER_DTYPE` from tickers, shape (n,)."""
    return np.frombuffer(b"".join([(<Ticker?>ticker).to_bytes() for ticker in tickers]), TICKER_DTYPE)


def trades_to_array(trades):
    """A numpy array of `TRADE_DTYPE` from trades, shape (n,)."""
    return np.frombuffer(b"".join([(<Trade?>trade).to_bytes() for trade in trades]), TRADE_DTYPE)


def tickers_from_array(array):
    """Tickers from an array of `TICKER_DTYPE`, or its bytes, of this process.

    Raises
    ------
    ValueError
        If the size is no multiple of 64 bytes, or a symbol or an exchange is not one of this process.
    """
    return _from_buffer(Ticker, array)


def trades_from_array(array):
    """Trades from an array of `TRADE_DTYPE`, or its bytes, of this process. Raises as `tickers_from_array`."""
    return _from_buffer(Trade, array)


assert TICKER_DTYPE.itemsize == sizeof(TickerStruct) and TRADE_DTYPE.itemsize == sizeof(TradeStruct)
