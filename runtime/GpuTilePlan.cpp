//===- GpuTilePlan.cpp - how attention is cut into tiles on a GPU ---------------===//

#include "runtime/GpuTilePlan.h"

#include "runtime/Rounding.h"

#include <algorithm>
#include <iterator>
#include <utility>

using namespace flashc;

//===----------------------------------------------------------------------===//
// Units
//===----------------------------------------------------------------------===//

MatrixUnit flashc::getUnitForRows(MatrixUnit available, int64_t rows) {
  const bool whole = rows > 0 && rows % kWarpgroupRows == 0;
  return available == MatrixUnit::Wgmma && !whole ? MatrixUnit::Mma : available;
}

int64_t flashc::getUnitThreads(MatrixUnit unit, int64_t subgroupSize) {
  switch (unit) {
  case MatrixUnit::Wgmma:
    return kWarpgroupThreads;
  case MatrixUnit::Mfma:
    return 64;
  case MatrixUnit::Mma:
  case MatrixUnit::Wmma:
    return 32;
  case MatrixUnit::None:
    break;
  }
  return subgroupSize;
}

FragmentBlock flashc::getUnitSums(MatrixUnit unit, int64_t rows) {
  switch (unit) {
  case MatrixUnit::Mma:
    return {16, 8, 4};
  case MatrixUnit::Wgmma:
    return {kWarpgroupRows, 8, 4};
  case MatrixUnit::Mfma:
    if (rows < kMostSubgroups * 32)
      return {16, 32, 8};
    return {32, 32, 16};
  case MatrixUnit::Wmma:
    return {16, 16, 8};
  case MatrixUnit::None:
    break;
  }
  return {};
}

FragmentBlock flashc::getUnitLeft(MatrixUnit unit, int64_t height, int64_t elementBytes) {
  switch (unit) {
  case MatrixUnit::Mma:
    if (elementBytes == 4)
      return {16, kTf32Steps, 4};
    return {16, 16, 8};
  case MatrixUnit::Wgmma:
    return {kWarpgroupRows, kWarpgroupSteps, 8};
  case MatrixUnit::Mfma:
    if (height == 16)
      return {16, 32, 8};
    return {32, 16, 8};
  case MatrixUnit::Wmma: // both halves of a wave hold the same
    return {16, 16, 16};
  case MatrixUnit::None:
    break;
  }
  return {};
}

ElementBlock flashc::chooseElementBlock(int64_t bytes, int64_t width, int64_t keys) {
  ElementBlock block{4, 16 / bytes};
  while (block.columns > 1 && keys % (kThreadsAcross * block.columns) != 0)
    block.columns /= 2;
  // 32-bit registers: accumulators, scores, and rows of operands that wait for their multiply-adds.
  const int64_t most = bytes == 8 ? 164 : 176;
  const auto registers = [&] {
    const int64_t across = divideUp(width, kThreadsAcross * block.columns) * block.columns;
    return block.rows * (across + divideUp(keys, kThreadsAcross) + 8) * (bytes / 4);
  };
  while (block.rows > 1 && registers() > most)
    block.rows /= 2;
  return block;
}

FragmentBlock flashc::getSubgroupBlock(ElementBlock block, int64_t subgroupSize) {
  return {subgroupSize / kThreadsAcross * block.rows, kThreadsAcross * block.columns, block.rows * block.columns};
}

RoleRegisters flashc::getRoleRegisters(int64_t consumers, bool looks, int64_t columns) {
  // All 65,536 registers of a multiprocessor: what the producer does not need holds the consumers' accumulators.
  switch (consumers) {
  case 2:
    if (!looks)
      return {56, 224};
    return columns > 128 ? RoleRegisters{72, 216} : RoleRegisters{104, 200};
  case 3:
    return looks ? RoleRegisters{80, 144} : RoleRegisters{56, 152};
  default: // one has as many as an instruction can name
    return {};
  }
}

//===----------------------------------------------------------------------===//
// A block of threads
//===----------------------------------------------------------------------===//

int64_t flashc::countTileBytes(int64_t rows, int64_t columns, int64_t elementBytes) {
  const int64_t rowBytes = columns * elementBytes;
  return roundUp(rows * roundUp(rowBytes, getPanelBytes(rowBytes)), kSharedAlignment);
}

FragmentBlock BlockTiles::getSums() const {
  if (unit == MatrixUnit::None)
    return getSubgroupBlock(chooseElementBlock(sumBytes, valueHeadDim, keys), subgroupSize);
  return getUnitSums(unit, queries);
}

int64_t BlockTiles::countSubgroups() const { return std::clamp<int64_t>(queries / getSums().rows, 1, kMostSubgroups); }

int64_t BlockTiles::countThreads() const { return countSubgroups() * getUnitThreads(unit, subgroupSize); }

int64_t BlockTiles::countRows() const {
  const int64_t subgroups = countSubgroups();
  return subgroups * roundUp(divideUp(queries, subgroups), getSums().rows);
}

int64_t BlockTiles::countHeld(const FragmentBlock &block, int64_t columns, int64_t elementBytes) const {
  const int64_t down = divideUp(divideUp(queries, countSubgroups()), block.rows);
  return down * divideUp(columns, block.columns) * block.elements * elementBytes / 4;
}

QueryPlace BlockTiles::placeQueries(int64_t sharedBytes, int64_t registers) const {
  switch (unit) {
  case MatrixUnit::None:
    return countSharedBytes(QueryPlace::Shared) <= sharedBytes ? QueryPlace::Shared : QueryPlace::Global;
  case MatrixUnit::Mma: {
    // Of sixteen rows a thread holds two words a piece of sixteen bytes of queries, and half a one a column of
    // accumulators. Where both are words, operands on their way take twice as many, too.
    const int64_t most = operandBytes == 4 ? 120 : 160;
    return headDim * operandBytes / 8 + valueHeadDim / 2 > most ? QueryPlace::Shared : QueryPlace::Registers;
  }
  case MatrixUnit::Wgmma:
    return QueryPlace::Shared;
  case MatrixUnit::Mfma:
  case MatrixUnit::Wmma:
    break;
  }
  // Waves of 32 read them for nothing beside products of the vector unit, and more of them share it with fewer
  // registers.
  const int64_t most = unit == MatrixUnit::Wmma ? registers * 7 / 8 : registers;
  return countRegisters(QueryPlace::Registers) <= most || countSharedBytes(QueryPlace::Shared) > sharedBytes
             ? QueryPlace::Registers
             : QueryPlace::Shared;
}

CopyUnits flashc::getCopyUnits(int64_t rows, int64_t columns, int64_t elementBytes, int64_t panelBytes,
                               bool transposed) {
  constexpr int64_t rowsOfThread = 4;
  const int64_t piece = 16 / elementBytes, padded = roundUp(columns * elementBytes, panelBytes) / elementBytes;
  if (transposed)
    return {rows / piece, rows / piece * (padded / rowsOfThread), rowsOfThread, piece};
  return {padded / piece, padded / piece * rows, 1, piece};
}

namespace {
int64_t countRegistersOf(const CopyUnits &units, int64_t threads) {
  return divideUp(units.total, threads) * units.rows * 16 / 4;
}
} // namespace

int64_t BlockTiles::countCopiedKeys() const {
  const int64_t panel = getPanelBytes(headDim * operandBytes);
  return countRegistersOf(getCopyUnits(keys, headDim, operandBytes, panel, /*transposed=*/false), countThreads());
}

int64_t BlockTiles::countCopiedValues() const {
  const int64_t columns = roundUp(valueHeadDim, 32), panel = getPanelBytes(keys * operandBytes);
  return countRegistersOf(getCopyUnits(columns, keys, operandBytes, panel, /*transposed=*/true), countThreads());
}

int64_t BlockTiles::countAccumulators() const {
  const FragmentBlock sums = getSums();
  return countHeld(sums, valueHeadDim, sumBytes) + countHeld(sums, keys, sumBytes);
}

int64_t BlockTiles::countRegisters(QueryPlace place) const {
  // What an assembler needs for addresses and all else, and for the elements of a row's and a column's operands.
  constexpr int64_t ofAssembler = 32, ofElements = 16;
  if (unit == MatrixUnit::None)
    return countAccumulators() + ofElements + ofAssembler;
  const FragmentBlock left = getUnitLeft(unit, getSums().rows, operandBytes);
  int64_t count = countAccumulators() + countHeld(left, keys, operandBytes);
  if (place == QueryPlace::Registers)
    count += countHeld(left, headDim, operandBytes);
  if (!takesColumns(unit))
    return count + ofAssembler;
  // Of the next tile all waits beside operands, or as many pieces as are read at once. All else - addresses, masks, a
  // row's maximum and sum - is what code objects use: waves of
  // 32 threads have more addresses, where those are kept.
  count += kOperandRegisters + std::min(std::max(countCopiedKeys(), countCopiedValues()), kMostAtOnce * 4);
  const int64_t ofRows = 2 * divideUp(divideUp(queries, countSubgroups()), getSums().rows);
  const int64_t sums = countHeld(getSums(), valueHeadDim, sumBytes) + ofRows;
  const bool isKept = keepsAddresses(subgroupSize, countSubgroups(), sums, kRegistersOfWave);
  return count + (isKept && subgroupSize == 32 ? 20 + roundUp(headDim, 16) * 7 / 16 : 28);
}

int64_t BlockTiles::countBlocksAtATime(QueryPlace place, int64_t others) const {
  // One warp's block has as many as an instruction can name: shared memory holds fewer blocks than registers do.
  if (countSubgroups() == 1)
    return 1;
  // Addresses and all else; where elements are multiplied singly operands, of two words each beside the terms of
  // exponentials' polynomials.
  constexpr int64_t ofAll = 64, ofMultiprocessor = 65536;
  const int64_t ofElements = sumBytes == 8 ? 48 : 16;
  int64_t count = countAccumulators() + ofAll + others;
  if (unit == MatrixUnit::None) {
    count += ofElements;
  } else {
    const FragmentBlock left = getUnitLeft(unit, getSums().rows, operandBytes);
    count += countHeld(left, keys, operandBytes);
    if (place == QueryPlace::Registers)
      count += countHeld(left, headDim, operandBytes);
  }
  return std::max<int64_t>(1, ofMultiprocessor / (countThreads() * count));
}

int64_t BlockTiles::countSharedBytes(QueryPlace place) const {
  const auto tile = [&](int64_t rows, int64_t columns) { return countTileBytes(rows, columns, operandBytes); };
  constexpr int64_t word = kSharedAlignment;
  const int64_t query = tile(queries, headDim), key = tile(keys, headDim), value = tile(keys, valueHeadDim);
  const int64_t weights = tile(queries, keys), inShared = place == QueryPlace::Shared ? query : 0;
  switch (unit) {
  case MatrixUnit::None:
    return key + value + weights + word + inShared;
  case MatrixUnit::Mma: {
    // Results of 16 bits, and queries that go to registers, pass through.
    const int64_t results = operandBytes == 2 ? key + tile(queries, valueHeadDim) : 0;
    const int64_t products = std::max(key + value + weights + word, results);
    return std::max(products + inShared, query);
  }
  case MatrixUnit::Wgmma:
    // Two tiles of keys and values are multiplied while the next ones arrive; weights are read from memory where zeros
    // have to be skipped.
    return 2 * (key + value) + word + inShared + (skipsZeros ? weights : 0);
  case MatrixUnit::Mfma:
  case MatrixUnit::Wmma:
    break;
  }
  // Values lie by columns, and the word where keys were, unless the next ones are there already.
  const bool isApart = countCopiedKeys() > getMostWaiting(getUnitThreads(unit, subgroupSize));
  return key + tile(roundUp(valueHeadDim, 32), keys) + (isApart ? word : 0) + inShared;
}

//===----------------------------------------------------------------------===//
// Tile sizes
//===----------------------------------------------------------------------===//

namespace {
/// The smallest tiles of queries of a subgroup and keys are last.
struct Candidate {
  int64_t rows, keys;
};

/// Rows and keys of warpgroups' tiles for head dims up to `headDim`, with masks and without: accumulators, scores and
/// weights of 64 rows fit into the registers of two or three warpgroups beside the one that copies, as the assembler
/// counts them. (The sizes of FlashAttention-3, Shah et al., 2024.)
struct WarpgroupTiles {
  int64_t headDim;
  Candidate masked, whole;
};
constexpr WarpgroupTiles kWarpgroupTiles[] = {{64, {192, 112}, {192, 96}},
                                              {96, {192, 96}, {128, 128}},
                                              {128, {128, 128}, {128, 128}},
                                              {192, {128, 112}, {128, 80}},
                                              {256, {128, 80}, {128, 64}}};

/// Two warpgroups have more registers than three: for scores that read or compute something of each key. Of 64 rows, a
/// thread holds half a sum a column and, a key, half a score, a quarter of a weight and a quarter of what belongs to
/// the key, with a bias three quarters, as that is of each row, too; the others are for addresses and rows.
Candidate chooseBusyTiles(const GpuTileProblem &problem) {
  constexpr int64_t rows = 2 * kWarpgroupRows, step = 16, sumColumns = 8;
  // What is read of each key has addresses, and the block's tiles are looked for between products.
  int64_t others = problem.scores.hasScore ? 44 : 36;
  if (problem.scores.readsKeys)
    others = (problem.valueHeadDim > 128 ? 84 : 72) + (problem.scores.hasWindow ? 32 : 0) +
             (problem.scores.readsKeysOften ? 16 : 0) +
             (problem.headDim % step != 0 ? 16 : 0); // a step of the product that is not whole
  const int64_t left =
      getRoleRegisters(rows / kWarpgroupRows, problem.scores.readsKeys, problem.valueHeadDim).consumer - others -
      roundUp(problem.valueHeadDim, sumColumns) / 2;
  const int64_t keys = problem.scores.hasBias ? left * 2 / 3 : left;
  const int64_t most = problem.scores.hasBias || problem.scores.readsKeysOften ? 64 : 128;
  return {rows, std::clamp<int64_t>(keys / step * step, step, most)};
}

/// Rows and keys of warpgroups' tiles.
Candidate chooseWarpgroupTiles(const GpuTileProblem &problem, const WarpgroupTiles &sizes) {
  if (problem.scores.hasBias || problem.scores.hasScore || problem.scores.readsKeys)
    return chooseBusyTiles(problem);
  // Both ends of a window are numbers of each row.
  if (problem.scores.hasWindow && sizes.masked.rows > 2 * kWarpgroupRows)
    return {2 * kWarpgroupRows, 128};
  return problem.scores.skipsZeros() ? sizes.masked : sizes.whole;
}

/// For units that take columns: the largest tiles that leave room for two blocks in shared memory and a thread's
/// registers, and whose copies wait in those, else for one block, else the smallest.
void chooseUnitTiles(BlockTiles &tiles, const GpuTileProblem &problem) {
  // More rows of a wave read keys and values less often, more keys of a tile rescale sums less often.
  constexpr Candidate mfma[] = {{32, 64}, {32, 32}, {16, 64}, {16, 32}}, wmma[] = {{16, 32}, {16, 16}};
  const bool isMfma = tiles.unit == MatrixUnit::Mfma;
  const Candidate *begin = isMfma ? std::begin(mfma) : std::begin(wmma),
                  *end = isMfma ? std::end(mfma) : std::end(wmma);
  // Some are left for what masks, biases and scores read and compute.
  const int64_t room = problem.registers - 24,
                mostWaiting = getMostWaiting(getUnitThreads(tiles.unit, tiles.subgroupSize));
  const BlockTiles wanted = tiles;
  const auto choose = [&](Candidate candidate) {
    tiles.queries = wanted.queries ? wanted.queries : kMostSubgroups * candidate.rows;
    tiles.keys = wanted.keys ? wanted.keys : candidate.keys;
  };
  struct Demand {
    int64_t blocks;
    bool waits;
  };
  // The next tile is better smaller and on its way than whole and waited for.
  for (auto [blocks, waits] : {Demand{2, true}, Demand{1, true}, Demand{1, false}})
    for (const Candidate *candidate = begin; candidate != end; ++candidate) {
      choose(*candidate);
      const int64_t sharedBytes = problem.sharedBytes / blocks;
      const QueryPlace place = tiles.placeQueries(sharedBytes, problem.registers);
      if (tiles.countRegisters(place) <= room && tiles.countSharedBytes(place) <= sharedBytes &&
          ((!waits && isMfma) || std::max(tiles.countCopiedKeys(), tiles.countCopiedValues()) <= mostWaiting))
        return;
    }
  choose(end[-1]);
}

/// For single multiply-adds: the largest tiles that fit into shared memory, with query rows there or not; where none
/// fits, the smallest.
void chooseElementTiles(BlockTiles &tiles, const GpuTileProblem &problem) {
  constexpr Candidate copied[] = {{4, 32}, {4, 16}, {2, 32}};
  constexpr Candidate inPlace[] = {{4, 32}, {4, 16}, {4, 8}, {2, 8}, {1, 8}};
  const BlockTiles wanted = tiles;
  // Rows are counted in subgroups'.
  const auto choose = [&](Candidate candidate) {
    tiles.keys = wanted.keys ? wanted.keys : candidate.keys;
    tiles.queries = wanted.queries ? wanted.queries : candidate.rows * tiles.getSums().rows;
  };
  // What a mask reads of each key takes registers beside the sums, addresses of rows in place as well: wide heads'
  // scores are of fewer keys then, and float64's, whose operands are two registers each.
  const int64_t mostBesideKeys = tiles.subgroupSize == 32 ? 132 : 136;
  const auto suitsMasks = [&](Candidate candidate, int64_t most) {
    return !problem.scores.readsKeys || wanted.keys ||
           (tiles.countAccumulators() <= most && (tiles.sumBytes == 4 || candidate.keys <= 16));
  };
  for (const Candidate candidate : copied)
    if (choose(candidate);
        tiles.countSharedBytes(QueryPlace::Shared) <= problem.sharedBytes && suitsMasks(candidate, 136))
      return;
  for (const Candidate candidate : inPlace)
    if (choose(candidate); tiles.countSharedBytes(QueryPlace::Global) <= problem.sharedBytes &&
                           (wanted.keys || tiles.countAccumulators() <= 176) && suitsMasks(candidate, mostBesideKeys))
      return;
}

/// Four subgroups share each tile of keys. A thread's accumulators and scores must stay in registers: for wide heads,
/// of rows of so many bytes, tiles are half as wide, and half of that where a mask reads what is said of each key, once
/// more where a window or a bias stands beside it.
int64_t chooseFewKeys(const GpuTileProblem &problem) {
  const int64_t rowBytes = std::max(problem.headDim, problem.valueHeadDim) * problem.operandBytes;
  if (!problem.scores.readsKeys)
    return rowBytes > 256 ? 32 : 64;
  const int64_t keys = rowBytes > 384 ? 16 : rowBytes > 128 ? 32 : 64;
  return problem.scores.hasWindow || problem.scores.hasBias ? std::max<int64_t>(keys / 2, 16) : keys;
}

/// A smaller size in whole `unit`s, the next one or half of it; false where there is none.
bool reduce(int64_t &size, int64_t unit, bool byUnits) {
  const int64_t reduced = byUnits ? size - unit : size / 2;
  if (reduced < unit || reduced % unit != 0)
    return false;
  size = reduced;
  return true;
}
} // namespace

GpuTilePlan flashc::planGpuTiles(const GpuTileProblem &problem, const TileSizes &wanted) {
  const int64_t widest = std::max(problem.headDim, problem.valueHeadDim);
  const auto *warpgroups = std::find_if(std::begin(kWarpgroupTiles), std::end(kWarpgroupTiles),
                                        [&](const WarpgroupTiles &tiles) { return widest <= tiles.headDim; });
  const bool suitsWarpgroups = warpgroups != std::end(kWarpgroupTiles) && wanted.keys <= kWarpgroupColumns;
  GpuTilePlan plan;
  BlockTiles &tiles = plan.many;
  tiles.unit = getUnitForRows(problem.unit, !suitsWarpgroups ? 0 : wanted.rows ? wanted.rows : kWarpgroupRows);
  tiles.subgroupSize = problem.subgroupSize;
  tiles.headDim = problem.headDim;
  tiles.valueHeadDim = problem.valueHeadDim;
  tiles.operandBytes = problem.operandBytes;
  tiles.sumBytes = problem.sumBytes;
  tiles.skipsZeros = problem.scores.skipsZeros();
  tiles.queries = wanted.rows;
  tiles.keys = wanted.keys;
  const bool isElements = tiles.unit == MatrixUnit::None, isWarpgroups = tiles.unit == MatrixUnit::Wgmma;

  // Keys are columns of one product and steps of the other, which are sixteen or as many as columns.
  constexpr int64_t steps = 16;
  plan.keyUnit = isElements ? kThreadsAcross : std::max(getUnitSums(tiles.unit, tiles.queries).columns, steps);
  if (tiles.keys)
    tiles.keys = roundUp(tiles.keys, isElements ? tiles.getSums().columns : plan.keyUnit);
  if (isElements) {
    chooseElementTiles(tiles, problem);
  } else if (takesColumns(tiles.unit)) {
    chooseUnitTiles(tiles, problem);
  } else {
    Candidate chosen{kMostSubgroups * getUnitSums(tiles.unit, 0).rows, chooseFewKeys(problem)};
    if (isWarpgroups)
      chosen = chooseWarpgroupTiles(problem, *warpgroups);
    tiles.queries = wanted.rows ? wanted.rows : chosen.rows;
    tiles.keys = tiles.keys ? tiles.keys : chosen.keys;
  }
  plan.rowUnit = tiles.getSums().rows;

  // Single multiply-adds have the largest tiles that fit already. Warpgroups' instructions are of any width, others'
  // tiles stay powers of two.
  const auto reduceTiles = [&] {
    return !isElements && ((!wanted.keys && reduce(tiles.keys, plan.keyUnit, isWarpgroups)) ||
                           (!wanted.rows && reduce(tiles.queries, plan.rowUnit, isWarpgroups)));
  };
  do {
    plan.queries = tiles.placeQueries(problem.sharedBytes, problem.registers);
    plan.sharedBytes = tiles.countSharedBytes(plan.queries);
  } while (plan.sharedBytes > problem.sharedBytes && reduceTiles());
  plan.registers = tiles.countRegisters(plan.queries);

  // Few rows are one warp's or wave's. Their tiles of keys are the same as of many rows where they fit, but for
  // warpgroups'.
  plan.few = tiles;
  plan.few.unit = getUnitForRows(tiles.unit, 0);
  plan.few.queries = isElements ? plan.rowUnit : getUnitSums(plan.few.unit, 1).rows;
  if (isWarpgroups && !wanted.keys && (widest <= 192 || problem.scores.skipsZeros()))
    plan.few.keys = chooseFewKeys(problem);
  // One subgroup's threads may need what more of them do not: a word of their own.
  while (plan.few.countSharedBytes(plan.few.placeQueries(problem.sharedBytes, problem.registers)) >
             problem.sharedBytes &&
         reduce(plan.few.keys, plan.keyUnit, /*byUnits=*/true)) {
  }
  plan.split = roundUp(wanted.split ? wanted.split : 512, plan.few.keys);
  return plan;
}
