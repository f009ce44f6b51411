"""Files that this tool did not make: recognised, described from what stands in them, held against a checkpoint.

Nothing is ever written beside them. `open_artefact` tells them from artefacts of ours; a `ForeignFile` becomes an
`Artefact` when it is bound to the checkpoint that it is said to be made from.
"""

from smolship.foreign.foreign_file import ForeignFile
from smolship.foreign.opening import Opened, open_artefact

__all__ = ["ForeignFile", "Opened", "open_artefact"]
