// One row of logits, LANES floats at a time. Compiled with -DVARIANT and -DLANES for each instruction set; GCC's and
// Clang's vector extension turns the same lines into AVX-512, AVX2, SSE or NEON.
//
// Measure, online over blocks that stay in the first-level cache (Milakov and Gimelshein 2018, algorithm 3):
//
//     peak, s = sum_j e^(z_j - peak), w = sum_j e^(z_j - peak) (z_j - peak)
//     log p_j = (z_j - peak) - log s          H = log s - w / s
//
// A block's sums are float, the row's are double: V may be large. s >= 1, so log p <= 0 always.
//
// Gradient, with x_j = z_j - peak and upstream g (logp), h (entropy), l (lse):
//
//     dL/dz_j = g (1[j = id] - p_j) - h p_j (log p_j + H) + l p_j = e^(x_j) (A + B x_j) + g 1[j = id]
//     A = (l - g - h (H - log s)) / s         B = -h / s
//     dL/da_j = dL/dz_j / temperature * (1 - tanh(a_j / softcap)^2)
#include "rows.h"

#include <cmath>
#include <cstring>

namespace plumbline::VARIANT {
namespace {

typedef float Floats __attribute__((vector_size(LANES * sizeof(float))));
typedef int32_t Ints __attribute__((vector_size(LANES * sizeof(int32_t))));

constexpr int64_t BLOCK = 2048;  // floats; 8 KiB
constexpr int64_t UNROLL = 4;
static_assert(BLOCK % (UNROLL * LANES) == 0);

// Far below any logit, yet finite: padding must weigh nothing and spoil nothing.
constexpr float PADDING = -3e38f;
constexpr float SMALLEST = -87.33f;  // exp of this is the smallest normal float

inline Floats load(const float* from) {
  Floats value;
  std::memcpy(&value, from, sizeof(value));
  return value;
}

inline void store(float* to, Floats value) { std::memcpy(to, &value, sizeof(value)); }

inline Floats fill(float value) { return value - Floats{}; }

// Each comparison is so that a NaN on the left stays.
inline Floats at_least(Floats value, float bound) { return value < bound ? fill(bound) : value; }

inline Floats at_most(Floats value, float bound) { return value > bound ? fill(bound) : value; }

// e^x for x in [-87.33, 88], relative error below 2e-7, exactly 1 at 0; NaN stays NaN. x = n ln 2 + r, |r| <= ln 2 / 2.
inline Floats exponential(Floats x) {
  constexpr float ROUND = 12582912.0f;  // 1.5 * 2^23: adding it leaves the nearest integer in the low bits
  const Floats shifted = x * 1.44269504088896341f + ROUND;
  const Floats n = shifted - ROUND;
  const Floats r = (x - n * 0.693359375f) + n * 2.12194440e-4f;  // ln 2 in two parts (Cody and Waite)
  Floats p = r * 1.9875691500e-4f + 1.3981999507e-3f;  // Cephes' expf
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.0f;
  Ints bits;
  std::memcpy(&bits, &shifted, sizeof(bits));
  bits = (bits << 23) + (127 << 23);  // 2^n: the integer sits in the low bits of `shifted`
  Floats power;
  std::memcpy(&power, &bits, sizeof(power));
  return p * power;
}

// Relative error below 4e-7; NaN stays NaN.
inline Floats hyperbolic_tangent(Floats y) {
  const Floats size = y < 0.0f ? -y : y;
  const Floats e = exponential(at_most(size + size, 40.0f));
  const Floats far = 1.0f - 2.0f / (e + 1.0f);
  const Floats q = y * y;
  Floats near = q * -5.70498872745e-3f + 2.06390887954e-2f;  // Cephes' tanhf
  near = near * q - 5.37397155531e-2f;
  near = near * q + 1.33314422036e-1f;
  near = near * q - 3.33332819422e-1f;
  near = near * q * y + y;
  return size < 0.625f ? near : (y < 0.0f ? -far : far);
}

template <bool CAPPED>
inline Floats scale(Floats a, const Shape& shape) {
  if constexpr (CAPPED) a = hyperbolic_tangent(a * (1.0f / shape.softcap)) * shape.softcap;
  return a * shape.inverse_temperature;
}

template <bool CAPPED>
inline float scale_one(float a, const Shape& shape) {
  return scale<CAPPED>(fill(a), shape)[0];
}

inline float largest(Floats values) {
  float most = values[0];
  for (int lane = 1; lane < LANES; ++lane) most = values[lane] > most ? values[lane] : most;
  return most;
}

inline double total(Floats values) {
  double sum = 0;
  for (int lane = 0; lane < LANES; ++lane) sum += values[lane];
  return sum;
}

struct Sums {
  float peak = PADDING;
  double mass = 0;      // sum of e^(z - peak)
  double weighted = 0;  // sum of e^(z - peak) (z - peak)

  // Go over to a higher peak: e^(z - new) = e^(z - old) e^(old - new).
  void raise(float new_peak) {
    const double distance = double(peak) - double(new_peak);
    const double factor = mass > 0 ? std::exp(distance) : 0;
    weighted = mass > 0 ? factor * (weighted + distance * mass) : 0;
    mass *= factor;
    peak = new_peak;
  }
};

// `count` floats at z, a multiple of UNROLL * LANES, already scaled or scaled here by `factor`.
inline void add_block(Sums& sums, const float* z, int64_t count, float factor) {
  Floats most[UNROLL];
  for (auto& lanes : most) lanes = fill(PADDING);
  for (int64_t j = 0; j < count; j += UNROLL * LANES)
    for (int64_t u = 0; u < UNROLL; ++u) {
      const Floats value = load(z + j + u * LANES) * factor;
      most[u] = value > most[u] ? value : most[u];
    }
  float peak = sums.peak;
  for (const auto& lanes : most) peak = largest(lanes) > peak ? largest(lanes) : peak;
  if (peak > sums.peak) sums.raise(peak);
  Floats mass[UNROLL] = {}, weighted[UNROLL] = {};
  for (int64_t j = 0; j < count; j += UNROLL * LANES)
    for (int64_t u = 0; u < UNROLL; ++u) {
      const Floats x = at_least(load(z + j + u * LANES) * factor - peak, SMALLEST);
      const Floats e = exponential(x);
      mass[u] += e;
      weighted[u] += e * x;
    }
  for (int64_t u = 0; u < UNROLL; ++u) {
    sums.mass += total(mass[u]);
    sums.weighted += total(weighted[u]);
  }
}

template <bool CAPPED>
Sums add_row(const float* row, const Shape& shape) {
  Sums sums;
  alignas(64) float block[BLOCK];
  for (int64_t start = 0; start < shape.vocabulary; start += BLOCK) {
    const int64_t left = shape.vocabulary - start;
    if (!CAPPED && left >= BLOCK) {
      add_block(sums, row + start, BLOCK, shape.inverse_temperature);
      continue;
    }
    const int64_t count = left < BLOCK ? left : BLOCK;
    const int64_t padded = (count + UNROLL * LANES - 1) / (UNROLL * LANES) * (UNROLL * LANES);
    std::memcpy(block, row + start, count * sizeof(float));
    for (int64_t j = count; j < padded; ++j) block[j] = 0;
    for (int64_t j = 0; j < padded; j += LANES) store(block + j, scale<CAPPED>(load(block + j), shape));
    for (int64_t j = count; j < padded; ++j) block[j] = PADDING;
    add_block(sums, block, padded, 1.0f);
  }
  return sums;
}

template <bool CAPPED>
Stats measure_row(const float* row, int64_t id, const Shape& shape) {
  const Sums sums = add_row<CAPPED>(row, shape);
  const double log_sum = std::log(sums.mass);
  const double entropy = log_sum - sums.weighted / sums.mass;
  Stats stats;
  stats.peak = sums.peak;
  stats.log_sum = float(log_sum);
  stats.logp = float(double(scale_one<CAPPED>(row[id], shape)) - double(sums.peak) - log_sum);
  stats.entropy = entropy < 0 ? 0.0f : float(entropy);
  return stats;
}

template <bool CAPPED, bool ENTROPY>
inline Floats slope(Floats a, const Shape& shape, float peak, float constant, float linear) {
  Floats chain = fill(1.0f);
  if constexpr (CAPPED) {
    const Floats tangent = hyperbolic_tangent(a * (1.0f / shape.softcap));
    chain = 1.0f - tangent * tangent;
    a = tangent * shape.softcap;
  }
  const Floats x = at_least(a * shape.inverse_temperature - peak, SMALLEST);
  Floats factor = fill(constant);
  if constexpr (ENTROPY) factor += linear * x;
  const Floats result = exponential(x) * factor;
  return CAPPED ? result * chain : result;
}

template <bool CAPPED, bool ENTROPY>
void gradient_row(float* row, int64_t id, const Shape& shape, const Stats& stats, const Upstream& upstream) {
  const double share = shape.inverse_temperature / std::exp(double(stats.log_sum));
  const double entropy_part = double(upstream.entropy) * (double(stats.entropy) - double(stats.log_sum));
  const float constant = float(share * (double(upstream.lse) - double(upstream.logp) - entropy_part));
  const float linear = float(-share * double(upstream.entropy));
  float chosen = upstream.logp * shape.inverse_temperature;
  if (CAPPED) {
    const float tangent = hyperbolic_tangent(fill(row[id] * (1.0f / shape.softcap)))[0];
    chosen *= 1.0f - tangent * tangent;
  }
  const int64_t whole = shape.vocabulary / LANES * LANES;
  for (int64_t j = 0; j < whole; j += LANES)
    store(row + j, slope<CAPPED, ENTROPY>(load(row + j), shape, stats.peak, constant, linear));
  for (int64_t j = whole; j < shape.vocabulary; ++j)
    row[j] = slope<CAPPED, ENTROPY>(fill(row[j]), shape, stats.peak, constant, linear)[0];
  row[id] += chosen;
}

Stats measure(const float* row, int64_t id, const Shape& shape) {
  return shape.softcap > 0 ? measure_row<true>(row, id, shape) : measure_row<false>(row, id, shape);
}

void gradient(float* row, int64_t id, const Shape& shape, const Stats& stats, const Upstream& upstream) {
  if (upstream.logp == 0 && upstream.entropy == 0 && upstream.lse == 0) {
    std::memset(row, 0, shape.vocabulary * sizeof(float));
    return;
  }
  if (shape.softcap > 0) {
    upstream.entropy != 0 ? gradient_row<true, true>(row, id, shape, stats, upstream)
                          : gradient_row<true, false>(row, id, shape, stats, upstream);
  } else {
    upstream.entropy != 0 ? gradient_row<false, true>(row, id, shape, stats, upstream)
                          : gradient_row<false, false>(row, id, shape, stats, upstream);
  }
}

#define PLUMBLINE_TEXT(word) #word
#define PLUMBLINE_NAME(word) PLUMBLINE_TEXT(word)

}  // namespace

extern const RowKernels kernels;
const RowKernels kernels = {PLUMBLINE_NAME(VARIANT), measure, gradient};

}  // namespace plumbline::VARIANT
