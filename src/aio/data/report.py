"""What `aio data check` found: the data sets that are here, and what is wrong; for the terminal, Markdown and JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Final, Literal

from rich.console import Console
from rich.markup import escape
from rich.table import Table

Level = Literal["fault", "note"]

_SHOWN: Final = 10
_HEADINGS: Final = ("data set", "folder", "for", "tasks", "found", "expected", "paired by", "paper")


@dataclass(frozen=True)
class Part:
    """A folder that holds a data set, or a part of one.

    Attributes:
        name: of the data set in `aio.data.sources`; empty where none is known that fits.
        folder: below the root.
        found: pairs, or clean images.
        expected: how many the data set has; None where that is unknown.
    """

    name: str
    folder: str
    split: str
    tasks: tuple[str, ...]
    found: int
    expected: int | None = None
    pairing: str = ""
    paper: str = ""

    def cells(self) -> tuple[str, ...]:
        """One text for each of the table's columns."""
        expected = "" if self.expected is None else f"{self.expected:,}"
        tasks = self.tasks[0] if self.tasks else ""
        tasks += f" and {len(self.tasks) - 1} more" if len(self.tasks) > 1 else ""
        return self.name or "?", self.folder, self.split, tasks, f"{self.found:,}", expected, self.pairing, self.paper


@dataclass(frozen=True)
class Finding:
    """Something to mend, or a note: something worth knowing.

    Attributes:
        kind: one word or two by which findings are counted and filtered.
        text: what was found.
        files: all that are meant, below the root; of pairs both, as `first = second`.
    """

    kind: str
    text: str
    files: tuple[str, ...] = ()
    level: Level = "fault"


@dataclass(frozen=True)
class Report:
    """All about one tree."""

    root: str
    tasks: tuple[str, ...]
    quick: bool
    images: int
    parts: list[Part]
    findings: list[Finding]
    absent: list[str] = field(default_factory=list)

    @property
    def faults(self) -> list[Finding]:
        """What is to be mended."""
        return [finding for finding in self.findings if finding.level == "fault"]

    def verdict(self) -> str:
        """One sentence."""
        notes = len(self.findings) - len(self.faults)
        looked = "headers read" if self.quick else "all decoded"
        return f"{self.root}: {self.images:,} images ({looked}), {len(self.faults)} finding(s), {notes} note(s)."

    def as_json(self) -> str:
        """Everything, every file by name."""
        return json.dumps({**asdict(self), "clean": not self.faults}, indent=2) + "\n"

    def as_markdown(self) -> str:
        """Everything, every file by name."""
        rows = [_HEADINGS, ("---",) * len(_HEADINGS), *(part.cells() for part in self.parts)]
        table = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
        lines = [f"# {self.verdict()}", "", *table, "", *self._absent()]
        for finding in self._in_order():
            lines += ["", f"## {finding.level}: {finding.kind}", "", finding.text, ""]
            lines += [f"- `{file}`" for file in finding.files]
        return "\n".join(lines) + "\n"

    def show(self, console: Console) -> None:
        """Prints the report, of each fault the first ten files."""
        table = Table(title=escape(self.root), title_justify="left")
        for heading in _HEADINGS[:-2]:
            table.add_column(heading, justify="right" if heading in ("found", "expected") else "left", overflow="fold")
        for part in self.parts:
            table.add_row(*map(escape, part.cells()[:-2]))
        console.print(table)
        for line in self._absent():
            console.print(escape(line))
        for finding in self._in_order():
            colour = "red" if finding.level == "fault" else "cyan"
            console.print(f"[{colour}]{finding.kind}[/]: {escape(finding.text)}")
            if finding.level == "fault":
                text = "\n".join(_shortened(finding.files))
                console.print(text, markup=False, highlight=False, soft_wrap=True, end="")
        console.print(escape(self.verdict()))

    def _in_order(self) -> list[Finding]:
        return sorted(self.findings, key=lambda finding: finding.level)

    def _absent(self) -> Iterator[str]:
        if self.absent:
            yield f"Known data sets for these tasks that are not here: {', '.join(self.absent)}."


def _shortened(files: tuple[str, ...]) -> Iterator[str]:
    yield from (f"  {file}" for file in files[:_SHOWN])
    if len(files) > _SHOWN:
        yield f"  ... and {len(files) - _SHOWN} more (--report or --json lists all)"
    if files:
        yield ""
