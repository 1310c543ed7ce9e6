import random

import pytest

from hftcore.topic import (
    COMMAND_TOPIC_BYTES,
    MARKET_TOPIC_BYTES,
    PrefixFilter,
    check_command_type,
    check_process_id,
    check_target,
    command_topic,
    match,
    pad,
    split,
    subscriptions_of,
    target_matches,
)


def test_pad_fills_with_spaces_and_counts_utf8_bytes() -> None:
    assert pad("btcusdt") == b"btcusdt" + b" " * 25
    assert pad("") == b" " * MARKET_TOPIC_BYTES
    assert len(pad("é" * 16)) == 32
    with pytest.raises(ValueError, match=r"at most 32 bytes, was 'é+' \(34\)"):
        pad("é" * 17)
    with pytest.raises(ValueError, match="no space"):
        pad("btc usdt")
    assert len(pad("x" * 32)) == 32


def test_split_gives_text_and_body() -> None:
    assert split(pad("btcusdt") + b"body") == ("btcusdt", b"body")
    assert split(pad("a.b", 64), COMMAND_TOPIC_BYTES) == ("a.b", b"")
    with pytest.raises(ValueError, match="at least 32 bytes, was 3"):
        split(b"abc")


def test_match_is_exact() -> None:
    assert match(pad("btcusd"), "btcusd")
    assert not match(pad("btcusdt"), "btcusd")
    assert not match(pad("btcusd"), "btcusdt")
    assert not match(b"btc", "btcusd")


@pytest.mark.parametrize("text", ["mm1", "kraken_gateway", "api.kraken", "a-b.c_d.e", "x" * 62])
def test_process_ids(text: str) -> None:
    assert check_process_id(text) == text


@pytest.mark.parametrize("text", ["", ".", "a.", ".a", "a..b", "a b", "a/b", "../x", "*", "a\n", "é", "x" * 63])
def test_bad_process_ids(text: str) -> None:
    with pytest.raises(ValueError, match="process id must"):
        check_process_id(text)


@pytest.mark.parametrize("text", ["", "a.b", "a b", "*", "start\n"])
def test_bad_command_types(text: str) -> None:
    with pytest.raises(ValueError, match="command type must"):
        check_command_type(text)


def test_wrong_types() -> None:
    with pytest.raises(TypeError):
        check_process_id(3)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        check_command_type(None)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        check_target(b"x")  # type: ignore[arg-type]


def test_command_topic() -> None:
    assert command_topic("mm1", "start") == b"mm1.start".ljust(64)
    assert command_topic("*", "shutdown") == b"*.shutdown".ljust(64)
    assert command_topic("api.*", "shutdown") == b"api.*.shutdown".ljust(64)
    assert len(command_topic("x" * 31, "y" * 32)) == 64
    with pytest.raises(ValueError, match=r"at most 64 bytes, was 'x+\.y+' \(65\)"):
        command_topic("x" * 32, "y" * 32)


def test_targets() -> None:
    assert target_matches("mm1", "mm1")
    assert target_matches("*", "mm1")
    assert target_matches("api.*", "api.kraken")
    assert target_matches("api.*", "api.kraken.spot")
    assert not target_matches("mm1", "mm1.x")
    assert not target_matches("mm1.x", "mm1")
    assert not target_matches("api.*", "api_x")
    assert not target_matches("api.*", "api")


def test_subscriptions() -> None:
    assert subscriptions_of("mm1") == [b"mm1.", b"*."]
    assert subscriptions_of("api.kraken.spot") == [b"api.kraken.spot.", b"*.", b"api.*.", b"api.kraken.*."]


def test_filter_against_a_model() -> None:
    seed = random.randrange(1 << 30)
    print("seed", seed)
    rng = random.Random(seed)
    tested, model = PrefixFilter(), []
    words = [bytes(rng.choices(b"ab.", k=rng.randrange(0, 5))) for _ in range(30)]
    for _ in range(2000):
        word = rng.choice(words)
        if rng.random() < 0.5:
            assert tested.add(word) == (word not in model)
            model.append(word)
        else:
            was_last = model.count(word) == 1
            if word in model:
                model.remove(word)
            assert tested.remove(word) == was_last
        topic = bytes(rng.choices(b"ab.", k=6))
        assert tested.match(topic) == any(topic.startswith(prefix) for prefix in model)
        assert tested.matching(topic) == sorted({p for p in model if topic.startswith(p)}, key=len)
        assert tested.count(word) == model.count(word)
        assert len(tested) == len(set(model))
