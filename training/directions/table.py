"""The figures of directions as a table for people."""

from collections.abc import Sequence

from training.directions.finding import MOVES, Found


def table(found: Sequence[Found]) -> str:
    """One line for each direction: held-out figures, in brackets the least of any class, and shifts in standard deviations."""
    rows = [["direction", "kind", "R²", "AUROC", *(f"{units:+g}" for units in MOVES), "classes", "what it changes"]]
    for one in found:
        least = one.least
        several = least is not None and (one.classes or 1) > 1
        rows.append(
            [
                one.about.name,
                one.about.kind,
                _figure(one.about.r2, least.r2 if several and least is not None else None),
                _figure(one.about.auroc, least.auroc if several and least is not None else None),
                *(f"{one.shifts[units]:+.2f}" if units in one.shifts else "" for units in MOVES),
                "all" if one.classes is None else str(one.classes),
                one.about.about,
            ]
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)


def _figure(value: float | None, least: float | None) -> str:
    return "" if value is None else f"{value:.2f}" if least is None else f"{value:.2f} ({least:.2f})"
