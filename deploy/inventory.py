"""Run within an image, by the standard library alone: writes what is installed there, with its licences, as JSON.

[{"kind": "pypi" | "deb" | "generic", "name", "version", "licence", "texts": [text, …]}, …]; of deb "architecture" and "distro" too.
"""

import json
import platform
import re
import subprocess
import sys
import sysconfig
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


def of_python(path: list[str] = sys.path) -> list[dict[str, Any]]:
    """The packages of this environment, or of other folders."""
    found = {
        (one.name, one.version): {"name": one.name, "version": one.version, "licence": licence(one), "texts": texts(one)}
        for one in distributions(path=path)
    }
    return [{"kind": "pypi", **one} for one in found.values()]


def of_interpreter() -> list[dict[str, Any]]:
    """Python itself and the packages that come with it, where they are not Debian's: as in Docker Hub's images of Python."""
    if sys.base_prefix == "/usr":
        return []
    text = Path(sysconfig.get_path("stdlib"), "LICENSE.txt")
    python = {
        "kind": "generic",
        "name": "cpython",
        "version": platform.python_version(),
        "licence": "Python-2.0",
        "texts": [text.read_text()] if text.is_file() else [],
    }
    base = {"base": sys.base_prefix, "platbase": sys.base_prefix}
    return [python, *of_python([sysconfig.get_path("purelib", "posix_prefix", base)])]


def of_debian() -> list[dict[str, Any]]:
    """The packages of the system, where it is one of Debian's kind."""
    found = []
    system = platform.freedesktop_os_release()
    fields = "${Package}\t${Version}\t${Architecture}\n"
    for line in subprocess.check_output(["dpkg-query", "--show", f"--showformat={fields}"], text=True).splitlines():
        name, version, architecture = line.split("\t")
        path = Path("/usr/share/doc", name, "copyright")
        text = path.read_text(errors="replace") if path.is_file() else ""
        # The licences that other packages only refer to
        common = Path("/usr/share/common-licenses").iterdir() if name == "base-files" else []
        named = sorted(set(re.findall(r"^License: *(\S.*)$", text, re.MULTILINE)))
        found.append(
            {
                "kind": "deb",
                "name": name,
                "version": version,
                "architecture": architecture,
                "distro": f"{system['ID']}-{system.get('VERSION_ID', '')}",
                "licence": " AND ".join(f"({one})" if " " in one else one for one in named) or None,
                "texts": [text] * bool(text)
                + [file.read_text(errors="replace") for file in sorted(common) if not file.is_symlink()],
            }
        )
    return found


if __name__ == "__main__":
    json.dump(of_python() + of_interpreter() + of_debian(), sys.stdout)
