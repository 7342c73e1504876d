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

/// Whether an access to several elements may begin at any of them on the chip that a kernel is for.
bool hasUnalignedAccess(const flashc_kernel_info &info);

/// What keeps rows of a tensor [B, H, S, D] from being read in pieces of sixteen bytes: "its rows lie 222 bytes apart".
/// "" where they consist of such and begin at such; with `unalignedAccess` where one fits into a row.
std::string whyNoWholePieces(const flashc_tensor &tensor, bool unalignedAccess = false);

/// What keeps a copy engine from a tensor whose pieces are whole; "" where nothing does.
std::string whyNoBoxes(const flashc_tensor &tensor);

} // namespace flashc

#endif // FLASHC_RUNTIME_DEVICES_OPERANDACCESS_H
