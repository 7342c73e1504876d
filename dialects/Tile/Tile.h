//===- Tile.h - The Tile dialect ------------------------------------------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// The Tile dialect says how attention is computed: tiles with a layout, and load, dot, map, reduce and store on them.
///
//===----------------------------------------------------------------------===//

#ifndef FLASHC_DIALECTS_TILE_TILE_H
#define FLASHC_DIALECTS_TILE_TILE_H

#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

#include "dialects/Tile/TileDialect.h.inc"
#include "dialects/Tile/TileEnums.h.inc"

namespace flashc::tile {
/// On a `math.exp2`: the exponent is never positive, so that nothing need guard against overflow.
constexpr llvm::StringLiteral kNonPositiveAttrName = "tile.nonpositive";

/// On a `math.exp2`, an integer: how many bits of the result's significand matter, as it is rounded to so many later.
constexpr llvm::StringLiteral kPrecisionAttrName = "tile.precision";
} // namespace flashc::tile

#define GET_ATTRDEF_CLASSES
#include "dialects/Tile/TileAttrs.h.inc"
#define GET_TYPEDEF_CLASSES
#include "dialects/Tile/TileTypes.h.inc"
#define GET_OP_CLASSES
#include "dialects/Tile/TileOps.h.inc"

#endif // FLASHC_DIALECTS_TILE_TILE_H
