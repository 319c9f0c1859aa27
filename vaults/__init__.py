"""The drivers of this distribution: the name in a configuration, and where its class is, for lazy import."""

from collections.abc import Mapping

DRIVERS: Mapping[str, str] = {
    "file": "vaults.file:FileVault",
    "mem": "vaults.memory:MemoryVault",
    "nitro": "vaults.nitro.driver:NitroVault",
}
