from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Exchange(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EXCHANGE_UNKNOWN: _ClassVar[Exchange]
    EXCHANGE_BINANCE: _ClassVar[Exchange]
    EXCHANGE_COINBASE: _ClassVar[Exchange]
    EXCHANGE_KRAKEN: _ClassVar[Exchange]
    EXCHANGE_OKX: _ClassVar[Exchange]
    EXCHANGE_IB: _ClassVar[Exchange]
    EXCHANGE_BINANCE_FUTURE: _ClassVar[Exchange]
    EXCHANGE_OKX_SWAP: _ClassVar[Exchange]
    EXCHANGE_KRAKEN_FUTURE: _ClassVar[Exchange]
    EXCHANGE_SIM: _ClassVar[Exchange]

class Channel(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CHANNEL_UNKNOWN: _ClassVar[Channel]
    CHANNEL_TICKER: _ClassVar[Channel]
    CHANNEL_TRADE: _ClassVar[Channel]
    CHANNEL_BOOK: _ClassVar[Channel]
    CHANNEL_KLINE: _ClassVar[Channel]
    CHANNEL_MY_ORDER: _ClassVar[Channel]
    CHANNEL_MY_ORDER_BATCH: _ClassVar[Channel]
    CHANNEL_MY_TRADE: _ClassVar[Channel]
    CHANNEL_BALANCE: _ClassVar[Channel]
    CHANNEL_POSITION: _ClassVar[Channel]
    CHANNEL_FUNDING: _ClassVar[Channel]

class Side(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SIDE_UNKNOWN: _ClassVar[Side]
    SIDE_BUY: _ClassVar[Side]
    SIDE_SELL: _ClassVar[Side]

class OrderType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ORDER_TYPE_UNKNOWN: _ClassVar[OrderType]
    ORDER_TYPE_LIMIT: _ClassVar[OrderType]
    ORDER_TYPE_MARKET: _ClassVar[OrderType]

class OrderStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ORDER_STATUS_UNKNOWN: _ClassVar[OrderStatus]
    ORDER_STATUS_NONE: _ClassVar[OrderStatus]
    ORDER_STATUS_NEW: _ClassVar[OrderStatus]
    ORDER_STATUS_FAILED: _ClassVar[OrderStatus]
    ORDER_STATUS_PARTIAL_FILLED: _ClassVar[OrderStatus]
    ORDER_STATUS_FILLED: _ClassVar[OrderStatus]
    ORDER_STATUS_CANCELED: _ClassVar[OrderStatus]
    ORDER_STATUS_CLOSED: _ClassVar[OrderStatus]
    ORDER_STATUS_EXPIRED: _ClassVar[OrderStatus]
EXCHANGE_UNKNOWN: Exchange
EXCHANGE_BINANCE: Exchange
EXCHANGE_COINBASE: Exchange
EXCHANGE_KRAKEN: Exchange
EXCHANGE_OKX: Exchange
EXCHANGE_IB: Exchange
EXCHANGE_BINANCE_FUTURE: Exchange
EXCHANGE_OKX_SWAP: Exchange
EXCHANGE_KRAKEN_FUTURE: Exchange
EXCHANGE_SIM: Exchange
CHANNEL_UNKNOWN: Channel
CHANNEL_TICKER: Channel
CHANNEL_TRADE: Channel
CHANNEL_BOOK: Channel
CHANNEL_KLINE: Channel
CHANNEL_MY_ORDER: Channel
CHANNEL_MY_ORDER_BATCH: Channel
CHANNEL_MY_TRADE: Channel
CHANNEL_BALANCE: Channel
CHANNEL_POSITION: Channel
CHANNEL_FUNDING: Channel
SIDE_UNKNOWN: Side
SIDE_BUY: Side
SIDE_SELL: Side
ORDER_TYPE_UNKNOWN: OrderType
ORDER_TYPE_LIMIT: OrderType
ORDER_TYPE_MARKET: OrderType
ORDER_STATUS_UNKNOWN: OrderStatus
ORDER_STATUS_NONE: OrderStatus
ORDER_STATUS_NEW: OrderStatus
ORDER_STATUS_FAILED: OrderStatus
ORDER_STATUS_PARTIAL_FILLED: OrderStatus
ORDER_STATUS_FILLED: OrderStatus
ORDER_STATUS_CANCELED: OrderStatus
ORDER_STATUS_CLOSED: OrderStatus
ORDER_STATUS_EXPIRED: OrderStatus

class Ticker(_message.Message):
    __slots__ = ("seq", "epoch", "resent", "exchange", "symbol", "exchange_time_ns", "local_time_ns", "bid_price", "bid_volume", "ask_price", "ask_volume", "venue_seq", "flags")
    SEQ_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    RESENT_FIELD_NUMBER: _ClassVar[int]
    EXCHANGE_FIELD_NUMBER: _ClassVar[int]
    SYMBOL_FIELD_NUMBER: _ClassVar[int]
    EXCHANGE_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    LOCAL_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    BID_PRICE_FIELD_NUMBER: _ClassVar[int]
    BID_VOLUME_FIELD_NUMBER: _ClassVar[int]
    ASK_PRICE_FIELD_NUMBER: _ClassVar[int]
    ASK_VOLUME_FIELD_NUMBER: _ClassVar[int]
    VENUE_SEQ_FIELD_NUMBER: _ClassVar[int]
    FLAGS_FIELD_NUMBER: _ClassVar[int]
    seq: int
    epoch: int
    resent: bool
    exchange: Exchange
    symbol: str
    exchange_time_ns: int
    local_time_ns: int
    bid_price: float
    bid_volume: float
    ask_price: float
    ask_volume: float
    venue_seq: int
    flags: int
    def __init__(self, seq: _Optional[int] = ..., epoch: _Optional[int] = ..., resent: bool = ..., exchange: _Optional[_Union[Exchange, str]] = ..., symbol: _Optional[str] = ..., exchange_time_ns: _Optional[int] = ..., local_time_ns: _Optional[int] = ..., bid_price: _Optional[float] = ..., bid_volume: _Optional[float] = ..., ask_price: _Optional[float] = ..., ask_volume: _Optional[float] = ..., venue_seq: _Optional[int] = ..., flags: _Optional[int] = ...) -> None: ...

class Trade(_message.Message):
    __slots__ = ("seq", "epoch", "resent", "exchange", "symbol", "exchange_time_ns", "local_time_ns", "trade_time_ns", "price", "volume", "trade_id", "side", "venue_seq", "flags")
    SEQ_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    RESENT_FIELD_NUMBER: _ClassVar[int]
    EXCHANGE_FIELD_NUMBER: _ClassVar[int]
    SYMBOL_FIELD_NUMBER: _ClassVar[int]
    EXCHANGE_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    LOCAL_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    TRADE_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    PRICE_FIELD_NUMBER: _ClassVar[int]
    VOLUME_FIELD_NUMBER: _ClassVar[int]
    TRADE_ID_FIELD_NUMBER: _ClassVar[int]
    SIDE_FIELD_NUMBER: _ClassVar[int]
    VENUE_SEQ_FIELD_NUMBER: _ClassVar[int]
    FLAGS_FIELD_NUMBER: _ClassVar[int]
    seq: int
    epoch: int
    resent: bool
    exchange: Exchange
    symbol: str
    exchange_time_ns: int
    local_time_ns: int
    trade_time_ns: int
    price: float
    volume: float
    trade_id: int
    side: Side
    venue_seq: int
    flags: int
    def __init__(self, seq: _Optional[int] = ..., epoch: _Optional[int] = ..., resent: bool = ..., exchange: _Optional[_Union[Exchange, str]] = ..., symbol: _Optional[str] = ..., exchange_time_ns: _Optional[int] = ..., local_time_ns: _Optional[int] = ..., trade_time_ns: _Optional[int] = ..., price: _Optional[float] = ..., volume: _Optional[float] = ..., trade_id: _Optional[int] = ..., side: _Optional[_Union[Side, str]] = ..., venue_seq: _Optional[int] = ..., flags: _Optional[int] = ...) -> None: ...

class BookSnapshot(_message.Message):
    __slots__ = ("seq", "epoch", "resent", "exchange", "symbol", "exchange_time_ns", "local_time_ns", "venue_seq", "flags", "bid_prices", "bid_volumes", "ask_prices", "ask_volumes")
    SEQ_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    RESENT_FIELD_NUMBER: _ClassVar[int]
    EXCHANGE_FIELD_NUMBER: _ClassVar[int]
    SYMBOL_FIELD_NUMBER: _ClassVar[int]
    EXCHANGE_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    LOCAL_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    VENUE_SEQ_FIELD_NUMBER: _ClassVar[int]
    FLAGS_FIELD_NUMBER: _ClassVar[int]
    BID_PRICES_FIELD_NUMBER: _ClassVar[int]
    BID_VOLUMES_FIELD_NUMBER: _ClassVar[int]
    ASK_PRICES_FIELD_NUMBER: _ClassVar[int]
    ASK_VOLUMES_FIELD_NUMBER: _ClassVar[int]
    seq: int
    epoch: int
    resent: bool
    exchange: Exchange
    symbol: str
    exchange_time_ns: int
    local_time_ns: int
    venue_seq: int
    flags: int
    bid_prices: _containers.RepeatedScalarFieldContainer[float]
    bid_volumes: _containers.RepeatedScalarFieldContainer[float]
    ask_prices: _containers.RepeatedScalarFieldContainer[float]
    ask_volumes: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, seq: _Optional[int] = ..., epoch: _Optional[int] = ..., resent: bool = ..., exchange: _Optional[_Union[Exchange, str]] = ..., symbol: _Optional[str] = ..., exchange_time_ns: _Optional[int] = ..., local_time_ns: _Optional[int] = ..., venue_seq: _Optional[int] = ..., flags: _Optional[int] = ..., bid_prices: _Optional[_Iterable[float]] = ..., bid_volumes: _Optional[_Iterable[float]] = ..., ask_prices: _Optional[_Iterable[float]] = ..., ask_volumes: _Optional[_Iterable[float]] = ...) -> None: ...

class Kline(_message.Message):
    __slots__ = ("seq", "epoch", "resent", "exchange", "symbol", "exchange_time_ns", "local_time_ns", "open_time_ns", "close_time_ns", "open", "high", "low", "close", "volume", "quote_volume", "trade_count", "venue_seq", "interval_s", "flags")
    SEQ_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    RESENT_FIELD_NUMBER: _ClassVar[int]
    EXCHANGE_FIELD_NUMBER: _ClassVar[int]
    SYMBOL_FIELD_NUMBER: _ClassVar[int]
    EXCHANGE_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    LOCAL_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    OPEN_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    CLOSE_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    OPEN_FIELD_NUMBER: _ClassVar[int]
    HIGH_FIELD_NUMBER: _ClassVar[int]
    LOW_FIELD_NUMBER: _ClassVar[int]
    CLOSE_FIELD_NUMBER: _ClassVar[int]
    VOLUME_FIELD_NUMBER: _ClassVar[int]
    QUOTE_VOLUME_FIELD_NUMBER: _ClassVar[int]
    TRADE_COUNT_FIELD_NUMBER: _ClassVar[int]
    VENUE_SEQ_FIELD_NUMBER: _ClassVar[int]
    INTERVAL_S_FIELD_NUMBER: _ClassVar[int]
    FLAGS_FIELD_NUMBER: _ClassVar[int]
    seq: int
    epoch: int
    resent: bool
    exchange: Exchange
    symbol: str
    exchange_time_ns: int
    local_time_ns: int
    open_time_ns: int
    close_time_ns: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    quote_volume: float
    trade_count: int
    venue_seq: int
    interval_s: int
    flags: int
    def __init__(self, seq: _Optional[int] = ..., epoch: _Optional[int] = ..., resent: bool = ..., exchange: _Optional[_Union[Exchange, str]] = ..., symbol: _Optional[str] = ..., exchange_time_ns: _Optional[int] = ..., local_time_ns: _Optional[int] = ..., open_time_ns: _Optional[int] = ..., close_time_ns: _Optional[int] = ..., open: _Optional[float] = ..., high: _Optional[float] = ..., low: _Optional[float] = ..., close: _Optional[float] = ..., volume: _Optional[float] = ..., quote_volume: _Optional[float] = ..., trade_count: _Optional[int] = ..., venue_seq: _Optional[int] = ..., interval_s: _Optional[int] = ..., flags: _Optional[int] = ...) -> None: ...

class Funding(_message.Message):
    __slots__ = ("seq", "epoch", "resent", "exchange", "symbol", "rate", "next_rate", "next_funding_time_us", "mark_price", "index_price", "timestamp_us", "local_timestamp_us")
    SEQ_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    RESENT_FIELD_NUMBER: _ClassVar[int]
    EXCHANGE_FIELD_NUMBER: _ClassVar[int]
    SYMBOL_FIELD_NUMBER: _ClassVar[int]
    RATE_FIELD_NUMBER: _ClassVar[int]
    NEXT_RATE_FIELD_NUMBER: _ClassVar[int]
    NEXT_FUNDING_TIME_US_FIELD_NUMBER: _ClassVar[int]
    MARK_PRICE_FIELD_NUMBER: _ClassVar[int]
    INDEX_PRICE_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_US_FIELD_NUMBER: _ClassVar[int]
    LOCAL_TIMESTAMP_US_FIELD_NUMBER: _ClassVar[int]
    seq: int
    epoch: int
    resent: bool
    exchange: Exchange
    symbol: str
    rate: float
    next_rate: float
    next_funding_time_us: int
    mark_price: float
    index_price: float
    timestamp_us: int
    local_timestamp_us: int
    def __init__(self, seq: _Optional[int] = ..., epoch: _Optional[int] = ..., resent: bool = ..., exchange: _Optional[_Union[Exchange, str]] = ..., symbol: _Optional[str] = ..., rate: _Optional[float] = ..., next_rate: _Optional[float] = ..., next_funding_time_us: _Optional[int] = ..., mark_price: _Optional[float] = ..., index_price: _Optional[float] = ..., timestamp_us: _Optional[int] = ..., local_timestamp_us: _Optional[int] = ...) -> None: ...

class MyOrder(_message.Message):
    __slots__ = ("seq", "epoch", "resent", "exchange", "symbol", "client_order_id", "order_id", "side", "order_type", "price", "amount", "filled", "avg_price", "status", "post_only", "reason", "strategy", "command_id", "timestamp_us", "local_timestamp_us")
    SEQ_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    RESENT_FIELD_NUMBER: _ClassVar[int]
    EXCHANGE_FIELD_NUMBER: _ClassVar[int]
    SYMBOL_FIELD_NUMBER: _ClassVar[int]
    CLIENT_ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    SIDE_FIELD_NUMBER: _ClassVar[int]
    ORDER_TYPE_FIELD_NUMBER: _ClassVar[int]
    PRICE_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    FILLED_FIELD_NUMBER: _ClassVar[int]
    AVG_PRICE_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    POST_ONLY_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    STRATEGY_FIELD_NUMBER: _ClassVar[int]
    COMMAND_ID_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_US_FIELD_NUMBER: _ClassVar[int]
    LOCAL_TIMESTAMP_US_FIELD_NUMBER: _ClassVar[int]
    seq: int
    epoch: int
    resent: bool
    exchange: Exchange
    symbol: str
    client_order_id: str
    order_id: str
    side: Side
    order_type: OrderType
    price: str
    amount: str
    filled: str
    avg_price: str
    status: OrderStatus
    post_only: bool
    reason: str
    strategy: str
    command_id: str
    timestamp_us: int
    local_timestamp_us: int
    def __init__(self, seq: _Optional[int] = ..., epoch: _Optional[int] = ..., resent: bool = ..., exchange: _Optional[_Union[Exchange, str]] = ..., symbol: _Optional[str] = ..., client_order_id: _Optional[str] = ..., order_id: _Optional[str] = ..., side: _Optional[_Union[Side, str]] = ..., order_type: _Optional[_Union[OrderType, str]] = ..., price: _Optional[str] = ..., amount: _Optional[str] = ..., filled: _Optional[str] = ..., avg_price: _Optional[str] = ..., status: _Optional[_Union[OrderStatus, str]] = ..., post_only: bool = ..., reason: _Optional[str] = ..., strategy: _Optional[str] = ..., command_id: _Optional[str] = ..., timestamp_us: _Optional[int] = ..., local_timestamp_us: _Optional[int] = ...) -> None: ...

class MyTrade(_message.Message):
    __slots__ = ("seq", "epoch", "resent", "exchange", "symbol", "trade_id", "order_id", "client_order_id", "side", "price", "amount", "fee", "fee_asset", "maker", "strategy", "command_id", "timestamp_us", "local_timestamp_us")
    SEQ_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    RESENT_FIELD_NUMBER: _ClassVar[int]
    EXCHANGE_FIELD_NUMBER: _ClassVar[int]
    SYMBOL_FIELD_NUMBER: _ClassVar[int]
    TRADE_ID_FIELD_NUMBER: _ClassVar[int]
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    CLIENT_ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    SIDE_FIELD_NUMBER: _ClassVar[int]
    PRICE_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    FEE_FIELD_NUMBER: _ClassVar[int]
    FEE_ASSET_FIELD_NUMBER: _ClassVar[int]
    MAKER_FIELD_NUMBER: _ClassVar[int]
    STRATEGY_FIELD_NUMBER: _ClassVar[int]
    COMMAND_ID_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_US_FIELD_NUMBER: _ClassVar[int]
    LOCAL_TIMESTAMP_US_FIELD_NUMBER: _ClassVar[int]
    seq: int
    epoch: int
    resent: bool
    exchange: Exchange
    symbol: str
    trade_id: str
    order_id: str
    client_order_id: str
    side: Side
    price: str
    amount: str
    fee: str
    fee_asset: str
    maker: bool
    strategy: str
    command_id: str
    timestamp_us: int
    local_timestamp_us: int
    def __init__(self, seq: _Optional[int] = ..., epoch: _Optional[int] = ..., resent: bool = ..., exchange: _Optional[_Union[Exchange, str]] = ..., symbol: _Optional[str] = ..., trade_id: _Optional[str] = ..., order_id: _Optional[str] = ..., client_order_id: _Optional[str] = ..., side: _Optional[_Union[Side, str]] = ..., price: _Optional[str] = ..., amount: _Optional[str] = ..., fee: _Optional[str] = ..., fee_asset: _Optional[str] = ..., maker: bool = ..., strategy: _Optional[str] = ..., command_id: _Optional[str] = ..., timestamp_us: _Optional[int] = ..., local_timestamp_us: _Optional[int] = ...) -> None: ...

class MyOrderBatch(_message.Message):
    __slots__ = ("seq", "epoch", "resent", "exchange", "orders")
    SEQ_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    RESENT_FIELD_NUMBER: _ClassVar[int]
    EXCHANGE_FIELD_NUMBER: _ClassVar[int]
    ORDERS_FIELD_NUMBER: _ClassVar[int]
    seq: int
    epoch: int
    resent: bool
    exchange: Exchange
    orders: _containers.RepeatedCompositeFieldContainer[MyOrder]
    def __init__(self, seq: _Optional[int] = ..., epoch: _Optional[int] = ..., resent: bool = ..., exchange: _Optional[_Union[Exchange, str]] = ..., orders: _Optional[_Iterable[_Union[MyOrder, _Mapping]]] = ...) -> None: ...

class Gap(_message.Message):
    __slots__ = ("exchange", "channel", "symbol", "reason", "lost", "source", "timestamp_us")
    EXCHANGE_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    SYMBOL_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    LOST_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_US_FIELD_NUMBER: _ClassVar[int]
    exchange: Exchange
    channel: Channel
    symbol: str
    reason: str
    lost: int
    source: str
    timestamp_us: int
    def __init__(self, exchange: _Optional[_Union[Exchange, str]] = ..., channel: _Optional[_Union[Channel, str]] = ..., symbol: _Optional[str] = ..., reason: _Optional[str] = ..., lost: _Optional[int] = ..., source: _Optional[str] = ..., timestamp_us: _Optional[int] = ...) -> None: ...

class Stale(_message.Message):
    __slots__ = ("exchange", "channel", "symbol", "silent_s", "timestamp_us")
    EXCHANGE_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    SYMBOL_FIELD_NUMBER: _ClassVar[int]
    SILENT_S_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_US_FIELD_NUMBER: _ClassVar[int]
    exchange: Exchange
    channel: Channel
    symbol: str
    silent_s: float
    timestamp_us: int
    def __init__(self, exchange: _Optional[_Union[Exchange, str]] = ..., channel: _Optional[_Union[Channel, str]] = ..., symbol: _Optional[str] = ..., silent_s: _Optional[float] = ..., timestamp_us: _Optional[int] = ...) -> None: ...

class Reconnected(_message.Message):
    __slots__ = ("exchange", "channel", "attempts", "down_s", "timestamp_us")
    EXCHANGE_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    DOWN_S_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_US_FIELD_NUMBER: _ClassVar[int]
    exchange: Exchange
    channel: Channel
    attempts: int
    down_s: float
    timestamp_us: int
    def __init__(self, exchange: _Optional[_Union[Exchange, str]] = ..., channel: _Optional[_Union[Channel, str]] = ..., attempts: _Optional[int] = ..., down_s: _Optional[float] = ..., timestamp_us: _Optional[int] = ...) -> None: ...

class TopicState(_message.Message):
    __slots__ = ("topic", "seq", "value")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    topic: bytes
    seq: int
    value: bytes
    def __init__(self, topic: _Optional[bytes] = ..., seq: _Optional[int] = ..., value: _Optional[bytes] = ...) -> None: ...

class Heartbeat(_message.Message):
    __slots__ = ("topics",)
    TOPICS_FIELD_NUMBER: _ClassVar[int]
    topics: _containers.RepeatedCompositeFieldContainer[TopicState]
    def __init__(self, topics: _Optional[_Iterable[_Union[TopicState, _Mapping]]] = ...) -> None: ...

class Hello(_message.Message):
    __slots__ = ("topics",)
    TOPICS_FIELD_NUMBER: _ClassVar[int]
    topics: _containers.RepeatedCompositeFieldContainer[TopicState]
    def __init__(self, topics: _Optional[_Iterable[_Union[TopicState, _Mapping]]] = ...) -> None: ...

class Control(_message.Message):
    __slots__ = ("seq", "epoch", "heartbeat", "hello", "gap", "stale", "reconnected")
    SEQ_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    HELLO_FIELD_NUMBER: _ClassVar[int]
    GAP_FIELD_NUMBER: _ClassVar[int]
    STALE_FIELD_NUMBER: _ClassVar[int]
    RECONNECTED_FIELD_NUMBER: _ClassVar[int]
    seq: int
    epoch: int
    heartbeat: Heartbeat
    hello: Hello
    gap: Gap
    stale: Stale
    reconnected: Reconnected
    def __init__(self, seq: _Optional[int] = ..., epoch: _Optional[int] = ..., heartbeat: _Optional[_Union[Heartbeat, _Mapping]] = ..., hello: _Optional[_Union[Hello, _Mapping]] = ..., gap: _Optional[_Union[Gap, _Mapping]] = ..., stale: _Optional[_Union[Stale, _Mapping]] = ..., reconnected: _Optional[_Union[Reconnected, _Mapping]] = ...) -> None: ...
