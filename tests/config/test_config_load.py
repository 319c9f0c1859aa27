"""The file as a whole: what loads, what is refused, and how everything wrong is told at once."""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from signatory.config import load as config
from signatory.config.load import Config, ConfigProblemsError, HostPort
from signatory.errors import ConfigError

WORD_FOR_WORD = b"""\
base_dir: ${HOME}/.signatory
server:
  address: :6732
  utility_address: :9583
vaults:
  nitro:
    driver: nitro
    config:
      proxy_remote_address: kms.us-west-2.amazonaws.com:443
      encryption_key_id: 1234abcd-12ab-34cd-56ef-1234567890ab
"""
EDPK = "edpkujLb5ZCZ2gprnRzE9aVHKZfx9A8EtWu2xxkwYSjBUJbesJ9rWE"
TZ1 = "tz1RKGhRF4TZNCXEfwyqZshGsVfrZeVU446B"


def problems(text: str, **options: Any) -> dict[str, str]:
    with pytest.raises(ConfigProblemsError) as caught:
        config.read(text.encode(), **{"env": {}, **options})
    return {str(problem).split(":")[0].split(" ")[0]: problem.text for problem in caught.value.problems}


def test_the_file_that_must_load_word_for_word_loads() -> None:
    found = config.read(WORD_FOR_WORD, env={"HOME": "/home/baker"})
    assert found.base_dir == Path("/home/baker/.signatory")
    assert found.server.address == HostPort("", 6732)
    assert found.server.utility_address == HostPort("", 9583)
    assert found.vaults["nitro"].driver == "nitro"
    assert found.vaults["nitro"].config == {
        "proxy_remote_address": "kms.us-west-2.amazonaws.com:443",
        "encryption_key_id": "1234abcd-12ab-34cd-56ef-1234567890ab",
    }
    assert found.warnings == ()


@pytest.mark.parametrize("path", [None, ""])
def test_no_file_means_the_defaults(path: str | None) -> None:
    found = config.load(path)
    assert found.base_dir == Path("/var/lib/signatory")
    assert str(found.server.address) == ":6732"
    assert str(found.server.utility_address) == ":9583"
    assert found.watermark.driver == "file"
    assert (found.vaults, found.tezos, found.server.authorized_keys) == ({}, {}, None)
    assert not found.server.allow_list_known_keys
    assert not found.server.refuse_origin


def test_a_key_with_nothing_after_it_is_absent() -> None:
    text = b"base_dir:\nserver:\nvaults:\nwatermark:\ntezos:\n"
    assert config.read(text) == config.load(None)
    assert config.read(b"server: {address: , reload: }\nwatermark: {driver: , config: }\n") == config.load(
        None
    )


def test_a_rule_with_nothing_after_it_lets_everybody_in_and_that_is_told() -> None:
    text = f"server:\n  authorized_keys:\n  jwt:\n  tls:\npolicy_hook:\ntezos:\n  {TZ1}:\n    jwt_users:\n"
    assert config.read(text.encode()).warnings == tuple(
        f"{path}: nothing stands after it, so it has no effect"
        for path in (
            "server.authorized_keys (line 2)",
            "server.jwt (line 3)",
            "server.tls (line 4)",
            "policy_hook (line 5)",
            f"tezos.{TZ1}.jwt_users (line 8)",
        )
    )


@pytest.mark.parametrize("text", ['""', r'"a\0b"'])
def test_what_is_no_path_is_refused_where_it_stands(text: str) -> None:
    file = f"base_dir: {text}\nserver: {{tls: {{certificate: {text}, key: {text}, client_ca: {text}}}}}"
    assert set(problems(file).values()) == {"must be a path, and not empty"}
    assert len(problems(file)) == 4


def test_a_variable_that_is_not_set_is_one_problem_and_not_a_weak_password_too() -> None:
    user = "{password: '${P}', secret: '${S}', new_data: {password: '${P}', secret: '${S}'}}"
    found = problems(f"server: {{jwt: {{users: {{bob: {user}}}}}}}")
    assert set(found.values()) == {f"the environment variable {name} is not set" for name in "PS"}
    assert len(found) == 4


def test_two_listeners_cannot_share_an_address() -> None:
    both = "server: {address: '127.0.0.1:%s', utility_address: '127.0.0.1:%s'}"
    assert list(problems(both % (1, 1))) == ["server.utility_address"]
    assert config.read((both % (0, 0)).encode()).server.address.port == 0


def test_a_mistake_in_the_option_for_the_base_folder_is_none_of_the_files() -> None:
    for option, told in (("$NOWHERE/x", "the environment variable NOWHERE is not set"), ("", "is empty")):
        with pytest.raises(ConfigError) as caught:
            config.read(b"base_dir: /s", "file.yaml", env={}, base_dir=option)
        assert str(caught.value).startswith(f"--base-dir: {told}")


@pytest.mark.parametrize("env", [{}, {"BASE_DIR": "/state"}])
def test_the_base_folder_can_be_named_in_a_vault(env: dict[str, str]) -> None:
    text = b"base_dir: /state\nvaults: {a: {driver: x, config: [{path: '${BASE_DIR}'}]}}"
    assert config.read(text, env=env).vaults["a"].config == [{"path": "/state"}]


def test_an_empty_file_means_the_defaults() -> None:
    assert config.read(b"# nothing\n") == config.load(None)


def test_everything_wrong_is_told_at_once_in_the_order_of_the_file() -> None:
    text = """\
base_dir: $NOWHERE/x
server:
  adress: :1
  address: nonsense
watermark:
  driver: memory
tezos:
  tz1nonsense:
"""
    with pytest.raises(ConfigProblemsError) as caught:
        config.read(text.encode(), "/etc/x.yaml", env={})
    assert str(caught.value).splitlines() == [
        "5 problems in /etc/x.yaml:",
        "  base_dir (line 1): the environment variable NOWHERE is not set",
        "  server.adress (line 3): unknown key; did you mean `address`?",
        "  server.address (line 4): must be HOST:PORT, such as `127.0.0.1:6732` or `:6732`",
        "  watermark.driver (line 6): there is no watermark driver `memory`; did you mean `mem`?",
        f"  tezos.tz1nonsense (line 8): {caught.value.problems[-1].text}",
    ]
    assert caught.value.problems[-1].text.startswith("not a public key hash")


def test_a_duplicate_key_is_told_with_everything_else() -> None:
    text = b"servr: {}\nserver:\n  adress: :1\n  address: :1\n  address: :2\n"
    with pytest.raises(ConfigProblemsError) as caught:
        config.read(text)
    assert [str(problem) for problem in caught.value.problems] == [
        "servr (line 1): unknown key; did you mean `server`?",
        "server.adress (line 3): unknown key; did you mean `address`?",
        "server.address (line 5): this key stands here twice, first on line 4",
    ]


def test_an_unknown_key_far_from_all_known_ones_tells_those() -> None:
    assert problems("watermark: {zzzzzz: 1}") == {
        "watermark.zzzzzz": "unknown key; known here: config, driver"
    }


def test_unknown_keys_below_a_name_of_the_operators_are_told_with_the_nearest() -> None:
    text = f"vaults: {{v: {{drivr: file}}}}\ntezos: {{{TZ1}: {{alow: {{}}, allow_proof_of_posession: true}}}}"
    assert problems(text) == {
        "vaults.v.driver": "is required",
        "vaults.v.drivr": "unknown key; did you mean `driver`?",
        f"tezos.{TZ1}.alow": "unknown key; did you mean `allow`?",
        f"tezos.{TZ1}.allow_proof_of_posession": "unknown key; did you mean `allow_proof_of_possession`?",
    }


def test_unknown_keys_become_warnings_when_asked_and_everything_else_counts() -> None:
    text = (
        b"serverr: {}\nserver:\n  tlss: {cert: x}\n  address: :1234\ntezos: {"
        + TZ1.encode()
        + b": {alow: {}}}\n"
    )
    found = config.read(text, allow_unknown=True)
    assert found.server.address.port == 1234
    assert [warning.split(":")[0] for warning in found.warnings] == [
        "serverr (line 1)",
        "server.tlss (line 3)",
        f"tezos.{TZ1}.alow (line 5)",
    ]
    assert "did you mean `server`?" in found.warnings[0]


def test_other_problems_stay_errors_when_unknown_keys_are_allowed() -> None:
    assert list(problems("serverr: 1\nserver: {address: 1}", allow_unknown=True)) == ["server.address"]


@pytest.mark.parametrize("text", ["[]", "word", "3"])
def test_a_file_that_is_no_mapping_is_refused(text: str) -> None:
    assert list(problems(text).values()) == ["the file must be a mapping of keys to values"]


@pytest.mark.parametrize(
    ("text", "host", "port", "shown"),
    [
        (":6732", "", 6732, ":6732"),
        ("127.0.0.1:1", "127.0.0.1", 1, "127.0.0.1:1"),
        ("signer.example:65535", "signer.example", 65535, "signer.example:65535"),
        ("[::1]:80", "::1", 80, "[::1]:80"),
        ("127.0.0.1:0", "127.0.0.1", 0, "127.0.0.1:0"),
    ],
)
def test_a_listener_is_host_and_port(text: str, host: str, port: int, shown: str) -> None:
    found = HostPort.parse(text)
    assert (found.host, found.port, str(found)) == (host, port, shown)


@pytest.mark.parametrize(
    "text",
    ["", "6732", ":", ":x", ":65536", ":70000", ":0", "0.0.0.0:0", "a b:1", "::1:80", "http://x:1", ":-1"],
)
def test_what_is_no_listener_is_refused(text: str) -> None:
    assert list(problems(f"server: {{address: '{text}'}}")) == ["server.address"]


def test_the_base_folder_expands_variables_and_the_option_wins() -> None:
    env = {"STATE": "/s", "SUB": "t"}
    assert config.read(b"base_dir: $STATE/${SUB}/x", env=env).base_dir == Path("/s/t/x")
    assert config.read(b"base_dir: $NOWHERE", env=env, base_dir="${STATE}/y").base_dir == Path("/s/y")


@pytest.mark.parametrize("env", [{}, {"HOME": ""}])
def test_an_unset_or_empty_variable_in_the_base_folder_is_an_error(env: dict[str, str]) -> None:
    assert problems("base_dir: ${HOME}/x", env=env) == {
        "base_dir": "the environment variable HOME is not set"
    }


def test_a_watermark_driver_of_signatory_that_we_lack_is_named_with_ours() -> None:
    text = "the watermark driver `gcp` is not available in this version; use file, aws or mem"
    assert problems("watermark: {driver: gcp}") == {"watermark.driver": text}


def test_settings_of_a_watermark_driver_that_has_none_are_refused() -> None:
    assert list(problems("watermark: {driver: file, config: {table: x}}")) == ["watermark.config.table"]


def test_client_keys_may_be_one_a_list_or_lists_in_lists() -> None:
    for text in (EDPK, f"[{EDPK}]", f"[[{EDPK}], [[{EDPK}]]]"):
        keys = config.read(f"server: {{authorized_keys: {text}}}".encode()).server.authorized_keys
        assert keys is not None
        assert [key.text for key in keys] == [EDPK]


def test_an_empty_list_of_client_keys_is_not_the_same_as_none() -> None:
    assert config.read(b"server: {authorized_keys: []}").server.authorized_keys == ()
    assert config.read(b"server: {authorized_keys: }").server.authorized_keys is None


def test_each_bad_client_key_is_named_by_its_place() -> None:
    found = problems(f"server: {{authorized_keys: [{EDPK}, [x, {TZ1}], 3]}}")
    assert list(found) == [
        "server.authorized_keys[1][0]",
        "server.authorized_keys[1][1]",
        "server.authorized_keys[2]",
    ]
    assert "this is the hash of a public key" in found["server.authorized_keys[1][1]"]


def test_a_secret_key_in_the_wrong_place_is_not_printed() -> None:
    secret = "edsk3gUfUPyBSfrS9CCgmCiQsTCHGkviBDusMxDJstFtojtc1zcpsh"
    text = f"{secret}: 1\nserver: {{authorized_keys: [{secret}], {secret}: 2, address: {secret}}}\n"
    key = f"{{vault: {secret}, allowed_chains: [{secret}], allow: {{{secret}: , generic: [{secret}]}}}}"
    text += f"tezos: {{{secret}: , {TZ1}: {key}}}\n"
    text += f"watermark: {{driver: {secret}}}\nvaults: {{{secret}: }}\nbase_dir: [{secret}]\n"
    with pytest.raises(ConfigProblemsError) as caught:
        config.read(text.encode())
    assert len(caught.value.problems) > 8
    assert secret not in str(caught.value) + repr(caught.value)
    assert secret[5:20] not in str(caught.value)


def test_a_vault_needs_a_driver_and_a_name() -> None:
    assert problems("vaults: {x: }") == {"vaults.x.driver": "is required"}
    assert problems("vaults: {'': {driver: mem}}") == {"vaults": "a vault needs a name"}


def test_vault_settings_do_not_show_in_a_repr() -> None:
    assert "edsk" not in repr(config.read(b"vaults: {x: {driver: mem, config: [edsk]}}"))


def test_the_configuration_is_frozen() -> None:
    found = config.load(None)
    with pytest.raises(ValueError, match="frozen"):
        found.base_dir = Path("/")  # type: ignore[misc]  # that it is refused is the test


def test_a_missing_file_says_which_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        config.load(tmp_path / "none.yaml")
    assert (
        str(caught.value) == f"cannot read the configuration {tmp_path}/none.yaml: No such file or directory"
    )
    assert caught.value.hint


@pytest.mark.parametrize("path", ["/", "a\0b"])
def test_a_path_that_is_no_file_is_our_error(path: str) -> None:
    with pytest.raises(ConfigError):
        config.load(path)


def test_an_endless_file_is_refused() -> None:
    with pytest.raises(ConfigError, match="longer than 1 MiB"):
        config.load("/dev/zero")


def test_a_file_that_everybody_may_write_or_read_with_secrets_is_told(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("vaults: {m: {driver: x, config: {credentials: {secret_access_key: s}}}}")
    file.chmod(0o644)
    assert "holds secrets and can be read" in config.load(file).warnings[0]
    file.chmod(0o646)
    assert "can be written by everybody" in config.load(file).warnings[0]
    file.chmod(0o640)
    assert config.load(file).warnings == ()


def test_the_path_of_a_password_file_is_no_secret(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("vaults: {m: {driver: x, config: {password_file: /run/secrets/p}}}")
    file.chmod(0o644)
    assert config.load(file).warnings == ()


def test_the_base_folder_is_made_and_proven_writable(tmp_path: Path) -> None:
    mask = os.umask(0)
    try:
        folder = config.prepare_base_dir(config.load(None, base_dir=tmp_path / "a" / "b"))
    finally:
        os.umask(mask)
    assert folder.stat().st_mode & 0o777 == 0o770
    assert list(folder.iterdir()) == []


def test_a_base_folder_that_cannot_be_used_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot use the base folder"):
        config.prepare_base_dir(config.load(None, base_dir=tmp_path / "file" / "x"))


NAMES = (
    "base_dir server vaults watermark tezos policy_hook address driver config allow generic authorized_keys "
)
NAMES += f"allowed_chains allowed_kinds vault x null nitro ${{HOME}} {TZ1}"
KEYS = st.sampled_from(NAMES.split())
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | KEYS | st.text(max_size=6) | st.just(EDPK)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=20,
)


def loaded_or_refused(data: bytes, *, allow_unknown: bool) -> Config | str:
    """The configuration, or the text of our error; any other exception fails the test."""
    try:
        return config.read(data, allow_unknown=allow_unknown, env={"HOME": "/h"})
    except ConfigProblemsError as error:
        return str(error)


@given(tree=st.dictionaries(KEYS, TREES, max_size=6), allow=st.booleans())
def test_any_tree_gives_a_configuration_or_our_error(tree: dict[str, Any], allow: bool) -> None:
    found = loaded_or_refused(yaml.safe_dump(tree).encode(), allow_unknown=allow)
    assert found
    assert isinstance(found, str) or set(config.policy_of(found).keys) == set(found.tezos)


@given(st.text(max_size=300))
def test_any_text_gives_a_configuration_or_our_error(text: str) -> None:
    assert loaded_or_refused(text.encode("utf-8", "surrogatepass"), allow_unknown=False)
