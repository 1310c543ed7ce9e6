"""The JSON config: everything that is wrong is named, with a suggestion where a key is misspelt."""

import asyncio
import json
import logging
from types import SimpleNamespace

import pytest

from hftpy.common import Channel
from hftpy.common.secrets import Secret, resolve_secret
from hftpy.errors import ConfigError
from hftpy.service import load_service, wiring
from hftpy.service.config import load_config, parse_section, secrets_of


def write(tmp_path, content):
    path = tmp_path / "config.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def section(**setting):
    return {"service.mm": {"class_name": "MM", "setting": setting}}


FULL = section(
    apis=[{"exchange": "kraken", "api_key": {"env": "K"}, "api_secret": {"env": "S"}, "rest_host": None}],
    ws_apis=[{"exchange": "kraken", "api_key": {"env": "K"}, "api_secret": {"env": "S"}}],
    streams=[
        {
            "exchange": "kraken",
            "currency_pairs": ["btc/usdt"],
            "subscribe_channels": ["ticker", "my_order"],
            "api_host": None,
            "reconnect_times": -1,
            "subscribe_args": {},
        }
    ],
    ipc_subscribers=[{"exchange": "kraken", "channel": "ticker", "symbols": ["btc/usdt"], "transport": "zmq"}],
    ipc_publish={"channels": ["ticker", "trade"], "transport": "zmq"},
    ipc_command_publisher="mm_demo",
    ipc_command_subscribers=["kraken_gateway"],
    tasks={"send_ping": {"interval": 5.0, "delay": 0.0}},
    params={"spread": 0.001},
)


def test_the_documented_config_is_accepted(tmp_path):
    [config] = load_config(write(tmp_path, FULL))
    assert (config.section, config.process_id, config.class_name) == ("service.mm", "mm_demo", "MM")
    assert config.setting.tasks["send_ping"].interval == 5.0
    assert config.setting.params == {"spread": 0.001}


def test_everything_in_setting_is_optional(tmp_path):
    [config] = load_config(write(tmp_path, {"service.mm": {"class_name": "MM"}}))
    assert config.process_id == "mm"
    assert config.setting.streams == []


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (section(ipc_subscriber=[]), r"unknown key 'ipc_subscriber': did you mean 'ipc_subscribers'\?"),
        (section(streams=[{"exchange": "kraken", "chanels": []}]), r"streams\[0\] has an unknown key 'chanels'"),
        (
            section(tasks={"ping": {"intervall": 1}}),
            r"tasks\.ping has an unknown key 'intervall': did you mean 'interval'",
        ),
        (section(tasks={"ping": {"interval": 0}}), r"tasks\.ping: interval must be above 0"),
        (section(streams=[{"exchange": "krake", "subscribe_channels": ["ticker"]}]), r"streams\[0\]: .*was 'krake'"),
        (section(streams=[{"exchange": "kraken", "subscribe_channels": ["tikcer"]}]), r"was 'tikcer'"),
        (section(ipc_subscribers=[{"exchange": "kraken", "channel": "ticker", "symbols": ["nothing"]}]), r"'nothing'"),
        (section(ipc_command_subscribers="mm1"), r"ipc_command_subscribers"),
        (section(ipc_command_subscribers=["a", "*"]), r"ipc_command_subscribers\[1\]: a process id must be"),
        (section(ipc_command_publisher=""), r"setting\.ipc_command_publisher: a process id must be"),
        (section(ipc_command_publisher="x" * 63), r"ipc_command_publisher: .* at most 62 bytes"),
        (
            {name: {"class_name": "A", "setting": {"ipc_command_publisher": "mm"}} for name in ("a", "b")},
            r"a and b are both the process 'mm'",
        ),
        ({"service.mm": {"class": "MM"}}, r"unknown key 'class': did you mean 'class_name'"),
        ({"service.mm": {"class_name": ""}}, r"class_name must be the name of a class, was ''"),
        ({}, r"a section per service"),
        ("[1", r"is no JSON"),
        ('{"a": {"class_name": "A"}, "a": {"class_name": "B"}}', r"'a' stands twice"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, content, named):
    with pytest.raises(ConfigError, match=named):
        load_config(write(tmp_path, content))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.json cannot be read"):
        load_config(tmp_path / "nowhere.json")


def test_secrets_come_from_the_environment_or_a_private_file(tmp_path, monkeypatch):
    monkeypatch.setenv("K", "the key")
    (tmp_path / "secret").write_text("the secret\n")
    (tmp_path / "secret").chmod(0o600)
    content = section(apis=[{"exchange": "kraken", "api_key": {"env": "K"}, "api_secret": {"file": "secret"}}])
    [config] = load_config(write(tmp_path, content))
    assert secrets_of("x", config.setting.apis[0], config.folder) == ("the key", "the secret")


def test_a_secret_file_that_others_can_read_is_refused(tmp_path):
    (tmp_path / "secret").write_text("x")
    (tmp_path / "secret").chmod(0o644)
    with pytest.raises(ConfigError, match=r"must be readable by its owner alone \(0600\), was 0644"):
        resolve_secret("key", {"file": "secret"}, tmp_path)


def test_an_unset_variable_is_named(tmp_path, monkeypatch):
    monkeypatch.delenv("NOT_THERE", raising=False)
    with pytest.raises(ConfigError, match="NOT_THERE is not set"):
        resolve_secret("key", {"env": "NOT_THERE"}, tmp_path)


def test_a_plain_secret_works_with_a_warning_that_does_not_show_it(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        secret = resolve_secret("apis[0].api_key", "hunter2", tmp_path)
    assert secret is not None
    assert secret.reveal() == "hunter2"
    assert "apis[0].api_key" in caplog.text
    assert "hunter2" not in caplog.text + repr(secret) + f"{secret}"


def test_a_secret_never_prints():
    assert "abc" not in repr([Secret("abc")]) + str(Secret("abc"))


def test_an_empty_secret_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setenv("K", "")
    (tmp_path / "secret").write_text(" \n")
    (tmp_path / "secret").chmod(0o600)
    for reference in ({"env": "K"}, {"file": "secret"}):
        with pytest.raises(ConfigError, match="is empty"):
            resolve_secret("key", reference, tmp_path)


def test_a_config_prints_no_plain_secret(tmp_path):
    account = {"exchange": "kraken", "api_key": "hunter1", "api_secret": "hunter2"}
    stream = {**account, "subscribe_channels": ["my_order"]}
    config = parse_section("s", section(apis=[account], ws_apis=[account], streams=[stream])["service.mm"], tmp_path)
    assert "hunter" not in repr(config) + str(config)
    assert secrets_of("x", config.setting.streams[0], tmp_path) == ("hunter1", "hunter2")


def test_files_of_tls_are_found_from_the_configs_folder(tmp_path):
    found = wiring._tls({"ca_file": "ca.pem", "key_file": "/etc/key.pem", "verify": True}, tmp_path)
    assert found == {"ca_file": str(tmp_path / "ca.pem"), "key_file": "/etc/key.pem", "verify": True}
    assert wiring._tls(None, tmp_path) is None


@pytest.mark.parametrize(("given", "seconds"), [(None, 30.0), (7, 7.0), ({"ticker": 0.5}, 0.5), ({"trade": 1}, 30.0)])
def test_how_long_a_stream_may_be_silent(tmp_path, given, seconds):
    stream = {"exchange": "kraken", "currency_pairs": ["btc/usd"], "subscribe_channels": ["ticker"]}
    [config] = load_config(write(tmp_path, section(streams=[stream | {"stale_after": given}])))
    [made] = wiring.make_streams(config, SimpleNamespace(ticker_queue=asyncio.Queue()), None)
    assert made.stale_after(Channel.TICKER) == seconds


def test_a_silence_that_cannot_be_names_its_stream(tmp_path):
    stream = {"exchange": "kraken", "currency_pairs": ["btc/usd"], "subscribe_channels": ["ticker"], "stale_after": -1}
    [config] = load_config(write(tmp_path, section(streams=[stream])))
    with pytest.raises(ConfigError, match=r"service\.mm\.setting\.streams\[0\]: stale_after .*-1"):
        wiring.make_streams(config, SimpleNamespace(), None)


def test_tls_that_cannot_be_used_names_its_key(tmp_path):
    stream = {"exchange": "kraken", "currency_pairs": ["btc/usd"], "subscribe_channels": ["ticker"]}
    [config] = load_config(write(tmp_path, section(streams=[stream | {"tls": {"ca_file": "none.pem"}}])))
    with pytest.raises(ConfigError, match=r"service\.mm\.setting\.streams\[0\]: tls\.ca_file .*none\.pem"):
        wiring.make_streams(config, object(), None)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ({"service.a/../b": {"class_name": "A"}}, r"service\.a/\.\./b: its last part names the process: .*was '/b'"),
        ({"service.": {"class_name": "A"}}, r"service\.: its last part names the process"),
        ({"service.my mm": {"class_name": "A"}}, r"was 'my mm'"),
        ("[" * 100_000, "is no JSON: maximum recursion depth"),
        ('{"a": {"class_name": "A", "setting": {"params": {"x": NaN}}}}', "NaN is no number in JSON"),
        ('{"a": {"class_name": "A", "setting": {"params": {"x": -Infinity}}}}', "-Infinity is no number in JSON"),
        (section(tasks={"a": {"interval": 1}, "task_a": {"interval": 2}}), "names one timer twice: 'a' and 'task_a'"),
        (section(tasks={"a": {"interval": 1e-320}}), r"tasks\.a\.interval must be at least 0\.0001 s, was 1e-320"),
        (section(apis=[{"exchange": "kraken", "api_key": {"evn": "X"}}]), r"apis\[0\]\.api_key must be .* 'evn'\)"),
        (section(apis=[{"exchange": "kraken", "api_secret": 12345}]), r'api_secret must be \{"env": NAME\}, [^0-9]*$'),
        (
            section(streams=[
                {"exchange": "okx", "subscribe_channels": ["ticker"], "api_auth_data": {"passphrase": {"fiel": "x"}}}
            ]),
            r"streams\[0\]\.api_auth_data\.passphrase must be .*'fiel'\)",
        ),
    ],
)  # fmt: skip
def test_what_would_fail_later_is_named_when_the_config_is_read(tmp_path, content, named):
    with pytest.raises(ConfigError, match=named):
        load_config(write(tmp_path, content))


def test_what_is_called_a_secret_prints_nowhere(tmp_path):
    stream = {
        "exchange": "okx", "subscribe_channels": ["ticker"], "api_key": "KEY-X", "api_secret": "SECRET-X",
        "api_auth_data": {"passphrase": "PASS-X", "rest_host": "http://shown"},
    }  # fmt: skip
    content = section(streams=[stream], params={"api_token": "TOKEN-X", "inner": [{"password": "WORD-X"}], "n": 5})
    (config,) = load_config(write(tmp_path, content))
    assert "-X" not in repr(config)
    assert "http://shown" in repr(config) and "'n': 5" in repr(config)
    found = wiring._auth_data("key", config.setting.streams[0].api_auth_data, tmp_path)
    assert found == {"passphrase": "PASS-X", "rest_host": "http://shown"}
    assert config.setting.params["api_token"] == "TOKEN-X"  # it is the service's own


def test_a_secret_file_that_is_no_text_is_not_shown(tmp_path):
    (tmp_path / "secret").write_bytes(b"abc\xff\xfe")
    (tmp_path / "secret").chmod(0o600)
    with pytest.raises(ConfigError, match="is no text") as caught:
        resolve_secret("key", {"file": "secret"}, tmp_path)
    assert "abc" not in str(caught.value) and caught.value.__cause__ is None


async def test_names_of_methods_and_classes_are_suggested_too(tmp_path, root, caplog):
    (tmp_path / "sugg.py").write_text(
        "from hftpy.service import ServiceBase\nclass Maker(ServiceBase):\n    def task_report(self): pass\n"
    )
    path = write(tmp_path, {"sugg": {"class_name": "Makre", "setting": {}}})
    with pytest.raises(ConfigError, match=r"no subclass of ServiceBase named 'Makre': did you mean 'Maker'\?"):
        load_service(load_config(path)[0])
    setting = {"tasks": {"task_reprot": {"interval": 1}}, "ipc_publish": {"channels": ["trade", "ticker"]}}
    path = write(tmp_path, {"sugg": {"class_name": "Maker", "setting": setting}})
    service = load_service(load_config(path)[0])
    with pytest.raises(ConfigError, match=r"has no task_reprot\(\): did you mean 'report'\?"):
        await service.run()
    assert "ipc_publish names ticker, trade, which no stream of the service carries" in caplog.text
