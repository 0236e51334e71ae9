"""A loop that is stuck is told of, with where it is, by another thread."""

from __future__ import annotations

import queue
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import thread as thread_pool

from hypersdkd.host.loop_watch import LoopWatch, place_of_thread


def test_it_tells_where_the_loop_is_and_the_stack_once() -> None:
    heard: queue.SimpleQueue[tuple[str, str]] = queue.SimpleQueue()
    watch = LoopWatch(0.05, lambda line, stack: heard.put((line, stack)))
    try:
        first, second = heard.get(timeout=60), heard.get(timeout=60)
        assert first[0].startswith("the daemon's loop has been stuck for 0 s in ")
        assert "test_loop_watch.py" in first[1]
        assert second[1] == "", "once for each time that it is stuck"
        watch.beat()
        while not (again := heard.get(timeout=60))[1]:
            pass
        assert "test_loop_watch.py" in again[1]
    finally:
        watch.close()
    while not heard.empty():
        heard.get()
    assert not any(thread.name == "loop watch" for thread in threading.enumerate())


def test_a_loop_that_comes_around_is_not_told_of() -> None:
    heard: list[str] = []
    watch = LoopWatch(3600, lambda line, _stack: heard.append(line))
    watch.beat()
    watch.close()
    assert heard == []


def test_where_a_thread_is() -> None:
    go = threading.Event()
    begun = threading.Event()

    def hold() -> None:
        begun.set()
        go.wait(60)

    with ThreadPoolExecutor(1, "some-disk") as pool:
        pool.submit(hold)
        assert begun.wait(60)
        while not (place := place_of_thread("some-disk", thread_pool.__file__)).endswith(", wait"):
            time.sleep(0)  # between the two waits of a thread that is just about to
        assert place.startswith("threading.py:")
        go.set()
        pool.submit(lambda: None).result()
        while place_of_thread("some-disk", thread_pool.__file__):
            time.sleep(0)
    assert place_of_thread("some-disk", thread_pool.__file__) == ""
