"""Hand-written frames of Kraken Futures, for parse_frames.py."""

EVENTS: dict[str, list[bytes]] = {
    "kraken_future": [
        b'{"time":1791518715420,"product_id":"PF_XBTUSD","funding_rate":2.062200583889875,'
        b'"funding_rate_prediction":-1.58E-4,"relative_funding_rate":0.0000250402625,'
        b'"relative_funding_rate_prediction":0.000019225875,"next_funding_rate_time":1791522000000,"leverage":"100x",'
        b'"premium":-0.0,"feed":"ticker","bid":82380.0,"ask":82381.0,"bid_size":3.0E-4,"ask_size":0.4671,'
        b'"volume":7779.8361,"dtm":0,"index":82367.95,"last":82382.0,"change":-0.3,"suspended":false,'
        b'"tag":"perpetual","pair":"XBT:USD","openInterest":2370.562,"markPrice":82380.4640336367,"maturityTime":0,'
        b'"post_only":false,"volumeQuote":636625710.8256,"open":82634.0,"high":83262.0,"low":80320.0}',
        b'{"feed":"ticker","product_id":"FI_XBTUSD_210625","bid":60.57,"ask":60.62,"bid_size":10000.0,'
        b'"ask_size":150.0,"volume":66428.0,"dtm":88,"leverage":"50x","index":60.31,"premium":0.5,"last":60.69,'
        b'"time":1554076800684,"change":0.4,"suspended":false,"tag":"quarter","pair":"XBT:USD","openInterest":1.0,'
        b'"markPrice":60.6,"maturityTime":1561734000000}',
        b'{"feed":"ticker_lite","product_id":"PI_ETHUSD","bid":1753.45,"ask":1760.35,"change":13.448175559936647,'
        b'"premium":-0.0,"volume":6899673.0,"tag":"perpetual","pair":"ETH:USD","dtm":0,"maturityTime":0}',
        b'{"feed":"trade","product_id":"PI_XBTUSD","uid":"05af78ac-a774-478c-a50c-8b9c234e071e","side":"sell",'
        b'"type":"fill","seq":653355,"time":1612266317519,"qty":15000,"price":34969.5}',
        b'{"product_id":"PF_XBTUSD","feed":"trade","uid":"4fba15f2-e9e2-4811-8016-2c8b5d1e4c6e","side":"buy",'
        b'"type":"liquidation","time":1791518719257,"qty":9.67535E-4,"price":82380.0,"seq":842137}',
        b'{"feed":"trade_snapshot","product_id":"FF_XBTUSD_260327","trades":[{"feed":"trade",'
        b'"product_id":"FF_XBTUSD_260327","uid":"caa9c653","side":"sell","type":"block","seq":655508,'
        b'"time":1612269657781,"qty":440,"price":34893},{"price":34891,"qty":9643,"time":1612269656839,'
        b'"side":"buy","product_id":"FF_XBTUSD_260327"}]}',
    ],
}

CONTROL: dict[str, list[bytes]] = {
    "kraken_future": [
        b'{"event":"info","version":1}',
        b'{"event":"subscribed","feed":"ticker","product_ids":["PI_XBTUSD"]}',
        b'{"event":"alert","message":"Bad request"}',
        b'{"event":"error","message":"Invalid feed"}',
        b'{"event":"challenge","message":"226aee50-88fc-4618-a42a-34f7709570b2"}',
        b'{"event":"subscribe","feed":"trade","product_ids":["pi_xbtusd"]}',
        b'{"feed":"heartbeat","time":1791518718452}',
    ],
}

OTHER: dict[str, list[bytes]] = {
    "kraken_future": [
        b'{"feed":"book","product_id":"PF_XBTUSD","side":"buy","seq":1,"price":1.0,"qty":0.0,"timestamp":5}',
        b'{"feed":"book_snapshot","product_id":"PF_XBTUSD","timestamp":5,"seq":1,"tickSize":null,"bids":[],"asks":[]}',
        b'{"feed":"fills","username":"x","fills":[]}',
        b'{"result":"success","serverTime":"2026-09-30T02:37:15Z"}',
        b"[]",
        b"{}",
        b"null",
    ],
}

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

USUAL: dict[str, list[bytes]] = {"kraken_future": KRAKEN_FUTURE}
