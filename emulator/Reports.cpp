//===- Reports.cpp - findings in words -----------------------------------------===//

#include "emulator/Cluster.h"
#include "emulator/Instruction.h"

using namespace flashc::emulator;

std::string Block::agentName(unsigned agent) const {
  const unsigned thread = threadOfAgent(agent);
  const std::string name = thread < numThreads() ? "thread " + std::to_string(thread) : "an asynchronous unit";
  const int64_t owner = blockOfAgent(agent);
  return owner == index ? name : name + " of block " + std::to_string(owner);
}

static std::string describeAccess(const Block &block, const AccessProblem &problem, uint64_t address, uint64_t bytes,
                                  bool write) {
  // Whose memory it is: an address is out of bounds where the instruction does not reach other blocks', too.
  const Block *owner = block.cluster->ownerOf(address);
  const bool outside = problem.kind == FindingKind::OutOfBounds && owner && owner != &block &&
                       problem.address - owner->shared->base() < owner->shared->size();
  const SharedMemory &shared = owner ? *owner->shared : *block.shared;
  const std::string offset = std::to_string(problem.address - shared.base());
  std::string access = (write ? "a write of " : "a read of ") + std::to_string(bytes) +
                       " bytes of shared memory at offset " + std::to_string(int64_t(address - shared.base()));
  if (owner && owner != &block)
    access += " of block " + std::to_string(owner->index);
  const std::string other = problem.other < 0 ? "" : block.agentName(static_cast<unsigned>(problem.other));
  switch (problem.kind) {
  case FindingKind::OutOfBounds:
    return access + (outside ? "; the instruction reaches the own block's alone"
                             : "; the block has " + std::to_string(shared.size()));
  case FindingKind::Uninitialised:
    return access + "; nobody in this " + (block.clusterBlocks > 1 ? "cluster" : "block") + " wrote offset " + offset;
  case FindingKind::PendingCopy:
    return access + "; the copy that " + other + " began into offset " + offset + " has not been waited for";
  case FindingKind::MissingFence:
    return access + " by an asynchronous unit; " + other + (problem.earlierWasWrite ? " wrote" : " read") + " offset " +
           offset + " and no proxy fence follows";
  default:
    return access + "; " + other + (problem.earlierWasWrite ? " wrote" : " read") + " offset " + offset +
           " and no barrier orders the two";
  }
}

void Block::failAccess(const AccessProblem &problem, int64_t thread, const std::string &instruction, uint64_t address,
                       uint64_t bytes, bool write) {
  fail(problem.kind, thread, instruction, describeAccess(*this, problem, address, bytes, write), problem.address);
}

/// Who waits where: "threads 0-31 at 'barrier' 1; threads 32-127 at ...".
static std::string waitersOf(const Block &block) {
  std::vector<std::pair<std::string, std::vector<unsigned>>> places;
  for (const Thread &thread : block.threads) {
    std::string place;
    if (thread.status == Thread::Status::Done)
      place = "have ended";
    else {
      place = "wait at '" + std::string(thread.current ? thread.current->text : "?") + "'";
      if (thread.status == Thread::Status::Meeting)
        place += " for the other lanes";
      else if (thread.waitingFor)
        place += std::string(" for ") + thread.waitingFor + " " + std::to_string(thread.waitingDetail);
    }
    if (places.empty() || places.back().first != place) {
      size_t i = 0;
      while (i != places.size() && places[i].first != place)
        ++i;
      if (i == places.size())
        places.push_back({place, {}});
      places[i].second.push_back(thread.index);
    } else {
      places.back().second.push_back(thread.index);
    }
  }
  std::string out;
  for (const auto &[place, members] : places) {
    out += out.empty() ? "threads " : "; threads ";
    for (size_t i = 0; i != members.size();) {
      size_t j = i;
      while (j + 1 != members.size() && members[j + 1] == members[j] + 1)
        ++j;
      out += (i ? "," : "") + std::to_string(members[i]) + (j > i ? "-" + std::to_string(members[j]) : "");
      i = j + 1;
    }
    out += " " + place;
  }
  return out;
}

std::string Cluster::describeWaiters() const {
  if (count == 1)
    return waitersOf(blocks[0]);
  std::string out;
  for (unsigned rank = 0; rank != count; ++rank)
    out += (rank ? "; block " : "block ") + std::to_string(blocks[rank].index) + ": " + waitersOf(blocks[rank]);
  return out;
}
