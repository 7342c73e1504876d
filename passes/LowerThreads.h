//===- LowerThreads.h - Tile operations as one thread's code --------------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// What lower-tiles-to-threads is made of: where a thread's elements are, and the expansion of each tile operation.
///
//===----------------------------------------------------------------------===//

#ifndef FLASHC_PASSES_LOWERTHREADS_H
#define FLASHC_PASSES_LOWERTHREADS_H

#include "dialects/Attention/IndexMath.h"
#include "dialects/Tile/Tile.h"
#include "runtime/GpuTilePlan.h"

#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

namespace flashc::threads {

inline tile::TileType typeOf(mlir::Value value) { return llvm::cast<tile::TileType>(value.getType()); }
inline int64_t bytesOf(mlir::Type element) { return element.getIntOrFloatBitWidth() / 8; }
/// What one instruction copies.
constexpr int64_t kPieceBytes = 16;

/// A tile, as one thread sees it.
struct ThreadTile {
  /// Fragments: a vector for each block of the layout, row by row of blocks; of a tile with one element a row a scalar
  /// for each row that the thread holds.
  llvm::SmallVector<mlir::Value> parts;
  /// In shared memory: all of the tile's elements, one-dimensional. What a load that is not awaited has `staged` is in
  /// `parts`, and not yet there.
  mlir::Value memory;
  bool staged = false;
  /// Of what is staged: the columns that exist, where pieces at the end of a row begin before their place and end with
  /// the row (`settle`); 0 where all pieces are in place.
  int64_t unsettled = 0;
};

/// A coordinate that is the sum of a thread's share and a constant which have no bit in common.
struct Position {
  mlir::Value part;
  /// The bits that `part` may have set.
  int64_t bits;
  int64_t offset;
};

/// What a load to shared memory reads: `tile.load` and `tile.push` alike.
struct SharedCopy {
  tile::TileType type;
  mlir::Value source;
  llvm::SmallVector<mlir::Value> offsets, valid;
  bool grouped;
};

/// A pipe: where its stages and its barriers are.
struct ThreadPipe {
  tile::TileType type;
  int64_t stages;
  /// Bytes of shared memory before the first stage, and from one to the next.
  int64_t offset, stageBytes;
  /// Numbers of the first stage's barriers: those of later stages follow.
  int64_t full, empty;
};

/// The block of threads that the code is for; its values are computed where the block's code begins.
struct ThreadBlock {
  GpuCapabilities gpu;
  int64_t threads = 0;
  /// The thread's number in the block and in its warp or wave, and that one's.
  mlir::Value thread, lane, warp;
  /// The last value that the code for a thread's first row or column needs.
  mlir::Value known;
  /// Which of the hardware's barriers these threads meet at: 0 is that of the whole block.
  int64_t barrier = 0;
  /// Where products are warpgroups', the thread's, known to be the same for all threads of a warp; null elsewhere.
  mlir::Value warpgroup;
  /// All shared memory, in bytes.
  mlir::Value shared;
  /// The barriers of all pipes, and how many there are.
  mlir::Value mbarriers;
  int64_t numMbarriers = 0;
  /// Bytes of shared memory in use, and the most that were at once.
  int64_t used = 0, most = 0;
  /// A thread's first row and column in a layout.
  llvm::DenseMap<std::pair<mlir::Attribute, int64_t>, mlir::Value> firstRows;
  llvm::DenseMap<mlir::Attribute, mlir::Value> firstColumns;
  /// What its lane adds to a thread's row.
  llvm::DenseMap<mlir::Attribute, mlir::Value> laneRows;
  /// Fragments as products take them, by what they are made of.
  llvm::DenseMap<mlir::Value, mlir::Value> rounded;
};

/// Memory that a tile is read from in pieces of sixteen bytes, without its dimensions.
struct PieceSource {
  mlir::Value base;
  /// The tile's first element, and a step along each dimension, in elements.
  mlir::Value offset;
  llvm::SmallVector<mlir::Value> strides;
  /// Whether rows begin where pieces may and their elements are neighbours (i1).
  mlir::Value whole;
};

/// Emits a thread's code at an insertion point.
class ThreadBuilder {
public:
  ThreadBuilder(mlir::OpBuilder &b, mlir::Location loc, ThreadBlock &block)
      : b(b), loc(loc), block(block), index(b, loc) {}

  //===--- where elements are ---===//

  /// The row of a tile of `rows` rows at which the thread's block 0 begins, its lane's share included (index).
  mlir::Value firstRow(tile::FragmentLayoutAttr layout, int64_t rows);
  /// The thread's first column (index).
  mlir::Value firstColumn(tile::FragmentLayoutAttr layout);
  /// What its lane adds to the row of a thread's elements (index).
  mlir::Value laneRow(tile::FragmentLayoutAttr layout);
  /// Rows that a thread holds of a tile with one element a row, counted from firstRow.
  static llvm::SmallVector<int64_t> threadRows(tile::FragmentLayoutAttr layout, int64_t rows);
  /// Where in threadRows the row of element `element` in row `block` of blocks is.
  static int64_t rowIndex(tile::FragmentLayoutAttr layout, int64_t block, int64_t element);

  //===--- shared memory ---===//

  /// Room for `elements` elements, one-dimensional and aligned to 1024 bytes; it is in use until `block.used` is set
  /// back.
  mlir::Value allocateShared(int64_t elements, mlir::Type element);
  /// Where element (row, column) of a tile of `shape` is (index).
  mlir::Value sharedIndex(tile::TileType type, mlir::Value row, mlir::Value column);
  /// The same, in a form of which few values differ between threads: what is constant is added last, where an address
  /// takes it. The column's share stays inside a panel.
  mlir::Value sharedIndex(tile::TileType type, Position row, Position column);
  /// Waits for all threads that the code is for.
  void barrier();

  //===--- registers ---===//

  /// Bounds how far ahead the target's code generator reads shared memory: what is read before a fence waits in
  /// registers for products behind it only where the code says so. Nothing for targets that schedule by themselves.
  void fence();
  /// `number`, of which the code generator does not know that it is the same as elsewhere: what is computed from it is
  /// computed here, not before a loop, where it would take the registers of products. Less than 2^31.
  mlir::Value keepHere(mlir::Value number);
  /// Computes the thread's number anew, so that whatever comes from it is computed here: until `block` is set back.
  void renumberThread();
  /// Computes the thread's number anew, and from it whatever the code of `loop`'s turns needs, but for the rows of
  /// scores where those are divided, a branch amid products: until `block` is set back.
  void forgetThread(mlir::scf::ForOp loop);

  //===--- operations ---===//

  /// Reads a tile from global memory into fragments or into `memory`. An asynchronous load may write memory at once;
  /// another one waits for all threads to come, and for all to see it.
  ThreadTile load(tile::LoadOp op, mlir::Value memory);
  /// Waits for what the thread has started to load, writes it to shared memory if it is elsewhere, and waits for the
  /// other threads.
  ThreadTile await(tile::AwaitOp op, const ThreadTile &started);
  void awaitLoads();
  /// Whether fragments come from global memory, or go there, by way of shared memory: a thread holds pieces of less
  /// than the sixteen bytes that memory is best read and written in. `memory` and `staging` are room for all of the
  /// tile.
  bool passesShared(tile::LoadOp op) const;
  bool passesShared(tile::StoreOp op) const;
  void store(tile::StoreOp op, const ThreadTile &value, mlir::Value staging);
  ThreadTile splat(tile::TileType type, mlir::Value scalar);
  ThreadTile map(tile::MapOp op, llvm::ArrayRef<ThreadTile> inputs);
  ThreadTile reduce(tile::ReduceOp op, const ThreadTile &input, const ThreadTile &init);
  ThreadTile convert(tile::ConvertOp op, const ThreadTile &input, mlir::Value memory);
  /// What to add a matrix unit's product to where the right-hand side may hold what is not finite, which a unit
  /// multiplies by zero, too: that is taken out of it, and added where it belongs. It is read for the last time then.
  /// `flag` is a word of shared memory.
  ThreadTile skipZeros(tile::DotOp op, const ThreadTile &lhs, const ThreadTile &rhs, const ThreadTile &accumulator,
                       mlir::Value flag);
  /// `scratch` is shared memory for the left-hand side where zeros have to be skipped; null otherwise.
  ThreadTile dot(tile::DotOp op, const ThreadTile &lhs, const ThreadTile &rhs, const ThreadTile &accumulator,
                 mlir::Value scratch, mlir::Value flag);
  /// Starts a warpgroup's product; awaitProduct gives its sums, when at most `pending` groups that were started later
  /// are still under way.
  ThreadTile startProduct(tile::DotOp op, const ThreadTile &lhs, const ThreadTile &rhs, const ThreadTile &accumulator);
  ThreadTile awaitProduct(const ThreadTile &sums, int64_t pending);
  /// Waits for the warpgroup's turn among `count`, or lets the next one take its own.
  void takeTurn(int64_t count);
  void passTurn(int64_t count);
  /// Gives the first warpgroup the first turn.
  void startTurns(int64_t count);
  /// How many groups a started product is.
  static int64_t getNumGroups(tile::DotOp op);

  /// The number of the thread's warpgroup, from the warp's first thread, so that the code generator knows it to be the
  /// warp's.
  mlir::Value findWarpgroup();

  //===--- pipes ---===//

  /// Room for a pipe's stages, for good.
  ThreadPipe pipe(tile::PipeOp op);
  /// Makes the barriers of all pipes, for `readers` subgroups that release what they have read; then the threads meet.
  void startPipes(llvm::ArrayRef<ThreadPipe> pipes, int64_t readers);
  void push(tile::PushOp op, const ThreadPipe &pipe);
  ThreadTile pop(tile::PopOp op, const ThreadPipe &pipe);
  /// `readByThreads`: lanes read the stage themselves, so that the one that speaks for all has to wait for the others.
  void release(tile::ReleaseOp op, const ThreadPipe &pipe, bool readByThreads);

  mlir::Value constant(int64_t value) { return index.constant(value); }
  /// The value of `x` in the lane whose number differs by `mask`; of any floating-point type.
  mlir::Value shuffleXor(mlir::Value x, int64_t mask);

private:
  void loadShared(const SharedCopy &copy, mlir::Value memory);
  void copyPieces(const SharedCopy &copy, mlir::Value memory, mlir::Value source, mlir::Value offset,
                  mlir::ValueRange strides);
  void copyElements(const SharedCopy &copy, mlir::Value memory);
  /// The stage that a pipe's tile of a number is in.
  struct Stage {
    mlir::Value full, empty; ///< indices of its barriers
    mlir::Value parity;      ///< of the turn in which the tile passes
    mlir::Value memory;
  };
  Stage stageOf(const ThreadPipe &pipe, mlir::Value number);
  void pushByThreads(const SharedCopy &copy, const Stage &stage);
  void pushByUnit(tile::PushOp op, const ThreadPipe &pipe, const Stage &stage);
  void waitUntilEmpty(const Stage &stage);

  PieceSource findPieces(const SharedCopy &copy, int64_t pieceBytes = kPieceBytes);
  /// Accesses to neighbours in global memory, one-dimensional, where rows are `whole`.
  mlir::Value readNeighbours(mlir::VectorType type, mlir::Value memory, mlir::Value at);
  void writeNeighbours(mlir::Value value, mlir::Value memory, mlir::Value at);
  /// Where to read `run` neighbours of a row of `columns` that begin at `column`, such that all of them are the row's:
  /// at its end before their place.
  mlir::Value readableColumn(mlir::Value column, int64_t columns, int64_t run);
  /// What was read there, moved to its place; zeros follow.
  mlir::Value settle(mlir::Value piece, mlir::Value column, int64_t columns);
  /// All of a source's memory, one-dimensional.
  mlir::Value flatten(const SharedCopy &copy, const PieceSource &source);
  /// Where row `row` begins in it.
  mlir::Value rowStart(const SharedCopy &copy, const PieceSource &source, mlir::Value row);
  struct HeldRows;
  /// What a thread holds, in runs of `run` elements of `memory`, or singly where that is null.
  HeldRows findRows(const SharedCopy &copy, const PieceSource *memory, int64_t run);
  struct RowPlace;
  RowPlace placeRow(const SharedCopy &copy, const PieceSource *memory, mlir::Value row);
  /// A thread's fragments of a tile, in vectors of `run` elements of `source`, or singly where that is null.
  llvm::SmallVector<mlir::Value> loadRows(const SharedCopy &copy, const PieceSource *source, int64_t run);
  void storeRows(const SharedCopy &copy, const ThreadTile &value, const PieceSource *destination, int64_t run);
  void storeStaged(const SharedCopy &copy, const ThreadTile &value, const PieceSource &destination,
                   mlir::Value staging);

  //===--- through registers ---===//

  /// How the pieces of a tile are divided among the threads.
  CopyUnits unitsOf(tile::TileType type) const;
  /// Units of each thread, the last of which may not exist.
  int64_t unitsOfThread(tile::TileType type) const;
  /// Whether a load's pieces can wait in registers.
  bool canStage(tile::TileType type) const;
  /// A unit: its row is `row + below`; `there` is whether the thread has it, null where it has.
  struct Piece {
    mlir::Value row, column, there;
    int64_t below = 0;
  };
  Piece locate(tile::TileType type, mlir::Value first, int64_t unit);
  /// Whether row `row` of a unit exists (i1).
  mlir::Value exists(tile::TileType type, const Piece &piece, int64_t row, mlir::Value rows, mlir::Value columns,
                     bool allColumns);
  /// Reads `count` of the thread's units from `first` on: vectors of sixteen bytes.
  llvm::SmallVector<mlir::Value> stage(const SharedCopy &copy, mlir::Value first, int64_t count);
  llvm::SmallVector<mlir::Value> stageElements(const SharedCopy &copy, mlir::Value first, int64_t count);
  /// Writes them, settled where `unsettled` says how many columns there are.
  void unstage(tile::TileType type, mlir::Value memory, mlir::Value first, mlir::ValueRange pieces, int64_t unsettled);
  /// Reads and writes all of the thread's units, some at a time.
  void copyStaged(const SharedCopy &copy, mlir::Value memory);

  /// Whether the lane's number has `bit` (i1).
  mlir::Value isLaneBitSet(int64_t bit);
  /// Whether the thread's lane is the first of those that hold the same elements; null where no two do.
  mlir::Value isFirstHolder(tile::FragmentLayoutAttr layout, bool matrix);
  void writeElements(tile::TileType type, tile::FragmentLayoutAttr layout, const ThreadTile &value, mlir::Value memory);
  void writeShared(tile::TileType type, tile::FragmentLayoutAttr layout, const ThreadTile &value, mlir::Value memory);
  /// accumulator + lhs * rhs by single multiply-adds, both sides in shared memory, or the query rows where they lie.
  ThreadTile dotElements(tile::DotOp op, tile::TileType lhsType, mlir::Value lhs, mlir::Value rhs,
                         const ThreadTile &accumulator);
  ThreadTile dotInPlace(tile::DotOp op, mlir::Value rhs, const ThreadTile &accumulator);
  /// Elements of the left-hand side's row number `row` of those that the thread holds, from column `step` on.
  using ReadRow = llvm::function_ref<mlir::Value(ThreadBuilder &inner, size_t row, mlir::Value step)>;
  /// The same, with `run` steps of the contraction at a time, which `readRow` returns as a vector.
  ThreadTile multiplyElements(tile::DotOp op, int64_t run, ReadRow readRow, mlir::Value rhs,
                              const ThreadTile &accumulator);
  /// Block `m` of a warp's rows and block `k` of the contraction of mma's left-hand side, from shared memory.
  mlir::Value loadLhs(tile::TileType type, mlir::Value memory, tile::FragmentLayoutAttr layout, int64_t m, int64_t k);
  ThreadTile dotFragments(tile::DotOp op, const ThreadTile &lhs, const ThreadTile &rhs, const ThreadTile &accumulator);
  /// The thread's lane in a subgroup of `layout`, of a warpgroup in the last bits, and the subgroup.
  mlir::Value lane(tile::FragmentLayoutAttr layout) { return layout.isWarpgroup() ? block.thread : block.lane; }
  mlir::Value subgroup(tile::FragmentLayoutAttr layout) { return layout.isWarpgroup() ? block.warpgroup : block.warp; }
  /// The left-hand side's elements of row `m` of blocks and contraction block `k`.
  mlir::Value lhsPart(tile::DotOp op, const ThreadTile &lhs, int64_t m, int64_t k);
  /// A unit's operand from shared memory, in runs of sixteen bytes where its steps lie side by side: `layout`'s rows
  /// are the tile's or, of a right-hand side that is not transposed, its columns.
  mlir::Value readFragment(tile::TileType type, mlir::Value memory, tile::FragmentLayoutAttr layout, mlir::Value first,
                           int64_t firstBits, int64_t row, int64_t step, bool swapped);
  /// Infinities and NaN that the accumulator gets from elements of the right-hand side that are none, and zeros in
  /// their place in shared memory.
  ThreadTile takeOutNonFinite(tile::DotOp op, const ThreadTile &lhs, mlir::Value rhs, const ThreadTile &accumulator);
  /// The right-hand side's elements of columns from block `n` on and contraction block `k`: one vector a block, as many
  /// as the unit reads at once.
  llvm::SmallVector<mlir::Value> loadRhs(tile::DotOp op, mlir::Value rhs, int64_t n, int64_t k);
  mlir::Value hasNonFinite(tile::DotOp op, mlir::Value memory, mlir::Value flag);
  /// A fragment of an operand as the product takes it. What it rounds it rounds once, where the fragment is made:
  /// before a loop in which it is multiplied.
  mlir::Value roundOperand(tile::DotOp op, mlir::Value elements);
  llvm::SmallVector<mlir::Value> rowIndices(mlir::Value memory, mlir::ValueRange offsets, mlir::Value row, bool grouped,
                                            bool matrix);

  mlir::OpBuilder &b;
  mlir::Location loc;
  ThreadBlock &block;
  IndexMath index;
};

/// The extents of an access to a tile of `shape`, constants where it has none.
std::pair<mlir::Value, mlir::Value> extents(mlir::OpBuilder &b, mlir::Location loc, mlir::ValueRange valid,
                                            llvm::ArrayRef<int64_t> shape);
/// Whether columns up to `most` are all known to exist.
bool allExist(mlir::Value columns, int64_t most);

/// Neighbouring elements of a row that a thread holds side by side in a block of `layout`, at most `most`.
int64_t getRun(tile::FragmentLayoutAttr layout, int64_t most);

/// The columns of rows that are known not to consist of whole runs of `run`, and to have one; 0 where they may.
int64_t getUneven(mlir::Value columns, int64_t run);

/// Emits `body(row, column)` for each of `rows` x `columns`, divided among the threads.
void forEachOfThread(mlir::OpBuilder &b, mlir::Location loc, const ThreadBlock &block, int64_t rows, int64_t columns,
                     llvm::function_ref<void(mlir::OpBuilder &, mlir::Value, mlir::Value)> body);

/// Whether a product is done by the target's matrix unit.
bool usesUnit(tile::DotOp op, const GpuCapabilities &gpu);

/// What a thread holds of a tile in fragments: vectors of its blocks, or scalars of its rows. Nothing of one in shared
/// memory.
llvm::SmallVector<mlir::Type> getPartTypes(tile::TileType type);

/// Registers of 32 bits that numbers and vectors of `types` take.
int64_t countWords(mlir::TypeRange types);

/// The memory that `memory` is a part of: an argument of the function, an allocation, or all shared memory, none of
/// which overlap. Null where that is not known.
mlir::Value findWholeMemory(mlir::Value memory);

/// Moves divisions that are the same in all turns before the loop, with what they are computed from. LLVM leaves them
/// where they are, as it does not see that nothing is divided by zero, and of 64 bits they are a branch: amid products
/// it parts those from the operands that they have read, which all wait in registers then.
void hoistDivisions(mlir::scf::ForOp loop);

/// Removes the barriers of a block's code that order nothing: each tile operation stands between those that it may
/// need. A barrier stays where memory that was accessed since the barriers before it is accessed until those behind it,
/// and one of the two accesses writes. Parts of shared memory are told apart by their views; an asynchronous copy
/// writes from its start on, and others read what it wrote behind a barrier that follows the wait; a warpgroup's
/// product reads its operands until it is waited for; who comes to a pipe's barrier in shared memory touches for its
/// whole role what is in `pipes`, parts of `shared`, and roles share nothing else; an operation that says nothing of
/// its memory may access all of it. Barriers of a role are those of its threads.
void removeBarriers(mlir::scf::ForallOp loop, mlir::Value shared, llvm::ArrayRef<ThreadPipe> pipes);

} // namespace flashc::threads

#endif // FLASHC_PASSES_LOWERTHREADS_H
