"""Host streams (initial weights, order of the rows) and counter-based bits (dropout).

The same numbers on every library. What scikit-learn draws too is drawn as scikit-learn draws it,
from one RandomState; all else takes nothing from that, and depends on seed, purpose and place.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from .arrays import Array, device

PURPOSES = {"init": 0, "order": 1, "noise": 2, "split": 3, "data": 4}
WEYL = 0x9E3779B9 - 2**32  # spreads consecutive elements; without it a chi-squared test fails


def stream(seed: int, purpose: str, *path: int) -> np.random.Generator:
    """Return the generator of one purpose and place, e.g. ``stream(0, "data", 1)``.

    Philox (Salmon et al. 2011), keyed through NumPy's SeedSequence.
    """
    key = np.random.SeedSequence(seed, spawn_key=(PURPOSES[purpose], *path))
    return np.random.Generator(np.random.Philox(key))


def random_state(seed: int) -> np.random.RandomState:
    """Return scikit-learn's generator of a seed; NumPy hashes those of more than 32 bits."""
    if seed < 2**32:
        return np.random.RandomState(seed)
    return np.random.RandomState(np.random.MT19937(np.random.SeedSequence(seed)))


class InitialStream(np.random.Generator):
    """The generator of initial parameters: a stream of each layer's own, and a shared one.

    shared: the RandomState that scikit-learn's initializers draw from, layer after layer.
    """

    def __init__(self, seeds: np.random.SeedSequence, shared: np.random.RandomState):
        super().__init__(np.random.Philox(seeds))
        self.shared = shared

    @staticmethod
    def of(seed: int, shared: np.random.RandomState) -> "InitialStream":
        """Return the generator of a seed."""
        return InitialStream(np.random.SeedSequence(seed, spawn_key=(PURPOSES["init"],)), shared)

    def spawn(self, n_children: int) -> list:
        """Return a generator for each layer, which share the shared one."""
        seeds = self.bit_generator.seed_seq.spawn(n_children)  # type: ignore[attr-defined]
        return [InitialStream(each, self.shared) for each in seeds]


@dataclass(eq=False)
class Draws:
    """scikit-learn's stream of a fit: weights, split, then one shuffle of the rows an epoch.

    generator: which the draws advance; order: (n,), the rows as the last epoch took them, or None.
    """

    generator: np.random.RandomState
    order: np.ndarray | None = None

    def orders(self, n: int, n_epochs: int) -> np.ndarray:
        """Return the order of n rows in each of the next epochs (E, n).

        Each shuffles the order before it, as scikit-learn does; that of another n begins again.
        """
        orders, before = np.empty((n_epochs, n), np.int64), self.order
        if before is None or len(before) != n:
            before = np.arange(n)
        for order in orders:
            order[:] = before
            self.generator.shuffle(order)
            before = order
        self.order = orders[-1].copy()
        return orders

    def place(self) -> tuple:
        """Return where the stream stands; making it takes longer than the shuffle of few rows."""
        return self.generator.get_state(), self.order

    def go_to(self, place: tuple) -> "Draws":
        """Go on from a place, back or forth."""
        words, self.order = place
        self.generator.set_state(words)
        return self

    def copy(self, place: tuple | None = None) -> "Draws":
        """Return another stream at a place, by default the same one."""
        return Draws(random_state(0)).go_to(place or self.place())


def _mix(x, word=0):
    """Hash int32 words: lowbias32 (Wellons 2018), with a second key word in the middle.

    The right shifts are masked, so that libraries without uint32 (torch) give the same bits.
    """
    x = x ^ ((x >> 16) & 0xFFFF)
    x = x * 0x7FEB352D + word
    x = x ^ ((x >> 15) & 0x1FFFF)
    x = x * (0x846CA68B - 2**32)
    return x ^ ((x >> 16) & 0xFFFF)


def step_keys(seed: int, steps: np.ndarray) -> np.ndarray:
    """Return one key of two int32 words a step, (B, 1, 2), folded on the host."""
    return _mix(_noise_words(seed) + np.asarray(steps, np.int32)[:, None, None])


@lru_cache(maxsize=128)
def _noise_words(seed):
    key = np.random.SeedSequence(seed, spawn_key=(PURPOSES["noise"],))
    return _mix(key.generate_state(2, np.uint32).view(np.int32)[None, None, :])


def fold_in(key: Array, place: tuple[int, ...]) -> Array:
    """Return the key (..., 1, 2) of one place in the network, a tuple of small integers."""
    word = np.zeros(1, np.int32)
    for part in place:
        word = _mix(word + np.asarray([part + 1], np.int32))
    return key + int(word[0])


def random_bits(key: Array, shape: tuple[int, ...], *, xp, first: int = 0) -> Array:
    """Return 24 random bits (int32) per element of the last two axes of `shape`.

    A hash of the key and the element's number, row by row; keys with a member axis, (K, 1, 2),
    give (K, N, D). first: rows of the batch that stand before these.
    """
    n, d = shape[-2:]
    start, stop = first * d, (first + n) * d
    element = xp.arange(start, stop, dtype=xp.int32, device=device(key))
    element = xp.reshape(element, (n, d))
    return (_mix(element * WEYL + key[..., 0:1], key[..., 1:2]) >> 8) & 0xFFFFFF
