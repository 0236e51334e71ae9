"""A hook that raises, blocks or answers nonsense is its plugin's fault alone."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator

import pytest

from hypersdkd.engine.hook_calls import HookCalls
from hypersdkd.engine.plugin_record import PluginRecord, PluginState
from hypersdkd.engine.plugins import Implementation
from hypersdkd.model.problem import fail
from hypersdkd.model.replies import QueueInspection, Receipt, Validation
from tests.problems import raises_problem

STATUS, QUEUE, VALIDATE, SUBMIT = (
    "hypersdkd_status",
    "hypersdkd_inspect_queue",
    "hypersdkd_validate_manifest",
    "hypersdkd_submit_manifest",
)


class FewPlugins:
    """Stands for the loaded plugins: functions of no arguments, by name."""

    def __init__(self, **calls: Callable[..., object]) -> None:
        self.records = {name: PluginRecord(name, name) for name in calls}
        self._calls = calls

    def implementations(self, _hook: str) -> list[Implementation]:
        return [Implementation(self.records[name], call, ()) for name, call in self._calls.items()]


@pytest.fixture
def calls_of() -> Iterator[Callable[..., tuple[HookCalls, dict[str, PluginRecord]]]]:
    made: list[HookCalls] = []

    def make(limit: float = 5.0, **calls: Callable[..., object]) -> tuple[HookCalls, dict[str, PluginRecord]]:
        plugins = FewPlugins(**calls)
        made.append(HookCalls(plugins, limit))  # type: ignore[arg-type]
        return made[-1], plugins.records

    yield make
    for hook_calls in made:
        hook_calls.close()


def raising(error: BaseException) -> Callable[[], object]:
    def call() -> object:
        raise error

    return call


async def test_each_is_asked_in_a_thread_of_its_own(calls_of) -> None:
    calls, records = calls_of(
        a=lambda: {"thread": threading.current_thread().name}, b=lambda: {"thread": threading.current_thread().name}
    )
    answers = await calls.each(STATUS)
    assert [(record.name, answer["thread"]) for record, answer in answers] == [("a", "plugin-a"), ("b", "plugin-b")]
    assert [record.state for record in records.values()] == [PluginState.LOADED] * 2


@pytest.mark.parametrize(
    "error",
    [KeyError("why"), SystemExit(1), KeyboardInterrupt(), StopIteration(), asyncio.CancelledError(), MemoryError()],
    ids=lambda error: type(error).__name__,
)
async def test_one_that_raises_is_left_out(calls_of, error: BaseException) -> None:
    calls, records = calls_of(bad=raising(error), good=lambda: {"x": 1})
    assert [answer for _record, answer in await calls.each(STATUS)] == [{"x": 1}]
    assert await calls.first(STATUS) == {"x": 1}
    assert records["bad"].state is PluginState.FAULTY
    assert records["bad"].errors == 2
    assert records["bad"].problem is not None
    assert type(error).__name__ in records["bad"].problem.message
    assert records["good"].state is PluginState.LOADED


@pytest.mark.parametrize(
    ("hook", "good", "bad"),
    [
        (STATUS, {}, []),
        (QUEUE, QueueInspection(), {}),
        (VALIDATE, Validation(), True),
        (SUBMIT, Receipt("p", "j"), "receipt"),
    ],
)
async def test_one_that_answers_nonsense_is_left_out(calls_of, hook: str, good: object, bad: object) -> None:
    calls, records = calls_of(bad=lambda: bad, good=lambda: good)
    assert [answer for _record, answer in await calls.each(hook)] == [good]
    assert await calls.first(hook) == good
    assert records["bad"].state is PluginState.FAULTY


async def test_none_is_no_answer(calls_of) -> None:
    calls, _records = calls_of(a=lambda: None, b=lambda: Receipt("p", "j"))
    assert await calls.first(SUBMIT) == Receipt("p", "j")
    calls, _records = calls_of(a=lambda: None)
    assert await calls.first(SUBMIT) is None


async def test_a_problem_is_an_answer_where_something_is_asked_for(calls_of) -> None:
    refusal = raising(fail("manifest-rejected", "not on my watch"))
    calls, records = calls_of(a=refusal, b=lambda: None)
    with raises_problem("manifest-rejected"):
        await calls.first(SUBMIT)
    with raises_problem("manifest-rejected"):
        await calls.each(VALIDATE)
    assert records["a"].state is PluginState.LOADED
    assert await calls.first(QUEUE) is None
    assert records["a"].state is PluginState.FAULTY, "of a mere look nobody may make a refusal"


async def test_one_that_blocks_is_passed_over_until_it_returns(calls_of) -> None:
    gate, asked = threading.Event(), []

    def slow() -> object:
        asked.append(1)
        gate.wait(20)
        return {"slow": True}

    calls, records = calls_of(limit=0.1, slow=slow, good=lambda: {"good": True})
    assert [answer for _record, answer in await calls.each(STATUS)] == [{"good": True}]
    assert records["slow"].state is PluginState.FAULTY
    assert [answer for _record, answer in await calls.each(STATUS)] == [{"good": True}]
    assert len(asked) == 1, "its thread is busy: it is not asked again"
    gate.set()
    async with asyncio.timeout(5):
        while len(await calls.each(STATUS)) < 2:
            await asyncio.sleep(0.001)
    assert records["slow"].errors == 1


async def test_one_that_raises_after_its_time_disturbs_nobody(calls_of, caplog: pytest.LogCaptureFixture) -> None:
    gate = threading.Event()

    def late() -> object:
        gate.wait(20)
        raise ValueError("too late")

    calls, records = calls_of(limit=0.05, late=late, good=lambda: {})
    await calls.each(STATUS)
    gate.set()
    async with asyncio.timeout(5):
        while calls._threads["late"].busy:
            await asyncio.sleep(0.001)
    assert records["late"].errors == 1
    assert caplog.records == []


async def test_a_stuck_plugin_holds_the_loop_up_for_no_moment(calls_of) -> None:
    gate = threading.Event()
    calls, _records = calls_of(limit=0.1, slow=lambda: gate.wait(20))
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0.005)

    task = asyncio.create_task(tick())
    await calls.each(STATUS)
    gate.set()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert ticks > 5


async def test_whoever_stops_asking_harms_nobody(calls_of) -> None:
    gate = threading.Event()
    calls, records = calls_of(slow=lambda: gate.wait(20) and {"done": 1})
    asking = asyncio.create_task(calls.each(STATUS))
    await asyncio.sleep(0)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    gate.set()
    assert [answer for _record, answer in await calls.each(STATUS)] == [{"done": 1}]
    assert records["slow"].state is PluginState.LOADED


async def test_arguments_are_passed_by_name() -> None:
    class OnePlugin:
        def implementations(self, _hook: str) -> list[Implementation]:
            record = PluginRecord("one", "one")
            return [Implementation(record, lambda syntax: Validation(name=syntax), ("syntax",))]

    calls = HookCalls(OnePlugin())  # type: ignore[arg-type]
    assert await calls.first(VALIDATE, text=b"", syntax="json") == Validation(name="json")
    calls.close()
