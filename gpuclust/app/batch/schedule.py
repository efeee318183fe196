"""Queue of a batch: the largest job that fits into memory beside the running ones is next; small ones form groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from gpuclust.app.batch.estimate import Estimate
from gpuclust.app.job.job import Job

#: Largest cost of a small job (2,000 points, roughly), and number of small jobs that a worker takes at a time.
SMALL, GROUP = 1e8, 16


@dataclass
class Task:
    """A job in the queue.

    ``card`` is the number of its CUDA device, -1 for any, None for the CPU. A task that is ``alone`` runs with
    no other task, since a worker died while running it.
    """

    index: int
    name: str
    job: Job
    estimate: Estimate
    card: int | None = None
    alone: bool = False
    died: list[str] = field(default_factory=list)

    @property
    def small(self) -> bool:
        return self.estimate.cost <= SMALL and not self.alone


class Queue:
    """Waiting tasks, the most expensive first, and the memory of the running ones."""

    def __init__(self, tasks: Sequence[Task], limit: int) -> None:
        self._waiting = sorted(tasks, key=lambda task: (task.alone, -task.estimate.cost, task.index))
        self._running: dict[int, Task] = {}
        self._limit = limit

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def memory(self) -> int:
        """Predicted bytes of the running tasks; of a group, those of its largest task."""
        return sum(task.estimate.memory for task in self._running.values())

    def wants(self, card: int | None) -> bool:
        """Whether any waiting task can run on this device."""
        return any(_runs_on(task, card) for task in self._waiting)

    def take(self, card: int | None, workers: int, groups: bool = True) -> list[Task]:
        """Take tasks for an idle worker: one, or (with ``groups``) several small ones; none if it has to wait.

        A task that fits beside no other one runs alone, for which its plan was made.
        """
        if any(task.alone for task in self._running.values()):
            return []
        free = self._limit - self.memory
        fitting = (
            place
            for place, task in enumerate(self._waiting)
            if _runs_on(task, card) and not (self._running and (task.alone or task.estimate.memory > free))
        )
        place = next(fitting, None)
        if place is None:
            return []
        first = self._waiting.pop(place)
        taken = [first]
        if first.small and groups:
            share = -(-len(self._waiting) // (2 * workers))
            others = [
                task
                for task in self._waiting[place : place + min(GROUP, share) - 1]
                if task.small and _runs_on(task, card) and task.estimate.memory <= first.estimate.memory
            ]
            taken += others
            chosen = {task.index for task in others}
            self._waiting = [task for task in self._waiting if task.index not in chosen]
        self._running[first.index] = first
        return taken

    def finished(self, first: int) -> None:
        """Note that the group which begins with this task is finished."""
        self._running.pop(first, None)

    def put_back(self, tasks: Sequence[Task]) -> None:
        """Return unfinished tasks to the queue; those to run alone come last."""
        self._waiting += tasks
        self._waiting.sort(key=lambda task: (task.alone, -task.estimate.cost, task.index))

    def drain(self) -> list[Task]:
        """Remove and return all waiting tasks."""
        left, self._waiting = self._waiting, []
        return left


def _runs_on(task: Task, card: int | None) -> bool:
    if task.card is None or card is None:
        return task.card is card
    return task.card in (-1, card)
