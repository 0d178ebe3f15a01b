"""What an operations team looks at first, in a container of the image."""

import json
import re
import time
from concurrent.futures import ThreadPoolExecutor

from gan.processors import usable_processors
from tests.container.conftest import MEMORY, started
from tests.test_service import running

ASKED = [
    {"seed": 7},
    {"seed": 7, "n": 16},
    {"seed": 4294967295, "n": 40, "format": "npz"},
    {"seed": 3, "n": 9, "format": "webp", "scale": 3},
    {"seeds": [5, 1, 5], "truncation": 0.5, "format": "json"},
]


def test_its_images_are_the_bytes_of_make_serve(hardened):
    with running() as local:
        for asked in ASKED:
            ours, theirs = (client.post("/generate", json=asked) for client in (hardened.client, local))
            assert ours.status_code == theirs.status_code == 200
            assert ours.headers["x-model"] == theirs.headers["x-model"]
            assert ours.content == theirs.content, asked


def test_it_is_at_most_620_megabytes(image):
    """Of which the three models that ship have 175."""
    assert image.inspect()["Size"] < 620e6


def of_all_processes(container, file):
    """A file that /proc has of each process, but of those that end meanwhile, as the check of the container's health does."""
    code = f"""
import contextlib, json, pathlib
found = []
for path in pathlib.Path("/proc").glob("[0-9]*/{file}"):
    with contextlib.suppress(OSError):
        found.append(path.read_text())
print(json.dumps(found))
"""
    return json.loads(container.python(code))


def test_all_its_processes_are_of_one_user_without_any_rights(hardened):
    lines = set()
    for status in of_all_processes(hardened, "status"):
        fields = {name: value.split() for name, value in (line.split(":", 1) for line in status.splitlines())}
        lines.add(" ".join([*fields["Uid"], *fields["CapEff"], *fields["CapBnd"], *fields["NoNewPrivs"]]))
    assert lines == {f"1034 1034 1034 1034 {'0' * 16} {'0' * 16} 1"}


def test_it_has_one_worker(hardened):
    commands = of_all_processes(hardened, "cmdline")
    assert len([command for command in commands if "_bentoml_impl.worker.service" in command]) == 1


def test_there_is_neither_torch_nor_a_compiler_nor_what_builds_and_tests(image, hardened):
    modules = ["serving", "torch", "training", "pytest", "uv", "onnx", "cyclonedx", "matplotlib"]
    code = f"import importlib.util, sys; sys.path.append('src'); print([m for m in {modules} if importlib.util.find_spec(m)])"
    assert hardened.python(code) == "['serving']"
    programs = ["gcc", "cc", "g++", "make", "git", "uv", "curl"]
    assert hardened.python(f"import shutil; print([name for name in {programs} if shutil.which(name)])") == "[]"
    tests = hardened.run("find", "/app", "/home", "-name", "tests")
    assert (tests.returncode, tests.stdout) == (0, "")
    caches = ["find", image.name, "/", "-xdev", "-type", "f", "(", "-path", "*/.cache/*", "-o", "-path", "/tmp/*", ")"]
    assert image.engine_says("run", "--rm", "--user", "0", "--entrypoint", *caches) == ""


def test_nothing_but_its_tmp_can_be_written_and_nothing_in_it_is_its_users(hardened):
    for path in ("/x", "/app/x", "/home/bentoml/bento/src/x", "/var/x"):
        refused = hardened.run("touch", path)
        assert refused.returncode != 0
        assert re.search("Read-only file system|Permission denied", refused.stderr)
    options = hardened.python("print(next(line.split()[3] for line in open('/proc/mounts') if line.split()[1] == '/'))")
    assert "ro" in options.split(",")
    assert hardened.run("touch", "/tmp/x").returncode == 0
    assert ".ses" not in hardened.run("ls", "-A", "/tmp").stdout.split()  # which ONNX Runtime's reports to its maker would leave
    assert hardened.run("find", "/", "-xdev", "-user", "1034", "-not", "-path", "/proc/*").stdout == ""


def test_its_health_check_tells_ready_from_not_ready(image):
    with started(image, "--env", "GAN_DRAIN=8") as container:
        assert container.healthy()
        container.python("import os, signal; os.kill(1, signal.SIGTERM)")
        deadline = time.monotonic() + 5
        while container.client.get("/readyz").status_code == 200:
            assert time.monotonic() < deadline
        assert not container.healthy()


def test_threads_follow_the_limit_and_not_the_hosts_processors(image):
    count = "from gan.processors import usable_processors; print(usable_processors())"
    for cpus, threads in (("0.5", "1"), ("1", "1"), ("1.5", "1"), ("2", str(min(2, usable_processors())))):
        with started(image, cpus=cpus, wait=False) as container:
            assert container.run("sh", "-c", f"cd src && python -c '{count}'").stdout.strip() == threads


def test_it_keeps_to_its_memory_under_the_largest_requests(image):
    # 16.8 million pixels of three values, the most that GAN_MAX_PIXELS lets through: models/avatars draws 64x64
    asked = [("/generate", {"n": 256, "scale": 4, "format": name}) for name in ("png", "jpeg", "webp", "zip", "json", "webp")]
    asked += [("/interpolate", {"seeds": [1, 2], "frames": 240, "scale": 4, "format": name}) for name in ("webp", "gif", "webp")]
    ones = b'{"noise":[[1' + b",1" * (2**21 - 20) + b"]]}"  # 4 MiB, the most that GAN_MAX_BODY lets through
    large = {"content": ones, "headers": {"Content-Type": "application/json"}}
    # As many answers at once, 50 MB each, as GAN_QUEUE_BYTES lets through beside one that has just been sent
    with started(image) as container, ThreadPoolExecutor(4) as pool, ThreadPoolExecutor(4) as beside:
        bodies = [beside.submit(container.client.post, "/generate", **large) for _ in range(6)]
        answers = list(pool.map(lambda one: container.client.post(one[0], json=one[1]), asked))
        assert {answer.status_code for answer in answers} == {200}
        assert {body.result().status_code for body in bodies} <= {422, 429}  # not that many numbers, or not at once
        assert container.peak_memory() <= 0.8 * MEMORY  # the engine would see to it that it is no more than all of it
        assert container.state()["OOMKilled"] is False
        assert container.client.get("/readyz").status_code == 200
        print(f"at most {container.peak_memory():.0f} MiB")


def test_the_bill_of_materials_is_that_of_the_image(image, hardened):
    bill = json.loads(image.bill.read_text())
    found = {component["bom-ref"] for component in bill["components"]}
    # Debian's packages for its Python are among the others; those of another Python are its own.
    code = """
import sys, sysconfig
from importlib.metadata import distributions
base = sysconfig.get_path("purelib", "posix_prefix", {"base": sys.base_prefix, "platbase": sys.base_prefix})
folders = sys.path if sys.base_prefix == "/usr" else [*sys.path, base]
print(*{one.name + "@" + one.version for one in distributions(path=folders)})
"""
    python = {f"pkg:pypi/{one.lower().replace('_', '-')}" for one in hardened.python(code).split()}
    assert {ref for ref in found if ref.startswith("pkg:pypi/")} == python
    debian = hardened.run("dpkg-query", "--show", "--showformat", "x").stdout
    assert len([ref for ref in found if ref.startswith("pkg:deb/")]) == len(debian) > 50
    assert {ref.partition(":")[0] for ref in found} == {"pkg", "model"}
    licences = image.licences.read_text()
    assert "onnxruntime" in licences
    assert "libc6" in licences
