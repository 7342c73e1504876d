/// The one grammar of masks, as tools and Python write it:
///
///   mask      = clause { "&" clause }
///   clause    = "causal" "(" alignment ")" | "window" "(" left "," right [ "," alignment ] ")" | "key_lengths"
///             | "key_padding" | "prefix_lm" [ "(" alignment ")" ] | "segments" | "tensor"
///   alignment = "top_left" | "bottom_right"
///
/// A window or prefix without an alignment takes that of the other clauses; alignments that differ contradict.
#ifndef FLASHC_COMPILER_MASKGRAMMAR_H
#define FLASHC_COMPILER_MASKGRAMMAR_H

#include "dialects/Attention/Attention.h"

#include <string>

namespace flashc {

/// Parses a mask; "" is no mask. Emits an error at the column of what was not expected, with what was.
mlir::FailureOr<llvm::SmallVector<mlir::Attribute>> parseMask(llvm::StringRef text, mlir::MLIRContext *context);

/// The masks in the grammar, every alignment spelt out; parsing it again gives the same masks.
std::string printMask(llvm::ArrayRef<mlir::Attribute> masks);

} // namespace flashc

#endif // FLASHC_COMPILER_MASKGRAMMAR_H
