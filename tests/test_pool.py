"""Fair turns between the owners of work."""

import threading
import weakref

from voicecli.engine.pool import FairPool


class Bench:
    """Work that waits to be let go, and what was done of it in which order."""

    def __init__(self, pool: FairPool) -> None:
        self.pool = pool
        self.done: list[str] = []
        self.gate = threading.Semaphore(0)
        self._finished = threading.Semaphore(0)

    def put(self, owner: str, name: str) -> None:
        def work() -> None:
            self.gate.acquire(timeout=10)
            self.done.append(name)
            self._finished.release()

        self.pool.put(owner, work)

    def finish(self, count: int) -> list[str]:
        self.gate.release(count)
        for _ in range(count):
            assert self._finished.acquire(timeout=10)
        return self.done


def test_owners_take_turns_however_much_one_of_them_asks_for() -> None:
    bench = Bench(FairPool("test"))
    bench.put("first", "first")
    while bench.pool.depth:  # until it holds the only thread
        pass
    for number in range(4):
        bench.put("greedy", f"greedy {number}")
    bench.put("modest", "modest 0")
    bench.put("third", "third 0")
    bench.put("modest", "modest 1")
    assert bench.finish(8) == [
        *("first", "greedy 0", "modest 0", "third 0"),
        *("greedy 1", "modest 1", "greedy 2", "greedy 3"),
    ]


def test_whoever_comes_new_waits_for_one_piece_of_work_at_most() -> None:
    bench = Bench(FairPool("test"))
    for number in range(3):
        bench.put("greedy", f"greedy {number}")
    while bench.pool.depth > 2:  # until the first of them has begun
        pass
    bench.put("modest", "modest")
    assert bench.finish(4) == ["greedy 0", "modest", "greedy 1", "greedy 2"]


def test_one_owner_cannot_hold_all_threads() -> None:
    pool = FairPool("test", workers=4)
    held = threading.Event()
    begun = threading.Semaphore(0)

    def hold() -> None:
        begun.release()
        held.wait(10)

    for _ in range(4):
        pool.put("greedy", hold)
    for _ in range(2):
        assert begun.acquire(timeout=10)
    other = threading.Event()
    pool.put("modest", other.set)
    assert other.wait(10)
    assert pool.waiting("greedy") == 2
    held.set()
    for _ in range(2):
        assert begun.acquire(timeout=10), "what was held back runs in the end"


def test_a_pool_has_no_more_threads_than_it_may() -> None:
    before = threading.active_count()
    bench = Bench(FairPool("test", workers=2))
    for number in range(6):
        bench.put(f"owner {number}", str(number))
    assert threading.active_count() - before == 2
    assert sorted(bench.finish(6)) == [str(number) for number in range(6)]


def test_what_an_owner_who_left_had_waiting_is_not_done() -> None:
    bench = Bench(FairPool("test"))
    bench.put("gone", "a")
    while bench.pool.depth:
        pass
    for name in ("b", "c"):
        bench.put("gone", name)
    bench.put("here", "d")
    bench.pool.forget("gone")
    assert bench.pool.waiting("gone") == 0
    assert bench.finish(2) == ["a", "d"]


def test_a_piece_of_work_can_be_dropped() -> None:
    bench = Bench(FairPool("test"))
    bench.put("a", "first")
    while bench.pool.depth:
        pass
    bench.pool.put("a", lambda: bench.done.append("dropped"), "key")
    bench.put("a", "second")
    bench.pool.drop("a", "key")
    assert bench.finish(2) == ["first", "second"]


def test_the_threads_of_a_closed_pool_end() -> None:
    bench = Bench(FairPool("test of closing"))
    bench.put("a", "first")
    bench.finish(1)
    (thread,) = [one for one in threading.enumerate() if one.name == "test of closing"]
    bench.pool.close()
    thread.join(10)
    assert not thread.is_alive()


def test_the_time_that_work_waits_is_told() -> None:
    now = [5.0]
    waited: list[float] = []
    bench = Bench(FairPool("test", waited=waited.append, clock=lambda: now[0]))
    bench.put("a", "first")
    while bench.pool.depth:
        pass
    bench.put("a", "second")
    now[0] = 7.5
    bench.finish(2)
    assert waited == [0.0, 2.5]


def test_an_owner_who_has_left_is_not_kept_by_an_idle_thread() -> None:
    class Owner:
        """Somebody that can be looked for."""

    owner, pool, is_done = Owner(), FairPool("test"), threading.Semaphore(0)
    is_gone = threading.Event()
    weakref.finalize(owner, is_gone.set)
    pool.put(owner, is_done.release)
    assert is_done.acquire(timeout=10)
    pool.forget(owner)
    del owner
    assert is_gone.wait(timeout=10)
    pool.close()
