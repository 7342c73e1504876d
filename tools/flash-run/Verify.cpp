/// flash-run --verify: the tolerances of the contract.
///
/// float64: 1e-12 and float32: 1e-5, relative to the largest magnitude of the row. float16 and bfloat16: the largest
/// error is at most twice that of the standard computation, which keeps scores, probabilities and output in that type.
#include "Commands.h"
#include "LowPrecision.h"
#include "Problem.h"

#include "runtime/DType.h"

#include <algorithm>
#include <cstdio>

namespace flashc {
namespace {

/// The error of the unfused computation in the operands' type, for one problem.
double standardError(const Problem &problem, const AttentionResult &exact) {
  // The reference on scores that are rounded on their way gives probabilities; rounding them and the output is what an
  // unfused implementation does between its two products.
  const AttentionProblem &p = problem.getReference();
  AttentionProblem rounded = p;
  int32_t dtype = p.q.dtype;
  rounded.scoreMod = [dtype](double score, int64_t, int64_t, int64_t, int64_t) { return roundToDType(score, dtype); };
  Result<AttentionResult> result = referenceAttention(rounded);
  if (!result)
    return 0;
  double largest = 0;
  for (size_t i = 0; i < exact.out.size(); ++i)
    largest = std::max(largest, std::fabs(roundToDType(result->out[i], dtype) - exact.out[i]));
  return largest;
}

/// The largest magnitude of each row of out. A row of a few values may cancel to nothing and says little of its scale,
/// so the sum of p |v| stands in for it: an error of the products is relative to that.
std::vector<double> rowMagnitudes(const Problem &problem, const AttentionResult &expected, int64_t row) {
  constexpr int64_t fewValues = 8;
  std::vector<double> out = expected.out, values;
  AttentionProblem absolute = problem.getReference();
  if (row < fewValues) {
    flashc_tensor &v = absolute.v;
    int64_t count = v.size[0] * v.size[1] * v.size[2] * v.size[3];
    for (int64_t i = 0; i < count; ++i)
      values.push_back(
          std::fabs(readAsDouble(static_cast<const char *>(v.data) + i * flashc_dtype_size(v.dtype), v.dtype)));
    v.data = values.data();
    v.dtype = FLASHC_F64;
    if (Result<AttentionResult> result = referenceAttention(absolute))
      out = result->out;
  }
  std::vector<double> magnitudes;
  for (size_t begin = 0; begin < out.size(); begin += row) {
    double magnitude = 0;
    for (int64_t i = 0; i < row; ++i)
      if (std::isfinite(out[begin + i]))
        magnitude = std::max(magnitude, std::fabs(out[begin + i]));
    magnitudes.push_back(magnitude);
  }
  return magnitudes;
}

struct Comparison {
  double error = 0, bound = 0;
  bool nan = false;
};

/// out [B, Hq, Sq, Dv] or lse [B, Hq, Sq] against the reference; `magnitudes` has one value for each row.
Comparison compare(const flashc_tensor &actual, const std::vector<double> &expected,
                   const std::vector<double> &magnitudes, int64_t row, double relative, double absolute) {
  Comparison comparison;
  const char *data = static_cast<const char *>(actual.data);
  size_t size = flashc_dtype_size(actual.dtype);
  double worstShare = 0;
  for (size_t begin = 0; begin < expected.size(); begin += row) {
    double bound = std::max(absolute, relative * magnitudes[begin / row]);
    for (int64_t i = 0; i < row; ++i) {
      double value = readAsDouble(data + (begin + i) * size, actual.dtype), wanted = expected[begin + i];
      if (value == wanted)
        continue;
      double error = std::fabs(value - wanted);
      if (!(error <= 1e300)) {
        comparison.nan = true;
        continue;
      }
      double share = bound > 0 ? error / bound : 1e300;
      if (share > worstShare) {
        worstShare = share;
        comparison.error = error;
        comparison.bound = bound;
      }
    }
  }
  return comparison;
}

std::vector<ProblemSizes> getDefaultSizes() {
  return {{1, 1, 1, 1, 1},    {2, 4, 4, 17, 33},   {1, 4, 2, 128, 128}, {2, 6, 1, 97, 200},
          {1, 2, 2, 1, 1023}, {1, 2, 2, 200, 113}, {3, 2, 2, 64, 1025}, {1, 2, 1, 384, 384},
          {2, 2, 2, 5, 0},    {1, 2, 2, 513, 700}, {0, 2, 2, 8, 8},     {1, 2, 2, 0, 8}};
}
} // namespace

Result<bool> verify(const LoadedPack &pack, const Arguments &arguments) {
  bool good = true;
  for (const ProblemSizes &sizes :
       arguments.sizesGiven ? std::vector<ProblemSizes>{arguments.sizes} : getDefaultSizes()) {
    Result<std::unique_ptr<Problem>> problem = Problem::create(pack, sizes, arguments.seed);
    if (!problem)
      return problem.error();
    if (!(*problem)->isVerifiable())
      return Error{FLASHC_ERROR_INVALID,
                   "this kernel computes what only its compiler knows (a score function or a whole module); "
                   "expected q, k, v and no score function"};
    if (std::optional<Error> error = pack.device->launch(*pack.kernel, (*problem)->getArgs()))
      return Error{error->status, (*problem)->describe() + ": " + error->message};
    Result<AttentionResult> expected = referenceAttention((*problem)->getReference());
    if (!expected)
      return expected.error();

    const flashc_tensor *out = (*problem)->find("out"), *lse = (*problem)->find("lse");
    if (!out)
      return Error{FLASHC_ERROR_INVALID, "expected an operand called 'out', found none"};
    bool low = out->dtype == FLASHC_F16 || out->dtype == FLASHC_BF16;
    double relative = low ? 0 : out->dtype == FLASHC_F64 ? 1e-12 : 1e-5;
    double absolute = low ? 2 * standardError(**problem, *expected) : 0;
    int64_t row = std::max<int64_t>(out->size[3], 1);
    Comparison outputs =
        compare(*out, expected->out, rowMagnitudes(**problem, *expected, row), row, relative, absolute);
    bool passed = !outputs.nan && outputs.error <= outputs.bound;
    std::printf("%-28s out: error %.2e of %.2e", (*problem)->describe().c_str(), outputs.error, outputs.bound);
    if (lse) {
      // Scores of low precision operands are exact in the accumulator, so lse keeps the accumulator's accuracy.
      double tolerance = lse->dtype == FLASHC_F64 ? 1e-12 : 1e-5;
      std::vector<double> magnitudes;
      for (double value : expected->lse)
        magnitudes.push_back(std::isfinite(value) ? std::fabs(value) : 0);
      Comparison sums = compare(*lse, expected->lse, magnitudes, 1, tolerance, tolerance);
      passed &= !sums.nan && sums.error <= sums.bound;
      std::printf("  lse: error %.2e of %.2e", sums.error, sums.bound);
      outputs.nan |= sums.nan;
    }
    std::printf("  %s%s\n", passed ? "ok" : "WRONG", outputs.nan ? " (NaN or infinity out of place)" : "");
    good &= passed;
  }
  return good;
}
} // namespace flashc
