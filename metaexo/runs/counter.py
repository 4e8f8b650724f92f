"""Random numbers by position: item i of a seed has the same numbers wherever a chunk begins or ends.

The generator is Philox4x64-10 (Salmon and others, 2011, https://doi.org/10.1145/2063384.2063405): four words
of a stream are a function of the key and of a counter alone. So a chunk of items begins at its counter, on
any worker, without drawing what comes before, and no state is handed from one chunk to the next.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import special

from metaexo.errors import InputError
from metaexo.inputs import whole_number
from metaexo.types import Array, Index

Bits = NDArray[np.uint64]
Whole = NDArray[np.int64]

# Words per step of the counter, and bits per word.
STEP, BITS = 4, 64


def words(seed: int, begin: int, end: int, per_item: int, stream: int = 0) -> Bits:
    """Return random words of 64 bits for items begin to end, shape (end - begin, per_item).

    `seed`: a whole number from 0. `stream`: a whole number; streams of one seed are independent, for a task
    that needs numbers of two kinds.
    """
    begin, end = whole_number(begin, "begin", 0), whole_number(end, "end", 0)
    per_item = whole_number(per_item, "per_item", 0)
    if end < begin:
        raise InputError(
            f"the items begin at {begin} and end at {end}", "an end that is not before the beginning"
        )
    step, skipped = divmod(begin * per_item, STEP)
    size = (end - begin) * per_item
    drawn = np.random.Philox(key=key_of(seed, stream), counter=step).random_raw(skipped + size)
    return np.asarray(drawn[skipped:], dtype=np.uint64).reshape(end - begin, per_item)


def key_of(seed: int, stream: int = 0) -> Bits:
    """Return the key of Philox, two words, of a stream of a seed."""
    entropy, spawned = whole_number(seed, "seed", 0), whole_number(stream, "stream", 0)
    made = np.random.SeedSequence(entropy, spawn_key=(spawned,)).generate_state(2, np.uint64)
    return np.asarray(made, dtype=np.uint64)


def uniforms(seed: int, begin: int, end: int, per_item: int, stream: int = 0) -> Array:
    """Return numbers between 0 and 1 for items begin to end, shape (end - begin, per_item).

    They are the midpoints of 2^52 equal parts, so that neither 0 nor 1 occurs and 1 - u is as likely as u.
    """
    parts = words(seed, begin, end, per_item, stream) >> np.uint64(12)
    return np.asarray((parts + 0.5) * 2.0**-52)


def normals(seed: int, begin: int, end: int, per_item: int, stream: int = 0) -> Array:
    """Return standard normal numbers for items begin to end, shape (end - begin, per_item).

    They are the normal quantiles of `uniforms`: one word per number, and none beyond 8.2 standard deviations.
    """
    return np.asarray(special.ndtri(uniforms(seed, begin, end, per_item, stream)))


def integers(seed: int, begin: int, end: int, per_item: int, high: int, stream: int = 0) -> Index:
    """Return whole numbers from 0 up to below `high` for items begin to end, shape (end - begin, per_item).

    A word w becomes the whole part of w high / 2^64, so that no probability differs from 1 / high by more
    than 2^-64. `high` is at most 2^32 - 1.
    """
    high = whole_number(high, "high", 1)
    if high >= 2**32:
        raise InputError(f"high is {high}", f"a whole number of at most {2**32 - 1}")
    drawn, factor, half = words(seed, begin, end, per_item, stream), np.uint64(high), np.uint64(32)
    low = (drawn & np.uint64(2**32 - 1)) * factor >> half
    return np.asarray(((drawn >> half) * factor + low) >> half, dtype=np.intp)


def orders(seed: int, begin: int, end: int, size: int, stream: int = 0) -> Index:
    """Return a random order of 0 to size - 1 for each of the items begin to end, shape (end - begin, size).

    Each is the order of `size` words by their value. Two of them are equal with a probability of at most
    size^2 / 2^65.
    """
    return np.asarray(np.argsort(words(seed, begin, end, size, stream), axis=1))


def signs(seed: int, begin: int, end: int, size: int, stream: int = 0) -> Array:
    """Return random signs, -1 or 1, for items begin to end, shape (end - begin, size): one bit per sign."""
    size = whole_number(size, "size", 0)
    drawn = words(seed, begin, end, -(-size // BITS), stream)
    little = drawn.astype("<u8", copy=False).view(np.uint8)
    bits = np.unpackbits(little, axis=1, count=size, bitorder="little") if size else little[:, :0]
    return np.asarray(2.0 * bits - 1.0)
