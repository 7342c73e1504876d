//===- AttentionOps.td - What an attention computes -----------------------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FLASHC_ATTENTION_OPS_TD
#define FLASHC_ATTENTION_OPS_TD

include "dialects/Attention/AttentionAttrs.td"
include "dialects/Tile/TileBase.td"
include "mlir/Interfaces/DestinationStyleOpInterface.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

class Attention_Op<string mnemonic, list<Trait> traits = []> : Op<Attention_Dialect, mnemonic, traits>;

def Attention_Operand : AnyTypeOf<[AnyRankedTensor, AnyMemRef], "tensor or memref">;

def Attention_SdpaOp : Attention_Op<"sdpa", [AttrSizedOperandSegments, DestinationStyleOpInterface,
    DeclareOpInterfaceMethods<MemoryEffectsOpInterface>, RecursiveMemoryEffects,
    SingleBlockImplicitTerminator<"::flashc::attn::YieldOp">]> {
  let summary = "Scaled dot-product attention";
  let description = [{
    For each query row i and key j of batch entry b and query head h, in this order:

    1. `s = scale * dot(q_i, k_j)`; the default scale is `1/sqrt(D)`
    2. the score function: the region, if there is one, with arguments (s, b, h, i, j). A score of -inf is not attended
    3. softcap: `cap * tanh(s / cap)`
    4. the additive bias, whose dimensions are those of `[B, Hq, Sq, Sk]` or 1 (broadcast)
    5. the masks, joined by AND; each reads its `mask_operands` in order
    6. softmax over j; 7. `out_i = sum_j p_ij v_j`, `lse_i = ` natural logarithm of the denominator

    A row with nothing to attend to gives out = 0 and lse = -inf.

    With `tf32` both products of float32 operands round these - queries, keys, values and probabilities - to tf32, 11 bits of
    significand, and accumulate in float32; a target that cannot refuses. Without it float32 is exact.

    On tensors the results are the updated `out` (and `lse`); on memrefs there are none and `out` (and `lse`) are
    written. `position` is given to an operation that computes a part of a larger attention: batch entry, query head, first
    query, first key, and the whole's query and key lengths; bias and mask operands are then the whole's.

    ```mlir
    attn.sdpa ins(%q, %k, %v : memref<?x8x?x64xf32>, memref<?x2x?x64xf32>, memref<?x2x?x64xf32>)
              outs(%out, %lse : memref<?x8x?x64xf32>, memref<?x8x?xf32>)
              masks [#attn.causal<bottom_right>, #attn.key_lengths] (%lengths : memref<?xi32>)
              {scale = 0.125 : f64}
    ```

    On tensors, with ALiBi as a score function, softcap and a broadcast bias:

    ```mlir
    %r = attn.sdpa ins(%q, %k, %v : tensor<2x8x128x64xf32>, tensor<2x8x128x64xf32>, tensor<2x8x128x64xf32>)
        outs(%init : tensor<2x8x128x64xf32>) bias(%bias : tensor<1x8x1x128xf32>)
        score {
        ^bb0(%s: f32, %b: index, %h: index, %i: index, %j: index):
          %distance = arith.subi %i, %j : index
          %n = arith.index_cast %distance : index to i32
          %d = arith.sitofp %n : i32 to f32
          %slope = tensor.extract %slopes[%h] : tensor<8xf32>
          %penalty = arith.mulf %slope, %d : f32
          %x = arith.subf %s, %penalty : f32
          attn.yield %x : f32
        } {softcap = 30.0 : f64} -> tensor<2x8x128x64xf32>
    ```

    Upstream's TilingInterface tiles it over batch, query heads and queries; each part has a `position`.
  }];
  let arguments = (ins Attention_Operand:$query, Attention_Operand:$key, Attention_Operand:$value,
                       Variadic<Attention_Operand>:$mask_operands, Optional<Attention_Operand>:$bias,
                       Variadic<Index>:$position, Attention_Operand:$out, Optional<Attention_Operand>:$lse,
                       DefaultValuedOptionalAttr<Attention_MaskArrayAttr, "{}">:$masks,
                       OptionalAttr<F64Attr>:$scale, OptionalAttr<F64Attr>:$softcap,
                       OptionalAttr<Attention_TilesAttr>:$tiles, UnitAttr:$tf32);
  let results = (outs Variadic<AnyRankedTensor>:$results);
  let regions = (region MaxSizedRegion<1>:$score);
  let hasCustomAssemblyFormat = 1;
  let hasVerifier = 1;
  let hasCanonicalizer = 1;
  let hasFolder = 1;
  let hasRegionVerifier = 1;
  let builders = [
    /// The results follow from `out` and `lse`: one for each that is a tensor. A missing lse or bias is null.
    OpBuilder<(ins "::mlir::Value":$query, "::mlir::Value":$key, "::mlir::Value":$value, "::mlir::Value":$out,
      CArg<"::mlir::Value", "{}">:$lse, CArg<"::llvm::ArrayRef<::mlir::Attribute>", "{}">:$masks,
      CArg<"::mlir::ValueRange", "{}">:$mask_operands, CArg<"::mlir::Value", "{}">:$bias,
      CArg<"std::optional<double>", "std::nullopt">:$scale, CArg<"std::optional<double>", "std::nullopt">:$softcap)>];
  let extraClassDeclaration = [{
    ::mlir::MutableOperandRange getDpsInitsMutable();
    /// The scale that applies: the attribute, else the default.
    double getEffectiveScale();
    /// 1/sqrt(D).
    double getDefaultScale();
    /// The type that scores are accumulated in: f64 for f64 inputs, else f32.
    ::mlir::FloatType getComputeType();
    /// The masks as interfaces, in order.
    ::llvm::SmallVector<::flashc::attn::MaskInterface> getMaskList();
  }];
}

def Attention_OnlineOp : Attention_Op<"online", [AttrSizedOperandSegments, RecursiveMemoryEffects,
    DeclareOpInterfaceMethods<MemoryEffectsOpInterface>,
    SingleBlockImplicitTerminator<"::flashc::attn::YieldOp">]> {
  let summary = "One step of the online softmax over a set of keys";
  let description = [{
    Takes the state (acc, max, sum) of a block of query rows and returns it after attending the keys of `key`: with the scores
    x of this step, in units of log2,

        max' = max(max, rowmax(x))    alpha = exp2(max - max')    p = exp2(x - max')
        sum' = alpha * sum + rowsum(p)    acc' = alpha * acc + p * v

    (Milakov and Gimelshein, 2018; Dao et al., 2022). Rows that have attended nothing keep max = -inf, sum = 0, acc = 0.
    Query, key and value are memrefs of two dimensions (rows x head dim); `position` is batch entry, query head,
    first query, first key, query length, key length of the whole. `attn.normalize` ends the sequence of steps.

    A query of three dimensions (heads x queries x head dim) holds the rows of several query heads of one key head:
    row r is query `r % queries` of head `r / queries`, counted from the position's.

    ```mlir
    %acc1, %max1, %sum1 = attn.online ins(%q, %k, %v : memref<24x64xbf16>, memref<?x64xbf16>, memref<?x64xbf16>)
        state(%acc, %max, %sum : !tile.tile<24x64xf32>, !tile.tile<24xf32>, !tile.tile<24xf32>)
        masks [#attn.causal<top_left>, #attn.bounds] position(%b, %h, %i, %j, %sq, %sk)
        {scale = 0.125 : f64, tiles = #attn.tiles<queries = 24, keys = 512, granule = 64, compute = f32>}
    ```
  }];
  let arguments = (ins AnyMemRef:$query, AnyMemRef:$key, AnyMemRef:$value,
                       Variadic<Attention_Operand>:$mask_operands, Optional<Attention_Operand>:$bias,
                       Variadic<Index>:$position, Tile_Matrix:$acc, Tile_Rows:$max, Tile_Rows:$sum,
                       DefaultValuedOptionalAttr<Attention_MaskArrayAttr, "{}">:$masks, F64Attr:$scale,
                       OptionalAttr<F64Attr>:$softcap, Attention_TilesAttr:$tiles);
  let results = (outs Tile_Matrix:$acc_result, Tile_Rows:$max_result, Tile_Rows:$sum_result);
  let regions = (region MaxSizedRegion<1>:$score);
  let hasCustomAssemblyFormat = 1;
  let hasVerifier = 1;
  let hasRegionVerifier = 1;
  let builders = [
    /// The results have the types of the state.
    OpBuilder<(ins "::mlir::Value":$query, "::mlir::Value":$key, "::mlir::Value":$value, "::mlir::ArrayAttr":$masks,
      "::mlir::ValueRange":$mask_operands, "::mlir::Value":$bias, "::mlir::ValueRange":$position, "::mlir::Value":$acc,
      "::mlir::Value":$max, "::mlir::Value":$sum, "::mlir::FloatAttr":$scale, "::mlir::FloatAttr":$softcap,
      "::flashc::attn::TilesAttr":$tiles)>];
  let extraClassDeclaration = [{
    /// The type that scores are accumulated in: f64 for f64 inputs, else f32.
    ::mlir::FloatType getComputeType();
    /// The masks as interfaces, in order.
    ::llvm::SmallVector<::flashc::attn::MaskInterface> getMaskList();
  }];
}

def Attention_NormalizeOp : Attention_Op<"normalize"> {
  let summary = "The output and the logarithm of the denominator from the state of an online softmax";
  let description = [{
    `out = acc / sum` and `lse = ln(2) * max + ln(sum)`; 0 and -inf for a row that attended nothing. `rows` of the
    block exist. `out` has two dimensions (rows x head dim), `lse` one; or three (heads x queries x head dim) and two,
    for the rows of several query heads.

    ```mlir
    attn.normalize %acc, %max, %sum rows(%n) outs(%out : memref<?x64xbf16>) lse(%lse : memref<?xf32>)
        : !tile.tile<24x64xf32>, !tile.tile<24xf32>, !tile.tile<24xf32>
    ```
  }];
  let arguments = (ins Tile_Matrix:$acc, Tile_Rows:$max, Tile_Rows:$sum, Index:$rows,
                       Arg<AnyMemRef, "", [MemWrite]>:$out, Arg<Optional<AnyMemRef>, "", [MemWrite]>:$lse);
  let assemblyFormat = [{
    $acc `,` $max `,` $sum `rows` `(` $rows `)` `outs` `(` $out `:` type($out) `)`
    (`lse` `(` $lse^ `:` type($lse) `)`)? attr-dict `:` type($acc) `,` type($max) `,` type($sum)
  }];
  let hasVerifier = 1;
}

def Attention_MergeOp : Attention_Op<"merge", [DestinationStyleOpInterface,
    DeclareOpInterfaceMethods<MemoryEffectsOpInterface>]> {
  let summary = "Join the results of two attentions over disjoint sets of keys";
  let description = [{
    `lse = logaddexp(lse_a, lse_b)`, `out = exp(lse_a - lse) out_a + exp(lse_b - lse) out_b`; both sides empty give the
    empty row. Split-KV decoding, cascades and ring attention are all this one operation. A side whose weight is 0
    contributes nothing, whatever it holds. On memrefs the first side may be updated in place.

    ```mlir
    attn.merge ins(%out_a, %lse_a, %out_b, %lse_b
                   : memref<?x8x?x64xbf16>, memref<?x8x?xf32>, memref<?x8x?x64xbf16>, memref<?x8x?xf32>)
               outs(%out_a, %lse_a : memref<?x8x?x64xbf16>, memref<?x8x?xf32>)
    ```
  }];
  let arguments = (ins Attention_Operand:$out_a, Attention_Operand:$lse_a, Attention_Operand:$out_b,
                       Attention_Operand:$lse_b, Attention_Operand:$out, Attention_Operand:$lse);
  let results = (outs Variadic<AnyRankedTensor>:$results);
  let assemblyFormat = [{
    `ins` `(` $out_a `,` $lse_a `,` $out_b `,` $lse_b `:` type($out_a) `,` type($lse_a) `,` type($out_b) `,`
    type($lse_b) `)` `outs` `(` $out `,` $lse `:` type($out) `,` type($lse) `)` attr-dict (`->` type($results)^)?
  }];
  let hasVerifier = 1;
  let hasFolder = 1;
  let extraClassDeclaration = "::mlir::MutableOperandRange getDpsInitsMutable() { return {*this, 4, 2}; }";
}

def Attention_MergeSplitsOp : Attention_Op<"merge_splits"> {
  let summary = "Join the results of attentions over many disjoint sets of keys";
  let description = [{
    What `attn.merge` does for two results, for all parts along the first dimension of `parts` and `part_lse`, in their
    order: `lse = ln(sum_n exp(part_lse_n))`, `out = sum_n exp(part_lse_n - lse) parts_n`. Rows that are empty in all parts
    give the empty row. `tiles.queries` is the most rows (heads x queries) that there can be.

    ```mlir
    attn.merge_splits ins(%parts, %part_lse : memref<?x?x?x64xf32>, memref<?x?x?xf32>)
                      outs(%out : memref<?x?x64xbf16>) lse(%lse : memref<?x?xf32>)
                      {tiles = #attn.tiles<queries = 16, keys = 256, granule = 64, compute = f32, split = 2048>}
    ```
  }];
  let arguments = (ins Arg<AnyMemRef, "", [MemRead]>:$parts, Arg<AnyMemRef, "", [MemRead]>:$part_lse,
                       Arg<AnyMemRef, "", [MemWrite]>:$out, Arg<Optional<AnyMemRef>, "", [MemWrite]>:$lse,
                       Attention_TilesAttr:$tiles);
  let assemblyFormat = [{
    `ins` `(` $parts `,` $part_lse `:` type($parts) `,` type($part_lse) `)` `outs` `(` $out `:` type($out) `)`
    (`lse` `(` $lse^ `:` type($lse) `)`)? attr-dict
  }];
  let hasVerifier = 1;
}

def Attention_YieldOp : Attention_Op<"yield", [Pure, Terminator, ParentOneOf<["SdpaOp", "OnlineOp"]>]> {
  let summary = "The score that a score function computes";
  let arguments = (ins AnyFloat:$value);
  /// For the implicit terminator: the verifier reports that it yields nothing.
  let builders = [OpBuilder<(ins), [{ (void)$_state; }]>];
  let assemblyFormat = "$value attr-dict `:` type($value)";
}

#endif // FLASHC_ATTENTION_OPS_TD
