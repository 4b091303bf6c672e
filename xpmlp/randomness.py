"""Host streams (initial weights, batch order) and counter-based bits (dropout).

The same numbers on every library, and no generator state anywhere: what is drawn depends on the
seed, the purpose and the place only.
"""

from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from .arrays import Array, device

PURPOSES = {"init": 0, "order": 1, "noise": 2, "split": 3, "data": 4}
WEYL = 0x9E3779B9 - 2**32  # spreads consecutive elements; without it a chi-squared test fails


def stream(seed: int, purpose: str, *path: int) -> np.random.Generator:
    """Return the generator of one purpose and place, e.g. ``stream(0, "order", epoch)``.

    Philox (Salmon et al. 2011), keyed through NumPy's SeedSequence.
    """
    key = np.random.SeedSequence(seed, spawn_key=(PURPOSES[purpose], *path))
    return np.random.Generator(np.random.Philox(key))


def streams(seed: int, purpose: str, places: range) -> Iterator[np.random.Generator]:
    """Yield ``stream(seed, purpose, place)`` of each place below 2^32; it lasts until the next.

    It is one generator, whose state is set, as making one takes longer than a small epoch.
    """
    seeds = np.random.SeedSequence(seed, spawn_key=(PURPOSES[purpose],))
    bits = np.random.Philox(seeds)
    generator, state = np.random.Generator(bits), bits.state
    for key in _philox_keys(seeds, places):
        state["state"]["key"] = key
        bits.state = state
        yield generator


def _philox_keys(seeds, places):
    """Return the keys (places, 2) that Philox takes of a SeedSequence with one place more each.

    It is NumPy's hash: of the last word, with which the pool of the words before is mixed.
    """
    pool, n_bits = seeds.pool, int(seeds.entropy).bit_length()
    n_words = max(4, -(-n_bits // 32)) + 1  # the purpose is one; they took four hashes each
    words = np.asarray(places, np.uint32)[:, None]
    words = _seed_hash(words, 0x43B0D7E5, 0x931E8875, first=4 * n_words)
    words = 0xCA01F9DD * pool - 0x4973F715 * words
    words ^= words >> 16
    return _seed_hash(words, 0x8B51F9DD, 0x58F38DED).astype("<u4").view("<u8")


def _seed_hash(words, start, factor, first=0):
    """Return four hashes of SeedSequence's, side by side, of words (n, 1) or (n, 4)."""
    powers = [start * pow(factor, first + i, 2**32) % 2**32 for i in range(5)]
    constants = np.asarray(powers, np.uint32)
    words = (words ^ constants[:4]) * constants[1:]
    return words ^ (words >> 16)


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
