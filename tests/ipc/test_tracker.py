"""The sequence tracker by itself: which messages are lost, which are old."""

from hftcore.subscription import SequenceTracker, Verdict

T, U, OTHER = (name.ljust(32) for name in (b"btcusd", b"ethusd", b"other"))


def tracker() -> SequenceTracker:
    return SequenceTracker(lambda topic: topic in (T, U))


def test_in_order_and_loss() -> None:
    seen = tracker()
    assert seen.on_message(T, 1, 1, False) == Verdict(True, 0, False)
    assert seen.on_message(T, 1, 2, False) == Verdict(True, 0, False)
    assert seen.on_message(T, 1, 6, False) == Verdict(True, 3, False)
    assert seen.on_message(T, 1, 6, False).deliver is False


def test_first_message_counts_against_the_hello() -> None:
    seen = tracker()
    seen.on_hello(1, [])
    assert seen.on_message(T, 1, 4, False).lost == 3


def test_value_resent_before_or_after_the_hello_is_no_loss() -> None:
    seen = tracker()
    assert seen.on_message(T, 1, 5, True) == Verdict(True, 0, False)
    assert seen.on_hello(1, [(T, 5)]).lost == []
    assert seen.on_message(T, 1, 6, False) == Verdict(True, 0, False)
    seen = tracker()
    seen.on_hello(1, [(T, 5)])
    assert seen.on_message(T, 1, 7, True) == Verdict(True, 0, False)


def test_reconnect_counts_what_was_missed_and_takes_the_resent_value() -> None:
    seen = tracker()
    seen.on_hello(1, [])
    seen.on_message(T, 1, 1, False)
    assert seen.on_hello(1, [(T, 5)]).lost == [(T, 3)]
    assert seen.on_message(T, 1, 5, True) == Verdict(True, 0, False)
    assert seen.on_message(T, 1, 6, False) == Verdict(True, 0, False)


def test_heartbeat_shows_the_tail_once() -> None:
    seen = tracker()
    seen.on_hello(1, [])
    seen.on_message(T, 1, 1, False)
    assert seen.on_heartbeat(1, [(T, 3), (U, 2), (OTHER, 9)]).lost == [(T, 2), (U, 2)]
    assert seen.on_heartbeat(1, [(T, 3), (U, 2)]).lost == []
    assert seen.on_message(U, 1, 3, False).lost == 0


def test_new_epoch_restarts_and_the_old_one_is_ignored() -> None:
    seen = tracker()
    seen.on_message(T, 5, 9, False)
    assert seen.on_message(T, 6, 4, True) == Verdict(True, 0, True)
    assert seen.on_message(T, 5, 10, False).deliver is False
    assert seen.on_heartbeat(5, [(T, 10)]) == (False, [])
    # A publisher whose clock went back says hello all the same.
    assert seen.on_hello(3, []).restarted
    assert seen.on_message(T, 3, 1, False) == Verdict(True, 0, False)


def test_messages_without_numbers_are_delivered() -> None:
    seen = tracker()
    assert seen.on_message(T, 0, 0, False) == Verdict(True, 0, False)
    assert seen.on_message(T, 0, 0, False) == Verdict(True, 0, False)
