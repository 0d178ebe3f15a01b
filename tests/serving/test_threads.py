"""Threads whose work the test holds."""

import asyncio
import threading
from contextlib import ExitStack

import pytest

from serving.threads import Threads


class Work:
    """Something to do that goes on until `go`, and counts how many do it at once."""

    def __init__(self):
        self.begun = threading.Semaphore(0)
        self.go = threading.Event()
        self.at_once = self.most = self.times = 0
        self._lock = threading.Lock()

    def __call__(self, result=None):
        with self._lock:
            self.at_once += 1
            self.times += 1
            self.most = max(self.most, self.at_once)
        self.begun.release()
        assert self.go.wait(10)
        with self._lock:
            self.at_once -= 1
        if isinstance(result, Exception):
            raise result
        return result


async def begun(work):
    assert await asyncio.to_thread(work.begun.acquire, timeout=10)


async def dropped(task):
    task.cancel()
    async with asyncio.timeout(10):
        with pytest.raises(asyncio.CancelledError):
            await task


def test_it_returns_and_raises_what_the_work_does():
    work = Work()
    work.go.set()

    async def scenario():
        threads = Threads(1, "test")
        with pytest.raises(KeyError):
            await threads.run(work, KeyError("x"))
        return await threads.run(work, 7)

    assert asyncio.run(scenario()) == 7


def test_who_is_given_up_leaves_the_thread_to_its_work_and_all_that_it_held_until_it_is_done():
    work = Work()

    async def scenario():
        threads, log = Threads(1, "test"), []

        async def request(name):
            with ExitStack() as held:
                held.callback(log.append, name)
                return await threads.run(work, name, held=held)

        first = asyncio.create_task(request("first"))
        await begun(work)
        second, third = asyncio.create_task(request("second")), asyncio.create_task(request("third"))
        await asyncio.sleep(0)
        await dropped(first)  # at work
        await dropped(second)  # in the line
        await asyncio.sleep(0.05)
        assert log == ["second"]
        assert work.times == 1
        work.go.set()
        assert await third == "third"
        assert log == ["second", "first", "third"]
        assert (work.most, work.times) == (1, 2)

    asyncio.run(scenario())


def test_without_anything_to_hand_over_the_cancellation_waits_for_the_work():
    work = Work()

    async def scenario():
        threads, log = Threads(1, "test"), []

        async def request():
            try:
                await threads.run(work)
            finally:
                log.append(work.at_once)

        task = asyncio.create_task(request())
        await begun(work)
        task.cancel()
        await asyncio.sleep(0.05)
        assert log == []
        work.go.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert log == [0]

    asyncio.run(scenario())


def test_a_failure_after_its_request_was_given_up_is_nobodys_and_frees_the_thread():
    work, complaints = Work(), []

    async def scenario():
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        threads = Threads(1, "test")
        with ExitStack() as held:
            task = asyncio.create_task(threads.run(work, KeyError("x"), held=held))
            await begun(work)
            await dropped(task)
        work.go.set()
        return await threads.run(work, 7)

    assert asyncio.run(scenario()) == 7
    assert complaints == []


def test_a_thread_that_cannot_be_started_is_an_error_of_that_request_only(monkeypatch):
    work = Work()
    work.go.set()

    async def scenario():
        threads = Threads(1, "test")
        with monkeypatch.context() as patch:

            def no_more(_):
                raise RuntimeError("can't start new thread")

            patch.setattr(threading.Thread, "start", no_more)
            with pytest.raises(RuntimeError, match="new thread"):
                await threads.run(work)
        async with asyncio.timeout(10):
            return await threads.run(work, 7)

    assert asyncio.run(scenario()) == 7
