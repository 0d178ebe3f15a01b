"""What happens when much is asked at once, with a device that the test holds."""

import asyncio
import io
from contextlib import asynccontextmanager

import httpx2
import numpy as np
import pytest

from gan import runtime
from gan.latents import Space, inputs
from serving.app import Api
from serving.batching import Batcher
from serving.models import Models
from serving.settings import Settings
from tests.conftest import BACKENDS
from tests.serving.test_batching import Device, arrived


class Pictures(Device):
    """The held device, drawing 32x32 pictures of the first latent component's bits."""

    name = "held"

    def start(self, rows):
        z = rows["z"]
        super().start({"z": np.zeros_like(z)})
        return lambda: np.broadcast_to(z[:, :1].view(np.uint8)[:, :1].reshape(-1, 1, 1, 1), (len(z), 32, 32, 1))


@pytest.fixture
def device():
    return Pictures()


@asynccontextmanager
async def api(trained, device, monkeypatch, **settings):
    """The routes, a client of theirs, and the batcher behind them; the device is held from the warm-up on."""
    monkeypatch.setattr(runtime, "load", lambda *_: device)
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


def test_over_the_bound_is_refused_at_once_and_all_that_was_accepted_is_answered(trained, device, monkeypatch):
    async def scenario():
        async with api(trained, device, monkeypatch, queue=20) as (client, routes, batcher):
            accepted = [post(client, seed=0)]
            await arrived(device)
            batcher.pictures_per_second = 2.0
            accepted += [post(client, seed=1, n=16), post(client, seed=50, n=3)]
            await asyncio.sleep(0.05)
            assert routes._admission.pending == 20
            refused = await client.post("/generate", json={"seed": 9})
            assert refused.status_code == 429
            assert refused.headers["retry-after"] == "10"
            assert refused.headers["content-type"] == "application/problem+json"
            device.go.set()
            answers = await asyncio.gather(*accepted)
            assert [answer.status_code for answer in answers] == [200, 200, 200]
            assert routes._admission.pending == 0
            assert (await client.post("/generate", json={"seed": 9})).status_code == 200

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
            assert batcher.waiting == routes._admission.pending == 0

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
            await asyncio.sleep(0.05)
            assert batcher.waiting == 100
            leave.set()
            await gone
            assert batcher.waiting == 0
            assert routes._admission.pending == 1
            device.go.set()
            assert (await running).status_code == 200

    asyncio.run(scenario())
    assert messages[0]["status"] == 499
    assert sum(len(batch) for batch in device.batches) == 2


def test_a_small_request_does_not_wait_for_a_large_one(trained, device, monkeypatch):
    async def scenario():
        async with api(trained, device, monkeypatch) as (client, _, _):
            large = post(client, seed=0, n=200)
            await arrived(device)
            small = post(client, seed=1)
            await asyncio.sleep(0.05)
            order = []
            for name, task in (("large", large), ("small", small)):
                task.add_done_callback(lambda _, name=name: order.append(name))
            device.go.set()
            await asyncio.gather(large, small)
            assert order == ["small", "large"]

    asyncio.run(scenario())


@pytest.mark.parametrize("backend", BACKENDS[::2])
def test_ten_thousand_pictures_under_mixed_load_are_the_bytes_they_are_alone(trained, backend):
    random = np.random.default_rng(0)
    chosen = Settings(models=trained.models, queue=20_000, runtime=backend[0], device=backend[1])
    models, batcher, routes = Models(chosen), Batcher(), Api()
    routes.open(models, batcher, chosen)
    wanted = []  # (seeds, truncation) of each request, 10,000 pictures in all
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
    drawer = models.choose(None).runtime
    differing = 0
    for (seeds, truncation), answer in zip(wanted, answers, strict=True):
        together = np.load(io.BytesIO(answer.content))["images"]
        alone = np.concatenate([runtime.draw(drawer, inputs([seed], Space(100), truncation)) for seed in seeds])
        differing += int((together != alone).any((1, 2, 3)).sum())
    assert differing == 0


def test_small_bodies_that_do_not_come_whole_are_bounded_together_and_tiny_ones_come_in(trained, device, monkeypatch):
    monkeypatch.setattr("serving.app._BEGINNINGS", 4 * (30 * 1024 + 1))
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
