//===- AttentionOps.cpp - Operations of the Attention dialect -------------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Attention/Attention.h"

using namespace mlir;
using namespace flashc::attn;

#define GET_OP_CLASSES
#include "dialects/Attention/AttentionOps.cpp.inc"
