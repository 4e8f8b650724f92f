"""Random numbers by position: the same wherever a chunk begins or ends, and as random as they should be."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from metaexo.errors import InputError
from metaexo.runs import counter

KINDS = {
    "words": lambda begin, end, seed=3, n=5: counter.words(seed, begin, end, n),
    "uniforms": lambda begin, end, seed=3, n=5: counter.uniforms(seed, begin, end, n),
    "normals": lambda begin, end, seed=3, n=5: counter.normals(seed, begin, end, n),
    "integers": lambda begin, end, seed=3, n=5: counter.integers(seed, begin, end, n, high=7),
    "orders": lambda begin, end, seed=3, n=5: counter.orders(seed, begin, end, n),
    "signs": lambda begin, end, seed=3, n=5: counter.signs(seed, begin, end, n),
}


def philox_by_hand(key: list[int], count: int) -> list[int]:
    """Return the four words of Philox4x64-10 at a counter, in whole numbers of Python."""
    low, x = 2**64 - 1, [count & (2**64 - 1), count >> 64, 0, 0]
    k = list(key)
    for _ in range(10):
        a, b = 0xD2E7470EE14C6C93 * x[0], 0xCA5A826395121157 * x[2]
        x = [(b >> 64) ^ x[1] ^ k[0], b & low, (a >> 64) ^ x[3] ^ k[1], a & low]
        k = [(k[0] + 0x9E3779B97F4A7C15) & low, (k[1] + 0xBB67AE8584CAA73B) & low]
    return x


def test_the_words_are_those_of_philox() -> None:
    """The published round function, and the published answer for counter and key of zeros."""
    zeros = [0x16554D9ECA36314C, 0xDB20FE9D672D0FDC, 0xD7E772CEE186176B, 0x7E68B68AEC7BA23B]
    assert philox_by_hand([0, 0], 0) == zeros
    key = [int(word) for word in counter.key_of(8)]
    wanted = [philox_by_hand(key, count + 1) for count in range(5, 9)]  # numpy counts before it draws
    assert counter.words(8, 5, 9, 4).tolist() == wanted


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=30, deadline=None)
@given(cuts=st.lists(st.integers(0, 40), max_size=6), n=st.integers(0, 70))
def test_items_are_the_same_wherever_chunks_begin_and_end(kind: str, cuts: list[int], n: int) -> None:
    draw, ends = KINDS[kind], [0, *sorted(cuts), 40]
    parts = [draw(begin, end, n=n) for begin, end in pairwise(ends)]
    np.testing.assert_array_equal(np.concatenate(parts), draw(0, 40, n=n))


def test_a_chunk_far_out_begins_at_once() -> None:
    far = 10**18
    both = counter.words(0, far, far + 3, 7)
    np.testing.assert_array_equal(both[2:], counter.words(0, far + 2, far + 3, 7))
    assert len(np.unique(both)) == both.size


@pytest.mark.parametrize("kind", KINDS)
def test_seeds_and_streams_give_other_numbers(kind: str) -> None:
    draw = KINDS[kind]
    np.testing.assert_array_equal(draw(0, 50), draw(0, 50))
    assert not np.array_equal(draw(0, 50, seed=3), draw(0, 50, seed=4))
    one, two = (counter.uniforms(3, 0, 20_000, 1, stream=s)[:, 0] for s in (0, 1))
    assert abs(np.corrcoef(one, two)[0, 1]) < 4 / np.sqrt(20_000)


def test_uniforms_and_normals_are_what_they_say() -> None:
    u, z = counter.uniforms(1, 0, 20_000, 5), counter.normals(1, 0, 20_000, 5)
    assert u.min() > 0
    assert u.max() < 1
    assert stats.kstest(u.ravel(), "uniform").pvalue > 1e-3
    assert stats.kstest(z.ravel(), "norm").pvalue > 1e-3
    np.testing.assert_allclose(stats.norm.cdf(z), u, rtol=1e-12)
    between = np.corrcoef(z.T)[np.triu_indices(5, 1)]
    assert np.abs(between).max() < 4.5 / np.sqrt(20_000)
    following = np.corrcoef(z[:-1, 0], z[1:, 0])[0, 1]
    assert abs(following) < 4 / np.sqrt(20_000)


def test_the_largest_words_stay_below_one(monkeypatch: pytest.MonkeyPatch) -> None:
    ends = np.array([[0, 2**64 - 1]], dtype=np.uint64)
    monkeypatch.setattr(counter, "words", lambda *_: ends)
    low, high = counter.uniforms(0, 0, 1, 2)[0]
    assert (low, high) == (2.0**-53, 1 - 2.0**-53)
    np.testing.assert_allclose(counter.normals(0, 0, 1, 2), [[-8.2095362, 8.2095362]], rtol=1e-7)
    for n in (1, 2, 3, 10, 2**32 - 1):
        assert counter.integers(0, 0, 1, 2, high=n).tolist() == [[0, n - 1]]


def test_integers_are_the_exact_whole_parts() -> None:
    drawn = counter.words(2, 0, 500, 4)
    for high in (1, 2, 3, 13, 1_000, 2**31, 2**32 - 1):
        wanted = [[int(word) * high >> 64 for word in row] for row in drawn.tolist()]
        assert counter.integers(2, 0, 500, 4, high=high).tolist() == wanted
    found = np.bincount(counter.integers(5, 0, 60_000, 1, high=6)[:, 0], minlength=6)
    assert stats.chisquare(found).pvalue > 1e-3


def test_every_order_is_as_frequent() -> None:
    found = counter.orders(4, 0, 24_000, 4)
    assert (np.sort(found, axis=1) == np.arange(4)).all()
    frequencies = np.unique(found, axis=0, return_counts=True)[1]
    assert len(frequencies) == 24
    assert stats.chisquare(frequencies).pvalue > 1e-3


def test_signs_are_fair_and_independent() -> None:
    found = counter.signs(6, 0, 20_000, 70)  # more than the bits of a word
    assert set(np.unique(found)) == {-1.0, 1.0}
    assert np.abs(found.mean(axis=0)).max() < 4.5 / np.sqrt(20_000)
    between = np.corrcoef(found.T)[np.triu_indices(70, 1)]
    assert np.abs(between).max() < 5.5 / np.sqrt(20_000)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: counter.words(-1, 0, 1, 1), "seed"),
        (lambda: counter.words(1.5, 0, 1, 1), "seed"),
        (lambda: counter.words(0, 0, 1, 1, stream="a"), "stream"),
        (lambda: counter.words(0, 5, 4, 1), "begin at 5"),
        (lambda: counter.words(0, -1, 4, 1), "begin"),
        (lambda: counter.normals(0, 0, 4, -1), "per_item"),
        (lambda: counter.integers(0, 0, 4, 1, high=0), "high"),
        (lambda: counter.integers(0, 0, 4, 1, high=2**32), "high"),
        (lambda: counter.signs(0, 0, 4, None), "size"),
    ],
)
def test_wrong_inputs_are_named(call, words: str) -> None:
    with pytest.raises(InputError, match=words):
        call()
