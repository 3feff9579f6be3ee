// The softmax of one row of logits, and its gradient: declared here, compiled once for each instruction set.
//
// V vocabulary. a: logits as the GEMM gave them; z = softcap * tanh(a / softcap) / temperature; p = softmax(z).
#pragma once

#include <cstdint>

namespace plumbline {

struct Shape {
  int64_t vocabulary;  // V, at least 1
  float inverse_temperature;
  float softcap;  // 0: none
};

struct Stats {
  float logp;     // log p[id], never above 0
  float entropy;  // -sum_j p_j log p_j, never below 0
  float peak;     // max_j z_j
  float log_sum;  // log sum_j exp(z_j - peak): kept apart from peak, because their sum would lose digits
};

// d loss / d logp, d entropy and d lse of one row.
struct Upstream {
  float logp;
  float entropy;
  float lse;
};

struct RowKernels {
  const char* name;
  Stats (*measure)(const float* row, int64_t id, const Shape& shape);
  // Overwrites the row's logits a with d loss / d a.
  void (*gradient)(float* row, int64_t id, const Shape& shape, const Stats& stats, const Upstream& upstream);
};

namespace portable { extern const RowKernels kernels; }
namespace avx2 { extern const RowKernels kernels; }
namespace avx512 { extern const RowKernels kernels; }

}  // namespace plumbline
