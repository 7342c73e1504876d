//===- OperandAccess.cpp - how a GPU's kernel can read an operand --------------===//

#include "runtime/devices/OperandAccess.h"

#include "runtime/GpuCapabilities.h"

#include <cstdint>
#include <cstring>
#include <string_view>

using namespace flashc;

static constexpr int64_t piece = 16;
/// Of a dimension that a step in it is from the one to the next.
static constexpr const char *things[] = {"batches", "heads", "rows", "elements of a row"};

static int64_t bytesOf(const flashc_tensor &tensor) { return static_cast<int64_t>(flashc_dtype_size(tensor.dtype)); }

static bool isEmpty(const flashc_tensor &tensor) {
  for (int32_t d = 0; d < tensor.rank; ++d)
    if (tensor.size[d] == 0)
      return true;
  return false;
}

static std::string apart(const flashc_tensor &tensor, int d) {
  return std::string("its ") + things[d] + " lie " + std::to_string(tensor.stride[d] * bytesOf(tensor)) +
         " bytes apart";
}

bool flashc::isMatrix(const flashc_operand_info &operand) {
  if (operand.rank != 4)
    return false;
  for (const char *name : {"q", "k", "v", "out"})
    if (!std::strcmp(operand.name, name))
      return true;
  return false;
}

bool flashc::hasUnalignedAccess(const flashc_kernel_info &info) {
  const std::string_view target = info.target; // "amdgpu:gfx942", "emulated:gfx942"
  const GpuCapabilities *gpu = findGpuCapabilities(target.substr(target.find(':') + 1));
  return gpu && gpu->unalignedAccess;
}

std::string flashc::whyNoWholePieces(const flashc_tensor &tensor, bool unalignedAccess) {
  const int64_t bytes = bytesOf(tensor), row = tensor.size[3] * bytes;
  if (isEmpty(tensor))
    return "";
  if (tensor.size[3] != 1 && tensor.stride[3] != 1)
    return apart(tensor, 3) + ", of " + std::to_string(bytes) + " bytes each";
  if (unalignedAccess ? row < piece : row % piece != 0)
    return "its rows have " + std::to_string(row) + " bytes";
  if (unalignedAccess)
    return "";
  if (const auto beyond = reinterpret_cast<uintptr_t>(tensor.data) % piece)
    return "it begins " + std::to_string(beyond) + " bytes beyond a multiple of 16";
  for (int d = 2; d >= 0; --d)
    if (tensor.size[d] > 1 && tensor.stride[d] * bytes % piece)
      return apart(tensor, d);
  return "";
}

std::string flashc::whyNoBoxes(const flashc_tensor &tensor) {
  constexpr int64_t mostBytes = int64_t(1) << 40, mostElements = int64_t(1) << 31;
  if (isEmpty(tensor))
    return "";
  for (int d = 2; d >= 0; --d) {
    if (tensor.size[d] >= mostElements)
      return "it has " + std::to_string(tensor.size[d]) + " " + things[d];
    const int64_t stride = tensor.stride[d] * bytesOf(tensor);
    if (tensor.size[d] > 1 && (stride <= 0 || stride >= mostBytes))
      return apart(tensor, d);
  }
  return "";
}
