// SimFeatUp's doublings on a GPU: keys of the guidance, scores and soft-max of the neighbours, and their sums.
//
// Compiled at run time for the card at hand, with -DRADIUS (of neighbours), -DKEYS (a multiple of 8) and -DNUMBER (what numbers are
// stored as: 32 for float32, 16 for float16). All sums are in float32. Needs no header, for there may be none.
//
// Between `scores` and `gather` lie the two layers that correct the weights: products of large matrices, left to libtorch.

#ifndef KERNEL
#define KERNEL(name, Arguments) extern "C" __global__ void __launch_bounds__(256) name(const Arguments a)
__device__ inline float half_as_float(unsigned short half) {
    float value;
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(half));
    return value;
}
__device__ inline unsigned short float_as_half(float value) {
    unsigned short half;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(half) : "f"(value));
    return half;
}
#endif

#define DIAMETER (2 * RADIUS + 1)
#define TAPS (DIAMETER * DIAMETER)
// Numbers of a pixel's row in the matrix of weights: the weights, the guidance, a one, and zeros up to whole vectors.
#define PITCH ((TAPS + 4 + 7) / 8 * 8)
// Source cells along an axis that a pixel's neighbours are made of, at the most.
#define REACH (RADIUS + 5 - RADIUS % 2)

#if NUMBER == 32
typedef float number;
__device__ inline float as_float(number value) { return value; }
__device__ inline number as_number(float value) { return value; }
#else
typedef unsigned short number;
__device__ inline float as_float(number value) { return half_as_float(value); }
__device__ inline number as_number(float value) { return float_as_half(value); }
#endif

struct alignas(4 * sizeof(number)) Four {
    number at[4];
};
struct alignas(16) Pixels {
    float at[4];
};

__device__ inline int smaller(int a, int b) { return a < b ? a : b; }

// A position beyond the ends mirrored back inside, the end itself not repeated.
__device__ inline int reflect(int position, int size) {
    int last = size - 1;
    if (last == 0) return 0;
    int turned = position % (2 * last);
    if (turned < 0) turned += 2 * last;
    return turned <= last ? turned : 2 * last - turned;
}

struct ProjectArguments {
    const float *images;   // (window, 3, row, column) of the whole window
    const float *into;     // (hidden key, 3)
    const float *into_bias;
    const float *out;      // (key, hidden key)
    const float *out_bias;
    float *keys;           // (window, row, column, key) of the doubled grid
    number *guidance;      // (window, row, column, 4), the fourth a one
    int rows, columns;     // of the doubled grid
    int factor;            // side in pixels of a doubled cell
};

// A thread for each pixel; blocks (pixels / 256, window).
KERNEL(project, ProjectArguments) {
    __shared__ float into[KEYS * 4];
    __shared__ Pixels out[KEYS * KEYS / 4];
    __shared__ float out_bias[KEYS];
    for (int at = threadIdx.x; at < KEYS * KEYS; at += 256) {
        if (at < KEYS) {
            for (int channel = 0; channel < 3; ++channel) into[at * 4 + channel] = a.into[at * 3 + channel];
            into[at * 4 + 3] = a.into_bias[at];
            out_bias[at] = a.out_bias[at];
        }
        out[at / 4].at[at % 4] = a.out[at];
    }
    __syncthreads();
    int pixel = blockIdx.x * 256 + threadIdx.x;
    if (pixel >= a.rows * a.columns) return;
    int row = pixel / a.columns, column = pixel % a.columns, width = a.columns * a.factor;
    long long plane = (long long)a.rows * a.factor * width;
    float guidance[3];
    for (int channel = 0; channel < 3; ++channel) {
        const float *image = a.images + (blockIdx.y * 3 + channel) * plane + (long long)row * a.factor * width;
        float sum = 0;
        for (int y = 0; y < a.factor; ++y)
            for (int x = 0; x < a.factor; ++x) sum += image[(long long)y * width + column * a.factor + x];
        guidance[channel] = sum / (a.factor * a.factor);
    }
    long long at = (long long)blockIdx.y * a.rows * a.columns + pixel;
    Four seen = {{as_number(guidance[0]), as_number(guidance[1]), as_number(guidance[2]), as_number(1)}};
    ((Four *)a.guidance)[at] = seen;
    float hidden[KEYS];
#pragma unroll
    for (int key = 0; key < KEYS; ++key) {
        const float *of_key = into + key * 4;
        float x = of_key[0] * guidance[0] + of_key[1] * guidance[1] + of_key[2] * guidance[2] + of_key[3];
        hidden[key] = 0.5f * x * (1 + erff(x * 0.70710678f));
    }
    for (int first = 0; first < KEYS; first += 4) {
        Pixels keys;
        for (int lane = 0; lane < 4; ++lane) {
            float sum = out_bias[first + lane];
#pragma unroll
            for (int key = 0; key < KEYS; key += 4) {
                Pixels shares = out[((first + lane) * KEYS + key) / 4];
                for (int next = 0; next < 4; ++next) sum += shares.at[next] * hidden[key + next];
            }
            keys.at[lane] = sum;
        }
        *(Pixels *)(a.keys + at * KEYS + first) = keys;
    }
}

// Pixels along a side of what a block of `scores` does.
#define TILE 8
#define TILE_SIDE (TILE + 2 * RADIUS)
// A pixel's keys in shared memory, sixteen bytes further apart than they are long: neighbours lie in different banks.
#define KEY_PITCH (KEYS + 4)
#define SLOTS ((TAPS + 31) / 32)

struct ScoresArguments {
    // In float32 whatever the rest is in: scores go into an exponential, where half precision would tell.
    const float *keys;      // (window, row, column, key)
    const number *guidance; // (window, row, column, 4)
    const float *spatial;   // (neighbour)
    number *weights;        // (window, row, column, PITCH)
    int rows, columns;
    float temperature;
};

__device__ inline float sum_of_warp(float value) {
    for (int lane = 16; lane > 0; lane /= 2) value += __shfl_xor_sync(0xffffffff, value, lane);
    return value;
}

// A warp for each row of a tile, its lanes for the neighbours of a pixel; blocks (columns / 8, rows / 8, window).
KERNEL(scores, ScoresArguments) {
    alignas(16) __shared__ float tile[TILE_SIDE * TILE_SIDE * KEY_PITCH];
    long long window = (long long)blockIdx.z * a.rows * a.columns;
    const int vectors = KEYS / 4;
    for (int at = threadIdx.x; at < TILE_SIDE * TILE_SIDE * vectors; at += 256) {
        int pixel = at / vectors, key = at % vectors * 4;
        int row = reflect((int)blockIdx.y * TILE + pixel / TILE_SIDE - RADIUS, a.rows);
        int column = reflect((int)blockIdx.x * TILE + pixel % TILE_SIDE - RADIUS, a.columns);
        *(Pixels *)(tile + pixel * KEY_PITCH + key) =
            *(const Pixels *)(a.keys + (window + (long long)row * a.columns + column) * KEYS + key);
    }
    __syncthreads();
    int lane = threadIdx.x % 32, inner_row = threadIdx.x / 32, row = blockIdx.y * TILE + inner_row;
    for (int inner = 0; inner < TILE; ++inner) {
        int column = blockIdx.x * TILE + inner;
        if (row >= a.rows || column >= a.columns) break;
        float score[SLOTS];
        const float *near[SLOTS];
#pragma unroll
        for (int slot = 0; slot < SLOTS; ++slot) {
            int tap = smaller(lane + 32 * slot, TAPS - 1);
            near[slot] = tile + ((inner_row + tap / DIAMETER) * TILE_SIDE + inner + tap % DIAMETER) * KEY_PITCH;
            score[slot] = 0;
        }
        const float *own = tile + ((inner_row + RADIUS) * TILE_SIDE + inner + RADIUS) * KEY_PITCH;
        for (int key = 0; key < KEYS; key += 4) {
            Pixels here = *(const Pixels *)(own + key);
#pragma unroll
            for (int slot = 0; slot < SLOTS; ++slot) {
                Pixels there = *(const Pixels *)(near[slot] + key);
                for (int next = 0; next < 4; ++next) score[slot] += here.at[next] * there.at[next];
            }
        }
        float most = -3e38f;
#pragma unroll
        for (int slot = 0; slot < SLOTS; ++slot) {
            score[slot] *= a.temperature;
            most = fmaxf(most, score[slot]);
        }
        for (int other = 16; other > 0; other /= 2) most = fmaxf(most, __shfl_xor_sync(0xffffffff, most, other));
        float plain = 0, joint = 0;
#pragma unroll
        for (int slot = 0; slot < SLOTS; ++slot) {
            int tap = lane + 32 * slot;
            float share = tap < TAPS ? expf(score[slot] - most) : 0;
            plain += share;
            share *= a.spatial[smaller(tap, TAPS - 1)];
            joint += share;
            score[slot] = share;
        }
        // The floor is meant for the sum of shares of a soft-max that adds up to 1.
        float scale = 1 / fmaxf(sum_of_warp(joint), sum_of_warp(plain) * 1e-7f);
        long long pixel = window + (long long)row * a.columns + column;
        number *to = a.weights + pixel * PITCH;
#pragma unroll
        for (int slot = 0; slot < SLOTS; ++slot)
            if (lane + 32 * slot < TAPS) to[lane + 32 * slot] = as_number(score[slot] * scale);
        if (lane < PITCH - TAPS) to[TAPS + lane] = lane < 4 ? a.guidance[pixel * 4 + lane] : as_number(0);
    }
}

// Source cells of a row that a block of `gather` doubles.
#define QUADS 8
#define PIXELS (4 * QUADS)

struct GatherArguments {
    const number *weights;      // (window, row, column, PITCH) of the doubled grid, corrected but for a constant
    const float *constant;      // (neighbour)
    const float *row_shares;    // (doubled row, neighbour, source row in reach)
    const float *column_shares; // likewise of columns
    const int *first_rows;      // (source row): the first in reach
    const int *first_columns;
    const number *source;       // (window, row, column, channel)
    number *doubled;            // likewise, of the doubled grid: nothing for the last doubling, which has
    float *logits;              // (window, query, row, column)
    const float *offset;        // (window, channel), added to every pixel
    const float *of_cls;        // (window, query), added to every logit
    int rows, columns;          // of the source
    int row_reach, column_reach;
    int channels;               // a multiple of 4: first those that lengths are made of, then a product for each query
    int lengths, queries;
};

// Two rows of sixteen pixels each; blocks (source columns / 8, source rows, window). 64 threads share out a pixel's channels, four to each.
KERNEL(gather, GatherArguments) {
    // The weights, and then what becomes of them when they are carried over to the source cells.
    __shared__ Pixels folded[(PIXELS * TAPS + 3) / 4 > QUADS * REACH * REACH ? (PIXELS * TAPS + 3) / 4 : QUADS * REACH * REACH];
    __shared__ float down[PIXELS * REACH * DIAMETER];
    __shared__ float squares[8][2][4];
    float *weights = folded[0].at;
    int height = 2 * a.rows, width = 2 * a.columns, source_row = blockIdx.y, first_column = blockIdx.x * 2 * QUADS;
    long long window = blockIdx.z;
    // Pixels are numbered by row, then by column.
    for (int at = threadIdx.x; at < PIXELS * TAPS; at += 256) {
        int pixel = at / TAPS, tap = at % TAPS, column = smaller(first_column + pixel % (2 * QUADS), width - 1);
        int row = 2 * source_row + pixel / (2 * QUADS);
        weights[at] = as_float(a.weights[((window * height + row) * width + column) * PITCH + tap]) + a.constant[tap];
    }
    __syncthreads();
    for (int at = threadIdx.x; at < PIXELS * a.row_reach * DIAMETER; at += 256) {
        int column = at % DIAMETER, reached = at / DIAMETER % a.row_reach, pixel = at / DIAMETER / a.row_reach;
        const float *shares = a.row_shares + (2 * source_row + pixel / (2 * QUADS)) * DIAMETER * a.row_reach + reached;
        float sum = 0;
        for (int row = 0; row < DIAMETER; ++row)
            sum += shares[row * a.row_reach] * weights[pixel * TAPS + row * DIAMETER + column];
        down[(pixel * REACH + reached) * DIAMETER + column] = sum;
    }
    __syncthreads();
    for (int at = threadIdx.x; at < PIXELS * a.row_reach * a.column_reach; at += 256) {
        int pixel = at % PIXELS, cell = at / PIXELS, reached = cell % a.column_reach, inner = pixel % (2 * QUADS);
        int column = smaller(first_column + inner, width - 1);
        const float *shares = a.column_shares + column * DIAMETER * a.column_reach + reached;
        const float *of_row = down + (pixel * REACH + cell / a.column_reach) * DIAMETER;
        float sum = 0;
        for (int next = 0; next < DIAMETER; ++next) sum += shares[next * a.column_reach] * of_row[next];
        folded[cell * QUADS + inner / 2].at[pixel / (2 * QUADS) * 2 + inner % 2] = sum;
    }
    __syncthreads();
    int lane = threadIdx.x % 64, line = threadIdx.x / 64;
    const number *rows = a.source + (window * a.rows + a.first_rows[source_row]) * a.columns * a.channels;
    float square[2][4] = {};
    for (int channel = lane * 4; channel < a.channels; channel += 256) {
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            int quad = line + 4 * half, cell = blockIdx.x * QUADS + quad;
            if (cell >= a.columns) break;
            const number *from = rows + (long long)a.first_columns[cell] * a.channels + channel;
            float sums[4][4] = {};
            for (int row = 0; row < a.row_reach; ++row) {
                for (int column = 0; column < a.column_reach; ++column) {
                    Four numbers = *(const Four *)(from + ((long long)row * a.columns + column) * a.channels);
                    Pixels shares = folded[(row * a.column_reach + column) * QUADS + quad];
#pragma unroll
                    for (int pixel = 0; pixel < 4; ++pixel)
                        for (int next = 0; next < 4; ++next)
                            sums[pixel][next] += shares.at[pixel] * as_float(numbers.at[next]);
                }
            }
#pragma unroll
            for (int pixel = 0; pixel < 4; ++pixel) {
                int row = 2 * source_row + pixel / 2, column = 2 * cell + pixel % 2;
                if (!a.logits) {
                    Four out;
                    for (int next = 0; next < 4; ++next) out.at[next] = as_number(sums[pixel][next]);
                    *(Four *)(a.doubled + ((window * height + row) * width + column) * a.channels + channel) = out;
                    continue;
                }
                for (int next = 0; next < 4; ++next) {
                    float value = sums[pixel][next] + a.offset[window * a.channels + channel + next];
                    int query = channel + next - a.lengths;
                    if (query < 0)
                        square[half][pixel] += value * value;
                    else if (query < a.queries)
                        a.logits[((window * a.queries + query) * height + row) * width + column] = value;
                }
            }
        }
    }
    if (!a.logits) return;
    for (int half = 0; half < 2; ++half)
        for (int pixel = 0; pixel < 4; ++pixel) {
            float sum = sum_of_warp(square[half][pixel]);
            if (threadIdx.x % 32 == 0) squares[threadIdx.x / 32][half][pixel] = sum;
        }
    // Also makes the products visible that other threads of the block wrote.
    __syncthreads();
    for (int at = threadIdx.x; at < PIXELS * a.queries; at += 256) {
        int pixel = at % PIXELS, query = at / PIXELS, inner = pixel % (2 * QUADS), quad = inner / 2;
        int row = 2 * source_row + pixel / (2 * QUADS), column = first_column + inner;
        if (column >= width) continue;
        int corner = pixel / (2 * QUADS) * 2 + inner % 2, warp = quad % 4 * 2;
        float length = squares[warp][quad / 4][corner] + squares[warp + 1][quad / 4][corner];
        float *logit = a.logits + ((window * a.queries + query) * height + row) * width + column;
        // A feature of zeros is similar to nothing, not NaN.
        *logit = *logit * rsqrtf(fmaxf(length, 1e-24f)) + a.of_cls[window * a.queries + query];
    }
}
