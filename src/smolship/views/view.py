"""`View`: one result as tables for a person and as plain data for `--json`, from the same figures."""

import json
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class View:
    """One result in both forms."""

    tables: tuple[Table, ...]
    data: Any
    notes: tuple[str, ...] = ()

    def show(self, console: Console, *, as_json: bool) -> None:
        """Print the tables, or the data as JSON."""
        if as_json:
            escaped = not console.encoding.startswith("utf")  # a stream's own escapes are not JSON's
            console.file.write(json.dumps(self.data, indent=2, ensure_ascii=escaped) + "\n")
            return
        for made in self.tables:
            console.print(made)
        for note in self.notes:
            console.print(note, markup=False, soft_wrap=True)
