//===- TunedKernel.cpp - what of a kernel and its problem matters to its tiles --===//

#include "runtime/TunedKernel.h"
#include "runtime/DType.h"
#include "runtime/Pretuned.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <vector>

using namespace flashc;
using nlohmann::json;

/// The power of two that is not below; sizes of 0 and less stay.
static int64_t roundToPower(int64_t size) {
  constexpr int64_t largest = int64_t(1) << 40;
  int64_t power = 1;
  while (power < size && power < largest)
    power *= 2;
  return size <= 0 ? size : power;
}

namespace {
/// "window(100,0,top_left)": how far it reaches, and what follows; below 0 = to the end.
struct Window {
  long long left = -1, right = -1;
  std::string rest;
};

std::optional<Window> readWindow(const std::string &clause) {
  Window window;
  int end = 0;
  if (std::sscanf(clause.c_str(), "window(%lld,%lld%n", &window.left, &window.right, &end) != 2)
    return std::nullopt;
  window.rest = clause.substr(static_cast<size_t>(end));
  return window;
}

std::vector<std::string> clausesOf(const std::string &mask) {
  std::vector<std::string> clauses;
  for (size_t begin = 0; begin < mask.size();) {
    const size_t end = std::min(mask.find(" & ", begin), mask.size());
    clauses.push_back(mask.substr(begin, end - begin));
    begin = end + 3;
  }
  return clauses;
}
} // namespace

std::string flashc::maskClassOf(const std::string &mask) {
  std::string text;
  for (std::string clause : clausesOf(mask)) {
    if (const std::optional<Window> window = readWindow(clause))
      clause = "window(" + std::to_string(roundToPower(window->left)) + "," +
               std::to_string(roundToPower(window->right)) + window->rest;
    text += (text.empty() ? "" : " & ") + clause;
  }
  return text;
}

void TunedKernel::readMask(const std::string &mask) {
  maskClass = maskClassOf(mask);
  std::vector<Window> windows;
  for (const std::string &clause : clausesOf(mask)) {
    const std::string name = clause.substr(0, clause.find('('));
    causal |= name == "causal";
    const bool reads = name == "key_padding" || name == "segments" || name == "tensor";
    scores.readsKeysOften |= reads && scores.readsKeys;
    scores.readsKeys |= reads;
    const std::optional<Window> bounds = readWindow(clause);
    if (bounds)
      windows.push_back(*bounds);
    // A window without bounds masks nothing.
    scores.hasMask |= !bounds || bounds->left >= 0 || bounds->right >= 0;
  }
  for (const Window &bounds : windows) {
    scores.hasWindow |= bounds.left >= 0;
    if (const int64_t keys = bounds.left + 1 + (causal ? 0 : bounds.right);
        bounds.left >= 0 && (bounds.right >= 0 || causal))
      window = window < 0 ? keys : std::min(window, keys);
  }
}

std::optional<TunedKernel> TunedKernel::parse(const std::string &metadata) {
  const json root = json::parse(metadata, nullptr, /*allow_exceptions=*/false);
  if (!root.is_object())
    return std::nullopt;
  auto text = [&](const char *name) {
    return root.contains(name) && root[name].is_string() ? root[name].get<std::string>() : std::string();
  };
  auto number = [&](const char *name) {
    return root.contains(name) && root[name].is_number_integer() ? root[name].get<int64_t>() : int64_t(0);
  };
  TunedKernel kernel;
  kernel.dtype = text("dtype");
  kernel.headDim = number("head_dim");
  kernel.valueHeadDim = number("value_head_dim");
  if (kernel.dtype.empty() || kernel.headDim < 1 || kernel.valueHeadDim < 1)
    return std::nullopt;
  kernel.readMask(text("mask"));
  kernel.scores.hasScore = root.contains("score") && root["score"] == true;
  kernel.scores.hasSoftcap = root.contains("softcap");
  kernel.tf32 = root.contains("tf32") && root["tf32"] == true;
  if (root.contains("operands") && root["operands"].is_array())
    for (const json &operand : root["operands"])
      kernel.scores.hasBias |= operand.is_object() && operand.contains("name") && operand["name"] == "bias";
  if (!(root.contains("native") && root["native"] == true))
    kernel.target = text("target");
  return kernel;
}

std::string TunedKernel::key() const {
  std::string text = "forward " + dtype + " d" + std::to_string(headDim);
  if (valueHeadDim != headDim)
    text += "/" + std::to_string(valueHeadDim);
  if (!maskClass.empty())
    text += " " + maskClass;
  for (auto [has, name] : {std::pair(tf32, "tf32"), std::pair(scores.hasBias, "bias"),
                           std::pair(scores.hasScore, "score"), std::pair(scores.hasSoftcap, "softcap")})
    if (has)
      text += std::string(" +") + name;
  if (!target.empty())
    text += " for " + target;
  return text;
}

AttentionShape TunedKernel::shape(const ProblemSizes &sizes) const {
  AttentionShape shape;
  shape.headDim = headDim;
  shape.valueHeadDim = valueHeadDim;
  const bool wide = dtype == "f64";
  shape.storedBytes = wide ? 8 : dtype == "f32" ? 4 : 2;
  shape.computeBytes = wide ? 8 : 4;
  // Products take pairs of bfloat16 where there is an instruction for them; float16 is widened.
  shape.operandBytes = dtype == "bf16" ? 2 : shape.computeBytes;
  shape.batch = sizes.batch;
  shape.heads = sizes.heads;
  shape.kvHeads = std::max<int64_t>(sizes.kvHeads, 1);
  shape.queries = sizes.queries;
  shape.keys = sizes.keys;
  shape.causal = causal;
  shape.window = window;
  shape.tf32 = tf32;
  shape.scores = scores;
  shape.target = target;
  return shape;
}

static int64_t groupOf(const ProblemSizes &sizes) {
  return sizes.kvHeads > 0 ? std::max<int64_t>(1, sizes.heads / sizes.kvHeads) : 1;
}

std::string flashc::shapeBucket(const ProblemSizes &sizes) {
  return "h" + std::to_string(roundToPower(sizes.batch * sizes.heads)) + " g" +
         std::to_string(roundToPower(groupOf(sizes))) + " q" + std::to_string(roundToPower(sizes.queries)) + " k" +
         std::to_string(roundToPower(sizes.keys));
}

ProblemSizes flashc::bucketProblem(const ProblemSizes &sizes) {
  ProblemSizes largest;
  const int64_t group = roundToPower(groupOf(sizes));
  largest.batch = 1;
  largest.kvHeads = std::max<int64_t>(1, roundToPower(sizes.batch * sizes.heads) / group);
  largest.heads = largest.kvHeads * group;
  largest.queries = roundToPower(sizes.queries);
  largest.keys = roundToPower(sizes.keys);
  return largest;
}

TuningKey flashc::tuningKey(const DeviceInfo &device, const TunedKernel &kernel, const ProblemSizes &sizes,
                            const std::string &compiler, const std::string &assembler) {
  return {device.identity, kernel.key(), shapeBucket(sizes), compiler, assembler};
}

std::optional<FoundTiles> flashc::findTiles(TuningStore &store, const DeviceInfo &device, const TuningKey &key) {
  if (std::optional<TuningRecord> record = store.lookup(key))
    return FoundTiles{record->tiles, "store"};
  return findPretuned(device, key);
}

bool flashc::keepTiles(TuningStore &store, const TuningKey &key, const ProblemSizes &sizes, const TileSizes &tiles,
                       double seconds) {
  auto work = [](const ProblemSizes &s) {
    return static_cast<double>(std::max<int64_t>(1, s.batch * s.heads)) *
           static_cast<double>(std::max<int64_t>(1, s.queries)) * static_cast<double>(std::max<int64_t>(1, s.keys));
  };
  TuningRecord record;
  record.tiles = tiles;
  record.seconds = seconds * work(bucketProblem(sizes)) / work(sizes);
  return store.replace(key, record);
}
