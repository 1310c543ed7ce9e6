"""What holds on unix paths holds over tcp with CURVE: the same tests, with every socket of ours there."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import ipc_observer
import pytest
import test_command
import test_command_acks
import test_pubsub
from tcp_net import TcpNet, TcpSystem
from test_command import (  # noqa: F401 - collected here too
    pair,
    test_a_command_for_nobody_is_dropped_after_its_time,
    test_a_failing_handler_kills_nothing,
    test_a_full_queue_refuses_and_counts,
    test_a_plain_sub_receives,
    test_an_early_broadcast_waits_for_peers_that_are_connecting_and_nothing_overtakes_it,
    test_every_order_of_calls_with_await,
    test_held_for_the_exact_target_alone,
    test_order_targets_and_broadcasts,
    test_restart_of_a_peer_and_owners,
    test_right_after_start_without_await_or_sleep,
    test_stop_from_a_handler,
    test_uvloop_and_one_loop_after_another,
)
from test_command_acks import (  # noqa: F401
    systems,
    test_a_call_returns_what_the_handler_returns,
    test_a_sender_that_stops_ends_everything,
    test_errors_and_rejections,
    test_groups_and_all,
    test_lanes_and_order,
    test_nobody_there,
    test_payloads,
    test_received_is_told_before_the_end_and_a_late_answer_resolves_unknown,
    test_the_handler_that_stops_its_system_is_answered,
    test_two_that_call_each_other,
)
from test_pubsub import (  # noqa: F401
    publisher,
    test_a_fill_is_not_told_again_to_a_joiner,
    test_a_full_queue_of_one_observer_affects_no_other,
    test_a_full_ring_of_one_observer_affects_no_other,
    test_a_late_joiner_alone_gets_the_last_values,
    test_account_events_survive_the_trip,
    test_btcusd_never_receives_btcusdt,
    test_event_queue_is_used_where_there_is_one,
    test_events_of_the_publisher_reach_all_of_the_address,
    test_loss_at_the_high_water_mark_is_exact,
    test_restart_of_the_publisher_is_a_gap_before_its_first_message,
    test_stop_before_the_first_step_of_start_is_remembered,
    test_subscribers_are_counted_as_they_come_and_go,
)

from hftpy.ipc import IPCPublisher, IPCSubscriber


@pytest.fixture(autouse=True)
def net(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> TcpNet:
    folder = tmp_path_factory.mktemp("k")
    folder.chmod(0o700)
    made = TcpNet(folder)

    def system(name: str, root: Path, **options: Any) -> TcpSystem:
        return TcpSystem(made, name, root, **options)

    def make_publisher(root: Path, transport: str = "zmq", **options: Any) -> IPCPublisher:
        return IPCPublisher(root, transport, **options) if transport != "zmq" else made.publisher(root, **options)

    def subscriber(subscriptions: Any, root: Path, transport: str = "zmq", **options: Any) -> IPCSubscriber:
        if transport != "zmq":
            return IPCSubscriber(subscriptions, root, transport, **options)
        return made.subscriber(subscriptions, root, **options)

    for module, name, replacement in (
        (test_command, "IPCCommandSystem", system),
        (test_command_acks, "IPCCommandSystem", system),
        (test_pubsub, "IPCPublisher", make_publisher),
        (test_pubsub, "IPCSubscriber", subscriber),
        (ipc_observer, "IPCSubscriber", subscriber),
    ):
        monkeypatch.setattr(module, name, replacement)
    return made


async def test_it_is_over_tcp(root: Path, net: TcpNet, until: Callable[..., Any]) -> None:
    """That the tests above go where they are meant to."""
    made = test_command.Pair(root)
    await made.sender.start()
    await made.receiver.start()
    made.sender.send_command("mm1", "go", {})
    await until(lambda: made.got)
    assert made.sender.stats["tcp_accepted"] == 1 and made.sender.tcp_endpoint == net.at("gateway")
    await made.stop()
    one = test_pubsub.IPCPublisher(root)
    async with ipc_observer.subscribed(root, one):
        assert one.stats["kraken.ticker"]["tcp_accepted"] == 1
    one.close()
