"""Asks a SAM-X service over HTTP: `Client`, and `AsyncClient` for event loops. Needs the extra `client` (httpx).

Example:
    ```python
    from samx.client import Client

    with Client("http://127.0.0.1:3000") as client:
        answer = client.classify("radiograph.dcm", top_k=3)
        print(answer.decision, [(entry.label, entry.probability) for entry in answer.classes])
    ```

File names are never sent, as they may hold patients' names.
"""

from samx.client.asynchronous import AsyncClient
from samx.client.retrying import Retry
from samx.client.synchronous import Client

__all__ = ["AsyncClient", "Client", "Retry"]
