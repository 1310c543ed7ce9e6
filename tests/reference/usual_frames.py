"""Hand-written frames in the venues' usual spelling: each is read by a template, not by the general path."""

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

FUNDING = (
    b'"funding_rate":2.062200583889875,"funding_rate_prediction":-1.58E-4,"relative_funding_rate":0.0000250402625,'
    b'"relative_funding_rate_prediction":1.045432180096817E-5,"next_funding_rate_time":1791522000000'
)
QUOTE = b'"bid":82380.0,"ask":82381.0,"bid_size":0.0003,"ask_size":0.4671,"volume":7779.8361,"dtm":-18140'
STATE = (
    b'"suspended":false,"tag":"perpetual","pair":"XBT:USD","openInterest":2370.562,"markPrice":82380.4640336367,'
    b'"maturityTime":0'
)
# As it grew over the years.
TICKER_2026 = (
    b'{"time":1791518715420,"product_id":"PF_XBTUSD",%s,"leverage":"100x","premium":-0.0,"feed":"ticker",%s,'
    b'"index":82367.95,"last":82382.0,"change":-0.3,%s,"post_only":true,"volumeQuote":636625710.8256,"open":82634.0,'
    b'"high":83262.0,"low":80320.0}' % (FUNDING, QUOTE, STATE)
)
TICKER_2023 = (
    b'{"time":1676393235406,"product_id":"PI_XBTUSD",%s,"feed":"ticker",%s,"leverage":"50x","index":21984.54,'
    b'"premium":0,"last":21983.5,"change":1.9974017538161748,%s,"post_only":false,"volumeQuote":31403908.0}'
    % (FUNDING, QUOTE, STATE)
)
TICKER_2022 = (
    b'{"time":1654164693039,"product_id":"FI_XBTUSD_220624","feed":"ticker",%s,"leverage":"50x","index":29920.98,'
    b'"premium":-0.1,"last":29876.0,"change":-5.511014121479518,%s,"post_only":false}' % (QUOTE, STATE)
)
TICKER_2021 = (
    b'{"time":1627462526224,"feed":"ticker","product_id":"PI_XBTUSD",%s,"leverage":"50x","index":39511.15,'
    b'"premium":0.7,"last":39804.0,"change":5.89408994772338,"funding_rate":2.1914353639e-8,'
    b'"funding_rate_prediction":2.2099858377e-8,%s,"relative_funding_rate":0.000874516826041667,'
    b'"relative_funding_rate_prediction":0.000874329625,"next_funding_rate_time":1627473600000}' % (QUOTE, STATE)
)
TICKER_2019 = (
    b'{"feed":"ticker","product_id":"FI_LTCUSD_190628",%s,"leverage":"50x","index":60.31,"premium":0.5,"last":60.69,'
    b'"time":1554076800684,"change":0.4,%s}' % (QUOTE, STATE)
)
TICKER_LITE = (
    b'{"feed":"ticker_lite","product_id":"PI_ETHUSD","bid":1753.45,"ask":1760.35,"change":13.448175559936647,'
    b'"premium":-0.0,"volume":6899673.0,"tag":"perpetual","pair":"ETH:USD","dtm":0,"maturityTime":0}'
)
FUTURES_TRADE = (
    b'{"feed":"trade","product_id":"PI_XBTUSD","uid":"05af78ac-a774-478c-a50c-8b9c234e071e","side":"sell",'
    b'"type":"fill","seq":653355,"time":1612266317519,"qty":15000.0,"price":34969.5}'
)
FUTURES_TRADE_2026 = (
    b'{"product_id":"PF_XBTUSD","feed":"trade","uid":"4fba15f2-e9e2-4811-8016-2c8b5d1e4c6e","side":"buy",'
    b'"type":"liquidation","time":1791518719257,"qty":0.0002,"price":82380.0,"seq":842137}'
)
KRAKEN_FUTURE = [
    TICKER_2026,
    TICKER_2023,
    TICKER_2022,
    TICKER_2021,
    TICKER_2019,
    TICKER_LITE,
    TICKER_LITE[:-1] + b',"volumeQuote":6899673.0}',
    FUTURES_TRADE,
    FUTURES_TRADE.replace(b'"uid":"05af78ac-a774-478c-a50c-8b9c234e071e",', b"").replace(b'"sell"', b'"buy"'),
    FUTURES_TRADE_2026,
    b'{"feed":"trade_snapshot","product_id":"PI_XBTUSD","trades":[%s,%s]}' % (FUTURES_TRADE, FUTURES_TRADE_2026),
]

USUAL: dict[str, list[bytes]] = {"coinbase": COINBASE, "kraken_future": KRAKEN_FUTURE}
