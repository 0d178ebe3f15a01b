"""The watching command: `python -m training.watch`."""

from training.cli import console
from training.cli.watch import main as main

if __name__ == "__main__":
    console.run(main)
