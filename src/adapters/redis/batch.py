"""Questions that share a round trip."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Q = TypeVar("Q")
A = TypeVar("A")


class Batcher(Generic[Q, A]):
    """Asks what many ask at once in one go: while one batch is on its way, the next one collects.

    `answer` gives each question of a batch its answer, or the exception that its asker gets.
    """

    def __init__(self, answer: Callable[[Sequence[Q]], Awaitable[Sequence[A | Exception]]]) -> None:
        self._answer = answer
        self._waiting: list[tuple[Q, asyncio.Future[A]]] = []
        self._sender: asyncio.Task[None] | None = None

    async def __call__(self, question: Q) -> A:
        """The answer, from a batch that was sent after this call. Raises what `answer` gives or raises."""
        future: asyncio.Future[A] = asyncio.get_running_loop().create_future()
        self._waiting.append((question, future))
        if self._sender is None:
            self._sender = asyncio.create_task(self._send())
        return await future

    async def _send(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting, []
                answers = await self._ask([question for question, _ in batch])
                for (_, future), answer in zip(batch, answers, strict=True):
                    if future.done():  # the asker is gone
                        continue
                    if isinstance(answer, Exception):
                        future.set_exception(answer)
                    else:
                        future.set_result(answer)
        finally:
            self._sender = None

    async def _ask(self, questions: Sequence[Q]) -> Sequence[A | Exception]:
        try:
            return await self._answer(questions)
        except Exception as error:  # noqa: BLE001  # whatever it is, each of those who wait has to hear of it
            return [error] * len(questions)
