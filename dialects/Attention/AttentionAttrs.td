//===- AttentionAttrs.td - Masks and tile sizes ---------------------------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FLASHC_ATTENTION_ATTRS_TD
#define FLASHC_ATTENTION_ATTRS_TD

include "dialects/Attention/AttentionBase.td"
include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/EnumAttr.td"

//===----------------------------------------------------------------------===//
// The interface of masks
//===----------------------------------------------------------------------===//

def Attention_MaskInterface : AttrInterface<"MaskInterface"> {
  let cppNamespace = "::flashc::attn";
  let description = [{
    A mask answers two questions: which elements are attended (`predicate`), and, for all keys at once, which tiles of
    a block of query rows are empty, partial or full (`classify`). Masks of one operation are joined by AND.
  }];
  let methods = [
    InterfaceMethod<"How many of the operation's mask operands this mask reads.",
      "unsigned", "getNumOperands", (ins), "", "return 0;">,
    InterfaceMethod<[{
        Check the types of this mask's operands (tensors or memrefs; `getNumOperands()` of them) against the
        operation's shapes: `shape` is {B, Hq, Hkv, Sq, Sk, D, Dv}, `ShapedType::kDynamic` where not known.}],
      "::llvm::LogicalResult", "verifyOperands",
      (ins "::llvm::function_ref<::mlir::InFlightDiagnostic()>":$emitError, "::mlir::TypeRange":$types,
           "::llvm::ArrayRef<int64_t>":$shape), "", "return ::llvm::success();">,
    InterfaceMethod<[{
        Emit the scalar i1 that says whether query position `i` attends key position `j` (both index). Positions may lie
        beyond the lengths, so indices of reads are clamped.}],
      "::mlir::Value", "predicate",
      (ins "::mlir::OpBuilder &":$builder, "::mlir::Location":$loc, "const ::flashc::attn::MaskContext &":$context,
           "::mlir::Value":$i, "::mlir::Value":$j)>,
    InterfaceMethod<[{
        Emit, for the block of query positions `[begin, end)`, the range of keys that some row may attend and the range
        that every row attends. See KeyClasses.}],
      "::flashc::attn::KeyClasses", "classify",
      (ins "::mlir::OpBuilder &":$builder, "::mlir::Location":$loc, "const ::flashc::attn::MaskContext &":$context,
           "::mlir::Value":$begin, "::mlir::Value":$end)>,
    InterfaceMethod<[{
        Emit an i1 that is true only if no query of `[queryBegin, queryEnd)` attends a key of `[keyBegin, keyEnd)`, for
        masks whose empty tiles are known only from their operands; null if `classify` says all there is to know.}],
      "::mlir::Value", "tileIsEmpty",
      (ins "::mlir::OpBuilder &":$builder, "::mlir::Location":$loc, "const ::flashc::attn::MaskContext &":$context,
           "::mlir::Value":$queryBegin, "::mlir::Value":$queryEnd, "::mlir::Value":$keyBegin, "::mlir::Value":$keyEnd),
      "", "return {};">,
    InterfaceMethod<"Whether different query heads may attend different keys.", "bool", "dependsOnHead", (ins), "",
      "return false;">,
    InterfaceMethod<"Whether later rows attend more keys, as under a diagonal; blocks of late rows are then started first.",
      "bool", "laterRowsAttendMore", (ins), "", "return false;">,
    InterfaceMethod<[{
        Whether the mask, for these static sizes (`ShapedType::kDynamic` where not known), attends everything. Such a mask is
        removed by canonicalisation.}],
      "bool", "attendsAll", (ins "int64_t":$queryLength, "int64_t":$keyLength), "", "return false;">,
    InterfaceMethod<[{
        Whether the mask attends everything given its operands' values, which are null where they are not constant.}],
      "bool", "operandsAttendAll", (ins "::llvm::ArrayRef<::mlir::Attribute>":$operands, "int64_t":$keyLength), "",
      "return false;">
  ];
}

def Attention_MaskArrayAttr : TypedArrayAttrBase<Attention_MaskInterface, "array of masks">;

//===----------------------------------------------------------------------===//
// Masks
//===----------------------------------------------------------------------===//

class Attention_Attr<string name, string attrMnemonic, list<Trait> traits = []>
    : AttrDef<Attention_Dialect, name, traits> {
  let mnemonic = attrMnemonic;
}

def Attention_TopLeft : I32EnumAttrCase<"TopLeft", 0, "top_left">;
def Attention_BottomRight : I32EnumAttrCase<"BottomRight", 1, "bottom_right">;
def Attention_Alignment : I32EnumAttr<"Alignment", "which corner of the scores the diagonal passes through",
                                      [Attention_TopLeft, Attention_BottomRight]> {
  let cppNamespace = "::flashc::attn";
  let genSpecializedAttr = 0;
}
def Attention_AlignmentParameter : EnumParameter<Attention_Alignment>;

/// A mask without operands, and one with: `operands` says how many.
class Attention_Mask<string name, string attrMnemonic, int operands = 0, list<string> methods = []>
    : Attention_Attr<name, attrMnemonic, [DeclareAttrInterfaceMethods<Attention_MaskInterface,
        !listconcat(["predicate", "classify"],
                    !if(!eq(operands, 0), []<string>, ["getNumOperands", "verifyOperands"]), methods)>]>;

def Attention_CausalAttr : Attention_Mask<"Causal", "causal", 0, ["attendsAll", "laterRowsAttendMore"]> {
  let summary = "No key after the query";
  let description = [{
    `top_left`: `j <= i` (PyTorch's scaled_dot_product_attention). `bottom_right`: `j <= i + Sk - Sq` (FlashAttention,
    ONNX Attention 25). There is no default.
  }];
  let parameters = (ins Attention_AlignmentParameter:$alignment);
  let assemblyFormat = "`` custom<AlignmentParameter>($alignment)";
}

def Attention_WindowAttr : Attention_Mask<"Window", "window", 0, ["attendsAll", "laterRowsAttendMore"]> {
  let summary = "Only keys near the diagonal";
  let description = [{
    `d - left <= j <= d + right`, where `d` is `i` (`top_left`) or `i + Sk - Sq` (`bottom_right`); -1 is unbounded.
  }];
  let parameters = (ins "int64_t":$left, "int64_t":$right, Attention_AlignmentParameter:$alignment);
  let assemblyFormat = "`<` $left `,` $right `,` custom<Alignment>($alignment) `>`";
  let genVerifyDecl = 1;
}

def Attention_KeyLengthsAttr : Attention_Mask<"KeyLengths", "key_lengths", 1, ["operandsAttendAll"]> {
  let summary = "Only the first `lengths[b]` keys of batch entry b";
  let description = "Operand: lengths `[B]`, i32 or i64.";
}

def Attention_KeyPaddingAttr : Attention_Mask<"KeyPadding", "key_padding", 1, ["operandsAttendAll"]> {
  let summary = "Only keys whose flag is set";
  let description = "Operand: flags `[B, Sk]`, i1 or i8, nonzero where attended.";
}

def Attention_PrefixLMAttr : Attention_Mask<"PrefixLM", "prefix_lm", 1, ["laterRowsAttendMore"]> {
  let summary = "Causal, but for a prefix that every query attends";
  let description = [{
    `j < prefix[b]`, or `j` is not after the query by the given alignment. Operand: prefix lengths `[B]`, i32 or i64.
  }];
  let parameters = (ins Attention_AlignmentParameter:$alignment);
  let assemblyFormat = "`` custom<AlignmentParameter>($alignment)";
}

def Attention_SegmentsAttr : Attention_Mask<"Segments", "segments", 2, ["tileIsEmpty"]> {
  let summary = "Only keys of the query's own segment (document)";
  let description = "Operands: segment of each query `[B, Sq]` and of each key `[B, Sk]`, i32 or i64.";
}

def Attention_TensorMaskAttr : Attention_Mask<"TensorMask", "tensor", 1,
                                              ["dependsOnHead", "operandsAttendAll", "tileIsEmpty"]> {
  let summary = "Any boolean tensor";
  let description = [{
    Operand: i1 or i8, of rank 4, each dimension that of `[B, Hq, Sq, Sk]` or 1 (broadcast); nonzero where attended.
  }];
}

def Attention_BoundsAttr : Attention_Mask<"Bounds", "bounds"> {
  let summary = "Only keys that exist";
  let description = [{
    `j < Sk`. Tiling over keys adds it, as a tile may reach beyond the last key; an author never needs it.
  }];
}

//===----------------------------------------------------------------------===//
// Tile sizes
//===----------------------------------------------------------------------===//

def Attention_TilesAttr : Attention_Attr<"Tiles", "tiles"> {
  let summary = "How large the tiles are";
  let description = [{
    `queries` rows and `keys` keys a tile. Loops over keys start and end at multiples of `granule` keys, which divides
    `keys`; it is what a mask's ranges are rounded to. Scores are accumulated in `compute`. The two products take
    queries, keys, values and probabilities in the type `operand`, no wider than `compute`, and `compute` itself where
    it is absent. `tf32` is float32 in memory that the products round.

    `few` are the sizes of the form for few query rows (decoding): where the rows of all query heads that share a key head
    are no more than `few.queries`, they are one tile, and the keys are divided among tasks, `split` of them each, whose
    results are merged. `split` does not depend on how many threads there are, so neither does the result.
  }];
  let parameters = (ins "int64_t":$queries, "int64_t":$keys, "int64_t":$granule, "::mlir::Type":$compute,
                        OptionalParameter<"::mlir::Type">:$operand, DefaultValuedParameter<"int64_t", "0">:$split,
                        OptionalParameter<"::mlir::Attribute">:$few);
  let extraClassDeclaration = [{
    /// What the products take.
    ::mlir::Type getOperandType() const { return getOperand() ? getOperand() : getCompute(); }
    /// The sizes of the form for few query rows; null if there is none.
    TilesAttr getFewTiles() const { return ::llvm::cast_if_present<TilesAttr>(getFew()); }
  }];
  let assemblyFormat = "`<` struct(params) `>`";
  let genVerifyDecl = 1;
}

#endif // FLASHC_ATTENTION_ATTRS_TD
