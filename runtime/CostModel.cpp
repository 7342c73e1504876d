//===- CostModel.cpp - how long a choice of tiles would take ------------------===//

#include "runtime/CostModel.h"

#include "runtime/Rounding.h"

#include <algorithm>
#include <cmath>

using namespace flashc;

CostModel::~CostModel() = default;

std::vector<RankedTiles> CostModel::rank(const AttentionShape &shape) const {
  std::vector<RankedTiles> ranked;
  for (const TileSizes &tiles : enumerate(shape))
    if (whyIllegal(shape, tiles).empty())
      ranked.push_back({tiles, predict(shape, tiles)});
  // Equal times: the smaller tiles, so that the order is the same everywhere.
  std::sort(ranked.begin(), ranked.end(), [](const RankedTiles &a, const RankedTiles &b) {
    return a.seconds != b.seconds ? a.seconds < b.seconds : a.tiles < b.tiles;
  });
  return ranked;
}

namespace {
constexpr int64_t middlingLength = 1024, middlingHeads = 8;
/// The most scratch of a task, on its thread's stack or in its slot of the workspace.
constexpr int64_t scratchLimit = 1 << 20;
/// Fewer keys than this are no tile of their own.
constexpr int64_t smallestKeys = 64;
} // namespace

AttentionShape AttentionShape::completed(int64_t heads, int64_t length) const {
  AttentionShape shape = *this;
  if (shape.batch < 0)
    shape.batch = 1;
  if (shape.heads < 0)
    shape.heads = heads;
  if (shape.kvHeads < 0)
    shape.kvHeads = shape.heads;
  if (shape.queries < 0)
    shape.queries = length;
  if (shape.keys < 0)
    shape.keys = std::max(shape.queries, length);
  return shape;
}

AttentionShape AttentionShape::ofAnySize() const {
  AttentionShape shape = *this;
  shape.queries = shape.keys = shape.heads = shape.kvHeads = -1;
  return shape;
}

CpuLimits CpuLimits::nominal(int64_t vectorBytes, int64_t vectorRegisters, int64_t l1Bytes, int64_t l2Bytes) {
  CpuLimits limits;
  const double share = static_cast<double>(vectorBytes) / static_cast<double>(limits.vectorBytes);
  limits.vectorBytes = vectorBytes;
  limits.vectorRegisters = vectorRegisters;
  limits.l1Bytes = l1Bytes;
  limits.l2Bytes = l2Bytes;
  for (double *rate : {&limits.f32Gflops, &limits.f64Gflops, &limits.l1Gbps, &limits.l2Gbps})
    *rate *= share;
  return limits;
}

ProductBlock CpuCostModel::registerBlock(const AttentionShape &shape) const {
  if (inTiles(shape))
    return {32, 32};
  const int64_t lanes = std::max<int64_t>(1, cpu.vectorBytes / shape.computeBytes);
  return {6, (cpu.vectorRegisters >= 32 ? 4 : 2) * lanes};
}

std::string CpuCostModel::whyIllegal(const AttentionShape &shape, const TileSizes &tiles) const {
  if (tiles.rows < 1 || tiles.keys < 1)
    return "expected tiles of at least 1 row and 1 key, got " + std::to_string(tiles.rows) + " x " +
           std::to_string(tiles.keys);
  if (tiles.keys % granule(shape) != 0)
    return "expected keys in multiples of " + std::to_string(granule(shape)) +
           ", the columns of a register block, got " + std::to_string(tiles.keys);
  if (tiles.split < 0 || tiles.split % granule(shape) != 0)
    return "expected a split in multiples of " + std::to_string(granule(shape)) + " keys, got " +
           std::to_string(tiles.split);
  const int64_t columns = std::max({tiles.keys, shape.headDim, shape.valueHeadDim});
  if (tiles.rows > largestTile / columns)
    return "expected tiles of at most " + std::to_string(largestTile) + " elements, got " + std::to_string(tiles.rows) +
           " x " + std::to_string(columns);
  // Scores, the sums of the output and the queries are a task's scratch.
  const auto scratch = [&](int64_t rows, int64_t keys) {
    return rows * (keys + shape.headDim + shape.valueHeadDim) * shape.computeBytes;
  };
  // The smallest tile has to do, also for head dims that no cache is made for.
  const int64_t most = std::max(std::min(scratchLimit, cpu.l2Bytes),
                                scratch(registerBlock(shape).rows, roundUp(smallestKeys, granule(shape))));
  if (scratch(tiles.rows, tiles.keys) > most)
    return "expected at most " + std::to_string(most) + " bytes of scratch, got " +
           std::to_string(scratch(tiles.rows, tiles.keys));
  return "";
}

bool CpuCostModel::isFew(const AttentionShape &shape) const {
  if (shape.queries < 0 || shape.heads <= 0 || shape.kvHeads <= 0)
    return false;
  const bool isMany = !inTiles(shape) && (shape.keys < 0 || shape.keys >= manyKeys);
  return shape.queries <= (isMany ? fewRowsOfMany : fewRows) / std::max<int64_t>(1, shape.heads / shape.kvHeads);
}

int64_t CpuCostModel::fewSplit(const AttentionShape &shape) {
  constexpr int64_t taskBytes = 2 << 20, least = 512, most = 2048;
  const int64_t keyBytes = std::max<int64_t>(1, (shape.headDim + shape.valueHeadDim) * shape.storedBytes);
  return roundUp(std::clamp(taskBytes / keyBytes, least, most), fewKeys);
}

std::vector<TileSizes> CpuCostModel::enumerate(const AttentionShape &shape) const {
  if (isFew(shape)) {
    // Rows and keys are of the other form, which such a call does not take.
    TileSizes tiles = rank(shape.ofAnySize()).front().tiles;
    std::vector<TileSizes> all;
    for (int64_t size : {256, 512, 768, 1024, 1536, 2048, 3072, 4096, 6144, 8192, 12288, 16384, 32768})
      if (tiles.split = roundUp(size, granule(shape)); all.empty() || all.back().split < shape.keys)
        all.push_back(tiles);
    return all;
  }
  const AttentionShape known = shape.completed(middlingHeads, middlingLength);
  const int64_t block = registerBlock(shape).rows, step = granule(shape);
  const int64_t mostRows = roundUp(std::max<int64_t>(known.queries, 1), block);
  const int64_t mostKeys = roundUp(std::max<int64_t>(known.keys, 1), step);
  std::vector<int64_t> rows, keys;
  for (int64_t blocks : {1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 24, 32})
    if (const int64_t size = std::min(blocks * block, mostRows); rows.empty() || rows.back() < size)
      rows.push_back(size);
  // Up to the whole length, so that a short one is one tile.
  for (int64_t size : {64, 128, 192, 256, 320, 384, 512, 640, 768, 1024, 1536, 2048})
    if (const int64_t fitting = std::min(roundUp(size, step), mostKeys); keys.empty() || keys.back() < fitting)
      keys.push_back(fitting);
  std::vector<TileSizes> all;
  for (int64_t r : rows)
    for (int64_t k : keys)
      all.push_back({r, k, 0});
  return all;
}

double CpuCostModel::predict(const AttentionShape &shape, const TileSizes &tiles) const {
  const AttentionShape known = shape.completed(middlingHeads, middlingLength);
  return isFew(shape) ? predictFew(known, tiles) : predictRows(known, tiles);
}

/// Bound by the products: blocks of rows against tiles of packed keys and values. Times are in nanoseconds, rates in
/// operations and bytes a nanosecond.
double CpuCostModel::predictRows(const AttentionShape &s, const TileSizes &tiles) const {
  const ProductBlock block = registerBlock(s);
  const auto d = static_cast<double>(s.headDim), dv = static_cast<double>(s.valueHeadDim);
  const double plain = s.computeBytes == 8 ? cpu.f64Gflops : cpu.f32Gflops;
  const double product = inTiles(s)                                                 ? cpu.tileGflops
                         : s.operandBytes < s.computeBytes && cpu.productGflops > 0 ? cpu.productGflops
                                                                                    : plain;
  const auto lanes = static_cast<double>(std::max<int64_t>(1, cpu.vectorBytes / s.computeBytes));
  // The time of one vector instruction in a stream that keeps both pipes busy.
  const double vectorOp = 2 * lanes / plain;

  // Rows and keys that are computed, the padding to register blocks and granules included.
  const int64_t blocks = divideUp(std::max<int64_t>(s.queries, 1), tiles.rows);
  const int64_t lastRows = s.queries - (blocks - 1) * tiles.rows;
  const auto rows = static_cast<double>((blocks - 1) * roundUp(tiles.rows, block.rows) + roundUp(lastRows, block.rows));
  const int64_t step = granule(s);
  double attended = static_cast<double>(roundUp(std::max<int64_t>(s.keys, 1), step));
  if (s.causal) // the average block ends at the middle, and computes its own triangle as a rectangle
    attended = std::min(attended, static_cast<double>(s.keys) / 2 + static_cast<double>(tiles.rows + step) / 2);
  if (s.window >= 0)
    attended = std::min(attended, static_cast<double>(s.window + tiles.rows + step));
  const double tilesOfKeys = std::ceil(attended / static_cast<double>(tiles.keys));
  const double scores = rows * attended;

  // Q K^T writes each register block once for D steps; P V reads and writes it once for the keys of a tile.
  const double perBlock = static_cast<double>(block.rows * block.columns) / lanes;
  const double registerBlocks = scores / static_cast<double>(block.rows * block.columns);
  double compute = scores * 2 * (d + dv) / product;
  compute += registerBlocks * (perBlock * vectorOp + 12 * vectorOp);
  const double valueBlocks =
      rows / static_cast<double>(block.rows) * std::ceil(dv / static_cast<double>(block.columns));
  compute += valueBlocks * tilesOfKeys * (3 * perBlock * vectorOp + 12 * vectorOp);
  // Maximum, exponential and sum: about 13 vector instructions a score, 24 with float64's longer polynomial.
  compute += scores / lanes * (s.computeBytes == 8 ? 24 : 13) * vectorOp;
  // Each row of each tile: reductions across lanes, and the output so far is scaled.
  compute += rows * tilesOfKeys * (40 * vectorOp + 2 * dv / lanes * vectorOp);
  // The loop over tiles itself, and masks of the tiles on the diagonal.
  compute += static_cast<double>(blocks) * tilesOfKeys * 24 * vectorOp;

  // The keys and values of one head come from where they fit; every block of rows reads them.
  const double operandBytes = attended * (d + dv) * static_cast<double>(s.operandBytes);
  const double headBytes = static_cast<double>(s.keys) * (d + dv) * static_cast<double>(s.operandBytes);
  const double from = headBytes <= static_cast<double>(cpu.l2Bytes) / 2   ? cpu.l2Gbps
                      : headBytes <= static_cast<double>(cpu.l3Bytes) / 2 ? cpu.l3Gbps
                                                                          : cpu.dramGbps;
  double memory = static_cast<double>(blocks) * operandBytes / from;
  // A panel of values is as long as a tile: one that exceeds the first level comes anew for each register block.
  const double l1 = static_cast<double>(cpu.l1Bytes);
  const double panel = static_cast<double>(tiles.keys * block.columns * s.operandBytes);
  if (panel > 0.75 * l1)
    memory += scores / static_cast<double>(block.rows) * dv * static_cast<double>(s.operandBytes) / cpu.l2Gbps;
  // Scores are written, read twice, written and read; what does not stay in the first level is not all hidden.
  const double tileBytes = static_cast<double>(std::min(tiles.rows, s.queries) * tiles.keys * s.computeBytes);
  if (tileBytes > 1.1 * l1)
    compute += 0.5 * (1 - 1.1 * l1 / tileBytes) * 3 * scores * static_cast<double>(s.computeBytes) / cpu.l2Gbps;
  // Most of it hides behind the products; tiles are loaded by the unit that multiplies them.
  const double shown = inTiles(s) ? 0.6 : 0.1;
  const double head = compute + shown * memory + std::max(0.0, memory - compute);

  const double heads = static_cast<double>(s.batch * s.heads),
               units = static_cast<double>(std::max<int64_t>(cpu.units, 1));
  const double packing = static_cast<double>(s.batch * s.kvHeads * s.keys) * (d + dv) *
                         static_cast<double>(s.storedBytes + s.operandBytes) * 1.5 / cpu.l3Gbps;
  // The longest task that may be left alone at the end; under a diagonal the long ones come first.
  const double task = head / static_cast<double>(blocks);
  const double tail = task * (units - 1) / units * (s.causal ? 0.35 : 0.5);
  const double total = (heads * head + packing) / units;
  const double overhead = 3000 + heads * static_cast<double>(blocks) / units * 150;
  return (std::max(total, task) + tail + overhead) * 1e-9;
}

/// Bound by reading keys and values once, in their stored type.
double CpuCostModel::predictFew(const AttentionShape &s, const TileSizes &tiles) const {
  const double units = static_cast<double>(std::max<int64_t>(cpu.units, 1));
  const int64_t split =
      std::clamp<int64_t>(tiles.split > 0 ? tiles.split : fewSplit(s), 1, std::max<int64_t>(s.keys, 1));
  const int64_t parts = divideUp(std::max<int64_t>(s.keys, 1), split);
  const auto tasks = static_cast<double>(s.batch * s.kvHeads * parts);
  const double columns = static_cast<double>(s.headDim + s.valueHeadDim);
  const double bytes = static_cast<double>(split) * columns * static_cast<double>(s.storedBytes);
  const double busy = std::min(tasks, units);
  const double together = std::max(cpu.dramGbps, std::min(busy * cpu.dramGbps, cpu.dramAllGbps));
  const double rows = static_cast<double>(s.queries) * static_cast<double>(s.heads) / static_cast<double>(s.kvHeads);
  const double reading = bytes / (together / busy);
  // A few rows do not fill a register block; what is computed is whole ones.
  const double computing = static_cast<double>(roundUp(static_cast<int64_t>(rows), 2)) * static_cast<double>(split) *
                           2 * columns / cpu.f32Gflops * 1.5;
  const double loops = static_cast<double>(divideUp(split, fewKeys)) * (100 + 20 * rows);
  const double task = std::max(reading, computing) + loops;
  const double rounds = std::ceil(tasks / units);
  const double merging = parts > 1 ? static_cast<double>(s.batch * s.heads * s.queries * parts) *
                                         (static_cast<double>(s.valueHeadDim) * 0.1 + 20) / units
                                   : 0;
  return (rounds * task + merging + tasks / units * 300 + 2000) * 1e-9;
}
