"""The command that exports models again: `python -m training.export`."""

from training.cli import console
from training.cli.export import main

if __name__ == "__main__":
    console.run(main)
