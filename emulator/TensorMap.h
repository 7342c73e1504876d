//===- TensorMap.h - the tensor maps of emulated devices -----------------------===//
//
// A tensor map is opaque: 128 bytes that the driver writes and the copy engine reads. The emulated device has an
// encoding of its own, and refuses what the driver refuses (CUDA Driver API, cuTensorMapEncodeTiled), so that a kernel
// that runs on it finds its maps accepted on the chip.
//
//===----------------------------------------------------------------------===//
#ifndef FLASHC_EMULATOR_TENSORMAP_H
#define FLASHC_EMULATOR_TENSORMAP_H

#include "runtime/Error.h"

#include <cstdint>
#include <optional>

namespace flashc::emulator {

/// What the 128 bytes hold.
struct TensorMap {
  uint32_t magic; ///< tells a map from other bytes
  uint8_t rank, elementBytes, swizzleBytes, fillNan;
  uint8_t dtype, unused[3];
  uint16_t box[5];
  uint8_t elementStride[5], unused2;
  uint64_t address;
  uint64_t size[5];
  uint64_t strideBytes[4]; ///< of dimensions 1 to rank - 1

  static constexpr uint32_t expectedMagic = 0x50414d54; // "TMAP"

  /// How many bytes of shared memory a box takes, and how many bytes arrive at an mbarrier.
  uint64_t boxBytes() const {
    uint64_t bytes = elementBytes;
    for (unsigned i = 0; i < rank; ++i)
      bytes *= box[i];
    return bytes;
  }
};
static_assert(sizeof(TensorMap) <= 128);

/// Writes the map of `what` to the 128 bytes at `map`. FLASHC_ERROR_INVALID, with the rule that `what` breaks.
std::optional<Error> encodeTensorMap(const flashc_tensor_map &what, void *map);

/// Where the copy engine puts byte `address` of a box without swizzle, and where wgmma finds it: the chunks of 16 bytes
/// of a row of 32, 64 or 128 bytes are exchanged by an exclusive or with the number of the 128 bytes that they lie in.
/// PTX ISA, "Swizzling Modes" of tensors, and cute::Swizzle<1|2|3, 4, 3>.
inline uint64_t swizzleAddress(uint64_t address, unsigned swizzleBytes) {
  return address ^ ((address >> 7 & (swizzleBytes ? swizzleBytes / 16 - 1 : 0)) << 4);
}

} // namespace flashc::emulator

#endif // FLASHC_EMULATOR_TENSORMAP_H
