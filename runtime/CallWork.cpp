//===- CallWork.cpp - how much a call computes, before it runs ---------------===//

#include "runtime/CallWork.h"

#include <limits>

using namespace flashc;

// The least rows and keys that a kernel computes at a time, and what the softmax of a score costs in multiply-adds.
static constexpr double rowsAtOnce = 8, keysAtOnce = 64, softmaxWork = 32;

static double roundUp(int64_t size, double multiple) {
  const double blocks = static_cast<double>(size) / multiple;
  const auto whole = static_cast<double>(static_cast<int64_t>(blocks));
  return multiple * (whole < blocks ? whole + 1 : whole);
}

double flashc::estimateWork(const flashc_kernel_info &info, const flashc_args &args) {
  constexpr double unknown = std::numeric_limits<double>::infinity();
  if (info.num_operands < 4 || args.num_tensors != info.num_operands || !args.tensors)
    return unknown;
  const flashc_operand_info &q = info.operands[0], &v = info.operands[2];
  if (q.rank != 4 || v.rank != 4 || q.size[0] != FLASHC_SIZE_BATCH || q.size[1] != FLASHC_SIZE_Q_HEADS ||
      q.size[2] != FLASHC_SIZE_QUERIES || v.size[2] != FLASHC_SIZE_KEYS)
    return unknown;
  const int64_t *queries = args.tensors[0].size, *values = args.tensors[2].size;
  return static_cast<double>(queries[0]) * static_cast<double>(queries[1]) * roundUp(queries[2], rowsAtOnce) *
         roundUp(values[2], keysAtOnce) *
         (static_cast<double>(queries[3]) + static_cast<double>(values[3]) + softmaxWork);
}
