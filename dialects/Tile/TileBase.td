//===- TileBase.td - The Tile dialect, its layouts and types --------------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FLASHC_TILE_BASE_TD
#define FLASHC_TILE_BASE_TD

include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/BuiltinTypeInterfaces.td"
include "mlir/IR/EnumAttr.td"
include "mlir/IR/OpBase.td"

def Tile_Dialect : Dialect {
  let name = "tile";
  let cppNamespace = "::flashc::tile";
  let summary = "Operations on tiles that a target's matrix unit works on";
  let description = [{
    The Tile dialect says *how*: a tile is a small two-dimensional value (or one value a row) that a target keeps near
    its arithmetic: native vector registers and first-level cache on a CPU, fragments spread over threads on a GPU.
    The same loop of tile operations reaches every target; a target is a set of layouts, an expansion of each
    operation, and a schedule. Tiles are SSA values with value semantics; where they live is the target's choice.

    Elements outside the valid extent of a load are zero.
  }];
  let useDefaultTypePrinterParser = 1;
  let useDefaultAttributePrinterParser = 1;
}

//===----------------------------------------------------------------------===//
// Layouts
//===----------------------------------------------------------------------===//

class Tile_Attr<string name, string attrMnemonic> : AttrDef<Tile_Dialect, name> { let mnemonic = attrMnemonic; }

def Tile_RegisterLayout : Tile_Attr<"RegisterLayout", "registers"> {
  let summary = "Accumulators of a dot in native vector registers";
  let description = [{
    A dot into a tile with this layout is computed in blocks of `rows` x (`vectors` * `lanes`) accumulators, all of
    which stay in registers while the contraction runs. Rows are contiguous in memory between operations. Registers of
    a matrix unit hold `height` rows each, those of vectors one.

    Example: 24 accumulators of AVX-512: `#tile.registers<rows = 6, vectors = 4, lanes = 16>`; 2 x 2 tiles of AMX:
    `#tile.registers<rows = 32, vectors = 2, lanes = 16, height = 16>`.
  }];
  let parameters = (ins "int64_t":$rows, "int64_t":$vectors, "int64_t":$lanes,
                        DefaultValuedParameter<"int64_t", "1">:$height);
  let assemblyFormat = "`<` struct(params) `>`";
  let genVerifyDecl = 1;
}

def Tile_PanelLayout : Tile_Attr<"PanelLayout", "panels"> {
  let summary = "The right-hand operand of a dot, packed in panels of columns";
  let description = [{
    Columns are grouped in panels of `width`, native vectors of `lanes` side by side; within a panel the contraction
    index is outermost, so that a dot reads its operand in one forward stream. `kpack` consecutive elements of the
    contraction lie side by side for each column, as instructions that multiply and add groups of narrow elements
    (vdpbf16ps, bfdot, AMX) take them; a contraction that is not a multiple of `kpack`, and the last panel, are padded
    with zeros.

    A matrix unit's register takes `depth` steps of the contraction and `lanes` columns at once. With a `depth` those
    elements lie in one piece: each `depth` steps of a panel are as many such pieces as the panel has vectors, in each of
    them the contraction is outermost, and the contraction is padded with zeros to whole pieces.

    Example: keys of bf16 for vdpbf16ps: `#tile.panels<width = 64, lanes = 16, kpack = 2>`; for AMX, whose tile of the
    right-hand side is one kilobyte: `#tile.panels<width = 32, lanes = 16, kpack = 2, depth = 32>`.
  }];
  let parameters = (ins "int64_t":$width, "int64_t":$lanes, DefaultValuedParameter<"int64_t", "1">:$kpack,
                        DefaultValuedParameter<"int64_t", "0">:$depth);
  let assemblyFormat = "`<` struct(params) `>`";
  let extraClassDeclaration = [{
    /// What the contraction is padded to a multiple of.
    int64_t getContractionGranule() const { return getDepth() ? getDepth() : getKpack(); }
    /// How many groups of `kpack` packed memory holds for `size` contracted elements.
    int64_t getNumGroups(int64_t size) const {
      return ::llvm::alignTo(size, getContractionGranule()) / getKpack();
    }
    /// Elements that one step of the contraction takes along a panel: the last dimension of packed memory.
    int64_t getUnitWidth() const { return getWidth() * getKpack(); }
  }];
  let genVerifyDecl = 1;
}

def Tile_InPlaceLayout : Tile_Attr<"InPlaceLayout", "in_place"> {
  let summary = "The right-hand operand of a dot, read where it lies";
  let description = [{
    Nothing is copied: the dot reads the loaded memory itself, in vectors of `lanes` elements along its rows, and widens them
    in registers. It is for operands that are read once, by few rows, at the speed of the memory they come from.
  }];
  let parameters = (ins "int64_t":$lanes);
  let assemblyFormat = "`<` struct(params) `>`";
  let genVerifyDecl = 1;
}

def Tile_FragmentLayout : Tile_Attr<"FragmentLayout", "fragment"> {
  let summary = "A tile spread over the registers of a block's threads";
  let description = [{
    The fragments of a matrix unit. `warps` subgroups of threads divide the rows evenly, in order. A subgroup's rows and
    all columns are divided in blocks of `block` rows x columns, the last ones padded; in each block every thread of the
    subgroup holds 2^n elements, with n the number of entries in `registers`. Element `e` of lane `l` is at the sum of the
    (row, column) pairs in `registers` at the bits that are set in `e` and of those in `lanes` at the bits set in `l`. A
    lane's pair of (0, 0) says that the lanes that differ in that bit hold the same. So one attribute describes the
    accumulators and operands of mma, wgmma, MFMA and WMMA as their manuals draw them, and the blocks of plain arithmetic.

    A tile with one element a row has the layout of a matrix of those rows; a thread holds the rows it has elements of.

    A subgroup is what executes the unit's instructions together: a warp, a wave, or a *warpgroup*, four warps on Hopper.
    So the layout says which unit a product uses.

    Example: the accumulators of `mma.sync.m16n8k16`:
    `#tile.fragment<warps = 4, block = [16, 8], lanes = [0, 2, 0, 4, 1, 0, 2, 0, 4, 0], registers = [0, 1, 8, 0]>`, where
    each pair of numbers is one bit's row and column. Those of `wgmma` on two warpgroups:
    `#tile.fragment<warps = 2, block = [64, 8], lanes = [0, 2, 0, 4, 1, 0, 2, 0, 4, 0, 16, 0, 32, 0], registers = [0, 1, 8, 0]>`.
  }];
  let parameters = (ins "int64_t":$warps, ArrayRefParameter<"int64_t">:$block, ArrayRefParameter<"int64_t">:$lanes,
                        ArrayRefParameter<"int64_t">:$registers);
  let assemblyFormat = [{
    `<` `warps` `=` $warps `,` `block` `=` `[` $block `]` `,` `lanes` `=` `[` $lanes `]` `,`
        `registers` `=` `[` $registers `]` `>`
  }];
  let extraClassDeclaration = [{
    /// Threads of a subgroup.
    int64_t getSubgroupSize() const { return int64_t(1) << (getLanes().size() / 2); }
    /// Whether a subgroup is a warpgroup, whose products run by themselves and read shared memory.
    bool isWarpgroup() const { return getSubgroupSize() == 128; }
    /// Elements that a thread holds of each block.
    int64_t getBlockElements() const { return int64_t(1) << (getRegisters().size() / 2); }
    /// The row and column of a thread's element `e` within a block, apart from what its lane adds.
    std::pair<int64_t, int64_t> getOffset(int64_t element) const;
    /// Rows of a tile of `rows` rows that one subgroup holds, whole blocks.
    int64_t getWarpRows(int64_t rows) const;
    /// Blocks of a tile that one subgroup holds, down and across.
    std::pair<int64_t, int64_t> getBlocks(::llvm::ArrayRef<int64_t> shape) const;
  }];
  let genVerifyDecl = 1;
}

def Tile_SharedLayout : Tile_Attr<"SharedLayout", "shared"> {
  let summary = "A tile in the memory that a block's threads share";
  let description = [{
    Columns are divided in panels of `panel` bytes, the last one padded; a panel's rows follow each other. Within a panel the
    sixteen-byte pieces of each row are permuted so that a column of pieces lies in different banks: a byte at offset x is
    at `x xor ((x >> 3) & (panel - 16))`, with x counted from the panel's start, the pattern that the copy units and matrix units of
    Hopper know as 32, 64 and 128-byte swizzles.

    A `transposed` tile's columns lie in memory as such rows, padded with zeros to a multiple of 32, and its rows as such
    columns: the elements of a column are neighbours, for units that take them together.

    With `spread` the number of a row's group of eight takes part in the permutation, its lowest bit as the highest one of
    a piece's number: for units whose lanes read rows 0 to 3 and 8 to 11 together, and for threads that write every eighth row.

    Examples: `#tile.shared<panel = 128>`, `#tile.shared<panel = 64, transposed = true, spread = true>`.
  }];
  let parameters = (ins "int64_t":$panel, DefaultValuedParameter<"bool", "false">:$transposed,
                        DefaultValuedParameter<"bool", "false">:$spread);
  let builders = [AttrBuilder<(ins "int64_t":$panel), [{ return $_get($_ctxt, panel, false, false); }]>];
  let assemblyFormat = "`<` struct(params) `>`";
  let extraClassDeclaration = [{
    /// Rows and columns of a tile as they lie in memory, without the padding of panels.
    std::pair<int64_t, int64_t> getStoredShape(::llvm::ArrayRef<int64_t> shape) const {
      if (getTransposed())
        return {::llvm::alignTo(shape[1], 32), shape[0]};
      return {shape[0], shape[1]};
    }
    /// By how much the pieces of a stored row change places: an exclusive or of bits of its number.
    int64_t getStep(int64_t row) const {
      int64_t pieces = getPanel() / 16, step = row * getPanel() / 128 % pieces, group = row / 8 % pieces;
      return getSpread() ? step ^ group % 2 * (pieces / 2) ^ group / 2 : step;
    }
    /// Bytes of a tile.
    int64_t getBytes(::llvm::ArrayRef<int64_t> shape, int64_t elementBytes) const {
      auto [rows, columns] = getStoredShape(shape);
      return rows * ::llvm::alignTo(columns * elementBytes, getPanel());
    }
  }];
  let genVerifyDecl = 1;
}

//===----------------------------------------------------------------------===//
// Types
//===----------------------------------------------------------------------===//

def Tile_TileType : TypeDef<Tile_Dialect, "Tile", [ShapedTypeInterface]> {
  let mnemonic = "tile";
  let summary = "A tile: rows x columns, or one element a row";
  let description = [{
    Static sizes, rank 1 (one element a row) or 2. The layout, once assigned by a target, says where each element lives.

    Examples: `!tile.tile<24x512xf32>`, `!tile.tile<24xf32>`,
    `!tile.tile<24x512xf32, #tile.registers<rows = 6, vectors = 4, lanes = 16>>`.
  }];
  let parameters = (ins ArrayRefParameter<"int64_t">:$shape, "::mlir::Type":$elementType,
                        OptionalParameter<"::mlir::Attribute">:$layout);
  let builders = [
    TypeBuilderWithInferredContext<(ins "::llvm::ArrayRef<int64_t>":$shape, "::mlir::Type":$elementType,
                                        CArg<"::mlir::Attribute", "{}">:$layout), [{
      return $_get(elementType.getContext(), shape, elementType, layout);
    }]>];
  let hasCustomAssemblyFormat = 1;
  let genVerifyDecl = 1;
  let extraClassDeclaration = [{
    bool hasRank() const { return true; }
    TileType cloneWith(std::optional<::llvm::ArrayRef<int64_t>> shape, ::mlir::Type elementType) const {
      return TileType::get(elementType.getContext(), shape.value_or(getShape()), elementType, getLayout());
    }
    TileType withLayout(::mlir::Attribute layout) const {
      return TileType::get(getContext(), getShape(), getElementType(), layout);
    }
  }];
}

def Tile_AnyFloat : AnyTypeOf<[F64, F32, F16, BF16]>;
def Tile_Rows : Type<CPred<"::llvm::isa<::flashc::tile::TileType>($_self) && "
                           "::llvm::cast<::flashc::tile::TileType>($_self).getShape().size() == 1">,
                     "tile with one element a row", "::flashc::tile::TileType">;
def Tile_Matrix : Type<CPred<"::llvm::isa<::flashc::tile::TileType>($_self) && "
                             "::llvm::cast<::flashc::tile::TileType>($_self).getShape().size() == 2">,
                       "tile of rows and columns", "::flashc::tile::TileType">;
def Tile_AnyTile : AnyTypeOf<[Tile_Rows, Tile_Matrix], "tile", "::flashc::tile::TileType">;

#endif // FLASHC_TILE_BASE_TD
