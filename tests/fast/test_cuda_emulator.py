"""The CUDA emulator computes what a GPU would, and finds what a GPU would leave undefined: other tests rely on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from cuda_emulator import Function, KernelError, Module, find_compiler, guarded

pytestmark = pytest.mark.skipif(not find_compiler(), reason="no C++ compiler: neither $CXX, g++ nor clang++ (Linux)")

ORDERS: list[str | int] = ["forward", "backward", 1, 2]
OPTIONS = ("-DREAL=float", "--std=c++17")
KERNELS = r"""
#define KERNEL extern "C" __global__ void
#define LANES 32
constexpr int THREADS = 32;

template <int LENGTH> __device__ __forceinline__ REAL sum_of_block(REAL value) {
    __shared__ REAL parts[LENGTH];
#pragma unroll
    for (int bits = LANES / 2; bits > 0; bits /= 2) value += __shfl_xor_sync(0xffffffffu, value, bits);
    if (threadIdx.x % LANES == 0) parts[threadIdx.x / LANES] = value;
    __syncthreads();
    REAL sum = 0;
    for (int i = 0; i < blockDim.x / LANES; ++i) sum += parts[i];
    return sum;
}

KERNEL sums(const REAL *__restrict__ x, REAL *__restrict__ sums, int n) {  // of each block, two ways
    const long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    const REAL value = i < n ? x[i] : 0;
    const REAL sum = sum_of_block<8>(value);
    if (threadIdx.x == 0) sums[blockIdx.x] = sum;
    atomicAdd(sums + gridDim.x, value);
}

KERNEL places(int *out) {
    const int block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
    const int thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
    out[block * blockDim.x * blockDim.y * blockDim.z + thread] = block * 1000 + thread;
}

extern "C" __global__ void __launch_bounds__(2 * THREADS, 4) bounded(int *out) { out[threadIdx.x] = 1; }

KERNEL transposed(const REAL *x, REAL *out, int n) {  // n x n, n a multiple of 16; out of place
    __shared__ REAL tile[16][17];
    tile[threadIdx.y][threadIdx.x] = x[(blockIdx.y * 16 + threadIdx.y) * n + blockIdx.x * 16 + threadIdx.x];
    __syncthreads();
    out[(blockIdx.x * 16 + threadIdx.y) * n + blockIdx.y * 16 + threadIdx.x] = tile[threadIdx.x][threadIdx.y];
}

KERNEL rotated(REAL *x, int barrier) {  // each thread gets its neighbour's, through dynamic shared memory
    extern __shared__ REAL memory[];
    memory[threadIdx.x] = x[threadIdx.x];
    if (barrier) __syncthreads();
    x[threadIdx.x] = memory[(threadIdx.x + 1) % blockDim.x];
}

KERNEL shuffled(int *out) {  // a row for each shuffle
    const int lane = threadIdx.x;
    const unsigned all = 0xffffffffu;
    out[lane] = __shfl_sync(all, lane, 5);
    out[32 + lane] = __shfl_up_sync(all, lane, 3);
    out[64 + lane] = __shfl_down_sync(all, lane, 3);
    out[96 + lane] = __shfl_xor_sync(all, lane, 1);
    out[128 + lane] = __shfl_sync(all, lane, 1, 8);
    out[160 + lane] = __shfl_down_sync(all, lane, 3, 8);
    out[192 + lane] = __popc(__ballot_sync(all, lane < 7));
    if (lane < 8) out[224 + lane] = __shfl_xor_sync(0xffu, lane, 7);
    else out[224 + lane] = __shfl_xor_sync(0xffffff00u, lane, 1);
}

KERNEL foreign(int *out) {  // reads a lane that does not take part
    if (threadIdx.x < 16) out[threadIdx.x] = __shfl_xor_sync(0xffffu, 7, 16);
}

KERNEL never_written(REAL *out, REAL *more) {
    __shared__ REAL fixed[4];
    extern __shared__ REAL memory[];
    if (threadIdx.x < 2) fixed[threadIdx.x] = memory[threadIdx.x] = 1;
    __syncthreads();
    out[blockIdx.x * 4 + threadIdx.x] = fixed[threadIdx.x];
    more[blockIdx.x * 4 + threadIdx.x] = memory[threadIdx.x];
}

KERNEL divergent(int how, int n) {
    const int i = threadIdx.x;
    if (how == 0 && i >= n) return;
    if (how == 1 && i >= n) __syncthreads();
    else __syncthreads();
    if (how == 2 && i >= n) return;
    if (how == 3 && i >= n) __syncthreads();
    else __syncwarp();
    if (how == 4 && i >= n) __syncwarp(1u);
}

KERNEL racing(int *out) { out[0] = blockIdx.x * blockDim.x + threadIdx.x; }

KERNEL types(bool a, int b, unsigned int c, long long d, unsigned e, float f, double g, REAL h, double *out) {
    out[0] = a + b + c + d + e + f + g + h;
}

KERNEL pointers(const unsigned char *bytes, REAL const *x, double *y, const uchar4 *quads, void *any) {
    y[0] = bytes[1] + x[1] + quads[1].w + (any ? 1 : 0);
}

KERNEL beyond(REAL *x, int n) {
    __shared__ REAL four[4];
    four[n + threadIdx.x] = 0;
    x[n] = four[n + threadIdx.x];
}

KERNEL large(REAL *x) {
    __shared__ REAL half[6 * 1024];
    half[threadIdx.x] = 1;
    x[0] = half[threadIdx.x];
}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kernels")


@pytest.fixture(params=ORDERS)
def kernel(request: pytest.FixtureRequest, folder: Path) -> Callable[[str], Function]:
    return Module(KERNELS, OPTIONS, folder, order=request.param).get_function


@pytest.fixture
def forward(folder: Path) -> Callable[[str], Function]:
    return Module(KERNELS, OPTIONS, folder).get_function


@pytest.mark.parametrize("real", ["float", "double"])
@pytest.mark.parametrize("order", ORDERS)
def test_sums_of_blocks(folder: Path, real: str, order: str | int) -> None:
    dtype = {"float": "float32", "double": "float64"}[real]
    x = np.arange(1000, dtype=dtype)
    sums = np.zeros(5, dtype)
    Module(KERNELS, [f"-DREAL={real}"], folder, order).get_function("sums")((4,), (256,), (x, sums, np.int32(1000)))

    assert sums.tolist() == [*(x[start : start + 256].sum() for start in range(0, 1000, 256)), x.sum()]


def test_indices_of_three_dimensions(kernel: Any) -> None:
    out = np.full(24 * 60, -1, "int32")
    kernel("places")((2, 3, 4), (3, 4, 5), (out,))

    assert out.tolist() == [block * 1000 + thread for block in range(24) for thread in range(60)]


def test_static_shared_memory(kernel: Any) -> None:
    x = np.arange(48 * 48, dtype="float32").reshape(48, 48)
    out = np.zeros_like(x)
    kernel("transposed")((3, 3), (16, 16), (x, out, np.int32(48)))

    np.testing.assert_array_equal(out, x.T)


def test_dynamic_shared_memory(kernel: Any) -> None:
    x = np.arange(100, dtype="float32")
    kernel("rotated")((1,), (100,), (x, np.int32(1)), shared_mem=400)

    assert x.tolist() == [*range(1, 100), 0]


def test_missing_barrier_shows_in_some_order(folder: Path) -> None:
    results = []
    for order in ORDERS:
        x = np.arange(64, dtype="float32")
        Module(KERNELS, OPTIONS, folder, order).get_function("rotated")((1,), (64,), (x, np.int32(0)), 256)
        results.append(x)

    assert all(np.isnan(x).any() for x in results)


def test_race_between_blocks_shows_in_another_order(folder: Path) -> None:
    last = []
    for order in ORDERS:
        out = np.zeros(1, "int32")
        Module(KERNELS, OPTIONS, folder, order).get_function("racing")((10,), (64,), (out,))
        last.append(out[0])

    assert last[:2] == [639, 0]
    assert len(set(last)) == 4


def test_order_may_change_for_all_modules(forward: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    out = np.ones(1, "int32")
    monkeypatch.setattr(Module, "order", "backward")
    forward("racing")((10,), (64,), (out,))

    assert out[0] == 0


def test_shuffles(kernel: Any) -> None:
    out = np.zeros((8, 32), "int32")
    kernel("shuffled")((1,), (32,), (out,))
    lane = np.arange(32)

    assert out.tolist() == [
        [5] * 32,
        np.where(lane < 3, lane, lane - 3).tolist(),
        np.where(lane >= 29, lane, lane + 3).tolist(),
        (lane ^ 1).tolist(),
        (lane // 8 * 8 + 1).tolist(),
        np.where(lane % 8 >= 5, lane, lane + 3).tolist(),
        [7] * 32,
        np.where(lane < 8, 7 - lane, lane ^ 1).tolist(),
    ]


def test_shuffle_from_a_lane_that_takes_no_part_gives_poison(kernel: Any) -> None:
    out = np.zeros(16, "int32")
    kernel("foreign")((1,), (32,), (out,))

    assert out.tolist() == [-1] * 16


def test_shared_memory_is_poison_in_every_block(kernel: Any) -> None:
    out, more = np.zeros((2, 5, 4), "float32")
    kernel("never_written")((5,), (4,), (out, more), shared_mem=16)

    np.testing.assert_array_equal(out, [[1, 1, np.nan, np.nan]] * 5)
    np.testing.assert_array_equal(more, out)


@pytest.mark.parametrize(
    ("how", "n", "problem"),
    [
        (0, 32, "32 of 64 threads wait at __syncthreads in line LINE, 32 have returned"),
        (1, 32, r"32 of 64 threads wait at __syncthreads in line \d+, 32 wait elsewhere"),
        (2, 40, "8 of 64 threads wait at __syncwarp in line LINE, 56 have returned"),
        (3, 40, "8 of 64 threads wait at __syncwarp in line LINE, 32 have returned, 24 wait elsewhere"),
        (4, 40, "whose mask doesn't name it"),
    ],
)
def test_divergent_barrier_is_an_error(kernel: Any, how: int, n: int, problem: str) -> None:
    with pytest.raises(KernelError, match=f"kernel divergent: .*{problem.replace('LINE', '[0-9]+')}"):
        kernel("divergent")((1,), (64,), (np.int32(how), np.int32(n)))
    kernel("divergent")((1,), (64,), (np.int32(5), np.int32(n)))  # the next launch is a fresh one


ONES = (np.bool_(1), np.int32(1), np.uint32(1), np.int64(1), np.uint32(1), np.float32(1), np.float64(1), np.float32(1))


def test_scalars_of_the_declared_types(kernel: Any) -> None:
    out = np.zeros(1)
    kernel("types")((1,), (1,), (*ONES, out))

    assert out[0] == 8


@pytest.mark.parametrize("place", range(len(ONES)))
@pytest.mark.parametrize("wrong", [1, 1.0, True, None, np.int8(1), np.zeros(1, "float32")], ids=repr)
def test_scalar_of_another_type_is_refused(forward: Any, place: int, wrong: object) -> None:
    args: list[Any] = [*ONES, np.zeros(1)]
    args[place] = wrong
    with pytest.raises(TypeError, match=f"kernel types, parameter {'abcdefgh'[place]}: a .* scalar is declared, not"):
        forward("types")((1,), (1,), args)


def test_scalars_of_neighbouring_types_are_refused(forward: Any) -> None:
    wrongs: list[tuple[int, Any]] = [
        (1, np.int64(1)),
        (1, np.uint32(1)),
        (3, np.int32(1)),
        (5, np.float64(1)),
        (7, np.float64(1)),
    ]
    for place, wrong in wrongs:
        args: list[Any] = [*ONES, np.zeros(1)]
        args[place] = wrong
        with pytest.raises(TypeError, match=f"declared, not {wrong.dtype}"):
            forward("types")((1,), (1,), args)


def arrays() -> list[Any]:
    bytes_, x, y = np.arange(8, dtype="uint8"), np.array([0.0, 0.5], "float32"), np.zeros(1)
    return [bytes_, x, y, bytes_, np.zeros(1, "int16")]


class OnTheGpu:
    """What CuPy's arrays have: an address, and no more that the launch may ask for."""

    def __init__(self, array: Any) -> None:
        self.dtype = array.dtype
        self.data = SimpleNamespace(ptr=array.ctypes.data, array=array)


@pytest.mark.parametrize("made", [np.asarray, OnTheGpu, guarded], ids=["NumPy", "CuPy", "guarded"])
def test_arrays_of_the_declared_types(kernel: Any, made: Callable[[Any], Any]) -> None:
    bytes_, x, y, quads, anything = arrays()
    y = guarded(y)
    kernel("pointers")((1,), (1,), (made(bytes_), made(x), y, made(quads), made(anything)))
    assert y[0] == 1 + 0.5 + 7 + 1

    kernel("pointers")((1,), (1,), (made(bytes_), made(x), y, made(quads), None))
    assert y[0] == 1 + 0.5 + 7


@pytest.mark.parametrize(
    ("place", "dtype", "name"), [(0, "int8", "bytes"), (1, "float64", "x"), (2, "float32", "y"), (3, "uint32", "quads")]
)
@pytest.mark.parametrize("made", [np.asarray, OnTheGpu], ids=["NumPy", "CuPy"])
def test_array_of_another_type_is_refused(forward: Any, place: int, dtype: str, name: str, made: Any) -> None:
    args = arrays()
    args[place] = made(args[place].astype(dtype))
    with pytest.raises(TypeError, match=f"kernel pointers, parameter {name}: a .* array is declared, not {dtype}"):
        forward("pointers")((1,), (1,), args)


def test_scalar_for_an_array_another_count_and_a_read_only_array_are_refused(forward: Any) -> None:
    args = arrays()
    with pytest.raises(TypeError, match="takes 5 arguments, not 4"):
        forward("pointers")((1,), (1,), args[:4])
    with pytest.raises(TypeError, match="parameter bytes: a uint8 array is declared, not uint8"):
        forward("pointers")((1,), (1,), [np.uint8(1), *args[1:]])
    args[2].flags.writeable = False
    with pytest.raises(TypeError, match="parameter y: it isn't const"):
        forward("pointers")((1,), (1,), args)


@pytest.mark.parametrize("n", [1, 4])
def test_index_beyond_a_fixed_array_is_an_error(kernel: Any, n: int) -> None:
    with pytest.raises(
        KernelError, match=r"kernel beyond: undefined behaviour: an index beyond .*of block \(0, 0, 0\)"
    ):
        kernel("beyond")((1,), (4,), (np.zeros(10, "float32"), np.int32(n)))


def test_index_beyond_guarded_or_dynamic_memory_is_an_error(kernel: Any) -> None:
    x = guarded(np.zeros(8, "float32"))
    kernel("beyond")((1,), (1,), (x, np.int32(3)))
    kernel("rotated")((1,), (8,), (x, np.int32(1)), 32)
    for size, shared in [(9, 36), (8, 28), (8, 0)]:
        with pytest.raises(KernelError, match="kernel rotated: memory is read or written where there is none; thread"):
            kernel("rotated")((1,), (size,), (x, np.int32(1)), shared)


@pytest.mark.parametrize("shape", [(), (0,), (3,), (4096,), (5, 1000)])
def test_guarded_copies(shape: tuple[int, ...]) -> None:
    array = np.ones(shape, "float32")
    copy = guarded(array)

    np.testing.assert_array_equal(copy, array, strict=True)
    assert copy.ctypes.data % 16 == 0


@pytest.mark.parametrize(
    ("grid", "block"),
    [
        *[((1,), block) for block in [(1025,), (33, 32), (1, 1, 65), (0,), (-1,), (1, 1, 1, 1)]],
        *[(grid, (1,)) for grid in [(0,), (1, 65536), (1, 1, 65536), (2**31,)]],
    ],
)
def test_grid_and_block_keep_the_limits(forward: Any, grid: Any, block: Any) -> None:
    with pytest.raises(ValueError, match=r"kernel racing: "):
        forward("racing")(grid, block, (np.zeros(1, "int32"),))


def test_launch_bounds_are_kept(forward: Any) -> None:
    out = np.zeros(65, "int32")
    forward("bounded")((1,), (64,), (out,))
    with pytest.raises(ValueError, match="a block of 65 threads; it takes at most 64"):
        forward("bounded")((1,), (65,), (out,))

    assert out.sum() == 64


def test_shared_memory_keeps_the_limits(forward: Any) -> None:
    x, more = np.zeros(1, "float32"), 60 << 10
    rotated, large = forward("rotated"), forward("large")
    with pytest.raises(ValueError, match="61440 bytes of dynamic shared memory; 49152 are allowed"):
        rotated((1,), (1,), (x, np.int32(1)), more)
    with pytest.raises(ValueError, match="kernel large: too much shared memory"):
        large((1,), (1,), (x,), 32 << 10)
    with pytest.raises(ValueError, match="a block has at most 232448"):
        rotated.max_dynamic_shared_size_bytes = 228 << 10
    rotated.max_dynamic_shared_size_bytes = more
    rotated((1,), (1,), (x, np.int32(1)), more)
    large((1,), (1,), (x,), 24 << 10)


def test_compiled_once(folder: Path) -> None:
    source = 'extern "C" __global__ void f(REAL *x) { x[0] = 1; }'
    before = len(list(folder.glob("*.so")))
    for options in (["-DREAL=float"], ["-DREAL=double"], ["-DREAL=float"]):
        Module(source, options, folder)

    assert len(list(folder.glob("*"))) == before + 2


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("int unused; x[0] = 1;", "unused variable"),
        ("x[0] = y;", "declared"),
        ("x[0] = max(1, 1u);", "ambiguous"),
        ("__shared__ float a[2], b; a[0] = b = x[0];", "shared memory is declared in a way that the emulator can't"),
        (
            "} template <class T> __global__ int g(T x) { return x;",
            "a kernel is declared in a way that the emulator can't",
        ),
    ],
)
def test_source_with_warnings_or_errors_does_not_compile(line: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        Module(f'extern "C" __global__ void f(float *x) {{ {line} }}')


def test_unknown_options_kernels_and_parameters_are_refused() -> None:
    module = Module('extern "C" __global__ void f(float **x) { x[0] = nullptr; }', ["--use_fast_math"])
    with pytest.raises(KeyError, match="no kernel g among f"):
        module.get_function("g")
    with pytest.raises(ValueError, match="parameter `float [*][*]x`: a type that CuPy has no argument for"):
        module.get_function("f")
    with pytest.raises(ValueError, match=r"options \['--rdc'\] mean nothing"):
        Module("", ["--rdc"])
