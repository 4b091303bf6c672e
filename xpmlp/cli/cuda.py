"""What stands between a host array and a CUDA GPU: what works, what does not, what to type.

The texts alone: `cuda_probe` finds the facts that they are of.
"""

import re
from functools import partial
from typing import NamedTuple

from ..words import shortened


class Row(NamedTuple):
    """A row of the report: whether this part works (None: not tried), and a text on it."""

    name: str
    version: str
    text: str
    works: bool | None


# What CUDA answers (cuda.h) when it is asked for its GPUs, in words.
CODES = {
    2: "its memory is full: nvidia-smi shows who holds it",  # seldom: `_card` knows more of that
    34: "libcuda.so.1 is the stub for linkers: take its folder out of LD_LIBRARY_PATH",
    46: "another program has the GPU for itself: nvidia-smi shows who",
    100: "the driver finds none: type nvidia-smi; start a container with docker run --gpus all",
    802: "the switch between the GPUs is not ready: sudo systemctl start nvidia-fabricmanager",
    803: "the driver's library and kernel module differ, as after an update: sudo reboot",
    804: "the cuda-compat libraries do not fit this GPU: take them out of LD_LIBRARY_PATH",
    999: "unknown error, as after a sleep: sudo rmmod nvidia_uvm && sudo modprobe nvidia_uvm",
}
DRIVERS = "https://www.nvidia.com/drivers"
NONE_SEEN = "none, and no NVIDIA GPU is seen"
_short = partial(shortened, most=80)
ASLEEP = "type nvidia-smi; where that does not answer either, restart the machine"


def rows(facts):
    """Return the rows of all links, and the verdict, from what `cuda_probe.ask` found."""
    found: list[Row] = []
    for judge in JUDGES:
        found.append(_row(judge.__name__[1:], judge, facts, found))
    if found[0].text == NONE_SEEN and not facts.get("cupy", {}).get("wheels"):
        text = "everything runs on the CPU; device='cuda' is for NVIDIA GPUs, and none is seen"
        return [Row("verdict", "-", text, None)]  # nobody waits for one
    return [*found, _verdict(found, facts.get("card", {}).get("n", 1))]


def _row(link, judge, facts, before):
    """Return the row of a link; before: those of the links that it needs."""
    mine, name = facts.get(link, {}), {"cupy": "CuPy"}.get(link, link)
    if "fate" in mine:
        remedy = {"driver": ASLEEP, "card": ASLEEP}.get(link) or _again(facts)
        return Row(name, "-", f"{mine['fate']}: {remedy}", False)
    if not mine:
        cause = next((row.name for row in before if not row.works), "another link")
        return Row(name, "-", f"not tried: see {cause}", None)
    return Row(name, *judge(mine, facts))


def extra(facts):
    """Name the extra that fits driver and GPU: CUDA 13 needs a driver for it, and 7.5 or more."""
    cuda = facts.get("driver", {}).get("cuda") or (13, 0)
    capability = facts.get("card", {}).get("capability") or (7, 5)
    return "cuda12" if cuda[0] < 13 or tuple(capability) < (7, 5) else "cuda13"


def _install(facts):
    return f'pip install "xpmlp[{extra(facts)}]"'


def _again(facts):
    return _install(facts).replace("install", "install --force-reinstall")


def _instead(wheels, facts):
    return f"pip uninstall -y {' '.join(wheels)} && {_install(facts)}"


def _remedy(error, facts):
    """What to type against an error of CuPy's or cuBLASLt's."""
    if "memory" in error.lower():
        return "free the GPU's memory: nvidia-smi shows who holds it"
    if re.search("InsufficientDriver|NewerDriver|UnsupportedPtx", error):
        return f"too old a driver for this CuPy: update it, or {_install(facts)}"
    if "CUBLAS_STATUS" not in error and re.search(
        r"(lib|find \W?)(nvrtc|cu)|nvrtc64|cublas|cuda\.pathfinder|\.h\b", error
    ):
        return f"a part of CUDA is missing: {_install(facts)}"
    return _again(facts)


def _driver(mine, facts):
    cuda = mine.get("cuda")
    if cuda and cuda[0] < 12:
        text = f"too old, for CUDA {cuda[0]}.{cuda[1]} where CuPy needs 12: update it, {DRIVERS}"
        return mine["version"] or "-", text, False
    if cuda:
        return mine["version"] or "-", f"works, for CUDA up to {cuda[0]}.{cuda[1]}", True
    if mine["wsl"]:
        text = "none in this WSL: install NVIDIA's driver in Windows, then type there: wsl --update"
    elif mine["container"] and (mine["module"] or mine["card"]):
        text = "none in this container: start it with docker run --gpus all"
    elif mine["module"]:
        text = f"loaded, but its library libcuda.so.1 is not found: install it again, {DRIVERS}"
    elif mine["card"]:
        text = f"none, but an NVIDIA GPU: sudo ubuntu-drivers install, or {DRIVERS}"
    else:
        text = NONE_SEEN
    return "-", text, False


def _card(mine, facts):
    if "error" in mine:
        return "-", f"does not work ({_short(mine['error'])}): {ASLEEP}", False
    if "name" not in mine:
        visible = mine["visible"]
        if mine["code"] == 100 and visible is not None:
            text = f"CUDA_VISIBLE_DEVICES={visible!r} hides all: unset CUDA_VISIBLE_DEVICES"
            return "-", text, False
        return "-", _error(mine["code"]), False
    (major, minor), n = mine["capability"], mine["n"]
    more = f" and {n - 1} more" * (n > 1)
    name = f"cuda:0 {mine['name']}{more}, compute capability {major}.{minor}"
    if major < 5:
        return "-", f"{name}: too old for CUDA 12, which needs 5.0", False
    if mine["code"] not in (0, 2):
        return "-", f"{name}: {_error(mine['code'])}", False
    memory = f"{mine['free'] / 1e9:.1f} of {mine['total'] / 1e9:.1f} GB free"
    if "holder" not in mine:
        return "-", f"{name}, {memory}", True
    who, held = "another program holds the rest", mine["holder"].rsplit(", ", 2)
    if len(held) == 3:
        who = "{} (process {}) holds {}".format(*held)
    return "-", f"{name}: only {memory}; {who}: type nvidia-smi, end it or wait", mine["code"] == 0


def _error(code):
    return CODES.get(code, f"CUDA error {code}: type nvidia-smi")


def _cupy(mine, facts):
    wheels, version = mine["wheels"], mine.get("version", "-")
    if len(wheels) > 1:
        text = f"{' and '.join(wheels)} overwrite each other's files: {_instead(wheels, facts)}"
        return "-", text, False
    if "error" in mine:
        remedy = _remedy(mine["error"], facts)
        return "-", f"does not import ({_short(mine['error'])}): {remedy}", False
    if "version" not in mine:
        if facts["driver"].get("cuda"):
            return "-", f"not installed: {_install(facts)}", False
        text = f"not installed; where there is a GPU: {_install(facts)}"
        return "-", f"{text} (cuda12 for a driver below 580)", False
    if int(version.partition(".")[0]) < 14:
        return version, f"too old: {_install(facts)}", False
    wheel, driver = [*wheels, "this CuPy"][0], facts["driver"].get("cuda")
    if wheel == "cupy-cuda13x" and extra(facts) == "cuda12":
        lacks = "a driver for CUDA 13, this one is for {}.{}".format(*driver)
        if driver[0] >= 13:
            lacks = "compute capability 7.5, the GPU has {}.{}".format(*facts["card"]["capability"])
        return version, f"{wheel} needs {lacks}: {_instead(wheels, facts)}", False
    if facts.get("card", {}).get("code") != 0:
        return version, f"{wheel} imports; more shows on a GPU", True
    return version, f"{wheel} imports", True


def _compiler(mine, facts):
    if "error" in mine:
        remedy = _remedy(mine["error"], facts)
        return "-", f"the first kernel fails ({_short(mine['error'])}): {remedy}", False
    return "-", "works: a kernel of CuPy's, compiled now", True


def _products(mine, facts):
    if "works" not in mine:
        remedy = _remedy(mine["error"], facts)
        return "-", f"cuBLAS fails ({_short(mine['error'])}): {remedy}", False
    if "error" in mine:
        remedy, instead = _remedy(mine["error"], facts), "so accelerate='graph' becomes 'eager'"
        text = f"cuBLAS works; cuBLASLt fails ({_short(mine['error'])}), {instead}: {remedy}"
        return "-", text, True
    version = ".".join(map(str, mine["cublaslt"]))
    return version, "cuBLAS works, and cuBLASLt, as cuda-pathfinder finds it", True


def _engine(mine, facts):
    if "error" in mine:
        return (
            "-",
            f"plain operations fail to train a network ({_short(mine['error'])})",
            False,
        )
    good = [repr(kind) for kind, note in mine.items() if not note]
    bad = [f"{kind!r}: {_short(note)}" for kind, note in mine.items() if note]
    if good:
        verb = "train" + "s" * (len(good) == 1)
        bad.insert(0, f"accelerate={' and '.join(good)} {verb} like plain operations")
    return "-", "; ".join(bad), True


def _verdict(found, n_cards):
    for row in found:
        if not row.works:
            fails = f"device='cuda' fails until this works: {row.name}"
            return Row("verdict", "-", f"everything runs on the CPU; {fails}", False)
    text = "device='cuda' uses cuda:0, and so does device='auto' for host arrays where it pays"
    if n_cards > 1:
        text += "; a fit takes one GPU, device='cuda:1' another: train several side by side"
    return Row("verdict", "-", text, True)


JUDGES = (_driver, _card, _cupy, _compiler, _products, _engine)
