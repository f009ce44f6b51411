"""A JSON object read from a checkpoint's folder."""

import json
from pathlib import Path
from typing import Any

from smolship.checkpoint.refused.stand_ins import refuse_stand_in
from smolship.errors import InputError


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file; `InputError` if the file is missing, not UTF-8, malformed or holds something else."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path.parent} has no {path.name}, wanted one: fetch the whole checkpoint") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text (byte {error.start}): fetch the file again") from error
    except json.JSONDecodeError as error:
        refuse_stand_in(path)
        raise InputError(
            f"{path} is malformed JSON at line {error.lineno} ({error.msg}): fetch or repair the file"
        ) from error
    if not isinstance(value, dict):
        raise InputError(f"{path} holds a JSON {type(value).__name__}, wanted an object: fetch or repair the file")
    return value
