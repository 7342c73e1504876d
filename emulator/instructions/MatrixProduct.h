/// The arithmetic of every matrix instruction: accumulator += left * right on whole matrices, row-major.
#ifndef FLASHC_EMULATOR_INSTRUCTIONS_MATRIXPRODUCT_H
#define FLASHC_EMULATOR_INSTRUCTIONS_MATRIXPRODUCT_H

#include <cmath>

namespace flashc::emulator {

/// Sums along the depth in order. For inputs of at most 12 significant bits (f16, bf16, tf32) the products are exact in
/// float, so that each step rounds once, as a fused multiply-add does. Hardware sums several products before it rounds,
/// in an order that no manual states; the difference is within the last places of the accumulator.
inline void addProductsOfNarrow(unsigned rows, unsigned columns, unsigned depth, const float *left, const float *right,
                                float *accumulator) {
  for (unsigned row = 0; row < rows; ++row, accumulator += columns)
    for (unsigned k = 0; k < depth; ++k) {
      float factor = left[row * depth + k];
      for (unsigned column = 0; column < columns; ++column)
        accumulator[column] += factor * right[k * columns + column];
    }
}

/// The same for inputs as wide as the accumulator: a fused multiply-add each.
template <typename T>
void addProducts(unsigned rows, unsigned columns, unsigned depth, const T *left, const T *right, T *accumulator) {
  for (unsigned row = 0; row < rows; ++row, accumulator += columns)
    for (unsigned k = 0; k < depth; ++k)
      for (unsigned column = 0; column < columns; ++column)
        accumulator[column] = std::fma(left[row * depth + k], right[k * columns + column], accumulator[column]);
}

} // namespace flashc::emulator

#endif // FLASHC_EMULATOR_INSTRUCTIONS_MATRIXPRODUCT_H
