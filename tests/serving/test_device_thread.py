"""What else is done in the device's thread, between batches."""

import asyncio
import threading

import pytest

from serving.batching import Batcher, DeviceLostError
from tests.serving.test_batching import Device, Panic, arrived, rows, start, values


@pytest.fixture
def batcher():
    batcher = Batcher()
    yield batcher
    batcher.close()


class Pipelined(Device):
    """Takes a second batch before the first is waited for, and knows how many are at work."""

    in_flight = 2

    def __init__(self):
        super().__init__(held=True)
        self.at_work = 0

    def start(self, some):
        wait = super().start(some)
        self.at_work += 1

        def done():
            self.at_work -= 1
            return wait()

        return done


def test_a_call_has_the_device_alone_and_waits_for_nothing_but_what_is_at_work(batcher):
    device, seen = Pipelined(), []

    def work():
        seen.append((threading.current_thread().name, device.at_work, len(device.batches)))
        return "done"

    async def scenario():
        first = await start(batcher, device, rows(1))
        await arrived(device)
        later = await start(batcher, device, *(rows(*range(16)) for _ in range(4)))
        call = asyncio.create_task(asyncio.to_thread(batcher.call, work))
        while not batcher._calls:
            await asyncio.sleep(0.001)
        device.go.set()
        assert await call == "done"
        return [values(drawn) for drawn in await asyncio.gather(*first, *later, return_exceptions=True) if hasattr(drawn, "images")]

    assert asyncio.run(scenario())[0] == [1]
    ((thread, at_work, batches),) = seen
    assert (thread, at_work) == ("device", 0)
    assert batches < 5  # not after all that was waiting


def test_a_call_raises_what_its_work_raises_and_the_device_goes_on(batcher):
    with pytest.raises(ZeroDivisionError):
        batcher.call(lambda: 1 / 0)
    assert batcher.call(lambda: 2) == 2

    async def scenario():
        return values(await batcher.submit(Device(), rows(7)))

    assert asyncio.run(scenario()) == [7]


def test_after_the_end_nothing_is_called():
    closed = Batcher()
    closed.close()
    with pytest.raises(RuntimeError, match="the batcher is closed"):
        closed.call(lambda: None)


class Dying(Device):
    """Ends the thread with its first batch."""

    def start(self, some):
        super().start(some)
        raise Panic


def test_a_call_that_finds_no_device_is_told_at_once_whether_it_waits_or_comes_later():
    batcher, device = Batcher(), Dying(held=True)

    async def scenario():
        drawing = await start(batcher, device, rows(1))
        await arrived(device)
        call = asyncio.create_task(asyncio.to_thread(batcher.call, lambda: 1))
        while not batcher._calls:
            await asyncio.sleep(0.001)
        device.go.set()
        async with asyncio.timeout(10):
            return await asyncio.gather(*drawing, call, return_exceptions=True)

    assert [type(error) for error in asyncio.run(scenario())] == [DeviceLostError, DeviceLostError]
    with pytest.raises(DeviceLostError):
        batcher.call(lambda: 1)
    batcher.close()
