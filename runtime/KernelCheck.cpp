//===- KernelCheck.cpp - whether a kernel's results are right ------------------===//

#include "runtime/KernelCheck.h"
#include "runtime/DType.h"
#include "runtime/LowPrecision.h"

#include <algorithm>
#include <cstdio>

using namespace flashc;

namespace {
/// Every row, or some of them: of up to four heads the first and last rows, where masks have their edges, and evenly
/// spaced ones between.
std::vector<RowIndex> chooseRows(const ProblemSizes &sizes, int64_t most) {
  std::vector<RowIndex> rows;
  const int64_t heads = sizes.batch * sizes.heads, all = heads * sizes.queries;
  const bool some = most > 0 && most < all;
  const int64_t someHeads = some ? std::clamp<int64_t>(most / 4, 1, std::min<int64_t>(heads, 4)) : heads;
  for (int64_t n = 0; n < someHeads; ++n) {
    const int64_t head = someHeads == 1 ? 0 : n * (heads - 1) / (someHeads - 1);
    const int64_t count = some ? std::min(sizes.queries, std::max<int64_t>(1, most / someHeads)) : sizes.queries;
    for (int64_t r = 0; r < count; ++r)
      rows.push_back({head / sizes.heads, head % sizes.heads,
                      count == 1 ? sizes.queries - 1 : r * (sizes.queries - 1) / (count - 1)});
  }
  return rows;
}

/// The error of the unfused computation in the operands' type. The reference on scores that are rounded on their way
/// gives probabilities; rounding them and the output is what an unfused implementation does between its two products.
double standardError(const AttentionProblem &problem, const std::vector<RowIndex> &rows, const AttentionResult &exact,
                     const flashc_host *host) {
  AttentionProblem rounded = problem;
  const int32_t dtype = problem.q.dtype;
  rounded.scoreMod = [dtype](double score, int64_t, int64_t, int64_t, int64_t) { return roundToDType(score, dtype); };
  Result<AttentionResult> result = referenceRows(rounded, rows, host);
  if (!result)
    return 0;
  double largest = 0;
  for (size_t i = 0; i < exact.out.size(); ++i)
    largest = std::max(largest, std::fabs(roundToDType(result->out[i], dtype) - exact.out[i]));
  return largest;
}

/// The largest errors of out and lse, {out, lse}, of exact arithmetic on operands that are rounded to tf32.
std::pair<double, double> tf32Errors(const AttentionProblem &problem, const std::vector<RowIndex> &rows,
                                     const AttentionResult &exact, const flashc_host *host) {
  AttentionProblem rounded = problem;
  std::vector<float> values[3];
  flashc_tensor *tensors[] = {&rounded.q, &rounded.k, &rounded.v};
  for (size_t n = 0; n < std::size(tensors); ++n) {
    flashc_tensor &tensor = *tensors[n];
    const int64_t count = tensor.size[0] * tensor.size[1] * tensor.size[2] * tensor.size[3];
    const auto bytes = static_cast<int64_t>(flashc_dtype_size(tensor.dtype));
    for (int64_t i = 0; i < count; ++i)
      values[n].push_back(roundToTf32(readAsDouble(static_cast<const char *>(tensor.data) + i * bytes, tensor.dtype)));
    tensor.data = values[n].data();
    tensor.dtype = FLASHC_F32;
  }
  Result<AttentionResult> result = referenceRows(rounded, rows, host);
  if (!result)
    return {0, 0};
  auto largest = [](const std::vector<double> &actual, const std::vector<double> &expected) {
    double error = 0;
    for (size_t i = 0; i < expected.size(); ++i)
      if (std::isfinite(expected[i]))
        error = std::max(error, std::fabs(actual[i] - expected[i]));
    return error;
  };
  return {largest(result->out, exact.out), largest(result->lse, exact.lse)};
}

/// The largest magnitude of each row of out. A row of a few values may cancel to nothing and says little of its scale,
/// so the sum of p |v| stands in for it: an error of the products is relative to that.
std::vector<double> rowMagnitudes(const AttentionProblem &problem, const std::vector<RowIndex> &rows,
                                  const AttentionResult &expected, int64_t columns, const flashc_host *host) {
  constexpr int64_t fewValues = 8;
  std::vector<double> out = expected.out, values;
  AttentionProblem absolute = problem;
  if (columns < fewValues) {
    flashc_tensor &v = absolute.v;
    const int64_t count = v.size[0] * v.size[1] * v.size[2] * v.size[3];
    for (int64_t i = 0; i < count; ++i)
      values.push_back(std::fabs(readAsDouble(
          static_cast<const char *>(v.data) + i * static_cast<int64_t>(flashc_dtype_size(v.dtype)), v.dtype)));
    v.data = values.data();
    v.dtype = FLASHC_F64;
    if (Result<AttentionResult> result = referenceRows(absolute, rows, host))
      out = result->out;
  }
  std::vector<double> magnitudes;
  for (size_t begin = 0; begin < out.size(); begin += static_cast<size_t>(columns)) {
    double magnitude = 0;
    for (int64_t i = 0; i < columns; ++i)
      if (std::isfinite(out[begin + i]))
        magnitude = std::max(magnitude, std::fabs(out[begin + i]));
    magnitudes.push_back(magnitude);
  }
  return magnitudes;
}

/// The listed rows of out [B, Hq, Sq, Dv] or lse [B, Hq, Sq] against the reference.
Comparison compare(const flashc_tensor &actual, const std::vector<RowIndex> &rows, const std::vector<double> &expected,
                   const std::vector<double> &magnitudes, int64_t columns, double relative, double absolute) {
  Comparison comparison;
  const char *data = static_cast<const char *>(actual.data);
  const auto bytes = static_cast<int64_t>(flashc_dtype_size(actual.dtype));
  double worstShare = 0;
  for (size_t n = 0; n < rows.size(); ++n) {
    const double bound = std::max(absolute, relative * magnitudes[n]);
    const int64_t begin = ((rows[n].b * actual.size[1] + rows[n].h) * actual.size[2] + rows[n].i) * columns;
    for (int64_t i = 0; i < columns; ++i) {
      const double value = readAsDouble(data + (begin + i) * bytes, actual.dtype),
                   wanted = expected[n * static_cast<size_t>(columns) + static_cast<size_t>(i)];
      if (value == wanted)
        continue;
      const double error = std::fabs(value - wanted);
      if (!(error <= 1e300)) {
        comparison.nan = true;
        continue;
      }
      const double share = bound > 0 ? error / bound : 1e300;
      if (share > worstShare) {
        worstShare = share;
        comparison.error = error;
        comparison.bound = bound;
      }
    }
  }
  return comparison;
}

std::string describe(const Comparison &comparison) {
  char text[96];
  std::snprintf(text, sizeof(text), "error %.2e of %.2e%s", comparison.error, comparison.bound,
                comparison.nan ? ", NaN or infinity out of place" : "");
  return text;
}
} // namespace

std::string Verdict::describe() const { return "out: " + ::describe(out) + (lse ? "  lse: " + ::describe(*lse) : ""); }

Result<KernelCheck> KernelCheck::create(const KernelProblem &problem, int64_t mostRows, const flashc_host *host) {
  if (!problem.isVerifiable())
    return Error{FLASHC_ERROR_INVALID, "this kernel computes what only its compiler knows (a score function or a whole "
                                       "module); expected q, k, v and no score function"};
  const flashc_tensor *out = problem.find("out");
  if (!out)
    return Error{FLASHC_ERROR_INVALID, "expected an operand called 'out', found none"};
  KernelCheck check;
  check.rows = chooseRows(problem.getSizes(), mostRows);
  const AttentionProblem &reference = problem.getReference();
  Result<AttentionResult> expected = referenceRows(reference, check.rows, host);
  if (!expected)
    return expected.error();
  check.expected = std::move(*expected);
  const bool low = out->dtype == FLASHC_F16 || out->dtype == FLASHC_BF16;
  check.relative = low ? 0 : out->dtype == FLASHC_F64 ? 1e-12 : 1e-5;
  check.absolute = low ? 2 * standardError(reference, check.rows, check.expected, host) : 0;
  if (problem.usesTf32()) {
    const auto [outError, lseError] = tf32Errors(reference, check.rows, check.expected, host);
    check.absolute = 2 * outError;
    check.lseAbsolute = 2 * lseError;
  }
  check.magnitudes = rowMagnitudes(reference, check.rows, check.expected, std::max<int64_t>(out->size[3], 1), host);
  return check;
}

Verdict KernelCheck::judge(const KernelProblem &problem) const {
  Verdict verdict;
  const flashc_tensor *out = problem.find("out"), *lse = problem.find("lse");
  if (!out)
    return {{0, 0, true}, std::nullopt};
  verdict.out = compare(*out, rows, expected.out, magnitudes, std::max<int64_t>(out->size[3], 1), relative, absolute);
  if (lse) {
    // Scores of low precision operands are exact in the accumulator, so lse keeps the accumulator's accuracy.
    const double tolerance = lse->dtype == FLASHC_F64 ? 1e-12 : 1e-5;
    std::vector<double> sizes;
    for (double value : expected.lse)
      sizes.push_back(std::isfinite(value) ? std::fabs(value) : 0);
    verdict.lse = compare(*lse, rows, expected.lse, sizes, 1, tolerance, std::max(tolerance, lseAbsolute));
  }
  return verdict;
}
