"""The command that converts models of other programs: `python -m training.convert`."""

from training.cli import console
from training.cli.convert import main

if __name__ == "__main__":
    console.run(main)
