"""The store of marks that a configuration names, for the daemon and for the commands."""

from pathlib import Path

from signatory.config.load import Config
from signatory.config.watermark import AnchorConfig
from signatory.watermark.anchor import Anchor, FileAnchor
from signatory.watermark.file import FileStore
from signatory.watermark.memory import MemoryStore
from signatory.watermark.store import WatermarkStore


def store_of(config: Config, *, accept_restored: bool = False) -> WatermarkStore:
    """The store, not open yet; nothing is touched before it is.

    `accept_restored` takes a folder that its anchor shows to be an old copy, for a command that raises what
    it holds. The daemon never asks for that.
    """
    section = config.watermark
    if section.driver == "mem":
        return MemoryStore()
    if section.table is not None:
        from signatory.watermark.dynamodb import DynamoStore  # noqa: PLC0415  # only who uses a table loads it

        return DynamoStore(section.table)
    return FileStore(config.base_dir, anchor=_anchor(section.anchor), accept_restored=accept_restored)


def _anchor(section: AnchorConfig | None) -> Anchor | None:
    if section is None:
        return None
    if section.dynamodb is None:
        return FileAnchor(Path(section.file or ""))
    from signatory.watermark.dynamodb import DynamoAnchor  # noqa: PLC0415  # only who uses a table loads it

    return DynamoAnchor(section.dynamodb.settings, section.dynamodb.key)
