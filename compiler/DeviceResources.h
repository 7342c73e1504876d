/// What a GPU's functions take of a multiprocessor, as the vendor's assembler says.
#ifndef FLASHC_COMPILER_DEVICERESOURCES_H
#define FLASHC_COMPILER_DEVICERESOURCES_H

#include "llvm/ADT/StringRef.h"

#include <cstdint>
#include <string>
#include <vector>

namespace flashc {

/// Of one kernel function.
struct FunctionResources {
  std::string name;
  int64_t registers = 0;       ///< of a thread; of AMD's the vector ones, accumulators among them
  int64_t accumulators = 0;    ///< of these, those that only CDNA's matrix cores and moves reach
  int64_t scalarRegisters = 0; ///< of a wave; AMD
  /// Bytes of a thread that are stored because registers do not hold them.
  int64_t spilledBytes = 0;
  int64_t localBytes = 0; ///< of a thread's memory in all
};

/// What a device's functions take, and where that is from.
struct DeviceResources {
  std::vector<FunctionResources> functions;
  /// "ptxas 13.0", "AMD's metadata"; where nothing is known the reason why.
  std::string source;

  /// The function called `name`, or null.
  const FunctionResources *find(llvm::StringRef name) const;
};

/// Reads what `ptxas -v` prints.
std::vector<FunctionResources> parsePtxasLog(llvm::StringRef log);

/// Reads the metadata at the end of AMD's assembly.
std::vector<FunctionResources> parseAmdMetadata(llvm::StringRef assembly);

} // namespace flashc

#endif // FLASHC_COMPILER_DEVICERESOURCES_H
