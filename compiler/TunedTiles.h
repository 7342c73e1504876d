/// Tiles from the tuning store for a kernel that is about to be compiled.
#ifndef FLASHC_COMPILER_TUNEDTILES_H
#define FLASHC_COMPILER_TUNEDTILES_H

#include "compiler/KernelSpec.h"
#include "compiler/Target.h"
#include "runtime/TunedKernel.h"

namespace flashc {

/// The best tiles known for the kernel of `spec` on this machine, for calls of these sizes; nothing where the store and
/// the entries that come with the package know none. `spec` is one that buildKernelModule accepted.
std::optional<FoundTiles> findTunedTiles(mlir::MLIRContext &context, const KernelSpec &spec, const Target &target,
                                         const ProblemSizes &sizes);

} // namespace flashc

#endif // FLASHC_COMPILER_TUNEDTILES_H
