"""Tables for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.table import Table

from aio.metrics import ScoreTable


def score_table(scores: ScoreTable, title: str) -> Table:
    """`scores`: PSNR / SSIM before and after, per degradation and their mean."""
    columns = ["images", scores.before, "restored", "gain"]
    table = _table(f"{title} (protocol {scores.protocol})", ["degradation"], columns)
    for task, m in {**scores.means(), "mean": scores.mean()}.items():
        before, after = f"{m.input_psnr:.2f} / {m.input_ssim:.4f}", f"{m.psnr:.2f} / {m.ssim:.4f}"
        table.add_row(task, str(m.images), before, after, f"{m.psnr_gain:+.2f} / {m.ssim_gain:+.4f}")
    return table


def comparison_table(tasks: Sequence[str], rows: Mapping[str, Sequence[float]], title: str) -> Table:
    """PSNR of several methods, a column per task and their mean."""
    table = _table(title, ["method"], [*tasks, "mean"])
    for method, values in rows.items():
        table.add_row(method, *(f"{value:.2f}" for value in (*values, sum(values) / len(values))))
    return table


def _table(title: str, left: Sequence[str], right: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left")
    for heading in left:
        table.add_column(heading, no_wrap=True)
    for heading in right:
        table.add_column(heading, justify="right", no_wrap=True)
    return table
