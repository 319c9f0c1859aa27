"""What must hold before the first BLS key is touched: a fit processor, and twelve right answers.

No I/O here: the caller reads /proc/cpuinfo.
"""

from typing import NamedTuple

from signatory.crypto import bls, keypair
from signatory.crypto.curves import KeyType, SigningVersion
from signatory.errors import ConfigError, IntegrityError


class _Row(NamedTuple):
    material: str
    message: bytes
    public: str
    version_1: str
    version_2: str
    possession: str


# Three keys, four answers each. Made by py_ecc 8.0.0: KeyGen, G2MessageAugmentation.Sign,
# G2ProofOfPossession.Sign and PopProve; every signature was made again by py-arkworks-bls12381 0.5.0 as
# hash_to_curve(message, dst) * scalar.
_ROWS = (
    _Row(
        "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
        b"text",
        "9112a0386a2340714ba0c6d2df235377a8679c3899d03e6ef04dba7a50ef49e5a1dc93105e9374e93ed301b63487e17c",
        "8e691d9795c08c0fc030abdc040255b86990a35441ded57d9450f15e064b5675"
        "c2197fbffd7a0d9432497198468b592502964d16985f4633107d7907eabee485"
        "be2c72f7c15fbf068417d52bcebb1902ebd2a3cf9909ba10978bf5b0597d8180",
        "a8347f8f6c946a5be9ca8a80d10e20601e17b643695d7ccf44fb52fa76baa42a"
        "873181eaa79ba4a60b9b21f544f8b6f807dbd321dd82002f0132a32bd12d7ce6"
        "672403adf1a48013701adf8b39ccbe243195e0d3c290d011ae9c573622095650",
        "915993b4e43e717ec8079234490be46018bdc7d70e81de1bbec515844a3754cc"
        "0a387ddf825a2faa0984fa794a96b5a20da605161aa42c1d4028abeb3c52ffbf"
        "35d41bd26398e7110d0b6566e0b74b30b3431c4b821cc85a9d61ad5ffd3f9042",
    ),
    _Row(
        "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        b"",
        "b0aba28a81fe28a33e284f14ea83fea14f1803b46dfa5ff88766dd567f2d24ba181794e603ef8fdb43039af11d49b680",
        "b9e75bf4c267ed88c2b405e0163c90b3c3bfc65bba237f20e8296514e8b3f972"
        "528e3ebad4ab38b8265db371dc8a5baa0b5a709b6c5d658946e488dbf4b2cb54"
        "2125540fc469c3f35ea0482043fa09bf1e0586e70f8c5b02115a94c43babdeca",
        "97787a9912992e19b458b4baabd7ef852e2a9af61d49b3a4a12d2d66955f4cfe"
        "f96479febabb1139fbe9bb1e96bf38f90e97b61d9f975775c7a3974c55a0d54f"
        "0a70eb20faec77d845976de3e8f08d27c1ea64b9e03872d44b7733db531efc06",
        "98b8e2b1a23baac16f33b32808b8f584df6fc90584ce04651335ea6f8308d242"
        "66a19f6482563f2d7a56c187b6e0100817a2e7e8351372eaa26ced61301694f1"
        "39f98dd21c92fed402c9950a86e63745e43ad9fdae197f4566dba43beb92570c",
    ),
    _Row(
        "dd56de4137951d9c92681b03416ec15f886b4482a27e3a517d32f085244cbe5d21",
        bytes(range(256)),
        "8932b2f0b433d8d73b61ea36765380e4f85c98306e569641302673f40a5db4ffbd01f9bd5bcbafbc088fb1a02527f9dd",
        "8872985067483a74e79e260347f1d262b4e982fe5280fb120fb8e8a8cf865a4c"
        "00a59b7d7fffe9fbbf0727ecae18689e02e54bc137a98031c5283d744539fc0d"
        "4409d0d8d89a140e2ef1601dd3ec3b7fee926c88ea1a6eda692dca4b8cf3e488",
        "a11efb82d0c71e9b4443d3ccd555a2bb47dd03b0e20c9610c78163846254ed8c"
        "9321dcfea5aa515456aa490b8122b5a3066683d8c83a64b700c993bf79516ad0"
        "8693daf46fb13fc49d37bd4687a1aa905591220c2aa2ab2090b1189637b87a08",
        "96b25bd72fad5da030fec701ecf0fc1e18ad750015529901fc724929c4b2eab4"
        "8f7ff91faf28847a59dce374d46794791851d57e5855f0caa27640463a7ca461"
        "b58a03eae66a62672cc2efa89a0b2afece74d8917ae4a45a42efa640b0d6a8df",
    ),
)


def check_cpu(machine: str, cpuinfo: str) -> None:
    """Raise ConfigError where the BLS library would kill the process with an illegal instruction.

    `machine` is from `platform.machine()`, `cpuinfo` is the text of /proc/cpuinfo. Only x86-64 needs ADX.
    """
    if machine != "x86_64":
        return
    lines = (line for line in cpuinfo.splitlines() if line.startswith("flags"))
    flags = {word for line in lines for word in line.split()}
    if flags and "adx" not in flags:
        raise ConfigError(
            "this processor has no ADX instructions, without which the BLS library would be killed (SIGILL)",
            hint="run on an x86-64 processor from 2015 or later (Broadwell, Zen) or pass its flags on",
        )


def check_bls() -> None:
    """Compare twelve answers of the BLS library with golden ones. Raises IntegrityError for a wrong one."""
    for row in _ROWS:
        # The derivation is compared too: the public key follows from the material.
        pair = keypair.from_secret(KeyType.BLS, bls.derive(bytes.fromhex(row.material)))
        answers = {
            "public key": (pair.public, row.public),
            "signature of version 1": (pair.sign(row.message, SigningVersion.V1), row.version_1),
            "signature of version 2": (pair.sign(row.message, SigningVersion.V2), row.version_2),
            "proof of possession": (pair.prove(), row.possession),
        }
        for what, (answer, golden) in answers.items():
            if answer.hex() != golden:
                raise IntegrityError(
                    f"the BLS library computes a wrong {what}; no BLS key can be used with it",
                    hint="reinstall pyblst from the committed requirements",
                )
