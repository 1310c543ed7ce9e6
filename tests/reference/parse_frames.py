"""Hand-written frames of every shape that the parsers read, and of those that they must tell apart."""

EVENTS: dict[str, list[bytes]] = {
    "kraken": [
        b'{"channel":"ticker","type":"update","data":[{"symbol":"BTC/USD","bid":64001.10,"bid_qty":0.25000000,'
        b'"ask":64001.2,"ask_qty":1.5e-05,"last":64001.1,"volume":12.5,"vwap":63990.1,"low":63000,"high":65000,'
        b'"change":-12.5,"change_pct":-0.02,"timestamp":"2026-03-01T12:30:45.123456Z"}]}',
        b'{"data":[{"ask":"0.5","ask_qty":"2","bid_qty":"3","bid":"0.25","symbol":"ETH/USDT"}],"type":"snapshot",'
        b'"channel":"ticker"}',
        b'{"channel":"trade","type":"snapshot","data":[{"symbol":"SOL/EUR","side":"buy","price":150.25,"qty":2,'
        b'"ord_type":"limit","trade_id":77,"timestamp":"2026-03-01T12:30:45Z"},{"symbol":"SOL/USD","side":"sell",'
        b'"price":1.502E2,"qty":0.125,"ord_type":"market","trade_id":78,"timestamp":"2026-03-01T12:30:45.1+01:00"}]}',
        b'[340,{"a":["30001.5",12,"12.41"],"b":["30001.4",0,"0.08"],"c":["30001.5","0.1"],"v":["1","2"],'
        b'"t":[5,6]},"ticker","XBT/USD"]',
        b'[119,[["0.07","10.5","1616333924.737428","b","m",""],["0.08","1","1616333925","s","l",""]],"trade",'
        b'"XDG/USD"]',
        b'[119,[["0.07","10.5","1616333924.7","b","m",""]],[["0.08","1","1616333925","s","l",""]],"trade","ETH/XBT"]',
    ],
    "binance": [
        b'{"u":400900217,"s":"BNBUSDT","b":"250.35190000","B":"31.21000000","a":"250.36520000","A":"40.66000000"}',
        b'{"stream":"btcusdt@bookTicker","data":{"A":"0.5","a":"64001.21","B":"7","b":"64001.20","s":"BTCUSDT","u":7}}',
        b'{"e":"trade","E":1672515782136,"s":"BNBBTC","t":12345,"p":"0.001","q":"100","T":1672515782135,"m":true,'
        b'"M":true}',
        b'{"stream":"ethusdt@trade","data":{"e":"trade","E":1639351062244000,"s":"ETHUSDT","t":70529,"p":"4149.74",'
        b'"q":"0.4387","b":70385,"a":70386,"T":1639351062243999,"m":false,"M":true}}',
        b'{"e":"aggTrade","E":1672515782136,"s":"BNBBTC","a":12345,"p":0.001,"q":100,"f":100,"l":105,'
        b'"T":1672515782136,"m":true,"M":true}',
        b'{"stream":"ethusdt@aggTrade","data":{"e":"aggTrade","E":1675759520848,"s":"ETHUSDT","a":226532,'
        b'"p":"1632.46","q":"0.34305","f":228423,"l":228423,"T":1675759520847,"m":false,"M":true,"st":1}}',
    ],
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
    "kraken": [
        b'{"channel":"heartbeat"}',
        b'{"channel":"status","data":[{"system":"online","connection_id":13834774380200032777}],"type":"update"}',
        b'{"method":"subscribe","result":{"channel":"ticker","symbol":"BTC/USD","snapshot":true},"success":true}',
        b'{"error":"Currency pair not supported XBT/USD","method":"subscribe","success":false}',
        b'{"method":"pong","req_id":1}',
        b'{"error":"EGeneral:Invalid arguments"}',
        b'{"event":"subscriptionStatus","channelName":"ticker","pair":"XBT/USD","status":"subscribed"}',
        b'{"event":"heartbeat"}',
        b"CloudFlare WebSocket proxy restarting",
    ],
    "binance": [
        b'{"result":null,"id":1}',
        b'{"error":{"code":2,"msg":"Invalid request"},"id":1}',
        b'{"id":"x"}',
        b'{"id":1,"status":200,"result":{},"rateLimits":[]}',
        b'{"method":"SUBSCRIBE","params":["btcusdt@trade"],"id":1}',
        b'{"e":"serverShutdown","E":1770123456789}',
        b'{"event":{"e":"serverShutdown","E":1770123456789}}',
        b'{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1770123456789}}',
    ],
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
    "kraken": [
        b'{"channel":"book","type":"update","data":[{"symbol":"BTC/USD","bids":[{"price":1.0,"qty":2.0}]}]}',
        b'{"channel":"instrument","type":"snapshot","data":{"assets":[],"pairs":[]}}',
        b'[1,{"as":[["1.0","2.0","3.0"]]},"book-10","XBT/USD"]',
        b'[[{"O1":{"status":"open"}}],"openOrders",{"sequence":1}]',
        b"[]",
        b"{}",
        b"null",
        b"12.5e3",
        b'"trade"',
    ],
    "binance": [
        b'{"e":"24hrTicker","E":1,"s":"BNBBTC","p":"1","b":"1","B":"1","a":"1","A":"1","u":5}',
        b'{"stream":"btcusdt@depth5","data":{"lastUpdateId":160,"bids":[["0.0024","10"]],"asks":[]}}',
        b'{"e":"depthUpdate","E":1,"s":"BNBBTC","U":1,"u":2,"b":[],"a":[]}',
        b'{"subscriptionId":0,"event":{"e":"executionReport","s":"ETHBTC"}}',
        b'[{"e":"24hrMiniTicker","s":"BNBBTC"}]',
        b"[]",
        b"{}",
        b"true",
    ],
    "coinbase": [
        b'{"type":"l2update","product_id":"BTC-USD","changes":[["buy","1","2"]],"time":"2026-09-30T02:03:13.1Z"}',
        b'{"type":"received","product_id":"BTC-USD","sequence":10,"side":"buy","size":"1","price":"2"}',
        b'{"type":"status","currencies":[],"products":[]}',
        b'{"channel":"l2_data","client_id":"","timestamp":"2026-09-30T02:37:15Z","sequence_num":3,"events":[]}',
        b'{"channel":"user","client_id":"","timestamp":"x","sequence_num":"y","events":null}',
        b'{"products":[]}',
        b"[]",
        b"{}",
        b'"ticker"',
    ],
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
