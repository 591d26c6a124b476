"""The order of examples: like lengths together, batches shuffled."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import BatchSampler

from distillation.runs.sampling import POOL, LengthGroupedSampler, RankBatches

LENGTHS = np.random.default_rng(0).integers(3, 129, size=10_007)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=400), st.integers(1, 9), st.integers(0, 9))
def test_every_example_comes_once_and_the_torn_batch_last(lengths, batch_size, epoch):
    """A short batch in the middle would shift all later ones, and join long texts with short ones."""
    sampler = LengthGroupedSampler(lengths, batch_size, seed=0)
    sampler.set_epoch(epoch)
    order = list(sampler)
    assert sorted(order) == list(range(len(lengths))) and len(sampler) == len(lengths)
    ranges = [np.ptp([lengths[i] for i in order[a : a + batch_size]]) for a in range(0, len(order), batch_size)]
    if len(lengths) <= POOL * batch_size:  # sorted as one pool: neighbours in it overlap at their ends alone
        assert sum(ranges) <= max(lengths) - min(lengths)


def test_neighbours_are_of_like_length_and_batches_do_not_run_from_long_to_short():
    """Random batches would be almost half padding; a model that meets long texts before short ones learns worse."""
    order = np.array(list(LengthGroupedSampler(LENGTHS, 8, seed=1)))
    batches = LENGTHS[order[: len(order) // 8 * 8]].reshape(-1, 8)
    assert 1 - batches.sum() / (batches.max(1) * 8).sum() < 0.03, "padding"
    assert np.ptp(batches[:-1], axis=1).mean() < 126 / POOL * 1.5
    means, place = batches.mean(1), np.arange(len(batches))
    for other in (place, place % POOL):
        assert abs(np.corrcoef(other, means)[0, 1]) < 0.1
    assert abs(np.corrcoef(means[:-1], means[1:])[0, 1]) < 0.1


def test_the_order_depends_on_seed_and_epoch_alone():
    """Ranks that disagree on the order would share examples, and a resumed run would repeat some."""
    sampler = LengthGroupedSampler(LENGTHS, 8, seed=3)
    first = list(sampler)
    np.random.seed(1)
    assert list(sampler) == first == list(LengthGroupedSampler(LENGTHS.tolist(), 8, seed=3))
    sampler.set_epoch(1)
    second = list(sampler)
    assert [set(second[i : i + 8]) for i in range(0, 80, 8)] != [set(first[i : i + 8]) for i in range(0, 80, 8)]
    sampler.set_epoch(0)
    assert list(sampler) == first != list(LengthGroupedSampler(LENGTHS, 8, seed=4))


@given(count=st.integers(1, 40), batch_size=st.integers(1, 5), ranks=st.integers(2, 4), drop=st.booleans())
def test_ranks_share_an_epoch(count, batch_size, ranks, drop):
    """Each example once, in as many batches on every rank; one that only keeps a rank in step is not counted."""
    found = []
    for rank in range(ranks):
        batches = RankBatches(BatchSampler(range(count), batch_size, drop), rank, ranks)
        found.append(list(batches))
        assert len(found[-1]) == len(batches) and all(0 < len(batch) <= batch_size for batch in found[-1])
        if batches.ends_empty:
            assert len(found[-1].pop()) == 1
            found[-1].append([])
    together = [sum(step, []) for step in zip(*found, strict=True)]
    whole = count // (batch_size * ranks) * batch_size * ranks if drop else count
    assert sum(together, []) == list(range(whole)) and all(len(step) == batch_size * ranks for step in together[:-1])
