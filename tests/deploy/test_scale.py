"""docs/scale.md: manifests that Kubernetes takes, a script that bash takes, and flags that there are."""

import re
import subprocess
from pathlib import Path

import kubernetes_validate
import yaml
from torch.distributed.run import get_args_parser

from training.cli.train import Options

TEXT = (Path(__file__).parents[2] / "docs" / "scale.md").read_text()
TRAINING = TEXT.partition("\n## Training")[2].partition("\n## ")[0]


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", TRAINING, re.DOTALL)


def test_the_manifests_of_training_are_valid():
    kinds = []
    for manifest in (one for block in blocks("yaml") for one in yaml.safe_load_all(block)):
        kinds.append(manifest["kind"])
        if manifest["kind"] != "PyTorchJob":  # which is no kind of Kubernetes' own
            kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)
    assert kinds == ["Service", "Job", "PyTorchJob"]


def test_the_batch_script_is_one():
    (script,) = blocks("bash")
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)


def test_all_flags_of_training_exist():
    ours = {f"--{name.replace('_', '-')}" for name in Options.model_fields}
    others = {"--no-cache-dir", "--requeue", "--signal", "--job-name", "--nodes", "--ntasks-per-node", "--gpus-per-node"}
    others |= {"--cpus-per-task", "--time", "--open-mode"}
    given = set(re.findall(r"--[a-z][a-z-]+", TRAINING))
    assert given - ours - others - set(get_args_parser()._option_string_actions) == set()
    assert {"--run-name", "--max-restarts", "--rdzv-endpoint"} < given
