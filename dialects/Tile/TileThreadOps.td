//===- TileThreadOps.td - What one thread of a GPU does -------------------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FLASHC_TILE_THREAD_OPS_TD
#define FLASHC_TILE_THREAD_OPS_TD

include "dialects/Tile/TileBase.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

class Tile_ThreadOp<string mnemonic, list<Trait> traits = []> : Op<Tile_Dialect, mnemonic, traits>;

def Tile_FragmentVector : VectorOfRankAndType<[1], [F64, F32, F16, BF16]>;

def Tile_ConvertOp : Tile_ThreadOp<"convert", [Pure]> {
  let summary = "The same tile in another layout";
  let description = [{
    Between the fragments of two products it is mostly free: the accumulators of one block are the left-hand side's elements
    of the next, in other registers or the same ones.

    ```mlir
    %b = tile.convert %a : !tile.tile<16x16xbf16> -> !tile.tile<16x16xbf16, #tile.shared<panel = 32>>
    ```
  }];
  let arguments = (ins Tile_Matrix:$input);
  let results = (outs Tile_Matrix:$result);
  let assemblyFormat = "$input attr-dict `:` type($input) `->` type($result)";
  let hasVerifier = 1;
}

def Tile_MmaOp : Tile_ThreadOp<"mma", [Pure, AllTypesMatch<["accumulator", "result"]>]> {
  let summary = "One instruction of a matrix unit, as a thread sees it";
  let description = [{
    The threads of a subgroup multiply a `shape[0]` x `shape[2]` block by a `shape[2]` x `shape[1]` one and add an accumulator;
    each thread passes its own elements of the three, in the order of the unit's fragments. All threads of the subgroup
    come here together. Of f32 elements the unit reads what `tile.round_tf32` leaves.

    ```mlir
    %d = tile.mma %a, %b, %c shape [16, 8, 16] : vector<8xbf16>, vector<4xbf16>, vector<4xf32>
    ```
  }];
  let arguments = (ins Tile_FragmentVector:$lhs, Tile_FragmentVector:$rhs, Tile_FragmentVector:$accumulator,
                       DenseI64ArrayAttr:$shape);
  let results = (outs Tile_FragmentVector:$result);
  let assemblyFormat = [{
    $lhs `,` $rhs `,` $accumulator `shape` $shape attr-dict `:` type($lhs) `,` type($rhs) `,` type($result)
  }];
  let hasVerifier = 1;
}

def Tile_RoundTf32Op : Tile_ThreadOp<"round_tf32", [Pure, AllTypesMatch<["input", "result"]>]> {
  let summary = "Elements rounded to tf32, in the place of f32 ones";
  let description = [{
    To the nearest number with 11 bits of significand, ties away from zero; the other 13 bits are zero. (`cvt.rna.tf32.f32` of PTX.)

    ```mlir
    %r = tile.round_tf32 %x : vector<4xf32>
    ```
  }];
  let arguments = (ins AnyTypeOf<[F32, VectorOfRankAndType<[1], [F32]>]>:$input);
  let results = (outs AnyTypeOf<[F32, VectorOfRankAndType<[1], [F32]>]>:$result);
  let assemblyFormat = "$input attr-dict `:` type($result)";
}

def Tile_VectorLoadOp : Tile_ThreadOp<"vector_load"> {
  let summary = "A thread's read of neighbouring elements, aligned to a vector of them";
  let description = [{
    `index` counts elements of one-dimensional memory. The address is a multiple of the vector's bytes: whoever makes the operation
    knows it, or has asked. (Where a chip's accesses to global memory may begin at any element, `vector.load` makes those that do.)

    ```mlir
    %x = tile.vector_load %m[%i] : memref<?xf32, #gpu.address_space<workgroup>> -> vector<4xf32>
    ```
  }];
  let arguments = (ins Arg<MemRefRankOf<[AnyType], [1]>, "", [MemRead]>:$memory, Index:$index);
  let results = (outs Tile_FragmentVector:$result);
  let assemblyFormat = "$memory `[` $index `]` attr-dict `:` type($memory) `->` type($result)";
  let hasVerifier = 1;
}

def Tile_LoadOrZeroOp : Tile_ThreadOp<"load_or_zero"> {
  let summary = "A thread's read of sixteen bytes of global memory that may not exist";
  let description = [{
    Reads neighbouring elements from `index + offset` on; what `exists` says is not there is not read, and zero. `index` is the same
    in all threads of a subgroup, `offset` counts less than 2 GiB from there: so an instruction that checks bounds can do it without a
    branch. The address is a multiple of an element's size. (Buffer loads of AMD, which begin anywhere.)

    ```mlir
    %x = tile.load_or_zero %m[%i + %offset] if %exists : memref<?xbf16> -> vector<8xbf16>
    ```
  }];
  let arguments = (ins Arg<MemRefRankOf<[AnyType], [1]>, "", [MemRead]>:$memory, Index:$index, Index:$offset, I1:$exists);
  let results = (outs Tile_FragmentVector:$result);
  let assemblyFormat = "$memory `[` $index `+` $offset `]` `if` $exists attr-dict `:` type($memory) `->` type($result)";
  let hasVerifier = 1;
}

def Tile_VectorStoreOp : Tile_ThreadOp<"vector_store"> {
  let summary = "A thread's write of neighbouring elements, aligned to a vector of them";
  let description = [{
    `index` and the address are those of `tile.vector_load`.

    ```mlir
    tile.vector_store %x, %m[%i] : vector<4xf32>, memref<?xf32, #gpu.address_space<workgroup>>
    ```
  }];
  let arguments = (ins Tile_FragmentVector:$value, Arg<MemRefRankOf<[AnyType], [1]>, "", [MemWrite]>:$memory,
                       Index:$index);
  let assemblyFormat = "$value `,` $memory `[` $index `]` attr-dict `:` type($value) `,` type($memory)";
  let hasVerifier = 1;
}

def Tile_LoadMatrixOp : Tile_ThreadOp<"load_matrix"> {
  let summary = "Four matrices of eight rows of sixteen bytes from shared memory, as a warp's fragments";
  let description = [{
    Thread l names by `index`, in elements, the eight elements of row `l % 8` of matrix `l / 8`; the result's elements 2m and 2m + 1
    are the thread's of matrix m, those of row `l / 4` at columns `2 (l % 4)` and one beyond; with `transposed` rows and
    columns of each matrix change places. A row of f32 has four elements, and the result's element m is the thread's of matrix m, that
    of row `l / 4` at column `l % 4`; such matrices cannot be transposed. (`ldmatrix.x4` of PTX.)

    ```mlir
    %x = tile.load_matrix %m[%i] transposed : memref<?xbf16, #gpu.address_space<workgroup>> -> vector<8xbf16>
    ```
  }];
  let arguments = (ins Arg<MemRefRankOf<[F32, F16, BF16], [1]>, "", [MemRead]>:$memory, Index:$index,
                       UnitAttr:$transposed);
  let results = (outs Tile_FragmentVector:$result);
  let assemblyFormat = "$memory `[` $index `]` (`transposed` $transposed^)? attr-dict `:` type($memory) `->` type($result)";
  let hasVerifier = 1;
}

def Tile_CopyAsyncOp : Tile_ThreadOp<"copy_async"> {
  let summary = "Start to copy sixteen bytes from global to shared memory";
  let description = [{
    What `exists` says is not there is not read; zeros are written. The copy is done after a `tile.copy_wait` of the
    same thread, and seen by others after a barrier behind that. (`cp.async` of PTX.)

    ```mlir
    tile.copy_async %m[%i], %s[%j] if %exists
        : memref<?xbf16>, memref<?xbf16, #gpu.address_space<workgroup>>
    ```
  }];
  let arguments = (ins Arg<MemRefRankOf<[AnyType], [1]>, "", [MemRead]>:$source, Index:$index,
                       Arg<MemRefRankOf<[AnyType], [1]>, "", [MemWrite]>:$destination, Index:$position, I1:$exists);
  let assemblyFormat = [{
    $source `[` $index `]` `,` $destination `[` $position `]` `if` $exists attr-dict `:` type($source) `,` type($destination)
  }];
  let hasVerifier = 1;
}

def Tile_CopyCommitOp : Tile_ThreadOp<"copy_commit", [MemoryEffects<[MemWrite]>]> {
  let summary = "Close a group of asynchronous copies: all that the thread started since the last one";
  let assemblyFormat = "attr-dict";
}

def Tile_CopyWaitOp : Tile_ThreadOp<"copy_wait", [MemoryEffects<[MemRead, MemWrite]>]> {
  let summary = "Wait until at most `pending` of the thread's latest groups of copies are still under way";
  let arguments = (ins I64Attr:$pending);
  let assemblyFormat = "$pending attr-dict";
}

def Tile_ScheduleFenceOp : Tile_ThreadOp<"schedule_fence", [MemoryEffects<[MemRead, MemWrite]>]> {
  let summary = "The code generator moves no instruction across; nothing is executed";
  let description = [{
    A scheduler that hides the latency of reads brings as many of them forward as there are in a block of code. What they read stays in
    registers until products use it; a fence says how far ahead is far enough.

    ```mlir
    tile.schedule_fence
    ```
  }];
  let assemblyFormat = "attr-dict";
}

def Tile_WarpgroupMmaOp : Tile_ThreadOp<"warpgroup_mma", [AttrSizedOperandSegments,
                                                          MemoryEffects<[MemRead, MemWrite]>]> {
  let summary = "Start the product of 64 rows and a tile in shared memory by a warpgroup";
  let description = [{
    The left-hand side are 64 rows of a tile in shared memory, of which `lhs_index` names the first element and `lhs_tile` says how
    it lies, or a thread's fragments of them, blocks of 64 x 16. The right-hand side begins at `rhs_index` and lies as `rhs_tile`
    says; with `transposed` its rows are the product's columns. What is contracted and is not a multiple of 16 is padded with
    zeros. The result are the thread's elements of blocks of 64 x 8; without `accumulate` the sums begin at zero.

    The 128 threads of the warpgroup come here together and go on at once. Until `tile.warpgroup_wait` says that the product is
    done, its results may only be passed on, and its operands are read. The products of one operation are one group. (`wgmma` of PTX.)

    ```mlir
    %s = tile.warpgroup_mma (%q)[%i], %k[%j] transposed {lhs_tile = !tile.tile<64x64xbf16, #tile.shared<panel = 128>>,
                                                        rhs_tile = !tile.tile<8x64xbf16, #tile.shared<panel = 128>>}
        : (memref<4096xbf16, 3>), memref<512xbf16, 3> -> vector<4xf32>
    ```
  }];
  let arguments = (ins Variadic<AnyTypeOf<[Tile_FragmentVector, MemRefRankOf<[F16, BF16], [1]>]>>:$lhs,
                       Optional<Index>:$lhs_index, MemRefRankOf<[F16, BF16], [1]>:$rhs, Index:$rhs_index,
                       Variadic<Tile_FragmentVector>:$accumulators, UnitAttr:$transposed,
                       OptionalAttr<TypeAttrOf<Tile_Matrix>>:$lhs_tile, TypeAttrOf<Tile_Matrix>:$rhs_tile);
  let results = (outs Variadic<Tile_FragmentVector>:$results);
  let assemblyFormat = [{
    `(` $lhs `)` (`[` $lhs_index^ `]`)? `,` $rhs `[` $rhs_index `]` (`transposed` $transposed^)?
    (`accumulate` `(` $accumulators^ `:` type($accumulators) `)`)? attr-dict
    `:` `(` type($lhs) `)` `,` type($rhs) `->` type($results)
  }];
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    /// Columns of the product.
    int64_t getColumns() { return getNumResults() * 8; }
    /// Steps of the contraction, 16 elements each, the last one padded.
    int64_t getSteps();
  }];
}

def Tile_WarpgroupWaitOp : Tile_ThreadOp<"warpgroup_wait", [MemoryEffects<[MemRead, MemWrite]>]> {
  let summary = "Wait until at most `pending` of the warpgroup's latest products are still under way";
  let description = [{
    The results are the sums that are done now: nothing that uses them comes before the wait.

    ```mlir
    %done = tile.warpgroup_wait 1 (%s) : (vector<4xf32>) -> vector<4xf32>
    ```
  }];
  let arguments = (ins I64Attr:$pending, Variadic<Tile_FragmentVector>:$values);
  let results = (outs Variadic<Tile_FragmentVector>:$results);
  let assemblyFormat = "$pending `(` $values `)` attr-dict `:` functional-type($values, $results)";
  let hasVerifier = 1;
}

#endif // FLASHC_TILE_THREAD_OPS_TD
