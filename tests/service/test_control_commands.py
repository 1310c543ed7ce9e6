"""The commands that every service knows, called and acknowledged, in a process of its own and on uvloop."""

import asyncio
import json
import subprocess
import sys

import msgspec
import pytest

from hftpy.ipc import IPCCommandSystem
from hftpy.service import ServiceBase, parse_section

CODE = """
import asyncio, json
import msgspec
from hftpy.service import ServiceBase

class Weight(msgspec.Struct):
    weight: float

class Params(msgspec.Struct):
    spread: float

class Rebalancer(ServiceBase):
    params_type = Params

    def tell(self, what):
        print(json.dumps([what, type(asyncio.get_running_loop()).__module__]), flush=True)

    def on_setup(self):
        self.register_interrupt("rebalance", self.on_rebalance)
        self.register_interrupt("typed", self.on_typed)
        self.register_interrupt("both", self.on_both)
        self.ipc_command.register_handler("slow", self.on_slow)
        return True

    def on_rebalance(self, command):
        self.tell(f"handler {command.payload['n']}")
        return {"n": command.payload["n"]}

    async def on_typed(self, payload: Weight):
        return payload.weight

    def on_both(self, payload: Weight, command):
        return [payload.weight, command.command_type]

    async def on_slow(self, command):
        await asyncio.sleep(900)

    async def next(self):
        self.tell("round")
        left = await self.sleep(900)
        self.tell(f"woken {left > 800}")

    def on_pause(self): self.tell("on_pause")
    def on_resume(self): self.tell("on_resume")
    def on_save(self): return {"spread": self.params.spread}
    def on_stop(self): self.tell("on_stop")
"""


async def test_a_service_in_its_own_process_answers_at_once(root, tmp_path):
    (tmp_path / "rebalancer.py").write_text(CODE)
    setting = {
        "ipc_command_publisher": "rebalancer", "ipc_command_subscribers": ["operator"], "params": {"spread": 1.0},
    }  # fmt: skip
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"rebalancer": {"class_name": "Rebalancer", "setting": setting}}))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "hftpy.worker", str(config), "rebalancer", stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )

    async def told():
        line = await asyncio.wait_for(process.stdout.readline(), 60)
        what, loop = json.loads(line)
        assert loop.startswith("uvloop")
        return what

    operator = IPCCommandSystem("operator")
    await operator.start()

    async def call(command_type, payload=None):
        return await operator.call("rebalancer", command_type, payload if payload is not None else {}, timeout=60)

    try:
        assert await told() == "round"
        await operator.ready("rebalancer", 60)
        slow = asyncio.create_task(call("slow"))  # no other command of these waits behind it
        for number in range(3):
            result = await call("rebalance", {"n": number})
            assert result.value == {"n": number}
            assert [await told() for _ in range(3)] == [f"handler {number}", "woken True", "round"]
        assert (await call("typed", {"weight": 0.5})).value == 0.5
        assert [await told() for _ in range(2)] == ["woken True", "round"]
        assert (await call("both", {"weight": 0.5})).value == [0.5, "both"]
        assert [await told() for _ in range(2)] == ["woken True", "round"]
        assert (await call("typed", {"weight": "x"})).state == "rejected"

        assert (await call("pause")).value == {"state": "paused"}
        assert await told() == "on_pause"
        assert (await call("update_params", {"spread": 2})).value == {"params": {"spread": 2.0}}
        refused = await call("update_params", {"spread": "x"})
        assert "ConfigError" in refused.error and "setting.params.spread: Expected `float`" in refused.error
        assert "changes must be an object" in (await call("update_params", [1])).error
        saved = (await call("save_state")).value
        assert saved == {"saved": True, "path": str(root / "state" / "rebalancer.json")}
        assert (await call("resume")).value == {"state": "running"}
        assert [await told() for _ in range(2)] == ["on_resume", "round"]

        operator.send_command("rebalancer", "stop", {})
        assert await told() == "on_stop"
        _, err = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode == 0, err.decode()
        slow.cancel()
    finally:
        await operator.stop()
        if process.returncode is None:
            process.kill()
            await process.communicate()


class Weight(msgspec.Struct):
    weight: float


@pytest.mark.parametrize("lane", [None, "main"])
async def test_the_options_of_register_handler_hold_for_interrupts(root, lane):
    class Options(ServiceBase):
        def on_typed(self, payload: Weight):
            """Typed."""

    service = Options(parse_section("x.s", {"class_name": "x:Y", "setting": {"ipc_command_publisher": "s"}}, None))
    service._ipc_command = system = IPCCommandSystem("s")
    service.register_interrupt("typed", service.on_typed, senders=["boss"], **({"lane": lane} if lane else {}))
    registered = system._dispatcher.handlers["typed"]
    assert (registered.lane, registered.schema, registered.senders) == (lane or "typed", Weight, frozenset({"boss"}))
