//===- KernelProblem.cpp - operands for a kernel ------------------------------===//

#include "runtime/KernelProblem.h"
#include "runtime/LowPrecision.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstring>
#include <random>

namespace flashc {
namespace {

bool isInteger(int32_t dtype) { return dtype == FLASHC_I64 || dtype == FLASHC_I32; }

/// Fills one operand with values that make sense for its name.
class Filler {
public:
  Filler(const ProblemSizes &sizes, uint64_t seed) : sizes(sizes), random(seed) {}

  void fill(const std::string &name, const flashc_tensor &tensor, int64_t count) {
    for (int64_t i = 0; i < count; ++i) {
      double value = 0;
      if (name == "key_lengths" || name == "prefix_lengths")
        value = static_cast<double>(below(sizes.keys + 1));
      else if (name == "query_segments")
        value = static_cast<double>(segment(i % std::max<int64_t>(sizes.queries, 1), sizes.queries));
      else if (name == "key_segments")
        value = static_cast<double>(segment(i % std::max<int64_t>(sizes.keys, 1), sizes.keys));
      else if (tensor.dtype == FLASHC_BOOL || tensor.dtype == FLASHC_I8)
        value = below(4) != 0;
      else if (isInteger(tensor.dtype))
        value = static_cast<double>(below(8));
      else
        value = std::uniform_real_distribution<double>(-1, 1)(random) * (name == "q" ? 2 : 1);
      writeElement(static_cast<char *>(tensor.data) + i * flashc_dtype_size(tensor.dtype), tensor.dtype, value);
    }
  }

private:
  int64_t below(int64_t bound) {
    return std::uniform_int_distribution<int64_t>(0, std::max<int64_t>(bound, 1) - 1)(random);
  }
  /// Three documents of unequal length.
  static int64_t segment(int64_t position, int64_t length) {
    return position * 5 < length * 2 ? 0 : position * 5 < length * 3 ? 1 : 2;
  }

  const ProblemSizes &sizes;
  std::mt19937_64 random;
};
} // namespace

Result<std::unique_ptr<KernelProblem>> KernelProblem::create(const flashc_kernel_info &info,
                                                             const std::string &metadata, const ProblemSizes &sizes,
                                                             uint64_t seed) {
  std::unique_ptr<KernelProblem> problem(new KernelProblem);
  problem->sizes = sizes;
  if (std::optional<Error> error = problem->build(info, metadata, seed))
    return *error;
  return problem;
}

std::optional<Error> KernelProblem::build(const flashc_kernel_info &info, const std::string &metadataText,
                                          uint64_t seed) {
  Filler filler(sizes, seed);
  for (uint32_t i = 0; i < info.num_operands; ++i) {
    const flashc_operand_info &operand = info.operands[i];
    flashc_tensor tensor{};
    tensor.dtype = operand.dtype;
    tensor.rank = operand.rank;
    for (int32_t d = 0; d < operand.rank; ++d) {
      switch (operand.size[d]) {
      case FLASHC_SIZE_BATCH:
        tensor.size[d] = sizes.batch;
        break;
      case FLASHC_SIZE_Q_HEADS:
        tensor.size[d] = sizes.heads;
        break;
      case FLASHC_SIZE_KV_HEADS:
        tensor.size[d] = sizes.kvHeads;
        break;
      case FLASHC_SIZE_QUERIES:
        tensor.size[d] = sizes.queries;
        break;
      case FLASHC_SIZE_KEYS:
        tensor.size[d] = sizes.keys;
        break;
      default:
        if (operand.size[d] < 0)
          return Error{FLASHC_ERROR_INVALID, std::string("operand '") + operand.name +
                                                 "': expected named sizes, found one that "
                                                 "only the caller knows; run this kernel from C or Python"};
        tensor.size[d] = operand.size[d];
      }
    }
    int64_t count = 1;
    for (int32_t d = operand.rank; d-- > 0;) {
      tensor.stride[d] = count;
      count *= tensor.size[d];
    }
    // Vector loads of the reference's rows like an aligned start; 64 bytes more make room for it.
    memory.emplace_back(count * flashc_dtype_size(tensor.dtype) + 64);
    auto address = reinterpret_cast<uintptr_t>(memory.back().data());
    tensor.data = memory.back().data() + (64 - address % 64) % 64;
    names.emplace_back(operand.name);
    outputs.push_back((operand.flags & FLASHC_OPERAND_OUTPUT) != 0);
    if (!outputs.back())
      filler.fill(names.back(), tensor, count);
    tensors.push_back(tensor);
  }
  args = {FLASHC_ABI_VERSION, static_cast<uint32_t>(tensors.size()), tensors.data(), flashc_default_host()};

  const flashc_tensor *q = find("q"), *k = find("k"), *v = find("v");
  if (!q || !k || !v) {
    verifiable = false;
    return std::nullopt;
  }
  reference.q = *q;
  reference.k = *k;
  reference.v = *v;
  if (const flashc_tensor *bias = find("bias"))
    reference.bias = *bias;
  nlohmann::json metadata = nlohmann::json::parse(metadataText, nullptr, /*allow_exceptions=*/false);
  if (!metadata.is_object())
    return Error{FLASHC_ERROR_FORMAT, "kernel.json: expected a JSON object"};
  if (metadata.contains("scale") && metadata["scale"].is_number())
    reference.scale = metadata["scale"].get<double>();
  if (metadata.contains("softcap") && metadata["softcap"].is_number())
    reference.softcap = metadata["softcap"].get<double>();
  auto text = [&](const char *name) {
    return metadata.contains(name) && metadata[name].is_string() ? metadata[name].get<std::string>() : std::string();
  };
  verifiable = !(metadata.contains("score") && metadata["score"] == true);
  tf32 = metadata.contains("tf32") && metadata["tf32"] == true;
  return readMasks(text("mask"));
}

/// Reads what the compiler prints: clauses with every alignment, separated by " & ".
std::optional<Error> KernelProblem::readMasks(const std::string &text) {
  auto damaged = [&](const std::string &clause) {
    return Error{FLASHC_ERROR_FORMAT,
                 "kernel.json: expected a mask as flash-compile writes it, found '" + clause + "'"};
  };
  size_t begin = 0;
  while (begin < text.size()) {
    size_t end = std::min(text.find(" & ", begin), text.size());
    std::string clause = text.substr(begin, end - begin);
    begin = end + 3;
    std::string name = clause.substr(0, clause.find('('));
    flashc_alignment alignment =
        clause.find("bottom_right") != std::string::npos ? FLASHC_BOTTOM_RIGHT : FLASHC_TOP_LEFT;
    auto operand = [&](const char *operandName) {
      const flashc_tensor *tensor = find(operandName);
      return tensor ? *tensor : flashc_tensor{};
    };
    if (name == "causal") {
      reference.masks.push_back(MaskClause::causal(alignment));
    } else if (name == "window") {
      long long left, right;
      if (std::sscanf(clause.c_str(), "window(%lld,%lld", &left, &right) != 2)
        return damaged(clause);
      reference.masks.push_back(MaskClause::window(left, right, alignment));
    } else if (name == "prefix_lm") {
      reference.masks.push_back(MaskClause::prefixLM(operand("prefix_lengths"), alignment));
    } else if (name == "key_lengths") {
      reference.masks.push_back(MaskClause::keyLengths(operand("key_lengths")));
    } else if (name == "key_padding") {
      reference.masks.push_back(MaskClause::keyPadding(operand("key_padding")));
    } else if (name == "segments") {
      reference.masks.push_back(MaskClause::segments(operand("query_segments"), operand("key_segments")));
    } else if (name == "tensor") {
      reference.masks.push_back(MaskClause::boolean(operand("mask")));
    } else {
      return damaged(clause);
    }
  }
  return std::nullopt;
}

const flashc_tensor *KernelProblem::find(const std::string &name) const {
  auto found = std::find(names.begin(), names.end(), name);
  return found == names.end() ? nullptr : &tensors[found - names.begin()];
}

double KernelProblem::getFlops() const {
  const flashc_tensor *q = find("q"), *v = find("v");
  if (!q || !v)
    return 0;
  return 2.0 * sizes.batch * sizes.heads * sizes.queries * sizes.keys * (q->size[3] + v->size[3]);
}

Result<ProblemSizes> ProblemSizes::parse(const std::string &text) {
  const Error wrong{FLASHC_ERROR_INVALID, "expected batch,heads,queries[,keys] or batch,heads,kv_heads,queries,keys, "
                                          "whole numbers of at least 1, found '" +
                                              text + "'"};
  std::vector<int64_t> values;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    const std::string part = text.substr(begin, end - begin);
    if (part.empty() || part.size() > 12 || part.find_first_not_of("0123456789") != std::string::npos)
      return wrong;
    values.push_back(std::stoll(part));
    begin = end + 1;
  }
  if (values.size() < 3 || values.size() > 5 || *std::min_element(values.begin(), values.end()) < 1)
    return wrong;
  if (values.size() == 3)
    values.push_back(values.back());
  if (values.size() == 4)
    values.insert(values.begin() + 2, values[1]);
  if (values[1] % values[2] != 0)
    return Error{FLASHC_ERROR_INVALID, "expected heads that are a multiple of the " + std::to_string(values[2]) +
                                           " key heads, found " + std::to_string(values[1])};
  return ProblemSizes{values[0], values[1], values[2], values[3], values[4]};
}

std::string ProblemSizes::describe() const {
  return "B" + std::to_string(batch) + " Hq" + std::to_string(heads) + "/" + std::to_string(kvHeads) + " Sq" +
         std::to_string(queries) + " Sk" + std::to_string(keys);
}
} // namespace flashc
