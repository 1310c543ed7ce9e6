"""Hand-written frames of Coinbase: Advanced Trade and Exchange, for parse_frames.py."""

EVENTS: dict[str, list[bytes]] = {
    "coinbase": [
        b'{"channel":"ticker","timestamp":"2026-08-09T21:06:12.591505938Z","sequence_num":1021,"events":[{"type":"update",'
        b'"tickers":[{"type":"ticker","product_id":"ETH-USD","price":"1919.38","volume_24_h":"19989.3959153",'
        b'"low_24_h":"1911.04","high_24_h":"1925","low_52_w":"1505","high_52_w":"4955.9",'
        b'"price_percent_chg_24_h":"-0.01667483038571","best_bid":"1919.24","best_ask":"1919.38",'
        b'"best_bid_quantity":"1.29786526","best_ask_quantity":"0.01194407"}]}]}',
        b'{"channel":"ticker","client_id":"","timestamp":"2026-04-07T14:30:03Z","sequence_num":0,"events":['
        b'{"type":"snapshot","tickers":[{"type":"ticker","product_id":"BTC-USD","price":"68900.50",'
        b'"best_bid":"68900.00","best_bid_quantity":"1.50000000","best_ask":"68901.00","best_ask_quantity":"0.5"},'
        b'{"best_ask_quantity":"3","best_ask":2.5e0,"best_bid_quantity":"1e-3","best_bid":2.25,'
        b'"product_id":"BTC-PERP-INTX"}]},{"tickers":[{"product_id":"BIT-24APR26-CDE","best_bid":"68900",'
        b'"best_bid_quantity":"2","best_ask":"68905","best_ask_quantity":"7"}],"type":"update"}]}',
        b'{"channel":"ticker_batch","timestamp":"2023-02-09T20:30:37.1+02:00","sequence_num":7,"events":['
        b'{"type":"update","tickers":[{"type":"ticker","product_id":"ETH-USDT","price":"21932.98"},{"type":"ticker",'
        b'"product_id":"ETH-USDC","best_bid":"21931.98","best_bid_quantity":"8000.21","best_ask":"21933.98",'
        b'"best_ask_quantity":"8038.07770938"}]}]}',
        b'{"channel":"market_trades","timestamp":"2026-08-09T21:06:12.255598355Z","sequence_num":1006,"events":['
        b'{"type":"update","trades":[{"product_id":"BTC-USD","trade_id":"1068572137","price":"65083.67",'
        b'"size":"0.00038028","time":"2026-08-09T21:06:12.15207Z","side":"SELL"}]}]}',
        b'{"channel":"market_trades","client_id":"","timestamp":"2026-09-30T02:37:15.05Z","sequence_num":5,"events":['
        b'{"type":"snapshot","trades":[{"trade_id":"995098701","product_id":"BTC-USD","price":"68900.00",'
        b'"size":"0.05000000","side":"SELL","time":"2026-09-30T02:37:14.800000Z"},{"trade_id":"995098700",'
        b'"product_id":"ETH-USD","price":"68900.50","size":"0.00150000","side":"BUY",'
        b'"time":"2026-09-30T02:37:14Z"}]}]}',
        b'{"type":"ticker","sequence":135557035414,"product_id":"BTC-USD","price":"81228.94","open_24h":"77026.99",'
        b'"volume_24h":"10973.39542777","low_24h":"76929.29","high_24h":"82283","volume_30d":"210811.57557364",'
        b'"best_bid":"81222.50","best_bid_size":"0.00000091","best_ask":"81228.97","best_ask_size":"0.16229192",'
        b'"side":"sell","time":"2026-09-04T00:21:02.905270Z","trade_id":1088490716,"last_size":"0.013388"}',
        b'{"best_ask":"6800","best_bid":"5200","price":"6800.00000000","product_id":"BTC-USD","sequence":47332707,'
        b'"type":"ticker"}',
        b'{"type":"match","trade_id":1100243480,"maker_order_id":"ab230cab-6743-4d7b-8eac-d38ed14e1955",'
        b'"taker_order_id":"84a54910-259e-4b26-98a5-90c7584d478e","side":"sell","size":"0.00136465",'
        b'"price":"83420.2","product_id":"BTC-USD","sequence":136999327713,"time":"2026-09-30T02:03:12.795074Z"}',
        b'{"type":"last_match","trade_id":147587438,"maker_order_id":"3dbaddb1","taker_order_id":"421f3aaa",'
        b'"side":"buy","size":"0.00031874","price":"57786.82","product_id":"BTC-USD","sequence":22962703070,'
        b'"time":"2021-03-21T03:47:27.112041Z"}',
        b'{"type":"match","side":"sell","product_id":"BTC-USDC","time":"2021-03-05T16:37:13.3Z","sequence":5641897876,'
        b'"user_id":"54fc141576dcf32596000133","trade_id":5455505,"size":"0.00021019","price":"47338.46",'
        b'"taker_fee_rate":"0.005"}',
    ],
}

CONTROL: dict[str, list[bytes]] = {
    "coinbase": [
        b'{"type":"subscriptions","channels":[{"name":"ticker","product_ids":["BTC-USD"],"account_ids":null}]}',
        b'{"type":"heartbeat","last_trade_id":1,"product_id":"BTC-USD","sequence":2,"time":"2026-09-30T02:03:13.000000Z"}',
        b'{"type":"error","message":"Failed to subscribe","reason":"user is not valid"}',
        b'{"type":"subscribe","product_ids":["BTC-USD"],"channel":"ticker"}',
        b'{"type":"unsubscribe","product_ids":["BTC-USD"],"channels":["matches"]}',
        b'{"channel":"heartbeats","client_id":"","timestamp":"2026-09-30T02:37:15.05Z","sequence_num":1,"events":['
        b'{"current_time":"2026-09-30 02:37:15.057778606 +0000 UTC m=+21697.195984854","heartbeat_counter":42}]}',
        b'{"channel":"subscriptions","client_id":"","timestamp":"2026-09-30T02:37:15Z","sequence_num":0,"events":['
        b'{"subscriptions":{"level2":["BTC-USD"]}}]}',
    ],
}

OTHER: dict[str, list[bytes]] = {
    "coinbase": [
        b'{"type":"l2update","product_id":"BTC-USD","changes":[["buy","1","2"]],"time":"2026-09-30T02:03:13.1Z"}',
        b'{"type":"received","product_id":"BTC-USD","sequence":10,"side":"buy","size":"1","price":"2"}',
        b'{"type":"status","currencies":[],"products":[]}',
        b'{"channel":"l2_data","client_id":"","timestamp":"2026-09-30T02:37:15Z","sequence_num":3,"events":[]}',
        b'{"channel":"user","client_id":"","timestamp":"x","sequence_num":9,"events":null}',
        b'{"products":[]}',
        b"[]",
        b"{}",
        b'"ticker"',
    ],
}

ADVANCED_DAY = (
    b'"price":"1919.38","volume_24_h":"19989.3959153","low_24_h":"1911.04","high_24_h":"1925","low_52_w":"1505",'
    b'"high_52_w":"4955.9","price_percent_chg_24_h":"-0.01667483038571"'
)
UNQUOTED_TICKER = b'{"type":"ticker","product_id":"SOL-USD",%s}' % ADVANCED_DAY
ADVANCED_TICKER = (
    b'{"type":"ticker","product_id":"ETH-USD",%s,"best_bid":"1919.24","best_ask":"1919.38",'
    b'"best_bid_quantity":"1.29786526","best_ask_quantity":"0.01194407"}' % ADVANCED_DAY
)
# In the order of the venue's documentation.
DOCUMENTED_TICKER = (
    b'{"type":"ticker","product_id":"BTC-PERP-INTX",%s,"best_bid":"68900.00","best_bid_quantity":"1.50000000",'
    b'"best_ask":"68901.00","best_ask_quantity":"0.5"}' % ADVANCED_DAY
)
ADVANCED_TRADE = (
    b'{"product_id":"BTC-USD","trade_id":"1068572137","price":"65083.67","size":"0.00038028",'
    b'"time":"2026-08-09T21:06:12.15207Z","side":"SELL"}'
)
DOCUMENTED_TRADE = (
    b'{"trade_id":"995098700","product_id":"BIT-24APR26-CDE","price":"68900.50","size":"0.00150000","side":"BUY",'
    b'"time":"2026-08-09T21:06:12.789012Z"}'
)
EXCHANGE_TICKER = (
    b'{"type":"ticker","sequence":135557035414,"product_id":"BTC-USD","price":"81228.94","open_24h":"77026.99",'
    b'"volume_24h":"10973.39542777","low_24h":"76929.29","high_24h":"82283","volume_30d":"210811.57557364",'
    b'"best_bid":"81222.50","best_bid_size":"0.00000091","best_ask":"81228.97","best_ask_size":"0.16229192",'
    b'"side":"sell","time":"2026-09-04T00:21:02.905270Z","trade_id":1088490716,"last_size":"0.013388"}'
)
MATCH = (
    b'{"type":"match","trade_id":1100243480,"maker_order_id":"ab230cab-6743-4d7b-8eac-d38ed14e1955",'
    b'"taker_order_id":"84a54910-259e-4b26-98a5-90c7584d478e","side":"sell","size":"0.00136465","price":"83420.21",'
    b'"product_id":"BTC-USD","sequence":136999327713,"time":"2026-09-30T02:03:12.795074Z"}'
)


def advanced(channel: bytes, kind: bytes, *entries: bytes, client: bytes = b"") -> bytes:
    """A frame of Coinbase Advanced Trade with one event."""
    key = b"trades" if channel == b"market_trades" else b"tickers"
    return (
        b'{"channel":"%s",%s"timestamp":"2026-08-09T21:06:12.591505938Z","sequence_num":1021,"events":['
        b'{"type":"%s","%s":[%s]}]}' % (channel, client, kind, key, b",".join(entries))
    )


TRADES = advanced(b"market_trades", b"snapshot", DOCUMENTED_TRADE, ADVANCED_TRADE.replace(b"SELL", b"BUY"))
COINBASE = [
    advanced(b"ticker", b"update", ADVANCED_TICKER),
    advanced(b"ticker", b"snapshot", DOCUMENTED_TICKER, ADVANCED_TICKER, client=b'"client_id":"",'),
    advanced(b"ticker_batch", b"update", UNQUOTED_TICKER, DOCUMENTED_TICKER),
    advanced(b"market_trades", b"update", ADVANCED_TRADE),
    TRADES,
    TRADES[:-2] + b',{"type":"update","trades":[%s]}]}' % ADVANCED_TRADE,
    EXCHANGE_TICKER,
    EXCHANGE_TICKER.replace(b'"best_bid_size":"0.00000091",', b"").replace(b'"best_ask_size":"0.16229192",', b""),
    MATCH,
    MATCH.replace(b'"match"', b'"last_match"').replace(b'"sell"', b'"buy"'),
]

USUAL: dict[str, list[bytes]] = {"coinbase": COINBASE}
