//===- KernelCheck.h - whether a kernel's results are right --------------------===//
//
// The tolerances of the contract. float64: 1e-12 and float32: 1e-5, relative to the largest magnitude of the row.
// float16 and bfloat16: the largest error is at most twice that of the standard computation, which keeps scores,
// probabilities and output in that type. Products in tf32: twice that of the computation on rounded queries, keys and
// values, for lse, too.
//
//===----------------------------------------------------------------------===//
#ifndef FLASHC_RUNTIME_KERNELCHECK_H
#define FLASHC_RUNTIME_KERNELCHECK_H

#include "runtime/KernelProblem.h"

#include <cstdint>
#include <vector>

namespace flashc {

/// The element that is nearest to its bound.
struct Comparison {
  double error = 0, bound = 0;
  bool nan = false; ///< NaN or infinity where there should be none

  bool passed() const { return !nan && error <= bound; }
};

struct Verdict {
  Comparison out;
  std::optional<Comparison> lse;

  bool passed() const { return out.passed() && (!lse || lse->passed()); }
  /// "error 1.2e-06 of 1.0e-05".
  std::string describe() const;
};

/// What the outputs of a problem have to be, computed once; judges as many kernels as run on the problem.
class KernelCheck {
public:
  /// All rows, or about `mostRows` of them, spread over heads and positions, where that is above 0. Takes the host's
  /// threads. Fails for a problem that only its compiler can judge.
  static Result<KernelCheck> create(const KernelProblem &problem, int64_t mostRows = 0,
                                    const flashc_host *host = flashc_default_host());

  /// Judges what lies in the problem's outputs.
  Verdict judge(const KernelProblem &problem) const;

private:
  std::vector<RowIndex> rows;
  AttentionResult expected;
  std::vector<double> magnitudes; ///< of each row
  double relative = 0, absolute = 0, lseAbsolute = 0;
};

} // namespace flashc

#endif // FLASHC_RUNTIME_KERNELCHECK_H
