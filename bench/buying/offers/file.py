"""Reads and checks one ``hardware.toml``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from typing import Any

from rigmark.bench.buying.offers.market import (
    Billing,
    Build,
    Confidence,
    Energy,
    Offer,
    Part,
    Price,
    Range,
    Source,
    Throughput,
)
from rigmark.bench.buying.offers.reading import Table
from rigmark.bench.enums import OF_SAMPLES, Mode, Precision
from rigmark.bench.errors import unknown
from rigmark.bench.machine import gpu_specifications
from rigmark.bench.machine.gpu_specifications import Card

SCHEMA = 1
WIDEST = 1e6                 # largest ratio of the end of a range to its value
KINDS = ("gpu", "cpu", "board", "ram", "psu", "case", "storage", "cooler", "accelerator")
SOURCE_KINDS = ("document", "vendor", "catalogue", "user")


@dataclass(frozen=True, kw_only=True)
class Rate:
    """One unit of ``currency`` is worth ``rate`` units of ``base``."""

    currency: str
    base: str
    rate: float
    as_of: date | None
    note: str | None


class File:
    """The content of one file; raises UserError with file, table and key for a mistake or a date after ``today``."""

    def __init__(self, top: Table, today: date):
        self.top, self.today = top, today
        self.problems: list[str] = []
        if (schema := top.whole("schema", "versions", least=1)) not in (None, SCHEMA):
            raise top.wrong("schema", f"is {schema}, but this version of Rigmark reads {SCHEMA}; use a newer version")
        self.as_of = top.day("as_of", today)
        self.currency = self._currency(top)
        self.sources = self._sources()
        self.rates, fx_base = self._rates()
        self.base = fx_base or self.currency
        self.energy = self._energy()
        self.parts = self._by_id("part", self._part)
        self.builds = self._by_id("build", self._build)
        self.offers = self._by_id("offer", self._offer)
        self.throughputs = list(self._by_id("throughput", self._throughput).values())
        top.finish()

    def _by_id(self, key: str, make: Any) -> dict[str, Any]:
        by_id: dict[str, Any] = {}
        for table in self.top.tables(key):
            own = table.required_text("id")
            if own in by_id:
                raise table.wrong("id", "occurs twice; give everything an id of its own")
            by_id[own] = make(own, table)
            table.finish()
        return by_id

    def _currency(self, table: Table, key: str = "currency") -> str | None:
        code = table.text(key)
        if code is not None and not re.fullmatch(r"[A-Z]{3}", code):
            raise table.wrong(key, f"must be three capital letters such as EUR, not '{code}'")
        return code

    def _sources(self) -> dict[str, Source]:
        sources = {}
        whole = self.top.table("source")
        for name in () if whole is None else whole.content:
            assert whole is not None
            table = whole.table(name)
            if table is None:
                continue
            table.name = f"[source.{name}]"
            confidence = table.text("confidence", tuple(Confidence))
            sources[name] = Source(
                id=name, title=table.required_text("title"), kind=table.text("kind", SOURCE_KINDS) or "user",
                confidence=Confidence(confidence or "quoted"), url=table.text("url"),
            )
            table.finish()
        return sources

    def _rates(self) -> tuple[list[Rate], str | None]:
        whole = self.top.table("fx")
        if whole is None:
            return [], None
        whole.required_text("base")
        base = self._currency(whole, "base")
        assert base is not None
        rates = []
        for name in whole.content:
            if name == "base":
                continue
            table = whole.table(name)
            assert table is not None
            rate = table.number("rate", f"{base} for one {name}", least=1e-12)
            if rate is None:
                raise table.wrong(None, f"'rate' is missing: how many {base} one {name} is worth")
            rates.append(Rate(
                currency=name, base=base, rate=rate, as_of=table.day("as_of", self.today) or self.as_of,
                note=table.text("note"),
            ))
            table.finish()
        return rates, base

    # Numbers ------------------------------------------------------------------------------------------------------

    def _range(self, table: Table, unit: str, *, most: float = float("inf")) -> dict[str, Any]:
        value = table.number("value", unit, most=most)
        if value is None:
            raise table.wrong(None, f"'value' is missing, in {unit}")
        low, high = table.number("low", unit, most=most), table.number("high", unit, most=most)
        if (low is None) != (high is None):
            raise table.wrong(None, "has only one of 'low' and 'high'; give both or none")
        if low is not None and high is not None:
            for end, which in ((low, "low"), (high, "high")):
                if (end > value) if which == "low" else (end < value):
                    relation = "above" if which == "low" else "below"
                    raise table.wrong(which, f"{end:g} is {relation} the value, {value:g}")
            if max(value / low if low else 1.0, high / value if value else 1.0) > WIDEST:
                raise table.wrong(None, f"goes from {low:g} to {high:g}, which is implausibly wide; give ends "
                                        f"within a factor of {WIDEST:g} of the value, or none")
        name = table.text("source")
        if name is not None and name not in self.sources:
            raise table.wrong("source", str(unknown("source", name, self.sources)))
        source = None if name is None else self.sources[name]
        said = table.text("confidence", tuple(Confidence))
        if said is not None:
            confidence: Confidence | None = Confidence(said)
        else:
            confidence = None if source is None else source.confidence
        return {"value": value, "low": low, "high": high, "source": source, "confidence": confidence}

    def _price(self, owner: Table, key: str, per: str = "", currency: str | None = None) -> Price | None:
        """The price under a key. ``per`` is "/h" or "/kWh"; a ``unit`` that contradicts it is refused."""
        table = owner.table(key)
        if table is None:
            return None
        code = self._currency(table) or currency or self.currency
        if code is None:
            raise table.wrong(None, "has no currency; write currency = \"EUR\" here or at the top of the file")
        unit = table.text("unit")
        if unit is not None and unit != f"{code}{per}":
            raise table.wrong("unit", f"must be {code}{per}, not '{unit}'; convert the number")
        bounds = self._range(table, f"{code}{per}")
        as_of = table.day("as_of", self.today) or self.as_of
        table.finish()
        return Price(**bounds, currency=code, as_of=as_of, where=f"{table.file}: {table.name}")

    # Things -------------------------------------------------------------------------------------------------------

    def _energy(self) -> Energy | None:
        table = self.top.table("energy")
        if table is None:
            return None
        efficiency = table.number("psu_efficiency", "a share", least=0.5, most=1.0)
        overhead = table.number("cooling_overhead", "a ratio", least=1.0, most=10.0)
        energy = Energy(
            price_per_kwh=self._price(table, "price_per_kwh", "/kWh"), circuit_w=table.number("circuit_w", "W"),
            **{name: value for name, value in (("psu_efficiency", efficiency), ("cooling_overhead", overhead))
               if value is not None},
        )
        table.finish()
        return energy

    def _card(self, table: Table, key: str) -> Card | None:
        spec = table.text(key)
        if spec is None:
            return None
        if not spec.startswith(gpu_specifications.PREFIX):
            prefix = gpu_specifications.PREFIX
            raise table.wrong(key, f"must begin with '{prefix}', such as '{prefix}geforce-gtx-1070', but "
                                   f"is '{spec}'")
        return gpu_specifications.by_key(spec, where=f"{table.file}: {table.name}, {key}: ")

    def _part(self, own: str, table: Table) -> Part:
        kind = table.required_text("kind", KINDS)
        card = self._card(table, "spec")
        tdp_w, memory_gb = table.number("tdp_w", "W"), table.number("memory_gb", "GB")
        slots, length = table.whole("slots", "slots"), table.number("length_mm", "mm")
        rates = {
            "bandwidth_bytes_per_s": _times(table.number("bandwidth_gb_s", "GB/s"), 1e9),
            "fp32_flops_per_s": _times(table.number("fp32_tflops", "TFLOP/s"), 1e12),
        }
        plugs = tuple(plug for plug, count in table.counts("plugs").items() for _ in range(count))
        if strange := [plug for plug in plugs if gpu_specifications.plugs(plug) != (plug,)]:
            raise table.wrong("plugs", f"must be names such as '6-pin', '8-pin' or '16-pin', not '{strange[0]}'")
        generation, lanes = self._pcie(table)
        for key in ("efficiency", "memory_channels"):      # only for readers of the file; no formula uses them
            table.get(key)
        if card is not None:
            changes = {
                "tdp_w": tdp_w, "memory_bytes": _times(memory_gb, gpu_specifications.GIB), "slots": slots,
                "length_mm": length, "plugs": plugs or None, "pcie_generation": generation, "pcie_lanes": lanes,
                **rates,
            }
            card = card.with_overrides({name: value for name, value in changes.items() if value is not None})
        elif any(rate is not None for rate in rates.values()):
            raise table.wrong(None, "bandwidth_gb_s and fp32_tflops override a 'spec', but there is none")
        return Part(
            id=own, kind=kind, name=table.text("name") or (card.name if card else own), card=card,
            price=self._price(table, "price"), device_name=table.text("device_name"),
            tdp_w=tdp_w if card is None else card.tdp_w,
            memory_gb=memory_gb if card is None else _times(card.memory_bytes, 1 / gpu_specifications.GIB),
            slots=slots if card is None else card.slots, length_mm=length if card is None else card.length_mm,
            plugs=plugs if card is None else card.plugs, rated_w=table.number("rated_w", "W", least=1),
            pcie_generation=generation if card is None else card.pcie_generation,
            pcie_lanes=lanes if card is None else card.pcie_lanes, noise_dba=table.number("noise_dba", "dB(A)"),
        )

    def _pcie(self, owner: Table) -> tuple[int | None, int | None]:
        table = owner.table("pcie")
        if table is None:
            return None, None
        generation = table.whole("gen", "generations", least=1)
        if generation is not None and generation not in gpu_specifications.PCIE_GENERATIONS:
            known = ", ".join(map(str, gpu_specifications.PCIE_GENERATIONS))
            raise table.wrong("gen", f"{generation} is not known; known: {known}")
        lanes = table.whole("lanes", "lanes", least=1)
        table.finish()
        return generation, lanes

    def _build(self, own: str, table: Table) -> Build:
        parts = table.counts("parts")
        if not parts:
            raise table.wrong(None, "'parts' is missing: the ids of parts and the number of each")
        resale_table, after = table.table("resale"), None
        resale = None
        if resale_table is not None:
            resale = Range(**self._range(resale_table, "a share of the price", most=1.0))
            after = resale_table.number("after_years", "years")
            resale_table.finish()
        return Build(
            id=own, parts=parts, price=self._price(table, "price"), base_w=table.number("base_w", "W"),
            idle_w=table.number("idle_w", "W"), resale=resale, resale_after_years=after,
            life_years=table.number("life_years", "years", least=0.1), note=table.text("note"),
        )

    def _offer(self, own: str, table: Table) -> Offer:
        memory_gb = table.number("memory_per_gpu_gb", "GB")
        where = f"{table.file}: {table.name}, gpus: "
        gpus: list[tuple[Card | str, int]] = []
        for name, count in table.counts("gpus").items():
            if name.startswith(gpu_specifications.PREFIX):
                gpus.append((gpu_specifications.by_key(name, where=where), count))
                continue
            try:
                gpus.append((gpu_specifications.by_name(name, memory_gb=memory_gb), count))
            except (gpu_specifications.NoCard, gpu_specifications.ManyCards) as error:
                gpus.append((name, count))
                self.problems.append(f"{where}{error}")
        return Offer(
            id=own, provider=table.text("provider") or "provider not given",
            price_per_hour=self._price(table, "price_per_hour", "/h", self._currency(table)),
            billing=Billing(table.text("billing", tuple(Billing)) or Billing.ON_DEMAND), gpus=tuple(gpus),
            device_name=table.text("device_name"), memory_per_gpu_gb=memory_gb, vcpus=table.whole("vcpus", "CPUs"),
            setup_hours_per_session=table.number("setup_hours_per_session", "hours"),
            session_hours=table.number("session_hours", "hours", least=0.01),
            restart_loss=table.number("restart_loss", "a share of the hours", most=0.99) or 0.0,
            note=table.text("note"),
        )

    def _throughput(self, own: str, table: Table) -> Throughput:
        spec = table.required_text("device")
        device: Card | str = spec
        if spec.startswith(gpu_specifications.PREFIX):
            device = gpu_specifications.by_key(spec, where=f"{table.file}: {table.name}, device: ")
        inner = table.table("samples_per_s")
        if inner is None:
            raise table.wrong(None, "'samples_per_s' is missing, as { value = 100 }")
        samples = Range(**self._range(inner, "samples/s"))
        if samples.value == 0:
            raise inner.wrong("value", "is 0 samples/s; leave the whole entry out if nothing is known")
        inner.finish()
        return Throughput(
            id=own, device=device, devices=table.whole("devices", "devices", least=1) or 1,
            model=table.required_text("model"), mode=Mode(table.required_text("mode", OF_SAMPLES)),
            precision=Precision(table.required_text("precision", tuple(Precision))),
            local_batch=table.whole("local_batch", "samples", least=1),
            data=table.text("data") or "synthetic", software=table.text("software"), samples_per_s=samples,
            power_w=table.number("power_w", "W", least=0.1),
            busy_ratio=table.number("busy_ratio", "a share of the time", most=1.0),
        )


def _times(value: float | None, scale: float) -> float | None:
    return None if value is None else value * scale
