//===- CheckArgs.cpp - a call's arguments against a kernel's description ----===//

#include "runtime/Error.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <numeric>

using namespace flashc;

namespace {

const char *sizeName(int64_t size) {
  switch (size) {
  case FLASHC_SIZE_BATCH:
    return "batch";
  case FLASHC_SIZE_Q_HEADS:
    return "query heads";
  case FLASHC_SIZE_KV_HEADS:
    return "key heads";
  case FLASHC_SIZE_QUERIES:
    return "queries";
  case FLASHC_SIZE_KEYS:
    return "keys";
  default:
    return "?";
  }
}

/// One check of one call. Allocates nothing: it runs before every kernel.
class ArgsCheck {
public:
  ArgsCheck(const flashc_kernel_info &info, const flashc_args &args) : info(info), args(args) {}

  flashc_status run() {
    if (info.abi_version > FLASHC_ABI_VERSION)
      return fail(FLASHC_ERROR_ABI, "expected a kernel of ABI version at most %u, got %u", FLASHC_ABI_VERSION,
                  info.abi_version);
    if (args.abi_version != info.abi_version)
      return fail(FLASHC_ERROR_ABI, "expected arguments of ABI version %u, got %u", info.abi_version, args.abi_version);
    if (flashc_status status = checkHost())
      return status;
    if (args.num_tensors != info.num_operands)
      return failOperands();
    if (args.num_tensors && !args.tensors)
      return fail(FLASHC_ERROR_NULL, "expected %u tensors, got a null pointer", args.num_tensors);
    for (uint32_t i = 0; i < info.num_operands; ++i)
      if (flashc_status status = checkTensor(i))
        return status;
    if (flashc_status status = checkHeads())
      return status;
    return checkOverlaps();
  }

private:
  flashc_status fail(flashc_status status, const char *format, ...) __attribute__((format(printf, 3, 4))) {
    char text[768];
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    return setLastError(status, "%.63s: %s", info.name, text);
  }

  flashc_status checkHost() {
    if (!args.host)
      return FLASHC_OK;
    if (args.host->abi_version != info.abi_version)
      return fail(FLASHC_ERROR_ABI, "expected a host of ABI version %u, got %u", info.abi_version,
                  args.host->abi_version);
    if (args.host->num_workers < 1)
      return fail(FLASHC_ERROR_INVALID, "expected a host with at least 1 worker, got %d", args.host->num_workers);
    if (!args.host->parallel_for && !args.host->launch)
      return fail(FLASHC_ERROR_NULL, "expected a host with a parallel_for, got null");
    return FLASHC_OK;
  }

  flashc_status failOperands() {
    char names[512];
    size_t length = 0;
    names[0] = '\0';
    for (uint32_t i = 0; i < info.num_operands && length < sizeof(names); ++i)
      length += static_cast<size_t>(
          std::snprintf(names + length, sizeof(names) - length, "%s%.31s", i ? ", " : "", info.operands[i].name));
    return fail(FLASHC_ERROR_OPERANDS, "expected %u tensors (%s), got %u", info.num_operands, names, args.num_tensors);
  }

  flashc_status checkTensor(uint32_t index) {
    const flashc_operand_info &operand = info.operands[index];
    const flashc_tensor &tensor = args.tensors[index];
    if (tensor.dtype != operand.dtype)
      return fail(FLASHC_ERROR_DTYPE, "operand %u \"%.31s\": expected element type %s, got %s", index, operand.name,
                  flashc_dtype_name(operand.dtype), flashc_dtype_name(tensor.dtype));
    if (tensor.rank != operand.rank || tensor.rank < 0 || tensor.rank > FLASHC_MAX_RANK)
      return fail(FLASHC_ERROR_RANK, "operand %u \"%.31s\": expected rank %d, got %d", index, operand.name,
                  operand.rank, tensor.rank);
    bool empty = false;
    for (int32_t d = 0; d < tensor.rank; ++d) {
      if (flashc_status status = checkSize(index, d))
        return status;
      empty |= tensor.size[d] == 0;
    }
    return empty ? FLASHC_OK : checkMemory(index);
  }

  flashc_status checkSize(uint32_t index, int32_t dim) {
    const flashc_operand_info &operand = info.operands[index];
    const int64_t expected = operand.size[dim];
    const int64_t actual = args.tensors[index].size[dim];
    if (actual < 0)
      return fail(FLASHC_ERROR_SHAPE, "operand %u \"%.31s\": expected size %d to be at least 0, got %lld", index,
                  operand.name, dim, static_cast<long long>(actual));
    if (expected >= 0 && actual != expected)
      return fail(FLASHC_ERROR_SHAPE, "operand %u \"%.31s\": expected size %d to be %lld, got %lld", index,
                  operand.name, dim, static_cast<long long>(expected), static_cast<long long>(actual));
    if (expected >= FLASHC_SIZE_ANY || expected < FLASHC_SIZE_KEYS)
      return FLASHC_OK;
    NamedSize &named = sizes[FLASHC_SIZE_BATCH - expected];
    if (!named.known)
      named = {true, index, dim, actual};
    if (named.value != actual)
      return fail(FLASHC_ERROR_SHAPE,
                  "operand %u \"%.31s\": expected size %d (%s) to be %lld as size %d of \"%.31s\", got %lld", index,
                  operand.name, dim, sizeName(expected), static_cast<long long>(named.value), named.dim,
                  info.operands[named.operand].name, static_cast<long long>(actual));
    return FLASHC_OK;
  }

  /// The data pointer and the reach of the strides of a tensor that has elements.
  flashc_status checkMemory(uint32_t index) {
    const flashc_operand_info &operand = info.operands[index];
    const flashc_tensor &tensor = args.tensors[index];
    if (!tensor.data)
      return fail(FLASHC_ERROR_NULL, "operand %u \"%.31s\": expected data, got a null pointer", index, operand.name);
    const size_t elementSize = flashc_dtype_size(tensor.dtype);
    if (reinterpret_cast<uintptr_t>(tensor.data) % elementSize)
      return fail(FLASHC_ERROR_INVALID, "operand %u \"%.31s\": expected data aligned to %zu bytes, got address %p",
                  index, operand.name, elementSize, tensor.data);
    int64_t elements = 1, low = 0, high = 0;
    bool overflow = false;
    for (int32_t d = 0; d < tensor.rank; ++d) {
      int64_t reach = 0;
      overflow |= __builtin_mul_overflow(elements, tensor.size[d], &elements);
      overflow |= __builtin_mul_overflow(tensor.size[d] - 1, tensor.stride[d], &reach);
      overflow |= reach < 0 ? __builtin_add_overflow(low, reach, &low) : __builtin_add_overflow(high, reach, &high);
    }
    int64_t span = 0, bytes = 0;
    overflow |= __builtin_sub_overflow(high, low, &span) || __builtin_add_overflow(span, 1, &span) ||
                __builtin_mul_overflow(span, static_cast<int64_t>(elementSize), &bytes);
    // A broadcast view may hold more elements than memory does, but their number must still be a number.
    if (overflow)
      return fail(FLASHC_ERROR_SHAPE, "operand %u \"%.31s\": expected sizes and strides whose products fit 64 bits",
                  index, operand.name);
    if ((operand.flags & FLASHC_OPERAND_OUTPUT) && elements > span)
      return fail(
          FLASHC_ERROR_INVALID,
          "operand %u \"%.31s\": expected an output whose elements have a place each, got strides that put %lld "
          "elements into %lld places",
          index, operand.name, static_cast<long long>(elements), static_cast<long long>(span));
    if (operand.flags & FLASHC_OPERAND_OUTPUT)
      for (int32_t d = 0; d < tensor.rank; ++d)
        if (tensor.stride[d] == 0 && tensor.size[d] > 1)
          return fail(FLASHC_ERROR_INVALID,
                      "operand %u \"%.31s\": expected an output whose elements have a place each, got stride 0 at size "
                      "%d",
                      index, operand.name, d);
    return FLASHC_OK;
  }

  /// The bytes that a tensor reaches: [low, high), nothing when it is empty.
  struct Reach {
    uintptr_t low = 0, high = 0;
  };

  static uintptr_t strideBytes(const flashc_tensor &tensor, int32_t dim) {
    return static_cast<uintptr_t>(std::abs(tensor.stride[dim])) * flashc_dtype_size(tensor.dtype);
  }

  static Reach reachOf(const flashc_tensor &tensor) {
    const auto bytes = static_cast<int64_t>(flashc_dtype_size(tensor.dtype));
    int64_t low = 0, high = bytes;
    for (int32_t d = 0; d < tensor.rank; ++d) {
      if (tensor.size[d] == 0)
        return {};
      const int64_t last = (tensor.size[d] - 1) * tensor.stride[d] * bytes;
      (last < 0 ? low : high) += last;
    }
    const auto data = reinterpret_cast<uintptr_t>(tensor.data);
    return {data + static_cast<uintptr_t>(low), data + static_cast<uintptr_t>(high)};
  }

  /// Bytes from the first to the last of a piece, whose dimensions step by less than `cut`.
  static uintptr_t pieceOf(const flashc_tensor &tensor, uintptr_t cut) {
    uintptr_t piece = flashc_dtype_size(tensor.dtype);
    for (int32_t d = 0; d < tensor.rank; ++d)
      if (strideBytes(tensor, d) < cut)
        piece += static_cast<uintptr_t>(tensor.size[d] - 1) * strideBytes(tensor, d);
    return piece;
  }

  /// Whether two tensors may share bytes. Slices of one buffer, such as the heads of a fused projection, interleave and
  /// share none: they are pieces at distances that have a common divisor, and keep apart in each such period.
  static bool mayOverlap(const flashc_tensor &first, const Reach &a, const flashc_tensor &second) {
    const Reach b = reachOf(second);
    if (a.low >= b.high || b.low >= a.high)
      return false;
    for (const flashc_tensor *cutting : {&first, &second})
      for (int32_t dim = 0; dim < cutting->rank; ++dim) {
        const uintptr_t cut = strideBytes(*cutting, dim);
        uintptr_t period = 0;
        for (const flashc_tensor *tensor : {&first, &second})
          for (int32_t d = 0; d < tensor->rank; ++d)
            if (tensor->size[d] > 1 && strideBytes(*tensor, d) >= cut)
              period = std::gcd(period, strideBytes(*tensor, d));
        if (!cut || !period)
          continue;
        const uintptr_t distance =
            b.low >= a.low ? (b.low - a.low) % period : (period - (a.low - b.low) % period) % period;
        if (distance >= pieceOf(first, cut) && distance + pieceOf(second, cut) <= period)
          return false;
      }
    return true;
  }

  /// A kernel reads its inputs, and writes its other outputs, while it writes an output.
  flashc_status checkOverlaps() {
    for (uint32_t i = 0; i < info.num_operands; ++i) {
      if (!(info.operands[i].flags & FLASHC_OPERAND_OUTPUT))
        continue;
      const Reach output = reachOf(args.tensors[i]);
      for (uint32_t j = 0; j < info.num_operands; ++j) {
        const bool other = (info.operands[j].flags & FLASHC_OPERAND_OUTPUT) != 0;
        if (i == j || (other && j < i) || !mayOverlap(args.tensors[i], output, args.tensors[j]))
          continue;
        return fail(FLASHC_ERROR_INVALID,
                    "operand %u \"%.31s\": expected memory of its own, got memory that overlaps operand %u \"%.31s\"",
                    i, info.operands[i].name, j, info.operands[j].name);
      }
    }
    return FLASHC_OK;
  }

  flashc_status checkHeads() {
    const NamedSize &queries = sizes[FLASHC_SIZE_BATCH - FLASHC_SIZE_Q_HEADS];
    const NamedSize &keys = sizes[FLASHC_SIZE_BATCH - FLASHC_SIZE_KV_HEADS];
    if (!queries.known || !keys.known || queries.value == 0)
      return FLASHC_OK;
    if (keys.value == 0 || queries.value % keys.value)
      return fail(
          FLASHC_ERROR_SHAPE,
          "operand %u \"%.31s\": expected the number of query heads, %lld, to be a multiple of the number of key "
          "heads, got %lld key heads",
          keys.operand, info.operands[keys.operand].name, static_cast<long long>(queries.value),
          static_cast<long long>(keys.value));
    return FLASHC_OK;
  }

  /// A size known at the call, and the operand that gave it first.
  struct NamedSize {
    bool known = false;
    uint32_t operand = 0;
    int32_t dim = 0;
    int64_t value = 0;
  };

  const flashc_kernel_info &info;
  const flashc_args &args;
  NamedSize sizes[FLASHC_SIZE_BATCH - FLASHC_SIZE_KEYS + 1];
};

} // namespace

flashc_status flashc_check_args(const flashc_kernel_info *info, const flashc_args *args, char *message, size_t size) {
  flashc_status status = FLASHC_OK;
  if (!info || !args)
    status = setLastError(FLASHC_ERROR_INVALID, "flashc_check_args: expected %s, got null",
                          info ? "arguments" : "a kernel's info");
  else
    status = ArgsCheck(*info, *args).run();
  if (message && size)
    std::snprintf(message, size, "%s", status ? flashc_last_error() : "");
  return status;
}
