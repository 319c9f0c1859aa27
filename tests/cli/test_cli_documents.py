"""The documents and the programs agree: samples load, commands exist, no link is dead."""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from cli import admin, daemon, tools
from cli.approval import commands as approval
from cli.approval.config import ApprovalFile
from signatory import registry
from signatory.config import load as config
from signatory.config.check import check
from signatory.config.document import parse
from vaults import DRIVERS

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
PROGRAMS = {
    "signatory": daemon.program,
    "signatory-cli": admin.program,
    "signatory-tools": tools.program,
    "approve-list-svc": approval.program,
}
ENVIRONMENT = {
    "SIGNATORY_SECRET_KEY": "edsk3gUfUPyBSfrS9CCgmCiQsTCHGkviBDusMxDJstFtojtc1zcpsh",
    "TREASURY_PASSWORD": "Treasury-knows-1!",
    "TREASURY_SECRET": "Treasury-does-not-know-this-text-1",
}

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_COMMAND = re.compile(rf"^(?:\$ )?(?:\S*=\S* |[^#]* \| |\S*/)?({'|'.join(PROGRAMS)}) ([-a-z].*)")


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path, *languages: str) -> list[str]:
    return [text for language, text in _BLOCK.findall(page.read_text()) if language in languages]


YAML = [(name_of(page), text) for page in PAGES for text in blocks(page, "yaml")]


@pytest.mark.parametrize(("page", "text"), YAML, ids=[page for page, _ in YAML])
def test_a_configuration_in_a_document_loads_without_a_complaint(page: str, text: str) -> None:
    if "approve-list-svc" in text.splitlines()[0]:
        assert check(ApprovalFile, parse(text.encode()).value).problems == ()
        return
    judge = registry.vault_check(DRIVERS, env=ENVIRONMENT)
    found = config.read(text.encode(), page, env=ENVIRONMENT, vaults=judge)
    config.policy_of(found)
    assert found.warnings == ()


def commands(page: Path) -> Iterator[list[str]]:
    """Every line of a page that starts one of our programs, as words: lines of blocks, and quoted ones."""
    lines = "\n".join(blocks(page, "sh", "console")).replace("\\\n", " ").splitlines()
    lines += [f"$ {line}" for line in re.findall(r"`([^`\n]+)`", _BLOCK.sub("", page.read_text()))]
    for line in lines:
        if found := _COMMAND.search(line):
            words = shlex.split(re.split(r" [|>&;] |\)$| \.\.\.", found[2])[0], comments=True)
            yield [found[1], *words]


def missing(words: list[str]) -> str:
    """The first word that looks like a command or an option and is none, or nothing."""
    command: click.Command = PROGRAMS[words[0]]
    takes_value = False
    for word in words[1:]:
        options = {text: one for one in command.params if isinstance(one, click.Option) for text in one.opts}
        options |= {
            "-h": click.Option(["-h"], is_flag=True),
            "--help": click.Option(["--help"], is_flag=True),
        }
        if takes_value:
            takes_value = False
        elif re.fullmatch(r"--?[a-z-]+", word):
            if word not in options:
                return word
            takes_value = not options[word].is_flag
        elif isinstance(command, click.Group):
            if word not in command.commands:
                return word
            command = command.commands[word]
    return ""


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_the_commands_and_options_in_a_document_exist(page: Path) -> None:
    wrong = [(words, word) for words in commands(page) if (word := missing(words))]
    assert wrong == []


def test_the_lines_that_are_looked_at_are_many() -> None:
    assert sum(1 for page in PAGES for _ in commands(page)) > 40
    assert missing(["signatory-cli", "watermark", "lower"]) == "lower"
    assert missing(["signatory-cli", "-c", "x", "list", "--vault", "y"]) == "--vault"


def every_command(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    yield name, command
    if isinstance(command, click.Group):
        for below, one in command.commands.items():
            yield from every_command(f"{name} {below}", one)


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_command_and_option_is_documented(program: str) -> None:
    text = (ROOT / "docs/cli.md").read_text() + (ROOT / "docs/approval-service.md").read_text()
    absent = [
        f"{name} {option}"
        for name, command in every_command(program, PROGRAMS[program])
        for option in (
            name.split()[-1],
            *(text for one in command.params if isinstance(one, click.Option) for text in one.opts),
        )
        if not re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", text)
    ]
    assert absent == []


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as they are made where it is read."""
    found: list[str] = []
    for title in re.findall(r"^#+ (.*)$", _BLOCK.sub("", page.read_text()), re.MULTILINE):
        words = re.sub(r"[^\w\- ]", "", re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", title).lower()).replace(
            " ", "-"
        )
        same = sum(1 for one in found if one == words or re.fullmatch(rf"{re.escape(words)}-\d+", one))
        found.append(f"{words}-{same}" if same else words)
    return set(found)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_somewhere(page: Path) -> None:
    broken = []
    for link in _LINK.findall(_BLOCK.sub("", page.read_text())):
        if link.startswith("http"):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path) if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_the_readme_leads_to_every_page() -> None:
    linked = {
        (ROOT / link.partition("#")[0]).resolve() for link in _LINK.findall((ROOT / "README.md").read_text())
    }
    pages = {page.resolve() for page in (ROOT / "docs").rglob("*.md") if page.parent.name != "adr"}
    assert pages - linked == set()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_json_in_a_document_is_json(page: Path) -> None:
    for text in blocks(page, "json"):
        if not re.search(r"\.\.\.[ }\n]", text):
            json.loads(text)
