//===- TensorMap.cpp - what the driver accepts, and the emulator's encoding ----===//

#include "emulator/TensorMap.h"

#include <cstring>

using namespace flashc;
using namespace flashc::emulator;

static unsigned elementBytes(int32_t dtype) {
  switch (dtype) {
  case FLASHC_F64:
  case FLASHC_I64:
    return 8;
  case FLASHC_F32:
  case FLASHC_I32:
    return 4;
  case FLASHC_F16:
  case FLASHC_BF16:
    return 2;
  case FLASHC_I8:
  case FLASHC_BOOL:
    return 1;
  default:
    return 0;
  }
}

static Error refuse(std::string message) { return {FLASHC_ERROR_INVALID, "tensor map: " + std::move(message)}; }

static std::string dimension(const char *what, unsigned i, uint64_t value) {
  return std::string(what) + " of dimension " + std::to_string(i) + " is " + std::to_string(value);
}

std::optional<Error> flashc::emulator::encodeTensorMap(const flashc_tensor_map &what, void *map) {
  const unsigned bytes = elementBytes(what.dtype);
  const uint64_t address = reinterpret_cast<uint64_t>(what.address);
  if (reinterpret_cast<uint64_t>(map) % 64)
    return refuse("it has to be 64-byte aligned");
  if (!bytes)
    return refuse("element type " + std::to_string(what.dtype) + " is none that the copy engine knows");
  if (what.rank < 1 || what.rank > 5)
    return refuse("the rank is " + std::to_string(what.rank) + ", expected 1 to 5");
  if (what.interleave)
    return refuse("interleaved layouts are not emulated, interleave has to be 0");
  if (address % 16 || !address)
    return refuse("the tensor's address has to be a multiple of 16 and not null");
  if (what.swizzle != 0 && what.swizzle != 32 && what.swizzle != 64 && what.swizzle != 128)
    return refuse("swizzle is " + std::to_string(what.swizzle) + ", expected 0, 32, 64 or 128");
  if (what.l2_promotion != 0 && what.l2_promotion != 64 && what.l2_promotion != 128 && what.l2_promotion != 256)
    return refuse("l2_promotion is " + std::to_string(what.l2_promotion) + ", expected 0, 64, 128 or 256");
  const bool floating =
      what.dtype == FLASHC_F64 || what.dtype == FLASHC_F32 || what.dtype == FLASHC_F16 || what.dtype == FLASHC_BF16;
  if (what.fill_nan && !floating)
    return refuse("only floating-point elements can be filled with NaN");

  TensorMap encoded{};
  for (unsigned i = 0; i < what.rank; ++i) {
    if (what.size[i] < 1 || what.size[i] > uint64_t(1) << 32)
      return refuse(dimension("the size", i, what.size[i]) + ", expected 1 to 2^32");
    if (what.box[i] < 1 || what.box[i] > 256)
      return refuse(dimension("the box", i, what.box[i]) + ", expected 1 to 256");
    if (what.element_stride[i] < 1 || what.element_stride[i] > 8)
      return refuse(dimension("the element stride", i, what.element_stride[i]) + ", expected 1 to 8");
    if (i + 1 < what.rank && (what.stride_bytes[i] % 16 || what.stride_bytes[i] >= uint64_t(1) << 40))
      return refuse(dimension("the stride in bytes", i + 1, what.stride_bytes[i]) +
                    ", expected a multiple of 16 below 2^40");
    if (what.element_stride[i] != 1)
      return refuse("element strides other than 1 are not emulated");
    encoded.size[i] = what.size[i];
    encoded.box[i] = static_cast<uint16_t>(what.box[i]);
    encoded.elementStride[i] = static_cast<uint8_t>(what.element_stride[i]);
    if (i + 1 < what.rank)
      encoded.strideBytes[i] = what.stride_bytes[i];
  }
  const uint64_t row = uint64_t(what.box[0]) * bytes;
  if (row % 16)
    return refuse("a row of the box has " + std::to_string(row) + " bytes, expected a multiple of 16");
  if (what.swizzle && row > what.swizzle)
    return refuse("a row of the box has " + std::to_string(row) + " bytes, expected at most the swizzle's " +
                  std::to_string(what.swizzle));
  // The manual does not say where shorter rows lie.
  if (what.swizzle && row < what.swizzle)
    return refuse("a row of the box has " + std::to_string(row) + " bytes, emulated are rows of the swizzle's " +
                  std::to_string(what.swizzle));

  encoded.magic = TensorMap::expectedMagic;
  encoded.rank = static_cast<uint8_t>(what.rank);
  encoded.elementBytes = static_cast<uint8_t>(bytes);
  encoded.swizzleBytes = static_cast<uint8_t>(what.swizzle);
  encoded.fillNan = what.fill_nan != 0;
  encoded.dtype = static_cast<uint8_t>(what.dtype);
  encoded.address = address;
  std::memset(map, 0, 128);
  std::memcpy(map, &encoded, sizeof(encoded));
  return std::nullopt;
}
