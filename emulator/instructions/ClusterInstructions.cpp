//===- ClusterInstructions.cpp - what the blocks of a cluster do together ------===//
//
// PTX ISA: barrier.cluster, mapa, getctarank. Accesses of other blocks' shared memory are in Access.cpp, arrivals at
// their mbarriers in Mbarrier.cpp, copies to several blocks in TensorCopies.cpp.
//
//===----------------------------------------------------------------------===//

#include "emulator/Cluster.h"
#include "emulator/instructions/Families.h"

namespace flashc::emulator {

/// barrier.cluster.arrive{.release, .relaxed}{.aligned}; aligned: all lanes of the warp together.
static void executeArrive(Group &group) {
  const bool release = !group.call().has("relaxed");
  for (Lane lane : group)
    group.block().cluster->barrier.arrive(lane.thread(), release);
}

/// barrier.cluster.wait{.acquire}{.aligned}
static void executeWait(Group &group) {
  for (Lane lane : group)
    group.block().cluster->barrier.wait(lane.thread());
}

/// The block in whose shared memory operand `operand` points.
static Block &ownerOf(Lane lane, unsigned operand) {
  const uint64_t address = lane.get<uint64_t>(operand);
  Block *owner = lane.thread().block->cluster->ownerOf(address);
  if (!owner)
    lane.fail(FindingKind::InvalidArgument, "expected an address of shared memory of the cluster", address);
  return *owner;
}

/// mapa{.shared::cluster} d, address, rank: the same place in the shared memory of the block of that rank.
static void executeMapa(Group &group) {
  Cluster &cluster = *group.block().cluster;
  for (Lane lane : group) {
    const uint32_t rank = lane.get<uint32_t>(2);
    if (rank >= cluster.size())
      lane.fail(FindingKind::InvalidArgument, "expected a rank below " + std::to_string(cluster.size()) +
                                                  ", the blocks of the cluster, got " + std::to_string(rank));
    const uint64_t offset = lane.get<uint64_t>(1) - ownerOf(lane, 1).shared->base();
    lane.set<uint64_t>(0, cluster[rank].shared->base() + offset);
  }
}

/// getctarank{.shared::cluster} d, address
static void executeRankOf(Group &group) {
  for (Lane lane : group)
    lane.set<uint32_t>(0, ownerOf(lane, 1).rank);
}

/// isspacep.shared::cluster p, address
static void executeIsClusterShared(Group &group) {
  for (Lane lane : group)
    lane.set<bool>(0, group.block().cluster->ownerOf(lane.get<uint64_t>(1)) != nullptr);
}

void addClusters(InstructionSet &set) {
  for (const std::string prefix : {"llvm.nvvm.", ""}) {
    const std::string arrive = prefix + "barrier.cluster.arrive";
    for (const std::string semantics : {"", ".release", ".relaxed"}) {
      set.add({arrive + semantics, Scope::Lane, executeArrive, 0});
      set.add({arrive + semantics + ".aligned", Scope::Subgroup, executeArrive, 0});
    }
    set.add({prefix + "barrier.cluster.wait", Scope::Lane, executeWait, 0});
    set.add({prefix + "mapa", Scope::Lane, executeMapa, 1});
    set.add({prefix + "getctarank", Scope::Lane, executeRankOf, 1});
  }
  set.add({"llvm.nvvm.isspacep.shared.cluster", Scope::Lane, executeIsClusterShared});
  set.add({"isspacep.shared::cluster", Scope::Lane, executeIsClusterShared, 1});
}

} // namespace flashc::emulator
