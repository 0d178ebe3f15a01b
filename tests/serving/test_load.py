"""What happens when much is asked at once, with a device that the test holds."""

import asyncio
import io
import threading
from contextlib import AsyncExitStack, asynccontextmanager

import anyio.to_thread
import httpx2
import numpy as np
import pytest

from gan import runtimes
from gan.latents import InputSpec, inputs_of_seeds
from gan.manifest import IMAGES
from serving import encoding
from serving.app import Api
from serving.batching import Batcher
from serving.models import Models
from serving.prepared_requests import PreparedGeneration
from serving.schema import GenerateRequest
from serving.settings import Settings
from tests.conftest import BACKENDS
from tests.serving.test_batching import Device, arrived, panic
from tests.serving.test_threads import Work, begun


class Images(Device):
    """The held device, drawing 32x32 images of the first latent component's bits."""

    name, library = "held", "onnxruntime"
    file, files = "generator.onnx", ("generator.onnx",)

    def complete(self, rows, truncation=None):
        return rows

    def start(self, rows):
        z = rows["z"]
        super().start({"z": np.zeros_like(z)})
        return lambda: {IMAGES: np.broadcast_to(z[:, :1].view(np.uint8)[:, :1].reshape(-1, 1, 1, 1), (len(z), 32, 32, 1))}


@pytest.fixture
def device():
    return Images()


@asynccontextmanager
async def api(trained, device, monkeypatch, **settings):
    """The routes, a client of theirs, and the batcher behind them; the device is held from the warm-up on."""
    monkeypatch.setattr(runtimes, "load", lambda *_, **__: device)
    chosen = Settings(models=trained.models, **settings)
    models, batcher, routes = Models(chosen), Batcher(), Api()
    routes.open(models, batcher, chosen)
    device.arrived.acquire()  # the warm-up's
    device.go.clear()
    transport = httpx2.ASGITransport(app=routes)
    try:
        async with httpx2.AsyncClient(transport=transport, base_url="http://test", timeout=20) as client:
            yield client, routes, batcher
    finally:
        device.go.set()
        await asyncio.to_thread(batcher.close)


def post(client, **fields):
    return asyncio.create_task(client.post("/generate", json=fields))


async def until(holds):
    """Wait for what other tasks and threads bring about, however long a busy machine takes."""
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.001)


def test_over_the_bound_is_refused_at_once_and_all_that_was_accepted_is_answered(trained, device, monkeypatch):
    async def scenario():
        async with api(trained, device, monkeypatch, queue=20) as (client, routes, batcher):
            accepted = [post(client, seed=0)]
            await arrived(device)
            batcher.images_per_second = 2.0
            accepted += [post(client, seed=1, n=16), post(client, seed=50, n=3)]
            await until(lambda: routes._pipeline.admission.pending == 20)
            refused = await client.post("/generate", json={"seed": 9})
            assert refused.status_code == 429
            assert refused.headers["retry-after"] == "10"
            assert refused.headers["content-type"] == "application/problem+json"
            device.go.set()
            answers = await asyncio.gather(*accepted)
            assert [answer.status_code for answer in answers] == [200, 200, 200]
            assert routes._pipeline.admission.pending == 0
            assert (await client.post("/generate", json={"seed": 9})).status_code == 200

    asyncio.run(scenario())


def test_over_the_bound_in_bytes_is_refused_at_once_and_enlarged_images_count_as_such(trained, device, monkeypatch):
    size = 100 * 4 + 32 * 32  # bytes of the latents and the image

    async def scenario():
        async with api(trained, device, monkeypatch, queue_bytes=10 * size) as (client, routes, batcher):
            accepted = [post(client, seed=0)]
            await arrived(device)
            batcher.images_per_second = 2.0
            accepted.append(post(client, seed=1, n=8))
            await until(lambda: routes._pipeline.admission.pending_bytes == 9 * size)
            refused = await client.post("/generate", json={"seed": 9, "scale": 2})
            assert refused.status_code == 429
            assert refused.headers["retry-after"] == "5"
            assert refused.json()["detail"] == f"{9 * size} bytes of images are waiting already; try again in 5 s"
            accepted.append(post(client, seed=9))
            await until(lambda: routes._pipeline.admission.pending_bytes == 10 * size)
            device.go.set()
            assert [answer.status_code for answer in await asyncio.gather(*accepted)] == [200, 200, 200]
            assert routes._pipeline.admission.pending_bytes == 0
            assert (await client.post("/generate", json={"n": 50})).status_code == 200  # alone, whatever its size

    asyncio.run(scenario())


def test_an_empty_queue_takes_a_request_of_any_allowed_size(trained, device, monkeypatch):
    async def scenario():
        async with api(trained, device, monkeypatch, queue=1) as (client, _, _):
            device.go.set()
            assert (await client.post("/generate", json={"n": 50})).status_code == 200

    asyncio.run(scenario())


def test_after_the_deadline_a_request_is_given_up_before_it_costs_device_time(trained, device, monkeypatch):
    async def scenario():
        async with api(trained, device, monkeypatch, deadline=0.2) as (client, routes, batcher):
            running = post(client, seed=0)
            await arrived(device)
            waiting = await client.post("/generate", json={"seed": 1, "n": 100})
            assert waiting.status_code == 504
            assert "0.2 s" in waiting.json()["detail"]
            assert (await running).status_code == 504
            await asyncio.sleep(0)  # the cancelled work gets its turn after the answer
            await asyncio.sleep(0)
            assert batcher.waiting == routes._pipeline.admission.pending == 0

    asyncio.run(scenario())
    assert sum(len(batch) for batch in device.batches) == 2  # the warm-up's and the one that ran


def test_a_caller_that_leaves_takes_its_rows_along(trained, device, monkeypatch):
    scope = {"type": "http", "method": "GET", "path": "/generate", "query_string": b"seed=1&n=100", "headers": []}
    messages = []

    async def scenario():
        async with api(trained, device, monkeypatch) as (client, routes, batcher):
            running = post(client, seed=0)
            await arrived(device)
            leave = asyncio.Event()

            async def receive():
                await leave.wait()
                return {"type": "http.disconnect"}

            async def send(message):
                messages.append(message)

            gone = asyncio.create_task(routes({**scope, "app": None}, receive, send))
            await until(lambda: batcher.waiting == 100)
            leave.set()
            await gone
            assert batcher.waiting == 0
            assert routes._pipeline.admission.pending == 1
            device.go.set()
            assert (await running).status_code == 200

    asyncio.run(scenario())
    assert messages[0]["status"] == 499
    assert sum(len(batch) for batch in device.batches) == 2


def test_a_small_request_does_not_wait_for_a_large_one(trained, device, monkeypatch):
    async def scenario():
        async with api(trained, device, monkeypatch) as (client, _, batcher):
            large = post(client, seed=0, n=200)
            await arrived(device)
            before = batcher.waiting
            small = post(client, seed=1)
            await until(lambda: batcher.waiting == before + 1)
            order = []
            for name, task in (("large", large), ("small", small)):
                task.add_done_callback(lambda _, name=name: order.append(name))
            device.go.set()
            await asyncio.gather(large, small)
            assert order == ["small", "large"]

    asyncio.run(scenario())


@pytest.mark.parametrize("backend", BACKENDS[::2])
def test_ten_thousand_images_under_mixed_load_are_the_bytes_they_are_alone(trained, backend):
    random = np.random.default_rng(0)
    chosen = Settings(models=trained.models, queue=20_000, runtime=backend[0], device=backend[1])
    models, batcher, routes = Models(chosen), Batcher(), Api()
    routes.open(models, batcher, chosen)
    wanted = []  # (seeds, truncation) of each request, 10,000 images in all
    while (missing := 10_000 - sum(len(seeds) for seeds, _ in wanted)) > 0:
        seeds = random.integers(0, 2**32, min(missing, int(random.choice([1, 1, 1, 2, 7, 16, 17, 64, 200])))).tolist()
        wanted.append((seeds, random.choice([None, 0.5, 0.9])))

    async def scenario():
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=routes), base_url="http://test", timeout=120) as client:
            at_once = asyncio.Semaphore(32)

            async def ask(seeds, truncation):
                async with at_once:
                    return await client.post("/generate", json={"seeds": seeds, "truncation": truncation, "format": "npz"})

            return await asyncio.gather(*(ask(*request) for request in wanted))

    answers = asyncio.run(scenario())
    batcher.close()
    drawer = models.get(None).runtime
    differing = 0
    for (seeds, truncation), answer in zip(wanted, answers, strict=True):
        together = np.load(io.BytesIO(answer.content))["images"]
        alone = np.concatenate(
            [runtimes.generate_images(drawer, inputs_of_seeds([seed], InputSpec(100), truncation)) for seed in seeds]
        )
        differing += int((together != alone).any((1, 2, 3)).sum())
    assert differing == 0


@asynccontextmanager
async def asked(routes, query, leaves=None, reads=None):
    """GET /generate, as a server calls it: the task, and the messages of the answer. Events say when the caller leaves or reads."""
    scope = {"type": "http", "method": "GET", "path": "/generate", "query_string": query.encode(), "headers": [], "app": None}
    messages = []

    async def receive():
        await (leaves or asyncio.Event()).wait()
        return {"type": "http.disconnect"}

    async def send(message):
        if reads is not None and message["type"] == "http.response.body":
            await reads.wait()
        messages.append(message)

    task = asyncio.create_task(routes(scope, receive, send))
    try:
        yield task, messages
    finally:
        task.cancel()


@pytest.fixture
def encoder(monkeypatch):
    """The encoder, held."""
    work = Work()

    def encode(*_):
        work()
        return b"an answer"

    monkeypatch.setattr(encoding, "encode", encode)
    return work


LARGE = "seed=1&n=20"  # too large for the event loop to encode it itself


def test_who_leaves_during_an_encode_holds_its_place_and_its_thread_until_that_is_done(trained, device, encoder, monkeypatch):
    async def scenario():
        async with api(trained, device, monkeypatch, threads=1, queue=40) as (client, routes, _), AsyncExitStack() as stack:
            device.go.set()
            leave = asyncio.Event()
            requests = [await stack.enter_async_context(asked(routes, LARGE, leave)) for _ in range(2)]
            await begun(encoder)
            await until(lambda: routes._pipeline.admission.pending == 40)
            leave.set()
            await asyncio.wait([task for task, _ in requests], timeout=10)
            assert [messages[0]["status"] for _, messages in requests] == [499, 499]
            # Who waited for the encoder is gone, who was there counts.
            assert routes._pipeline.admission.pending == 20
            assert (await client.get(f"/generate?{LARGE}1")).status_code == 429
            later = asyncio.create_task(client.get(f"/generate?{LARGE}"))
            await asyncio.sleep(0.05)
            assert encoder.at_once == 1
            encoder.go.set()
            assert (await later).content == b"an answer"
            assert routes._pipeline.admission.pending == 0
            assert (encoder.most, encoder.times) == (1, 2)

    asyncio.run(scenario())


def test_a_deadline_during_an_encode_is_told_at_once_and_holds_its_place_until_that_is_done(trained, device, encoder, monkeypatch):
    async def scenario():
        async with api(trained, device, monkeypatch, threads=1, deadline=1) as (client, routes, _):
            device.go.set()
            late = await client.get(f"/generate?{LARGE}")
            assert late.status_code == 504
            assert routes._pipeline.admission.pending == 20
            assert encoder.at_once == 1
            encoder.go.set()
            assert (await client.get(f"/generate?{LARGE}")).status_code == 200
            assert routes._pipeline.admission.pending == 0

    asyncio.run(scenario())


def test_who_leaves_while_its_latent_vectors_are_drawn_holds_its_place_until_that_is_done(trained, device, monkeypatch):
    work = Work()
    monkeypatch.setattr(PreparedGeneration, "inputs", lambda *_: work())

    async def scenario():
        async with api(trained, device, monkeypatch) as (_, routes, _):
            leave = asyncio.Event()
            async with asked(routes, LARGE, leave) as (task, messages):
                await begun(work)
                leave.set()
                await asyncio.wait([task], timeout=10)
                assert messages[0]["status"] == 499
                assert routes._pipeline.admission.pending == 20
                work.go.set()
                await until(lambda: routes._pipeline.admission.pending == 0)

    asyncio.run(scenario())


def test_a_slow_reload_does_not_hold_up_latent_vectors(trained, device, monkeypatch):
    async def scenario():
        async with api(trained, device, monkeypatch) as (client, _, _):
            device.go.set()
            hold = threading.Event()
            limiter = anyio.to_thread.current_default_thread_limiter()
            others = [asyncio.create_task(anyio.to_thread.run_sync(hold.wait, 10)) for _ in range(int(limiter.total_tokens))]
            await until(lambda: limiter.available_tokens == 0)
            async with asyncio.timeout(5):
                assert (await client.get("/generate?seed=1&n=17&format=npz")).status_code == 200
            hold.set()
            await asyncio.gather(*others)

    asyncio.run(scenario())


def test_a_body_that_is_parsed_counts_until_that_is_done_and_is_given_up_at_the_deadline(trained, device, monkeypatch):
    work = Work()
    monkeypatch.setattr(GenerateRequest, "from_json", lambda *_: work())
    body = b'{"seed": 1}' + b" " * 60_000

    async def scenario():
        async with api(trained, device, monkeypatch, deadline=0.3, max_body=100_000) as (client, routes, _):
            headers = {"content-type": "application/json"}
            first = asyncio.create_task(client.post("/generate", content=body, headers=headers))
            await begun(work)
            second = await client.post("/generate", content=body, headers=headers)
            assert second.status_code == 504  # it waited for the first
            assert routes._reader.bodies._bodies._held > 0
            work.go.set()
            assert (await first).status_code == 504
            assert routes._reader.bodies._bodies._held == 0

    asyncio.run(scenario())


def test_answers_that_nobody_reads_are_bounded(trained, device, monkeypatch):
    async def scenario():
        # Room for six answers of 100 images: as there is one encoder, for six bytes a pixel.
        async with (
            api(trained, device, monkeypatch, threads=1, max_pixels=36_000 * 3) as (client, routes, _),
            AsyncExitStack() as stack,
        ):
            device.go.set()
            query = "seed=1&n=100&format=npz"
            reads = asyncio.Event()
            unread = [await stack.enter_async_context(asked(routes, query, reads=reads)) for _ in range(6)]
            await until(lambda: all(messages for _, messages in unread) and routes._pipeline.admission.pending == 0)
            refused = await client.get(f"/generate?{query}")
            assert refused.status_code == 429
            assert refused.headers["retry-after"] == "1"
            assert (await client.get("/generate?seed=1")).status_code == 200
            reads.set()
            await asyncio.wait([task for task, _ in unread], timeout=10)
            assert all(len(b"".join(message.get("body", b"") for message in messages)) > 100 * 32 * 32 for _, messages in unread)
            answer = await client.get(f"/generate?{query}")
            assert answer.status_code == 200
            assert len(answer.content) > 100 * 32 * 32

    asyncio.run(scenario())


def test_a_device_that_is_lost_is_told_at_once(trained, device, monkeypatch):
    async def scenario():
        async with api(trained, device, monkeypatch) as (client, _, batcher):
            waiting = [post(client, seed=0), post(client, seed=1, n=20)]
            await arrived(device)
            monkeypatch.setattr(Images, "start", lambda *_: panic(None))
            device.go.set()
            # The first was begun before; the second finds that there is nothing to draw with, and so does who comes later.
            answers = [*await asyncio.gather(*waiting), await post(client, seed=2)]
            assert [answer.status_code for answer in answers] == [200, 503, 503]
            assert answers[1].headers["retry-after"] == "15"
            assert not batcher.alive

    asyncio.run(scenario())


@pytest.mark.parametrize("shape", [(20, 16, 16, 1), (20, 32, 32, 3)])
def test_images_of_another_shape_than_the_manifests_are_not_served(trained, device, monkeypatch, caplog, shape):
    async def scenario():
        async with api(trained, device, monkeypatch) as (client, routes, _):
            device.go.set()
            monkeypatch.setattr(Images, "start", lambda _, rows: lambda: {IMAGES: np.zeros((len(rows["z"]), *shape[1:]), np.uint8)})
            assert (await client.get("/generate?seed=1")).status_code == 500
            assert "another shape" in caplog.text
            assert routes._pipeline.admission.pending == 0

    asyncio.run(scenario())


def test_a_timeout_of_the_runtime_is_not_the_deadline(trained, device, monkeypatch, caplog):
    def start(*_):
        raise TimeoutError("the device does not answer")

    async def scenario():
        async with api(trained, device, monkeypatch) as (client, _, _):
            monkeypatch.setattr(Images, "start", start)
            assert (await client.get("/generate?seed=1")).status_code == 500
            assert "TimeoutError: the device does not answer" in caplog.text

    asyncio.run(scenario())


def test_the_answer_of_another_application_is_bounded_too(trained, device, monkeypatch):
    async def application(_, receive, send):
        body = (await receive())["body"]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body * 100_000})

    async def scenario():
        async with api(trained, device, monkeypatch) as (_, routes, _):
            messages, reads = [], asyncio.Event()

            async def receive():
                return {"type": "http.request", "body": b"ab", "more_body": False}

            async def send(message):
                if messages:
                    await reads.wait()
                messages.append(message)

            scope = {"type": "http", "method": "POST", "path": "/x", "query_string": b"", "headers": []}
            task = asyncio.create_task(routes.within_bounds(application, scope, receive, send))
            await asyncio.sleep(0.01)
            assert routes._pipeline.answers._bytes["unread"] == 200_000
            reads.set()
            async with asyncio.timeout(10):
                await task
            assert b"".join(message.get("body", b"") for message in messages) == b"ab" * 100_000
            assert routes._pipeline.answers._bytes["unread"] == 0

    asyncio.run(scenario())


def test_small_bodies_that_do_not_come_whole_are_bounded_together_and_tiny_ones_come_in(trained, device, monkeypatch):
    monkeypatch.setattr("serving.bodies._BEGINNINGS", 4 * (30 * 1024 + 1))
    headers = {"Content-Type": "application/json"}

    async def scenario():
        async with api(trained, device, monkeypatch) as (client, _, _):
            go_on = asyncio.Event()

            async def stalling():
                yield b" " * 31 * 1024  # all but the first KiB counts
                await go_on.wait()
                yield b"{"

            stalled = {asyncio.create_task(client.post("/generate", content=stalling(), headers=headers)) for _ in range(5)}
            done, others = await asyncio.wait(stalled, return_when=asyncio.FIRST_COMPLETED)
            assert {answer.result().status_code for answer in done} == {429}
            assert len(others) == 4
            refused = done.pop().result()
            assert refused.headers["retry-after"] == "1"
            assert refused.json()["detail"] == "too many bodies are coming in already; try again in 1 s"
            assert (await client.post("/generate", json={"n": "x"})).status_code == 422
            go_on.set()
            assert {answer.status_code for answer in await asyncio.gather(*others)} == {400}
            assert (await client.post("/generate", content=stalling(), headers=headers)).status_code == 400

    asyncio.run(scenario())
