"""What an evaluation leaves: tables in the terminal, and tables, scores per image and sheets in a folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Final

from rich.console import Console

from aio.benchmarks import Benchmark, Published
from aio.evaluation import paired
from aio.evaluation.items import Plan
from aio.evaluation.journal import Measured
from aio.evaluation.sheet import write_sheet
from aio.evaluation.table import Cost, Table, per_image_csv, row_before, row_of, row_published
from aio.files import write_text
from aio.metrics import input_name
from aio.tables import text_table

_WIDE: Final = 240  # characters


def report(
    plan: Plan,
    rows: Mapping[str, Sequence[Measured]],
    costs: Mapping[str, Cost],
    *,
    benchmark: Benchmark | None,
    measures: Sequence[str],
    folder: Path | None,
) -> None:
    """Prints the table of all methods, and the comparison of each two; writes them and the sheets to `folder`."""
    table = _table(plan, rows, costs, benchmark, measures)
    comparisons = [
        comparison for (a, x), (b, y) in combinations(rows.items(), 2) for comparison in paired.compare(a, x, b, y)
    ]
    console = Console()
    if not console.is_terminal:  # a file has no edge to wrap at
        console = Console(width=_WIDE)
    console.print(text_table(table.headings, table.cells(), title=table.title))
    if comparisons:
        console.print(text_table(paired.HEADINGS, map(paired.cells, comparisons), title="image by image"))
    if folder is None:
        return
    for name, text in {
        "scores.md": table.to_markdown() + ("\n" + paired.to_markdown(comparisons) if comparisons else ""),
        "scores.tex": table.to_latex(),
        "scores.csv": table.to_csv(),
        "images.csv": per_image_csv(rows),
    }.items():
        write_text(folder / name, text)
    for method, measured in rows.items():
        write_sheet(plan, measured, folder / method, folder / f"{method}.png")
    console.print(f"tables, sheets and restored images: {folder}")


def _table(
    plan: Plan,
    rows: Mapping[str, Sequence[Measured]],
    costs: Mapping[str, Cost],
    benchmark: Benchmark | None,
    measures: Sequence[str],
) -> Table:
    columns = plan.columns
    protocols = dict.fromkeys(item.protocol for item in plan.items)
    counts = ", ".join(f"{column} {sum(i.column == column for i in plan.items)}" for column in columns)
    before = row_before(input_name(plan.scale, views=plan.views), columns, next(iter(rows.values())))
    ours = [row_of(name, columns, measured, costs[name]) for name, measured in rows.items()]
    published = benchmark.published if benchmark else {}
    theirs = [row_published(name, _columns_of(row, benchmark, columns)) for name, row in published.items() if benchmark]
    return Table(
        title=f"{benchmark.name if benchmark else 'own images'} (protocol {', '.join(protocols)}; images: {counts})",
        columns=tuple(columns),
        rows=(*theirs, before, *ours),
        measures=("psnr", "ssim", *measures),
        mean=len(columns) > 1 and (benchmark is None or benchmark.mean),
    )


def _columns_of(row: Published, benchmark: Benchmark, columns: Sequence[str]) -> Published:
    """The part of a published row that stands in the columns which are measured."""
    chosen = [index for index, column in enumerate(benchmark.columns) if column.name in columns]
    return Published(tuple(row.psnr[i] for i in chosen), tuple(row.ssim[i] for i in chosen), row.source)
