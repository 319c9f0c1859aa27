"""The page of threats says which test defends what: all of them must be there, and every attack an answer."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "threat-model.md").read_text()
ATTACKS = re.split(r"^### ", PAGE.partition("\n## What a hostile parent tries")[0], flags=re.MULTILINE)[1:]
TRIES = [
    line
    for line in PAGE.partition("## What a hostile parent tries")[2].partition("\n## ")[0].splitlines()
    if line.startswith("| ") and not line.startswith("| it |")
]


def named(text: str) -> set[str]:
    return set(re.findall(r"`(test_\w+)`", text))


@pytest.fixture(scope="module")
def there() -> set[str]:
    """The names of all test functions of the tree."""
    sources = (path.read_text() for path in sorted(ROOT.glob("tests/**/test_*.py")))
    definition = re.compile(r"^ *(?:async )?def (test_\w+)\(", re.MULTILINE)
    return {name for source in sources for name in definition.findall(source)}


def test_every_test_that_the_page_names_is_there(there: set[str]) -> None:
    assert sorted(named(PAGE) - there) == []


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda text: text.partition("\n")[0])
def test_every_attack_has_a_test_or_is_said_to_be_open(attack: str) -> None:
    assert named(attack) or "**Not defended**" in attack


def test_the_attacks_are_the_twenty_of_the_list() -> None:
    assert [attack.partition(".")[0] for attack in ATTACKS] == [str(number) for number in range(1, 21)]


@pytest.mark.parametrize("line", TRIES, ids=lambda text: text.split("|")[1].strip())
def test_everything_that_a_parent_tries_has_a_test_or_succeeds(line: str) -> None:
    assert named(line) or "**gets it**" in line
