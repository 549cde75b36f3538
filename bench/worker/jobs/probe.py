"""The facts of a build."""

import platform
import sys


def run(job, directory, answers):
    """The facts of this build: its interpreter and the versions of the requested distributions."""
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "executable": sys.executable,
        "packages": installed_versions(job["distributions"]),
    }


def installed_versions(distributions):
    """{name: version or None} of packages in this interpreter, without importing them."""
    try:
        from importlib import metadata  # novm
    except ImportError:     # before Python 3.8
        import pkg_resources as metadata
    versions = {}
    for name in distributions:
        try:
            is_new = hasattr(metadata, "version")
            versions[name] = metadata.version(name) if is_new else metadata.get_distribution(name).version
        except Exception:
            versions[name] = None
    return versions
