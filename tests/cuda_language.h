// The part of CUDA C++ that kernels use: keywords, vectors, functions. Included after all headers of the system's,
// which use some of these names themselves.
#pragma once

#include <algorithm>
#include <math.h>  // unlike <cmath>, it has isfinite and the functions for float without std:: before them
#include <stdlib.h>

#include "cuda_emulator.h"

#define __global__
#define __device__
#define __host__
#define __constant__ const
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __align__(size) __attribute__((aligned(size)))

[[maybe_unused]] static const uint3 &threadIdx = emulator::thread_index, &blockIdx = emulator::block_index;
[[maybe_unused]] static const dim3 &blockDim = emulator::block_size, &gridDim = emulator::grid_size;
constexpr int warpSize = emulator::WARP;

#define VECTORS(type, name, align2, align4)                                                                  \
    struct alignas(align2) name##2 { type x, y; };                                                           \
    struct alignas(align4) name##4 { type x, y, z, w; };                                                     \
    inline name##2 make_##name##2(type x, type y) { return {x, y}; }                                         \
    inline name##4 make_##name##4(type x, type y, type z, type w) { return {x, y, z, w}; }
VECTORS(signed char, char, 2, 4)
VECTORS(unsigned char, uchar, 2, 4)
VECTORS(int, int, 8, 16)
VECTORS(unsigned, uint, 8, 16)
VECTORS(float, float, 8, 16)
VECTORS(double, double, 16, 16)
VECTORS(long long, longlong, 16, 16)
VECTORS(unsigned long long, ulonglong, 16, 16)
#undef VECTORS

// Barriers. Each gives the line where it stands, since all threads must wait at the same one.
inline void __syncthreads(int line = __builtin_LINE()) { emulator::wait_for_block("__syncthreads", line); }
inline void __syncwarp(unsigned mask = ~0u, int line = __builtin_LINE()) {
    emulator::wait_for_warp("__syncwarp", line, mask, 0, 0);
}
inline void __threadfence() {}
inline void __threadfence_block() {}

// Shuffles, by the formulas of PTX's shfl.sync: a lane beyond its part of the warp keeps its own value.
template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = warpSize, int line = __builtin_LINE()) {
    const int lane = emulator::current % warpSize, first = lane & ~(width - 1);
    return emulator::exchange("__shfl_sync", line, mask, value, first | (source & (width - 1)));
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = warpSize, int line = __builtin_LINE()) {
    const int lane = emulator::current % warpSize, from = lane - int(delta);
    return emulator::exchange("__shfl_up_sync", line, mask, value, from >= (lane & ~(width - 1)) ? from : lane);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = warpSize, int line = __builtin_LINE()) {
    const int lane = emulator::current % warpSize, from = lane + int(delta);
    return emulator::exchange("__shfl_down_sync", line, mask, value, from <= (lane | (width - 1)) ? from : lane);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int bits, int width = warpSize, int line = __builtin_LINE()) {
    const int lane = emulator::current % warpSize, from = lane ^ bits;
    return emulator::exchange("__shfl_xor_sync", line, mask, value, from <= (lane | (width - 1)) ? from : lane);
}
inline unsigned __ballot_sync(unsigned mask, int value, int line = __builtin_LINE()) {
    return emulator::wait_for_warp("__ballot_sync", line, mask, value != 0, 0).ballot;
}
inline int __any_sync(unsigned mask, int value, int line = __builtin_LINE()) {
    return emulator::wait_for_warp("__any_sync", line, mask, value != 0, 0).ballot != 0;
}
inline int __all_sync(unsigned mask, int value, int line = __builtin_LINE()) {
    return emulator::wait_for_warp("__all_sync", line, mask, value == 0, 0).ballot == 0;
}

// One thread runs at a time, so that a plain sum is atomic. The types are CUDA's.
#define ATOMIC(name, type, result)               \
    inline type name(type *address, type value) { \
        const type old = *address;                \
        *address = result;                        \
        return old;                               \
    }
#define ATOMICS(type)                             \
    ATOMIC(atomicAdd, type, old + value)          \
    ATOMIC(atomicExch, type, value)
ATOMICS(int)
ATOMICS(unsigned)
ATOMICS(unsigned long long)
ATOMICS(float)
ATOMIC(atomicAdd, double, old + value)
#define EXTREMES(type)                                    \
    ATOMIC(atomicMax, type, old < value ? value : old)    \
    ATOMIC(atomicMin, type, value < old ? value : old)    \
    inline type atomicCAS(type *address, type compare, type value) { \
        const type old = *address;                        \
        if (old == compare) *address = value;             \
        return old;                                       \
    }
EXTREMES(int)
EXTREMES(unsigned)
EXTREMES(unsigned long long)
#undef ATOMIC
#undef ATOMICS
#undef EXTREMES

// Functions. Those of float and double are the C library's; these it lacks. Mixed types don't compile.
#define EXTREMES(type, less, more)                         \
    inline type min(type a, type b) { return less(a, b); } \
    inline type max(type a, type b) { return more(a, b); }
EXTREMES(int, std::min, std::max)
EXTREMES(unsigned, std::min, std::max)
EXTREMES(long long, std::min, std::max)
EXTREMES(unsigned long long, std::min, std::max)
EXTREMES(float, std::fmin, std::fmax)
EXTREMES(double, std::fmin, std::fmax)
#undef EXTREMES

inline float rsqrtf(float x) { return 1 / sqrtf(x); }
inline float rsqrt(float x) { return 1 / sqrtf(x); }
inline double rsqrt(double x) { return 1 / sqrt(x); }
inline void sincospif(float x, float *s, float *c) { *s = sin(M_PI * x), *c = cos(M_PI * x); }
inline void sincospi(double x, double *s, double *c) { *s = sin(M_PI * x), *c = cos(M_PI * x); }
inline float sinpif(float x) { return sin(M_PI * x); }
inline float cospif(float x) { return cos(M_PI * x); }
inline double sinpi(double x) { return sin(M_PI * x); }
inline double cospi(double x) { return cos(M_PI * x); }
inline float normcdff(float x) { return erfc(-x * M_SQRT1_2) / 2; }
inline double normcdf(double x) { return erfc(-x * M_SQRT1_2) / 2; }

// The quick ones, less exact on a GPU; the C library has hidden functions of the same names.
#define __expf(x) expf(x)
#define __logf(x) logf(x)
#define __powf(x, y) powf(x, y)
#define __sinf(x) sinf(x)
#define __cosf(x) cosf(x)
#define __fdividef(x, y) (float(x) / float(y))
#define __frcp_rn(x) (1 / float(x))
#define __fsqrt_rn(x) sqrtf(x)
#define __fmaf_rn(x, y, z) fmaf(x, y, z)
#define __fma_rn(x, y, z) fma(x, y, z)
inline float __saturatef(float x) { return x >= 0 ? x < 1 ? x : 1 : 0; }

template <class T> T __ldg(const T *address) { return *address; }
template <class T> T __ldcs(const T *address) { return *address; }
template <class T> T __ldcg(const T *address) { return *address; }
template <class T> void __stcs(T *address, T value) { *address = value; }
template <class T> void __stcg(T *address, T value) { *address = value; }

template <class To, class From> To same_bits(From value) {
    static_assert(sizeof(To) == sizeof(From));
    To to;
    memcpy(&to, &value, sizeof to);
    return to;
}
inline int __float_as_int(float x) { return same_bits<int>(x); }
inline float __int_as_float(int x) { return same_bits<float>(x); }
inline unsigned __float_as_uint(float x) { return same_bits<unsigned>(x); }
inline float __uint_as_float(unsigned x) { return same_bits<float>(x); }
inline long long __double_as_longlong(double x) { return same_bits<long long>(x); }
inline double __longlong_as_double(long long x) { return same_bits<double>(x); }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __clz(int x) { return x ? __builtin_clz(x) : 32; }
inline unsigned __umulhi(unsigned a, unsigned b) { return (unsigned long long)(a) * b >> 32; }
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
    return static_cast<unsigned __int128>(a) * b >> 64;
}
inline int __float2int_rn(float x) { return int(nearbyintf(x)); }
inline int __float2int_rd(float x) { return int(floorf(x)); }
