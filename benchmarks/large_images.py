"""A StyleGAN2 with random weights through the service, beside torch itself: `python -m benchmarks.large_images`.

Channels are those of NVIDIA's StyleGAN2-ADA. Each side runs by itself, in turn: requests for one image over HTTP, one after the
other, and the same network called for one image by torch in eager mode, with as many threads.
"""

import argparse
import json
import statistics
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import psutil
import torch
from torch import nn

from benchmarks.sides import ADDRESS, process_memory, running
from gan.latents import InputSpec, inputs_of_seeds
from gan.networks import stylegan2
from gan.processors import usable_processors
from training.convert.folder import write
from training.convert.kinds.base import Recognised

_RUNTIMES: dict[str, dict[str, str]] = {
    "ONNX Runtime": {},
    "OpenVINO, float32": {"GAN_RUNTIME": "openvino"},
    "OpenVINO, bfloat16": {"GAN_RUNTIME": "openvino", "GAN_PRECISION": "bfloat16"},
}


def main() -> None:
    """Print one line for each runtime of the service."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=256, help="pixels of a side (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=20, help="of each measurement (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    chosen = parser.parse_args()
    generator = random_generator(chosen.size)
    print(
        f"StyleGAN2 at {chosen.size}x{chosen.size}, {usable_processors()} processors, medians of {chosen.rounds} rounds", flush=True
    )
    with tempfile.TemporaryDirectory() as name:
        model = Path(name) / "stylegan2"
        found = Recognised("StyleGAN2", "stylegan2", _arguments(chosen.size), generator, 3, (chosen.size, chosen.size), {})
        write(found, "none", "0" * 64, model, "stylegan2", "none", None)
        rates: dict[str, list[float]] = {"torch": [], **{name: [] for name in _RUNTIMES}}
        facts: dict[str, str] = {}
        for _ in range(chosen.rounds):
            rates["torch"].append(_rate(_torch(generator), chosen.seconds))
            for title, settings in _RUNTIMES.items():
                with running("ours", model, GAN_DEADLINE="120", **settings) as start:
                    rates[title].append(_rate(_ask, chosen.seconds))
                    facts[title] = f"ready after {start:.0f} s, {process_memory()} MB"
    torch_rate = statistics.median(rates["torch"])
    print(f"torch, eager: {torch_rate:.2f} images/s, {psutil.Process().memory_info().rss // 2**20} MB")
    for title in _RUNTIMES:
        rate = statistics.median(rates[title])
        print(f"{title}, over HTTP: {rate:.2f} images/s, {rate / torch_rate:.2f} times torch; {facts[title]}")


def random_generator(size: int) -> stylegan2.Generator:
    """A StyleGAN2 of NVIDIA's channels with random weights of unit variance."""
    torch.manual_seed(0)
    built = stylegan2.Generator(InputSpec(512), 3, (size, size), **_arguments(size))
    with torch.no_grad():
        for module in built.modules():
            if isinstance(module, nn.Linear):
                module.weight.normal_(0, module.in_features**-0.5)
                module.bias.zero_()
        for convolution in [*built.synthesis.convolutions, *built.synthesis.to_rgb]:
            convolution.affine.bias.fill_(1.0)
        for to_rgb in built.synthesis.to_rgb:
            to_rgb.weight.mul_(0.3 * to_rgb.weight.shape[1] ** -0.5)
    return built.eval()


def _arguments(size: int) -> dict[str, object]:
    base = 16384 if size <= 256 else 32768  # as NVIDIA's `auto` has it
    return {"widths": [min(base // (4 << level), 512) for level in range((size // 4).bit_length())]}


def _torch(generator: stylegan2.Generator) -> Callable[[int], None]:
    torch.set_num_threads(usable_processors())

    @torch.inference_mode()
    def draw(seed: int) -> None:
        generator(*(torch.from_numpy(column) for column in inputs_of_seeds([seed], generator.input_spec).values()))

    return draw


def _ask(seed: int) -> None:
    body = json.dumps({"seed": seed, "format": "npz"}).encode()
    request = urllib.request.Request(f"{ADDRESS}/generate", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=120) as answer:
        answer.read()


def _rate(draw: Callable[[int], None], seconds: float) -> float:
    """Images a second."""
    draw(0)
    started, n = time.perf_counter(), 0
    while time.perf_counter() < started + seconds:
        n += 1
        draw(n)
    return n / (time.perf_counter() - started)


if __name__ == "__main__":
    main()
