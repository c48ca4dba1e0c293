from random import Random

from babelens.build.seen import Seen


def test_it_knows_what_a_set_knows_while_it_grows():
    draw, seen, known = Random(1), Seen(), set()
    for _ in range(60_000):
        text = f"text {draw.randrange(200_000)}"
        assert seen.add(text) == (text not in known)
        known.add(text)
    assert len(seen) == len(known) > 41_000  # so it has grown


def test_fields_are_told_apart():
    seen = Seen()
    assert seen.add("en", "text")
    assert seen.add("fr", "text")
    assert seen.add(None, "text")
    assert not seen.add("en", "text")
