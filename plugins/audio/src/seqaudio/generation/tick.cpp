// One step of a SaShiMi, and many with draws between them; built and called by native.py, which mirrors the structs.
// All arrays are float32. Weights of linear layers lie in tiles of 32 outputs: (tile, input, 32), zero padded; modes
// of state spaces are padded to a multiple of 16, real parts first, then imaginary ones.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

typedef float vec __attribute__((vector_size(64), aligned(4)));
static const int LANES = 16, TILE = 32;

struct Norm { const float *weight, *bias; float shift, eps, floor; };
struct Linear { const float *weight, *bias; int32_t in, out; };
enum Kind { SSM = 0, S5 = 1, FEED_FORWARD = 2 };
enum Activation { NONE = 0, GELU = 1, SILU = 2, RELU = 3 };
struct Block {
    int32_t kind, width, modes, channels, rank, activation, gated, has_linear;
    Norm norm;
    const float *decay, *drive, *read, *skip;
    float *state, *feedback;
    Linear first, second;
};
struct Tier {
    int32_t pool, phase, width, downs, ups;
    Block *down, *up;
    Linear join, split;
    float *pending, *ready;
};
struct Net {
    int32_t batch, tiers, unet, width, centre_width, centres, codes;
    Tier *tier;
    Block *centre;
    const float *embedding;
    Norm norm;
    Linear head;
    float *normed, *wide, *out, *stream, *skips, *joined;  // scratch; `stream`, `skips` and `joined` by tier
    int64_t tier_stride, skip_stride;
};
struct Draw { float temperature, top_p; int32_t top_k; };

static inline vec load(const float *p) { vec v; std::memcpy(&v, p, sizeof v); return v; }
static inline void store(float *p, vec v) { std::memcpy(p, &v, sizeof v); }
static inline float sum(vec v) {
    float a[LANES];
    std::memcpy(a, &v, sizeof v);
    for (int width = LANES / 2; width; width /= 2)
        for (int i = 0; i < width; i++) a[i] += a[i + width];
    return a[0];
}

// e^x to 2e-7 relative, in a form that compilers turn into vector instructions (libm's cannot be inlined).
static inline float exponential(float x) {
    x = x < -87.f ? -87.f : (x > 88.f ? 88.f : x);
    float n = __builtin_rintf(x * 1.44269504f);
    float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    float p = 1.98756915e-4f;
    p = p * r + 1.39819995e-3f;
    p = p * r + 8.33345192e-3f;
    p = p * r + 4.16657963e-2f;
    p = p * r + 1.66666655e-1f;
    p = p * r + 5.00000012e-1f;
    p = p * r * r + r + 1.f;
    int32_t bits = ((int32_t)n + 127) << 23;
    float scale;
    std::memcpy(&scale, &bits, 4);
    return p * scale;
}

// x times the normal distribution function, to 1.5e-7 |x| (Abramowitz and Stegun, 7.1.26).
static inline float gelu(float x) {
    float z = (x < 0 ? -x : x) * 0.70710678f;
    float t = 1.f / (1.f + 0.3275911f * z);
    float p = ((((1.061405429f * t - 1.453152027f) * t + 1.421413741f) * t - 0.284496736f) * t + 0.254829592f) * t;
    float tail = 0.5f * p * exponential(-z * z);
    return x * (x < 0 ? tail : 1.f - tail);
}
static inline float sigmoid(float x) { return 1.f / (1.f + exponential(-x)); }

static void activate(float *__restrict x, int64_t count, int kind) {
    if (kind == GELU) for (int64_t i = 0; i < count; i++) x[i] = gelu(x[i]);
    if (kind == SILU) for (int64_t i = 0; i < count; i++) x[i] *= sigmoid(x[i]);
    if (kind == RELU) for (int64_t i = 0; i < count; i++) x[i] = x[i] < 0 ? 0 : x[i];
}

static void normalise(const Norm &norm, const float *__restrict x, float *__restrict y, int batch, int width) {
    for (int b = 0; b < batch; b++, x += width, y += width) {
        int whole = width / LANES * LANES;
        vec total = {};
        for (int i = 0; i < whole; i += LANES) total += load(x + i);
        float mean = sum(total);
        for (int i = whole; i < width; i++) mean += x[i];
        mean /= width;
        vec squares = {};
        for (int i = 0; i < whole; i += LANES) { vec d = load(x + i) - mean; squares += d * d; }
        float variance = sum(squares);
        for (int i = whole; i < width; i++) variance += (x[i] - mean) * (x[i] - mean);
        variance /= width;
        float scale = 1.f / std::sqrt(std::max(variance, norm.floor) + norm.eps), offset = norm.shift - mean;
        for (int i = 0; i < width; i++) y[i] = (x[i] + offset) * scale * norm.weight[i] + norm.bias[i];
    }
}

// ROWS rows of x (stride in) to out (stride out), or added to it.
template <int ROWS, bool ADD>
static void some_rows(const Linear &layer, const float *__restrict x, float *__restrict out) {
    for (int first = 0; first < layer.out; first += TILE) {
        const float *w = layer.weight + (int64_t)first * layer.in;
        vec sums[ROWS][2];
        for (int r = 0; r < ROWS; r++) { sums[r][0] = load(layer.bias + first); sums[r][1] = load(layer.bias + first + LANES); }
        for (int k = 0; k < layer.in; k++, w += TILE) {
            vec a = load(w), b = load(w + LANES);
            for (int r = 0; r < ROWS; r++) {
                float u = x[(int64_t)r * layer.in + k];
                sums[r][0] += a * u;
                sums[r][1] += b * u;
            }
        }
        int count = std::min(TILE, layer.out - first);
        for (int r = 0; r < ROWS; r++) {
            float got[TILE];
            store(got, sums[r][0]);
            store(got + LANES, sums[r][1]);
            float *to = out + (int64_t)r * layer.out + first;
            for (int i = 0; i < count; i++) to[i] = ADD ? to[i] + got[i] : got[i];
        }
    }
}

template <bool ADD>
static void apply(const Linear &layer, const float *x, float *out, int batch) {
    int b = 0;
    for (; b + 4 <= batch; b += 4) some_rows<4, ADD>(layer, x + (int64_t)b * layer.in, out + (int64_t)b * layer.out);
    for (; b < batch; b++) some_rows<1, ADD>(layer, x + (int64_t)b * layer.in, out + (int64_t)b * layer.out);
}

// VECTORS: vectors of modes, 0 where only known at run time; RANK: likewise -1.
template <int VECTORS, int RANK>
static void recur(const Block &block, const float *__restrict u, float *__restrict y, int batch) {
    const int vectors = VECTORS ? VECTORS : block.modes / LANES, rank = RANK >= 0 ? RANK : block.rank;
    const int modes = vectors * LANES, row = 2 * modes, width = block.width, channels = block.channels;
    for (int h = 0; h < width; h++) {
        const float *decay = block.decay + (int64_t)h * row;
        const float *drive = block.drive + (int64_t)h * (1 + rank) * row;
        const float *read = block.read + (int64_t)h * (channels + rank) * row;
        for (int b = 0; b < batch; b++) {
            float *state = block.state + ((int64_t)h * batch + b) * row;
            float *feedback = block.feedback + ((int64_t)h * batch + b) * rank;
            const float in = u[(int64_t)b * width + h];
            for (int j = 0; j < vectors; j++) {
                const int at = j * LANES;
                vec re = load(state + at), im = load(state + modes + at), dr = load(decay + at), di = load(decay + modes + at);
                vec nr = dr * re - di * im + load(drive + at) * in, ni = dr * im + di * re + load(drive + modes + at) * in;
                for (int i = 0; i < rank; i++) {
                    const float *left = drive + (int64_t)(1 + i) * row + at;
                    nr += load(left) * feedback[i];
                    ni += load(left + modes) * feedback[i];
                }
                store(state + at, nr);
                store(state + modes + at, ni);
            }
            for (int o = 0; o < channels + rank; o++) {
                const float *weights = read + (int64_t)o * row;
                vec total = {};
                for (int j = 0; j < 2 * vectors; j++) total += load(weights + j * LANES) * load(state + j * LANES);
                float got = sum(total);
                if (o < channels) y[((int64_t)b * channels + o) * width + h] = got + block.skip[o * width + h] * in;
                else feedback[o - channels] = got;
            }
        }
    }
}

static void run_ssm(const Net &net, const Block &block, float *x) {
    const int batch = net.batch, width = block.width, inner = block.channels * width, vectors = block.modes / LANES;
    normalise(block.norm, x, net.normed, batch, width);
    if (vectors == 2 && block.rank == 1) recur<2, 1>(block, net.normed, net.wide, batch);
    else if (vectors == 2 && block.rank == 0) recur<2, 0>(block, net.normed, net.wide, batch);
    else recur<0, -1>(block, net.normed, net.wide, batch);
    activate(net.wide, (int64_t)batch * inner, block.activation);
    if (!block.has_linear || !block.gated) {
        if (block.has_linear) apply<true>(block.first, net.wide, x, batch);
        else for (int64_t i = 0; i < (int64_t)batch * width; i++) x[i] += net.wide[i];
        return;
    }
    apply<false>(block.first, net.wide, net.out, batch);
    for (int b = 0; b < batch; b++) {
        const float *__restrict value = net.out + (int64_t)b * 2 * width, *__restrict gate = value + width;
        float *__restrict to = x + (int64_t)b * width;
        for (int i = 0; i < width; i++) to[i] += value[i] * sigmoid(gate[i]);
    }
}

static void run_s5(const Net &net, const Block &block, float *x) {
    const int batch = net.batch, width = block.width, modes = block.modes;
    normalise(block.norm, x, net.normed, batch, width);
    apply<false>(block.first, net.normed, net.wide, batch);
    for (int b = 0; b < batch; b++) {
        float *__restrict re = block.state + (int64_t)b * 2 * modes, *__restrict im = re + modes;
        const float *__restrict in = net.wide + (int64_t)b * 2 * modes;
        for (int j = 0; j < modes; j++) {
            float a = block.decay[j] * re[j] - block.decay[modes + j] * im[j] + in[j];
            im[j] = block.decay[j] * im[j] + block.decay[modes + j] * re[j] + in[modes + j];
            re[j] = a;
        }
        for (int i = 0; i < width; i++) x[(int64_t)b * width + i] += block.skip[i] * net.normed[(int64_t)b * width + i];
    }
    apply<true>(block.second, block.state, x, batch);
}

static void run(const Net &net, const Block &block, float *x) {
    if (block.kind == SSM) return run_ssm(net, block, x);
    if (block.kind == S5) return run_s5(net, block, x);
    normalise(block.norm, x, net.normed, net.batch, block.width);
    apply<false>(block.first, net.normed, net.wide, net.batch);
    activate(net.wide, (int64_t)net.batch * block.first.out, GELU);
    apply<true>(block.second, net.wide, x, net.batch);
}

static void add(float *__restrict x, const float *__restrict y, int64_t count) {
    for (int64_t i = 0; i < count; i++) x[i] += y[i];
}

// Steps tier `number` and, when its pool is full, those below; x (B, D) becomes its output.
static void tick(Net &net, int number, float *x) {
    const bool inner = number == net.tiers;
    Tier *tier = inner ? nullptr : net.tier + number;
    const int width = inner ? net.centre_width : tier->width, batch = net.batch;
    const int64_t count = (int64_t)batch * width;
    float *skips = net.skips + number * net.skip_stride;
    if (inner) {
        std::memcpy(skips, x, count * sizeof(float));
        for (int i = 0; i < net.centres; i++) run(net, net.centre[i], x);
        add(x, skips, count);
        return;
    }
    int kept = 0;
    for (int i = 0; i < tier->downs; i++) {
        std::memcpy(skips + kept++ * count, x, count * sizeof(float));
        run(net, tier->down[i], x);
    }
    for (int b = 0; b < batch; b++) {
        const int64_t at = ((int64_t)b * tier->pool + tier->phase) * width;
        std::memcpy(tier->pending + at, x + (int64_t)b * width, width * sizeof(float));
        add(x + (int64_t)b * width, tier->ready + at, width);
    }
    if (!net.unet) std::memcpy(skips, x, count * sizeof(float));
    for (int i = 0; i < tier->ups; i++) {
        run(net, tier->up[i], x);
        if (net.unet) add(x, skips + --kept * count, count);
    }
    if (!net.unet) add(x, skips, count);
    if (++tier->phase < tier->pool) return;
    tier->phase = 0;
    float *joined = net.joined + number * net.tier_stride;
    apply<false>(tier->join, tier->pending, joined, batch);
    tick(net, number + 1, joined);
    apply<false>(tier->split, joined, tier->ready, batch);
}

extern "C" void seqaudio_step(Net *net, const int64_t *codes, float *logits) {
    for (int b = 0; b < net->batch; b++)
        std::memcpy(net->stream + (int64_t)b * net->width, net->embedding + codes[b] * net->width, net->width * sizeof(float));
    tick(*net, 0, net->stream);
    // The stream is scratch from here on: the norm may not write where it reads.
    normalise(net->norm, net->stream, net->normed, net->batch, net->width);
    apply<false>(net->head, net->normed, logits, net->batch);
}

// Draws a code from logits by inverting the distribution at `uniform`; the law is that of sampling.py.
extern "C" int64_t seqaudio_draw(const float *logits, int codes, const Draw *draw, double uniform, float *log_likelihood) {
    static thread_local std::vector<double> weight;
    static thread_local std::vector<int> order;
    weight.resize(codes);
    const int best = int(std::max_element(logits, logits + codes) - logits);
    const double top = logits[best];
    double total = 0;
    for (int i = 0; i < codes; i++) total += weight[i] = exponential(float(logits[i] - top));
    int code = best;
    if (draw->temperature > 0) {
        if ((draw->top_k > 0 && draw->top_k < codes) || draw->top_p < 1) {
            order.resize(codes);
            for (int i = 0; i < codes; i++) order[i] = i;
            std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return logits[a] > logits[b]; });
            int keep = draw->top_k > 0 ? std::min(draw->top_k, codes) : codes;
            double held = 0, before = 0;
            for (int i = 0; i < keep; i++) held += weight[order[i]];
            int last = 0;
            for (; last < keep && (last == 0 || before < draw->top_p * held); last++) before += weight[order[last]];
            for (int i = last; i < codes; i++) weight[order[i]] = 0;
        }
        double mass = 0;
        for (int i = 0; i < codes; i++)
            if (weight[i] > 0) mass += weight[i] = exponential(float((logits[i] - top) / draw->temperature));
        double reached = 0;
        const double wanted = uniform * mass;
        for (int i = 0; i < codes; i++) {
            if (weight[i] <= 0) continue;
            code = i;
            reached += weight[i];
            if (reached > wanted) break;
        }
    }
    *log_likelihood = float(logits[code] - top - std::log(total));
    return code;
}

// `count` steps with draws: `codes` (B) go in and are the last drawn; uniforms (count, B); drawn and scores (count, B).
extern "C" void seqaudio_run(Net *net, int count, const Draw *draw, const double *uniforms, int64_t *codes, int64_t *drawn,
                             float *scores, float *logits) {
    for (int t = 0; t < count; t++) {
        seqaudio_step(net, codes, logits);
        for (int b = 0; b < net->batch; b++) {
            const int64_t at = (int64_t)t * net->batch + b;
            codes[b] = drawn[at] = seqaudio_draw(logits + (int64_t)b * net->codes, net->codes, draw, uniforms[at], scores + at);
        }
    }
}
