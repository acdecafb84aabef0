"""Tables for the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

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


def text_table(headings: Sequence[str], rows: Iterable[Sequence[str]], title: str) -> Table:
    """Texts below their headings, numbers to the right; a column in which every row is empty is left out."""
    rows = list(rows)
    kept = [i for i in range(len(headings)) if any(row[i] for row in rows)]
    names = [i for i in kept if i == 0 or not any(row[i][:1].isdigit() or row[i][:1] in "+-" for row in rows if row[i])]
    table = Table(title=title, title_justify="left")
    for i in kept:
        table.add_column(headings[i], justify="left" if i in names else "right")
    for row in rows:
        table.add_row(*(row[i] for i in kept))
    return table


def _table(title: str, left: Sequence[str], right: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left")
    for heading in left:
        table.add_column(heading, no_wrap=True)
    for heading in right:
        table.add_column(heading, justify="right", no_wrap=True)
    return table
