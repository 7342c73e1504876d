//===- GpuCostModel.cpp - how long a choice of tiles would take on a GPU ------===//

#include "runtime/GpuCostModel.h"

#include "runtime/Rounding.h"

#include <algorithm>
#include <cmath>

using namespace flashc;

namespace {
constexpr int64_t middlingLength = 4096, middlingHeads = 32;
/// The most subgroups that share a tile: assign-fragments' `max-warps`.
constexpr int64_t mostSubgroups = 4;

std::string text(int64_t value) { return std::to_string(value); }
std::string textOf(const TileSizes &tiles) { return text(tiles.rows) + " x " + text(tiles.keys); }
} // namespace

bool GpuTileRules::find(std::string_view chip, int64_t storedBytes, GpuTileRules &rules) {
  const bool nvidia = chip.rfind("sm_", 0) == 0, hopper = chip == "sm_90a";
  const bool rdna = chip.rfind("gfx11", 0) == 0, cdna = chip == "gfx90a" || chip == "gfx942";
  if (!nvidia && !rdna && !cdna)
    return false;
  rules.chip = chip;
  rules.matrixUnit = storedBytes == 2;
  rules.wideProducts = hopper && rules.matrixUnit;
  rules.byColumns = !nvidia && rules.matrixUnit;
  rules.sharedBytes = hopper ? 227 << 10 : nvidia ? 99 << 10 : 64 << 10;
  // Two waves share a SIMD of CDNA, so that one has half of its registers.
  rules.registers = nvidia ? 255 : 256;
  // Without a matrix unit a thread has 4 x 4 elements of each block of 32 columns.
  rules.rowUnit = cdna ? 32 : rules.wideProducts ? 64 : 16;
  rules.rowUnitThreads = cdna ? 64 : rules.wideProducts ? 128 : 32;
  // Eight threads stand side by side there, each with at least one column.
  rules.keyUnit = !rules.matrixUnit ? 8 : cdna ? 32 : 16;
  return true;
}

int64_t GpuTileRules::threads(int64_t rows) const {
  return std::clamp<int64_t>(rows / rowUnit, 1, mostSubgroups) * rowUnitThreads;
}

int64_t GpuTileRules::computedRows(int64_t rows) const {
  const int64_t subgroups = threads(rows) / rowUnitThreads;
  return roundUp(divideUp(rows, rowUnit), subgroups) * rowUnit;
}

int64_t GpuTileRules::tileBytes(const AttentionShape &shape, int64_t rows, int64_t columns) const {
  const int64_t element = matrixUnit ? 2 : shape.computeBytes, panel = columns * element > 64 ? 128 : 64;
  return roundUp(rows * roundUp(columns * element, panel), 1024);
}

int64_t GpuTileRules::unitRegisters(const AttentionShape &shape, const TileSizes &tiles, bool holdsRows) const {
  // Rows and columns of an instruction's sums, elements of its left-hand side that a thread has, and how many columns
  // those are: of MFMA with 16 or 32 rows, of WMMA, whose halves of a wave hold the same.
  const bool isWmma = rowUnitThreads == 32;
  const int64_t height = !isWmma && tiles.rows >= 128 ? 32 : 16, width = isWmma ? 16 : 32;
  const int64_t left = isWmma ? 16 : 8, leftWidth = isWmma || height == 32 ? 16 : 32;
  const int64_t subgroups = std::clamp<int64_t>(tiles.rows / height, 1, mostSubgroups);
  const int64_t down = divideUp(divideUp(tiles.rows, subgroups), height);
  const auto sums = [&](int64_t columns) { return down * divideUp(columns, width) * height * width / rowUnitThreads; };
  const auto operand = [&](int64_t columns) { return down * divideUp(columns, leftWidth) * left / 2; };
  // Of a tile on its way a thread has pieces of sixteen bytes, at most eight at once.
  const int64_t threads = subgroups * rowUnitThreads;
  const int64_t copied = std::max(divideUp(tileBytes(shape, tiles.keys, shape.headDim) / 16, threads) * 4,
                                  divideUp(tiles.keys * shape.valueHeadDim * 2 / 64, threads) * 16);
  const int64_t waiting = 32, others = isWmma ? 80 : 64;
  return sums(shape.valueHeadDim) + sums(tiles.keys) + operand(tiles.keys) + (holdsRows ? operand(shape.headDim) : 0) +
         std::min<int64_t>(copied, 32) + waiting + others;
}

bool GpuTileRules::sharesRows(const AttentionShape &shape, const TileSizes &tiles) const {
  const int64_t bytes = tileBytes(shape, tiles.keys, shape.headDim) +
                        tileBytes(shape, roundUp(shape.valueHeadDim, 32), tiles.keys) +
                        tileBytes(shape, tiles.rows, shape.headDim);
  return unitRegisters(shape, tiles, /*holdsRows=*/true) > registers && bytes <= sharedBytes;
}

int64_t GpuTileRules::blockBytes(const AttentionShape &shape, const TileSizes &tiles) const {
  const auto tile = [&](int64_t rows, int64_t columns) { return tileBytes(shape, rows, columns); };
  const int64_t key = tile(tiles.keys, shape.headDim), value = tile(tiles.keys, shape.valueHeadDim);
  const int64_t query = tile(tiles.rows, shape.headDim), weights = tile(tiles.rows, tiles.keys);
  constexpr int64_t word = 1024;
  if (wideProducts) // two tiles are multiplied while the next ones arrive
    return 2 * (key + value) + word + query + (shape.causal || shape.window >= 0 ? weights : 0);
  if (byColumns) // the word may be where the keys were, and may not
    return key + tile(roundUp(shape.valueHeadDim, 32), tiles.keys) + word + (sharesRows(shape, tiles) ? query : 0);
  const int64_t products = key + value + weights + word;
  if (!matrixUnit) // rows that do not fit are read where the caller has them
    return products + query <= sharedBytes ? products + query : products;
  // Results pass through, and rows on their way to registers; wide ones stay.
  const int64_t passing = std::max(products, key + tile(tiles.rows, shape.valueHeadDim));
  return shape.headDim / 4 + shape.valueHeadDim / 2 > 160 ? passing + query : std::max(passing, query);
}

int64_t GpuTileRules::accumulators(const AttentionShape &shape, const TileSizes &tiles) const {
  if (byColumns)
    return unitRegisters(shape, tiles, !sharesRows(shape, tiles));
  const int64_t words = shape.computeBytes / 4;
  const int64_t columns = roundUp(shape.valueHeadDim, keyUnit) + tiles.keys;
  return divideUp(computedRows(tiles.rows) * columns, threads(tiles.rows)) * words;
}

GpuTileRules GpuCostModel::rulesOf(const AttentionShape &shape) const {
  GpuTileRules rules;
  const std::string_view target = shape.target;
  const size_t colon = target.find(':');
  if (colon == std::string_view::npos || !GpuTileRules::find(target.substr(colon + 1), shape.storedBytes, rules))
    (void)GpuTileRules::find(chip.name, shape.storedBytes, rules);
  return rules;
}

int64_t GpuCostModel::sharedBytes(const GpuTileRules &rules) const {
  return limits.sharedPerBlock > 0 ? std::min(rules.sharedBytes, limits.sharedPerBlock) : rules.sharedBytes;
}

int64_t GpuCostModel::mostRegisters(const GpuTileRules &rules, int64_t rows) const {
  int64_t threads = rules.threads(rows);
  if (rules.wideProducts) {
    // Two or three warpgroups that multiply have what the one that copies leaves: specialize-roles shares them out.
    const int64_t warpgroups = threads / 128;
    if (warpgroups == 2 || warpgroups == 3)
      return warpgroups == 2 ? 224 : 152;
    threads += 128;
  }
  return std::min({rules.registers, chip.mostRegisters, chip.registers * chip.schedulers / threads / 8 * 8});
}

std::string GpuCostModel::whyIllegal(const AttentionShape &shape, const TileSizes &tiles) const {
  const GpuTileRules rules = rulesOf(shape);
  if (tiles.rows < 1 || tiles.keys < 1)
    return "expected tiles of at least 1 row and 1 key, got " + textOf(tiles);
  if (tiles.rows % rules.rowUnit != 0)
    return "expected query rows in multiples of " + text(rules.rowUnit) + ", what one product on " + rules.chip +
           " has, got " + text(tiles.rows);
  if (tiles.keys % rules.keyUnit != 0)
    return "expected keys in multiples of " + text(rules.keyUnit) + ", what one product on " + rules.chip +
           " has, got " + text(tiles.keys);
  if (tiles.split < 0 || tiles.split % tiles.keys != 0)
    return "expected a split in multiples of the " + text(tiles.keys) + " keys of a tile, got " + text(tiles.split);
  if (const int64_t bytes = rules.blockBytes(shape, tiles); bytes > sharedBytes(rules))
    return "expected at most the " + text(sharedBytes(rules)) + " bytes of shared memory of a block on " + rules.chip +
           ", got " + text(bytes) + " for tiles of " + textOf(tiles) + " and head dims " + text(shape.headDim) +
           " and " + text(shape.valueHeadDim);
  const int64_t most = mostRegisters(rules, tiles.rows);
  if (const int64_t registers = rules.accumulators(shape, tiles); registers > most)
    return "expected at most the " + text(most) + " registers of a thread on " + rules.chip + ", got " +
           text(registers) + " for the sums and scores of tiles of " + textOf(tiles) + " and head dim " +
           text(shape.valueHeadDim);
  return "";
}

bool GpuCostModel::isFew(const AttentionShape &shape) const {
  if (shape.queries < 0 || shape.heads <= 0 || shape.kvHeads <= 0)
    return false;
  const GpuTileRules rules = rulesOf(shape);
  // One subgroup's rows: a warpgroup's product is for many.
  const int64_t most = rules.wideProducts ? 16 : rules.rowUnit;
  const bool isMany = shape.keys < 0 || shape.keys >= CpuCostModel::manyKeys;
  return shape.queries * std::max<int64_t>(1, shape.heads / shape.kvHeads) <=
         (isMany ? most : std::min(most, CpuCostModel::fewRows));
}

std::vector<TileSizes> GpuCostModel::enumerate(const AttentionShape &shape) const {
  const GpuTileRules rules = rulesOf(shape);
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
  for (int64_t rows : {16, 32, 48, 64, 96, 128, 192, 256, 384})
    for (int64_t keys : {16, 32, 48, 64, 80, 96, 112, 128, 144, 176, 192, 224, 256})
      if (rows % rules.rowUnit == 0 && keys % rules.keyUnit == 0)
        all.push_back({rows, keys, 0});
  return all;
}

double GpuCostModel::predict(const AttentionShape &shape, const TileSizes &tiles) const {
  const AttentionShape known = shape.completed(middlingHeads, middlingLength);
  return isFew(shape) ? predictFew(known, tiles) : predictRows(known, tiles);
}

double GpuCostModel::predictRows(const AttentionShape &s, const TileSizes &tiles) const {
  const GpuTileRules rules = rulesOf(s);
  const auto rows = static_cast<double>(rules.computedRows(tiles.rows)), keys = static_cast<double>(tiles.keys);
  const auto threads = static_cast<double>(rules.threads(tiles.rows));
  const double subgroups = std::max(1.0, threads / chip.subgroupSize);
  // Products contract 16 elements, and make whole units of columns.
  const auto d = static_cast<double>(roundUp(s.headDim, rules.matrixUnit ? 16 : 1)),
             dv = static_cast<double>(roundUp(s.valueHeadDim, rules.matrixUnit ? rules.keyUnit : 32));
  const bool wide = s.computeBytes == 8;
  const double scores = rows * keys, element = rules.matrixUnit ? 2 : static_cast<double>(s.computeBytes);

  // Clocks of a multiprocessor for one tile of one block.
  const double share = rules.wideProducts ? 1.0 : static_cast<double>(chip.mmaShare);
  const double fmaLanes = wide ? chip.fma64Lanes : chip.fmaLanes;
  const double products =
      rules.matrixUnit ? 2 * scores * (d + dv) / (chip.matrixFlops * share) : scores * (d + dv) / fmaLanes;
  // A score is scaled, compared, summed and half of a conversion; the sums so far are scaled; a tile has its overhead.
  // Of float64 an exponential is a polynomial.
  const double perThread = (wide ? 18.0 : 4.5) * scores / threads + rows * dv / threads + 80;
  const double arithmetic = perThread * threads / (wide ? std::min<double>(fmaLanes, chip.aluLanes) : chip.aluLanes);
  const double special = wide ? 0 : scores / chip.specialLanes;
  const double between = chip.oneVectorUnit ? arithmetic + special : std::max(arithmetic, special);
  // Each subgroup reads all keys and values; one by one, four loads of four feed sixteen multiply-adds.
  const double readBytes = rules.matrixUnit
                               ? threads / static_cast<double>(rules.rowUnitThreads) * keys * (d + dv) * element
                               : scores * (d + dv) * element / 2;
  const double tileBytes = keys * static_cast<double>(s.headDim + s.valueHeadDim) * static_cast<double>(s.storedBytes);
  const double shared = (readBytes + tileBytes) / chip.sharedBytes, l2 = tileBytes / chip.l2Bytes;

  // The products' own operands: the weights, and the rows where they are not read from shared memory.
  const int64_t operands = rules.byColumns ? 0
                           : rules.matrixUnit
                               ? rules.computedRows(tiles.rows) * (tiles.keys + (rules.wideProducts ? 0 : s.headDim)) /
                                     rules.threads(tiles.rows) / 2
                               : 16;
  const int64_t registers = rules.accumulators(s, tiles) + operands + (rules.byColumns ? 0 : 32);
  const int64_t most = mostRegisters(rules, tiles.rows), held = std::min(registers, most);
  const GpuOccupancy occupancy = gpuOccupancy(chip, rules.threads(tiles.rows), held, rules.blockBytes(s, tiles));
  const double heads = static_cast<double>(s.batch * s.heads);
  const double blocksOfHead = static_cast<double>(divideUp(std::max<int64_t>(1, s.queries), tiles.rows));
  const double blocks = heads * blocksOfHead;
  const double together =
      std::clamp(std::ceil(blocks / units()), 1.0, static_cast<double>(std::max<int64_t>(1, occupancy.blocks)));

  const double perScheduler = std::ceil(together * subgroups / chip.schedulers);
  const double dealt = perScheduler * chip.schedulers / subgroups; // blocks' worth of a scheduler's time
  // Products of single elements and what lies between them may have one unit together.
  const bool oneUnit = chip.oneVectorUnit && !rules.matrixUnit;
  const double busiest = std::max(
      {dealt * (oneUnit ? products + between : std::max(products, between)), together * shared, together * l2});
  const double alone = chip.schedulers / subgroups *
                       (rules.wideProducts ? std::max(products, between) : std::max(products, shared) + between);
  double clocks = std::max(busiest, alone);
  // What registers do not hold is stored and read in every tile.
  clocks *= 1 + 3 * static_cast<double>(registers - held) / static_cast<double>(most);

  double attended = static_cast<double>(std::max<int64_t>(1, s.keys));
  if (s.causal) // the average block ends at the middle, and computes its own triangle as a rectangle
    attended = std::min(attended, attended / 2 + (rows + keys) / 2);
  if (s.window >= 0)
    attended = std::min(attended, static_cast<double>(s.window) + rows + keys);
  const double turns = std::ceil(attended / keys);
  // Rows come in and go out, and the first tile is waited for.
  const double latency = 1500 + rows * static_cast<double>(s.headDim + s.valueHeadDim) *
                                    static_cast<double>(s.storedBytes) * together / chip.l2Bytes;
  const double block = turns * clocks + latency;
  const double rounds = blocks / (units() * together);
  // Blocks that are alike end together, so that the last round is whole; under a diagonal the long ones come first.
  const double waited = s.causal ? std::max(1.0, rounds + 0.35) : std::ceil(rounds);
  return waited * block / clock() + 3e-6;
}

double GpuCostModel::predictFew(const AttentionShape &s, const TileSizes &tiles) const {
  const int64_t keys = std::max<int64_t>(1, s.keys);
  const int64_t split = std::clamp<int64_t>(tiles.split > 0 ? tiles.split : roundUp(512, tiles.keys), 1, keys);
  const double parts = static_cast<double>(divideUp(keys, split));
  const double blocks = static_cast<double>(s.batch * s.kvHeads) * parts;
  const double bytes = static_cast<double>(split * (s.headDim + s.valueHeadDim) * s.storedBytes);
  // A block has one subgroup: what it may have under way is its two tiles; several share a multiprocessor.
  const double together = std::clamp(std::ceil(blocks / units()), 1.0, 8.0);
  const double reading =
      std::max(bytes * together / (chip.l2Bytes * clock()), bytes * std::min(blocks, together * units()) / memory());
  const double turns = static_cast<double>(divideUp(split, tiles.keys));
  const double waiting = turns * 900 / clock(); // the memory's latency, of which one tile is hidden
  const double block = std::max(reading, waiting) + 2000 / clock();
  const double rounds = std::ceil(blocks / (units() * together));
  const double rows = static_cast<double>(s.batch * s.heads * s.queries);
  const double merging = parts > 1 ? 2e-6 + rows * parts * static_cast<double>(s.valueHeadDim) * 4 * 2 / memory() : 0;
  return rounds * block + merging + 3e-6;
}
