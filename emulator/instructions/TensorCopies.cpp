// cp.async.bulk and cp.async.bulk.tensor: the copy engine (TMA). PTX ISA, "Data Movement and Conversion Instructions:
// Bulk copy" and "Tensors" (tiled mode, out-of-bound access, swizzling modes).
//
// A load goes to a block of the cluster or, with a mask, to several: to the same place in the shared memory of each,
// and an mbarrier at the same place hears of it. It is done, block by block, when every thread waits, or earlier in
// random order; a store when its group is waited for, at the latest when every thread waits. Both touch shared memory
// through the async proxy.

#include "emulator/Cluster.h"
#include "emulator/TensorMap.h"
#include "emulator/instructions/Families.h"
#include "emulator/instructions/Mbarrier.h"

#include <algorithm>
#include <deque>
#include <sys/uio.h>
#include <unistd.h>

namespace flashc::emulator {

namespace {
/// One copy between shared memory and a box of a tensor, or plain bytes (a map of rank 0).
struct BulkCopy {
  TensorMap map{};
  std::array<int64_t, 5> first{}; ///< the box's first element in the tensor
  Block *owner = nullptr;         ///< of the shared memory
  uint64_t shared = 0;            ///< address
  uint64_t global = 0;            ///< address, of plain bytes
  bool fromShared = false;        ///< that address is one of the block's own shared memory
  uint64_t bytes = 0;
  uint64_t barrier = 0; ///< of a load
  unsigned thread = 0;  ///< that started it
  const Call *call = nullptr;
  bool done = false;
};

/// The stores of a thread that it has not waited for.
struct BulkGroups {
  std::vector<std::shared_ptr<BulkCopy>> open;
  std::deque<std::vector<std::shared_ptr<BulkCopy>>> committed;
};

[[noreturn]] void fail(Block &block, const BulkCopy &copy, FindingKind kind, const std::string &detail,
                       uint64_t address) {
  block.fail(kind, copy.thread, copy.call->text, detail, address);
}

void checkGlobal(Block &block, const BulkCopy &copy, uint64_t address, uint64_t bytes, bool write) {
  int region = block.global->find(address, bytes);
  if (region < 0 && !block.global->isPermissive())
    fail(block, copy, FindingKind::OutOfBounds, block.global->describe(address, bytes), address);
  if (region >= 0 && write && !(*block.global)[unsigned(region)].writable)
    fail(block, copy, FindingKind::OutOfBounds,
         "a store to " + (*block.global)[unsigned(region)].name + ", which is only read", address);
  GlobalShadow *shadow = region < 0 ? nullptr : block.global->shadow(unsigned(region));
  const Observer by = block.threads[copy.thread].asyncObserver();
  GlobalShadow::Conflict conflict;
  if (shadow && shadow->races({block.firstOfCluster(), by.agent, by.now, by.known, write, false},
                              address - (*block.global)[unsigned(region)].begin, bytes, conflict))
    fail(block, copy, FindingKind::Race,
         std::string(write ? "a store to '" : "a load from '") + (*block.global)[unsigned(region)].name + "'; block " +
             std::to_string(conflict.block + conflict.agent / block.ownAgents()) + ", thread " +
             std::to_string(block.threadOfAgent(conflict.agent)) + (conflict.write ? " wrote" : " read") + " offset " +
             std::to_string(conflict.offset) + " and nothing orders the two",
         address);
}

/// Visits the rows of a box: visit(offset of the row in the unswizzled box, its address or 0 if it lies outside, first
/// and end of the elements that lie inside).
template <typename Visit> void forEachRow(const BulkCopy &copy, Visit visit) {
  const TensorMap &map = copy.map;
  const uint64_t rowBytes = uint64_t(map.box[0]) * map.elementBytes, rows = map.boxBytes() / rowBytes;
  const int64_t begin = std::clamp<int64_t>(-copy.first[0], 0, map.box[0]);
  const int64_t end = std::clamp<int64_t>(int64_t(map.size[0]) - copy.first[0], begin, map.box[0]);
  for (uint64_t row = 0; row < rows; ++row) {
    uint64_t rest = row, address = map.address + uint64_t(copy.first[0] * map.elementBytes);
    bool inside = begin < end;
    for (unsigned i = 1; i < map.rank; ++i) {
      int64_t index = copy.first[i] + int64_t(rest % map.box[i]);
      rest /= map.box[i];
      inside &= index >= 0 && index < int64_t(map.size[i]);
      address += uint64_t(index) * map.strideBytes[i - 1];
    }
    visit(row * rowBytes, inside ? address : 0, begin, end);
  }
}

/// Copies between a row of the unswizzled box and shared memory, in the chunks that the swizzle exchanges.
template <typename Move> void forEachChunk(const BulkCopy &copy, uint64_t offset, uint64_t bytes, Move move) {
  if (!copy.map.swizzleBytes)
    return move(copy.shared + offset, 0, bytes);
  for (uint64_t done = 0; done < bytes;) {
    uint64_t address = copy.shared + offset + done, part = std::min(bytes - done, 16 - address % 16);
    move(swizzleAddress(address, copy.map.swizzleBytes), done, part);
    done += part;
  }
}

void fillOutside(const TensorMap &map, char *row, int64_t from, int64_t to) {
  const uint64_t nan = map.dtype == FLASHC_BF16  ? 0x7fff
                       : map.dtype == FLASHC_F16 ? 0x7fff
                       : map.dtype == FLASHC_F32 ? 0x7fffffff
                                                 : 0x7fffffffffffffff;
  const uint64_t value = map.fillNan ? nan : 0;
  for (int64_t i = from; i < to; ++i)
    std::memcpy(row + i * map.elementBytes, &value, map.elementBytes);
}

/// The source of a copy from the block's shared memory to another block's.
void readSource(Block &block, const BulkCopy &copy) {
  block.check(block.shared->read(block.threads[copy.thread].asyncObserver(), copy.global, copy.bytes), copy.thread,
              copy.call->text, copy.global, copy.bytes, /*write=*/false);
}

void moveLoad(Block &block, BulkCopy &copy) {
  if (copy.map.rank == 0) {
    if (copy.fromShared)
      readSource(block, copy);
    else
      checkGlobal(block, copy, copy.global, copy.bytes, /*write=*/false);
    std::memcpy(copy.owner->shared->data(copy.shared), reinterpret_cast<const char *>(copy.global), copy.bytes);
    return;
  }
  char row[256 * 8];
  forEachRow(copy, [&](uint64_t offset, uint64_t address, int64_t begin, int64_t end) {
    const uint64_t width = copy.map.elementBytes;
    fillOutside(copy.map, row, 0, address ? begin : copy.map.box[0]);
    if (address) {
      checkGlobal(block, copy, address + uint64_t(begin) * width, uint64_t(end - begin) * width, /*write=*/false);
      std::memcpy(row + begin * int64_t(width), reinterpret_cast<const char *>(address) + begin * int64_t(width),
                  uint64_t(end - begin) * width);
      fillOutside(copy.map, row, end, copy.map.box[0]);
    }
    forEachChunk(copy, offset, copy.map.box[0] * width, [&](uint64_t to, uint64_t from, uint64_t bytes) {
      std::memcpy(copy.owner->shared->data(to), row + from, bytes);
    });
  });
}

void moveStore(Block &block, BulkCopy &copy) {
  if (copy.map.rank == 0) {
    checkGlobal(block, copy, copy.global, copy.bytes, /*write=*/true);
    std::memcpy(reinterpret_cast<char *>(copy.global), copy.owner->shared->data(copy.shared), copy.bytes);
    return;
  }
  char row[256 * 8];
  forEachRow(copy, [&](uint64_t offset, uint64_t address, int64_t begin, int64_t end) {
    if (!address)
      return;
    const uint64_t width = copy.map.elementBytes;
    forEachChunk(copy, offset, copy.map.box[0] * width, [&](uint64_t from, uint64_t to, uint64_t bytes) {
      std::memcpy(row + to, copy.owner->shared->data(from), bytes);
    });
    checkGlobal(block, copy, address + uint64_t(begin) * width, uint64_t(end - begin) * width, /*write=*/true);
    std::memcpy(reinterpret_cast<char *>(address) + begin * int64_t(width), row + begin * int64_t(width),
                uint64_t(end - begin) * width);
  });
}

void finishLoad(Block &block, BulkCopy &copy) {
  Block &owner = *copy.owner;
  if (&owner != &block && owner.hasEnded())
    fail(block, copy, FindingKind::NotRunning,
         "the copy arrives in shared memory of block " + std::to_string(owner.index) + ", whose threads have all ended",
         copy.shared);
  moveLoad(block, copy);
  AsyncUnits::Work work = block.state<AsyncUnits>().copy(block);
  owner.shared->finishCopy({work.agent, work.now}, copy.shared, copy.bytes);
  if (&owner != &block)
    owner.noteRemoteAccess(work.agent, work.now);
  Mbarrier &barrier = owner.state<Mbarriers>().objects[copy.barrier];
  if (!barrier.valid)
    fail(block, copy, FindingKind::InvalidArgument, "the mbarrier was invalidated before the copy was complete",
         copy.barrier);
  completeTransactions(owner, barrier, copy.bytes, work);
}

/// Reads the source as late as it may be read, on behalf of the thread that started the store.
void finishStore(Block &block, BulkCopy &copy) {
  if (copy.done)
    return;
  copy.done = true;
  Thread &thread = block.threads[copy.thread];
  if (thread.status == Thread::Status::Done)
    fail(block, copy, FindingKind::PendingCopy,
         "the thread ended before cp.async.bulk.wait_group: the store still reads shared memory", copy.shared);
  block.check(block.shared->read(thread.asyncObserver(), copy.shared, copy.bytes), copy.thread, copy.call->text,
              copy.shared, copy.bytes, /*write=*/false);
  moveStore(block, copy);
}

bool isLoad(const Call &call) {
  for (const std::string &modifier : call.modifiers) {
    if (modifier == "global")
      return false;
    if (modifier.compare(0, 6, "shared") == 0)
      return true;
  }
  return false;
}

void readMap(Lane lane, uint64_t address, TensorMap &map) {
  if (address % 64)
    lane.fail(FindingKind::Misaligned, "a tensor map has to be 64-byte aligned", address);
  // A map is a parameter of the kernel, which is in no region of global memory, or lies in global memory: the system
  // tells whether there is anything at all.
  iovec to{&map, sizeof(map)}, from{reinterpret_cast<void *>(address), sizeof(map)};
  if (process_vm_readv(getpid(), &to, 1, &from, 1, 0) != ssize_t(sizeof(map)))
    lane.fail(FindingKind::OutOfBounds, "there is no memory at the address of the tensor map", address);
  if (map.magic != TensorMap::expectedMagic)
    lane.fail(FindingKind::InvalidArgument, "there is no tensor map at that address", address);
}

void startLoad(Lane lane, const std::shared_ptr<BulkCopy> &copy) {
  Thread &thread = lane.thread();
  Block &block = *thread.block;
  Mbarrier &barrier = Mbarriers::find(thread, copy->barrier, Mbarriers::Reach::Cluster);
  if (!barrier.fenced)
    lane.fail(
        FindingKind::MissingFence,
        "the initialisation of the mbarrier is not visible to the async proxy: there is no fence.mbarrier_init or "
        "fence.proxy.async behind it",
        copy->barrier);
  block.check(copy->owner->shared->beginCopy(thread.asyncObserver(), copy->shared, copy->bytes), thread.index,
              copy->call->text, copy->shared, copy->bytes, /*write=*/true);
  block.defer([&block, copy] { finishLoad(block, *copy); });
}

void startStore(Lane lane, const std::shared_ptr<BulkCopy> &copy) {
  Thread &thread = lane.thread();
  Block &block = *thread.block;
  block.check(block.shared->read(thread.asyncObserver(), copy->shared, copy->bytes), thread.index, copy->call->text,
              copy->shared, copy->bytes, /*write=*/false);
  thread.state<BulkGroups>().open.push_back(copy);
  block.defer([&block, copy] { finishStore(block, *copy); });
}

/// The block of the cluster that has an address of shared memory.
Block &ownerOf(Lane lane, uint64_t address, const char *what) {
  Block *owner = lane.thread().block->cluster->ownerOf(address);
  if (!owner)
    lane.fail(FindingKind::InvalidArgument, std::string(what) + " is not in shared memory", address);
  return *owner;
}

/// Starts a load whose destination and mbarrier are set: to their block, or to those of a mask, which is list `mask`.
void startLoads(Lane lane, const std::shared_ptr<BulkCopy> &copy, unsigned mask) {
  const Call &call = lane.call();
  Cluster &cluster = *lane.thread().block->cluster;
  Block &owner = ownerOf(lane, copy->shared, "the destination");
  if (&ownerOf(lane, copy->barrier, "the mbarrier") != &owner)
    lane.fail(FindingKind::InvalidArgument,
              "the mbarrier is not in the shared memory of the block that the copy goes to", copy->barrier);
  copy->owner = &owner;
  if (!call.has("multicast::cluster"))
    return startLoad(lane, copy);
  if (mask >= call.numLists())
    lane.fail(FindingKind::InvalidArgument, "expected a mask of blocks behind the mbarrier");
  const unsigned blocks = lane.get<uint16_t>(call.listBegin(mask));
  if (blocks == 0 || blocks >> cluster.size())
    lane.fail(FindingKind::InvalidArgument, "the mask of blocks is " + std::to_string(blocks) + ", the cluster has " +
                                                std::to_string(cluster.size()) + " blocks");
  for (unsigned rank = 0; rank != cluster.size(); ++rank)
    if (blocks >> rank & 1) {
      auto part = std::make_shared<BulkCopy>(*copy);
      part->owner = &cluster[rank];
      part->shared += cluster[rank].shared->base() - owner.shared->base();
      part->barrier += cluster[rank].shared->base() - owner.shared->base();
      startLoad(lane, part);
    }
}
} // namespace

/// cp.async.bulk.tensor.Nd.shared::cluster.global.mbarrier::complete_tx::bytes{.multicast::cluster}
///                                               [to], [map, {coordinates}], [mbarrier] {, mask} {, cache hint}
/// cp.async.bulk.tensor.Nd.global.shared::cta.bulk_group                       [map, {coordinates}], [from]
static void executeTensorCopy(Group &group) {
  for (Lane lane : group) {
    const Call &call = lane.call();
    if (call.has("im2col") || call.has("im2col_no_offs"))
      lane.fail(FindingKind::InvalidArgument, "only the tiled mode is emulated");
    const bool load = isLoad(call);
    auto copy = std::make_shared<BulkCopy>();
    const unsigned mapList = load ? 1 : 0, coordinates = mapList + 1;
    copy->call = &call;
    copy->thread = lane.thread().index;
    copy->owner = lane.thread().block;
    readMap(lane, lane.get<uint64_t>(call.listBegin(mapList)), copy->map);
    if (call.listSize(coordinates) != copy->map.rank)
      lane.fail(FindingKind::InvalidArgument, std::to_string(call.listSize(coordinates)) +
                                                  " coordinates for a tensor of rank " +
                                                  std::to_string(copy->map.rank));
    for (unsigned i = 0; i < copy->map.rank; ++i)
      copy->first[i] = lane.get<int32_t>(call.listBegin(coordinates) + i);
    copy->bytes = copy->map.boxBytes();
    copy->shared = lane.get<uint64_t>(call.listBegin(load ? 0 : 2));
    if (copy->shared % 128)
      lane.fail(FindingKind::Misaligned, "a box in shared memory has to be 128-byte aligned", copy->shared);
    if (load) {
      copy->barrier = lane.get<uint64_t>(call.listBegin(3));
      startLoads(lane, copy, /*mask=*/4);
    } else {
      startStore(lane, copy);
    }
  }
}

/// cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes{.multicast::cluster}
///                                                                   [to], [from], bytes, [mbarrier] {, mask}
/// cp.async.bulk.shared::cluster.shared::cta.mbarrier::complete_tx::bytes  [to], [from], bytes, [mbarrier]
/// cp.async.bulk.global.shared::cta.bulk_group                       [to], [from], bytes
static void executeBulkCopy(Group &group) {
  for (Lane lane : group) {
    const Call &call = lane.call();
    const bool load = isLoad(call);
    auto copy = std::make_shared<BulkCopy>();
    copy->call = &call;
    copy->thread = lane.thread().index;
    copy->owner = lane.thread().block;
    copy->shared = lane.get<uint64_t>(call.listBegin(load ? 0 : 1));
    copy->global = lane.get<uint64_t>(call.listBegin(load ? 1 : 0));
    copy->bytes = lane.get<uint32_t>(call.listBegin(2));
    for (uint64_t value : {copy->shared, copy->global, copy->bytes})
      if (value % 16)
        lane.fail(FindingKind::Misaligned, "addresses and size of a bulk copy have to be multiples of 16", value);
    if (load) {
      copy->fromShared = call.has("shared::cta") && call.has("shared::cluster");
      copy->barrier = lane.get<uint64_t>(call.listBegin(3));
      if (copy->fromShared)
        readSource(group.block(), *copy);
      startLoads(lane, copy, /*mask=*/4);
    } else {
      startStore(lane, copy);
    }
  }
}

static void executeCommit(Group &group) {
  for (Lane lane : group) {
    BulkGroups &groups = lane.thread().state<BulkGroups>();
    groups.committed.push_back(std::move(groups.open));
    groups.open.clear();
  }
}

/// cp.async.bulk.wait_group{.read} n: all but the latest n groups are complete, or have at least read their sources.
static void executeWaitGroup(Group &group) {
  for (Lane lane : group) {
    BulkGroups &groups = lane.thread().state<BulkGroups>();
    const uint64_t remaining = lane.get<uint32_t>(0);
    while (groups.committed.size() > remaining) {
      for (const std::shared_ptr<BulkCopy> &copy : groups.committed.front())
        finishStore(group.block(), *copy);
      groups.committed.pop_front();
    }
  }
}

static void executePrefetch(Group &group) {
  for (Lane lane : group) {
    TensorMap map;
    readMap(lane, lane.get<uint64_t>(0), map);
  }
}

void addTensorCopies(InstructionSet &set) {
  set.add({"cp.async.bulk.tensor", Scope::Lane, executeTensorCopy, 0});
  set.add({"cp.async.bulk", Scope::Lane, executeBulkCopy, 0});
  set.add({"cp.async.bulk.commit_group", Scope::Lane, executeCommit, 0});
  set.add({"cp.async.bulk.wait_group", Scope::Lane, executeWaitGroup, 0});
  set.add({"llvm.nvvm.cp.async.bulk.commit.group", Scope::Lane, executeCommit});
  set.add({"llvm.nvvm.cp.async.bulk.wait.group", Scope::Lane, executeWaitGroup});
  set.add({"prefetch.tensormap", Scope::Lane, executePrefetch, 0});
}

} // namespace flashc::emulator
