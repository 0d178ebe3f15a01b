"""Run within an image, by the standard library alone: writes what is installed there, with its licences, as JSON.

[{"kind": "pypi" | "deb", "name", "version", "architecture", "licence", "texts": [text, …]}, …]
"""

import json
import re
import subprocess
import sys
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any


def licence(distribution: Distribution) -> str | None:
    """The licence that a Python package names: by the field that is made for it, by the older one, or by its classifiers."""
    metadata = distribution.metadata
    named = metadata["License-Expression"] or metadata["License"] or ""
    classifiers = [one.rpartition(" :: ")[2] for one in metadata.get_all("Classifier") or [] if one.startswith("License ::")]
    # The older field may hold the whole text.
    return named if named and "\n" not in named else " AND ".join(classifiers) or None


def texts(distribution: Distribution) -> list[str]:
    """The licence texts that came with a Python package."""
    files = [file for file in distribution.files or [] if re.search("licen[cs]e|copying|notice", file.name, re.IGNORECASE)]
    paths = [Path(str(file.locate())) for file in files if file.suffix not in (".py", ".pyc")]
    return [path.read_text(errors="replace") for path in paths if path.is_file()]


def of_python() -> list[dict[str, Any]]:
    """The packages of this environment."""
    found = {
        (one.name, one.version): {"name": one.name, "version": one.version, "licence": licence(one), "texts": texts(one)}
        for one in distributions()
    }
    return [{"kind": "pypi", **one} for one in found.values()]


def of_debian() -> list[dict[str, Any]]:
    """The packages of the system, where it is one of Debian's kind."""
    found = []
    fields = "${Package}\t${Version}\t${Architecture}\n"
    for line in subprocess.check_output(["dpkg-query", "--show", f"--showformat={fields}"], text=True).splitlines():
        name, version, architecture = line.split("\t")
        path = Path("/usr/share/doc", name, "copyright")
        text = path.read_text(errors="replace") if path.is_file() else ""
        named = sorted(set(re.findall(r"^License: *(\S.*)$", text, re.MULTILINE)))
        found.append(
            {
                "kind": "deb",
                "name": name,
                "version": version,
                "architecture": architecture,
                "licence": " AND ".join(f"({one})" if " " in one else one for one in named) or None,
                "texts": [text] if text else [],
            }
        )
    return found


if __name__ == "__main__":
    json.dump(of_python() + of_debian(), sys.stdout)
