from hypothesis import given
from hypothesis import strategies as st

from babelens.training.sampler import epoch_batches

LENGTHS = st.lists(st.integers(1, 60), max_size=200)


@given(LENGTHS, st.integers(1, 16), st.integers(0, 5), st.integers(0, 5))
def test_every_row_stands_in_one_batch_and_no_batch_is_too_large(lengths, batch, seed, epoch):
    batches = epoch_batches(lengths, batch, seed=seed, epoch=epoch, pool=3)
    assert sorted(row for rows in batches for row in rows) == list(range(len(lengths)))
    assert all(1 <= len(rows) <= batch for rows in batches)
    assert sum(len(rows) < batch for rows in batches) <= 1
    assert batches == epoch_batches(lengths, batch, seed=seed, epoch=epoch, pool=3)


def test_another_epoch_or_seed_is_another_order():
    lengths = list(range(100))
    orders = {str(epoch_batches(lengths, 4, seed=seed, epoch=epoch)) for seed in (0, 1) for epoch in (0, 1)}
    assert len(orders) == 4


def test_grouping_by_length_saves_most_of_the_padding():
    lengths = [1 + (7 * n) % 50 for n in range(1000)]
    padded = sum(max(lengths[row] for row in rows) * len(rows) for rows in epoch_batches(lengths, 10, seed=0, epoch=0))
    assert padded < 1.1 * sum(lengths)
