"""A subclass that takes one of the framework's own names is told so, before anything is wrong by it."""

import ast
import inspect
import textwrap

import pytest

from hftpy.errors import ConfigError
from hftpy.service import ServiceBase
from hftpy.service.own_names import FREE

# What runs before or after `on_setup`, never beside it.
STEPS = {
    "__init__", "run", "_prepare", "_set_up", "_write_status", "_load_state", "_warm_up", "_begin_keeping",
}  # fmt: skip
OWN = ("counters", "streams", "latency", "ticker_queue", "_status", "_warm", "_timers", "config", "process_id")


@pytest.mark.parametrize("name", OWN)
async def test_an_attribute_that_is_set_on_setup(world, name):
    class Strategy(ServiceBase):
        def on_setup(self):
            setattr(self, name, {})

    with pytest.raises(ConfigError, match=f"Strategy sets self.{name}, which every service has of its own"):
        await Strategy(world.config("s")).run()


async def test_an_attribute_that_is_set_by_the_constructor(world):
    class Strategy(ServiceBase):
        def __init__(self, config):
            super().__init__(config)
            self._loop = object()

    with pytest.raises(ConfigError, match=r"Strategy sets self\._loop"):
        await Strategy(world.config("s")).run()


async def test_what_is_saved_is_never_the_services_own_state(world, root):
    class Strategy(ServiceBase):
        def on_save(self):
            return self.state

        def on_load(self, state):
            self.state = state

    (root / "state").mkdir(mode=0o700)
    service = Strategy(world.config("s"))
    service._state_file.write(service._state_file.encode({"fills": 3}), 1)
    with pytest.raises(AttributeError, match="state"):
        await Strategy(world.config("s")).run()
    assert Strategy(world.config("s"))._state_file.read() == ({"fills": 3}, 1)


@pytest.mark.parametrize("name", ["state", "paused", "warm", "ipc_command"])
def test_an_attribute_of_the_class_in_place_of_a_property(name):
    with pytest.raises(TypeError, match=f"Strategy.{name}: every service has a {name} of its own"):
        type("Strategy", (ServiceBase,), {name: {}})


async def test_what_a_subclass_may_do_on_setup(world):
    class Strategy(ServiceBase):
        def __init__(self, config):
            self.fills = None
            super().__init__(config)

        async def on_setup(self):
            self.params = {"mine": 1}
            self.on_ticker = print
            self.fills = 0
            self.pause()
            self.resume()
            await self.update_params({"mine": 2})

    service = await world.start(Strategy(world.config("s", ipc_command_publisher="s")))
    assert service.params == {"mine": 2}


def _set_anew(part: type) -> set[str]:
    """The attributes that methods of a part of the framework assign, but for those of its own life's steps."""
    (kind,) = ast.parse(textwrap.dedent(inspect.getsource(part))).body
    methods = [each for each in kind.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)]
    nodes = [node for method in methods if method.name not in STEPS for node in ast.walk(method)]
    stores = [node for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)]
    return {node.attr for node in stores if ast.unparse(node.value) == "self"}


def test_what_the_framework_sets_anew_is_not_taken_for_a_subclasss():
    parts = [part for part in ServiceBase.__mro__ if part.__module__.startswith("hftpy.service")]
    anew = set().union(*map(_set_anew, parts))
    assert anew == FREE - {"native_strategy"}
