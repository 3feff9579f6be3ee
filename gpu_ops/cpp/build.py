"""Compiles the kernels into one library for PyTorch; run as a script by make, needs a C++20 compiler.

Never imports torch, so that finding nothing to do takes no time. The library's name holds a digest of the sources, the
flags and torch's version: a library that is there is right.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
KERNELS = ("rows", "products")
SOURCES = ("ops.cpp", *(f"{name}.{kind}" for name in KERNELS for kind in ("h", "cpp")))
BUILT = HERE / "build"
FLAGS = ("-std=c++20", "-O3", "-fPIC", "-fno-math-errno", "-fno-trapping-math", "-Wall", "-Wextra")
VARIANTS = {
    "portable": ("-DLANES=4",),
    "avx2": ("-DLANES=8", "-mavx2", "-mfma"),
    "avx512": ("-DLANES=16", "-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", "-mfma"),
}


class BuildFailed(Exception):
    """Why there is no library, in one sentence."""


def library() -> Path:
    """Where the library of these sources is, or would be."""
    digest = hashlib.sha256()
    for name in SOURCES:
        digest.update((HERE / name).read_bytes())
    digest.update(repr((FLAGS, VARIANTS, torch_version(), platform.machine())).encode())
    return BUILT / f"plumbline_cpp-{digest.hexdigest()[:16]}.so"


def torch_version() -> str:
    return importlib.metadata.version("torch")


def build() -> Path:
    """The library, compiled if it is not there yet.

    Raises:
        BuildFailed: no compiler, or one that cannot compile the sources.
    """
    target = library()
    if target.exists():
        return target
    compiler = find_compiler()
    BUILT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=BUILT) as folder:
        made = compile_and_link(compiler, Path(folder))
        for old in BUILT.glob("plumbline_cpp-*.so"):
            old.unlink()
        made.replace(target)
    return target


def find_compiler() -> str:
    wanted = os.environ.get("CXX")
    for name in [wanted] if wanted else ["g++", "clang++", "c++"]:
        if found := shutil.which(name):
            return found
    raise BuildFailed(f"no C++ compiler ({wanted} in CXX)" if wanted else "no C++ compiler (g++, clang++ or c++)")


def compile_and_link(compiler: str, folder: Path) -> Path:
    torch = torch_folder()
    commands, objects = [], []
    for name, flags in VARIANTS.items():
        if name != "portable" and platform.machine() not in {"x86_64", "AMD64"}:
            continue
        for kernels in KERNELS:
            objects.append(str(folder / f"{kernels}-{name}.o"))
            source = str(HERE / f"{kernels}.cpp")
            commands.append([compiler, *FLAGS, f"-DVARIANT={name}", *flags, "-c", source, "-o", objects[-1]])
    objects.append(str(folder / "ops.o"))
    include = ["-isystem", str(torch / "include")]
    commands.append([compiler, *FLAGS, "-fopenmp", *include, "-c", str(HERE / "ops.cpp"), "-o", objects[-1]])
    run_all(commands)
    made = folder / "plumbline_cpp.so"
    libraries = torch / "lib"
    link = [f"-L{libraries}", f"-Wl,-rpath,{libraries}", "-ltorch_cpu", "-lc10", *openmp(libraries)]
    run_all([[compiler, "-shared", *objects, "-o", str(made), *link]])
    return made


def torch_folder() -> Path:
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        raise BuildFailed("torch is not installed")
    return Path(spec.origin).parent


def openmp(libraries: Path) -> list[str]:
    """PyTorch's own OpenMP runtime where the wheel renames it: two runtimes would fight over the cores."""
    renamed = sorted(libraries.glob("libgomp-*.so*"))
    return [str(renamed[0])] if renamed else ["-fopenmp"]


def run_all(commands: list[list[str]]) -> None:
    """Run commands side by side."""
    running = [subprocess.Popen(c, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for c in commands]
    said = [(process.communicate()[1].decode(errors="replace"), process.returncode) for process in running]
    for words, code in said:
        if code:
            raise BuildFailed(f"{Path(commands[0][0]).name} failed: {first_error(words)}")


def first_error(words: str) -> str:
    lines = [line for line in words.splitlines() if "error" in line.lower()] or words.splitlines()
    return lines[0].strip() if lines else "it said nothing"


def main() -> None:
    """Build, and say in one line what came of it; never a reason to stop an installation."""
    if library().exists():
        return
    try:
        build()
    except (BuildFailed, OSError) as error:
        print(f"The C++ kernels were not built: {error}. The slower path in PyTorch takes their place.")
    else:
        print("Built the C++ kernels.")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
