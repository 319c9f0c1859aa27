"""What the settings of one key allow, and what its owner should be told about them."""

from collections.abc import Collection, Iterator, Sequence

from signatory.config import kinds
from signatory.config.keys import KeyConfig, LimitsConfig
from signatory.config.problems import shown, suggestion
from signatory.policy.kinds import OPERATION_KINDS
from signatory.policy.values import DEFAULT_KEY_POLICY, DEFAULT_SPAN, KeyLimits, KeyPolicy
from signatory.watermark.rules import slot_of


def key_policy(settings: KeyConfig | None) -> KeyPolicy:
    """The policy of one key. No settings (`tezos.<key>:` with nothing after it) mean the default policy."""
    if settings is None:
        return DEFAULT_KEY_POLICY
    requests, operations = _named(settings)
    chains, clients, users = settings.allowed_chains, settings.authorized_keys, settings.jwt_users
    return KeyPolicy(
        requests=kinds.requests(requests),
        operations=kinds.operations(operations),
        allowed_chains=None if chains is None else frozenset(chains),
        authorized_keys=None if clients is None else frozenset(client.id for client in clients),
        jwt_users=None if users is None else frozenset(users),
        allow_proof_of_possession=settings.allow_proof_of_possession,
        prove_possession_for=frozenset(aggregate.text for aggregate in settings.prove_possession_for),
        allow_trailing_bytes=settings.allow_trailing_bytes,
        log_payloads=settings.log_payloads,
        limits=_limits(settings.limits),
    )


def advice(
    key: str, settings: KeyConfig, *, clients_known: bool, users: Collection[str] | None = None
) -> Iterator[str]:
    """Warnings about one key: old names, settings without effect, and settings that refuse everything.

    `users` are the names under `server.jwt`, None without it.
    """
    yield from _about_names(settings)
    yield from _about_possession(key, settings)
    yield from _about_clients(settings, users, clients_known=clients_known)
    yield from _about_limits(settings)
    if settings.allow_trailing_bytes:
        yield "`allow_trailing_bytes` signs what stands after the end of a request, and no rule reads it"


def _about_names(settings: KeyConfig) -> Iterator[str]:
    if settings.allowed_operations is not None or settings.allowed_kinds is not None:
        yield _deprecated(settings)
    requests, operations = _named(settings)
    for old, new in kinds.renamed(dict.fromkeys([*requests, *operations])):
        if old in requests or new in OPERATION_KINDS:
            yield f"`{old}` is an old name, write `{new}`"
        if old in operations and new not in OPERATION_KINDS:
            yield f"`{old}` under `generic` is `{new}`, an operation in requests of version 1 only"
    for kind, content in (settings.allow or {}).items():
        if content and kind != "generic":
            yield f"the list under `allow.{kind}` has no effect: only `generic` has one"


def _about_possession(key: str, settings: KeyConfig) -> Iterator[str]:
    names = [
        name
        for name, given in (
            ("allow_proof_of_possession", settings.allow_proof_of_possession),
            ("prove_possession_for", settings.prove_possession_for),
        )
        if given
    ]
    if not key.startswith("tz4"):
        yield from (f"`{name}` has no effect: only tz4 keys prove possession" for name in names)
    elif names == ["prove_possession_for"]:
        yield "`prove_possession_for` has no effect without `allow_proof_of_possession`"


def _about_clients(
    settings: KeyConfig, users: Collection[str] | None, *, clients_known: bool
) -> Iterator[str]:
    if settings.authorized_keys is not None and not clients_known:
        yield "`authorized_keys` without `server.authorized_keys` refuses everybody"
    if settings.jwt_users is not None and users is None:
        yield "`jwt_users` without `server.jwt` has no effect"
    for name in settings.jwt_users or ():
        if users is not None and name not in users:
            yield f"there is no user `{shown(name)}` in `server.jwt`{suggestion(name, users)}"


def _about_limits(settings: KeyConfig) -> Iterator[str]:
    limits = settings.limits
    requests = kinds.requests(_named(settings)[0])
    if "generic" not in requests:
        for name in ("max_amount", "max_fee", "destinations"):
            if getattr(limits, name) is not None:
                yield f"`limits.{name}` has no effect: this key signs no operations"
    if limits.max_level_step is not None and not any(slot_of(kind) for kind in requests):
        yield "`limits.max_level_step` has no effect: this key signs nothing that has a level"
    if limits.rate is not None and not requests:
        yield "`limits.rate` has no effect: this key signs nothing"


def _limits(settings: LimitsConfig) -> KeyLimits:
    reach, rate = settings.destinations, settings.rate
    return KeyLimits(
        max_amount=settings.max_amount,
        max_fee=settings.max_fee,
        destinations=None if reach is None else frozenset(reach),
        rate=None if rate is None else rate.requests,
        rate_seconds=DEFAULT_SPAN if rate is None else rate.seconds,
        max_level_step=settings.max_level_step,
    )


def _named(settings: KeyConfig) -> tuple[Sequence[str], Sequence[str]]:
    """Request and operation kinds as written; the deprecated lists count only where there is no `allow`."""
    if settings.allow is not None:
        return tuple(settings.allow), settings.allow.get("generic") or ()
    return settings.allowed_operations or (), settings.allowed_kinds or ()


def _deprecated(settings: KeyConfig) -> str:
    if settings.allow is not None:
        return "`allowed_operations` and `allowed_kinds` have no effect beside `allow`; remove them"
    requests = dict.fromkeys(kinds.current_request(name) for name in settings.allowed_operations or ())
    operations = dict.fromkeys(kinds.current_operation(name) for name in settings.allowed_kinds or ())
    lists = [f"{name}: [{', '.join(operations)}]" if name == "generic" else f"{name}: " for name in requests]
    instead = f"allow: {{{', '.join(lists)}}}"
    return f"`allowed_operations` and `allowed_kinds` are deprecated; write `{instead}`"
