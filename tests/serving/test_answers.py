"""Answers to callers that the test lets read, or not."""

import asyncio
from contextlib import ExitStack

import pytest

from serving.answers import Answers
from serving.errors import RequestError

LARGE = 200_000  # bytes


def application(body, *messages):
    async def answer(_, __, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for message in messages or [{"type": "http.response.body", "body": body}]:
            await send(message)

    return answer


class Caller:
    """One who takes the head of an answer, and reads the body once `reads` is set."""

    def __init__(self, reads=False):
        self.messages = []
        self.reads = asyncio.Event()
        if reads:
            self.reads.set()

    async def send(self, message):
        if message["type"] == "http.response.body":
            await self.reads.wait()
        self.messages.append(message)

    async def receive(self):
        return {"type": "http.disconnect"}

    @property
    def body(self):
        return b"".join(message.get("body", b"") for message in self.messages)


def delivery(answers, caller, app):
    return asyncio.create_task(answers.deliver(app, {}, caller.receive, caller.send))


@pytest.mark.parametrize("size", [0, 1, 2**16, 2**16 + 1, 2**18, 2**18 + 1, 3 * 2**18])
def test_what_is_read_is_what_was_sent(size):
    body = bytes(k % 251 for k in range(size))

    async def scenario():
        caller = Caller(reads=True)
        await Answers(1).deliver(application(body), {}, caller.receive, caller.send)
        return caller

    caller = asyncio.run(scenario())
    assert caller.body == body
    assert [message.get("more_body", False) for message in caller.messages[1:]] == [True] * (len(caller.messages) - 2) + [False]


def test_an_answer_in_several_messages_ends_with_the_last():
    async def scenario():
        caller = Caller(reads=True)
        parts = [
            {"type": "http.response.body", "body": b"a" * LARGE, "more_body": True},
            {"type": "http.response.body", "body": b"b", "more_body": True},
            {"type": "http.response.body"},
        ]
        await Answers(1).deliver(application(b"", *parts), {}, caller.receive, caller.send)
        return caller

    caller = asyncio.run(scenario())
    assert caller.body == b"a" * LARGE + b"b"
    assert not caller.messages[-1].get("more_body")
    assert all(message["more_body"] for message in caller.messages[1:-1])


def test_what_is_not_read_is_counted_until_it_is_and_refuses_what_finds_no_room():
    async def scenario():
        answers, caller = Answers(2 * LARGE), Caller()
        answers.check(9 * LARGE)  # alone, of any size
        sending = delivery(answers, caller, application(b"a" * LARGE))
        await asyncio.sleep(0)
        answers.check(LARGE)
        answers.check(1000)
        with pytest.raises(RequestError, match="200000 bytes of other answers are not read yet") as refused:
            answers.check(LARGE + 1)
        assert refused.value.status == 429
        assert refused.value.headers == {"Retry-After": "1"}
        caller.reads.set()
        await sending
        answers.check(LARGE + 1)

    asyncio.run(scenario())


def test_small_answers_are_neither_counted_nor_held_up():
    async def scenario():
        answers = Answers(1)
        unread = [delivery(answers, Caller(), application(b"a" * 2**16)) for _ in range(10)]
        await asyncio.sleep(0)
        with ExitStack() as held:
            answers.check(LARGE)
            await answers.reserve(LARGE, held)
            async with asyncio.timeout(10):
                await answers.reserve(2**16, held)
            answers.check(2**16)
        for task in unread:
            task.cancel()

    asyncio.run(scenario())


def test_there_is_room_in_the_order_of_asking_and_for_any_answer_that_is_alone():
    async def scenario():
        answers, order = Answers(10 * LARGE), []

        async def encode(name, size, done):
            with ExitStack() as held:
                await answers.reserve(size, held)
                order.append(name)
                await done.wait()

        done = [asyncio.Event() for _ in range(4)]
        sizes = {"larger than all": 11 * LARGE, "second": 6 * LARGE, "left": LARGE, "third": 5 * LARGE, "fourth": LARGE}
        tasks = {}
        for name, event in zip(sizes, [done[0], done[1], done[1], done[2], done[3]], strict=True):
            tasks[name] = asyncio.create_task(encode(name, sizes[name], event))
            await asyncio.sleep(0)
        assert order == ["larger than all"]
        tasks["left"].cancel()
        done[0].set()
        await asyncio.sleep(0.01)
        assert order == ["larger than all", "second"]  # the fourth would fit, but is not its turn
        done[1].set()
        await asyncio.sleep(0.01)
        assert order == ["larger than all", "second", "third", "fourth"]
        for event in done:
            event.set()
        await asyncio.gather(*tasks.values(), return_exceptions=True)
        with ExitStack() as held:
            await answers.reserve(99 * LARGE, held)

    asyncio.run(scenario())


def test_unread_answers_leave_no_room_to_encode_others():
    async def scenario():
        answers, caller = Answers(LARGE), Caller()
        sending = delivery(answers, caller, application(b"a" * LARGE))
        await asyncio.sleep(0)
        with ExitStack() as held:
            waiting = asyncio.create_task(answers.reserve(LARGE, held))
            await asyncio.sleep(0.01)
            assert not waiting.done()
            caller.reads.set()
            await sending
            await waiting

    asyncio.run(scenario())
