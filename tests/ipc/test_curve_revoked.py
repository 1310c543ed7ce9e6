"""A peer whose key is taken away is heard no more, also where we are the ones that connect to it."""

import asyncio
import itertools
from pathlib import Path

from tcp_net import TcpNet

from hftpy.ipc.curve_keys import add_peer, new_key_pair


async def test_commands_of_a_peer_whose_key_is_taken_away(root: Path, tmp_path: Path) -> None:
    for name in ("keys", "other"):
        (tmp_path / name).mkdir(mode=0o700)
    net = TcpNet(tmp_path / "keys")
    gateway, strategy = net.system("gateway", root), net.system("mm1", root)
    handled: set[int] = set()
    gateway.register_handler("order", lambda command: handled.add(command.payload["number"]))
    gateway.connect_to_process("mm1")  # the gateway connects, mm1 serves
    await gateway.start()
    await strategy.start()
    numbers = itertools.count()

    async def is_obeyed() -> bool:
        number = next(numbers)
        result = await strategy.call("gateway", "order", {"number": number}, timeout=1.0)
        assert number in handled or not result.ok
        return number in handled

    async def obeyed_until(wanted: bool) -> None:
        async with asyncio.timeout(60):
            while await is_obeyed() is not wanted:
                await asyncio.sleep(0.02)

    try:
        await obeyed_until(True)
        away = net.forget("mm1")
        await obeyed_until(False)
        assert not await is_obeyed()
        away.rename(away.with_suffix(".key"))
        await obeyed_until(True)
        # The name now stands for somebody else's key: who has the old one is not that peer.
        add_peer("mm1", new_key_pair("mm1", tmp_path / "other").public_key, net.folder)
        await obeyed_until(False)
        assert not await is_obeyed()
    finally:
        await strategy.stop()
        await gateway.stop()
