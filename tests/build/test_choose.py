import json
from hashlib import blake2b
from random import Random

import pytest

from babelens.build.choose import Wish, choose_rows, draw_of
from babelens.build.rows import read_input


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read_input(path)


@pytest.fixture
def rows():
    draw = Random(5)
    entity = {"start": 0, "end": 1, "text": "t", "type": "LOC"}
    languages = draw.choices(["en", "fr", "de"], [2, 1, 1], k=600)
    return [
        {"id": f"r{i}", "text": "text", "language": language, "entities": [entity] * draw.randint(0, 4)}
        for i, language in enumerate(languages)
    ]


def chosen(out):
    return [json.loads(line)["id"] for line in (out / "rows.jsonl").read_text().splitlines()]


def by_sorting(rows, wish):
    """The same choice, with all rows in memory."""
    taken = set()
    for language, number in wish.numbers.items():
        fit = [row["id"] for row in rows if row["language"] == language and len(row["entities"]) >= wish.entities]
        key = str(wish.seed).encode()
        fit.sort(key=lambda id: blake2b(id.encode(), digest_size=16, key=key).digest())
        taken |= set(fit[:number])
    return [row["id"] for row in rows if row["id"] in taken]


@pytest.mark.parametrize(
    "wish", [Wish({"en": 50, "fr": 20}), Wish({"en": 9, "de": 1, "fr": 0}, 0, 7), Wish({"de": 999}, 1)]
)
def test_the_lowest_draws_are_chosen_in_the_order_of_the_input(rows, tmp_path, wish):
    choice = choose_rows(write(tmp_path / "in.jsonl", rows), tmp_path / "out", wish)
    expected = by_sorting(rows, wish)
    assert chosen(tmp_path / "out") == expected
    languages = {row["id"]: row["language"] for row in rows}
    assert choice.chosen == {one: sum(languages[id] == one for id in expected) for one in wish.numbers}


def test_the_choice_does_not_hang_on_the_order(rows, tmp_path):
    wish = Wish({"en": 40, "fr": 20}, seed=3)
    choose_rows(write(tmp_path / "in.jsonl", rows), tmp_path / "one", wish)
    choose_rows(write(tmp_path / "other.jsonl", Random(1).sample(rows, len(rows))), tmp_path / "two", wish)
    assert set(chosen(tmp_path / "one")) == set(chosen(tmp_path / "two"))
    assert chosen(tmp_path / "one") != chosen(tmp_path / "two")


def test_a_larger_choice_holds_the_smaller_and_seeds_differ(rows, tmp_path):
    source = write(tmp_path / "in.jsonl", rows)
    for name, wish in {"few": Wish({"en": 30}), "more": Wish({"en": 60}), "seed": Wish({"en": 30}, seed=1)}.items():
        choose_rows(source, tmp_path / name, wish)
    assert set(chosen(tmp_path / "few")) < set(chosen(tmp_path / "more"))
    assert set(chosen(tmp_path / "few")) != set(chosen(tmp_path / "seed"))


def test_draws_are_even():
    draws = [draw_of(0, f"captions:{i}") / 2**128 for i in range(4000)]
    tenths = [sum(int(10 * draw) == tenth for draw in draws) for tenth in range(10)]
    # Chi-squared with nine degrees of freedom: above 27.9 in one of a thousand.
    assert sum((found - 400) ** 2 / 400 for found in tenths) < 27.9


def test_why_rows_were_left_out_is_recorded(rows, tmp_path):
    summary = choose_rows(write(tmp_path / "in.jsonl", rows), tmp_path / "out", Wish({"en": 10, "fr": 5})).summary
    fit = [row for row in rows if row["language"] in ("en", "fr") and len(row["entities"]) >= 2]
    assert summary.counts["did"] == {
        "dropped": {
            "few entities": sum(row["language"] in ("en", "fr") for row in rows) - len(fit),
            "language": sum(row["language"] == "de" for row in rows),
            "not drawn": len(fit) - 15,
        },
        "kept": {"": 15},
    }


def test_too_few_rows_are_told(tmp_path):
    rows = [{"id": "a", "text": "t", "language": "fr"}, {"id": "b", "text": "t"}]
    choice = choose_rows(write(tmp_path / "in.jsonl", rows), tmp_path / "out", Wish({"fr": 3, "en": 2}, entities=0))
    assert choice.chosen == {"fr": 1, "en": 0}
    again = choose_rows(read_input(tmp_path / "in.jsonl"), tmp_path / "out", Wish({"fr": 3, "en": 2}, entities=0))
    assert again.summary.before and again.chosen == choice.chosen
