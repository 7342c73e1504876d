//===- ConvertWarpgroupToNvvm.h - Warpgroups' products in NVVM ------------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// The part of convert-tile-to-nvvm that is about `wgmma`: inline assembly, as the intrinsics of LLVM 19 have no form
/// with the left-hand side in registers.
///
//===----------------------------------------------------------------------===//

#ifndef FLASHC_PASSES_CONVERTWARPGROUPTONVVM_H
#define FLASHC_PASSES_CONVERTWARPGROUPTONVVM_H

#include "dialects/Tile/Tile.h"

namespace flashc {

/// One statement for the whole contraction: it begins with a fence for the registers and ends a group.
void lowerWarpgroupMma(tile::WarpgroupMmaOp op);

/// A wait that the sums pass through.
void lowerWarpgroupWait(tile::WarpgroupWaitOp op);

} // namespace flashc

#endif // FLASHC_PASSES_CONVERTWARPGROUPTONVVM_H
