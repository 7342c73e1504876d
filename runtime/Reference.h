//===- Reference.h - the float64 oracle --------------------------------------===//
//
// What an attention means, as plain loops: every kernel is compared with it, so it shares no code with the compiler.
//
//===----------------------------------------------------------------------===//
#ifndef FLASHC_RUNTIME_REFERENCE_H
#define FLASHC_RUNTIME_REFERENCE_H

#include "runtime/Error.h"
#include "runtime/include/flashc/runtime.h"

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

namespace flashc {

/// One clause of a mask, as flashc_mask_clause, with the tensors by value. Clauses are joined by AND.
struct MaskClause {
  flashc_mask_kind kind = FLASHC_MASK_CAUSAL;
  flashc_alignment alignment = FLASHC_TOP_LEFT;
  int64_t left = -1;
  int64_t right = -1;
  flashc_tensor tensor{};
  flashc_tensor keyTensor{};

  /// j <= d, where d is i (top left) or i + Sk - Sq (bottom right).
  static MaskClause causal(flashc_alignment alignment);
  /// d - left <= j <= d + right; -1 is unbounded.
  static MaskClause window(int64_t left, int64_t right, flashc_alignment alignment);
  /// j < lengths[b]; lengths [B], integers.
  static MaskClause keyLengths(const flashc_tensor &lengths);
  /// padding[b, j] != 0; padding [B, Sk], bool or i8.
  static MaskClause keyPadding(const flashc_tensor &padding);
  /// j < prefix[b] or j <= d; prefix [B], integers.
  static MaskClause prefixLM(const flashc_tensor &prefix, flashc_alignment alignment);
  /// queryIds[b, i] == keyIds[b, j]; [B, Sq] and [B, Sk], integers.
  static MaskClause segments(const flashc_tensor &queryIds, const flashc_tensor &keyIds);
  /// mask[b, h, i, j] != 0; broadcastable to [B, Hq, Sq, Sk], bool or i8.
  static MaskClause boolean(const flashc_tensor &mask);
  /// mask[b, h, i, j] is added to the score, and -inf is not attended; broadcastable to [B, Hq, Sq, Sk], floats.
  static MaskClause additive(const flashc_tensor &mask);
};

/// An attention over strided views of any type. Order of evaluation, for query i and key j of batch entry b and head h:
/// scale * dot, scoreMod, softcap, bias and ALiBi, masks, softmax with sinks, sum of p * v.
struct AttentionProblem {
  flashc_tensor q{};                  ///< [B, Hq, Sq, D]
  flashc_tensor k{};                  ///< [B, Hkv, Sk, D]; query head h reads key head h / (Hq / Hkv)
  flashc_tensor v{};                  ///< [B, Hkv, Sk, Dv]
  std::optional<double> scale;        ///< absent: 1 / sqrt(D)
  double softcap = 0;                 ///< 0: none; else cap * tanh(s / cap)
  std::optional<flashc_tensor> bias;  ///< broadcastable to [B, Hq, Sq, Sk], from the right as in NumPy
  std::optional<flashc_tensor> alibi; ///< slopes [Hq] or [B, Hq]: adds -slope * |d - j|
  flashc_alignment alibiAlignment = FLASHC_TOP_LEFT;
  std::optional<flashc_tensor> sinks; ///< [Hq]: exp(sink) joins the denominator
  std::vector<MaskClause> masks;
  /// The new score; -inf is not attended. Called from several threads.
  std::function<double(double score, int64_t b, int64_t h, int64_t i, int64_t j)> scoreMod;
  /// Whether i attends j. Called from several threads.
  std::function<bool(int64_t b, int64_t h, int64_t i, int64_t j)> maskMod;
};

/// Row-major results. A row that attends nothing has out 0 and lse -inf (lse = sink where there is a sink).
struct AttentionResult {
  std::vector<double> out; ///< [B, Hq, Sq, Dv]
  std::vector<double> lse; ///< [B, Hq, Sq], natural logarithm of the denominator
};

/// Computes the attention with the tasks on `host` (null: on the calling thread), or says which operand is wrong with
/// expected and actual. NaN and Inf in keys and values that are not attended do not reach the result.
Result<AttentionResult> referenceAttention(const AttentionProblem &problem,
                                           const flashc_host *host = flashc_default_host());

/// Where a row of the output is.
struct RowIndex {
  int64_t b = 0, h = 0, i = 0;
};

/// Some rows of the attention, in the order of `rows`, which is `out` [rows, Dv] and `lse` [rows]: for a problem whose
/// every row would take too long. Neighbours with one batch entry and head share the conversion of its keys and values.
Result<AttentionResult> referenceRows(const AttentionProblem &problem, const std::vector<RowIndex> &rows,
                                      const flashc_host *host = flashc_default_host());

/// referenceAttention into the caller's memory; `lse` may be null.
std::optional<Error> referenceAttention(const AttentionProblem &problem, double *out, double *lse,
                                        const flashc_host *host);

} // namespace flashc

#endif // FLASHC_RUNTIME_REFERENCE_H
