"""Run a notebook and keep all that its kernel says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from nbclient import NotebookClient


class Listener(NotebookClient):
    """Runs a notebook and keeps all that the kernel said, comm messages among it."""

    def __init__(self, notebook: Any, folder: Path, cell_seconds: int) -> None:
        super().__init__(
            notebook,
            timeout=cell_seconds,
            allow_errors=True,
            store_widget_state=True,
            resources={"metadata": {"path": str(folder)}},
        )
        self.said: list[str] = []

    def process_message(self, msg: Any, cell: Any, cell_index: int) -> Any:
        if msg["msg_type"] != "execute_input":
            self.said.append(json.dumps(msg["content"], default=str))
            self.said += [bytes(buffer).decode("latin-1") for buffer in msg["buffers"]]
        return super().process_message(msg, cell, cell_index)
