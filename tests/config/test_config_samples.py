"""Every file in configs/ loads as it stands, drivers included."""

from pathlib import Path

import pytest

from signatory import registry
from signatory.config import load as config
from vaults import DRIVERS

FOLDER = Path(__file__).parents[2] / "configs"
FILES = sorted(FOLDER.glob("*.yaml"))
ENVIRONMENT = {
    "HOME": "/home/baker",
    "SIGNATORY_KEYS": "/home/baker/secret_keys",
    "SIGNATORY_SECRET_KEY": "edsk3gUfUPyBSfrS9CCgmCiQsTCHGkviBDusMxDJstFtojtc1zcpsh",
    "KMS_ENDPOINT": "kms.eu-west-1.amazonaws.com:443",
    "ENCRYPTION_KEY_ID": "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
    **{f"{user}_PASSWORD": f"{user}-knows-this-1" for user in ("TREASURY", "PAYOUTS")},
    **{f"{user}_SECRET": f"{user}-does-not-know-this-text-at-all-1" for user in ("TREASURY", "PAYOUTS")},
}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_sample_loads_without_a_complaint(file: Path) -> None:
    judge = registry.vault_check(DRIVERS, env=ENVIRONMENT)
    found = config.load(file, env=ENVIRONMENT, vaults=judge)
    assert found.warnings == ()
    assert len(registry.resolve(found, DRIVERS, env=ENVIRONMENT)) == 1
    config.policy_of(found)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_sample_says_how_it_is_used(file: Path) -> None:
    text = file.read_text()
    assert text.startswith("# ")
    assert file.name in text or file.name == "nitro-signatory.yaml"


def test_the_production_sample_has_ten_lines() -> None:
    lines = (FOLDER / "nitro.yaml").read_text().splitlines()
    assert len([line for line in lines if line and not line.startswith("#")]) == 10
