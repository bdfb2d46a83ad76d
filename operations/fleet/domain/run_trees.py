"""In whose results of an experiment a run counts: its own, or those of a run that it was called by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple
from uuid import UUID


class Node(NamedTuple):
    """A run among those that called it and that it called; ``unit`` is who it was assigned for by itself."""

    parent: UUID | None
    unit: str | None


def owners(nodes: Mapping[UUID, Node]) -> dict[UUID, UUID]:
    """The run in whose results each run counts; those that count in none are left out.

    A run that was assigned by itself counts in its own, unless one that it was called by was assigned for the
    same unit: a unit has one result, of the topmost run. A run that was not counts in those of whoever called
    it. A function of the nodes alone: calls in a circle begin at the smallest of it.
    """
    parents = _without_circles(nodes)
    found: dict[UUID, UUID] = {}
    done: set[UUID] = set()
    for key in nodes:
        path = []
        step: UUID | None = key
        while step is not None and step not in done:
            path.append(step)
            step = parents[step]
        for one in reversed(path):
            if (owner := _owner(one, nodes, parents, found)) is not None:
                found[one] = owner
            done.add(one)
    return found


def _owner(
    key: UUID, nodes: Mapping[UUID, Node], parents: Mapping[UUID, UUID | None], found: Mapping[UUID, UUID]
) -> UUID | None:
    unit, above = nodes[key].unit, parents[key]
    if unit is None:
        return found.get(above) if above is not None else None
    while above is not None:
        if found.get(above) == above and nodes[above].unit == unit:
            return above
        above = parents[above]
    return key


def _without_circles(nodes: Mapping[UUID, Node]) -> dict[UUID, UUID | None]:
    parents = {key: node.parent if node.parent in nodes else None for key, node in nodes.items()}
    clear: set[UUID] = set()
    for key in nodes:
        path: dict[UUID, None] = {}
        step: UUID | None = key
        while step is not None and step not in clear and step not in path:
            path[step] = None
            step = parents[step]
        if step is not None and step in path:
            around = list(path)
            parents[min(around[around.index(step) :])] = None
        clear.update(path)
    return parents
