//===- TileOps.td - Operations on tiles -----------------------------------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FLASHC_TILE_OPS_TD
#define FLASHC_TILE_OPS_TD

include "dialects/Tile/TileBase.td"
include "dialects/Tile/TilePipeOps.td"
include "dialects/Tile/TileTaskOps.td"
include "dialects/Tile/TileThreadOps.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

class Tile_Op<string mnemonic, list<Trait> traits = []> : Op<Tile_Dialect, mnemonic, traits>;

def Tile_SplatOp : Tile_Op<"splat", [Pure]> {
  let summary = "A tile whose elements are all one scalar";
  let description = [{
    ```mlir
    %zero = arith.constant 0.0 : f32
    %acc = tile.splat %zero : f32 -> !tile.tile<24x64xf32>
    ```
  }];
  let arguments = (ins Tile_AnyFloat:$value);
  let results = (outs Tile_AnyTile:$result);
  let assemblyFormat = "$value attr-dict `:` type($value) `->` type($result)";
  let hasVerifier = 1;
}

def Tile_LoadOp : Tile_Op<"load", [AttrSizedOperandSegments]> {
  let summary = "Read a tile from memory, zero outside the valid extent";
  let description = [{
    Element (r, c) of the result is the source's element at `offsets` plus (r, c) along its last two dimensions (plus r
    along the last one for a tile with one element a row), converted to the tile's element type, which is at least as
    wide. `valid` gives the number of rows (and columns) that exist; the rest is zero and is not read. A missing extent
    is the tile's own size.

    With `grouped` the tile's rows run on over one dimension more, as the rows of several query heads do: with n the
    memory's size along the dimension that rows run along, row r lies at `r / n` along the dimension before it and
    `r % n` along it. `streamed` says that nothing else reads the memory again soon, so that a copy of it would not pay.
    `async` starts the load: nobody reads the tile before a `tile.await` of it.

    ```mlir
    %q = tile.load %m[%i, %z] valid(%rows, %d) : memref<?x64xbf16, strided<[?, 1]>> -> !tile.tile<24x64xf32>
    ```
  }];
  let arguments = (ins Arg<AnyMemRef, "", [MemRead]>:$source, Variadic<Index>:$offsets, Variadic<Index>:$valid,
                       UnitAttr:$grouped, UnitAttr:$streamed, UnitAttr:$async);
  let results = (outs Tile_AnyTile:$result);
  let assemblyFormat = [{
    $source `[` $offsets `]` (`grouped` $grouped^)? (`streamed` $streamed^)? (`async` $async^)? (`valid` `(` $valid^ `)`)? attr-dict
    `:` type($source) `->` type($result)
  }];
  let hasVerifier = 1;
}

def Tile_AwaitOp : Tile_Op<"await", [AllTypesMatch<["input", "result"]>]> {
  let summary = "Wait for a load or a product that was started";
  let description = [{
    Of a load: the result is the loaded tile, which all threads of the block see. What they have read before they came here
    may be overwritten by loads that are started later.

    Of a product: the result is the sum, and the memory that its operands lie in may be written again by this thread. Products end in
    the order in which they were started.

    ```mlir
    %k = tile.await %pending : !tile.tile<64x64xbf16, #tile.shared<panel = 128>>
    ```
  }];
  let arguments = (ins Tile_AnyTile:$input);
  let results = (outs Tile_AnyTile:$result);
  let assemblyFormat = "$input attr-dict `:` type($result)";
  let hasVerifier = 1;
}

def Tile_StoreOp : Tile_Op<"store", [AttrSizedOperandSegments]> {
  let summary = "Write the valid extent of a tile to memory";
  let description = [{
    The reverse of `tile.load`; elements are rounded once to the element type of the destination. Nothing outside the
    valid extent is written. `grouped` is as there.

    ```mlir
    tile.store %acc, %m[%i, %z] valid(%rows, %d) : !tile.tile<24x64xf32>, memref<?x64xbf16, strided<[?, 1]>>
    ```
  }];
  let arguments = (ins Tile_AnyTile:$value, Arg<AnyMemRef, "", [MemWrite]>:$destination, Variadic<Index>:$offsets,
                       Variadic<Index>:$valid, UnitAttr:$grouped);
  let assemblyFormat = [{
    $value `,` $destination `[` $offsets `]` (`grouped` $grouped^)? (`valid` `(` $valid^ `)`)? attr-dict
    `:` type($value) `,` type($destination)
  }];
  let hasVerifier = 1;
}

def Tile_DotOp : Tile_Op<"dot", [Pure, AllTypesMatch<["accumulator", "result"]>]> {
  let summary = "accumulator + lhs * rhs, or accumulator + lhs * rhs^T";
  let description = [{
    The product of two tiles, accumulated in the accumulator's element type. With `transposed` the right-hand side is
    columns x contraction, as a tile of keys is. With `skip_zeros` an element of the left-hand side that is zero
    contributes nothing, whatever the right-hand side holds there: a masked probability keeps a NaN value out.
    `async` starts the product: nobody touches the sum, nor what the operands lie in, before a `tile.await` of it. As zeros are
    skipped by looking at the right-hand side first, a product that is started skips none.
    With `tf32` both sides are float32 and are rounded to tf32, the nearest value with 11 bits of significand, ties away from
    zero; one that rounds beyond the largest number is infinite.

    ```mlir
    %s = tile.dot %q, %k, %zero transposed
        : !tile.tile<24x64xf32>, !tile.tile<512x64xf32> -> !tile.tile<24x512xf32>
    ```
  }];
  let arguments = (ins Tile_Matrix:$lhs, Tile_Matrix:$rhs, Tile_Matrix:$accumulator, UnitAttr:$transposed,
                       UnitAttr:$skip_zeros, UnitAttr:$async, UnitAttr:$tf32);
  let results = (outs Tile_Matrix:$result);
  let assemblyFormat = [{
    $lhs `,` $rhs `,` $accumulator (`transposed` $transposed^)? (`skip_zeros` $skip_zeros^)? (`async` $async^)?
    (`tf32` $tf32^)? attr-dict
    `:` type($lhs) `,` type($rhs) `->` type($result)
  }];
  let hasVerifier = 1;
}

def Tile_MapOp : Tile_Op<"map", [RecursiveMemoryEffects, AttrSizedOperandSegments,
                                 SingleBlockImplicitTerminator<"::flashc::tile::YieldOp">]> {
  let summary = "An elementwise function of tiles, of rows and of positions";
  let description = [{
    For each element (r, c) of the result the region is evaluated once on the inputs' elements at (r, c), on element r of
    inputs with one element a row, and, where an `origin` is given, on the positions `origin[0] + r` and `origin[1] + c`
    (for a result with one element a row: `origin[0] + r` alone), passed as the last block arguments. The region is
    scalar code, which the target vectorises: masks, biases and score functions are written once, as scalars. It may
    use values from above and read memory, but has no other side effects. It is evaluated at every position of the
    tile, also beyond the valid extent, so the region clamps the indices of what it reads.

    ```mlir
    %x = tile.map ins(%s : !tile.tile<24x512xf32>) origin(%i0, %j0) {
    ^bb0(%e: f32, %i: index, %j: index):
      %in = arith.cmpi sle, %j, %i : index
      %y = arith.select %in, %e, %minus_infinity : f32
      tile.yield %y : f32
    } -> !tile.tile<24x512xf32>
    ```
  }];
  let arguments = (ins Variadic<Tile_AnyTile>:$inputs, Variadic<Index>:$origin);
  let results = (outs Tile_AnyTile:$result);
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = [{
    (`ins` `(` $inputs^ `:` type($inputs) `)`)? (`origin` `(` $origin^ `)`)? $body attr-dict `->` type($result)
  }];
  let hasVerifier = 1;
  let hasRegionVerifier = 1;
  let skipDefaultBuilders = 1;
  let builders = [
    OpBuilder<(ins "::flashc::tile::TileType":$result, "::mlir::ValueRange":$inputs, "::mlir::ValueRange":$origin,
      "::llvm::function_ref<::mlir::Value(::mlir::OpBuilder &, ::mlir::Location, ::mlir::ValueRange)>":$body)>];
}

def Tile_YieldOp : Tile_Op<"yield", [Pure, Terminator, HasParent<"MapOp">]> {
  let summary = "The element that a map's region computes";
  let arguments = (ins Tile_AnyFloat:$value);
  /// For the implicit terminator: the verifier reports that it yields nothing.
  let builders = [OpBuilder<(ins), [{ (void)$_state; }]>];
  let assemblyFormat = "$value attr-dict `:` type($value)";
}

def Tile_ReductionMax : I32EnumAttrCase<"max", 0>;
def Tile_ReductionSum : I32EnumAttrCase<"sum", 1>;
def Tile_ReductionKind : I32EnumAttr<"ReductionKind", "how a row is reduced", [Tile_ReductionMax, Tile_ReductionSum]> {
  let cppNamespace = "::flashc::tile";
}

def Tile_ReduceOp : Tile_Op<"reduce", [Pure, AllTypesMatch<["init", "result"]>]> {
  let summary = "Reduce each row of a tile";
  let description = [{
    `max` may ignore a NaN beside a number, as the hardware does (the row still yields NaN through the exponential of
    its NaN score); `sum` may add in any order, which is fixed for a given tile size and target. Columns beyond the
    valid extent, which a product takes from its right-hand side, do not take part, whatever they hold.

    ```mlir
    %m = tile.reduce max %x, %m0 : !tile.tile<24x512xf32> -> !tile.tile<24xf32>
    ```
  }];
  let arguments = (ins Tile_ReductionKind:$kind, Tile_Matrix:$input, Tile_Rows:$init);
  let results = (outs Tile_Rows:$result);
  let assemblyFormat = "$kind $input `,` $init attr-dict `:` type($input) `->` type($result)";
  let hasVerifier = 1;
}

def Tile_PackOp : Tile_Op<"pack", [AttrSizedOperandSegments]> {
  let summary = "Copy a strip of an operand into packed memory";
  let description = [{
    Copies `valid` rows of the source, from `offsets` on, to the strip of `destination` that `indices` select, in the
    order in which a dot reads them, widened to the destination's element type and padded with zeros to whole vectors of
    the layout's lanes. With `transposed`
    the strip's rows are the columns of the dot (keys of q * k^T) and the source's columns are contracted; without it the
    source's rows are contracted (values of p * v). With n source columns and panels of width w, the destination's last
    three dimensions are strips x n x w if transposed, and ceil(n / w) x rows x w if not; `indices` are those of the
    dimensions before them, then the strip, or the first row, which is a multiple of the layout's `kpack`. With a `kpack`
    of g the contracted dimension (n, or rows) holds ceil(n / g) groups and the last one w * g elements.

    ```mlir
    tile.pack %k[%b, %h, %j, %z] valid(%n) into %packed[%b, %h, %s] transposed <width = 64, lanes = 16>
        : memref<?x?x?x64xf32>, memref<?x?x?x64x64xf32>
    ```
  }];
  let arguments = (ins Arg<AnyMemRef, "", [MemRead]>:$source, Variadic<Index>:$offsets, Index:$valid,
                       Arg<AnyMemRef, "", [MemWrite]>:$destination, Variadic<Index>:$indices,
                       UnitAttr:$transposed, Tile_PanelLayout:$layout);
  let assemblyFormat = [{
    $source `[` $offsets `]` `valid` `(` $valid `)` `into` $destination `[` $indices `]` (`transposed` $transposed^)?
    $layout attr-dict `:` type($source) `,` type($destination)
  }];
  let hasVerifier = 1;
}

def Tile_ViewOp : Tile_Op<"view", [Pure]> {
  let summary = "A tile that lies packed in memory, read where it is";
  let description = [{
    Nothing is copied: the tile's layout is the one in which `tile.pack` wrote it. `indices` select the first strip or
    row, as there; `valid` is the number of rows of the tile that exist.

    ```mlir
    %k = tile.view %packed[%b, %h, %s] valid(%n)
        : memref<?x?x?x64x64xf32> -> !tile.tile<512x64xf32, #tile.panels<width = 64, lanes = 16>>
    ```
  }];
  let arguments = (ins AnyMemRef:$source, Variadic<Index>:$indices, Index:$valid);
  let results = (outs Tile_Matrix:$result);
  let assemblyFormat = "$source `[` $indices `]` `valid` `(` $valid `)` attr-dict `:` type($source) `->` type($result)";
  let hasVerifier = 1;
}

def Tile_FloatVector : VectorOfRankAndType<[1], [F64, F32, F16, BF16]>;

def Tile_GroupDotOp : Tile_Op<"group_dot", [Pure, AllTypesMatch<["lhs", "rhs"]>,
                                           AllTypesMatch<["accumulator", "result"]>]> {
  let summary = "On native vectors: each sum plus the products of one group of neighbours";
  let description = [{
    With g elements of the operands for each element of the accumulator, `result[i] = accumulator[i] + lhs[g*i] *
    rhs[g*i] + ... + lhs[g*i+g-1] * rhs[g*i+g-1]`, in the accumulator's element type; the order of the additions and
    their rounding are the target's. It is what a product of tiles of narrow elements becomes on a CPU; `expand-math`
    makes it one instruction where there is one.

    ```mlir
    %s = tile.group_dot %a, %b, %c : vector<32xbf16>, vector<16xf32>
    ```
  }];
  let arguments = (ins Tile_FloatVector:$lhs, Tile_FloatVector:$rhs, Tile_FloatVector:$accumulator);
  let results = (outs Tile_FloatVector:$result);
  let assemblyFormat = "$lhs `,` $rhs `,` $accumulator attr-dict `:` type($lhs) `,` type($result)";
  let hasVerifier = 1;
}

#endif // FLASHC_TILE_OPS_TD
