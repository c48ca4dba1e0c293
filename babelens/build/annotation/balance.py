"""Shares of work that are as even as they can be: a flow from groups of rows to the people who may take them.

A share is *as even as can be* when no chain of swaps would take work from one person and end with another who has at
least two rows fewer. For costs that grow convexly with each load this is the optimum (no negative cycle in the residual
graph; Ahuja, Magnanti and Orlin, Network Flows, 1993, chapter 14), and where all may do all, loads then differ by at
most one.
"""

from collections.abc import Hashable, Mapping
from typing import TypeVar

Group = TypeVar("Group", bound=Hashable)


def share(
    needed: Mapping[Group, int], room: Mapping[Group, Mapping[str, int]], before: Mapping[str, int]
) -> dict[Group, dict[str, int]]:
    """How much of each group's work each person takes.

    Args:
        needed: the pieces of work in each group.
        room: how many of them each person who may take any can take; together at least as many as are needed.
        before: the work that people have already; it counts for the balance and stays.
    """
    taken: dict[Group, dict[str, int]] = {}
    loads = dict(before)
    for group, rest in needed.items():
        taken[group] = {}
        # Spread over all, so that in the end as many different people as can meet do meet.
        people = sorted(room[group], key=lambda person: (room[group][person], -loads[person], person))
        for place, person in enumerate(people):
            taken[group][person] = min(room[group][person], rest // (len(people) - place))
            rest -= taken[group][person]
            loads[person] += taken[group][person]
    while _improve(taken, room, loads):
        pass
    return taken


def _improve(
    taken: dict[Group, dict[str, int]], room: Mapping[Group, Mapping[str, int]], loads: dict[str, int]
) -> bool:
    """Move work along one chain from a person with much to one with less; False where no chain helps."""
    for giver in sorted(loads, key=lambda person: (-loads[person], person)):
        ways = _reach(giver, taken, room)
        receiver = min(ways, key=lambda person: (loads[person], person), default=giver)
        if loads[giver] - loads[receiver] < 2:
            continue
        chain: list[tuple[Group, str, str]] = []
        person = receiver
        while person != giver:
            group, from_ = ways[person]
            chain.append((group, from_, person))
            person = from_
        spare = (min(taken[group][from_], room[group][to] - taken[group][to]) for group, from_, to in chain)
        moved = min((loads[giver] - loads[receiver]) // 2, *spare)
        for group, from_, to in chain:
            taken[group][from_] -= moved
            taken[group][to] += moved
        loads[giver] -= moved
        loads[receiver] += moved
        return True
    return False


def _reach(
    giver: str, taken: Mapping[Group, Mapping[str, int]], room: Mapping[Group, Mapping[str, int]]
) -> dict[str, tuple[Group, str]]:
    """Whom work of `giver` can reach by shortest chains of swaps: for each, the last swap's group and its giver."""
    ways: dict[str, tuple[Group, str]] = {}
    front = [giver]
    seen = {giver}
    while front:
        further: list[str] = []
        for person in front:
            for group, shares in taken.items():
                if not shares.get(person):
                    continue
                for other, pieces in shares.items():
                    if other not in seen and pieces < room[group][other]:
                        seen.add(other)
                        ways[other] = (group, person)
                        further.append(other)
        front = further
    return ways
