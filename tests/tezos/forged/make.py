"""Forge operation groups with pytezos, an implementation of its own, and write down what is in them.

pytezos cannot be in the lock: some of what it needs has no wheels. Run it in an environment of its own; the
same file comes out every time:

    python -m venv forge-env && forge-env/bin/pip install pytezos==3.20.0
    forge-env/bin/python tests/tezos/forged/make.py

Each row of operations.json has the bytes to sign, and for each operation: name, source, fee, amount, and the
accounts that get money, tickets or rights. Consensus rows have kind, level and round instead.
"""

import json
import random
from pathlib import Path
from typing import Any

import base58

FILE = Path(__file__).with_name("operations.json")
GROUPS = 400
SEED = 20_250_925

Content = dict[str, Any]
Row = dict[str, Any]

ADDRESSES = ("06a19f", "06a1a1", "06a1a4", "06a1a6", "06a1a9")
KEYS = {"0d0f25d9": 32, "03fee256": 33, "03b28b7f": 33, "069587cc": 48, "0d07ed43": 1312}
OWN = ("stake", "unstake", "finalize_unstake", "set_delegate_parameters")
CHAIN = bytes.fromhex("7a06a770")


class Forge:
    """Random parts of operations, always the same for one seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)  # noqa: S311 - reproducible on purpose, nothing secret

    def text(self, prefix: str, size: int) -> str:
        return base58.b58encode_check(bytes.fromhex(prefix) + self.random.randbytes(size)).decode()

    def implicit(self) -> str:
        return self.text(self.random.choice(ADDRESSES), 20)

    def account(self) -> str:
        return self.text("025a79", 20) if self.random.random() < 0.5 else self.implicit()

    def number(self, bits: int = 63) -> str:
        return str(self.random.getrandbits(self.random.randint(1, bits)))

    def micheline(self, depth: int = 0) -> Any:
        kind = self.random.randrange(7 if depth < 4 else 3)
        if kind == 0:
            return {"int": str(self.random.randint(-(2**80), 2**80))}
        if kind == 1:
            return {"string": "".join(self.random.choices("abcxyz _", k=self.random.randrange(9)))}
        if kind == 2:
            return {"bytes": self.random.randbytes(self.random.randrange(9)).hex()}
        if kind == 3:
            return [self.micheline(depth + 1) for _ in range(self.random.randrange(4))]
        node: Content = {"prim": self.random.choice(["Pair", "Some", "Left", "Unit", "PUSH", "pair"])}
        if count := self.random.randrange(5):
            node["args"] = [self.micheline(depth + 1) for _ in range(count)]
        if self.random.random() < 0.3:
            node["annots"] = [self.random.choice(["%a", ":type", "@name"])]
        return node

    def manager(self, kind: str, **fields: Any) -> Content:
        return {
            "kind": kind,
            "source": self.implicit(),
            "fee": self.number(),
            "counter": self.number(),
            "gas_limit": self.number(),
            "storage_limit": self.number(),
            **fields,
        }


def told(content: Content, name: str = "", amount: int | None = None, *destinations: str) -> list[Any]:
    """What is to be read."""
    fee = int(content["fee"]) if "fee" in content else None
    return [name or content["kind"], content.get("source"), fee, amount, list(destinations)]


def transaction(forge: Forge) -> tuple[Content, list[Any]]:
    content = forge.manager("transaction", amount=forge.number(), destination=forge.account())
    name = ""
    if forge.random.random() < 0.6:
        entrypoint = forge.random.choice(["default", "root", "do", "deposit", "buy", "a" * 31, *OWN])
        content["parameters"] = {"entrypoint": entrypoint, "value": forge.micheline()}
        if entrypoint in OWN and forge.random.random() < 0.7:
            content["destination"] = content["source"]
            name = entrypoint
    return content, told(content, name, int(content["amount"]), content["destination"])


def origination(forge: Forge) -> tuple[Content, list[Any]]:
    script = {"code": forge.micheline(), "storage": forge.micheline()}
    content = forge.manager("origination", balance=forge.number(), script=script)
    delegates = _delegate(forge, content)
    return content, told(content, "", int(content["balance"]), *delegates)


def delegation(forge: Forge) -> tuple[Content, list[Any]]:
    content = forge.manager("delegation")
    return content, told(content, "", None, *_delegate(forge, content))


def _delegate(forge: Forge, content: Content) -> list[str]:
    if forge.random.random() < 0.5:
        return []
    content["delegate"] = forge.implicit()
    return [content["delegate"]]


def reveal(forge: Forge) -> tuple[Content, list[Any]]:
    families = [*KEYS.items()]
    prefix, size = families[forge.random.choice([0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4])]
    content = forge.manager("reveal", public_key=forge.text(prefix, size))
    if size == 48:
        content["proof"] = forge.text("28ab40cf", 96)
    return content, told(content)


def constant(forge: Forge) -> tuple[Content, list[Any]]:
    content = forge.manager("register_global_constant", value=forge.micheline())
    return content, told(content)


def ticket(forge: Forge) -> tuple[Content, list[Any]]:
    content = forge.manager(
        "transfer_ticket",
        ticket_contents=forge.micheline(),
        ticket_ty=forge.micheline(),
        ticket_ticketer=forge.account(),
        ticket_amount=str(int(forge.number(200)) + 1),
        destination=forge.account(),
        entrypoint=forge.random.choice(["default", "save", "", "x" * 31]),
    )
    return content, told(content, "", None, content["destination"])


def messages(forge: Forge) -> tuple[Content, list[Any]]:
    sent = [
        forge.random.randbytes(forge.random.randrange(40)).hex() for _ in range(forge.random.randrange(4))
    ]
    content = forge.manager("smart_rollup_add_messages", message=sent)
    return content, told(content)


def outbox(forge: Forge) -> tuple[Content, list[Any]]:
    content = forge.manager(
        "smart_rollup_execute_outbox_message",
        rollup=forge.text("067c75", 20),
        cemented_commitment=forge.text("11a5868a", 32),
        output_proof=forge.random.randbytes(40).hex(),
    )
    return content, told(content)


def noop(forge: Forge) -> tuple[Content, list[Any]]:
    content: Content = {"kind": "failing_noop", "arbitrary": forge.number()}
    return content, told(content)


def activation(forge: Forge) -> tuple[Content, list[Any]]:
    account = forge.text("06a19f", 20)
    content: Content = {
        "kind": "activate_account",
        "pkh": account,
        "secret": forge.random.randbytes(20).hex(),
    }
    return content, told(content, "", None, account)


def consensus(forge: Forge, kind: str) -> Content:
    content: Content = {
        "kind": kind,
        "slot": forge.random.randrange(2**16),
        "level": forge.random.randrange(2**31),
        "round": forge.random.randrange(2**31),
        "block_payload_hash": forge.text("016af2", 32),
    }
    if kind == "attestation" and forge.random.random() < 0.5:
        content["dal_attestation"] = forge.number(70)
    return content


def aggregate(forge: Forge) -> tuple[Content, list[Any]]:
    kind = forge.random.choice(["preattestations_aggregate", "attestations_aggregate"])
    slots: list[Any] = [forge.random.randrange(2**16) for _ in range(forge.random.randrange(5))]
    if kind == "attestations_aggregate":
        slots = [{"slot": slot} for slot in slots]
        for member in slots[::2]:
            member["dal_attestation"] = forge.number(70)
    content = {"kind": kind, "consensus_content": consensus(forge, kind), "committee": slots}
    return content, told(content)


def accusation(forge: Forge) -> tuple[Content, list[Any]]:
    kind = forge.random.choice(["preattestation", "attestation"])
    both = [
        {
            "branch": forge.text("0134", 32),
            "operations": consensus(forge, kind),
            "signature": forge.text("04822b", 64),
        }
        for _ in range(2)
    ]
    slot = forge.random.randrange(2**16)
    content = {"kind": "double_consensus_operation_evidence", "slot": slot, "op1": both[0], "op2": both[1]}
    return content, told(content)


MAKERS = (
    transaction,
    transaction,
    transaction,
    origination,
    delegation,
    reveal,
    constant,
    ticket,
    messages,
    outbox,
    noop,
    activation,
    aggregate,
    accusation,
)


def rows() -> list[Row]:
    """All rows. Raises ImportError without pytezos."""
    from pytezos.operation.forge import forge_operation, forge_operation_group  # noqa: PLC0415 - see above

    forge = Forge(SEED)
    made = []
    for index in range(GROUPS):
        branch = forge.text("0134", 32)
        count = 1 if index < 2 * len(MAKERS) else forge.random.choice([1, 1, 2, 3])
        makers = [MAKERS[(index + extra * 5) % len(MAKERS)] for extra in range(count)]
        parts = [maker(forge) for maker in makers]
        group = {"branch": branch, "contents": [content for content, _ in parts]}
        message = "03" + forge_operation_group(group).hex()
        made.append({"message": message, "operations": [read for _, read in parts]})
    for index in range(40):
        content = consensus(forge, ("preattestation", "attestation")[index % 2])
        magic = b"\x12" if index % 2 == 0 else b"\x13"
        kind = "attestation_with_dal" if "dal_attestation" in content else content["kind"]
        message = (magic + CHAIN + forge.random.randbytes(32) + forge_operation(content)).hex()
        made.append({"message": message, "kind": kind, "level": content["level"], "round": content["round"]})
    return made


if __name__ == "__main__":
    lines = ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows())
    FILE.write_text(f'{{"made_by": "pytezos 3.20.0, make.py", "rows": [\n{lines}\n]}}\n', "utf-8")
