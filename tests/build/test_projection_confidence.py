import pytest
from hypothesis import given
from hypothesis import strategies as st

from babelens.build.projection_confidence import confidence

WAYS = ("both", "markers", "likeness", "vectors", "capitals")
SHARES = st.floats(0.0, 1.0)


@given(st.sampled_from(WAYS), SHARES, st.floats(0.0, 3.0), st.floats(0.0, 3.0))
def test_confidence_is_a_probability_that_rivals_lower(by, strength, apart, beside):
    sure = confidence(by, strength, apart, beside)
    assert 0 <= sure <= 1
    assert sure <= confidence(by, strength, 0.0, 0.0) + 1e-12


@given(st.sampled_from(WAYS), SHARES, SHARES)
def test_what_speaks_louder_is_surer(by, one, other):
    low, high = sorted((one, other))
    assert confidence(by, low, 0.0, 0.0) <= confidence(by, high, 0.0, 0.0)


def test_two_equal_places_leave_one_in_two():
    assert confidence("likeness", 1.0, 1.0, 0.0) == pytest.approx(0.985 / 2)
