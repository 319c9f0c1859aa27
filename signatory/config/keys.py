"""The entries under `tezos:`: what one key may sign."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, field_validator, model_validator

from signatory.config.kinds import unknown_operations, unknown_requests
from signatory.config.problems import Findings, shown
from signatory.config.section import PublicKeys, Section
from signatory.crypto.curves import KeyType
from signatory.crypto.keypair import check_public
from signatory.errors import SignatoryError
from signatory.policy.limits import MUTEZ_END
from signatory.policy.values import DEFAULT_SPAN, MAX_RATE
from signatory.tezos.base58 import decode
from signatory.tezos.keys import PublicKey

DAY = 86_400
"""Seconds: what a rate may look back at most."""

_LAST_LEVEL = 2**31 - 1
_ACCOUNTS = frozenset({"tz1", "tz2", "tz3", "tz4", "tz5", "KT1", "sr1"})


def _no_flag(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("must be a number")  # noqa: TRY004  # pydantic's contract
    return value


def _mutez(value: Any) -> Any:
    value = _no_flag(value)
    if isinstance(value, (str, float)) and not str(value).strip().lstrip("-").isdecimal():
        raise ValueError("must be a whole number of mutez; 1 tez is 1000000")
    return value


Mutez = Annotated[int, Field(ge=0, lt=MUTEZ_END), BeforeValidator(_mutez)]


class RateConfig(Section):
    """So many requests in so many seconds, wherever one starts to count."""

    requests: Annotated[int, Field(ge=1, le=MAX_RATE), BeforeValidator(_no_flag)]
    seconds: Annotated[float, Field(gt=0, le=DAY, allow_inf_nan=False), BeforeValidator(_no_flag)] = (
        DEFAULT_SPAN
    )


class LimitsConfig(Section):
    """Ours: how much one key may do. What is absent is not limited; what is there has a value."""

    max_amount: Mutez | None = None
    """Mutez that the operations of one request may move together."""
    max_fee: Mutez | None = None
    """Mutez of their fees together."""
    destinations: tuple[str, ...] | None = None
    """Who may get money or rights; empty: nobody."""
    rate: RateConfig | None = None
    max_level_step: Annotated[int, Field(ge=1, le=_LAST_LEVEL), BeforeValidator(_no_flag)] | None = None
    """Levels that one request may lie above the mark of its slot."""

    @model_validator(mode="before")
    @classmethod
    def _with_values(cls, data: Any) -> Any:
        """A limit whose value was forgotten, or commented out, must not become no limit."""
        names = [name for name, value in data.items() if value is None] if isinstance(data, dict) else []
        if bare := [name for name in names if name in cls.model_fields]:
            raise Findings(((name,), _no_limit(name)) for name in bare)
        return data

    @field_validator("destinations")
    @classmethod
    def _accounts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        bad = [(place, text) for place, text in enumerate(value) if _named(text) not in _ACCOUNTS]
        if bad:
            raise Findings(
                ((place,), f"`{shown(text)}` is not an account (`tz1...` to `tz5...`, `KT1...`, `sr1...`)")
                for place, text in bad
            )
        return value


class KeyConfig(Section):
    """What one key may sign. `{}` allows nothing; nothing at all means the default policy."""

    allow: dict[str, Any] | None = None
    allowed_operations: tuple[str, ...] | None = None
    allowed_kinds: tuple[str, ...] | None = None
    allowed_chains: tuple[str, ...] | None = None
    allow_proof_of_possession: bool = False
    prove_possession_for: PublicKeys = ()
    """Ours: aggregate keys, `BLpk...`, for which the key may make a proof beside its own."""
    allow_trailing_bytes: bool = False
    """Ours: sign what stands after the end of a message, which no rule reads, as Signatory does."""
    log_payloads: bool = False
    authorized_keys: PublicKeys | None = None
    vault: str | None = None
    jwt_users: tuple[str, ...] | None = None
    """None: every user who logged in. Empty: nobody."""
    limits: LimitsConfig = LimitsConfig()

    @field_validator("allow")
    @classmethod
    def _known_allow(cls, value: dict[str, Any]) -> dict[str, Any]:
        found = [((kind,), text) for kind, text in unknown_requests(value, "allow")]
        generic = value.get("generic")
        if generic is None:
            generic = []
        if not isinstance(generic, list) or not all(isinstance(one, str) for one in generic):
            found.append((("generic",), "takes a list of operation kinds"))
        else:
            found += [(("generic",), text) for _, text in unknown_operations(generic, "allow.generic")]
        if found:
            raise Findings(found)
        return value

    @field_validator("allowed_operations")
    @classmethod
    def _known_requests(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if found := unknown_requests(value, "allowed_operations"):
            raise Findings(((), text) for _, text in found)
        return value

    @field_validator("allowed_kinds")
    @classmethod
    def _known_operations(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if found := unknown_operations(value, "allowed_kinds"):
            raise Findings(((), text) for _, text in found)
        return value

    @field_validator("allowed_chains")
    @classmethod
    def _chains(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        bad = [(place, text) for place, text in enumerate(value) if _named(text) != "Net"]
        if bad:
            raise Findings(
                ((place,), f"`{shown(text)}` is not a chain id (`NetX...`)") for place, text in bad
            )
        return value

    @field_validator("prove_possession_for")
    @classmethod
    def _aggregates(cls, value: tuple[PublicKey, ...]) -> tuple[PublicKey, ...]:
        bad = [((place,), text) for place, key in enumerate(value) if (text := _no_aggregate(key))]
        if bad:
            raise Findings(bad)
        return value


def _no_limit(name: str) -> str:
    nobody = "; `[]` is nobody" if name == "destinations" else ""
    return f"nothing stands after it; give a value, or leave the line out for no limit{nobody}"


def _no_aggregate(key: PublicKey) -> str | None:
    if key.type is not KeyType.BLS:
        return "only BLS keys (`BLpk...`) are aggregated"
    try:
        check_public(key.type, key.data)
    except SignatoryError as error:
        return str(error)
    return None


def _named(text: str) -> str:
    """The prefix of a Base58 text of Tezos, such as `tz1`; empty for anything else."""
    try:
        return decode(text)[0].name
    except SignatoryError:
        return ""
