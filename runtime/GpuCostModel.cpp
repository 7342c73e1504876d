//===- GpuCostModel.cpp - how long a choice of tiles would take on a GPU ------===//

#include "runtime/GpuCostModel.h"

#include "runtime/Rounding.h"

#include <algorithm>
#include <cmath>

using namespace flashc;

namespace {
constexpr int64_t middlingLength = 4096, middlingHeads = 32;

std::string text(int64_t value) { return std::to_string(value); }
std::string textOf(const TileSizes &tiles) { return text(tiles.rows) + " x " + text(tiles.keys); }

/// What one score takes between the products, in instructions of the vector unit and of the special one, and what is
/// read for it alone.
struct ScoreCost {
  double arithmetic = 0, special = 0, bytes = 0;
};

ScoreCost costOf(const ScoreTraits &scores, bool isWide) {
  // Scaled, compared, summed and half of a conversion. Of float64 an exponential is a polynomial.
  ScoreCost cost = isWide ? ScoreCost{18, 0, 0} : ScoreCost{4.5, 1, 0};
  if (scores.hasScore) // positions as numbers, and a function of them, which may be any
    cost.arithmetic += 6;
  if (scores.hasSoftcap) { // a hyperbolic tangent is an exponential and a quotient
    cost.arithmetic += isWide ? 36 : 5;
    cost.special += isWide ? 0 : 2;
  }
  if (scores.hasBias) { // an address, a load, a sum
    cost.arithmetic += 3;
    cost.bytes += 4;
  }
  if (scores.readsKeys) // compared and selected
    cost.arithmetic += 2;
  return cost;
}
} // namespace

GpuCostModel::Code GpuCostModel::codeFor(const AttentionShape &shape) const {
  const size_t colon = shape.target.find(':');
  std::string name = colon == std::string::npos ? "" : shape.target.substr(colon + 1);
  const GpuCapabilities *gpu = findGpuCapabilities(name);
  if (!gpu) {
    name = chip.name;
    gpu = findGpuCapabilities(name);
  }
  return {name, gpu ? *gpu : GpuCapabilities()};
}

GpuTileProblem flashc::getTileProblem(const AttentionShape &shape, const GpuCapabilities &gpu) {
  GpuTileProblem problem;
  problem.unit = shape.storedBytes == 2 ? gpu.matrixUnit : shape.tf32 ? MatrixUnit::Mma : MatrixUnit::None;
  problem.subgroupSize = gpu.subgroupSize;
  problem.sharedBytes = gpu.sharedBytes;
  problem.registers = gpu.registers;
  problem.headDim = shape.headDim;
  problem.valueHeadDim = shape.valueHeadDim;
  problem.operandBytes = problem.unit == MatrixUnit::None ? shape.computeBytes : shape.storedBytes;
  problem.sumBytes = shape.computeBytes;
  problem.scores = shape.scores;
  problem.scores.hasMask |= shape.causal || shape.window >= 0;
  problem.scores.hasWindow |= shape.window >= 0;
  return problem;
}

GpuTilePlan GpuCostModel::planFor(const AttentionShape &shape, const TileSizes &tiles) const {
  return planGpuTiles(getTileProblem(shape, codeFor(shape).gpu), tiles);
}

int64_t GpuCostModel::sharedBytes(const GpuCapabilities &gpu) const {
  return limits.sharedPerBlock > 0 ? std::min(gpu.sharedBytes, limits.sharedPerBlock) : gpu.sharedBytes;
}

int64_t GpuCostModel::mostRegisters(const AttentionShape &shape, const BlockTiles &tiles) const {
  const GpuCapabilities gpu = codeFor(shape).gpu;
  int64_t threads = tiles.countThreads();
  if (tiles.unit == MatrixUnit::Wgmma) {
    // Those that multiply have what the one that copies leaves.
    const RoleRegisters roles = getRoleRegisters(tiles.countSubgroups(), shape.scores.readsKeys, shape.valueHeadDim);
    if (roles.consumer)
      return roles.consumer;
    threads += kWarpgroupThreads;
  }
  const int64_t most = gpu.registers > 0 ? std::min(gpu.registers, chip.mostRegisters) : chip.mostRegisters;
  return std::min(most, chip.registers * chip.schedulers / threads / 8 * 8);
}

std::string GpuCostModel::whyIllegal(const AttentionShape &shape, const TileSizes &tiles) const {
  if (tiles.rows < 1 || tiles.keys < 1)
    return "expected tiles of at least 1 row and 1 key, got " + textOf(tiles);
  const Code code = codeFor(shape);
  const GpuTilePlan plan = planFor(shape, tiles);
  if (tiles.rows % plan.rowUnit != 0)
    return "expected query rows in multiples of " + text(plan.rowUnit) + ", what one product on " + code.chip +
           " has, got " + text(tiles.rows);
  if (tiles.keys != plan.many.keys)
    return "expected keys in multiples of " + text(plan.keyUnit) + ", what one product on " + code.chip + " has, got " +
           text(tiles.keys);
  if (tiles.split < 0 || tiles.split % plan.few.keys != 0)
    return "expected a split in multiples of the " + text(plan.few.keys) + " keys of a tile, got " + text(tiles.split);
  if (plan.sharedBytes > sharedBytes(code.gpu))
    return "expected at most the " + text(sharedBytes(code.gpu)) + " bytes of shared memory of a block on " +
           code.chip + ", got " + text(plan.sharedBytes) + " for tiles of " + textOf(tiles) + " and head dims " +
           text(shape.headDim) + " and " + text(shape.valueHeadDim);
  const int64_t most = mostRegisters(shape, plan.many);
  // An assembler finds room for all else.
  const int64_t needed = takesColumns(plan.many.unit) ? plan.registers : plan.many.countAccumulators();
  if (needed > most)
    return "expected at most the " + text(most) + " registers of a thread on " + code.chip + ", got " + text(needed) +
           " for the sums and scores of tiles of " + textOf(tiles) + " and head dim " + text(shape.valueHeadDim);
  return "";
}

bool GpuCostModel::isFew(const AttentionShape &shape) const {
  return shape.queries >= 0 && shape.queries <= planFor(shape, {}).few.queries;
}

std::vector<TileSizes> GpuCostModel::enumerate(const AttentionShape &shape) const {
  std::vector<TileSizes> all;
  if (isFew(shape)) {
    // Rows and keys are of the other form, which such a call does not take.
    const std::vector<RankedTiles> ranked = rank(shape.ofAnySize());
    if (ranked.empty())
      return all;
    TileSizes tiles = ranked.front().tiles;
    for (int64_t size : {128, 256, 512, 768, 1024, 1536, 2048, 3072, 4096, 8192, 16384})
      if (tiles.split = roundUp(size, tiles.keys);
          all.empty() || (all.back().split < tiles.split && all.back().split < shape.keys))
        all.push_back(tiles);
    return all;
  }
  for (int64_t rows : {4, 8, 16, 32, 48, 64, 96, 128, 192, 256, 384})
    for (int64_t keys : {8, 16, 32, 48, 64, 80, 96, 112, 128, 144, 176, 192, 224, 256})
      all.push_back({rows, keys, 0});
  return all;
}

double GpuCostModel::predict(const AttentionShape &shape, const TileSizes &tiles) const {
  const AttentionShape known = shape.completed(middlingHeads, middlingLength);
  return isFew(shape) ? predictFew(known, tiles) : predictRows(known, tiles);
}

double GpuCostModel::predictRows(const AttentionShape &s, const TileSizes &tiles) const {
  const GpuTilePlan plan = planFor(s, tiles);
  const BlockTiles &block = plan.many;
  const bool matrixUnit = block.unit != MatrixUnit::None, wideProducts = block.unit == MatrixUnit::Wgmma;
  const auto rows = static_cast<double>(block.countRows()), keys = static_cast<double>(block.keys);
  const auto threads = static_cast<double>(block.countThreads());
  const double subgroups = std::max(1.0, threads / chip.subgroupSize);
  // Products contract 32 bytes of elements, and make whole blocks of columns.
  const auto d = static_cast<double>(roundUp(s.headDim, matrixUnit ? 32 / block.operandBytes : 1)),
             dv = static_cast<double>(roundUp(s.valueHeadDim, block.getSums().columns));
  const bool wide = s.computeBytes == 8;
  const double scores = rows * keys, element = static_cast<double>(block.operandBytes);

  // Clocks of a multiprocessor for one tile of one block.
  const double share = wideProducts ? 1.0 : static_cast<double>(chip.mmaShare);
  const double fmaLanes = wide ? chip.fma64Lanes : chip.fmaLanes;
  const double matrixFlops = chip.matrixFlops * share * (s.tf32 ? GpuChip::tf32Share : 1);
  const double products = matrixUnit ? 2 * scores * (d + dv) / matrixFlops : scores * (d + dv) / fmaLanes;
  // Beside the scores, the sums so far are scaled, and a tile has its overhead.
  const ScoreCost score = costOf(s.scores, wide);
  const double perThread = score.arithmetic * scores / threads + rows * dv / threads + 80;
  const double arithmetic = perThread * threads / (wide ? std::min<double>(fmaLanes, chip.aluLanes) : chip.aluLanes);
  const double special = score.special * scores / chip.specialLanes;
  const double between = chip.oneVectorUnit ? arithmetic + special : std::max(arithmetic, special);
  // Each subgroup reads all keys and values; one by one, four loads of four feed sixteen multiply-adds.
  const double readBytes = matrixUnit ? static_cast<double>(block.countSubgroups()) * keys * (d + dv) * element
                                      : scores * (d + dv) * element / 2;
  const double tileBytes = keys * static_cast<double>(s.headDim + s.valueHeadDim) * static_cast<double>(s.storedBytes);
  const double shared = (readBytes + tileBytes) / chip.sharedBytes,
               l2 = (tileBytes + score.bytes * scores) / chip.l2Bytes;

  const int64_t most = mostRegisters(s, block), held = std::min(plan.registers, most);
  const GpuOccupancy occupancy = gpuOccupancy(chip, block.countThreads(), held, plan.sharedBytes);
  const double heads = static_cast<double>(s.batch * s.heads);
  const double blocksOfHead = static_cast<double>(divideUp(std::max<int64_t>(1, s.queries), block.queries));
  const double blocks = heads * blocksOfHead;
  const double together =
      std::clamp(std::ceil(blocks / units()), 1.0, static_cast<double>(std::max<int64_t>(1, occupancy.blocks)));

  const double perScheduler = std::ceil(together * subgroups / chip.schedulers);
  const double dealt = perScheduler * chip.schedulers / subgroups; // blocks' worth of a scheduler's time
  // Products of single elements and what lies between them may have one unit together.
  const bool oneUnit = chip.oneVectorUnit && !matrixUnit;
  const double busiest = std::max(
      {dealt * (oneUnit ? products + between : std::max(products, between)), together * shared, together * l2});
  const double alone =
      chip.schedulers / subgroups * (wideProducts ? std::max(products, between) : std::max(products, shared) + between);
  double clocks = std::max(busiest, alone);
  // What registers do not hold is stored and read in every tile.
  clocks *= 1 + 3 * static_cast<double>(plan.registers - held) / static_cast<double>(most);

  double attended = static_cast<double>(std::max<int64_t>(1, s.keys));
  if (s.causal) // the average block ends at the middle, and computes its own triangle as a rectangle
    attended = std::min(attended, attended / 2 + (rows + keys) / 2);
  if (s.window >= 0)
    attended = std::min(attended, static_cast<double>(s.window) + rows + keys);
  const double turns = std::ceil(attended / keys);
  // Rows come in and go out, and the first tile is waited for.
  const double latency = 1500 + rows * static_cast<double>(s.headDim + s.valueHeadDim) *
                                    static_cast<double>(s.storedBytes) * together / chip.l2Bytes;
  const double perBlock = turns * clocks + latency;
  const double rounds = blocks / (units() * together);
  // Blocks that are alike end together, so that the last round is whole; under a diagonal the long ones come first.
  const double waited = s.causal ? std::max(1.0, rounds + 0.35) : std::ceil(rounds);
  return waited * perBlock / clock() + 3e-6;
}

double GpuCostModel::predictFew(const AttentionShape &s, const TileSizes &tiles) const {
  const int64_t keys = std::max<int64_t>(1, s.keys);
  const GpuTilePlan plan = planFor(s, tiles);
  const int64_t split = std::clamp<int64_t>(plan.split, 1, keys);
  const double parts = static_cast<double>(divideUp(keys, split));
  // As many heads of a key head as a tile has rows for are one block's.
  const int64_t group = std::max<int64_t>(1, s.heads / std::max<int64_t>(1, s.kvHeads));
  const int64_t headsOfBlock = std::clamp<int64_t>(plan.few.queries / std::max<int64_t>(1, s.queries), 1, group);
  const double blocks = static_cast<double>(s.batch * s.kvHeads * divideUp(group, headsOfBlock)) * parts;
  const double bytes = static_cast<double>(split * (s.headDim + s.valueHeadDim) * s.storedBytes);
  // A block has one subgroup: what it may have under way is its two tiles; several share a multiprocessor.
  const double together = std::clamp(std::ceil(blocks / units()), 1.0, 8.0);
  const double reading =
      std::max(bytes * together / (chip.l2Bytes * clock()), bytes * std::min(blocks, together * units()) / memory());
  const double turns = static_cast<double>(divideUp(split, plan.few.keys));
  const double waiting = turns * 900 / clock(); // the memory's latency, of which one tile is hidden
  const double block = std::max(reading, waiting) + 2000 / clock();
  const double rounds = std::ceil(blocks / (units() * together));
  const double rows = static_cast<double>(s.batch * s.heads * s.queries);
  const double merging = parts > 1 ? 2e-6 + rows * parts * static_cast<double>(s.valueHeadDim) * 4 * 2 / memory() : 0;
  return rounds * block + merging + 3e-6;
}
