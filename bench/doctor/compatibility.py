"""Compatibility of drivers and CUDA, of frameworks and Python, NumPy and compilers: tables with sources, and checks.

The requirements of a package are read from its own metadata (Requires-Python, Requires-Dist), see ``clashes``. The
tables contain only what metadata does not state, or states wrongly.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distributions

from packaging.markers import UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

DRIVERS = {"13": "580", "12": "525.60.13", "11": "450.80.02", "10.2": "440.33", "10.1": "418.39", "10.0": "410.48"}
"""The oldest driver on Linux for programs built with a CUDA toolkit; every newer driver works too.

From CUDA 11 any driver of the major release's family serves all its minor releases: docs.nvidia.com/deploy/
cuda-compatibility/minor-version-compatibility.html, tables 1 and 2; the patch of 525 from docs.jax.dev, installation.
"""


@dataclass(frozen=True, kw_only=True)
class Need:
    """What releases of one package need beyond what their metadata states."""

    package: str
    releases: str = ""           # a version specifier; empty: all releases
    needs: str                   # a requirement, "numpy<2"; "python==3.6.*"; or "a C++ compiler"
    because: str
    source: str


NEEDS = (
    Need(
        package="torch", releases="<2.3", needs="numpy<2", because="its binaries were compiled for NumPy 1",
        source="github.com/pytorch/pytorch/issues/132179",
    ),
    Need(
        package="mxnet", needs="numpy<1.24", because="it uses np.bool, which NumPy 1.24 removed",
        source="docs.astral.sh/ruff/rules/numpy-deprecated-type-alias; mxnet 1.9.1, run with NumPy 1.23.5 and 1.26.4",
    ),
    Need(
        package="theano", needs="numpy<1.24", because="it reads numpy.distutils and np.bool",
        source="theano 1.0.5, run with NumPy 1.21.6 and 1.23.5",
    ),
    Need(
        package="kendryte-caffe", needs="numpy<2", because="its binary was compiled for NumPy 1",
        source="kendryte-caffe 1.0.0.20210829, run with NumPy 1.23.5 and 2.0.2",
    ),
    Need(
        package="kendryte-caffe", needs="python>=3.6,<3.10", because="it has no wheels for others",
        source="wheels cp36 to cp39 of kendryte-caffe 1.0.0.20210829",
    ),
    Need(
        package="cntk", needs="python==3.6.*", because="it has no wheels for others",
        source="cntk 2.7.post2, run on 3.6",
    ),
    Need(
        package="torch", releases=">=2", needs="a C++ compiler",
        because="compile mode 'compiled' compiles a program for the CPU (TorchInductor)",
        source="docs.pytorch.org/tutorials/unstable/inductor_windows.html; torch/_inductor/exc.py, InvalidCxxCompiler",
    ),
    Need(
        package="triton", needs="a C compiler", because="it compiles the launchers of its GPU kernels",
        source="github.com/apple/ml-cross-entropy/issues/5; triton/runtime/build.py",
    ),
    Need(
        package="theano", needs="a C++ compiler", because="it compiles every function", source="theano 1.0.5, run",
    ),
)

COMPILERS = {"a C compiler": ("CC", ("gcc", "cc", "clang")), "a C++ compiler": ("CXX", ("g++",))}
"""The variable that names a compiler, and the programs to look for without it (as TorchInductor and Triton do)."""

PYTHONS = {
    "torch": ("2.13.0", ">=3.10"), "tensorflow": ("2.21.0", ">=3.10"), "jax": ("0.10.2", ">=3.11"),
    "onnxruntime": ("1.32.0", ">=3.11"), "openvino": ("2026.4.1", ">=3.10"),
}
"""A release of each framework, and the Python that it needs according to its metadata."""


@dataclass(frozen=True, kw_only=True)
class Installed:
    """The packages that an interpreter finds, by their canonical names."""

    python: str
    versions: Mapping[str, str]
    packages: Mapping[str, Distribution]


def installed(interpreter: str, environment: Mapping[str, str] | None = None) -> Installed | None:
    """The packages installed in an interpreter, none of which is imported; None if the interpreter does not start."""
    ask = "import json, platform, sys; print(json.dumps([platform.python_version(), [p for p in sys.path if p]]))"
    try:
        answer = subprocess.run(
            [interpreter, "-c", ask], env=None if environment is None else dict(environment), capture_output=True,
            text=True, timeout=60, check=True,
        )
        python, path = json.loads(answer.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    packages: dict[str, Distribution] = {}
    for distribution in distributions(path=path):
        try:
            name = distribution.metadata["Name"]
        except (TypeError, PackageNotFoundError):        # uninstalled, but a folder without metadata is left
            continue
        if name:
            packages.setdefault(canonicalize_name(name), distribution)      # Python imports the first one on its path
    versions = {name: distribution.version for name, distribution in packages.items()}
    return Installed(python=python, versions=versions, packages=packages)


def clashes(of: Installed, roots: tuple[str, ...]) -> Iterator[tuple[str | None, str]]:
    """(what to install, a sentence) for each unmet requirement of these packages and of all that they require.

    What to install is None if another Python is needed.
    """
    todo, seen = [canonicalize_name(root) for root in roots], set[str]()
    environment = {"python_version": ".".join(of.python.split(".")[:2]), "python_full_version": of.python, "extra": ""}
    while todo:
        name = todo.pop()
        if name in seen or name not in of.packages:
            continue
        seen.add(name)
        package = of.packages[name]
        needed = package.metadata["Requires-Python"]
        if needed and not meets(of.python, needed):
            yield None, f"{name} {package.version} needs Python {needed}, but this is {of.python}"
        for text in package.requires or ():
            try:
                requirement = Requirement(text)
                if requirement.marker and not requirement.marker.evaluate(environment):
                    continue
            except (InvalidRequirement, UndefinedEnvironmentName):
                continue                         # of an old package that does not follow the standard
            other = canonicalize_name(requirement.name)
            wanted = f"{requirement.name}{requirement.specifier}"
            version = of.versions.get(other)
            if version is None:
                yield wanted, f"{name} {package.version} needs {wanted}, which is not installed"
            elif not meets(version, str(requirement.specifier)):
                yield wanted, f"{name} {package.version} needs {wanted}, but {version} is installed"
            todo.append(other)


def unmet(of: Installed, has_compiler: Mapping[str, bool]) -> Iterator[tuple[Need, str]]:
    """Each need of the table that an interpreter does not meet, with a sentence about it."""
    for need in NEEDS:
        version = of.versions.get(need.package)
        if version is None or not meets(version, need.releases):
            continue
        if need.needs in has_compiler:
            is_met, has = has_compiler[need.needs], "none is found"
        else:
            requirement = Requirement(need.needs)
            present = of.python if requirement.name == "python" else of.versions.get(requirement.name)
            is_met, has = present is None or meets(present, str(requirement.specifier)), f"{present} is installed"
        if not is_met:
            yield need, f"{need.package} {version} needs {need.needs}, but {has}: {need.because}"


def meets(version: str, specifier: str) -> bool:
    """Whether a version meets a specifier; True if either of them cannot be parsed."""
    try:
        return SpecifierSet(specifier).contains(Version(version), prereleases=True)
    except (InvalidSpecifier, InvalidVersion):
        return True


# CUDA -------------------------------------------------------------------------------------------------------------


def cuda(versions: Mapping[str, str]) -> str | None:
    """The release of CUDA that the frameworks of a build use, "12.8" or "12"; None if none or not stated."""
    torch = Version(versions["torch"]) if _is_version(versions.get("torch")) else None
    local = (torch.local or "") if torch else ""
    if local.startswith("cu") and local[2:].isdigit():
        return f"{local[2:-1]}.{local[-1]}"
    for name, version in sorted(versions.items()):
        if name.startswith("nvidia-cuda-runtime"):
            return ".".join(version.split(".")[:2])
        if name.startswith("jax-cuda") and name.endswith("-plugin"):
            return name.removeprefix("jax-cuda").removesuffix("-plugin")
    return None


def cudnn(versions: Mapping[str, str]) -> str | None:
    """The version of the cuDNN package in a build; None if there is none."""
    return next((version for name, version in sorted(versions.items()) if name.startswith("nvidia-cudnn")), None)


def driver_needed(cuda_release: str) -> str | None:
    """The oldest driver for programs of a CUDA release; None if the table does not have it."""
    return DRIVERS.get(cuda_release) or DRIVERS.get(cuda_release.partition(".")[0])


def is_too_old(driver: str, cuda_release: str) -> bool:
    """Whether a driver is too old for a CUDA release; False if that is not known."""
    needed = driver_needed(cuda_release)
    return needed is not None and _is_version(driver) and Version(driver) < Version(needed)


def _is_version(text: str | None) -> bool:
    try:
        return text is not None and bool(Version(text))
    except InvalidVersion:
        return False
