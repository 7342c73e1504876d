//===- OperandAccess.h - how a GPU's kernel can read an operand ----------------===//
//
// Kernels copy tiles sixteen bytes at a time, or have a copy engine do it, where an operand's memory allows; where not,
// the same code does it element by element, with the same result and slower. Kernels decide at the call (findPieces of
// passes/LowerThreadsMemory.cpp, passes/HostServices.cpp); here is the same decision in words.
//
//===----------------------------------------------------------------------===//
#ifndef FLASHC_RUNTIME_DEVICES_OPERANDACCESS_H
#define FLASHC_RUNTIME_DEVICES_OPERANDACCESS_H

#include "runtime/include/flashc/runtime.h"

#include <string>

namespace flashc {

/// Whether the operand is one of an attention's matrices, which tiles are made of.
bool isMatrix(const flashc_operand_info &operand);

/// Whether an access to several elements may begin at any of them on a kernel's chip: AMD's chips let it.
bool accessesAnywhere(const flashc_kernel_info &info);

/// Whether rows of a tensor [B, H, S, D] consist of pieces of sixteen bytes and begin at such; where accesses may begin
/// anywhere, whether their elements are neighbours.
bool hasWholePieces(const flashc_tensor &tensor, bool anywhere = false);
/// What keeps it from that: "its rows lie 222 bytes apart".
std::string whyNoWholePieces(const flashc_tensor &tensor);

/// What keeps a copy engine from a tensor whose pieces are whole; "" where nothing does.
std::string whyNoBoxes(const flashc_tensor &tensor);

} // namespace flashc

#endif // FLASHC_RUNTIME_DEVICES_OPERANDACCESS_H
