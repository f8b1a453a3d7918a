"""How xpnn is checked: `nox` alone runs what a change must pass; `nox --list` shows the rest.

Options of pytest go after `--`: `nox -s tests -- -k optimizers`.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import nox

ROOT = Path(__file__).parent
PYPROJECT = nox.project.load_toml(ROOT / "pyproject.toml")
DEPENDENCIES: list[str] = PYPROJECT["project"]["dependencies"]
PEERS = ("pytorch", "jax", "scikit-learn", "onnxruntime")  # of the benchmarks, each with a dependency group

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "uv|venv"  # uv where it is installed


def gpu_is_here() -> bool:
    """Whether an NVIDIA driver has a card: only then are the CUDA tests one of the default sessions."""
    return Path("/dev/nvidia0").exists() or bool(nvidia_smi("--list-gpus"))


def nvidia_smi(*options: str) -> str:
    """What nvidia-smi prints; nothing where it is missing or fails."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return ""
    done = subprocess.run([program, *options], capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else ""


def cupy_for_the_driver() -> str:
    """The CuPy for the driver's CUDA, with CUDA's libraries from PyPI."""
    version = re.search(r"CUDA Version: (\d+)", nvidia_smi())
    extra = "cuda13x" if version and int(version[1]) >= 13 else "cuda12x"
    (cupy,) = PYPROJECT["project"]["optional-dependencies"][extra]
    return str(cupy).replace(">=", "[ctk]>=")


def install(session: nox.Session, *more: str, group: str = "test") -> None:
    """Install what tests need, `more`, and the wheel that is built from the tree: never the tree itself.

    group: "tools" where nothing compares with other programs, which are most of a gigabyte.
    """
    session.install(*nox.project.dependency_groups(PYPROJECT, group), *DEPENDENCIES, *more)
    with tempfile.TemporaryDirectory() as folder:
        session.run("python", "-m", "build", "--wheel", "--no-isolation", f"--outdir={folder}", silent=True)
        session.install("--no-deps", *map(str, Path(folder).glob("*.whl")))


def run_pytest(session: nox.Session, devices: str, *arguments: str, at_once: bool = False) -> None:
    """Run pytest in tests/, where the tree's own xpnn can't be found: what is tested is what is installed.

    at_once: in a process for each core, up to four. A file's tests stay in one, for they share what a fixture has
             learnt; and BLAS has one thread in each, for its threads spin while they wait for a core.
    """
    environment = {"XPNN_TEST_DEVICES": devices}
    if at_once:
        arguments += ("--numprocesses=auto", "--maxprocesses=4", "--dist=loadfile")
        environment["OPENBLAS_NUM_THREADS"] = "1"
    if "XPNN_DATA_DIR" in os.environ:  # absolute, since the tests run in another folder
        environment["XPNN_DATA_DIR"] = str(Path(os.environ["XPNN_DATA_DIR"]).absolute())
    session.chdir(ROOT / "tests")
    session.run("pytest", *arguments, *session.posargs, env=environment)


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests on the CPU and on the fake device, with this Python."""
    install(session)
    run_pytest(session, "cpu,fake", at_once=True)


@nox.session(default=False, python=nox.project.python_versions(PYPROJECT))
def matrix(session: nox.Session) -> None:
    """Run the tests with every Python that the classifiers name; a missing one is skipped (an error with CI set)."""
    install(session)
    run_pytest(session, "cpu,fake", at_once=True)


@nox.session(default=False)
def floors(session: nox.Session) -> None:
    """Run the tests with the oldest dependencies that pyproject.toml allows; with Python 3.11 or 3.12."""
    install(session, *(dependency.replace(">=", "==") for dependency in DEPENDENCIES))
    run_pytest(session, "cpu,fake", at_once=True)


@nox.session(default=sys.platform == "linux" and sys.version_info < (3, 14))  # where Atheris is
def fuzz(session: nox.Session) -> None:
    """Fuzz every reader for some seconds, guided by coverage; `nox -s fuzz -- npz -runs=1000000`: one for long."""
    install(session, *nox.project.dependency_groups(PYPROJECT, "fuzz"), group="tools")
    session.chdir(ROOT / "tests")
    readers = [argument for argument in session.posargs if not argument.startswith("-")]
    options = [argument for argument in session.posargs if argument.startswith("-")] or ["-runs=1000", "-verbosity=0"]
    session.run("python", "-m", "fuzz", *readers, *options)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, types, and who imports whom."""
    session.install(*nox.project.dependency_groups(PYPROJECT, "lint"), *DEPENDENCIES)
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("mypy")
    session.run("lint-imports", "--no-logo", "--no-cache", env={"PYTHONPATH": str(ROOT / "cli")})


@nox.session(default=False)
def cupy_names(session: nox.Session) -> None:
    """Compare with the real CuPy and compile the kernels with NVIDIA's compiler: neither needs a GPU or a driver."""
    nvrtc = nox.project.dependency_groups(PYPROJECT, "nvrtc")
    install(session, *PYPROJECT["project"]["optional-dependencies"]["cuda12x"], *nvrtc, group="tools")
    run_pytest(session, "cpu,fake", "test_cupy_names.py", "test_backend.py", "fast/test_kernels_compile.py")


@nox.session(default=False)
def jit(session: nox.Session) -> None:
    """Compare the loops that Numba compiles with NumPy's."""
    install(session, *PYPROJECT["project"]["optional-dependencies"]["jit"], group="tools")
    tests = ["fast/test_compiled.py", "fast/test_deferred.py", "test_resume.py::test_the_compiled_steps"]
    run_pytest(session, "cpu,fake", *tests, at_once=True)


@nox.session(default=False)
def interchange(session: nox.Session) -> None:
    """Exchange weights with PyTorch and Keras and arrays with PyTorch and JAX, and run the page about it."""
    install(session, *nox.project.dependency_groups(PYPROJECT, "interchange", "bench-jax"))
    tests = [f"test_interchange{peer}.py" for peer in ("", "_pytorch", "_keras")]
    run_pytest(session, "cpu,fake", *tests, "test_tensors.py", "test_arrays.py")


@nox.session
def sklearn(session: nox.Session) -> None:
    """Run scikit-learn's checks of estimators, and its own tests of its MLP on ours, with one scikit-learn."""
    install(session, *nox.project.dependency_groups(PYPROJECT, "bench-scikit-learn"))
    session.run("python", "benchmarks/scikit_learn_tests.py")


@nox.session(default=gpu_is_here())
def tests_cuda(session: nox.Session) -> None:
    """Run the tests on the GPU, with the CuPy for its driver and CUDA's libraries from PyPI."""
    install(session, cupy_for_the_driver())
    run_pytest(session, "cuda")


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Time the CPU beside other frameworks, for most of an hour; `nox -s bench -- --quick` for two minutes.

    `nox -s bench -- --framework xpnn --framework jax` installs what these need alone.
    """
    named = [name for option, name in itertools.pairwise(session.posargs) if option == "--framework"]
    groups = [f"bench-{name}" for name in named or PEERS if name in PEERS]
    compiled = PYPROJECT["project"]["optional-dependencies"]["jit"]
    install(session, *nox.project.dependency_groups(PYPROJECT, *groups), *compiled)
    session.run("python", "benchmarks/cpu.py", *session.posargs)


@nox.session(default=False)
def bench_reading(session: nox.Session) -> None:
    """Time the reading of MNIST's CSV file beside NumPy, pandas and polars, in five minutes; needs MNIST."""
    install(session, *nox.project.dependency_groups(PYPROJECT, "bench-reading"))
    session.run("python", "benchmarks/reading.py", *session.posargs)


@nox.session(default=False)
def bench_gpu(session: nox.Session) -> None:
    """Time the GPU beside PyTorch and JAX, in eight minutes after the installation; `-- --quick` for a few cases."""
    cupy = cupy_for_the_driver()
    cuda = "cuda13" if "cuda13x" in cupy else "cuda12"
    (jax, _) = nox.project.dependency_groups(PYPROJECT, "bench-jax")
    pytorch = nox.project.dependency_groups(PYPROJECT, "bench-pytorch")  # PyPI's for Linux is the one for CUDA
    install(session, cupy, *pytorch, jax.replace("==", f"[{cuda}]=="))
    session.run("python", "benchmarks/gpu.py", *session.posargs)
