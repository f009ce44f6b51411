"""An entry of a JSON file set or removed, as a person would with an editor."""

import json
from pathlib import Path
from typing import Any


def edit(path: Path, **entries: Any) -> None:
    """Set entries of a JSON file; `...` removes one."""
    before = json.loads(path.read_text(encoding="utf-8"))
    after = {key: value for key, value in (before | entries).items() if value is not ...}
    path.write_text(json.dumps(after, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
