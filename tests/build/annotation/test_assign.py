from collections import Counter
from itertools import combinations, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from babelens.build.annotation.assign import Assignment, Person, assign
from babelens.build.annotation.balance import share
from babelens.schema import InputError


def rows(count, language=None, start=0):
    return [{"id": f"{language}{number}", "language": language} for number in range(start, start + count)]


def spread(loads):
    return max(loads) - min(loads)


def loads(assignments, people):
    names = [person.name for person in people]
    annotated = Counter(name for assignment in assignments for name in assignment.annotators)
    inspected = Counter(assignment.inspector for assignment in assignments)
    return [annotated[name] for name in names], [inspected[name] for name in names]


@given(st.integers(3, 7), st.integers(0, 30), st.integers(0, 99), st.integers(1, 25))
@settings(max_examples=25, deadline=None)
def test_everyone_has_the_same_load(team, count, seed, batch):
    people = [Person(name=f"p{number}") for number in range(team)]
    assignments = assign(rows(count), people, seed=seed, batch=batch)
    assert sorted(assignment.id for assignment in assignments) == sorted(row["id"] for row in rows(count))
    assert [assignment.order for assignment in assignments] == list(range(count))
    for assignment in assignments:
        assert len({*assignment.annotators, assignment.inspector}) == 3
        assert assignment.round == 1 + assignment.order // batch
    assert all(spread(part) <= 1 for part in loads(assignments, people))
    for end in range(batch, count, batch):
        assert all(spread(part) <= 4 for part in loads(assignments[:end], people))


@given(st.data())
@settings(max_examples=30, deadline=None)
def test_people_get_only_what_they_read_whatever_they_read(data):
    languages = ["en", "fr", "de"]
    people = [
        Person(
            name=f"p{number}",
            languages=data.draw(st.one_of(st.none(), st.lists(st.sampled_from(languages), unique=True).map(tuple))),
            annotates=data.draw(st.booleans()),
            inspects=data.draw(st.booleans()),
        )
        for number in range(data.draw(st.integers(3, 6)))
    ]
    given_rows = [row for language in languages for row in rows(data.draw(st.integers(0, 12)), language)]

    def possible(language):
        # By trial of all triples, which shares nothing with the code.
        able = [person for person in people if person.languages is None or language in person.languages]
        return any(
            inspector.inspects and inspector not in pair and all(person.annotates for person in pair)
            for pair in combinations(able, 2)
            for inspector in able
        )

    if not all(possible(row["language"]) for row in given_rows):
        with pytest.raises(InputError, match="expected two annotators and another person to inspect"):
            assign(given_rows, people)
        return
    by_name = {person.name: person for person in people}
    language = {row["id"]: row["language"] for row in given_rows}
    assignments = assign(given_rows, people, seed=data.draw(st.integers(0, 9)))
    assert len(assignments) == len(given_rows)
    for assignment in assignments:
        team = [by_name[name] for name in (*assignment.annotators, assignment.inspector)]
        assert len({person.name for person in team}) == 3
        assert all(person.languages is None or language[assignment.id] in person.languages for person in team)
        assert team[0].annotates and team[1].annotates and team[2].inspects


@given(st.dictionaries(st.sampled_from("xyz"), st.integers(0, 12), min_size=1), st.data())
@settings(max_examples=30, deadline=None)
def test_shares_are_as_even_as_any(sizes, data):
    people = "abcd"
    room = {
        group: {person: data.draw(st.integers(0, 4)) for person in data.draw(st.sets(st.sampled_from(people)))}
        for group in sizes
    }
    needed = {group: min(size, sum(room[group].values())) for group, size in sizes.items()}
    before = {person: data.draw(st.integers(0, 5)) for person in people}
    taken = share(needed, room, before)
    for group in sizes:
        assert sum(taken[group].values()) == needed[group] and set(taken[group]) == set(room[group])
        assert all(0 <= rows <= room[group][person] for person, rows in taken[group].items())

    def cost(shares):
        return sum((before[person] + sum(part.get(person, 0) for part in shares)) ** 2 for person in people)

    def ways(group):
        for counts in product(*(range(most + 1) for most in room[group].values())):
            if sum(counts) == needed[group]:
                yield dict(zip(room[group], counts, strict=True))

    # Every way there is, group after group: the best by load alone (costs hang on loads, so equal loads are one).
    reached = {tuple(before[person] for person in people)}
    for group in sizes:
        reached = {
            tuple(load + way.get(person, 0) for load, person in zip(loads, people, strict=True))
            for loads in reached
            for way in ways(group)
        }
    assert cost(taken.values()) == min(sum(load**2 for load in loads) for loads in reached)


def test_all_pairs_meet():
    people = [Person(name=name) for name in "abcdef"]
    pairs = Counter(frozenset(assignment.annotators) for assignment in assign(rows(150), people))
    assert len(pairs) == 15
    assert min(pairs.values()) >= 3


def test_the_same_seed_gives_the_same_in_any_order_of_rows_and_another_seed_does_not():
    people = [Person(name=name) for name in "abcd"]
    given_rows = rows(50)
    once = assign(given_rows, people, seed=3)
    assert once == assign(given_rows[::-1], people, seed=3)
    assert once != assign(given_rows, people, seed=4)


def test_doubtful_rows_come_first():
    given_rows = rows(20)
    given_rows[7]["doubt"], given_rows[3]["doubt"], given_rows[11]["doubt"] = 0.9, 0.2, True
    assignments = assign(given_rows, [Person(name=name) for name in "abc"], batch=2)
    assert [assignment.id for assignment in assignments[:3]] == ["None11", "None7", "None3"]


def test_rows_added_later_keep_what_is_assigned_and_level_the_loads():
    people = [Person(name=name) for name in "abcd"]
    before = assign(rows(11), people, batch=5)
    after = assign(rows(40), people, batch=5, given=before)
    assert after[:11] == before
    assert after[11].order == 11 and after[11].round == 4
    assert all(spread(part) <= 1 for part in loads(after, people))
    assert assign(rows(40), people, batch=5, given=after) == after
    joined = [*people, Person(name="new")]
    annotated, inspected = loads(assign(rows(80), joined, given=after), joined)
    assert spread(inspected) <= 1
    # Someone who comes late is on every new row, which is all that can be done.
    assert annotated[-1] + inspected[-1] == 40 and spread(annotated[:4]) <= 1


@pytest.mark.parametrize(
    ("people", "message"),
    [
        ([], r"people: expected at least three: two annotators and an inspector, found 0 \(nothing\)"),
        (["anna", "bo"], r"people: expected at least three: .*, found 2 \(anna, bo\)"),
        (["anna", "bo", "bo"], "a name of their own for everyone, found 'bo' 2 times"),
        (["anna", "bo", "../x"], "a name that a file can have, found '../x'"),
    ],
)
def test_people_that_do_not_suffice_are_told(people, message):
    with pytest.raises(InputError, match=message):
        assign(rows(3), [Person(name=name) for name in people])


def test_languages_that_too_few_read_are_told():
    people = [Person(name="a", languages=("en",)), Person(name="b", languages=("en", "fr")), Person(name="c")]
    with pytest.raises(InputError) as error:
        assign([*rows(3, "en"), *rows(2, "fr"), *rows(1)], people)
    lines = str(error.value).split("\n")
    assert lines == [
        "2 rows in the language fr: expected two annotators and another person to inspect who read it, "
        "found annotators b, c; inspectors b, c",
        "1 rows in no language: expected two annotators and another person to inspect who read it, "
        "found annotators c; inspectors c",
    ]


def test_an_assignment_with_a_row_twice_is_refused():
    one = Assignment(id="x", annotators=("a", "b"), inspector="c", order=0)
    with pytest.raises(InputError, match="expected each row once, found 'x' again"):
        assign([], [Person(name=name) for name in "abc"], given=[one, one])
