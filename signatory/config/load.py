"""The configuration file: read, expanded, judged whole, and turned into values that the rest trusts."""

import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from signatory.config.check import check
from signatory.config.document import MAX_BYTES, Parsed, examine
from signatory.config.exposed import exposed
from signatory.config.hook import advice as hook_advice
from signatory.config.jwt import login_advice, users_of
from signatory.config.keys import KeyConfig
from signatory.config.models import DEFAULT_BASE_DIR, Config, VaultConfig
from signatory.config.policy import advice, key_policy
from signatory.config.problems import ConfigProblemsError, Problem, shown, suggestion
from signatory.config.problems import Path as Place
from signatory.config.section import HostPort
from signatory.config.server import ServerConfig
from signatory.config.unset import unset
from signatory.config.watermark import WatermarkConfig
from signatory.errors import ConfigError
from signatory.policy.values import Policy

__all__ = [
    "DEFAULT_BASE_DIR",
    "DEFAULT_FILE",
    "Config",
    "ConfigProblemsError",
    "HostPort",
    "KeyConfig",
    "ServerConfig",
    "VaultConfig",
    "WatermarkConfig",
    "load",
    "policy_of",
    "prepare_base_dir",
    "read",
]

DEFAULT_FILE = "/etc/signatory.yaml"

VaultCheck = Callable[[Mapping[str, Any]], tuple[list[Problem], list[Problem]]]
"""Judges the raw `vaults:` block, variables expanded: problems, and unknown keys let pass."""

_VARIABLE = re.compile(r"\$(?:\{([A-Za-z_][A-Za-z0-9_]*)\}|([A-Za-z_][A-Za-z0-9_]*))")
_WHOLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def load(
    path: Path | str | None,
    *,
    base_dir: Path | str | None = None,
    allow_unknown: bool = False,
    env: Mapping[str, str] = os.environ,
    vaults: VaultCheck | None = None,
) -> Config:
    """Read a file; no file (None or "") means the defaults. `base_dir` wins over the file's.

    Raises ConfigProblemsError with everything that is wrong at once; with `allow_unknown` unknown keys are
    only told in `Config.warnings`. `vaults` adds the judgement of the drivers to the same list.
    """
    data, mode = _contents(Path(path)) if path and str(path) else (b"", 0)
    return read(
        data,
        str(path or ""),
        base_dir=base_dir,
        allow_unknown=allow_unknown,
        env=env,
        vaults=vaults,
        mode=mode,
    )


def read(
    data: bytes,
    source: str = "",
    *,
    base_dir: Path | str | None = None,
    allow_unknown: bool = False,
    env: Mapping[str, str] = os.environ,
    vaults: VaultCheck | None = None,
    mode: int = 0,
) -> Config:
    """The same from bytes; `source` is the name used in messages, `mode` the file's; raises as `load`."""
    if base_dir is not None:
        base_dir = _of_option(str(base_dir), env)
    try:
        parsed = examine(data)
        tree, problems = _expanded(parsed, base_dir, env)
    except ConfigProblemsError as error:
        raise ConfigProblemsError(error.problems, source=source) from None
    checked = check(Config, tree, allow_unknown=allow_unknown)
    unknown = list(checked.unknown)
    told = _spoiled(problems)
    problems += [problem for problem in (*checked.problems, *_across(tree)) if problem.path not in told]
    if vaults is not None and isinstance(tree.get("vaults"), dict):
        found, passed = vaults(tree["vaults"])
        problems += [problem for problem in found if problem.path not in told]
        unknown += passed
    if problems or checked.model is None:
        raise ConfigProblemsError(_placed(problems, parsed), source=source)
    warnings = [*exposed(source, mode, parsed.value), *map(str, _placed([*unknown, *unset(tree)], parsed))]
    checked.model._warnings = (*warnings, *_advice(checked.model))  # noqa: SLF001  # set once, before anybody sees it
    checked.model._source = source  # noqa: SLF001  # same
    return checked.model


def policy_of(config: Config) -> Policy:
    """What the keys may sign and who may ask, as one immutable snapshot."""
    keys = {key: key_policy(settings) for key, settings in config.tezos.items()}
    jwt = config.server.jwt
    users = None if jwt is None else users_of(jwt)
    return Policy(keys=keys, clients=config.server.authorized_keys, users=users)


def prepare_base_dir(config: Config) -> Path:
    """Make the base folder (mode 0770) where it is missing and prove that files can be written there.

    Raises ConfigError.
    """
    folder = config.base_dir
    probe = folder / f".write-test.{os.getpid()}"
    try:
        folder.mkdir(mode=0o770, parents=True, exist_ok=True)
        probe.touch(mode=0o600)
        probe.unlink()
    except OSError as error:
        hint = "make it writable for this user, or choose another with --base-dir or `base_dir:`"
        raise ConfigError(f"cannot use the base folder {folder}: {error.strerror}", hint=hint) from error
    return folder


def _contents(path: Path) -> tuple[bytes, int]:
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1), os.fstat(file.fileno()).st_mode
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a file name"
        hint = "name the file with -c; `-c ''` uses the defaults"
        raise ConfigError(f"cannot read the configuration {path}: {reason}", hint=hint) from error


def _of_option(text: str, env: Mapping[str, str]) -> str:
    """What `--base-dir` means. Raises ConfigProblemsError: a mistake in it is none of the file's."""
    problems: list[Problem] = []
    folder = _variables(text, ("--base-dir",), env, problems)
    if not problems and not folder:
        problems.append(Problem(("--base-dir",), "is empty; name a folder"))
    if problems:
        raise ConfigProblemsError(problems)
    return folder


def _expanded(
    parsed: Parsed, base_dir: Path | str | None, env: Mapping[str, str]
) -> tuple[dict[str, Any], list[Problem]]:
    tree = {} if parsed.value is None else parsed.value
    problems = list(parsed.problems)
    if not isinstance(tree, dict):
        raise ConfigProblemsError(
            problems or [Problem((), "the file must be a mapping of keys to values", 1)]
        )
    tree = dict(tree)
    if base_dir is not None:
        tree["base_dir"] = str(base_dir)
    elif isinstance(tree.get("base_dir"), str):
        tree["base_dir"] = _variables(tree["base_dir"], ("base_dir",), env, problems)
    if isinstance(tree.get("vaults"), dict):
        # As in the drivers' paths: BASE_DIR means `base_dir` where the environment has none.
        known = {"BASE_DIR": str(tree.get("base_dir") or DEFAULT_BASE_DIR), **env}
        tree["vaults"] = {
            name: {**entry, "config": _whole(entry["config"], ("vaults", name, "config"), known, problems)}
            if isinstance(entry, dict) and "config" in entry
            else entry
            for name, entry in tree["vaults"].items()
        }
    server = tree.get("server")
    if isinstance(server, dict) and "jwt" in server:
        jwt = _whole(server["jwt"], ("server", "jwt"), env, problems)
        tree["server"] = {**server, "jwt": jwt}
    marks = tree.get("watermark")
    if isinstance(marks, dict) and "config" in marks:
        block = _whole(marks["config"], ("watermark", "config"), env, problems)
        tree["watermark"] = {**marks, "config": block}
    return tree, problems


def _variables(text: str, place: Place, env: Mapping[str, str], problems: list[Problem]) -> str:
    def value(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        if not env.get(name):
            problems.append(Problem(place, f"the environment variable {name} is not set"))
        return env.get(name, "")

    return _VARIABLE.sub(value, text)


def _spoiled(problems: Iterable[Problem]) -> set[Place]:
    """Places not to judge: those with a problem already, and the users and drivers' blocks around them.

    A password whose variable is not set would be told as a weak one too.
    """
    return {problem.path[:end] for problem in problems for end in (*range(4, len(problem.path)), None)}


def _whole(value: Any, place: Place, env: Mapping[str, str], problems: list[Problem]) -> Any:
    """Expand each text that is exactly `${NAME}`; nothing else is touched."""
    if isinstance(value, dict):
        return {key: _whole(item, (*place, key), env, problems) for key, item in value.items()}
    if isinstance(value, list):
        return [_whole(item, (*place, position), env, problems) for position, item in enumerate(value)]
    match = _WHOLE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return value
    if match[1] not in env:
        problems.append(Problem(place, f"the environment variable {match[1]} is not set"))
    return env.get(match[1], value)


def _placed(problems: Iterable[Problem], parsed: Parsed) -> list[Problem]:
    """Each problem with its line, in the order of the file."""
    return sorted((_with_line(problem, parsed) for problem in problems), key=lambda problem: problem.line)


def _with_line(problem: Problem, parsed: Parsed) -> Problem:
    place = problem.path
    if problem.line:
        return problem
    while place and place not in parsed.lines:
        place = place[:-1]
    return Problem(problem.path, problem.text, parsed.lines[place] if place else 0)


def _across(tree: Mapping[str, Any]) -> list[Problem]:
    """What only shows when two sections are held together: vaults of keys, ways to authenticate."""
    keys, vaults, server = tree.get("tezos"), tree.get("vaults"), tree.get("server")
    vaults = vaults if isinstance(vaults, dict) else {}
    problems = []
    both = ("jwt", "authorized_keys")
    if isinstance(server, dict) and all(server.get(name) is not None for name in both):
        problems.append(Problem(("server", "jwt"), "cannot use both JWT and static authorized keys"))
    for key, settings in keys.items() if isinstance(keys, dict) else ():
        name = settings.get("vault") if isinstance(settings, dict) else None
        if isinstance(name, str) and name not in vaults:
            text = f"there is no vault `{shown(name)}`{suggestion(name, vaults)}"
            problems.append(Problem(("tezos", key, "vault"), text))
    return problems


def _advice(config: Config) -> list[str]:
    server, hook = config.server, config.policy_hook
    found = [] if hook is None else [f"policy_hook: {text}" for text in hook_advice(hook)]
    if server.jwt is not None:
        found += login_advice(server.jwt, server.address, tls=server.tls is not None)
    return [*found, *_key_advice(config)]


def _key_advice(config: Config) -> list[str]:
    clients, jwt = config.server.authorized_keys, config.server.jwt
    users = None if jwt is None else jwt.users
    return [
        f"tezos.{key}: {text}"
        for key, settings in config.tezos.items()
        if settings is not None
        for text in advice(key, settings, clients_known=clients is not None, users=users)
    ]
