"""What the settings of one key allow, and what its owner should be told about them."""

from collections.abc import Iterator, Sequence

from signatory.config import kinds
from signatory.config.models import KeyConfig
from signatory.policy import DEFAULT_KEY_POLICY, OPERATION_KINDS, KeyPolicy


def key_policy(settings: KeyConfig | None) -> KeyPolicy:
    """The policy of one key. No settings (`tezos.<key>:` with nothing after it) mean the default policy."""
    if settings is None:
        return DEFAULT_KEY_POLICY
    requests, operations = _named(settings)
    chains, clients = settings.allowed_chains, settings.authorized_keys
    return KeyPolicy(
        requests=kinds.requests(requests),
        operations=kinds.operations(operations),
        allowed_chains=None if chains is None else frozenset(chains),
        authorized_keys=None if clients is None else frozenset(client.id for client in clients),
        allow_proof_of_possession=settings.allow_proof_of_possession,
        log_payloads=settings.log_payloads,
    )


def advice(key: str, settings: KeyConfig, *, clients_known: bool) -> Iterator[str]:
    """Warnings about one key: old names, settings without effect, and settings that refuse everything."""
    if settings.allowed_operations is not None or settings.allowed_kinds is not None:
        yield _deprecated(settings)
    requests, operations = _named(settings)
    for old, new in dict.fromkeys(kinds.renamed([*requests, *operations])):
        if old in operations and new not in OPERATION_KINDS:
            yield f"`{old}` under `generic` is no operation of this protocol any more; remove it"
        else:
            yield f"`{old}` is an old name, write `{new}`"
    for kind, content in (settings.allow or {}).items():
        if content and kind != "generic":
            yield f"the list under `allow.{kind}` has no effect: only `generic` has one"
    if settings.allow_proof_of_possession and not key.startswith("tz4"):
        yield "`allow_proof_of_possession` has no effect: only tz4 keys prove possession"
    if settings.authorized_keys is not None and not clients_known:
        yield "`authorized_keys` without `server.authorized_keys` refuses everybody"


def _named(settings: KeyConfig) -> tuple[Sequence[str], Sequence[str]]:
    """Request and operation kinds as written; the deprecated lists count only where there is no `allow`."""
    if settings.allow is not None:
        return tuple(settings.allow), settings.allow.get("generic") or ()
    return settings.allowed_operations or (), settings.allowed_kinds or ()


def _deprecated(settings: KeyConfig) -> str:
    if settings.allow is not None:
        return "`allowed_operations` and `allowed_kinds` have no effect beside `allow`; remove them"
    operations = ", ".join(settings.allowed_kinds or ())
    lists = [
        f"{name}: [{operations}]" if name == "generic" else f"{name}: "
        for name in settings.allowed_operations or ()
    ]
    instead = f"allow: {{{', '.join(lists)}}}"
    return f"`allowed_operations` and `allowed_kinds` are deprecated; write `{instead}`"
