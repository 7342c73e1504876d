// wgmma.mma_async, fence, commit_group, wait_group, and the delivery of results.
//
// The accumulator of a wgmma belongs to the matrix unit from the issue until a wait_group covers its group; in between
// the threads may neither read nor move it, and what it multiplies in shared memory may not change. In LLVM IR the
// accumulator is the result of inline assembly, a plain SSA value that anything might use at once. So an issued wgmma
// gives its threads not numbers but tokens: NaNs whose payload names the wgmma and the register. Tokens pass through
// what costs no instruction - phi, struct members, operands tied to results of empty or wgmma assembly - and into the
// accumulator operands of further wgmmas. In front of every other use deliverWgmmaResults (WgmmaResults.cpp) puts a
// "flashc.wgmma.result", which hands out the number, or finds that its wait is missing.
//
// The registers of A belong to it as long, for reading. What touches them is known before a kernel runs
// (WgmmaRegisters.cpp): "flashc.wgmma.touches" stands there, and asks whether such a product is under way.
//
// The product itself is computed when the wait is executed - shared memory is read as late as it may be - or, in random
// order, at any time since the issue.

#include "emulator/instructions/AsyncUnits.h"
#include "emulator/instructions/Families.h"
#include "emulator/instructions/MatrixProduct.h"
#include "emulator/instructions/NarrowFloats.h"
#include "emulator/instructions/Wgmma.h"

#include <algorithm>
#include <deque>
#include <map>

namespace flashc::emulator {

namespace {
constexpr unsigned warpgroupSize = 128, rows = 64, depth = 16;

/// A result that is not delivered yet: register `index` of wgmma `product`.
struct Token {
  uint32_t product, index;

  /// A signalling NaN: arithmetic never makes one.
  static constexpr uint32_t pattern = 0x7f800000, mask = 0x7fc00000;
  static constexpr uint32_t maxProduct = 0xffff;

  uint32_t bits() const { return (product >> 15) << 31 | pattern | (product & 0x7fff) << 7 | index; }
  static bool decode(uint32_t bits, Token &token) {
    if ((bits & mask) != pattern || !(bits & ~mask & 0x7fffffff))
      return false;
    token = {(bits >> 31) << 15 | (bits >> 7 & 0x7fff), bits & 0x7f};
    return true;
  }
};

/// How many products keep their results: a kernel uses what it has waited for long before that.
constexpr uint32_t keptProducts = 4096;

/// One wgmma.mma_async.
struct Product {
  unsigned columns = 0;
  bool bf16 = false, transposeA = false, transposeB = false, accumulate = false, registersA = false;
  float scale = 1; ///< of A and B together: 1 or -1
  WgmmaDescriptor a{}, b{};
  std::vector<float> left;        ///< A, where it comes from registers: 64 x 16
  std::vector<float> accumulator; ///< 64 x columns: C, then D
  uint32_t source = 0;            ///< the product under way whose D is this one's C
  bool computed = false, delivered = false, overwritten = false;
  uint64_t site = 0; ///< of a product with A in registers, from 1: which call it is of (WgmmaRegisters.cpp)
  const Call *call = nullptr;
};

/// The matrix unit of a warpgroup.
struct MatrixUnit {
  std::map<uint32_t, Product> products; ///< by number, from 1
  uint32_t issued = 0;
  std::vector<uint32_t> open; ///< not committed
  std::deque<std::vector<uint32_t>> committed;
  /// No thread has read a result, or begun, since the last wgmma.fence.
  bool fenced = false;
  uint64_t site = 0; ///< of the next products
};
struct MatrixUnits {
  std::map<unsigned, MatrixUnit> units; ///< by warpgroup
};

MatrixUnit &unitOf(const Thread &thread) {
  return thread.block->state<MatrixUnits>().units[thread.index / warpgroupSize];
}

/// Reads an operand matrix of `outer` x 16, row-major, through the async proxy. Chunks of 16 bytes are contiguous.
void readOperand(Thread &thread, const Observer &observer, const Product &product, const WgmmaDescriptor &descriptor,
                 unsigned outer, bool transposed, float *to, bool outerFirst) {
  Block &block = *thread.block;
  const uint64_t base = block.shared->base();
  auto convert = product.bf16 ? floatOfBf16 : floatOfF16;
  const unsigned chunk = 8;
  for (unsigned i = 0; i < outer; i += transposed ? chunk : 1) {
    for (unsigned k = 0; k < depth; k += transposed ? 1 : chunk) {
      const uint64_t address = base + descriptor.address(i, k, 2, !transposed);
      block.check(block.shared->read(observer, address, 16), thread.index, product.call->text, address, 16, false);
      uint16_t values[chunk];
      std::memcpy(values, block.shared->data(address), sizeof(values));
      for (unsigned e = 0; e < chunk; ++e) {
        const unsigned row = transposed ? i + e : i, column = transposed ? k : k + e;
        to[outerFirst ? row * depth + column : column * outer + row] = convert(values[e]);
      }
    }
  }
}

/// Reads the operands and computes. `observer` is the matrix unit.
void compute(MatrixUnit &unit, Product &product, Thread &thread, const Observer &observer) {
  product.computed = true;
  std::array<float, rows * depth> left;
  std::vector<float> right(depth * product.columns);
  if (product.registersA)
    std::copy(product.left.begin(), product.left.end(), left.begin());
  else
    readOperand(thread, observer, product, product.a, rows, product.transposeA, left.data(), /*outerFirst=*/true);
  readOperand(thread, observer, product, product.b, product.columns, product.transposeB, right.data(),
              /*outerFirst=*/false);
  if (product.source) {
    Product &source = unit.products[product.source];
    product.accumulator = std::move(source.accumulator);
    source.accumulator.clear();
  }
  if (product.scale < 0)
    for (float &value : left)
      value = -value;
  product.left = {};
  addProductsOfNarrow(rows, product.columns, depth, left.data(), right.data(), product.accumulator.data());
}

/// What all four warps of the warpgroup see: the async proxy's view, and the generic one.
struct CommonView {
  std::vector<Count> fenced, known;
  explicit CommonView(const Group &group) {
    const unsigned agents = group.block().numAgents();
    const Clock &first = group.threads()[0]->clock;
    fenced.assign(first.fenced(), first.fenced() + agents);
    known.assign(first.generic(), first.generic() + agents);
    for (unsigned warp = 1; warp < 4; ++warp) {
      const Clock &clock = group.threads()[warp * 32]->clock;
      for (unsigned i = 0; i < agents; ++i) {
        fenced[i] = std::min(fenced[i], clock.fenced()[i]);
        known[i] = std::min(known[i], clock.generic()[i]);
      }
    }
  }
};

void computeAll(Group &group, MatrixUnit &unit, const std::vector<uint32_t> &numbers, AsyncUnits::Work work) {
  CommonView view(group);
  Observer observer{work.agent, work.now, view.fenced.data(), view.known.data()};
  for (uint32_t number : numbers)
    if (Product &product = unit.products[number]; !product.computed)
      compute(unit, product, *group.threads()[0], observer);
}

/// The product under way whose accumulator the operands are, register by register; 0 where they are anything else.
uint32_t continuedProduct(const Group &group, const MatrixUnit &unit, unsigned columns) {
  Token token;
  if (!Token::decode(group[0].get<uint32_t>(0), token))
    return 0;
  auto found = unit.products.find(token.product);
  if (found == unit.products.end() || found->second.delivered || found->second.overwritten ||
      found->second.columns != columns)
    return 0;
  for (Lane lane : group)
    for (unsigned i = 0; i < columns / 2; ++i)
      if (lane.get<uint32_t>(i) != Token{token.product, i}.bits())
        return 0;
  return token.product;
}

/// The accumulator operands: numbers, or the tokens of one product under way in their own places.
void takeAccumulator(Group &group, MatrixUnit &unit, Product &product) {
  const unsigned registers = product.columns / 2;
  product.source = continuedProduct(group, unit, product.columns);
  if (product.source)
    return;
  product.accumulator.assign(rows * product.columns, 0);
  for (unsigned thread = 0; thread < warpgroupSize; ++thread) {
    Lane lane = group[thread];
    for (unsigned i = 0; i < registers; ++i) {
      const uint32_t bits = lane.get<uint32_t>(i);
      const WgmmaPlace place = wgmmaAccumulator(thread, i);
      float &element = product.accumulator[place.row * product.columns + place.column];
      Token token;
      if (!Token::decode(bits, token)) {
        element = floatOfBits(bits);
        continue;
      }
      auto found = unit.products.find(token.product);
      if (found == unit.products.end())
        lane.fail(FindingKind::PendingResult, "the accumulator is of another warpgroup's wgmma");
      Product &source = found->second;
      if (source.overwritten)
        lane.fail(FindingKind::PendingResult, "the accumulator was overwritten by a later wgmma before a wait");
      if (source.delivered) {
        const WgmmaPlace from = wgmmaAccumulator(thread, token.index);
        element = source.accumulator[from.row * source.columns + from.column];
        continue;
      }
      lane.fail(FindingKind::PendingResult,
                "the accumulator of a wgmma under way was moved to another register or shape, or mixed with others "
                "(register " +
                    std::to_string(token.index) + " of n" + std::to_string(source.columns) + " to " +
                    std::to_string(i) + " of n" + std::to_string(product.columns) + ")");
    }
  }
}

/// Which immediate each operand of the list is: 1 or -1.
float scaleOf(Lane lane, unsigned list) {
  const int32_t scale = lane.get<int32_t>(lane.call().listBegin(list));
  if (scale != 1 && scale != -1)
    lane.fail(FindingKind::InvalidArgument, "imm-scale is " + std::to_string(scale) + ", expected 1 or -1");
  return float(scale);
}

/// "m64n128k16" -> 128; 0 if it is not such a shape.
unsigned columnsOf(const Call &call) {
  for (const std::string &modifier : call.modifiers)
    if (modifier.compare(0, 4, "m64n") == 0) {
      const size_t k = modifier.find('k');
      if (modifier.substr(k) != "k16")
        return 0;
      unsigned columns = 0;
      for (char digit : modifier.substr(4, k - 4))
        columns = columns * 10 + unsigned(digit - '0');
      return columns % 8 == 0 && columns <= 256 ? columns : 0;
    }
  return 0;
}

uint64_t sameInAllLanes(const Group &group, unsigned operand, const char *what) {
  const uint64_t value = group[0].get<uint64_t>(operand);
  for (Lane lane : group)
    if (lane.get<uint64_t>(operand) != value)
      lane.fail(FindingKind::InvalidArgument, std::string("the threads of the warpgroup disagree on ") + what);
  return value;
}

void readRegistersA(const Group &group, unsigned first, Product &product) {
  product.left.resize(rows * depth);
  for (unsigned thread = 0; thread < warpgroupSize; ++thread)
    for (unsigned i = 0; i < 8; ++i) {
      const uint32_t pair = group[thread].get<uint32_t>(first + i / 2);
      const uint16_t bits = uint16_t(pair >> (16 * (i % 2)));
      const WgmmaPlace place = wgmmaOperandA(thread, i);
      product.left[place.row * depth + place.column] = product.bf16 ? floatOfBf16(bits) : floatOfF16(bits);
    }
}
} // namespace

/// wgmma.mma_async {d}, a-desc or {a}, b-desc, scale-d, imm-scale-a, imm-scale-b {, imm-trans-a}, imm-trans-b
static void executeWgmma(Group &group) {
  const Call &call = group.call();
  Lane first = group[0];
  MatrixUnit &unit = unitOf(first.thread());
  Product product;
  product.call = &call;
  product.columns = columnsOf(call);
  const std::string &type = call.modifiers.back();
  product.bf16 = type == "bf16";
  if (!product.columns || (type != "bf16" && type != "f16") || call.modifiers[call.modifiers.size() - 3] != "f32")
    first.fail(FindingKind::UnknownInstruction, "emulated are m64nNk16 of f16 and bf16 with f32 accumulators");
  if (call.numDestinations != product.columns / 2)
    first.fail(FindingKind::InvalidArgument, std::to_string(call.numDestinations) +
                                                 " accumulator registers, expected " +
                                                 std::to_string(product.columns / 2));
  product.registersA = call.listSize(1) == 4;
  const unsigned expected = product.registersA ? 7 : 8;
  if (call.numLists() != expected)
    first.fail(FindingKind::InvalidArgument,
               std::to_string(call.numLists()) + " operands, expected " + std::to_string(expected));
  product.accumulate = first.get<bool>(call.listBegin(3));
  product.scale = scaleOf(first, 4) * scaleOf(first, 5);
  product.transposeA = !product.registersA && first.get<uint32_t>(call.listBegin(6)) != 0;
  product.transposeB = first.get<uint32_t>(call.listBegin(expected - 1)) != 0;
  for (Lane lane : group)
    if (lane.get<bool>(call.listBegin(3)) != product.accumulate)
      lane.fail(FindingKind::InvalidArgument, "the threads of the warpgroup disagree on scale-d");
  product.b = WgmmaDescriptor::decode(sameInAllLanes(group, call.listBegin(2), "the descriptor of B"));
  if (product.registersA) {
    readRegistersA(group, call.listBegin(1), product);
    product.site = unit.site;
  } else {
    product.a = WgmmaDescriptor::decode(sameInAllLanes(group, call.listBegin(1), "the descriptor of A"));
  }
  if (product.accumulate)
    takeAccumulator(group, unit, product);
  else
    product.accumulator.assign(rows * product.columns, 0);

  const bool continues = product.source && !product.registersA;
  if (!unit.fenced && !continues)
    first.fail(FindingKind::MissingFence, "wgmma.fence has to stand between the threads' use of registers and a wgmma "
                                          "that uses them");
  if (product.source)
    unit.products[product.source].overwritten = true;

  const uint32_t number = unit.issued = unit.issued % Token::maxProduct + 1;
  unit.products[number] = std::move(product);
  unit.products.erase((number + Token::maxProduct - keptProducts) % Token::maxProduct);
  unit.open.push_back(number);
  Block &block = group.block();
  if (block.asyncOrder == AsyncOrder::Random && block.random() % 2) {
    AsyncUnits::Work work = block.state<AsyncUnits>().matrix(block, first.thread().index / warpgroupSize);
    for (const std::vector<uint32_t> &committed : unit.committed)
      computeAll(group, unit, committed, work);
    computeAll(group, unit, unit.open, work);
  }
  for (Lane lane : group)
    for (unsigned i = 0; i < call.numDestinations; ++i)
      lane.set(i, Token{number, i}.bits());
}

static void executeFence(Group &group) { unitOf(*group.threads()[0]).fenced = true; }

static void executeCommit(Group &group) {
  MatrixUnit &unit = unitOf(*group.threads()[0]);
  unit.committed.push_back(std::move(unit.open));
  unit.open.clear();
}

/// wgmma.wait_group n: all but the latest n groups are complete.
static void executeWait(Group &group) {
  Thread &thread = *group.threads()[0];
  MatrixUnit &unit = unitOf(thread);
  const uint64_t remaining = group[0].get<uint32_t>(0);
  if (unit.committed.size() <= remaining)
    return;
  AsyncUnits::Work work = thread.block->state<AsyncUnits>().matrix(*thread.block, thread.index / warpgroupSize);
  while (unit.committed.size() > remaining) {
    computeAll(group, unit, unit.committed.front(), work);
    for (uint32_t number : unit.committed.front())
      unit.products[number].delivered = true;
    unit.committed.pop_front();
  }
  for (Lane lane : group)
    AsyncUnits::tell(lane.thread().clock, work);
}

/// flashc.wgmma.result d, token: in front of each use of a result. What is no token is a number already.
static void executeResult(Group &group) {
  for (Lane lane : group) {
    const unsigned count = lane.call().numDestinations;
    for (unsigned i = 0; i < count; ++i) {
      const uint32_t bits = lane.get<uint32_t>(count + i);
      Token token;
      if (!Token::decode(bits, token)) {
        lane.set(i, bits);
        continue;
      }
      MatrixUnit &unit = unitOf(lane.thread());
      auto found = unit.products.find(token.product);
      if (found == unit.products.end())
        lane.fail(FindingKind::PendingResult,
                  "the result is of another warpgroup's wgmma, or of one that was followed by " +
                      std::to_string(keptProducts) + " others");
      const Product &product = found->second;
      if (product.overwritten)
        lane.fail(FindingKind::PendingResult,
                  "a later wgmma accumulates in the registers of this result: " + product.call->text);
      if (!product.delivered)
        lane.fail(FindingKind::PendingResult,
                  "the accumulator is read before a wgmma.wait_group that covers " + product.call->text);
      const WgmmaPlace place = wgmmaAccumulator(lane.thread().index % warpgroupSize, token.index);
      lane.set(i, product.accumulator[place.row * product.columns + place.column]);
      unit.fenced = false;
    }
  }
}

/// flashc.wgmma.site n: the call that follows has this number.
static void executeSite(Group &group) { unitOf(*group.threads()[0]).site = group[0].get<uint64_t>(0) + 1; }

/// flashc.wgmma.touches word, mask: registers of A of the sites 64 * word + the mask's bits are read or written here.
static void executeTouches(Group &group) {
  const Lane lane = group[0];
  const MatrixUnit &unit = unitOf(lane.thread());
  const uint64_t word = lane.get<uint64_t>(0), mask = lane.get<uint64_t>(1);
  const auto check = [&](uint32_t number) {
    const auto found = unit.products.find(number);
    if (found == unit.products.end())
      return;
    const Product &product = found->second;
    const uint64_t site = product.site - 1;
    if (product.site && site / 64 == word && mask >> site % 64 & 1)
      lane.fail(FindingKind::PendingResult,
                "a register of A is read or written before a wgmma.wait_group that covers " + product.call->text);
  };
  for (const std::vector<uint32_t> &committed : unit.committed)
    for (const uint32_t number : committed)
      check(number);
  for (const uint32_t number : unit.open)
    check(number);
}

void addWgmma(InstructionSet &set) {
  set.add({"wgmma.mma_async", Scope::Warpgroup, executeWgmma, 1});
  set.add({"wgmma.fence", Scope::Warpgroup, executeFence, 0});
  set.add({"wgmma.commit_group", Scope::Warpgroup, executeCommit, 0});
  set.add({"wgmma.wait_group", Scope::Warpgroup, executeWait, 0});
  set.add({"flashc.wgmma.result", Scope::Lane, executeResult, 1});
  set.add({"flashc.wgmma.site", Scope::Lane, executeSite, 0});
  set.add({"flashc.wgmma.touches", Scope::Lane, executeTouches, 0});
}

} // namespace flashc::emulator
