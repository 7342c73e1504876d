//===- BufferizeAttention.h - Attention in one-shot bufferization ---------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FLASHC_PASSES_BUFFERIZEATTENTION_H
#define FLASHC_PASSES_BUFFERIZEATTENTION_H

namespace mlir {
class DialectRegistry;
} // namespace mlir

namespace flashc {

/// Teaches one-shot bufferization that attn.sdpa and attn.merge read their inputs and write their outs.
void registerAttentionBufferization(mlir::DialectRegistry &registry);

} // namespace flashc

#endif // FLASHC_PASSES_BUFFERIZEATTENTION_H
