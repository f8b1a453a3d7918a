// What a CUDA kernel needs to run on the CPU, see cuda_emulator.py: threads, barriers, shared memory, one launch.
//
// Each thread of a block is a fiber with a stack of its own, which runs until it waits at a barrier; then the next
// one runs. Switching is _setjmp and _longjmp, which make no system call as swapcontext does.
#pragma once

#include <csetjmp>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <numeric>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>
#include <utility>

struct uint3 {
    unsigned x, y, z;
};
using dim3 = uint3;

namespace emulator {

constexpr int MOST_THREADS = 1024, WARP = 32;
constexpr size_t STACK = 128 << 10, MOST_SHARED = 227 << 10;
enum State { READY, AT_BARRIER, AT_WARP_BARRIER, RETURNED };

struct Fiber {
    jmp_buf where;
    State state;
    const char *function;  // the barrier that it waits at, and the line of the source
    int line;
    unsigned mask;  // lanes that meet at a warp's barrier
    uint64_t offer, result;
    int source;  // the lane whose offer is this lane's result
    unsigned ballot;
};

static Fiber fibers[MOST_THREADS];
static jmp_buf scheduler, failed;
static char *stacks, *shared_end;  // shared_end: a page that can't be touched follows
static int fibers_ready, current, threads, waiting, returned;
static uint3 thread_index, block_index, block_size, grid_size;
static uint64_t block_number, random_state;  // block_number: counts on over all launches
static size_t dynamic_bytes, static_bytes;
static void (*kernel)(void **);
static void **arguments;
static char message[400];

[[noreturn]] inline void fail(const char *what) {
    snprintf(message, sizeof message, "%s; thread (%u, %u, %u) of block (%u, %u, %u)", what, thread_index.x,
             thread_index.y, thread_index.z, block_index.x, block_index.y, block_index.z);
    _longjmp(failed, 1);
}

// Not inlined: a function that calls _setjmp keeps little in registers, which would slow the kernel down.
__attribute__((noinline)) inline void pause() {
    if (!_setjmp(fibers[current].where)) _longjmp(scheduler, 1);
}

__attribute__((noinline)) inline void resume(int thread) {
    current = thread;
    thread_index.x = thread % block_size.x;
    thread_index.y = thread / block_size.x % block_size.y;
    thread_index.z = thread / block_size.x / block_size.y;
    if (!_setjmp(scheduler)) _longjmp(fibers[thread].where, 1);
}

inline void live() {
    for (;;) {
        pause();
        kernel(arguments);
        fibers[current].state = RETURNED;
        ++returned;
    }
}

__attribute__((noinline)) inline void make_fiber(int thread) {
    char *stack = stacks + thread * STACK;
    mprotect(stack, sysconf(_SC_PAGESIZE), PROT_NONE);
    ucontext_t context;
    getcontext(&context);
    context.uc_stack.ss_sp = stack;
    context.uc_stack.ss_size = STACK - thread * 320 % 4096;  // else all tops of stacks share one set of the cache
    context.uc_link = nullptr;
    makecontext(&context, live, 0);
    current = thread;
    if (!_setjmp(scheduler)) setcontext(&context);
}

inline void wait_for_block(const char *function, int line) {
    Fiber &self = fibers[current];
    self.state = AT_BARRIER, self.function = function, self.line = line, self.mask = 0;
    ++waiting;
    pause();
}

// Lets the lanes of a warp's barrier go on once all have come, each with the offer of its source: one that isn't
// among the lanes gives poison, since CUDA leaves it undefined.
inline void settle(int first, unsigned lanes) {
    unsigned ballot = 0;
    for (int lane = 0; lane < WARP; ++lane) {
        if (!(lanes >> lane & 1)) continue;
        const Fiber &fiber = fibers[first + lane], &self = fibers[current];
        if (fiber.state != AT_WARP_BARRIER || fiber.mask != self.mask || fiber.line != self.line) return;
        if (fiber.function != self.function && strcmp(fiber.function, self.function)) return;
        ballot |= unsigned(fiber.offer & 1) << lane;
    }
    for (int lane = 0; lane < WARP; ++lane) {
        if (!(lanes >> lane & 1)) continue;
        Fiber &fiber = fibers[first + lane];
        fiber.result = lanes >> fiber.source & 1 ? fibers[first + fiber.source].offer : ~uint64_t(0);
        fiber.ballot = ballot;
        fiber.state = READY;
    }
}

inline const Fiber &wait_for_warp(const char *function, int line, unsigned mask, uint64_t offer, int source) {
    Fiber &self = fibers[current];
    const int first = current / WARP * WARP, there = threads - first;
    if (!(mask >> (current - first) & 1)) fail("a thread waits at a warp's barrier whose mask doesn't name it");
    self.state = AT_WARP_BARRIER, self.function = function, self.line = line, self.mask = mask;
    self.offer = offer, self.source = source;
    settle(first, there < WARP ? mask & ((1u << there) - 1) : mask);
    pause();
    return self;
}

template <class T> T exchange(const char *function, int line, unsigned mask, T value, int source) {
    static_assert(sizeof(T) <= sizeof(uint64_t));
    uint64_t offer = 0;
    memcpy(&offer, &value, sizeof value);
    memcpy(&value, &wait_for_warp(function, line, mask, offer, source).result, sizeof value);
    return value;
}

// A __shared__ variable: filled with NaN's bytes when a block first comes to it.
template <class T> struct Shared {
    alignas(16) unsigned char bytes[sizeof(T)];
    uint64_t used_by;

    T &use() {
        if (used_by != block_number) {
            used_by = block_number;
            memset(bytes, 0xFF, sizeof bytes);
            static_bytes += sizeof bytes;
        }
        return reinterpret_cast<T &>(bytes);
    }
};

// It ends exactly where a page begins that can't be touched, so that it is aligned only as its size is.
template <class T> T *dynamic_shared() { return reinterpret_cast<T *>(shared_end - dynamic_bytes); }

inline void say_who_waits() {
    int there = 0, elsewhere = 0, line = 0, first = 0;
    while (fibers[first].state == RETURNED) ++first;
    const Fiber &one = fibers[first];
    for (int thread = 0; thread < threads; ++thread) {
        const Fiber &fiber = fibers[thread];
        if (fiber.state == RETURNED) continue;
        if (fiber.state == one.state && fiber.line == one.line && fiber.mask == one.mask) ++there;
        else ++elsewhere, line = fiber.line;
    }
    int end = snprintf(message, sizeof message, "block (%u, %u, %u): %d of %d threads wait at %s in line %d",
                       block_index.x, block_index.y, block_index.z, there, threads, one.function, one.line);
    if (returned) end += snprintf(message + end, sizeof message - end, ", %d have returned", returned);
    if (elsewhere) snprintf(message + end, sizeof message - end, ", %d wait elsewhere (line %d)", elsewhere, line);
}

inline unsigned random_below(unsigned limit) {
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (random_state >> 32) % limit;
}

// seed -1: forward; -2: backward; others shuffle.
inline void put_in_order(int *order, int count, int64_t seed) {
    for (int i = 0; i < count; ++i) order[i] = seed == -2 ? count - 1 - i : i;
    for (int i = count - 1; i > 0 && seed >= 0; --i) std::swap(order[i], order[random_below(i + 1)]);
}

inline bool let_barrier_open() {
    for (int thread = 0; thread < threads; ++thread)
        if (fibers[thread].line != fibers[0].line) return false;
    for (int thread = 0; thread < threads; ++thread) fibers[thread].state = READY;
    waiting = 0;
    return true;
}

// Returns false where threads wait for each other in vain.
inline bool run_block(int64_t seed) {
    int order[MOST_THREADS];
    ++block_number;
    waiting = returned = 0;
    static_bytes = 0;
    memset(shared_end - dynamic_bytes, 0xFF, dynamic_bytes);
    for (int thread = 0; thread < threads; ++thread) {
        fibers[thread].state = READY, fibers[thread].mask = 0;
    }
    while (returned < threads) {
        bool anyone = false;
        put_in_order(order, threads, seed);
        for (int i = 0; i < threads; ++i) {
            if (fibers[order[i]].state != READY) continue;
            resume(order[i]);
            anyone = true;
        }
        if (waiting == threads ? !let_barrier_open() : !anyone) return false;
    }
    return true;
}

inline void catch_fault(int number) {
    fail(number == SIGFPE   ? "division by zero"
         : number == SIGILL ? "undefined behaviour: an index beyond an array's end, an address that isn't a multiple "
                              "of its type's size, or an int that overflows"
                            : "memory is read or written where there is none");
}

// Faults become errors of the launch; afterwards they are Python's again.
struct Faults {
    static constexpr int NUMBERS[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE};
    static inline char stack[64 << 10];
    struct sigaction before[4];
    stack_t stack_before;

    Faults() {
        stack_t mine = {};
        mine.ss_sp = stack, mine.ss_size = sizeof stack;
        sigaltstack(&mine, &stack_before);
        struct sigaction action = {};
        action.sa_handler = catch_fault;
        action.sa_flags = SA_ONSTACK | SA_NODEFER;
        for (int i = 0; i < 4; ++i) sigaction(NUMBERS[i], &action, &before[i]);
    }
    ~Faults() {
        for (int i = 0; i < 4; ++i) sigaction(NUMBERS[i], &before[i], nullptr);
        sigaltstack(&stack_before, nullptr);
    }
};

inline void make_room() {
    if (stacks) return;
    constexpr int HOW = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    stacks = static_cast<char *>(mmap(nullptr, STACK * MOST_THREADS, PROT_READ | PROT_WRITE, HOW, -1, 0));
    const size_t page = sysconf(_SC_PAGESIZE), size = (MOST_SHARED + page - 1) / page * page;
    char *shared = static_cast<char *>(mmap(nullptr, size + page, PROT_READ | PROT_WRITE, HOW, -1, 0));
    mprotect(shared + size, page, PROT_NONE);
    shared_end = shared + size;
}

inline void run_blocks(int64_t seed, size_t most_shared) {
    const int64_t blocks = int64_t(grid_size.x) * grid_size.y * grid_size.z;
    int64_t step = seed < 0 ? 1 : 1 + random_below(blocks < 1000000 ? blocks : 1000000);
    while (std::gcd(step, blocks) != 1) ++step;  // so that it visits every block
    for (int64_t i = 0; i < blocks; ++i) {
        const int64_t block = seed == -2 ? blocks - 1 - i : i * step % blocks;
        block_index.x = block % grid_size.x;
        block_index.y = block / grid_size.x % grid_size.y;
        block_index.z = block / grid_size.x / grid_size.y;
        if (!run_block(seed)) {
            say_who_waits();
            _longjmp(failed, 1);
        }
        if (static_bytes + dynamic_bytes > most_shared) fail("too much shared memory: the static beside the dynamic");
    }
}

template <class... P, size_t... I> void call(void (*function)(P...), void **values, std::index_sequence<I...>) {
    function(*static_cast<P *>(values[I])...);
}
template <class... P> void call(void (*function)(P...), void **values) {
    call(function, values, std::index_sequence_for<P...>());
}

}  // namespace emulator

#define EMULATED_KERNEL(name, most_threads)                                          \
    extern "C" void emulated_##name(void **values) { emulator::call(name, values); } \
    extern "C" int most_threads_of_##name() { return most_threads; }

// Runs a launch and returns nothing, or what went wrong.
extern "C" const char *emulator_run(void (*kernel)(void **), void **arguments, const unsigned *size, size_t shared,
                                    size_t most_shared, int64_t seed) {
    using namespace emulator;
    make_room();
    emulator::kernel = kernel, emulator::arguments = arguments;
    grid_size = {size[0], size[1], size[2]}, block_size = {size[3], size[4], size[5]};
    threads = size[3] * size[4] * size[5];
    dynamic_bytes = shared, random_state = seed;
    Faults faults;
    if (_setjmp(failed)) {
        fibers_ready = 0;  // some have stopped half-way
        return message;
    }
    for (; fibers_ready < threads; ++fibers_ready) make_fiber(fibers_ready);
    run_blocks(seed, most_shared);
    return nullptr;
}
