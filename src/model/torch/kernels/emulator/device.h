// A GPU's threads on the CPU, one at a time: what the kernels' source finds in place of CUDA, for tests.
//
// A thread runs until it waits for others of its warp or block. Threads that would have to wait for one that has ended or waits
// elsewhere are a fault, as they are on a GPU. Every other block runs its threads in the opposite order, so that a missing barrier
// shows in the results.

#include <cmath>
#include <csetjmp>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <ucontext.h>
#include <vector>

struct Index {
    unsigned x, y, z;
};
static Index threadIdx, blockIdx;

#define __device__
#define __shared__ static

namespace emulated {

enum Waiting { nothing, warp, block };

struct Thread {
    std::vector<char> stack = std::vector<char>(1 << 16);
    jmp_buf point;
    bool begun = false;
    Waiting waiting;
    bool ended;
    float given;
};

static std::vector<Thread> threads;
static jmp_buf scheduler;
static unsigned current;
static void (*kernel)(void **);
static void **arguments;

static void leave() {
    if (!_setjmp(threads[current].point)) _longjmp(scheduler, 1);
}

// What a thread does on its own stack, block after block.
static void begin() {
    for (;;) {
        kernel(arguments);
        threads[current].ended = true;
        leave();
    }
}

static void wait(Waiting what) {
    threads[current].waiting = what;
    leave();
}

// Lets the current thread run until it waits or ends. Jumps go from stack to stack: unlike swapcontext, they do not ask the system
// for the mask of signals each time.
static void __attribute__((noinline)) resume() {
    Thread &thread = threads[current];
    if (_setjmp(scheduler)) return;
    if (thread.begun) _longjmp(thread.point, 1);
    thread.begun = true;
    ucontext_t context;
    getcontext(&context);
    context.uc_stack.ss_sp = thread.stack.data();
    context.uc_stack.ss_size = thread.stack.size();
    context.uc_link = nullptr;
    makecontext(&context, begin, 0);
    setcontext(&context);
}

// Whether all of some threads wait for each other; they then go on.
static bool meet(unsigned first, unsigned count, Waiting what, bool &fault) {
    unsigned waiting = 0;
    for (unsigned at = first; at < first + count; ++at) waiting += threads[at].waiting == what;
    if (waiting == 0) return false;
    if (waiting < count) {
        fault = true;
        return false;
    }
    for (unsigned at = first; at < first + count; ++at) threads[at].waiting = nothing;
    return true;
}

static bool run_block(bool backwards) {
    unsigned count = threads.size();
    for (auto &thread : threads) {
        thread.waiting = nothing;
        thread.ended = false;
    }
    for (;;) {
        for (unsigned at = 0; at < count; ++at) {
            current = backwards ? count - 1 - at : at;
            if (threads[current].ended || threads[current].waiting != nothing) continue;
            threadIdx = {current, 0, 0};
            resume();
        }
        unsigned ended = 0;
        for (auto &thread : threads) ended += thread.ended;
        if (ended == count) return true;
        bool fault = false, met = false;
        for (unsigned first = 0; first < count; first += 32) met |= meet(first, 32, warp, fault);
        if (!met) met = meet(0, count, block, fault);
        if (!met || (fault && !met)) return false;
    }
}

} // namespace emulated

static void __syncthreads() { emulated::wait(emulated::block); }

static float __shfl_xor_sync(unsigned, float value, int mask) {
    unsigned own = emulated::current;
    emulated::threads[own].given = value;
    emulated::wait(emulated::warp);
    float other = emulated::threads[own ^ mask].given;
    emulated::wait(emulated::warp);
    return other;
}

static float __uint_as_float(unsigned bits) {
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

static unsigned __float_as_uint(float value) {
    unsigned bits;
    memcpy(&bits, &value, 4);
    return bits;
}

static float rsqrtf(float value) { return 1 / sqrtf(value); }

static float half_as_float(unsigned short half) {
    _Float16 value;
    memcpy(&value, &half, 2);
    return value;
}

static unsigned short float_as_half(float value) {
    _Float16 rounded = value;
    unsigned short half;
    memcpy(&half, &rounded, 2);
    return half;
}

#define KERNEL(name, Arguments)                                                                                        \
    static void name(const Arguments a);                                                                               \
    extern "C" void name##_emulated(void **given) { name(*(const Arguments *)given[0]); }                              \
    static void name(const Arguments a)

// Whether all threads came to their end.
extern "C" bool launch(void (*kernel)(void **), void **arguments, const unsigned *blocks, unsigned threads) {
    emulated::kernel = kernel;
    emulated::arguments = arguments;
    emulated::threads.resize(threads);
    bool backwards = false;
    for (blockIdx.z = 0; blockIdx.z < blocks[2]; ++blockIdx.z)
        for (blockIdx.y = 0; blockIdx.y < blocks[1]; ++blockIdx.y)
            for (blockIdx.x = 0; blockIdx.x < blocks[0]; ++blockIdx.x, backwards = !backwards)
                if (!emulated::run_block(backwards)) {
                    // They are somewhere inside the kernel.
                    emulated::threads.clear();
                    return false;
                }
    return true;
}
