// The kernels as PyTorch operators, on PyTorch's own threads: a chunk of C rows of V logits, and x W^T for few rows.
//
// Shapes, dtypes and ranges are checked by the Python callers; the checks here only keep memory safe.
#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <torch/library.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>

#include "products.h"
#include "rows.h"

namespace {

using at::Tensor;
using plumbline::RowKernels;
using plumbline::Shape;
using plumbline::Stats;
using plumbline::Upstream;

constexpr double LOG_RATIO_LIMIT = 20;
constexpr int64_t SMALLEST_PIECE = 32768;  // weights that are worth a thread of their own

const RowKernels& kernels() {
#if defined(__x86_64__)
  static const RowKernels& best = [&]() -> const RowKernels& {
    const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
    if (avx512) return plumbline::avx512::kernels;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return plumbline::avx2::kernels;
    return plumbline::portable::kernels;
  }();
  return best;
#else
  return plumbline::portable::kernels;
#endif
}

// The instruction sets that this machine can run, best first.
const RowKernels& named(const std::string& name) {
  if (name.empty() || name == kernels().name) return kernels();
  if (name == plumbline::portable::kernels.name) return plumbline::portable::kernels;
#if defined(__x86_64__)
  const bool has_avx2 = std::string(kernels().name) != plumbline::portable::kernels.name;
  if (name == plumbline::avx2::kernels.name && has_avx2) return plumbline::avx2::kernels;
#endif
  TORCH_CHECK_VALUE(false, "this machine cannot run the instruction set '", name, "'");
}

// A [C] column of floats, or nothing: then `otherwise` stands in every row.
struct Column {
  Column(const std::optional<Tensor>& tensor, int64_t rows, float otherwise = 0) : otherwise(otherwise) {
    if (!tensor.has_value()) return;
    TORCH_CHECK_VALUE(tensor->scalar_type() == at::kFloat && tensor->is_contiguous() && tensor->numel() == rows,
                      "a column must hold ", rows, " contiguous float32, got ", tensor->sizes());
    data = tensor->data_ptr<float>();
  }
  float operator[](int64_t row) const { return data == nullptr ? otherwise : data[row]; }
  void set(int64_t row, float value) const { if (data != nullptr) data[row] = value; }

  float* data = nullptr;
  float otherwise;
};

struct Chunk {
  Chunk(const Tensor& logits, const Tensor& ids, double temperature, std::optional<double> softcap,
        const std::string& instructions)
      : rows(named(instructions)),
        shape{logits.size(1), float(1 / temperature), float(softcap.value_or(0))},
        count(logits.size(0)),
        logits(logits.data_ptr<float>()),
        ids(ids.data_ptr<int64_t>()) {
    TORCH_CHECK_VALUE(logits.dim() == 2 && logits.is_contiguous() && shape.vocabulary > 0,
                      "logits must be contiguous [C, V], got ", logits.sizes());
    TORCH_CHECK_VALUE(ids.is_contiguous() && ids.numel() == count, "ids must hold ", count, ", got ", ids.sizes());
    for (int64_t c = 0; c < count; ++c)
      TORCH_CHECK_VALUE(this->ids[c] >= 0 && this->ids[c] < shape.vocabulary, "ids holds ", this->ids[c]);
  }

  float* row(int64_t c) const { return logits + c * shape.vocabulary; }
  Stats measure(int64_t c) const { return rows.measure(row(c), ids[c], shape); }
  void gradient(int64_t c, const Stats& stats, const Upstream& upstream) const {
    rows.gradient(row(c), ids[c], shape, stats, upstream);
  }

  const RowKernels& rows;
  Shape shape;
  int64_t count;
  float* logits;
  const int64_t* ids;
};

void measure(const Tensor& logits, const Tensor& ids, double temperature, std::optional<double> softcap,
             const Tensor& logp, const Tensor& entropy, const Tensor& peak, const Tensor& log_sum,
             const std::string& instructions) {
  const Chunk chunk(logits, ids, temperature, softcap, instructions);
  const Column into[] = {{logp, chunk.count}, {entropy, chunk.count}, {peak, chunk.count}, {log_sum, chunk.count}};
  at::parallel_for(0, chunk.count, 1, [&](int64_t begin, int64_t end) {
    for (int64_t c = begin; c < end; ++c) {
      const Stats stats = chunk.measure(c);
      into[0].set(c, stats.logp);
      into[1].set(c, stats.entropy);
      into[2].set(c, stats.peak);
      into[3].set(c, stats.log_sum);
    }
  });
}

void gradient(const Tensor& logits, const Tensor& ids, double temperature, std::optional<double> softcap,
              const std::optional<Tensor>& entropy, const Tensor& peak, const Tensor& log_sum,
              const std::optional<Tensor>& grad_logp, const std::optional<Tensor>& grad_entropy,
              const std::optional<Tensor>& grad_lse, const std::string& instructions) {
  const Chunk chunk(logits, ids, temperature, softcap, instructions);
  const int64_t count = chunk.count;
  const Column entropies(entropy, count), peaks(peak, count), log_sums(log_sum, count);
  const Column for_logp(grad_logp, count), for_entropy(grad_entropy, count), for_lse(grad_lse, count);
  at::parallel_for(0, count, 1, [&](int64_t begin, int64_t end) {
    for (int64_t c = begin; c < end; ++c)
      chunk.gradient(c, {0, entropies[c], peaks[c], log_sums[c]}, {for_logp[c], for_entropy[c], for_lse[c]});
  });
}

// d loss / d logp of one token, the entropy bonus apart; objective.py has the formulas and their sources.
struct Objective {
  double clip_low, clip_high;
  std::optional<double> dual_clip;
  double kl_coef;
  int64_t kl_kind;

  double policy(double logp, double old_logp, double advantage) const {
    const double raw = logp - old_logp;
    if (std::abs(raw) > LOG_RATIO_LIMIT) return 0;
    const double ratio = std::exp(raw);
    const double free = -advantage * ratio;
    const double held = -advantage * std::min(std::max(ratio, 1 - clip_low), 1 + clip_high);
    const bool beyond = dual_clip && advantage < 0 && std::max(free, held) > -advantage * *dual_clip;
    return held > free || beyond ? 0 : free;
  }

  double kl(double logp, double ref_logp) const {
    const double e = ref_logp - logp;
    if (kl_kind == 1) return 1;
    if (kl_kind == 2) return -e;
    return e > LOG_RATIO_LIMIT ? 0 : -std::expm1(e);
  }

  double gradient(double logp, double old_logp, double advantage, double ref_logp) const {
    return policy(logp, old_logp, advantage) + (kl_coef != 0 ? kl_coef * kl(logp, ref_logp) : 0);
  }
};

// Both passes over a row while it is in the cache: logp, entropy, then d loss / d a in place of the logits.
void ppo(const Tensor& logits, const Tensor& ids, double temperature, std::optional<double> softcap,
         const std::optional<Tensor>& old_logp, const Tensor& advantages, const std::optional<Tensor>& ref_logp,
         double clip_low, double clip_high, std::optional<double> dual_clip, double entropy_coef, double kl_coef,
         int64_t kl_kind, double scale, const Tensor& logp, const Tensor& entropy, const Tensor& grad_logp,
         const std::string& instructions) {
  const Chunk chunk(logits, ids, temperature, softcap, instructions);
  const Column old(old_logp, chunk.count), advantage(advantages, chunk.count), ref(ref_logp, chunk.count);
  const Column logps(logp, chunk.count), entropies(entropy, chunk.count), grads(grad_logp, chunk.count);
  const Objective objective{clip_low, clip_high, dual_clip, kl_coef, kl_kind};
  at::parallel_for(0, chunk.count, 1, [&](int64_t begin, int64_t end) {
    for (int64_t c = begin; c < end; ++c) {
      const Stats stats = chunk.measure(c);
      const float before = old_logp ? old[c] : stats.logp;
      const float grad = float(scale * objective.gradient(stats.logp, before, advantage[c], ref[c]));
      logps.set(c, stats.logp);
      entropies.set(c, stats.entropy);
      grads.set(c, grad);
      chunk.gradient(c, stats, {grad, float(-scale * entropy_coef), 0});
    }
  });
}

// A_t = r_t + gamma v_next - v_t + gamma lam A_next over the tokens that take part, from the right; float64 inside.
template <typename Number>
void gae_rows(const Tensor& rewards, const Tensor& values, const Tensor& mask, const Tensor& bootstrap, double gamma,
              double lam, const Tensor& advantages, const Tensor& returns) {
  const int64_t length = values.size(1);
  const Number *r = rewards.data_ptr<Number>(), *v = values.data_ptr<Number>();
  const double* last = bootstrap.data_ptr<double>();
  const bool* here = mask.data_ptr<bool>();
  Number *advantages_out = advantages.data_ptr<Number>(), *returns_out = returns.data_ptr<Number>();
  at::parallel_for(0, values.size(0), 1, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      double next = last[b], running = 0;
      for (int64_t at = (b + 1) * length - 1; at >= b * length; --at) {
        if (here[at]) {
          running = double(r[at]) + gamma * next - double(v[at]) + gamma * lam * running;
          next = double(v[at]);
        }
        advantages_out[at] = here[at] ? Number(running) : 0;
        returns_out[at] = here[at] ? Number(running + next) : 0;
      }
    }
  });
}

void gae(const Tensor& rewards, const Tensor& values, const Tensor& mask, const Tensor& bootstrap, double gamma,
         double lam, const Tensor& advantages, const Tensor& returns) {
  for (const Tensor* tensor : {&rewards, &values, &mask, &advantages, &returns})
    TORCH_CHECK_VALUE(tensor->dim() == 2 && tensor->is_contiguous() && tensor->sizes() == values.sizes(),
                      "shapes must agree");
  TORCH_CHECK_VALUE(bootstrap.is_contiguous() && bootstrap.numel() == values.size(0), "bootstrap must hold one a row");
  const auto rows = values.scalar_type() == at::kDouble ? gae_rows<double> : gae_rows<float>;
  rows(rewards, values, mask, bootstrap, gamma, lam, advantages, returns);
}

plumbline::Multiply few_rows_of(const std::string& instructions) {
#if defined(__x86_64__)
  const std::string name = named(instructions).name;
  if (name == plumbline::avx512::kernels.name) return plumbline::avx512::few_rows;
  if (name == plumbline::avx2::kernels.name) return plumbline::avx2::few_rows;
#endif
  return plumbline::portable::few_rows;
}

Tensor few_rows(const Tensor& inputs, const Tensor& weights, const std::string& instructions) {
  for (const Tensor* tensor : {&inputs, &weights})
    TORCH_CHECK_VALUE(tensor->dim() == 2 && tensor->is_contiguous() && tensor->scalar_type() == at::kFloat,
                      "both must be contiguous float32 matrices, got ", tensor->sizes());
  TORCH_CHECK_VALUE(inputs.size(1) == weights.size(1), "widths must agree");
  Tensor outputs = inputs.new_empty({inputs.size(0), weights.size(0)});
  const plumbline::Product product{inputs.const_data_ptr<float>(), weights.const_data_ptr<float>(),
                                   outputs.data_ptr<float>(), inputs.size(0), inputs.size(1), weights.size(0)};
  const plumbline::Multiply multiply = few_rows_of(instructions);
  const int64_t tiles = (product.count + plumbline::COLUMNS - 1) / plumbline::COLUMNS;
  const int64_t grain = std::max<int64_t>(1, SMALLEST_PIECE / std::max<int64_t>(1, product.width));
  at::parallel_for(0, tiles, grain, [&](int64_t begin, int64_t end) {
    multiply(product, begin * plumbline::COLUMNS, std::min(end * plumbline::COLUMNS, product.count));
  });
  return outputs;
}

std::string instructions() { return kernels().name; }

}  // namespace

TORCH_LIBRARY(plumbline_cpp, library) {
  library.def(
      "measure(Tensor logits, Tensor ids, float temperature, float? softcap, Tensor(a!) logp, Tensor(b!) entropy, "
      "Tensor(c!) peak, Tensor(d!) log_sum, str instructions='') -> ()");
  library.def(
      "gradient(Tensor(a!) logits, Tensor ids, float temperature, float? softcap, Tensor? entropy, Tensor peak, "
      "Tensor log_sum, Tensor? grad_logp, Tensor? grad_entropy, Tensor? grad_lse, str instructions='') -> ()");
  library.def(
      "ppo(Tensor(a!) logits, Tensor ids, float temperature, float? softcap, Tensor? old_logp, Tensor advantages, "
      "Tensor? ref_logp, float clip_low, float clip_high, float? dual_clip, float entropy_coef, float kl_coef, "
      "int kl_kind, float scale, Tensor(b!) logp, Tensor(c!) entropy, Tensor(d!) grad_logp, str instructions='') "
      "-> ()");
  library.def(
      "gae(Tensor rewards, Tensor values, Tensor mask, Tensor bootstrap, float gamma, float lam, Tensor(a!) advantages, "
      "Tensor(b!) returns) -> ()");
  library.def("few_rows(Tensor inputs, Tensor weights, str instructions='') -> Tensor");
  library.def("instructions() -> str", instructions);
}

TORCH_LIBRARY_IMPL(plumbline_cpp, CPU, library) {
  library.impl("measure", measure);
  library.impl("gradient", gradient);
  library.impl("ppo", ppo);
  library.impl("gae", gae);
  library.impl("few_rows", few_rows);
}
