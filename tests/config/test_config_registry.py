"""Drivers by name, their settings from YAML and environment, and their complaints in the one list."""

import sys
from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import BaseModel, ConfigDict, Field, RootModel, SecretStr, field_validator

from signatory import registry
from signatory.config import load as config
from signatory.config.check import check, fill_from_environment
from signatory.config.load import ConfigProblemsError
from signatory.errors import ConfigError, MalformedError
from signatory.vault import VaultContext
from vaults import DRIVERS

FORBID = ConfigDict(frozen=True, extra="forbid")


class Credentials(BaseModel):
    model_config = FORBID
    region: str | None = Field(None, json_schema_extra={"env": "TEST_REGION"})
    secret: SecretStr | None = Field(None, json_schema_extra={"env": "TEST_SECRET"})


class Settings(BaseModel):
    model_config = FORBID
    cid: int = Field(16, ge=1, json_schema_extra={"env": "TEST_CID"})
    key_id: str = Field(json_schema_extra={"env": "TEST_KEY_ID"})
    credentials: Credentials | None = None
    peers: tuple[Credentials, ...] = ()

    @field_validator("key_id")
    @classmethod
    def _ours(cls, value: str) -> str:
        if value == "bad":
            raise MalformedError("that id is bad")
        return value


class ListSettings(RootModel[tuple[SecretStr, ...]]):
    model_config = ConfigDict(frozen=True)


class TestDriver:
    __test__ = False
    Config: ClassVar[type[BaseModel]] = Settings


class NoDriver:
    pass


TABLE = {
    "test": f"{__name__}:TestDriver",
    "not": f"{__name__}:NoDriver",
    "gone": "no.such.module:X",
    "miss": f"{__name__}:X",
}


def loaded(settings: str, *, allow: bool = False, **env: str) -> config.Config:
    judge = registry.vault_check(TABLE, env=env, allow_unknown=allow)
    return config.read(
        f"vaults: {{v: {{driver: test, config: {settings}}}}}".encode(),
        vaults=judge,
        env=env,
        allow_unknown=allow,
    )


def settings_of(found: config.Config, **env: str) -> Settings:
    (registration,) = registry.resolve(found, TABLE, env=env)
    assert isinstance(registration.config, Settings)
    return registration.config


def problems(settings: str, **env: str) -> dict[str, str]:
    with pytest.raises(ConfigProblemsError) as caught:
        loaded(settings, **env)
    return {str(problem).split(" ")[0].rstrip(":"): problem.text for problem in caught.value.problems}


def test_a_value_in_yaml_wins_then_the_environment_then_the_default() -> None:
    assert settings_of(loaded("{cid: 3, key_id: k}", TEST_CID="9"), TEST_CID="9").cid == 3
    assert settings_of(loaded("{key_id: k}", TEST_CID="9"), TEST_CID="9").cid == 9
    assert settings_of(loaded("{key_id: k}")).cid == 16


@pytest.mark.parametrize("settings", ["", "{}", "{key_id: }"])
def test_a_required_value_may_come_from_the_environment_alone(settings: str) -> None:
    assert settings_of(loaded(settings, TEST_KEY_ID="k"), TEST_KEY_ID="k").key_id == "k"
    assert problems(settings) == {"vaults.v.config.key_id": "is required"} or settings == "{key_id: }"


def test_an_empty_variable_counts_as_unset() -> None:
    assert problems("{}", TEST_KEY_ID="") == {"vaults.v.config.key_id": "is required"}


def test_nested_settings_are_filled_from_the_environment_too() -> None:
    env = {"TEST_REGION": "eu", "TEST_KEY_ID": "k"}
    assert settings_of(loaded("{}", **env), **env).credentials == Credentials(region="eu")
    assert settings_of(loaded("{credentials: {region: us}}", **env), **env).credentials == Credentials(
        region="us"
    )
    assert settings_of(loaded("{key_id: k}")).credentials is None


def test_a_bad_value_from_the_environment_is_told_with_its_path_and_its_variable() -> None:
    low = "must be greater than or equal to 1"
    assert problems("{key_id: k}", TEST_CID="0") == {
        "vaults.v.config.cid": f"{low} (from the environment variable TEST_CID)"
    }
    assert problems("{key_id: k, cid: 0}", TEST_CID="5") == {"vaults.v.config.cid": low}
    assert problems("{cid: 3}", TEST_CID="0") == {"vaults.v.config.key_id": "is required"}


def test_a_scalar_that_is_exactly_a_variable_is_expanded_and_nothing_else_is() -> None:
    found = loaded("{key_id: '${A}', cid: '${B}'}", A="x${B}", B="7")
    assert settings_of(found) == Settings(cid=7, key_id="x${B}")
    assert settings_of(loaded("{key_id: 'x${A}'}", A="1")).key_id == "x${A}"
    assert settings_of(loaded("{key_id: '$A'}", A="1")).key_id == "$A"


def test_an_unset_variable_is_told_once_with_path_and_name() -> None:
    assert problems("{key_id: k, cid: '${CID}', credentials: {region: '${R}'}}") == {
        "vaults.v.config.cid": "the environment variable CID is not set",
        "vaults.v.config.credentials.region": "the environment variable R is not set",
    }


def test_variables_in_lists_are_expanded_with_their_place() -> None:
    assert problems("{key_id: k, peers: [{region: '${R}'}]}") == {
        "vaults.v.config.peers[0].region": "the environment variable R is not set"
    }


def test_unknown_keys_of_a_driver_are_named_with_the_nearest_at_any_depth() -> None:
    assert problems("{key_id: k, kay_id: 1, credentials: {regoin: x}, peers: [{secert: y}]}") == {
        "vaults.v.config.kay_id": "unknown key; did you mean `key_id`?",
        "vaults.v.config.credentials.regoin": "unknown key; did you mean `region`?",
        "vaults.v.config.peers[0].secert": "unknown key; did you mean `secret`?",
    }


def test_unknown_keys_of_a_driver_become_warnings_when_asked() -> None:
    found = loaded("{key_id: k, kay_id: 1, credentials: {regoin: x}}", allow=True)
    assert sorted(found.warnings) == [
        "vaults.v.config.credentials.regoin (line 1): unknown key; did you mean `region`?",
        "vaults.v.config.kay_id (line 1): unknown key; did you mean `key_id`?",
    ]
    (registration,) = registry.resolve(found, TABLE, env={}, allow_unknown=True)
    assert registration.config == Settings(key_id="k", credentials=Credentials())


def test_an_error_of_ours_inside_a_drivers_validation_stays_inside_the_list() -> None:
    assert problems("{key_id: bad}") == {"vaults.v.config": "that id is bad"}


@pytest.mark.parametrize("settings", ["[]", "word", "3"])
def test_settings_of_the_wrong_shape_are_told(settings: str) -> None:
    assert problems(settings) == {"vaults.v.config": "must be a mapping of keys to values"}


def test_a_list_of_secrets_is_judged_by_place_and_never_printed() -> None:
    found = check(ListSettings, ["edsk", 3, {"edsk": "edsk"}], ("x",))
    assert [str(problem) for problem in found.problems] == [
        "x[1]: must be text; write it in quotes",
        "x[2]: must be text; write it in quotes",
    ]
    assert fill_from_environment(ListSettings, None, {}) is None
    assert check(ListSettings, ["edsk"]).model is not None
    assert "edsk" not in repr(check(ListSettings, ["edsk"]))


@pytest.mark.parametrize("driver", sorted(registry.FOREIGN))
def test_a_driver_of_signatory_that_we_lack_is_named_with_the_list_of_ours(driver: str) -> None:
    with pytest.raises(ConfigError) as caught:
        registry.load(driver, DRIVERS)
    assert (
        str(caught.value)
        == f"the driver `{driver}` of Signatory is not available here; available: file, mem, nitro"
    )


def test_an_unknown_driver_is_named_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="there is no driver `nitor`; did you mean `nitro`"):
        registry.load("nitor", DRIVERS)


@pytest.mark.parametrize(
    ("driver", "told"), [("gone", "No module named 'no'"), ("miss", "'X'"), ("not", "is no driver")]
)
def test_a_table_entry_that_leads_nowhere_is_our_error(driver: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        registry.load(driver, TABLE)


def test_a_driver_of_another_distribution_comes_by_its_entry_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "strange_vault-1.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: strange-vault\nVersion: 1\n")
    (package / "entry_points.txt").write_text("[signatory.vaults]\nstrange = strange_vault:Vault\n")
    (tmp_path / "strange_vault.py").write_text(
        "from pydantic import BaseModel\nclass Vault:\n    class Config(BaseModel):\n        x: int = 1\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    found = config.read(b"vaults: {s: {driver: strange, config: {x: 2}}}")
    (registration,) = registry.resolve(found, TABLE)
    assert registration.config.model_dump() == {"x": 2}
    sys.modules.pop("strange_vault")


def test_only_the_drivers_that_are_named_are_imported() -> None:
    found = config.read(b"vaults: {v: {driver: test, config: {key_id: k}}}")
    assert [registration.name for registration in registry.resolve(found, TABLE, env={})] == ["v"]


def test_every_registration_is_opened_with_its_own_surroundings() -> None:
    found = config.read(
        b"vaults: {a: {driver: test, config: {key_id: k}}, b: {driver: test, config: {key_id: k}}}"
    )
    contexts = [
        one.context
        for one in registry.resolve(found, TABLE, lambda name: VaultContext(name, Path("/x"), str), env={})
    ]
    assert [context.name for context in contexts] == ["a", "b"]


def test_where_nobody_can_be_asked_a_password_is_our_error() -> None:
    found = config.read(b"vaults: {a: {driver: test, config: {key_id: k}}}")
    (registration,) = registry.resolve(found, TABLE, env={})
    with pytest.raises(ConfigError, match="nobody can be asked for it: Password of x"):
        registration.context.password("Password of x: ")


def test_resolve_tells_every_problem_of_every_vault() -> None:
    found = config.read(
        b"vaults: {a: {driver: test}, b: {driver: pkcs11}, c: {driver: test, config: {key_id: k, x: 1}}}"
    )
    with pytest.raises(ConfigProblemsError) as caught:
        registry.resolve(found, TABLE, env={})
    assert [problem.path for problem in caught.value.problems] == [
        ("vaults", "a", "config", "key_id"),
        ("vaults", "b", "driver"),
        ("vaults", "c", "config", "x"),
    ]
