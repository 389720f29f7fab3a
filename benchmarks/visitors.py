"""What many visitors at once cost the server: `python -m benchmarks.visitors [part ...]`.

Visitors without a browser: each opens a session over the websocket as Streamlit's own page does,
keeps the large messages it was sent (so that the server need not send them again), and asks for
the parts of the page that tick. The server is one of its own, on this machine's loopback address
alone, with a cache of its own in which the Quick preset is finished; visitors and time are bounded.

Visitors take processor time of the same machine, so what is measured is an upper bound.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.asyncio.client import ClientConnection, connect

from lottery_core.data import prepare
from lottery_core.spec.links import read_choice
from lottery_core.store import LevelProgress, Store
from tests.browser.server import ROOT, Server

PATIENCE = 180.0  # seconds
MANY, WATCHERS, STARTERS = 50, 30, 6
TIMES = 5  # that many come at the same moment
RUNS = 20  # that are started while WATCHERS stay
WITHIN = 10.0  # seconds in which MANY arrive one by one
LIVE = 60.0  # seconds that a run is watched
LIVE_TURNS = 4
QUICK = {"preset": "quick"}
LESSON = QUICK | {"rounds": "3", "controls": "none", "replicates": "1"}
LONG = {"preset": "paper", "controls": "none"}


class Visitor:
    """A session: what it was sent, and what of the page can be pressed or ticks."""

    def __init__(self, socket: ClientConnection, params: dict[str, str]):
        self._socket, self._query = socket, urlencode(params)
        self._kept: set[str] = set()
        self._whole = True  # whether it is all of the page that is being drawn
        self.ticking: dict[str, float] = {}  # seconds between two looks, by the part of the page
        self.buttons: dict[str, str] = {}  # ids by what stands on them
        self.said: list[str] = []  # what the bars of the last look say
        self.bytes = 0

    async def look(self, part: str = "", press: str = "") -> float:
        """Have the page, or a part of it that ticks, drawn; seconds until all of it is here."""
        asked = BackMsg()
        run = asked.rerun_script
        run.query_string = self._query
        run.fragment_id, run.is_auto_rerun = part, bool(part)
        run.cached_message_hashes.extend(sorted(self._kept))
        if press:
            run.widget_states.widgets.add(id=self.buttons[press], trigger_value=True)
        began = time.perf_counter()
        await self._socket.send(asked.SerializeToString())
        self.said, self._whole = [], not part
        async with asyncio.timeout(PATIENCE):
            while not self._take(await self._socket.recv()):
                pass
        return time.perf_counter() - began

    def _take(self, content: bytes) -> bool:
        """Take in a message; whether it is the last one."""
        self.bytes += len(content)
        message = ForwardMsg.FromString(content)
        kind = message.WhichOneof("type")
        if kind == "new_session" and self._whole:
            self.ticking, self.buttons = {}, {}
        elif kind == "page_info_changed":
            self._query = message.page_info_changed.query_string
        elif kind == "auto_rerun":
            self.ticking[message.auto_rerun.fragment_id] = message.auto_rerun.interval
        elif kind == "stop_auto_rerun":
            for part in message.stop_auto_rerun.fragment_ids:
                self.ticking.pop(part, None)
        elif kind == "delta":
            self._keep(message)
        elif kind == "script_finished":
            # A look at a part may find that all of the page has to be drawn anew.
            self._whole = message.script_finished == ForwardMsg.FINISHED_EARLY_FOR_RERUN
            return not self._whole
        return False

    def _keep(self, message: ForwardMsg) -> None:
        if message.metadata.cacheable:
            self._kept.add(message.hash)
        element = message.delta.new_element
        kind = element.WhichOneof("type")
        if kind == "exception":
            raise RuntimeError(element.exception.message)
        if kind == "button":
            self.buttons[element.button.label] = element.button.id
        elif kind == "progress":
            self.said.append(element.progress.text)


@asynccontextmanager
async def visiting(server: Server, params: dict[str, str]) -> AsyncIterator[Visitor]:
    """A visitor who has just come; nothing is drawn yet."""
    url = f"ws://127.0.0.1:{server.port}/_stcore/stream"
    async with connect(
        url, subprotocols=["streamlit"], max_size=None, open_timeout=PATIENCE, proxy=None
    ) as socket:
        yield Visitor(socket, params)


async def visit(server: Server, params: dict[str, str], after: float = 0.0) -> tuple[float, int]:
    """Come `after` so many seconds, and go: the seconds from connecting, and the bytes sent."""
    await asyncio.sleep(after)
    began = time.perf_counter()
    async with visiting(server, params) as visitor:
        await visitor.look()
        return time.perf_counter() - began, visitor.bytes


def spent(server: Server) -> float:
    """Seconds of processor time that the web process has taken."""
    return _seconds(_fields(server.process.pid))


def _fields(process: int) -> list[str]:
    """What the system says of a process, from its state on."""
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()


def _seconds(fields: list[str]) -> float:
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _of_workers(server: Server) -> float:
    """Seconds of processor time that the server's workers have taken."""
    total = 0.0
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            fields = _fields(int(path.name))
            total += _seconds(fields) if fields[1] == str(server.process.pid) else 0.0
    return total


async def warm(server: Server) -> None:
    """Until the workers that a first visit has started have nothing more to do to get ready: they
    would take the processor from those who come."""
    await visit(server, QUICK)
    before, now = -1.0, _of_workers(server)
    async with asyncio.timeout(PATIENCE):
        while now - before > 0.05 or not now:
            before = now
            await asyncio.sleep(3)
            now = _of_workers(server)


def memory(server: Server, what: str = "VmRSS") -> float:
    """MB of the web process: now, or with "VmHWM" at most so far."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(re.search(rf"{what}:\s+(\d+)", status).group(1)) / 1024


def in_words(times: Sequence[float]) -> str:
    """Median, the 95th of a hundred, and the worst."""
    later = sorted(times)[max(0, -(-len(times) * 95 // 100) - 1)]
    return f"median {statistics.median(times):.2f} s, p95 {later:.2f} s, worst {max(times):.2f} s"


async def alone(server: Server) -> None:
    """One visitor after another."""
    for words, times in (("first visit of a new server", 1), ("a visit, one after another", 10)):
        if times > 1:
            await warm(server)
        before = spent(server)
        found = [await visit(server, QUICK) for _ in range(times)]
        cost = (spent(server) - before) / times
        print(
            f"{words}: {in_words([taken for taken, _ in found])}; "
            f"{cost:.3f} s of the server and {found[-1][1] / 1e6:.3f} MB each",
            flush=True,
        )


async def together(server: Server) -> None:
    """Many at the same moment, and many one by one within a few seconds."""
    await warm(server)
    ways = [("at the same moment", 0.0)] * TIMES + [(f"within {WITHIN:g} s", WITHIN / MANY)]
    for words, step in ways:
        before = spent(server)
        found = await asyncio.gather(*(visit(server, QUICK, step * n) for n in range(MANY)))
        cost = (spent(server) - before) / MANY
        print(
            f"{MANY} visitors {words}: {in_words([taken for taken, _ in found])}; "
            f"{cost:.3f} s of the server each; {memory(server):.0f} MB afterwards",
            flush=True,
        )


@dataclass
class Ticks:
    """Seconds that looks took, and of those that drew charts the bytes."""

    times: list[float] = field(default_factory=list)
    charts: list[int] = field(default_factory=list)


async def watch(visitor: Visitor, end: float, ticks: Ticks, phase: float) -> None:
    """Ask for each part that ticks when it is due, until `end`; for the first time after that
    `phase` of its interval, as pages that were opened one by one do."""
    begins = time.perf_counter()
    due = {part: begins + phase * every for part, every in visitor.ticking.items()}
    while (now := time.perf_counter()) < end:
        for part in [part for part in due if part not in visitor.ticking]:
            del due[part]
        for part, every in list(visitor.ticking.items()):
            if now >= due.get(part, 0.0):
                before = visitor.bytes
                ticks.times.append(await visitor.look(part))
                if every == max(visitor.ticking.values(), default=0.0):
                    ticks.charts.append(visitor.bytes - before)
                due[part] = time.perf_counter() + every
                break
        else:
            await asyncio.sleep(0.01)


async def live(server: Server) -> None:
    """Many watch one run beside another: how long a tick takes, and what the trainings lose."""
    chains = [read_choice(LONG | {"seed": str(seed)})[1].experiment().keys for seed in (0, 1)]

    def iterations() -> int:
        looks = (server.store.read_progress(keys[0]) for keys in chains)
        return sum(look.iteration for look in looks if isinstance(look, LevelProgress))

    async with visiting(server, LONG) as one, visiting(server, LONG | {"seed": "1"}) as other:
        for visitor in (one, other):
            await visitor.look()
            await visitor.look(press="Start")
        while not all(server.store.read_progress(keys[0]) for keys in chains):
            await asyncio.sleep(0.1)
        await asyncio.sleep(3)
        speeds: dict[str, list[float]] = {"alone": [], "watched": []}
        ticks = Ticks()
        costs = {"the server": 0.0, "the visitors": 0.0}  # seconds of processor time
        # In turns, as the machine may be busy with other things.
        for _ in range(LIVE_TURNS):
            for kind, count in (("alone", 0), ("watched", WATCHERS)):
                async with crowd(server, count) as visitors:
                    at, began = iterations(), time.perf_counter()
                    before = {"the server": spent(server), "the visitors": time.process_time()}
                    end = began + LIVE / LIVE_TURNS
                    await asyncio.gather(
                        asyncio.sleep(LIVE / LIVE_TURNS),
                        *(watch(one, end, ticks, n / count) for n, one in enumerate(visitors)),
                    )
                    speeds[kind].append((iterations() - at) / (time.perf_counter() - began))
                    after = {"the server": spent(server), "the visitors": time.process_time()}
                    for who in costs if count else ():
                        costs[who] += after[who] - before[who]
        for visitor in (one, other):
            await visitor.look()
            await visitor.look(press="Stop")
    lost = 1 - sum(speeds["watched"]) / sum(speeds["alone"])
    print(
        f"{WATCHERS} watch a live run beside two workers: "
        f"{len(ticks.times) / LIVE:.0f} ticks a second, "
        f"{in_words(ticks.times)}, {statistics.mean(ticks.charts) / 1e3:.0f} KB with charts; "
        f"training slowed by {lost:.0%} ({', '.join(f'{v:.0f}' for v in speeds['alone'])} alone, "
        f"{', '.join(f'{v:.0f}' for v in speeds['watched'])} watched, iterations a second), "
        f"of a core {', '.join(f'{cost / LIVE:.0%} for {who}' for who, cost in costs.items())}; "
        f"{memory(server):.0f} MB",
        flush=True,
    )


@asynccontextmanager
async def crowd(server: Server, count: int) -> AsyncIterator[list[Visitor]]:
    """So many visitors who look at the same long run; they come one by one."""
    coming = [visiting(server, LONG) for _ in range(count)]
    visitors = []
    try:
        for one in coming:
            visitors.append(await one.__aenter__())
            await visitors[-1].look()
        yield visitors
    finally:
        await asyncio.gather(*(one.__aexit__(None, None, None) for one in coming[: len(visitors)]))


async def starters(server: Server) -> None:
    """Several press Start on runs of their own: when each begins, and what it was told."""

    async def start(n: int) -> tuple[float, float, str]:
        params = QUICK | {"seed": str(1000 + n)}
        keys = read_choice(params)[1].experiment().keys
        async with visiting(server, params) as visitor:
            await visitor.look()
            await visitor.look(press="Start")
            began = time.perf_counter()
            told = ""

            async def until(there) -> float:
                nonlocal told
                while not there():
                    told = told or next(iter(visitor.said), "")
                    await asyncio.sleep(0.3)
                return time.perf_counter() - began

            first = await until(lambda: server.store.read_progress(keys[0]) or store_has(keys[0]))
            return first, await until(lambda: store_has(keys[-1])), told

    store_has = server.store.has
    found = await asyncio.gather(*(start(n) for n in range(STARTERS)))
    for n, (first, last, told) in enumerate(found, 1):
        print(f"Start no. {n}: first training after {first:.0f} s, all after {last:.0f} s", end="")
        print(f'; told: "{told}"' if told else "", flush=True)


async def stay(server: Server, minutes: float, length: dict[str, str]) -> None:
    """Many stay for a lesson and more, and start runs one after another in the first two thirds of
    it: is memory flat once all have trained? `length` is that of a training, where it is not the
    preset's."""
    began = time.perf_counter()
    end = began + 60 * minutes
    ticks = Ticks()

    async def one(n: int) -> None:
        starts = began + n * 2 / 3 * (end - began) / RUNS if n < RUNS else math.inf
        async with visiting(server, QUICK | length | {"seed": str(2000 + 10 * n)}) as visitor:
            await visitor.look()
            while (now := time.perf_counter()) < end:
                if now >= starts:
                    starts = math.inf
                    await visitor.look(press="Start")
                await watch(visitor, min(end, starts, now + 60), ticks, n / WATCHERS)
                await visitor.look()

    async def tell() -> None:
        while (now := time.perf_counter()) < end:
            print(f"  after {(now - began) / 60:.0f} min: {memory(server):.0f} MB", flush=True)
            await asyncio.sleep(min(300.0, end - now))

    await asyncio.gather(tell(), *(one(n) for n in range(WATCHERS)))
    done = sum(job.state == "done" for job in server.store.jobs())
    print(
        f"{WATCHERS} visitors and {RUNS} runs in {minutes:g} min: {memory(server):.0f} MB in the "
        f"end, {memory(server, 'VmHWM'):.0f} MB at most; {len(ticks.times):,} looks, "
        f"{in_words(ticks.times)}; {done} jobs done",
        flush=True,
    )


async def lesson(server: Server) -> None:
    """A class: its teacher, and so many students who come, press Start and stay until all have
    trained."""
    began, ticks = time.perf_counter(), Ticks()
    trained: dict[str, float] = {}

    async def study(n: int) -> None:
        async with visiting(server, {"class": "lesson"}) as visitor:
            await visitor.look()
            await visitor.look(press="Start")
            while len(trained) < WATCHERS:
                await watch(visitor, time.perf_counter() + 2, ticks, n / WATCHERS)
                await visitor.look()

    async def teach() -> None:
        async with visiting(server, LESSON | {"class": "lesson"}) as visitor:
            await visitor.look()
            await visitor.look(press="Open it as its teacher")
            students = [asyncio.create_task(study(n)) for n in range(WATCHERS)]
            while len(trained) < WATCHERS:
                await watch(visitor, time.perf_counter() + 1, ticks, 0.5)
                for job in server.store.jobs():
                    if job.state == "done" and "class" not in job.params and job.visitor:
                        trained.setdefault(job.key, time.perf_counter() - began)
            await asyncio.gather(*students)

    async with asyncio.timeout(10 * PATIENCE):
        await teach()
    print(
        f"a class of {WATCHERS} and its teacher: the first has trained after "
        f"{min(trained.values()):.0f} s, all after {max(trained.values()):.0f} s; "
        f"{len(ticks.times):,} looks, {in_words(ticks.times)}; {memory(server):.0f} MB",
        flush=True,
    )


PARTS = {"alone": alone, "together": together, "live": live, "starters": starters, "lesson": lesson}


@contextmanager
def serving() -> Iterator[Server]:
    """A server whose cache has the finished Quick preset, and whose workers are warm."""
    prepare("mnist", ROOT / "cache" / "datasets")
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        store.datasets.symlink_to(ROOT / "cache" / "datasets")
        server = Server(store)
        try:
            command = [sys.executable, "-m", "lottery_core", "run", "--preset", "quick"]
            environment = os.environ | {"LOTTERY_CACHE": folder}
            subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
            yield server
        finally:
            server.stop()


async def measure(server: Server, parts: Sequence[str]) -> None:
    """Run the parts in turn, on one server."""
    for name in parts:
        part: Awaitable[None] = PARTS[name](server)
        await part
    print(f"the web process at most: {memory(server, 'VmHWM'):.0f} MB")


def main() -> None:
    """Measure, and print a line a figure."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("parts", nargs="*", metavar="part", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--stay", type=float, default=0, help="minutes that many stay, and no part")
    parser.add_argument("--iterations", type=int, help="of a training, of those who stay")
    args = parser.parse_args()
    length = {"length": str(args.iterations), "unit": "iterations"} if args.iterations else {}
    with serving() as server:
        if args.stay:
            asyncio.run(stay(server, args.stay, length))
        else:
            names = [name for name in PARTS if not args.parts or name in args.parts]
            asyncio.run(measure(server, names))
        print(f"load: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")


if __name__ == "__main__":
    main()
