"""Why MMNERD English holds more entities on disk than Table 2 of its paper prints.

    python benchmarks/mmnerd_counts.py MMNERD_EN TWITTER2017

Within a row every name is written, from left to right, onto all its later mentions, whatever they were before.
Twitter-2017, whose rows MMNERD has taken over, shows it: spread so, its labels become MMNERD's. The table fits counts
from before that.
"""

import argparse
from collections import Counter
from collections.abc import Sequence

from babelens.data import read_split
from babelens.data.mmnerd import mmnerd_source, published
from babelens.schema import Entity, Example

PARTS = ("train", "valid", "test")
TYPES = ("PER", "LOC", "ORG", "MISC")
Name = tuple[str, ...]
_LINE = "  {:4} {:>8} {:>8} {:>14} {:>14} {:>8} {:>6} {:>8}"


def name(example: Example, entity: Entity) -> Name:
    return example.words[entity.start : entity.end]


def spread(words: Sequence[str], entities: Sequence[Entity]) -> list[Entity]:
    """Each entity's type on all later mentions of its words, from left to right; what these overlap is gone."""
    found = sorted(entities, key=lambda entity: entity.start)
    done = 0
    while done < len(found):
        first = found[done]
        length = first.end - first.start
        place = first.end
        while place + length <= len(words):
            if words[place : place + length] == words[first.start : first.end]:
                found = [one for one in found if one.end <= place or one.start >= place + length]
                found.append(Entity(place, place + length, first.type))
                place += length
            else:
                place += 1
        found.sort(key=lambda entity: entity.start)
        done += 1
    return found


def unlabelled(example: Example) -> int:
    """Mentions of a name of the row, word for word, none of whose words is in an entity."""
    taken = {place for entity in example.entities for place in range(entity.start, entity.end)}
    return sum(
        example.words[place : place + len(words)] == words and taken.isdisjoint(range(place, place + len(words)))
        for words in {name(example, entity) for entity in example.entities}
        for place in range(len(example.words) - len(words) + 1)
    )


def types(example: Example) -> Counter[str]:
    return Counter(entity.type for entity in example.entities)


def once(example: Example) -> Counter[str]:
    """Entities by type, each name counted once."""
    return Counter(type_ for type_, _ in {(entity.type, name(example, entity)) for entity in example.entities})


def main() -> None:
    parser = argparse.ArgumentParser(description="MMNERD English beside Table 2 of its paper.")
    parser.add_argument("mmnerd")
    parser.add_argument("twitter2017")
    given = parser.parse_args()
    before = {row.images[0]: row for part in PARTS for row in read_split(given.twitter2017, part)}
    same_words = alike = spread_alike = 0
    for part in PARTS:
        rows = list(read_split(given.mmnerd, part))
        tweets = [row for row in rows if mmnerd_source(row) == "tweet"]
        captions = [row for row in rows if mmnerd_source(row) == "caption"]
        own = [(row, before[row.images[0]]) for row in tweets]
        shared = [(row, other) for row, other in own if row.words == other.words]
        same_words += len(shared)
        alike += sum(row.entities == other.entities for row, other in shared)
        spread_alike += sum(list(row.entities) == spread(other.words, other.entities) for row, other in shared)

        printed = published("en", part)
        assert printed is not None
        disk, labelled = sum(map(types, rows), Counter()), sum((types(other) for _, other in own), Counter())
        names = sum(map(once, captions), Counter())
        repeats = sum(map(types, captions), Counter()) - names
        print(f"{part}: {len(rows):,} rows, {len({row.words for row in rows}):,} different texts")
        print(f"  {sum(map(unlabelled, rows)):,} mentions of a row's own names without a label")
        changed = sum(list(row.entities) != spread(row.words, row.entities) for row in rows)
        print(f"  {changed:,} rows would change if their names were spread again")
        print(_LINE.format("", "disk", "printed", "tweets before", "captions once", "both", "more", "repeats"))
        for shown in (*TYPES, "all"):
            counts = [disk, printed.entities, labelled, names, repeats]
            at_hand, table, tweet, caption, repeated = (
                sum(one.values()) if shown == "all" else one[shown] for one in counts
            )
            both = tweet + caption
            print(_LINE.format(shown, at_hand, table, tweet, caption, both, table - both, repeated))
    print(
        f"{same_words:,} rows have the words of Twitter-2017; {alike:,} its labels, {spread_alike:,} its labels spread"
    )


if __name__ == "__main__":
    main()
