"""The order in which groups of nodes can run, each as one step: what a forward pass or a block is divided into."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from heapq import heapify, heappop, heappush
from typing import TypeVar

from repc.ir.node import NodeId

G = TypeVar("G", bound=Hashable)


def schedule(
    group_of: Mapping[NodeId, G], users: Callable[[NodeId], Iterable[NodeId]]
) -> tuple[dict[G, list[NodeId]], list[G]]:
    """Groups with their nodes, each after those that it reads, ties in the order given; and the groups in the way.

    A group is in the way where it needs its own result, by way of others.
    """
    members: dict[G, list[NodeId]] = {}
    for id, group in group_of.items():
        members.setdefault(group, []).append(id)
    readers = {
        group: {group_of[user] for id in some for user in users(id) if user in group_of} - {group}
        for group, some in members.items()
    }
    order = _run(list(members), readers)
    left = [group for group in members if group not in order]
    if left:  # behind a circle is not in it
        reads: dict[G, set[G]] = {group: set() for group in left}
        for group in left:
            for reader in readers[group]:
                reads[reader].add(group)
        behind = _run(left, reads)
        left = [group for group in left if group not in behind]
    return {group: members[group] for group in order}, left


def _run(groups: list[G], readers: Mapping[G, set[G]]) -> dict[G, None]:
    """The groups that can run, in order; those on a circle, and behind one, cannot."""
    place = {group: i for i, group in enumerate(groups)}
    waits = dict.fromkeys(groups, 0)
    for group in groups:
        for reader in readers[group]:
            waits[reader] += 1
    ready = [place[group] for group, count in waits.items() if not count]
    heapify(ready)
    order: dict[G, None] = {}
    while ready:
        group = groups[heappop(ready)]
        order[group] = None
        for reader in readers[group]:
            waits[reader] -= 1
            if not waits[reader]:
                heappush(ready, place[reader])
    return order
