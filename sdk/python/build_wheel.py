"""Build backend (PEP 517) of this package: pure Python in, one reproducible wheel or source archive out."""

import base64
import hashlib
import io
import re
import tarfile
import zipfile
from pathlib import Path

HERE = Path(__file__).parent
PACKAGE = HERE / "src" / "countersign"
SOURCES = ["pyproject.toml", "build_wheel.py", "README.md"]


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    project = _project()
    info = f"countersign-{project['version']}.dist-info"
    files = {f"countersign/{path.name}": path.read_bytes() for path in _modules()}
    files[f"{info}/METADATA"] = _metadata(project)
    files[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: countersign\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    record = "".join(f"{name},sha256={_digest(content)},{len(content)}\n" for name, content in files.items())
    files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
    name = f"countersign-{project['version']}-py3-none-any.whl"
    with zipfile.ZipFile(Path(wheel_directory) / name, "w", zipfile.ZIP_DEFLATED) as wheel:
        for path, content in files.items():
            entry = zipfile.ZipInfo(path, (2020, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            wheel.writestr(entry, content)
    return name


def build_sdist(sdist_directory, config_settings=None):
    project = _project()
    folder = f"countersign-{project['version']}"
    files = {name: (HERE / name).read_bytes() for name in SOURCES}
    files.update({str(path.relative_to(HERE)): path.read_bytes() for path in _modules()})
    files["PKG-INFO"] = _metadata(project)
    with tarfile.open(Path(sdist_directory) / f"{folder}.tar.gz", "w:gz", format=tarfile.PAX_FORMAT) as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(f"{folder}/{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return f"{folder}.tar.gz"


def _modules():
    return sorted(path for path in PACKAGE.iterdir() if path.suffix == ".py" or path.name == "py.typed")


def _project():
    """The one-line texts of [project]: tomllib came with Python 3.11."""
    text = (HERE / "pyproject.toml").read_text("utf-8")
    return dict(re.findall(r'^([a-z-]+) = "([^"]*)"$', text, re.MULTILINE))


def _metadata(project):
    head = (
        f"Metadata-Version: 2.1\nName: countersign\nVersion: {project['version']}\n"
        f"Summary: {project['description']}\nLicense: Apache-2.0\n"
        f"Requires-Python: {project['requires-python']}\n{_extras()}Description-Content-Type: text/markdown\n\n"
    )
    return head.encode() + (HERE / "README.md").read_bytes()


def _extras():
    text = (HERE / "pyproject.toml").read_text("utf-8")
    needed = re.findall(r'^([a-z]+) = \["([^"]+)"\]$', text, re.MULTILINE)
    return "".join(
        f'Provides-Extra: {extra}\nRequires-Dist: {package}; extra == "{extra}"\n' for extra, package in needed
    )


def _digest(content):
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
