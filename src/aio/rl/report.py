"""What a training of agents leaves: the curve PSNR against cost as picture and tables, and the learning curves."""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from aio.files import write_text
from aio.pictures import write_picture
from aio.rl.agent import LearningCurve
from aio.rl.outcome import Outcome, frontier, reached_at
from aio.rl.plots import COLOURS, Curve, beside, draw_chart, smoothed

Learned = Mapping[float, Sequence[tuple[Outcome, Outcome]]]  # price -> of each seed: the policy, its choices shuffled


def write_curve(
    folder: Path, *, fixed: Sequence[Outcome], random: Outcome, oracle: Mapping[float, Outcome], learned: Learned
) -> str:
    """Writes `curve.md`, `curve.csv` and `curve.png` into `folder`; returns the Markdown."""
    hull = frontier(fixed)
    text = curve_table(hull, fixed=fixed, random=random, oracle=oracle, learned=learned)
    write_text(folder / "curve.md", text)
    points = [
        *fixed,
        random,
        *oracle.values(),
        *(each for seeds in learned.values() for pair in seeds for each in pair),
    ]
    write_text(folder / "curve.csv", _as_csv([asdict(point) for point in points]))
    curves = [
        Curve("fixed: the same for every patch", *_xy(fixed), COLOURS[6], joined=False),
        Curve("frontier of the fixed", *_xy(hull), COLOURS[6]),
        Curve("random", *_xy([random]), COLOURS[4], joined=False),
        Curve("the learned choices, shuffled over the patches", *_means(learned, 1), COLOURS[1]),
        Curve("learned, mean and deviation over seeds", *_means(learned, 0), COLOURS[0], True, _deviations(learned)),
        Curve("oracle: sees the clean image", *_xy(list(oracle.values())), COLOURS[2]),
    ]
    write_picture(draw_chart("PSNR of patches in dB", "GMACs of a patch", curves), folder / "curve.png")
    return text


def curve_table(
    hull: Sequence[Outcome],
    *,
    fixed: Sequence[Outcome],
    random: Outcome,
    oracle: Mapping[float, Outcome],
    learned: Learned,
) -> str:
    """As Markdown, costs in GMACs of a patch; the margin above the frontier, and above the same choices shuffled."""
    lines = [
        "| choice | price, dB | GMACs of a patch | PSNR | above the frontier | above itself shuffled |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for point in (*fixed, random):
        lines.append(f"| {point.name} | | {point.cost:.3f} | {point.psnr:.3f} | {_margin(hull, point):+.3f} | |")
    for price, seeds in learned.items():
        margins = [_margin(hull, policy) for policy, _ in seeds]
        above = [policy.psnr - shuffled.psnr for policy, shuffled in seeds]
        cost, psnr = (_spread([getattr(policy, name) for policy, _ in seeds], "") for name in ("cost", "psnr"))
        lines.append(f"| learned | {price:g} | {cost} | {psnr} | {_spread(margins, '+')} | {_spread(above, '+')} |")
        best = oracle[price]
        lines.append(f"| oracle | {price:g} | {best.cost:.3f} | {best.psnr:.3f} | {_margin(hull, best):+.3f} | |")
    return "\n".join([*lines, ""])


def write_learning(folder: Path, curves: Mapping[tuple[float, int], LearningCurve]) -> None:
    """Writes `learning.csv` and `learning.png`: reward, PSNR, cost and epsilon of every price, its first seed drawn."""
    rows = [
        {"price": price, "seed": seed, "steps": step, "reward": r, "psnr": p, "cost": c, "epsilon": e}
        for (price, seed), curve in curves.items()
        for step, r, p, c, e in zip(curve.steps, curve.reward, curve.psnr, curve.cost, curve.epsilon, strict=True)
    ]
    write_text(folder / "learning.csv", _as_csv(rows))
    first = {price: curve for (price, seed), curve in curves.items() if seed == 0 and curve.steps}
    if not first:
        return
    charts = [
        draw_chart(
            title, "actions", [_learning(price, curve, name, n) for n, (price, curve) in enumerate(first.items())]
        )
        for name, title in (
            ("reward", "reward of an episode in dB"),
            ("psnr", "PSNR at its end in dB"),
            ("cost", "its cost in passes with 64 offsets"),
            ("epsilon", "epsilon: share of random actions"),
        )
    ]
    write_picture(beside(charts), folder / "learning.png")


def _learning(price: float, curve: LearningCurve, name: str, number: int) -> Curve:
    values = smoothed(getattr(curve, name))
    return Curve(f"price {price:g} dB", curve.steps, values, COLOURS[number % len(COLOURS)])


def _margin(hull: Sequence[Outcome], point: Outcome) -> float:
    return point.psnr - reached_at(hull, point.cost)


def _spread(values: Sequence[float], sign: str) -> str:
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.fmean(values):{sign}.3f} ± {deviation:.3f}"


def _xy(points: Sequence[Outcome]) -> tuple[list[float], list[float]]:
    return [point.cost for point in points], [point.psnr for point in points]


def _means(learned: Learned, which: int) -> tuple[list[float], list[float]]:
    means = [
        (statistics.fmean(pair[which].cost for pair in seeds), statistics.fmean(pair[which].psnr for pair in seeds))
        for seeds in learned.values()
    ]
    return [cost for cost, _ in sorted(means)], [psnr for _, psnr in sorted(means)]


def _deviations(learned: Learned) -> list[float]:
    by_cost = sorted(learned.values(), key=lambda seeds: statistics.fmean(policy.cost for policy, _ in seeds))
    return [statistics.stdev([policy.psnr for policy, _ in s]) if len(s) > 1 else 0.0 for s in by_cost]


def _as_csv(rows: Sequence[Mapping[str, object]]) -> str:
    text = io.StringIO()
    if rows:
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return text.getvalue()
