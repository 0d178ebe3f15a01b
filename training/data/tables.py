"""Tables of attributes: files with a row for each image."""

import csv
import io
from dataclasses import dataclass
from pathlib import Path

from training.data.labels import as_text
from training.errors import UsageError

SEED, FILE = "seed", "file"  # columns that say which image a row is about
_SEPARATORS = ",;\t"


@dataclass(frozen=True)
class Table:
    """Rows of a CSV file."""

    path: Path
    columns: tuple[str, ...]
    rows: list[dict[str, str]]

    @property
    def key(self) -> str:
        """The column that says which image a row is about."""
        return SEED if SEED in self.columns else FILE


def read_table(path: Path) -> Table:
    """Read a table with any usual separator. Raises UsageError for a file that is none, or does not name images."""
    try:
        text = as_text(path.read_bytes())
        separator = max(_SEPARATORS, key=text.partition("\n")[0].count)
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, restval="")
        rows = [{str(name).strip(): (cell or "").strip() for name, cell in row.items() if name} for row in reader]
    except (OSError, ValueError, csv.Error) as error:
        raise UsageError(f"--attributes: {path} cannot be read as a table of comma-separated values ({error})") from error
    columns = tuple(name.strip() for name in reader.fieldnames or [])
    if not rows or (SEED in columns) == (FILE in columns):
        raise UsageError(
            f"--attributes: {path} needs rows, and one column called {SEED} (of the model's images) or {FILE} (of pictures in "
            f"--data), and has the columns {', '.join(columns) or 'none'}"
        )
    return Table(path, columns, rows)
