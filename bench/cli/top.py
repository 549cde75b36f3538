"""``rigmark top``: live telemetry of this machine, in the terminal, as JSON lines, or for Prometheus."""

from __future__ import annotations

import itertools
import json as json_format
import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from rigmark.bench.errors import UserError
from rigmark.bench.host.streams import is_heard

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import RenderableType

    from rigmark.bench.telemetry.live import Live, Now, Snapshot, Value

LOOPBACK = "127.0.0.1"


def command(
    interval: Annotated[float, typer.Option(help="Seconds between two updates.")] = 1.0,
    count: Annotated[int | None, typer.Option(min=1, help="Number of updates. By default until Ctrl-C.")] = None,
    json: Annotated[bool, typer.Option("--json", help="One line of JSON per update, for scripts.")] = False,
    prometheus: Annotated[
        int | None, typer.Option(metavar="PORT", help="Also serve metrics at http://HOST:PORT/metrics.")
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to serve metrics at; with 0.0.0.0 the whole network can read them.")
    ] = LOOPBACK,
) -> None:
    """Show live telemetry of this machine: GPUs, processors, memory, disks, network, energy.

    Do not leave it running during a measurement: trials have their own telemetry.

    Examples:

    rigmark top

    rigmark top --json --count 1

    rigmark top --prometheus 9400
    """
    from rigmark.bench.telemetry.live import Live

    if not 0.05 <= interval <= 3600:
        raise UserError(f"--interval must be from 0.05 to 3600 s, not {interval:g}")
    if prometheus is not None and not 0 < prometheus < 65536:
        raise UserError(f"--prometheus takes a port from 1 to 65535, not {prometheus}")
    with Live(interval) as live:
        if prometheus is not None:
            from rigmark.bench.cli import say
            from rigmark.bench.host.web import at
            from rigmark.bench.telemetry.prometheus import serve

            serve(live, host, prometheus)
            say(f"metrics at http://{at(host, prometheus)}/metrics")
        live.wait()
        if json:
            _write_lines(live, interval, count)
        else:
            _show(live, interval, count)


def _looks(live: Live, interval_s: float, count: int | None) -> Iterator[Snapshot]:
    """Snapshots at a fixed interval, ``count`` of them or without end; ends when nobody reads stdout any more."""
    due = time.monotonic()
    for number in itertools.count() if count is None else range(count):
        if not is_heard():
            return
        if number:
            due = max(due + interval_s, time.monotonic())
            time.sleep(max(0.0, due - time.monotonic()))
        yield live.snapshot()


def _write_lines(live: Live, interval_s: float, count: int | None) -> None:
    for snapshot in _looks(live, interval_s, count):
        print(json_format.dumps(snapshot.plain()), flush=True)


def _show(live: Live, interval_s: float, count: int | None) -> None:
    from rich.console import Console
    from rich.live import Live as Screen

    console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else 120, highlight=False)
    if not sys.stdout.isatty():
        for snapshot in _looks(live, interval_s, count):
            console.print(_page(snapshot))
        return
    with Screen(console=console, auto_refresh=False) as screen:
        for snapshot in _looks(live, interval_s, count):
            screen.update(_page(snapshot), refresh=True)


def _page(snapshot: Snapshot) -> RenderableType:
    """One table per kind of device, with one row per field and one column per device."""
    from rich.console import Group
    from rich.text import Text

    from rigmark.bench.host.plain import plain_line

    kinds: dict[tuple[str, str], list[Now]] = {}
    for now in snapshot.devices:
        kinds.setdefault((now.source, now.device.kind), []).append(now)
    parts: list[RenderableType] = [_table(devices) for devices in kinds.values()]
    parts += [Text(plain_line(f"{source}: {why}"), style="dim") for source, why in snapshot.unavailable.items()]
    return Group(Text(snapshot.at, style="dim"), *parts)


def _table(devices: Sequence[Now]) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    from rigmark.bench.host.plain import plain_line

    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column(Text(devices[0].device.kind))
    for number, now in enumerate(devices):
        late = f" ({now.age_s:.0f} s ago)" if now.age_s > STALE_S else ""
        name = plain_line(now.device.name)
        table.add_column(Text(f"{f'{number} ' if len(devices) > 1 else ''}{name}{late}"), justify="right")
    of_each = [{value.field.name: value for value in now.values} for now in devices]
    for name in dict.fromkeys(name for values in of_each for name in values):
        cells = [values.get(name) for values in of_each]
        table.add_row(Text(name), *(
            Text("" if value is None else text_of(value), style="dim" if value is None or value.value is None else "")
            for value in cells
        ))
    return table


STALE_S = 5.0            # the age of a reading is shown if it is older

UNITS: tuple[tuple[str, float, str], ...] = (
    ("_ratio", 0.01, "%"), ("_bytes", 2**20, "MiB"), ("_hz", 1e6, "MHz"), ("_w", 1.0, "W"), ("_j", 1.0, "J"),
    ("_c", 1.0, "°C"), ("_s", 1.0, "s"),
)
"""How a value is shown, by the unit that ends its field's name: (ending, one shown unit in stored units, sign)."""


def text_of(value: Value) -> str:
    """A value for people: the rate of a counter, the names of the flags that are set, otherwise the number."""
    if value.value is None:
        return str(value.unknown).replace("_", " ")
    if value.flags is not None:
        return ", ".join(value.flags) or "none"
    scale, sign = next(
        ((scale, sign) for end, scale, sign in UNITS if value.field.name.endswith(end)), (1.0, "")
    )
    if value.field.meaning == "counter":
        if value.rate is None:
            return "…"
        sign = {"J": "W", "s": "s/s"}.get(sign, f"{sign}/s")
        return f"{value.rate / scale:.2f} {sign}"
    number = value.value / scale
    digits = 0 if abs(number) >= 100 or number == int(number) else 1
    return f"{number:.{digits}f} {sign}".strip()
