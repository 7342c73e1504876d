//===- ScoreTraits.h - what is done to an attention's scores -------------------===//
#ifndef FLASHC_RUNTIME_SCORETRAITS_H
#define FLASHC_RUNTIME_SCORETRAITS_H

namespace flashc {

/// What is done to scores between the products, as far as tiles depend on it: assign-gpu-tile-sizes reads it from an
/// operation, TunedKernel from a kernel's description.
struct ScoreTraits {
  bool hasMask = false, hasBias = false, hasScore = false, hasSoftcap = false;
  /// Whether a mask reads what is said of each key, or pair - flags, segments, a tensor - and not only numbers of an
  /// entry of the batch.
  bool readsKeys = false;
  /// Whether more than one mask does.
  bool readsKeysOften = false;
  /// Whether a window bounds the keys of a row below, too.
  bool hasWindow = false;

  /// Whether a weight may be zero because its key is not attended, so that a NaN may stand beside it.
  bool skipsZeros() const { return hasMask || hasBias || hasScore; }
};

} // namespace flashc

#endif // FLASHC_RUNTIME_SCORETRAITS_H
