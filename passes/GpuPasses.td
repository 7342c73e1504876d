//===- GpuPasses.td - Passes of the GPU targets ---------------------------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FLASHC_GPUPASSES_TD
#define FLASHC_GPUPASSES_TD

include "mlir/Pass/PassBase.td"

#endif // FLASHC_GPUPASSES_TD
