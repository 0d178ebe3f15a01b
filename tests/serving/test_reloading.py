"""Reloads that are asked for share what they can, and take nothing from anybody else."""

import asyncio
import threading

import pytest

from serving.errors import RequestError
from serving.reloading import MOST_WAITING, Reloads


class Loading:
    """Loads that last until they are let go; each says how many there have been."""

    def __init__(self):
        self.begun, self.at_once, self.most_at_once = [], 0, 0
        self.may_end = threading.Event()

    def __call__(self, name):
        self.begun.append(name)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        assert self.may_end.wait(20)
        self.at_once -= 1
        if name == "bad":
            raise ValueError(name)
        return f"{name}, load {len(self.begun)}"


async def until(condition):
    while not condition():
        await asyncio.sleep(0.001)


def test_those_who_ask_while_one_is_loaded_share_the_next_load():
    async def main():
        loading = Loading()
        reloads = Reloads(loading, deadline=20)
        first = asyncio.create_task(reloads("shoes"))
        await until(lambda: loading.begun)
        others = [asyncio.create_task(reloads("shoes")) for _ in range(400)]
        await asyncio.sleep(0)
        loading.may_end.set()
        # What the first began with may have been replaced since: the others are answered by a load that began after they asked.
        assert await first == "shoes, load 1"
        assert set(await asyncio.gather(*others)) == {"shoes, load 2"}
        assert loading.begun == ["shoes", "shoes"]

    asyncio.run(main())


def test_models_are_loaded_one_after_another():
    async def main():
        loading = Loading()
        reloads = Reloads(loading, deadline=20)
        tasks = [asyncio.create_task(reloads(name)) for name in ("a", "b", "c")]
        await until(lambda: loading.begun)
        loading.may_end.set()
        assert await asyncio.gather(*tasks) == ["a, load 1", "b, load 2", "c, load 3"]
        assert loading.most_at_once == 1

    asyncio.run(main())


def test_a_load_that_fails_is_told_to_all_who_share_it_and_the_next_begins_anew():
    async def main():
        loading = Loading()
        loading.may_end.set()
        reloads = Reloads(loading, deadline=20)
        assert {type(error) for error in await asyncio.gather(*[reloads("bad") for _ in range(3)], return_exceptions=True)} == {
            ValueError
        }
        assert loading.begun == ["bad"]
        assert await reloads("good") == "good, load 2"

    asyncio.run(main())


def test_so_many_may_wait_and_no_more():
    async def main():
        loading = Loading()
        reloads = Reloads(loading, deadline=20)
        tasks = [asyncio.create_task(reloads("first"))]
        await until(lambda: loading.begun)
        tasks += [asyncio.create_task(reloads(f"model {k}")) for k in range(MOST_WAITING)]
        await asyncio.sleep(0)
        with pytest.raises(RequestError) as raised:
            await reloads("one too many")
        assert (raised.value.status, raised.value.headers) == (429, {"Retry-After": "1"})
        tasks.append(asyncio.create_task(reloads("model 0")))  # which is waited for already
        loading.may_end.set()
        assert len(await asyncio.gather(*tasks)) == MOST_WAITING + 2

    asyncio.run(main())


def test_who_has_waited_for_the_deadline_is_told_and_the_load_goes_on():
    async def main():
        loading = Loading()
        reloads = Reloads(loading, deadline=0.01)
        with pytest.raises(RequestError, match=r"shoes.*still being loaded.*GET /models") as raised:
            await reloads("shoes")
        assert raised.value.status == 504
        loading.may_end.set()
        await until(lambda: not loading.at_once)

    asyncio.run(main())


def test_a_caller_who_leaves_takes_nothing_from_the_others():
    async def main():
        loading = Loading()
        reloads = Reloads(loading, deadline=20)
        leaves, stays = (asyncio.create_task(reloads("shoes")) for _ in range(2))
        await until(lambda: loading.begun)
        leaves.cancel()
        loading.may_end.set()
        assert await stays == "shoes, load 1"

    asyncio.run(main())
