from hypothesis import given
from hypothesis import strategies as st

from babelens.training.sampler import epoch_batches, shares

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


def test_rows_are_only_shuffled_or_left_as_they_stand_where_that_is_asked_for():
    lengths = [1 + (7 * n) % 50 for n in range(103)]
    for epoch in (0, 1):
        batches = epoch_batches(lengths, 10, seed=3, epoch=epoch, order="file")
        assert batches == [list(range(start, min(start + 10, 103))) for start in range(0, 103, 10)]
    one, other = (epoch_batches(lengths, 10, seed=3, epoch=epoch, order="shuffled") for epoch in (0, 1))
    assert one != other and [len(rows) for rows in one] == [10] * 10 + [3]
    assert sorted(row for rows in one for row in rows) == list(range(103))
    padded = sum(max(lengths[row] for row in rows) * len(rows) for rows in one)
    assert padded > 1.5 * sum(lengths)  # not grouped


@given(st.integers(1, 40), st.integers(1, 16), st.integers(1, 8))
def test_all_processes_share_the_parts_that_one_would_compute(rows, batch, processes):
    numbers = list(range(100, 100 + rows))
    whole = shares(numbers, batch)
    assert [row for share in whole for row in share.rows] == numbers
    assert all(len(share.rows) <= batch for share in whole)
    assert max(len(share.rows) for share in whole) - min(len(share.rows) for share in whole) <= 1
    split = [shares(numbers, batch, process=process, processes=processes) for process in range(processes)]
    assert {len(own) for own in split} == {len(whole)}
    for part, of_all in enumerate(whole):
        own = [share[part].rows for share in split]
        assert sorted(row for rows in own for row in rows) == of_all.rows
        assert max(map(len, own)) - min(map(len, own)) <= 1
        assert all(share[part].among == numbers for share in split)


def test_a_step_of_two_batches_has_the_rows_of_one_of_twice_the_size():
    lengths = [1 + (7 * n) % 50 for n in range(100)]
    steps = epoch_batches(lengths, 16 * 2, seed=0, epoch=0)
    assert steps == epoch_batches(lengths, 32 * 1, seed=0, epoch=0)
    assert [len(shares(rows, 16)) for rows in steps] == [-(-len(rows) // 16) for rows in steps]
