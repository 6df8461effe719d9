"""What a storage lists."""

from samx.storage import Storage


def keys(storage: Storage, prefix: str = "") -> list[str]:
    return [stored.key for stored in storage.list(prefix)]
