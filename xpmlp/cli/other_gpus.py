"""GPUs of other makers than NVIDIA: which are here, and what trains on them."""

import platform
from pathlib import Path

from .cuda import Row

PCI = Path("/sys/bus/pci/devices")
# Vendor and class of PCI devices: displays, and AMD's GPUs without one.
GPUS = {(0x1002, 0x03): "AMD", (0x1002, 0x12): "AMD", (0x8086, 0x03): "Intel"}
WAYS = {
    "AMD": 'device="cuda", accelerate="generic" with CuPy for ROCm 7 (pip install cupy-rocm-7-0, '
    "and no other CuPy), or torch tensors of its ROCm build",
    "Intel": 'torch tensors on "xpu", of its XPU build',
    "Apple": 'torch tensors on "mps", in float32',
}


def ask(devices: Path = PCI) -> list[str]:
    """Return the makers of the GPUs that are here; of one that cannot be seen, none."""
    if (platform.system(), platform.machine()) == ("Darwin", "arm64"):
        return ["Apple"]
    return sorted({GPUS[kind] for kind in pci_kinds(devices) & GPUS.keys()})


def pci_kinds(devices: Path = PCI) -> set[tuple[int, int]]:
    """Return vendor and class of the PCI devices that are here."""
    return {(_number(d / "vendor"), _number(d / "class") >> 16) for d in devices.glob("*")}


def rows(makers) -> list[Row]:
    """Return a row for each maker's GPU, with what to try there."""
    return [
        Row(maker, "-", f"untried, by plain operations: {WAYS[maker]}", None) for maker in makers
    ]


def _number(path):
    try:
        return int(path.read_text(), 16)
    except (OSError, ValueError):
        return 0
