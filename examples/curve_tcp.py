"""Two hosts, here two processes without a common root: market data and commands over tcp with CURVE keys.

Each side has a key pair of its own and knows the other's public key. A third one, without a key, gets nothing.
"""

import asyncio
import sys
import tempfile
from pathlib import Path

import zmq

from hftpy.ipc import IPCCommand, IPCCommandSystem, IPCPublisher, IPCSubscriber, TcpEndpoints
from hftpy.ipc.curve_keys import add_peer, new_key_pair


def make_keys(folders: dict[str, Path]) -> None:
    """What `hftpy keys new NAME` does on each host, and `hftpy keys add NAME KEY` on the other."""
    public = {name: new_key_pair(name, folder).public_key for name, folder in folders.items()}
    for name, folder in folders.items():
        for peer, key in public.items():
            if peer != name:
                add_peer(peer, key, folder)


async def run_gateway(folder: Path) -> None:
    """Publishes tickers and takes orders; starts the strategy, and tells it by which ports."""
    tcp = TcpEndpoints(
        "gateway", folder=folder / "gateway", serve={"commands": "tcp://:0", "kraken.ticker": "tcp://:0"}
    )
    publisher = IPCPublisher(folder / "root1", tcp=tcp)
    publisher.open("kraken", "ticker")
    system = IPCCommandSystem("gateway", folder / "root1", tcp=tcp)
    ended = asyncio.Event()

    def on_order(command: IPCCommand) -> str:
        print(f"gateway: {command.sender_id} orders {command.payload['amount']}", flush=True)
        ended.set()
        return "taken"

    system.register_handler("order", on_order, senders=["mm1"])
    await system.start()
    ports = [str(system.tcp_endpoint), str(publisher.tcp_endpoint("kraken", "ticker"))]
    strategy = await asyncio.create_subprocess_exec(
        sys.executable, __file__, str(folder), *ports, stdout=asyncio.subprocess.PIPE
    )
    assert strategy.stdout is not None
    tcp.add_peer("mm1", {"commands": (await strategy.stdout.readline()).decode().strip()})
    await system.connect_to_process("mm1")

    # Somebody without a key, who knows the port: not a byte for him.
    stranger: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.SUB)
    stranger.subscribe(b"")
    stranger.connect(ports[1])
    while not ended.is_set() or not publisher.stats["kraken.ticker"]["tcp_failed"]:
        publisher.send_ticker(
            exchange="kraken", symbol="btc/usd", bid_price=99.0, bid_volume=1.0, ask_price=101.0, ask_volume=1.0
        )
        await asyncio.sleep(0.02)
    print((await strategy.stdout.read()).decode(), end="")
    await strategy.wait()
    print(f"the stranger is refused and received {'something' if stranger.poll(100) else 'nothing'}")
    stranger.close(linger=0)
    zmq.Context.instance().term()
    await system.stop()
    publisher.close()


class Strategy:
    """An observer that orders once."""

    def __init__(self) -> None:
        self.ticker_queue: asyncio.Queue[object] = asyncio.Queue()


async def run_strategy(folder: Path, commands: str, tickers: str) -> None:
    """On the other host."""
    peers = {"gateway": {"commands": commands, "kraken.ticker": tickers}}
    tcp = TcpEndpoints("mm1", folder=folder / "mm1", serve={"commands": "tcp://:0"}, peers=peers)
    system = IPCCommandSystem("mm1", folder / "root2", tcp=tcp)
    await system.start()
    await system.connect_to_process("gateway")
    print(system.tcp_endpoint, flush=True)
    subscriber = IPCSubscriber([("kraken", "ticker", ["btc/usd"])], folder / "root2", tcp=tcp)
    strategy = Strategy()
    subscriber.bind_observer(strategy)
    running = asyncio.create_task(subscriber.start())
    print(f"mm1: {await strategy.ticker_queue.get()!r:.6}")
    result = await system.call("gateway", "order", {"symbol": "btc/usd", "amount": "0.1"}, timeout=20.0)
    print(f"mm1: the order is {result.value}")
    subscriber.stop()
    await running
    await system.stop()


def main() -> None:
    """Without arguments: the whole of it."""
    if len(sys.argv) > 1:
        asyncio.run(run_strategy(Path(sys.argv[1]), *sys.argv[2:]))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for root in ("root1", "root2"):
            (folder / root).mkdir(mode=0o700)
        make_keys({process: folder / process for process in ("gateway", "mm1")})
        asyncio.run(run_gateway(folder))


if __name__ == "__main__":
    main()
