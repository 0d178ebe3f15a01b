"""The command that finds directions for edits: `python -m training.directions`."""

from training.cli import console
from training.cli.directions import main

if __name__ == "__main__":
    console.run(main)
