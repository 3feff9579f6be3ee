// x W^T for few rows of x, LANES floats at a time. Compiled with -DVARIANT and -DLANES for each instruction set.
//
// While decoding, the weights are read once for a handful of rows: the time to read them is the floor. Libraries pack W
// first, which pays for many rows only. Here a tile of up to 4 rows and 3 outputs stays in registers, W passes by as it
// lies in memory, and the next rows of W are on their way meanwhile.
//
// Each output is the sum of LANES partial sums over the width, whatever the number of rows: an answer does not depend on
// those beside it.
#include "products.h"

#include <cstring>

namespace plumbline::VARIANT {
namespace {

typedef float Floats __attribute__((vector_size(LANES * sizeof(float))));

constexpr int64_t ROWS = 4;

inline Floats load(const float* from) {
  Floats value;
  std::memcpy(&value, from, sizeof(value));
  return value;
}

inline float total(Floats values) {
  for (int half = LANES / 2; half > 0; half /= 2)
    for (int lane = 0; lane < half; ++lane) values[lane] += values[lane + half];
  return values[0];
}

// R rows of x times C rows of W; meanwhile this tile's part of the C rows of W that come next is asked for.
template <int R, int C>
inline void tile(const Product& product, int64_t row, int64_t column, int shift) {
  const int64_t width = product.width;
  const float* x = product.inputs + row * width;
  const float* w = product.weights + column * width;
  const float* next = w + C * width + (row / ROWS) * (width >> shift);
  Floats sums[R][C] = {};
  int64_t k = 0;
  for (; k + LANES <= width; k += LANES) {
    Floats weights[C];
    for (int c = 0; c < C; ++c) {
      weights[c] = load(w + c * width + k);
      __builtin_prefetch(next + c * width + (k >> shift));
    }
    for (int r = 0; r < R; ++r) {
      const Floats inputs = load(x + r * width + k);
      for (int c = 0; c < C; ++c) sums[r][c] += inputs * weights[c];
    }
  }
  for (int r = 0; r < R; ++r)
    for (int c = 0; c < C; ++c) {
      float sum = total(sums[r][c]);
      for (int64_t rest = k; rest < width; ++rest) sum += x[r * width + rest] * w[c * width + rest];
      product.outputs[(row + r) * product.count + column + c] = sum;
    }
}

template <int C>
inline void all_rows(const Product& product, int64_t column) {
  // Reading ahead is spread over the tiles, or the later ones would wait for nothing and the first for everything.
  int shift = 0;
  while ((ROWS << shift) < product.rows) ++shift;
  int64_t row = 0;
  for (; row + ROWS <= product.rows; row += ROWS) tile<ROWS, C>(product, row, column, shift);
  switch (product.rows - row) {
    case 3: return tile<3, C>(product, row, column, shift);
    case 2: return tile<2, C>(product, row, column, shift);
    case 1: return tile<1, C>(product, row, column, shift);
  }
}

void multiply(const Product& product, int64_t begin, int64_t end) {
  int64_t column = begin;
  for (; column + COLUMNS <= end; column += COLUMNS) all_rows<COLUMNS>(product, column);
  if (end - column == 2) all_rows<2>(product, column);
  if (end - column == 1) all_rows<1>(product, column);
}

}  // namespace

const Multiply few_rows = multiply;

}  // namespace plumbline::VARIANT
