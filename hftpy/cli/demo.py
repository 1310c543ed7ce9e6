"""``hftpy demo``: a simulated venue, a gateway and two market makers, each a process; a view; a balance.

The balance: everything that the venue sent is received or reported as lost, at every hop; every fill of the venue is
known to the gateway; no process ended unasked. Anything else ends the demo with status 1.
"""

import asyncio
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import aiohttp

from hftpy.cli.demo_config import GATEWAY, KEY_ENV, PAIRS, SECRET_ENV, STRATEGIES, demo_config
from hftpy.cli.demo_summary import Summary, summarise
from hftpy.cli.demo_view import View, make_view
from hftpy.cli.recorded import Recorded, read_recorded
from hftpy.common import set_root
from hftpy.errors import HftError
from hftpy.ipc import IPCCommandSystem
from hftpy.service.status import read_statuses
from hftpy.sim.faults import Fault
from hftpy.sim.keys import SIM_API_KEY, SIM_API_SECRET
from hftpy.worker import ChildProcess, Launcher

OPERATOR = "demo"
READY_TIMEOUT_S = 30.0
SETTLE_S = 5.0
REFRESH_S = 0.5
TIMEOUT = aiohttp.ClientTimeout(total=5)


class DemoError(HftError):
    """The demo could not be brought up."""


class Demo:
    """One run.

    Parameters
    ----------
    duration
        Seconds, unless a session is given.
    session
        A recorded session to replay to its end; None: a synthetic market.
    speed
        Of the replay; 0: flat out.
    faults
        ``KIND@SECOND`` each.
    seed
        Of the synthetic market.
    as_json
        Print the summary as JSON and nothing else.
    """

    def __init__(
        self, *, duration: float, session: Path | None, speed: float, faults: list[str], seed: int, as_json: bool
    ) -> None:
        for fault in faults:
            Fault.parse(fault)
        self.duration = duration
        self.session = session
        self.speed = speed
        self.faults = faults
        self.seed = seed
        self.as_json = as_json
        self.recorded: Recorded | None = None
        self.deaths: list[str] = []
        self.problems: list[str] = []
        self._interrupted = asyncio.Event()
        self._died = asyncio.Event()
        self._control = ""
        self._sim: dict[str, Any] = {}
        self._channels: list[str] = []
        self._withheld: dict[str, Any] | None = None
        self._launcher = Launcher(self._on_exit)
        self._view: View = make_view(as_json)

    async def run(self) -> int:
        """Run to the end; whatever happens, leave no process, socket or file behind.

        Returns
        -------
        int
            0; 1 after any unreported loss or any failure; 130 after Ctrl-C.
        """
        if self.session is not None:
            self.recorded = read_recorded(self.session)
            if not self.recorded.tickers and not self.recorded.trades:
                raise ValueError(f"session {self.session} has no ticker and no trade to play")
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # ignored under nohup
                loop.add_signal_handler(number, self._interrupted.set)
        root = Path(tempfile.mkdtemp(prefix="hftpy-"))
        set_root(root)
        operator = IPCCommandSystem(OPERATOR)
        statuses: dict[str, dict[str, Any]] = {}
        started = time.monotonic()
        try:
            with (root / "log").open("wb") as output:
                try:
                    await operator.start()
                    await self._bring_up(root, output)
                    started = time.monotonic()
                    await self._watch(operator)
                    await self._settle(operator)
                except (DemoError, aiohttp.ClientError) as error:
                    self.problems.append(str(error))
                finally:
                    await self._shut_down(operator)
            statuses = read_statuses()
            log_tail = _tail(root / "log")
        finally:
            self._view.close()
            set_root(None)
            shutil.rmtree(root, ignore_errors=True)
        summary = summarise(
            statuses=statuses, sim=self._sim, recorded=self.recorded, faults=self.faults, deaths=self.deaths,
            problems=self.problems, interrupted=self._interrupted.is_set(), seconds=time.monotonic() - started,
        )  # fmt: skip
        self._print(summary, log_tail)
        return 130 if self._interrupted.is_set() else 0 if summary.ok else 1

    def _on_exit(self, child: ChildProcess) -> None:
        if child.asked_to_stop and child.returncode == 0:
            return
        if child.asked_to_stop and self._interrupted.is_set():
            return
        self.deaths.append(f"{child.name} (process {child.pid}) {child.ending}")
        self._view.note(self.deaths[-1])
        self._died.set()

    async def _bring_up(self, root: Path, output: Any) -> None:
        urls = await self._start_venue(output)
        config = root / "demo.json"
        services = demo_config(urls, self.recorded, OPERATOR)
        self._channels = services[f"demo.{GATEWAY}"]["setting"]["ipc_publish"]["channels"]
        config.write_text(json.dumps(services, indent=2))
        keys = {KEY_ENV: SIM_API_KEY, SECRET_ENV: SIM_API_SECRET}
        for name in (*STRATEGIES, GATEWAY):
            command = ["hftpy.worker", str(config), f"demo.{name}"]
            environment = keys if name == GATEWAY else {}  # a strategy never sees a key
            await self._launcher.start(name, command, output=output, environment=environment)
        self._view.note(
            f"root {root}; processes: " + ", ".join(f"{c.name} {c.pid}" for c in self._launcher.children.values())
        )
        await self._until(self._is_ready, READY_TIMEOUT_S, "the processes did not connect")
        if not self._interrupted.is_set():
            await self._post("/start")

    async def _start_venue(self, output: Any) -> dict[str, dict[str, str]]:
        venues = ["kraken"]
        if self.recorded is not None and str(self.recorded.exchange) not in venues:
            venues.append(str(self.recorded.exchange))
        command = ["hftpy.cli", "sim", "--json", "--wait", "--seed", str(self.seed)]
        for venue in venues:
            command += ["--venue", venue]
        for pair in PAIRS if self.recorded is None else ():
            command += ["--pair", pair]
        for fault in self.faults:
            command += ["--fault", fault]
        if self.session is not None:
            command += ["--session", str(self.session.resolve()), "--speed", str(self.speed)]
        child = await self._launcher.start("venue", command, output=output, stdout=asyncio.subprocess.PIPE)
        assert child.process.stdout is not None
        try:
            line = await asyncio.wait_for(child.process.stdout.readline(), READY_TIMEOUT_S)
        except TimeoutError:
            line = b""
        if not line:
            raise DemoError("the simulated venue did not start")
        announced = json.loads(line)
        self._control = announced["control"]
        urls: dict[str, dict[str, str]] = announced["venues"]
        return urls

    def _is_ready(self, statuses: dict[str, dict[str, Any]]) -> bool:
        gateway = statuses.get(GATEWAY, {})
        joined = gateway.get("joined", {})
        connected = [
            state.get("connected") for stream in gateway.get("streams", []) for state in stream["channels"].values()
        ]
        return (
            all(statuses.get(name, {}).get("state") == "running" for name in (*STRATEGIES, GATEWAY))
            and all(joined.get(channel, 0) >= len(STRATEGIES) for channel in (*self._channels, "my_order"))
            and all(connected)
        )

    async def _until(self, condition: Any, timeout: float, problem: str) -> None:
        deadline = time.monotonic() + timeout
        while not condition(read_statuses()):
            if self._interrupted.is_set():
                return
            if self._died.is_set():
                raise DemoError(f"{problem}: {self.deaths[0]}")
            if time.monotonic() > deadline:
                raise DemoError(f"{problem} within {timeout:.0f} s")
            await asyncio.sleep(0.1)

    async def _watch(self, operator: IPCCommandSystem) -> None:
        """Show what happens until the time is up, the session has ended, or Ctrl-C."""
        deadline = time.monotonic() + self.duration
        while not self._interrupted.is_set():
            await self._refresh()
            if self.session is None:
                if time.monotonic() >= deadline:
                    return
            elif self._sim.get("finished") or self._died.is_set():
                return
            if self._died.is_set():
                self._cancel_of_the_dead(operator)
            try:
                await asyncio.wait_for(self._interrupted.wait(), REFRESH_S)
            except TimeoutError:
                continue

    async def _refresh(self) -> None:
        try:
            self._sim = await self._get("/stats")
        except aiohttp.ClientError:
            pass  # it is down for a moment under the fault `restart`; its end is seen by the launcher
        self._view.show(read_statuses(), self._sim)

    def _cancel_of_the_dead(self, operator: IPCCommandSystem) -> None:
        for child in self._launcher.children.values():
            if child.name in STRATEGIES and child.returncode is not None and not child.asked_to_stop:
                child.asked_to_stop = True
                operator.send_command(GATEWAY, "cancel_all", {"symbol": None, "strategy": child.name})

    async def _settle(self, operator: IPCCommandSystem) -> None:
        """Stop quoting, let the market stand, and wait until every message has arrived where it goes."""
        if self._interrupted.is_set():
            return
        for name in STRATEGIES:
            operator.send_command(name, "halt", {})
        deadline = time.monotonic() + SETTLE_S
        await asyncio.sleep(REFRESH_S)
        if self.session is None:
            await self._refresh()
            self._withheld = {name: venue["dropped_by_fault"] for name, venue in self._sim["venues"].items()}
            await self._post("/fault", {"kind": "mute", "duration": 60})
        last: Any = None
        while time.monotonic() < deadline and not self._interrupted.is_set():
            await asyncio.sleep(2 * REFRESH_S)
            await self._refresh()
            statuses = read_statuses()
            now = [
                (status.get("counters"), status.get("orders", {}).get("new"), status.get("orders", {}).get("none"))
                for status in statuses.values()
            ]
            if now == last:
                return
            last = now

    async def _shut_down(self, operator: IPCCommandSystem) -> None:
        children = self._launcher.children
        services = [name for name in (*STRATEGIES, GATEWAY) if name in children and children[name].returncode is None]
        for name in services:
            children[name].asked_to_stop = True
        if services:
            operator.broadcast("shutdown", {"reason": "the demo is over"})
            # Ended while it comes up, some may not have joined, and do not hear that.
            end = self._launcher.stop if self._interrupted.is_set() or self.problems else self._launcher.wait
            await asyncio.gather(*(end(name, 10.0) for name in services))
        try:
            if self._control:
                self._sim = await self._get("/stats")
                if self._withheld is not None:
                    # What the closing silence held back is no loss of the run.
                    for name, counts in self._withheld.items():
                        self._sim["venues"][name]["dropped_by_fault"] = counts
        except aiohttp.ClientError as error:
            if not self.deaths:
                self.problems.append(f"the venue's counts could not be had: {error}")
        await self._launcher.stop_all()
        await operator.stop()

    async def _get(self, path: str) -> Any:
        async with aiohttp.ClientSession(timeout=TIMEOUT) as http, http.get(self._control + path) as response:
            return await response.json()

    async def _post(self, path: str, body: Any = None) -> None:
        async with aiohttp.ClientSession(timeout=TIMEOUT) as http:
            response = await http.post(self._control + path, json=body)
            if response.status >= 400:
                raise DemoError(f"the venue refused {path}: {await response.text()}")

    def _print(self, summary: Summary, log_tail: str) -> None:
        if self.as_json:
            print(json.dumps(summary.to_dict(), indent=2))
        else:
            print(summary.text())
        if not summary.ok and log_tail:
            print(f"last lines of the processes' log:\n{log_tail}", file=sys.stderr)


def _tail(path: Path, lines: int = 20) -> str:
    with path.open("rb") as log:
        log.seek(max(0, os.fstat(log.fileno()).st_size - 16_384))
        return "\n".join(log.read().decode(errors="replace").splitlines()[-lines:])
