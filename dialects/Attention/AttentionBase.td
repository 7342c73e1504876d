//===- AttentionBase.td - The Attention dialect ---------------------------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FLASHC_ATTENTION_BASE_TD
#define FLASHC_ATTENTION_BASE_TD

include "mlir/IR/OpBase.td"

def Attention_Dialect : Dialect {
  let name = "attn";
  let cppNamespace = "::flashc::attn";
  let summary = "What an attention computes";
  let description = [{
    The Attention dialect says *what*: shapes, masks as attributes of one interface, a score function as a region. It
    knows nothing of a target. Shapes are q `[B, Hq, Sq, D]`, k `[B, Hkv, Sk, D]`, v `[B, Hkv, Sk, Dv]`,
    out `[B, Hq, Sq, Dv]`, lse `[B, Hq, Sq]`; query head `h` reads key head `h / (Hq / Hkv)`.
  }];
  let useDefaultAttributePrinterParser = 1;
  // What tiling an operation makes of its operands: slices and views at computed positions.
  let dependentDialects = ["::flashc::tile::TileDialect", "::mlir::affine::AffineDialect",
                           "::mlir::arith::ArithDialect", "::mlir::memref::MemRefDialect",
                           "::mlir::tensor::TensorDialect"];
}

#endif // FLASHC_ATTENTION_BASE_TD
