/// Exchanging values of any width between the lanes of a subgroup.
#ifndef FLASHC_PASSES_LANEEXCHANGE_H
#define FLASHC_PASSES_LANEEXCHANGE_H

#include "mlir/Dialect/GPU/IR/GPUDialect.h"

namespace flashc {

/// What another lane has of `value`, a number of at most 64 bits or an index: the lane `lane` itself (`idx`), or the
/// one whose number differs in the bits of `lane` (`xor`). Lanes exchange words of 32 bits, as all GPUs do.
mlir::Value exchangeLanes(mlir::OpBuilder &b, mlir::Location loc, mlir::Value value, mlir::gpu::ShuffleMode mode,
                          int64_t lane, int64_t subgroupSize);

} // namespace flashc

#endif // FLASHC_PASSES_LANEEXCHANGE_H
