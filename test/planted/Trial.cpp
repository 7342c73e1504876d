//===- Trial.cpp - a kernel's problem in memory that shows mistakes ------------===//

#include "test/planted/Trial.h"
#include "runtime/LowPrecision.h"
#include "runtime/Reference.h"

#include <cstring>
#include <limits>
#include <set>

using namespace flashc;
using namespace flashc::test;

namespace {
constexpr size_t guardBytes = 64;

int64_t bytesOf(const flashc_tensor &tensor) { return static_cast<int64_t>(flashc_dtype_size(tensor.dtype)); }

/// Calls visit(offset) for each element, by the strides of `tensor`, in row-major order.
template <typename Visit> void forEachElement(const flashc_tensor &tensor, Visit visit) {
  int64_t count = 1;
  for (int32_t d = 0; d < tensor.rank; ++d)
    count *= tensor.size[d];
  for (int64_t i = 0; i < count; ++i) {
    int64_t rest = i, offset = 0;
    for (int32_t d = tensor.rank; d-- > 0; rest /= tensor.size[d])
      offset += rest % tensor.size[d] * tensor.stride[d];
    visit(offset);
  }
}

/// Lengths that end at every pair of columns of a tile, in either of its columns; none among them.
void spreadLengths(const flashc_tensor &lengths, int64_t keys) {
  for (int64_t b = 0; b < lengths.size[0]; ++b) {
    const int64_t length = b + 1 == lengths.size[0] && b ? 0
                           : b == 0                      ? keys + 7
                                                         : std::max<int64_t>(keys - 2 * b - b % 2, 0);
    writeElement(static_cast<char *>(lengths.data) + b * bytesOf(lengths), lengths.dtype, static_cast<double>(length));
  }
}

/// All queries are of the keys' last document, and attend none of the keys before it.
void takeLastDocument(const flashc_tensor &segments) {
  forEachElement(segments, [&](int64_t offset) {
    writeElement(static_cast<char *>(segments.data) + offset * bytesOf(segments), segments.dtype, 2);
  });
}

/// NaN and infinity in the keys and values that nobody attends.
void spoilUnattended(const KernelProblem &problem) {
  AttentionProblem reference = problem.getReference();
  const flashc_tensor *k = problem.find("k"), *v = problem.find("v");
  const int64_t group = reference.q.size[1] / std::max<int64_t>(k->size[1], 1);
  std::set<std::array<int64_t, 3>> attended;
  reference.maskMod = [&](int64_t b, int64_t h, int64_t, int64_t j) {
    attended.insert({b, h / group, j});
    return false;
  };
  if (!referenceAttention(reference, nullptr))
    return;
  for (const flashc_tensor *tensor : {k, v})
    for (int64_t b = 0; b < k->size[0]; ++b)
      for (int64_t h = 0; h < k->size[1]; ++h)
        for (int64_t j = 0; j < k->size[2]; ++j)
          for (int64_t c = 0; !attended.count({b, h, j}) && c < tensor->size[3]; ++c) {
            const int64_t at = ((b * k->size[1] + h) * k->size[2] + j) * tensor->size[3] + c;
            writeElement(static_cast<char *>(tensor->data) + at * bytesOf(*tensor), tensor->dtype,
                         c % 2 ? std::numeric_limits<double>::infinity() : std::numeric_limits<double>::quiet_NaN());
          }
}

/// Infinite values among the last keys: each column has one of 64 neighbouring keys, so that no block of a product has
/// one in common with another. Every other batch has negative ones.
void spreadInfinities(const flashc_tensor &v) {
  const int64_t keys = v.size[2], columns = v.size[3];
  for (int64_t head = 0; head < v.size[0] * v.size[1]; ++head)
    for (int64_t c = 0; c < columns; ++c)
      for (int64_t j = c / 2 % 8 * 8 + c % 2 * 4 + 1; j < keys; j += 64)
        if (j + 64 >= keys)
          writeElement(static_cast<char *>(v.data) + ((head * keys + j) * columns + c) * bytesOf(v), v.dtype,
                       (head / v.size[1] % 2 ? -1 : 1) * std::numeric_limits<double>::infinity());
}

/// Infinity in the last column of each head's last key, and nowhere else.
void placeInfinityInCorner(const flashc_tensor &v) {
  const int64_t keys = v.size[2], columns = v.size[3];
  for (int64_t head = 0; keys && head < v.size[0] * v.size[1]; ++head)
    writeElement(static_cast<char *>(v.data) + ((head + 1) * keys * columns - 1) * bytesOf(v), v.dtype,
                 std::numeric_limits<double>::infinity());
}

/// All batches have what the first one has.
void shareBatches(const flashc_tensor &tensor) {
  const int64_t bytes = tensor.size[1] * tensor.size[2] * tensor.size[3] * bytesOf(tensor);
  for (int64_t b = 1; b < tensor.size[0]; ++b)
    std::memcpy(static_cast<char *>(tensor.data) + b * bytes, tensor.data, static_cast<size_t>(bytes));
}

/// The words behind colons.
std::set<std::string> splitWords(const std::string &text) {
  std::set<std::string> words;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find(':', begin + 1), text.size());
    words.insert(text.substr(begin + 1, end - begin - 1));
    begin = end;
  }
  return words;
}
} // namespace

Result<std::unique_ptr<Trial>> Trial::create(const LoadedPack &pack, const std::string &text) {
  const size_t colon = std::min(text.find(':'), text.size());
  const std::set<std::string> how = splitWords(text.substr(colon));
  const std::string words = ":gaps:odd:columns:spread:apart:shared:queries:keys:last:empty:inf:corner";
  const std::set<std::string> known = splitWords(words);
  for (const std::string &word : how)
    if (!known.count(word))
      return Error{FLASHC_ERROR_INVALID, "expected words of " + words + ", got ':" + word + "'"};
  Result<ProblemSizes> sizes = ProblemSizes::parse(text.substr(0, colon));
  if (!sizes)
    return sizes.error();
  if (how.count("empty"))
    sizes->keys = 0;
  std::unique_ptr<Trial> trial(new Trial);
  trial->text = text;
  auto problem = KernelProblem::create(pack.kernel->info(), pack.metadata, *sizes, /*seed=*/1);
  if (!problem)
    return problem.error();
  trial->problem = std::move(*problem);
  if (const flashc_tensor *lengths = trial->problem->find("key_lengths"))
    spreadLengths(*lengths, sizes->keys);
  if (const flashc_tensor *segments = trial->problem->find("query_segments"); segments && how.count("last"))
    takeLastDocument(*segments);
  if (how.count("shared"))
    for (const char *name : {"q", "k", "v"})
      shareBatches(*trial->problem->find(name));
  else
    spoilUnattended(*trial->problem);
  if (how.count("inf"))
    spreadInfinities(*trial->problem->find("v"));
  if (how.count("corner"))
    placeInfinityInCorner(*trial->problem->find("v"));
  Result<KernelCheck> check = KernelCheck::create(*trial->problem);
  if (!check)
    return check.error();
  trial->check = std::make_unique<KernelCheck>(std::move(*check));

  const flashc_args &base = trial->problem->getArgs();
  trial->operands.resize(base.num_tensors);
  for (uint32_t i = 0; i < base.num_tensors; ++i) {
    Operand &operand = trial->operands[i];
    operand.base = base.tensors[i];
    operand.output = trial->problem->isOutput(i);
    const auto is = [&](const char *name) { return operand.base.data == trial->problem->find(name)->data; };
    const bool asUsual = (how.count("queries") && !is("q")) || (how.count("keys") && !is("k") && !is("v"));
    trial->place(operand, asUsual ? std::set<std::string>() : how);
    trial->tensors.push_back(operand.placed);
  }
  trial->args = base;
  trial->args.tensors = trial->tensors.data();
  return trial;
}

void Trial::place(Operand &operand, const std::set<std::string> &how) {
  flashc_tensor &placed = operand.placed = operand.base;
  const int64_t bytes = bytesOf(placed);
  const auto lies = [&](const char *word) { return placed.rank > 1 && how.count(word); };
  const int64_t gap = lies("gaps") ? 16 / bytes : lies("odd") ? 3 : 0, shift = lies("odd") ? 1 : 0;
  int64_t extent = lies("spread") ? 2 : 1;
  for (int32_t d = placed.rank; d-- > 0;) {
    // The last two dimensions change places.
    const int32_t dimension = !lies("columns") || d + 2 < placed.rank ? d : 2 * placed.rank - 3 - d;
    placed.stride[dimension] = extent;
    extent *= std::max<int64_t>(placed.size[dimension], 1);
    extent += d + 1 == placed.rank ? gap : d == 2 && lies("apart") ? 16 / bytes : 0;
  }
  if (lies("shared") && !operand.output)
    placed.stride[0] = 0;
  operand.memory.assign(static_cast<size_t>((extent + shift) * bytes) + 3 * guardBytes, '\xff');
  auto address = reinterpret_cast<uintptr_t>(operand.memory.data()) + guardBytes;
  address = (address + guardBytes - 1) / guardBytes * guardBytes + static_cast<uintptr_t>(shift * bytes);
  placed.data = reinterpret_cast<void *>(address);
  if (operand.output)
    return;
  const char *from = static_cast<const char *>(operand.base.data);
  forEachElement(placed, [&](int64_t offset) {
    std::memcpy(static_cast<char *>(placed.data) + offset * bytes, from, static_cast<size_t>(bytes));
    from += bytes;
  });
}

/// Takes an output to where it is judged; "" unless something else was written.
std::string Trial::collect(Operand &operand) {
  const int64_t bytes = bytesOf(operand.placed);
  char *to = static_cast<char *>(operand.base.data);
  forEachElement(operand.placed, [&](int64_t offset) {
    char *from = static_cast<char *>(operand.placed.data) + offset * bytes;
    std::memcpy(to, from, static_cast<size_t>(bytes));
    std::memset(from, 0xff, static_cast<size_t>(bytes));
    to += bytes;
  });
  for (char &byte : operand.memory)
    if (byte != '\xff') {
      std::fill(operand.memory.begin(), operand.memory.end(), '\xff');
      return "a write beside the elements of an output";
    }
  return "";
}

std::string Trial::run(EmulatedDevice &device, const LoadedPack &pack) {
  const std::optional<Error> error = device.launch(pack.kernel->functions(), args);
  std::string beside;
  for (Operand &operand : operands)
    if (operand.output)
      beside += collect(operand);
  if (error)
    return error->message;
  if (!beside.empty())
    return beside;
  const Verdict verdict = check->judge(*problem);
  return verdict.passed() ? "" : "wrong results: " + verdict.describe();
}
