"""What a service is given and keeps: typed parameters, saved state, warm-up."""

import asyncio
import json
import os
import stat
import zlib
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import msgspec
import pytest

from hftpy.common import Channel, Exchange, Gap
from hftpy.errors import ConfigError, StateError, TradingRefused
from hftpy.ipc import IPCCommandSystem
from hftpy.service import ServiceBase, load_config, parse_section
from hftpy.service.params import told_params
from hftpy.service.saved_state import StateFile
from hftpy.service.status import StatusFile

LONG = 900.0


def config(name="s", folder=Path("."), **setting):
    return parse_section(f"test.{name}", {"class_name": "x:Y", "setting": setting}, folder)


# Parameters


class Limits(msgspec.Struct):
    position: Annotated[float, msgspec.Meta(gt=0)] = 1.0
    orders: int = 5


class Params(msgspec.Struct):
    spread: float
    size: Decimal = Decimal("0.01")
    limits: Limits = msgspec.field(default_factory=Limits)
    pairs: list[Limits] = []
    per_pair: dict[str, Limits] = {}
    hedge: Limits | None = None
    api_token: str = ""

    def __post_init__(self):
        if self.spread < 0:
            raise ValueError(f"spread must be at least 0, was {self.spread}")


class Typed(ServiceBase):
    params_type = Params

    def __init__(self, config):
        super().__init__(config)
        self.seen = []
        self.answer = None

    def on_params(self, old, new):
        self.seen.append((old.spread, new.spread, self.params.spread))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def test_params_are_checked_when_the_service_is_made():
    service = Typed(config(params={"spread": 1, "size": "0.5", "limits": {"orders": 2}}))
    assert service.params == Params(spread=1.0, size=Decimal("0.5"), limits=Limits(orders=2))


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({}, r"test.s.setting.params: .*missing required field `spread`"),
        ({"spread": "x"}, r"test.s.setting.params.spread: Expected `float`, got `str`"),
        ({"spred": 1}, r"test.s.setting.params has an unknown key 'spred': did you mean 'spread'"),
        ({"spread": 1, "limits": {"positon": 1}}, r"limits has an unknown key 'positon': did you mean 'position'"),
        ({"spread": 1, "limits": {"position": -1}}, r"params.limits.position: Expected `float` > 0"),
        ({"spread": 1, "pairs": [{}, {"order": 1}]}, r"params.pairs\[1\] has an unknown key 'order': did you"),
        ({"spread": 1, "per_pair": {"btc": {"xyz": 1}}}, r"params.per_pair.btc has an unknown key 'xyz': known are"),
        ({"spread": 1, "hedge": {"order": 1}}, r"params.hedge has an unknown key 'order'"),
        ({"spread": -1}, r"spread must be at least 0, was -1"),
    ],
)
def test_params_that_are_not_as_declared(params, says):
    with pytest.raises(ConfigError, match=says):
        Typed(config(params=params))


async def test_params_are_changed_as_a_whole_or_not_at_all():
    service = Typed(config(params={"spread": 1, "limits": {"position": 3}}))
    first = service.params
    new = await service.update_params({"spread": 2, "limits": {"orders": 9}})
    assert new is service.params and new.limits == Limits(3.0, 9) and first.spread == 1.0
    assert service.seen == [(1.0, 2.0, 2.0)]
    for wrong in ({"spread": 3, "sprd": 1}, {"spread": 3, "size": "x"}, {"spread": -3}, {"limits": {"position": 0}}):
        with pytest.raises(ConfigError):
            await service.update_params(wrong)
        assert service.params is new
    service.answer = False
    with pytest.raises(ConfigError, match="on_params refused"):
        await service.update_params({"spread": 3})
    service.answer = KeyError("no")
    with pytest.raises(KeyError):
        await service.update_params({"spread": 3})
    assert service.params is new
    status = service.status()
    assert (status["params_updates"], status["params_refused"]) == (1, 6)
    assert status["params"]["spread"] == 2.0


@pytest.mark.parametrize("kind", [None, Params])
@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), float("-inf"), Decimal("sNaN"), Decimal("Infinity")])
async def test_what_json_has_no_number_for_is_no_parameter(kind, wrong):
    class Some(ServiceBase):
        params_type = kind

    with pytest.raises(ConfigError, match=rf"test.s.setting.params.spread must be a finite number, was {wrong}"):
        Some(config(params={"spread": wrong}))
    service = Some(config(params={"spread": 1.0, "pairs": [], "size": Decimal("1E+999")}))
    for changes, name in (({"spread": wrong}, "spread"), ({"pairs": [{"position": wrong}]}, r"pairs\[0\].position")):
        with pytest.raises(ConfigError, match=rf"test.s.setting.params.{name} must be a finite number, was {wrong}"):
            await service.update_params(changes)
    assert service.status()["params"]["spread"] == 1.0 and service.status()["params_refused"] == 2


async def test_a_number_beyond_all_in_a_config_is_refused(tmp_path):
    path = tmp_path / "c.json"
    path.write_text('{"s": {"class_name": "A", "setting": {"params": {"limits": {"most": 1e999}}}}}')
    with pytest.raises(ConfigError, match=r"s.setting.params.limits.most must be a finite number, was inf"):
        ServiceBase(load_config(path)[0])


async def test_a_default_that_json_has_no_number_for_is_told_as_text():
    class Most(msgspec.Struct):
        most: float = float("inf")
        least: tuple[float, ...] = (float("-inf"),)
        spread: float = 1.0

    class Some(ServiceBase):
        params_type = Most

    service = Some(config())
    assert (await service.update_params({"spread": 2.0})).most == float("inf")
    assert service.status()["params"] == {"most": "inf", "least": ["-inf"], "spread": 2.0}


async def test_a_status_is_json_whatever_a_service_tells(root):
    file = StatusFile("s")
    told = file.encode({"spread": float("nan"), "sizes": [float("inf"), 1.5]})
    content = json.loads(told, parse_constant=pytest.fail)
    assert (content["spread"], content["sizes"]) == ("nan", ["inf", 1.5])
    file.close()


async def test_updates_that_overlap_follow_each_other():
    service = Typed(config(params={"spread": 1}))

    async def slow(old, new):
        await asyncio.sleep(0.001)
        service.seen.append((old.spread, new.spread, new.limits.orders))

    service.on_params = slow
    await asyncio.gather(service.update_params({"spread": 2}), service.update_params({"limits": {"orders": 7}}))
    assert service.seen == [(1.0, 2.0, 5), (2.0, 2.0, 7)]


async def test_a_hook_that_would_wait_for_itself_is_told_so():
    class Nested(ServiceBase):
        async def on_params(self, old, new):
            await self.update_params({"a": 2})

        async def on_save(self):
            await self.save_state()

    service = Nested(config(params={"a": 0}))
    async with asyncio.timeout(10):
        for _ in range(2):
            with pytest.raises(RuntimeError, match="update_params cannot be called from on_params"):
                await service.update_params({"a": 1})
            with pytest.raises(RuntimeError, match="save_state cannot be called from on_save"):
                await service.save_state()
    assert service.params == {"a": 0} and service.status()["params_refused"] == 2


async def test_params_without_a_type_keep_their_keys_and_kinds():
    service = ServiceBase(config(params={"spread": 0.1, "venue": "kraken", "on": True, "any": None, "list": []}))
    await service.update_params({"spread": 1, "any": {"x": 1}, "list": [1]})
    assert service.params == {"spread": 1, "venue": "kraken", "on": True, "any": {"x": 1}, "list": [1]}
    for wrong, says in (
        ({"spreda": 1}, "did you mean 'spread'"),
        ({"spread": "1"}, "must be of the type number, was '1'"),
        ({"on": 1}, "must be of the type true or false"),
        ({"venue": 5}, "must be of the type text"),
    ):
        with pytest.raises(ConfigError, match=says):
            await service.update_params(wrong)


def test_what_is_called_a_secret_is_not_told():
    told = told_params({"a": 1, "api_key": "k", "nested": [{"password": "p", "rest": Decimal("1.5")}], "token": None})
    assert told == {"a": 1, "api_key": "***", "nested": [{"password": "***", "rest": "1.5"}], "token": None}
    assert told_params(Params(1.0, api_token="t"))["api_token"] == "***"


async def test_no_error_about_params_shows_a_secret():
    class Refuses(ServiceBase):
        def on_params(self, old, new):
            return False

    service = Refuses(config(params={"api_token": "OLD-X", "inner": {}, "n": 1}))
    for changes in (
        {"api_token": "NEW-X"}, {"api_token": ["NEW-X"]}, {"n": {"password": "NEW-X"}}, [{"token": "NEW-X"}],
        {"inner": {"passphrase": "NEW-X"}},
    ):  # fmt: skip
        with pytest.raises(ConfigError) as caught:
            await service.update_params(changes)
        assert "-X" not in str(caught.value) and "***" in str(caught.value)
    assert service.params == {"api_token": "OLD-X", "inner": {}, "n": 1}


async def test_the_command_update_params(root, world, eventually):
    service = Typed(config(params={"spread": 1}, ipc_command_publisher="s", ipc_command_subscribers=["operator"]))
    await world.start(service)
    operator = IPCCommandSystem("operator")
    await operator.start()
    try:
        await eventually(lambda: operator.stats["peers"] == 1)
        operator.send_command("s", "update_params", {"spread": "wide"})
        operator.send_command("s", "update_params", {"spread": 4})
        await eventually(lambda: service.params.spread == 4)
        path = root / "status" / "s.json"
        await eventually(lambda: json.loads(path.read_text())["params"]["spread"] == 4)
        assert service.status()["params_refused"] == 1
    finally:
        await operator.stop()


# State


class Counts(ServiceBase):
    def __init__(self, config):
        super().__init__(config)
        self.count = 0
        self.loaded = []

    def on_save(self):
        return {"count": self.count}

    def on_load(self, state):
        self.loaded.append((self.state, state))
        self.count = state["count"]


async def one_life(world, kind, count, **setting):
    service = await world.start(kind(world.config("s", **setting)))
    service.count += count
    await world.stop(service)
    return service


async def test_state_outlives_the_service(world, root):
    assert (await one_life(world, Counts, 5)).loaded == []
    service = await one_life(world, Counts, 2)
    assert service.loaded == [("setting up", {"count": 5})] and service.count == 7
    path = root / "state" / "s.json"
    assert json.loads(path.read_text())["state"] == {"count": 7}
    assert (stat.S_IMODE(path.stat().st_mode), stat.S_IMODE(path.parent.stat().st_mode)) == (0o600, 0o700)
    assert [entry.name for entry in path.parent.iterdir()] == ["s.json"]


async def test_what_hooks_do_until_their_end_is_saved(world, root, eventually):
    class Late(Counts):
        begun = False

        async def on_gap(self, gap):
            self.begun = True
            try:
                await asyncio.sleep(1000)
            finally:  # cancelled after on_stop
                self.count += 1

    service = await world.start(Late(world.config("s", ipc_command_publisher="s")))
    service.event_queue.put_nowait(
        Gap(exchange=Exchange.KRAKEN, channel=Channel.TICKER, symbol=None, lost=1, reason="test", source="venue",
            timestamp=1)
    )  # fmt: skip
    await eventually(lambda: service.begun)
    await world.stop(service)
    assert service.count == 1
    assert json.loads((root / "state" / "s.json").read_text())["state"] == {"count": 1}


class CountsCalls(Counts):
    """Says where it stood when its state was asked for."""

    def __init__(self, config):
        super().__init__(config)
        self.asked = []

    def on_save(self):
        self.asked.append(self.count)
        return super().on_save()


async def test_at_the_end_the_state_is_asked_for_once(world, root):
    class Stops(CountsCalls):
        def on_stop(self):
            self.count += 1

    service = await world.start(Stops(world.config("s", ipc_command_publisher="s")))
    await world.stop(service)
    assert service.asked == [1]
    told = json.loads((root / "status" / "s.json").read_text())
    assert (told["state"], told["saved_state"]["saves"], told["saved_state"]["failures"]) == ("stopped", 1, 0)


@pytest.mark.parametrize("fails", [False, True])
async def test_a_service_that_is_long_in_ending_saves_its_state_before_that_too(world, root, monkeypatch, fails):
    monkeypatch.setattr("hftpy.service.keeping.SAVE_EARLY_S", 0.01)

    class Late(CountsCalls):
        async def on_start(self):
            self._spawn(self.linger(), "linger")

        async def linger(self):
            try:
                await asyncio.sleep(LONG)
            finally:
                while not self.asked:
                    await asyncio.sleep(0.01)
                self.count += 1

        def on_save(self):
            state = super().on_save()
            if fails:
                raise OSError("disk full")
            return state

    service = await world.start(Late(world.config("s")))
    await world.eventually(lambda: any("linger" in task.get_name() for task in asyncio.all_tasks()))
    await asyncio.sleep(0.05)
    await world.stop(service)
    assert service.asked == ([0] if fails else [0, 1])  # what cannot be saved is not asked for again
    if not fails:
        assert json.loads((root / "state" / "s.json").read_text())["state"] == {"count": 1}


@pytest.mark.parametrize("early_s", [0.01, 900.0])
async def test_a_state_that_cannot_be_had_does_not_keep_the_service(world, root, monkeypatch, caplog, early_s):
    monkeypatch.setattr("hftpy.service.keeping.SAVE_EARLY_S", early_s)
    monkeypatch.setattr("hftpy.service.keeping.SAVE_LIMIT_S", 0.05)

    class Hangs(ServiceBase):
        async def on_stop(self):
            self._spawn(asyncio.sleep(0.1), "linger")

        async def on_save(self):
            await asyncio.sleep(LONG)

    service = await world.start(Hangs(world.config("s", ipc_command_publisher="s")))
    await world.stop(service)
    told = json.loads((root / "status" / "s.json").read_text())
    assert (told["state"], told["saved_state"]["failures"], told["counters"]["errors"]) == ("stopped", 1, 1)
    assert "on_save failed" in caplog.text and not (root / "state" / "s.json").exists()
    assert not [task for task in asyncio.all_tasks() if "on_save" in task.get_name()]


async def test_state_is_saved_in_time_on_demand_and_only_if_it_changed(world, root, tmp_path, eventually):
    setting = {"state": {"interval": 0.02, "folder": str(tmp_path / "kept")}, "ipc_command_publisher": "s"}
    service = await world.start(Counts(world.config("s", **setting)))
    path = tmp_path / "kept" / "s.json"
    await eventually(path.exists)
    written = path.stat().st_mtime_ns
    await asyncio.sleep(0.1)
    assert path.stat().st_mtime_ns == written
    assert service.status()["saved_state"]["saves"] == 1
    service.count = 9
    await eventually(lambda: json.loads(path.read_text())["state"]["count"] == 9)
    service.count = 10
    assert await service.save_state() or json.loads(path.read_text())["state"]["count"] == 10
    assert not await service.save_state()
    service.on_save = lambda: None
    assert not await service.save_state()


class Book(msgspec.Struct):
    amounts: dict[str, Decimal]


async def test_a_typed_state(world):
    class Typed(Counts):
        state_type = Book

        def on_save(self):
            return Book({"btc": Decimal("0.1")})

        def on_load(self, state):
            self.loaded.append(state)

    await one_life(world, Typed, 0)
    assert (await one_life(world, Typed, 0)).loaded == [Book({"btc": Decimal("0.1")})]
    Typed.state_type = int
    with pytest.raises(StateError, match=r"s\.json is no"):
        await one_life(world, Typed, 0)


async def test_another_version_is_migrated_or_refused(world):
    class Two(Counts):
        state_version = 2

    class Migrates(Two):
        def on_migrate(self, state, version):
            return {"count": state["count"] * 100 + version}

    await one_life(world, Counts, 5)
    with pytest.raises(StateError, match="version 1: override on_migrate"):
        await one_life(world, Two, 0)
    assert (await one_life(world, Migrates, 0)).count == 501
    assert (await one_life(world, Two, 0)).count == 501


def damage(path: Path, how: str) -> None:
    content = path.read_bytes()
    match how:
        case "half":
            path.write_bytes(content[: len(content) // 2])
        case "bit":
            path.write_bytes(content.replace(b'"count":5', b'"count":4'))
        case "empty":
            path.write_bytes(b"")
        case "zeros":
            path.write_bytes(bytes(len(content)))
        case "shape":
            path.write_text("[]")
        case "format":
            path.write_bytes(content.replace(b'"format":1', b'"format":9'))
        case "service":
            path.write_bytes(content.replace(b"x:Y", b"x:Z"))
        case "writable":
            path.chmod(0o622)
        case "link":
            path.rename(path.with_suffix(".other"))
            path.symlink_to(path.with_suffix(".other"))
        case "deep":
            state = b"[" * 100_000 + b"]" * 100_000
            head = b'{"format":1,"service":"x:Y","version":1,"saved_ns":1,"crc32":%d,"state":' % zlib.crc32(state)
            path.write_bytes(head + state + b"}")


@pytest.mark.parametrize(
    "how", ["half", "bit", "empty", "zeros", "shape", "format", "service", "writable", "link", "deep"]
)
async def test_damage_is_seen_and_handled_as_the_config_says(world, root, how, caplog):
    await one_life(world, Counts, 5)
    path = root / "state" / "s.json"
    damage(path, how)
    with pytest.raises(StateError, match=r"s\.json"):
        await one_life(world, Counts, 1)
    assert path.exists()  # nothing of it is lost
    service = await one_life(world, Counts, 1, state={"on_corrupt": "discard"})
    assert service.loaded == [] and "begins without" in caplog.text
    assert len(list(path.parent.glob("s.corrupt-*"))) == 1
    assert json.loads(path.read_text())["state"] == {"count": 1}


async def test_a_state_that_cannot_be_saved_is_told_and_the_old_one_stays(world, root, caplog):
    await one_life(world, Counts, 5)
    service = await world.start(Counts(world.config("s")))
    service.on_save = lambda: {"count": object()}
    with pytest.raises(StateError, match="cannot be saved as JSON"):
        await service.save_state()
    service.on_save = lambda: 1 / 0
    await world.stop(service)
    assert service.counters["errors"] == 1 and service.status()["saved_state"]["failures"] == 2
    assert json.loads((root / "state" / "s.json").read_text())["state"] == {"count": 5}


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    file = StateFile("s", "x:Y", tmp_path / "file")
    with pytest.raises(StateError, match="cannot be saved in"):
        file.write(file.encode({}), 1)


def test_a_crash_while_it_is_written_leaves_the_old_one(tmp_path, monkeypatch):
    file = StateFile("s", "x:Y", tmp_path / "kept")
    assert file.write(file.encode([1]), 1)

    def fails(*_):
        raise OSError("the disk is full")

    for owner, name in ((os, "fsync"), (Path, "replace")):
        with monkeypatch.context() as patched:
            patched.setattr(owner, name, fails)
            with pytest.raises(StateError, match="the disk is full"):
                file.write(file.encode([2]), 1)
        assert StateFile("s", "x:Y", tmp_path / "kept").read() == ([1], 1)
        assert [path.name for path in (tmp_path / "kept").iterdir()] == ["s.json"]


def test_what_crashes_have_left_beside_the_file_is_removed_and_nothing_else(tmp_path):
    file = StateFile("s", "x:Y", tmp_path)
    file.write(file.encode([1]), 1)
    kept = {"s.json", "s.2.77.tmp", "other.77.tmp", "s.old.tmp", "s.corrupt-5"}
    for name in (*kept, "s.77.tmp", "s.123456.tmp"):
        if name != "s.json":
            (tmp_path / name).write_text("half a st")
    assert file.read() == ([1], 1)
    assert {path.name for path in tmp_path.iterdir()} == kept


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ({"state": {"interval": -1}}, "state.interval must be seconds of at least 0"),
        ({"state": {"on_corrupt": "ignore"}}, "state.*on_corrupt"),
        ({"state": {"floder": "x"}}, "did you mean 'folder'"),
        ({"warm_up": {"seconds": -1}}, "warm_up.seconds must be at least 0"),
        ({"warm_up": {"events": {"ticker": 1}}}, "no stream or subscriber carries 'ticker', but none"),
        (
            {"warm_up": {"events": {"trade": 0}}, "ipc_subscribers": [{"exchange": "okx", "channel": "trade"}]},
            "warm_up.events.trade must be at least 1",
        ),
    ],
)
def test_settings_are_checked(setting, says):
    with pytest.raises(ConfigError, match=says):
        config(**setting)


# Warm-up


class Eager(ServiceBase):
    """Tries to trade on every ticker."""

    def __init__(self, config):
        super().__init__(config)
        self.refused = []
        self.events = []

    def on_start(self):
        self.events.append("on_start")

    def on_warm(self):
        self.events.append(("on_warm", self.warm, self.counters["tickers"]))

    async def on_ticker(self, ticker):
        try:
            await self.place_order(symbol="btc/usd", side="buy", amount=1, price=1)
        except TradingRefused as error:
            self.refused.append(str(error))
        except ValueError:
            self.events.append("order")


async def test_no_order_is_sent_before_the_events_have_come(world, eventually):
    stream = {
        "exchange": "kraken", "currency_pairs": ["btc/usd"], "subscribe_channels": ["ticker"],
        "api_host": world.venue.ws_url("kraken"),
    }  # fmt: skip
    setting = {"streams": [stream], "warm_up": {"events": {"ticker": 4}, "seconds": 0.01}}
    service = await world.start(Eager(world.config("s", ipc_command_publisher="s", **setting)))
    assert not service.status()["warm"]
    await eventually(lambda: "order" in service.events)
    warm = service.events[1]
    assert service.events[0] == "on_start" and warm[:2] == ("on_warm", True) and warm[2] >= 4
    assert service.events[2] == "order"
    assert len(service.refused) >= 4
    assert "s is warming up, wants 3 of ticker: place_order is refused" in service.refused
    assert service.status()["warm"]


async def test_no_order_is_sent_before_the_time_has_passed(world, eventually):
    service = await world.start(Eager(world.config("s", ipc_command_publisher="s", warm_up={"seconds": 0.2})))
    await service.on_ticker(None)
    assert service.refused == ["s is warming up: place_order is refused"]
    await eventually(lambda: service.warm)
    await service.on_ticker(None)
    assert service.events == ["on_start", ("on_warm", True, 0), "order"]


async def test_without_a_warm_up_on_warm_follows_on_start(world, eventually):
    service = await world.start(Eager(world.config("s", ipc_command_publisher="s")))
    assert service.warm
    await eventually(lambda: service.events == ["on_start", ("on_warm", True, 0)])


async def test_a_hook_that_is_refused_is_no_error(world, eventually, caplog):
    class Hook(Eager):
        async def on_ticker(self, ticker):
            await self.place_order(symbol="btc/usd", side="buy", amount=1, price=1)

    service = await world.start(Hook(world.config("s", ipc_command_publisher="s", warm_up={"seconds": LONG})))
    await service._guard("on_ticker", service.on_ticker, None)
    assert service.counters["errors"] == 0 and "warming up" in caplog.text
