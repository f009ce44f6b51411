"""`Record`: data at a border, checked when it is read and never changed."""

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """What is written as JSON; an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")
