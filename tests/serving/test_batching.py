"""The batcher by itself, with a device that a test can hold and watch."""

import asyncio
import threading
import time
import weakref
from contextlib import suppress

import numpy as np
import pytest

from gan.manifest import IMAGES
from serving.batch_queue import BatchQueue, Job
from serving.batching import Batcher, DeviceLostError
from tests.references import lasting, without_garbage_collection


class Device:
    """A runtime that turns the latent [x] into the one-pixel image x, and waits for `go` before each batch."""

    name, batch_size, in_flight = "fake", 16, 1

    def __init__(self, held=False):
        self.batches = []
        self.arrived = threading.Semaphore(0)
        self.go = threading.Event()
        if not held:
            self.go.set()

    def start(self, rows):
        z = rows["z"]
        self.batches.append(z[:, 0].astype(int).tolist())
        self.arrived.release()
        assert self.go.wait(10)
        if (z == 13).any():
            raise ValueError("a bad row")
        return lambda: {IMAGES: z.astype(np.uint8).reshape(-1, 1, 1, 1)}


def rows(*values):
    return {"z": np.array(values, np.float32)[:, np.newaxis]}


def values(drawn):
    return drawn.images.ravel().tolist()


@pytest.fixture
def batcher():
    batcher = Batcher()
    yield batcher
    batcher.close()


async def start(batcher, device, *all_rows):
    """Requests that have been submitted in this order."""
    tasks = []
    for some in all_rows:
        tasks.append(asyncio.create_task(batcher.submit(device, some)))
        await asyncio.sleep(0)
    return tasks


async def arrived(device):
    assert await asyncio.to_thread(device.arrived.acquire, timeout=10)


def test_an_idle_device_starts_at_once_and_a_busy_one_gathers(batcher):
    device = Device(held=True)

    async def scenario():
        first = await start(batcher, device, rows(1))
        await arrived(device)
        later = await start(batcher, device, rows(2), rows(3, 4), rows(5))
        assert batcher.waiting == 4
        device.go.set()
        return [values(drawn) for drawn in await asyncio.gather(*first, *later)]

    assert asyncio.run(scenario()) == [[1], [2], [3, 4], [5]]
    # The first round gives shares, the second what still fits: here all of it.
    assert [sorted(batch) for batch in device.batches] == [[1], [2, 3, 4, 5]]
    assert batcher.waiting == 0


def test_a_large_request_is_split_and_does_not_hold_up_a_small_one(batcher):
    device = Device(held=True)
    large = np.arange(200, dtype=np.float32)[:, np.newaxis]
    large[13] = 0

    async def scenario():
        (big,) = await start(batcher, device, {"z": large})
        await arrived(device)
        (small,) = await start(batcher, device, rows(250))
        order = []
        for name, task in (("big", big), ("small", small)):
            task.add_done_callback(lambda _, name=name: order.append(name))
        device.go.set()
        drawn = await asyncio.gather(small, big)
        assert order == ["small", "big"]
        return [values(one) for one in drawn]

    assert asyncio.run(scenario()) == [[250], large[:, 0].astype(int).tolist()]
    assert max(len(batch) for batch in device.batches) == 16
    assert 250 in device.batches[1]


def test_a_full_queue_is_served_in_order_and_in_full_batches(batcher):
    device = Device(held=True)

    async def scenario():
        first = await start(batcher, device, rows(0))
        await arrived(device)
        later = await start(batcher, device, *(rows(100 + k) for k in range(40)))
        device.go.set()
        await asyncio.gather(*first, *later)

    asyncio.run(scenario())
    assert device.batches == [[0], list(range(100, 116)), list(range(116, 132)), list(range(132, 140))]


def test_models_do_not_share_a_batch_and_take_turns(batcher):
    one, other = Device(held=True), Device()

    async def scenario():
        first = await start(batcher, one, rows(0))
        await arrived(one)
        tasks = []
        for k in range(20):
            tasks += await start(batcher, one, rows(100 + k)) + await start(batcher, other, rows(200 + k))
        one.go.set()
        return [values(drawn) for drawn in await asyncio.gather(*first, *tasks)]

    drawn = asyncio.run(scenario())
    assert drawn == [[0], *([hundred + k] for k in range(20) for hundred in (100, 200))]
    assert one.batches == [[0], list(range(100, 116)), list(range(116, 120))]
    assert other.batches == [list(range(200, 216)), list(range(216, 220))]


class Shaped(Device):
    """A device whose latents may have any number of components; the image is as wide as that, filled with the first of them."""

    def __init__(self, held=False):
        super().__init__(held)
        self.shapes = []

    def start(self, rows):
        self.shapes.append({name: values.shape[1:] for name, values in rows.items()})
        super().start(rows)
        z = rows["z"]
        return lambda: {IMAGES: np.repeat(z[:, :1].astype(np.uint8), z.shape[1], 1)[:, np.newaxis, :, np.newaxis]}


def wide(width, *values):
    return {"z": np.repeat(np.array(values, np.float32)[:, np.newaxis], width, 1)}


def test_requests_of_two_shapes_do_not_share_a_batch_and_take_turns(batcher):
    device = Shaped(held=True)

    async def scenario():
        first = await start(batcher, device, wide(1, 0))
        await arrived(device)
        tasks = []
        for k in range(20):
            tasks += await start(batcher, device, wide(2, 100 + k), wide(3, 200 + k))
        device.go.set()
        return [drawn.images[:, 0, :, 0].tolist() for drawn in await asyncio.gather(*first, *tasks)]

    drawn = asyncio.run(scenario())
    assert drawn == [[[0]], *([[value] * width] for k in range(20) for value, width in ((100 + k, 2), (200 + k, 3)))]
    assert device.batches == [[0], *([*range(n, n + 16)] for n in (100, 200)), *([*range(n, n + 4)] for n in (116, 216))]


def test_a_large_request_of_one_shape_does_not_hold_up_a_small_one_of_another(batcher):
    device = Shaped(held=True)

    async def scenario():
        large = await start(batcher, device, wide(2, *range(20, 220)))
        await arrived(device)
        small = await start(batcher, device, wide(3, 250), wide(3, 251))
        device.go.set()
        return [drawn.images[:, 0, 0, 0].tolist() for drawn in await asyncio.gather(*large, *small)]

    assert asyncio.run(scenario()) == [list(range(20, 220)), [250], [251]]
    assert [shapes["z"] for shapes in device.shapes[:4]] == [(2,), (2,), (3,), (2,)]
    assert device.batches[2] == [250, 251]


def test_requests_whose_inputs_have_other_names_do_not_share_a_batch(batcher):
    device = Shaped(held=True)

    async def scenario():
        first = await start(batcher, device, wide(1, 0))
        await arrived(device)
        labelled = {"label": np.array([5]), **wide(1, 3)}
        later = await start(batcher, device, wide(1, 1), labelled, wide(1, 2), dict(reversed(labelled.items())))
        device.go.set()
        await asyncio.gather(*first, *later)

    asyncio.run(scenario())
    assert device.batches == [[0], [1, 2], [3, 3]]


def test_a_bad_row_fails_its_own_request_only(batcher):
    device = Device(held=True)

    async def scenario():
        first = await start(batcher, device, rows(0))
        await arrived(device)
        later = await start(batcher, device, rows(1), rows(2, 13), rows(3))
        device.go.set()
        return await asyncio.gather(*first, *later, return_exceptions=True)

    first, good, bad, also_good = asyncio.run(scenario())
    assert [values(drawn) for drawn in (first, good, also_good)] == [[0], [1], [3]]
    assert isinstance(bad, ValueError)


def test_a_failed_request_leaves_the_queue_with_all_its_rows(batcher):
    device = Device()
    many = rows(*[13] * 100)

    async def scenario():
        with pytest.raises(ValueError, match="a bad row"):
            await batcher.submit(device, many)
        return values(await batcher.submit(device, rows(1)))

    assert asyncio.run(scenario()) == [1]
    assert batcher.waiting == 0
    assert len(device.batches) <= 3  # not all seven


def test_an_abandoned_request_costs_no_device_time(batcher):
    device = Device(held=True)

    async def scenario():
        first = await start(batcher, device, rows(0))
        await arrived(device)
        gone, kept = await start(batcher, device, rows(*range(100, 150)), rows(1))
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        assert batcher.waiting == 1
        device.go.set()
        return [values(drawn) for drawn in await asyncio.gather(*first, kept)]

    assert asyncio.run(scenario()) == [[0], [1]]
    assert device.batches == [[0], [1]]


def test_every_request_gets_its_own_images_under_load():
    seen = []
    batcher = Batcher(on_batch=lambda images, _: seen.append(images))
    random = np.random.default_rng(0)
    wanted = [random.integers(14, 256, random.integers(1, 60)) for _ in range(200)]
    devices = [Device(), Device()]

    async def scenario():
        tasks = [batcher.submit(devices[k % 2], rows(*z)) for k, z in enumerate(wanted)]
        return await asyncio.gather(*tasks)

    drawn = asyncio.run(scenario())
    batcher.close()
    assert [values(one) for one in drawn] == [z.tolist() for z in wanted]
    assert all(one.queue_seconds >= 0 and one.infer_seconds > 0 for one in drawn)
    assert sum(seen) == sum(len(z) for z in wanted)
    assert max(seen) == 16
    assert batcher.images_per_second > 0


def test_the_rows_that_wait_are_reported_once_a_batch_and_once_none_are_left():
    reported = []
    batcher, device = Batcher(on_waiting=reported.append), Device(held=True)

    async def scenario():
        first = await start(batcher, device, rows(0))
        await arrived(device)
        later = await start(batcher, device, rows(*range(20, 36)), rows(*range(40, 60)))
        device.go.set()
        await asyncio.gather(*first, *later)
        for _ in device.batches[1:]:  # so that the next arrival is that of the next batch
            await arrived(device)
        device.go.clear()
        running = await start(batcher, device, rows(*range(20, 40)))
        await arrived(device)
        running[0].cancel()
        with pytest.raises(asyncio.CancelledError):
            await running[0]
        device.go.set()

    asyncio.run(scenario())
    batcher.close()
    assert reported == [20, 4, 0, 4, 0]
    assert device.batches[4:] == [[*range(20, 36)]]


def test_closing_finishes_what_was_accepted():
    device = Device(held=True)
    batcher = Batcher()

    async def scenario():
        tasks = await start(batcher, device, rows(0), rows(1))
        await arrived(device)
        closing = asyncio.create_task(asyncio.to_thread(batcher.close))
        device.go.set()
        drawn = await asyncio.gather(*tasks)
        await closing
        with pytest.raises(RuntimeError, match="closed"):
            await batcher.submit(device, rows(2))
        return [values(one) for one in drawn]

    assert asyncio.run(scenario()) == [[0], [1]]


def test_when_it_is_closed_the_device_is_done():
    device, batcher = Device(held=True), Batcher()

    async def scenario():
        (task,) = await start(batcher, device, rows(0))
        await arrived(device)
        threading.Timer(0.2, device.go.set).start()
        batcher.close()
        assert not batcher._thread.is_alive()
        assert values(await task) == [0]

    asyncio.run(scenario())


class Pipelined(Device):
    """A device that can be given a second batch before the first is waited for, and notes what is asked of it."""

    in_flight = 2

    def __init__(self):
        super().__init__(held=True)
        self.log = []

    def start(self, rows):
        first = int(rows["z"][0, 0])
        self.log.append(f"start {first}")
        self.arrived.release()
        images = rows["z"].astype(np.uint8).reshape(-1, 1, 1, 1)

        def wait():
            assert self.go.wait(10)
            self.log.append(f"wait {first}")
            if first == 13:
                raise ValueError("a bad row")
            return {IMAGES: images}

        return wait


def test_a_device_with_room_gets_the_next_batch_before_this_one_is_waited_for(batcher):
    device = Pipelined()

    async def scenario():
        first = await start(batcher, device, rows(0))
        await arrived(device)
        later = await start(batcher, device, *(rows(100 + k) for k in range(40)))
        device.go.set()
        return [values(drawn) for drawn in await asyncio.gather(*first, *later)]

    assert asyncio.run(scenario()) == [[0], *([100 + k] for k in range(40))]
    # When the first was given to the device nothing else waited; from then on there are two at a time.
    assert device.log == ["start 0", "wait 0", "start 100", "start 116", "wait 100", "start 132", "wait 116", "wait 132"]


def test_a_failure_that_shows_only_at_the_end_fails_its_own_request_only(batcher):
    device = Pipelined()

    async def scenario():
        first = await start(batcher, device, rows(0))
        await arrived(device)
        later = await start(batcher, device, rows(13), rows(1), rows(*range(20, 40)))
        device.go.set()
        return await asyncio.gather(*first, *later, return_exceptions=True)

    first, bad, good, large = asyncio.run(scenario())
    assert isinstance(bad, ValueError)
    assert [values(drawn) for drawn in (first, good, large)] == [[0], [1], list(range(20, 40))]


class Faulty(Device):
    """A device that does once what it is told by `fault`: raises, or gives back something else than the images asked for."""

    def __init__(self, fault, held=False):
        super().__init__(held)
        self.fault = fault

    def start(self, rows):
        wait = super().start(rows)
        if (rows["z"] != 7).all():
            return wait
        return lambda: {IMAGES: self.fault(wait()[IMAGES])}


def one_too_few(images):
    return images[1:]


def one_too_many(images):
    return np.concatenate([images, images[:1]])


def without_channels(images):
    return images[..., 0]


def stop_iteration(_):
    raise StopIteration


def nothing(_):
    return None


@pytest.mark.parametrize("fault", [one_too_few, one_too_many, without_channels, stop_iteration, nothing])
def test_what_a_runtime_gives_back_instead_of_images_fails_its_own_request_only(batcher, fault):
    device = Faulty(fault, held=True)

    async def scenario():
        first = await start(batcher, device, rows(0))
        await arrived(device)
        later = await start(batcher, device, rows(7, 8), rows(1), rows(*range(20, 40)))
        device.go.set()
        async with asyncio.timeout(10):
            found = await asyncio.gather(*first, *later, return_exceptions=True)
            return found, values(await batcher.submit(device, rows(2)))

    (first, bad, good, large), after = asyncio.run(scenario())
    assert isinstance(bad, Exception)
    assert [values(drawn) for drawn in (first, good, large)] == [[0], [1], list(range(20, 40))]
    assert after == [2]
    assert batcher.alive
    assert batcher.waiting == 0


def test_parts_that_do_not_fit_together_fail_their_own_request_only(batcher):
    device = Faulty(lambda images: np.repeat(images, 2, 1))  # one batch of the request is twice as high as the other

    async def scenario():
        async with asyncio.timeout(10):
            with pytest.raises(ValueError, match="dimensions"):
                await batcher.submit(device, rows(7, *range(20, 40)))
            return values(await batcher.submit(device, rows(2)))

    assert asyncio.run(scenario()) == [2]


class Panic(BaseException):
    """What a library of another language raises when it gives up."""


def panic(_):
    raise Panic


def test_when_the_device_thread_dies_all_who_wait_and_all_who_come_are_told_at_once(caplog):
    died, reported = threading.Event(), []
    batcher = Batcher(on_death=died.set, on_waiting=reported.append)
    device, other = Faulty(panic, held=True), Device()

    async def scenario():
        first = await start(batcher, device, rows(0))
        await arrived(device)
        later = await start(batcher, device, rows(7), rows(1, *range(20, 60)))
        later += await start(batcher, other, rows(5))
        assert batcher.alive
        device.go.set()
        async with asyncio.timeout(10):
            found = await asyncio.gather(*first, *later, return_exceptions=True)
            with pytest.raises(DeviceLostError):
                await batcher.submit(other, rows(2))
        return found

    first, *others = asyncio.run(scenario())
    assert values(first) == [0]
    assert [type(error) for error in others] == [DeviceLostError] * 3
    assert died.wait(10)
    assert not batcher.alive
    assert batcher.waiting == 0
    assert reported[-1] == 0
    batcher.close()
    (record,) = caplog.records
    assert "the thread that runs models has ended" in record.message
    assert record.exc_info


def test_what_is_told_of_a_batch_may_fail():
    def tell(*_):
        raise OSError("no space left on device")

    batcher, device = Batcher(tell), Device()

    async def scenario():
        async with asyncio.timeout(10):
            return [values(await batcher.submit(device, rows(k))) for k in (1, 2)]

    assert asyncio.run(scenario()) == [[1], [2]]
    assert batcher.alive
    batcher.close()


def test_a_caller_whose_event_loop_is_closed_leaves_the_others_alone(batcher):
    device = Device(held=True)

    async def leave():
        await start(batcher, device, rows(0), rows(1))
        await arrived(device)

    loop = asyncio.new_event_loop()
    submitted = loop.create_task(leave())
    loop.run_until_complete(submitted)
    abandoned = asyncio.all_tasks(loop)
    loop.close()  # as it is when a server is killed by its loop's end: nothing was cancelled

    async def scenario():
        (mine,) = await start(batcher, device, rows(2))
        device.go.set()
        async with asyncio.timeout(10):
            return values(await mine)

    assert asyncio.run(scenario()) == [2]
    assert batcher.alive
    for task in abandoned:
        task._log_destroy_pending = False


def test_a_request_that_is_given_up_when_its_images_are_there_leaves_nothing_behind(batcher):
    device = Device()

    async def scenario():
        loop = asyncio.get_running_loop()
        for k in range(50):
            task = asyncio.create_task(batcher.submit(device, rows(k + 20)))
            await asyncio.sleep(0)
            # At the moment when the result is on its way from the device's thread
            loop.call_soon(task.cancel)
            with suppress(asyncio.CancelledError):
                await task
        return values(await batcher.submit(device, rows(1)))

    assert asyncio.run(scenario()) == [1]
    assert batcher.waiting == 0
    assert not batcher._unanswered


def test_images_of_a_caller_who_left_while_they_were_drawn_are_dropped_without_a_word(batcher):
    device, said = Device(held=True), []

    async def scenario():
        asyncio.get_running_loop().set_exception_handler(lambda _, context: said.append(context))
        (task,) = await start(batcher, device, rows(0))
        await arrived(device)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        device.go.set()
        return values(await batcher.submit(device, rows(1)))  # after the first, whose images have come by then

    assert asyncio.run(scenario()) == [1]
    assert device.batches == [[0], [1]]
    assert said == []


def test_a_device_that_hangs_does_not_hold_up_the_stop():
    device, batcher = Device(held=True), Batcher()

    async def scenario():
        (task,) = await start(batcher, device, rows(0))
        await arrived(device)
        task.cancel()

    asyncio.run(scenario())
    batcher.close(patience=0.1)
    assert not device.go.is_set()
    assert batcher._thread.daemon  # nor the end of the process
    device.go.set()


def test_failed_batches_do_not_count_for_the_rate(batcher):
    device = Device()

    async def scenario():
        await batcher.submit(device, rows(1))
        before = batcher.images_per_second
        with pytest.raises(ValueError, match="a bad row"):
            await batcher.submit(device, rows(13))
        return before

    assert asyncio.run(scenario()) == batcher.images_per_second


def test_what_a_share_leaves_free_goes_to_those_who_want_more(batcher):
    device = Device(held=True)

    async def scenario():
        first = await start(batcher, device, rows(99))
        await arrived(device)
        tasks = await start(batcher, device, rows(*range(20, 40)), rows(1))
        device.go.set()
        await asyncio.gather(*first, *tasks)

    asyncio.run(scenario())
    assert [sorted(batch) for batch in device.batches] == [[99], [1, *range(20, 35)], [*range(35, 40)]]


def test_where_more_wait_than_there_is_room_for_each_gets_one(batcher):
    device = Device(held=True)

    async def scenario():
        first = await start(batcher, device, rows(99))
        await arrived(device)
        tasks = await start(batcher, device, *[rows(100 + n, 200 + n) for n in range(20)])
        device.go.set()
        await asyncio.gather(*first, *tasks)

    asyncio.run(scenario())
    assert device.batches[1] == [100 + n for n in range(16)]


def test_an_idle_device_holds_nothing_of_the_last_request(batcher):
    """Its images may have fifty megabytes, and its model, which may be replaced by now, hundreds."""

    async def ask():
        device = Device()
        images = (await batcher.submit(device, rows(1, 2))).images
        assert images.ravel().tolist() == [1, 2]
        return weakref.ref(device), weakref.ref(images)

    with without_garbage_collection():
        assert lasting(asyncio.run(ask())) == []


def test_the_rate_is_that_of_the_batches(batcher):
    device = Device()
    start_at_once = device.start

    def start_slowly(given):
        time.sleep(0.01)
        return start_at_once(given)

    device.start = start_slowly

    async def scenario():
        for _ in range(30):
            await batcher.submit(device, rows(1, 2))

    started = time.perf_counter()
    asyncio.run(scenario())
    # Two, in at least a hundredth of a second and in at most the time of all
    assert 2 / (time.perf_counter() - started) <= batcher.images_per_second <= 200


def test_no_moment_counts_for_two_batches():
    """A device that is given the next batch before it is done with this one has had the next one's images for longer."""
    seconds = []
    batcher, device = Batcher(lambda _, of_batch: seconds.append(of_batch)), Pipelined()
    device.go.set()

    async def scenario():
        await asyncio.gather(*(batcher.submit(device, rows(*range(20, 36))) for _ in range(40)))

    started = time.perf_counter()
    asyncio.run(scenario())
    batcher.close()
    assert len(seconds) == 40
    assert sum(seconds) <= time.perf_counter() - started


def test_the_rate_is_a_moving_average(batcher):
    batcher._measure(100, 0.5)
    assert batcher.images_per_second == 200
    batcher._measure(100, 1.0)
    assert batcher.images_per_second == pytest.approx(190)


def test_that_batches_are_not_counted_is_logged_once_until_they_are_again(caplog):
    works = iter([False, False, True, False])

    def count(*_):
        if not next(works):
            raise OSError("no space left")

    batcher = Batcher(count)

    async def scenario():
        for _ in range(4):
            await batcher.submit(Device(), rows(1))

    asyncio.run(scenario())
    batcher.close()
    assert caplog.text.count("images are generated, but not counted (OSError: no space left)") == 2


def test_an_end_that_was_asked_for_is_no_loss(caplog):
    ended = []
    batcher = Batcher(on_death=lambda: ended.append(True))
    batcher.close()
    assert batcher.alive
    assert not ended
    assert not caplog.records


def test_a_request_is_told_how_long_it_waited_and_how_long_it_was_worked_on():
    async def scenario():
        job = Job.create(Device(), rows(1, 2), submitted=10.0)
        job.started, job.images = 12.0, [np.zeros((2, 1, 1, 1), np.uint8)]
        drawn = job.generated(now=15.0)
        assert (drawn.queue_seconds, drawn.infer_seconds, drawn.started) == (2, 3, 12)

    asyncio.run(scenario())


def test_a_queue_that_is_cleared_holds_nothing():
    async def scenario():
        queue = BatchQueue()
        queue.append(Job.create(Device(), rows(1, 2), submitted=0.0))
        assert (bool(queue), queue.waiting) == (True, 2)
        queue.clear()
        assert (bool(queue), queue.waiting) == (False, 0)

    asyncio.run(scenario())
