// x W^T for few rows of x: declared here, compiled once for each instruction set.
#pragma once

#include <cstdint>

namespace plumbline {

struct Product {
  const float* inputs;   // [rows, width]
  const float* weights;  // [count, width]
  float* outputs;        // [rows, count]
  int64_t rows, width, count;
};

constexpr int64_t COLUMNS = 3;  // outputs of one tile

// Outputs begin..end of every row.
using Multiply = void (*)(const Product& product, int64_t begin, int64_t end);

namespace portable { extern const Multiply few_rows; }
namespace avx2 { extern const Multiply few_rows; }
namespace avx512 { extern const Multiply few_rows; }

}  // namespace plumbline
