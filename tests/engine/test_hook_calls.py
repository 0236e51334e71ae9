"""A hook that raises, blocks or answers nonsense is its plugin's fault alone."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator

import pytest

from hypersdkd.engine import hook_calls
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
        self.by_name = {name: PluginRecord(name, name) for name in calls}
        self.records = list(self.by_name.values())
        self._calls = calls

    def implementations(self, _hook: str) -> list[Implementation]:
        return [Implementation(self.by_name[name], call, ()) for name, call in self._calls.items()]


@pytest.fixture
def calls_of() -> Iterator[Callable[..., tuple[HookCalls, dict[str, PluginRecord]]]]:
    made: list[HookCalls] = []

    def make(limit: float = 5.0, **calls: Callable[..., object]) -> tuple[HookCalls, dict[str, PluginRecord]]:
        plugins = FewPlugins(**calls)
        made.append(HookCalls(plugins, limit))  # type: ignore[arg-type]
        return made[-1], plugins.by_name

    yield make
    for each in made:
        each.close()


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
    async with asyncio.timeout(20):
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
    async with asyncio.timeout(20):
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


async def test_waiting_for_ones_turn_does_not_count(calls_of) -> None:
    gates = [threading.Event() for _ in range(4)]
    calls, records = calls_of(limit=0.3, rules=lambda: Validation(name=f"{[gate.wait(0.15) for gate in gates]}"))
    for gate in gates[1:]:
        gate.set()
    answers = await asyncio.gather(*(calls.first(VALIDATE) for _ in range(4)))
    assert all(isinstance(answer, Validation) for answer in answers), "each took half of its time, together twice that"
    assert records["rules"].errors == 0


async def test_the_urgent_are_called_before_those_that_wait(calls_of) -> None:
    gate, order = threading.Event(), []

    def judge(name: str) -> Validation:
        gate.wait(20)
        order.append(name)
        return Validation(name=name)

    class OnePlugin:
        record = PluginRecord("one", "one")

        def implementations(self, _hook: str) -> list[Implementation]:
            return [Implementation(self.record, judge, ("name",))]

    calls = HookCalls(OnePlugin(), 5.0)  # type: ignore[arg-type]
    asked = [asyncio.create_task(calls.each(VALIDATE, name=f"web{number}")) for number in range(3)]
    await asyncio.sleep(0)
    given_up = asyncio.create_task(calls.each(VALIDATE, name="given up"))
    await asyncio.sleep(0)
    asked.append(asyncio.create_task(calls.each(VALIDATE, urgent=True, name="job")))
    await asyncio.sleep(0)
    given_up.cancel()
    gate.set()
    await asyncio.gather(*asked)
    assert order == ["web0", "job", "web1", "web2"]
    calls.close()


async def test_looks_do_not_wait_long_for_their_turn(calls_of, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hook_calls, "LOOK_LIMIT", 0.1)
    gate = threading.Event()
    calls, records = calls_of(slow=lambda: Validation(name=str(gate.wait(20))))
    judging = asyncio.create_task(calls.first(VALIDATE))
    await asyncio.sleep(0)
    assert await calls.first(STATUS) is None
    assert records["slow"].errors == 0, "it was never asked"
    gate.set()
    await judging


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), {1}, b"x"], ids=repr)
async def test_a_status_that_is_not_json_is_left_out(calls_of, value: object) -> None:
    calls, records = calls_of(bad=lambda: {"x": [value]}, good=lambda: {"y": 1})
    assert [answer for _record, answer in await calls.each(STATUS)] == [{"y": 1}]
    assert records["bad"].state is PluginState.FAULTY


async def test_a_queue_that_is_not_json_is_left_out(calls_of) -> None:
    calls, records = calls_of(bad=lambda: QueueInspection(counts={"x": float("nan")}), good=QueueInspection)  # type: ignore[dict-item]
    assert await calls.first(QUEUE) == QueueInspection()
    assert records["bad"].state is PluginState.FAULTY


async def test_other_plugins_take_over_while_calls_are_made(calls_of) -> None:
    """Whoever asked is answered by the one that was asked, also those that still waited; its thread then ends."""
    gate, threads = threading.Event(), []

    def judge() -> Validation:
        threads.append(threading.current_thread())
        gate.wait(20)
        return Validation(name="former")

    calls, records = calls_of(rules=judge)
    asked = [asyncio.create_task(calls.first(VALIDATE)) for _ in range(3)]
    for _ in range(3):
        await asyncio.sleep(0)
    calls.replace(FewPlugins(rules=lambda: Validation(name="latter")))  # type: ignore[arg-type]
    assert await calls.first(VALIDATE) == Validation(name="latter"), "it does not wait for the former one's thread"
    gate.set()
    assert [answer.name for answer in await asyncio.gather(*asked)] == ["former"] * 3  # type: ignore[union-attr]
    assert records["rules"].errors == 0
    assert len(set(threads)) == 1
    await asyncio.to_thread(threads[0].join, 10)
    assert not threads[0].is_alive()


async def test_the_thread_of_a_plugin_that_is_taken_away_ends(calls_of) -> None:
    threads: list[threading.Thread] = []
    calls, _records = calls_of(gone=lambda: threads.append(threading.current_thread()))
    await calls.each(STATUS)
    calls.replace(FewPlugins())  # type: ignore[arg-type]
    assert await calls.each(STATUS) == []
    await asyncio.to_thread(threads[0].join, 10)
    assert not threads[0].is_alive()


async def test_a_plugin_that_is_stuck_is_mended_by_its_replacement(calls_of) -> None:
    gate = threading.Event()
    calls, _records = calls_of(limit=0.05, stuck=lambda: gate.wait(20))
    await calls.each(STATUS)
    calls.replace(FewPlugins(stuck=lambda: {"well": 1}))  # type: ignore[arg-type]
    assert [answer for _record, answer in await calls.each(STATUS)] == [{"well": 1}]
    gate.set()
