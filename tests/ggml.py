"""llama.cpp's C library for quantised rows, as llama-cpp-python brings it: the oracle of grids and packing."""

import ctypes
from pathlib import Path

import gguf
import llama_cpp
import numpy as np
from numpy.typing import NDArray


def load() -> ctypes.CDLL:
    """`libggml-base`, its functions declared."""
    library = ctypes.CDLL(str(Path(llama_cpp.__file__).parent / "lib" / "libggml-base.so"))
    size, address = ctypes.c_int64, ctypes.c_void_p
    library.ggml_quantize_chunk.restype = ctypes.c_size_t
    library.ggml_quantize_chunk.argtypes = [ctypes.c_int, address, address, size, size, size, address]
    return library


def quantize(
    library: ctypes.CDLL, type_name: str, weight: NDArray[np.float32], importance: NDArray[np.float32] | None = None
) -> NDArray[np.uint8]:
    """The bytes [out, bytes of a row] that C makes of `weight` [out, in]; `importance` [in] is its "imatrix"."""
    kind = gguf.GGMLQuantizationType[type_name]
    block, size = gguf.GGML_QUANT_SIZES[kind]
    rows, columns = weight.shape
    out = np.zeros((rows, columns // block * size), np.uint8)
    matrix = None if importance is None else importance.ctypes.data
    written = library.ggml_quantize_chunk(int(kind), weight.ctypes.data, out.ctypes.data, 0, rows, columns, matrix)
    assert written == out.nbytes
    return out


def dequantize(library: ctypes.CDLL, type_name: str, raw: NDArray[np.uint8], columns: int) -> NDArray[np.float32]:
    """The weights float32 [out, in] that C reads in rows of bytes."""
    out = np.zeros((len(raw), columns), np.float32)
    function = getattr(library, "dequantize_row_" + type_name.lower().replace("_k", "_K"))
    function(ctypes.c_void_p(raw.ctypes.data), ctypes.c_void_p(out.ctypes.data), ctypes.c_int64(out.size))
    return out
