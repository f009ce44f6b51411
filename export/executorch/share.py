"""Storing the tied embedding once: the head's weights in XNNPACK's data become a window on the embedding's constants.

ExecuTorch files a constant of the embedding operator and a weight of the delegate in different segments, even if their
bytes are equal. A segment is only an offset and a size, so the head's is pointed at the embedding's bytes and its own
are cut out: 28 MB less for the 135M model in 8 bits, 14 MB less in 4 bits.
"""

import struct

from smolship.errors import RuntimeFailure
from smolship.export.executorch.names import EMBEDDING_OPERATORS, StoredTensor
from smolship.export.executorch.program import SIZES, PteFile, Segment


def share_embedding(data: bytes, head: StoredTensor) -> bytes:
    """The .pte with the head's codes stored only as the embedding's; `RuntimeFailure` if their bytes differ."""
    pte = PteFile(data)
    codes = pte.constant_operands("forward", EMBEDDING_OPERATORS[head.grid])[0]
    own = pte.segments[pte.named[head.codes]]
    if pte.bytes_at(codes.offset, own.size) != pte.bytes_at(own.offset, own.size):
        raise RuntimeFailure(
            "ExecuTorch packs the tied embedding otherwise than expected; use the one of the lock file"
        )
    return _cut(pte, own, codes.offset)


def _cut(pte: PteFile, own: Segment, twin: int) -> bytes:
    """The file without the bytes of `own`, which then begins at `twin`; what lay behind it moves up."""
    behind = min((s.offset for s in pte.segments if s.offset > own.offset), default=pte.total)
    removed = behind - own.offset  # a multiple of the alignment, as both offsets are
    result = bytearray(pte.data)
    for segment in pte.segments:
        if segment.offset > own.offset:
            struct.pack_into("<Q", result, segment.position, segment.offset - removed)
    struct.pack_into("<Q", result, own.position, twin)
    struct.pack_into("<Q", result, SIZES + 16, pte.total - removed)
    del result[pte.base + own.offset : pte.base + behind]
    return bytes(result)
