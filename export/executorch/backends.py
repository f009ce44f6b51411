"""The backends that an ExecuTorch file can be lowered to, as a literal table; importing it imports none of them."""

from dataclasses import dataclass

from smolship.errors import unknown_name


@dataclass(frozen=True)
class Backend:
    """One line of the table."""

    name: str
    title: str
    module: str
    """a `FormatModule` that lowers to it"""
    grids: tuple[str, ...]
    """that its kernels take"""
    runs_here: bool
    """whether `smolship check` can run its files on this host"""
    summary: str
    needs: tuple[str, ...] = ()
    """the modules that lowering imports, besides the format's"""
    distributions: tuple[str, ...] = ()
    """the packages that decide the bytes, besides the format's"""


BACKENDS: dict[str, Backend] = {
    backend.name: backend
    for backend in (
        Backend(
            "xnnpack",
            "XNNPACK",
            "smolship.export.executorch",
            ("int4-b32", "int8-row"),
            runs_here=True,
            summary="processors of every phone and computer; activations in 8 bits",
        ),
        Backend(
            "coreml",
            "Core ML",
            "smolship.export.executorch.delegates.coreml",
            ("int4-b32", "int8-row"),
            runs_here=False,
            summary="iOS 18 and macOS 15 or newer; activations in float16; one token a call",
            needs=("coremltools",),
            distributions=("coremltools",),
        ),
        Backend(
            "vulkan",
            "Vulkan",
            "smolship.export.executorch.delegates.vulkan",
            ("int4-b32", "int8-row"),
            runs_here=False,
            summary="the GPUs of Android phones; activations in float32",
        ),
    )
}


def backend_named(name: str) -> Backend:
    """The backend of that name; `InputError` lists the known ones."""
    if name not in BACKENDS:
        raise unknown_name("backend", name, list(BACKENDS))
    return BACKENDS[name]
