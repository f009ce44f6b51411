"""The processors that a board can have: what QEMU calls them, and what Linux says of them in /proc/cpuinfo.

QEMU's user mode shows the host's /proc/cpuinfo, so the board gets one of its own. The features are those that the
emulated processor has (tests/board/test_board.py holds them against its AT_HWCAP), not those of the board that it
stands for: a real Pi 4 was made without aes, pmull, sha1 and sha2.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Processor:
    """One emulated processor, and the board that it makes of a tree."""

    qemu: str
    model: str
    variant: int
    part: int
    revision: int
    features: tuple[str, ...]

    def cpuinfo(self, cores: int) -> str:
        """The text of /proc/cpuinfo on a board with that many cores."""
        lines = (
            "BogoMIPS\t: 108.00",
            f"Features\t: {' '.join(self.features)}",
            "CPU implementer\t: 0x41",
            "CPU architecture: 8",
            f"CPU variant\t: {self.variant:#x}",
            f"CPU part\t: {self.part:#x}",
            f"CPU revision\t: {self.revision}",
        )
        core = "".join(f"{line}\n" for line in lines)
        return "".join(f"processor\t: {number}\n{core}\n" for number in range(cores)) + f"Model\t\t: {self.model}\n"


_ARMV8 = ("fp", "asimd", "aes", "pmull", "sha1", "sha2", "crc32")
_ARMV8_2 = ("atomics", "fphp", "asimdhp", "cpuid", "asimdrdm", "lrcpc", "dcpop", "asimddp")

PI_4 = Processor("cortex-a72", "Raspberry Pi 4 Model B Rev 1.4", 0, 0xD08, 3, (*_ARMV8, "cpuid"))
"""Armv8.0: no dot product, as on a Raspberry Pi 4"""
PI_5 = Processor("cortex-a76", "Raspberry Pi 5 Model B Rev 1.0", 4, 0xD0B, 1, (*_ARMV8, *_ARMV8_2))
"""Armv8.2 with the dot product (`asimddp`), as on a Raspberry Pi 5"""
