"""Offer requests at a rate above the service's capacity, whether it answers or not, and check every answer."""

import asyncio
import hashlib
import random
import statistics
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import aiohttp

from benchmarks.sides import ADDRESS

_SIZES = (1, 1, 1, 4, 16, 64)  # images of a request
_SEEDS = 40  # different requests of each size, whose right answers are known beforehand


@dataclass
class Outcome:
    """Counts and times of the answers."""

    offered: int = 0  # images
    seconds: float = 0.0
    statuses: Counter[str] = field(default_factory=Counter)
    wrong: int = 0  # answers with other images than the seed's own
    without_retry_after: int = 0
    latencies: list[float] = field(default_factory=list)  # of those accepted, seconds
    refusals: list[float] = field(default_factory=list)  # of those refused, seconds
    memory: list[int] = field(default_factory=list)  # MB, before, during and after

    def __str__(self) -> str:
        """Text for docs/benchmarks.md."""
        statuses = ", ".join(f"{count} with {status}" for status, count in sorted(self.statuses.items()))
        p99, refused = (statistics.quantiles(found, n=100)[98] for found in (self.latencies, self.refusals))
        return (
            f"{self.offered / self.seconds:.0f} images/s offered for {self.seconds:.0f} s: {statuses}; "
            f"{self.wrong} wrong, {self.without_retry_after} refused without Retry-After. "
            f"Accepted: p99 {p99:.2f} s, longest {max(self.latencies):.2f} s; refused: p99 {1000 * refused:.0f} ms. "
            f"Resident memory before, during (most) and after: {self.memory[0]}, {max(self.memory[1:-1])}, {self.memory[-1]} MB."
        )


async def offer(images_per_second: float, seconds: float, memory: Callable[[], int]) -> Outcome:
    """Send requests of mixed sizes at a steady rate, each in a task of its own."""
    found = Outcome(memory=[memory()])
    choose = random.Random(0)
    timeout = aiohttp.ClientTimeout(total=120)
    async with aiohttp.ClientSession(ADDRESS, connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as session:
        requests = [{"seed": 1000 * k, "n": n, "format": "npz"} for n in set(_SIZES) for k in range(_SEEDS)]
        right = {}
        for request in requests:
            async with session.post("/generate", json=request) as answer:
                right[request["seed"], request["n"]] = hashlib.sha256(await answer.read()).digest()

        async def ask(request: dict[str, object]) -> None:
            started = time.perf_counter()
            try:
                async with session.post("/generate", json=request) as answer:
                    body, status = await answer.read(), answer.status
            except aiohttp.ClientError as error:
                found.statuses[type(error).__name__] += 1
                return
            took = time.perf_counter() - started
            found.statuses[str(status)] += 1
            if status == 200:
                found.latencies.append(took)
                found.wrong += hashlib.sha256(body).digest() != right[request["seed"], request["n"]]
            else:
                found.refusals.append(took)
                found.without_retry_after += "Retry-After" not in answer.headers

        tasks, started, next_look = set(), time.perf_counter(), 5.0
        while (elapsed := time.perf_counter() - started) < seconds:
            while found.offered < elapsed * images_per_second:
                request = {"seed": 1000 * choose.randrange(_SEEDS), "n": choose.choice(_SIZES), "format": "npz"}
                found.offered += request["n"]
                task = asyncio.create_task(ask(request))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
            if elapsed > next_look:
                found.memory.append(memory())
                next_look += 5
            await asyncio.sleep(0.005)
        found.seconds = time.perf_counter() - started
        await asyncio.gather(*tasks)
        found.memory.append(memory())
    return found
