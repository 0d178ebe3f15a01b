"""Seconds per 1,000 images and peak memory of every recipe: `python -m benchmarks.recipes`.

Each recipe in a process of its own, so that its memory is its own, with its own networks and batch.
"""

import argparse
import json
import platform
import subprocess
import sys
from importlib.metadata import version

from training.config.recipes import RECIPES
from training.config.schema import TrainingConfig
from training.data import load
from training.engine.estimate import estimate
from training.engine.state import TrainingState
from training.hardware import Hardware


def measure(recipe: str, data: str, steps: int) -> dict[str, float]:
    """Measure one recipe, in this process."""
    config = TrainingConfig.model_validate({"recipe": recipe, "data": data})
    dataset = load(config.data, config.size, labelled=config.conditional)
    hardware = Hardware.choose(config)
    state = TrainingState.start(config, dataset.images.shape[1], len(dataset.classes) or None, hardware)
    sizes = [sum(parameter.numel() for parameter in network.parameters()) for network in (state.generator, state.discriminator)]
    found = estimate(state, dataset, config, hardware, steps)
    return {
        "generator": sizes[0],
        "discriminator": sizes[1],
        "batch": config.batch_size,
        "seconds": 1000 * found.seconds_per_image,
        "memory": found.memory,
    }


def main() -> None:
    """Measure all recipes and print the table."""
    parser = argparse.ArgumentParser("python -m benchmarks.recipes", description=__doc__)
    parser.add_argument("--data", default="fashion-mnist", help="as for training.run (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=20, help="of which the median counts (default: %(default)s)")
    parser.add_argument("--recipe", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.recipe:
        print(json.dumps(measure(given.recipe, given.data, given.steps)))
        return
    hardware = Hardware.choose(TrainingConfig())
    print(f"{hardware}; Python {platform.python_version()}, torch {version('torch')}; {' '.join(sys.orig_argv[1:])}")
    print(
        "| recipe | parameters: generator, discriminator | batch | s per 1,000 images | peak memory, GiB |\n|---|---|---|---|---|"
    )
    for recipe in RECIPES:
        if recipe == "auto":
            continue
        command = [
            sys.executable,
            "-m",
            "benchmarks.recipes",
            "--recipe",
            recipe,
            "--data",
            given.data,
            "--steps",
            str(given.steps),
        ]
        output = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True).stdout
        row = json.loads(output.splitlines()[-1])
        sizes = f"{row['generator']:,}, {row['discriminator']:,}"
        print(f"| {recipe} | {sizes} | {row['batch']} | {row['seconds']:.2f} | {row['memory'] / 2**30:.2f} |", flush=True)


if __name__ == "__main__":
    main()
