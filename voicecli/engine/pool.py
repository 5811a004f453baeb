"""Threads that work for many owners in fair turns.

The next piece of work is always that of the owner whose last turn is longest ago, however much the
others have waiting. So an owner who asks for much waits for it, and nobody else does: whoever comes
new waits for one piece of work at most.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import TypeAlias

Work: TypeAlias = Callable[[], None]
"Must not raise."


@dataclass(frozen=True)
class _Waiting:
    since: float
    work: Work
    key: Hashable


class FairPool:
    """A bounded number of daemon threads, started when there is work for them.

    Any thread may call it. What one owner has waiting runs in the order given, but with
    `per_owner` above 1 several pieces of it may run at a time.

    Args:
        name: of the threads.
        workers: threads at most.
        waited: told, on the thread that works, for how many seconds a piece of work had to wait.
        clock: seconds that never go back.
    """

    def __init__(
        self,
        name: str,
        workers: int = 1,
        *,
        waited: Callable[[float], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self._workers = workers
        self._waited = waited
        self._clock = clock
        self._changed = threading.Condition()
        # Bounded by the owners, who know what they have asked for.
        self._queues: dict[Hashable, deque[_Waiting]] = {}
        self._last_turns: dict[Hashable, int] = {}
        self._turns = 0
        self._running: Counter[Hashable] = Counter()
        self._threads = 0
        self._idle = 0
        self._is_open = True

    def put(self, owner: Hashable, work: Work, key: Hashable = None) -> None:
        """Do this when its turn comes; returns at once.

        Args:
            owner: whose it is.
            work: what to do.
            key: what `drop` will know it by.
        """
        with self._changed:
            self._queues.setdefault(owner, deque()).append(_Waiting(self._clock(), work, key))
            # Idle threads that were woken already may not have taken their work yet.
            if self._threads < self._workers and self._depth() > self._idle:
                self._threads += 1
                threading.Thread(target=self._run, name=self._name, daemon=True).start()
            self._changed.notify()

    def grow(self, workers: int) -> None:
        """Allow more threads than before; never takes any away."""
        with self._changed:
            self._workers = max(workers, self._workers)

    def drop(self, owner: Hashable, key: Hashable) -> None:
        """Forget a piece of work, unless it has begun."""
        with self._changed:
            kept = deque(one for one in self._queues.get(owner, ()) if one.key != key)
            if kept:
                self._queues[owner] = kept
            else:
                self._queues.pop(owner, None)

    def forget(self, owner: Hashable) -> None:
        """Drop what an owner has waiting; what is running goes on.

        Owners that leave have to be forgotten.
        """
        with self._changed:
            self._queues.pop(owner, None)
            self._last_turns.pop(owner, None)

    def close(self) -> None:
        """Drop all that waits; the threads end when they are through with what they do."""
        with self._changed:
            self._is_open = False
            self._queues.clear()
            self._changed.notify_all()

    def waiting(self, owner: Hashable) -> int:
        """Pieces of work of an owner that have not begun."""
        with self._changed:
            return len(self._queues.get(owner, ()))

    @property
    def depth(self) -> int:
        """Pieces of work that have not begun, of all owners."""
        with self._changed:
            return self._depth()

    def _depth(self) -> int:
        return sum(map(len, self._queues.values()))

    @property
    def _per_owner(self) -> int:
        # Work that waits for another machine takes long: nobody may hold all threads with it.
        return max(1, self._workers // 2)

    def _run(self) -> None:
        while (found := self._next()) is not None:
            owner, taken = found
            self._waited(self._clock() - taken.since)
            taken.work()
            del found, taken  # and the audio that it holds, while there is nothing to do
            with self._changed:
                self._running[owner] -= 1
                if not self._running[owner]:
                    del self._running[owner]
                self._changed.notify()
            del owner  # one that has left is not to be kept, either

    def _next(self) -> tuple[Hashable, _Waiting] | None:
        with self._changed:
            while (owner := self._whose_turn()) is None:
                if not self._is_open:
                    return None
                self._idle += 1
                self._changed.wait()
                self._idle -= 1
            queue = self._queues[owner]
            taken = queue.popleft()
            if not queue:
                del self._queues[owner]
            self._turns += 1
            self._last_turns[owner] = self._turns
            self._running[owner] += 1
            return owner, taken

    def _whose_turn(self) -> Hashable | None:
        free = (one for one in self._queues if self._running[one] < self._per_owner)
        return min(free, key=lambda one: self._last_turns.get(one, 0), default=None)
