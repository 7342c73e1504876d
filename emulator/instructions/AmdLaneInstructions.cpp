// AMD's cross-lane and buffer instructions, as the kernels' intrinsics. What they compute stands in AmdLanes.cpp.

#include "emulator/instructions/AmdLanes.h"
#include "emulator/instructions/Families.h"
#include "emulator/instructions/GroupValues.h"
#include "emulator/instructions/NarrowFloats.h"

#include <deque>

namespace flashc::emulator {

/// What an instruction leaves in a register that it does not write: easily told from data.
constexpr uint32_t undefinedRegister = 0x7fa0dead;

static void finish(Group &group, std::string problem) {
  if (!problem.empty())
    group[0].fail(FindingKind::InvalidArgument, std::move(problem));
}

/// The functions below move registers of 32 bits.
static void wantWord(Group &group) {
  const unsigned bytes = group.call().operands[0].bytes;
  if (bytes != 4)
    finish(group, group.call().name + " of " + std::to_string(bytes) + " bytes, emulated are registers of 4");
}

static DppControl dppControl(Lane lane, unsigned first) {
  return {lane.get<uint32_t>(first), lane.get<uint32_t>(first + 1), lane.get<uint32_t>(first + 2),
          lane.get<bool>(first + 3)};
}

static bool isGfx9(const Group &group) { return group.block().chip->subgroupSize == 64; }

/// update.dpp(old, source, control, row mask, bank mask, bound control)
static void executeUpdateDpp(Group &group) {
  wantWord(group);
  finish(group,
         runDpp(dppControl(group[0], 3), isGfx9(group), valuesOf(group, 1), valuesOf(group, 2), valuesOf(group, 0)));
}

/// mov.dpp(source, control, row mask, bank mask, bound control)
static void executeMovDpp(Group &group) {
  wantWord(group);
  uint32_t undefined = undefinedRegister;
  LaneValues old(&undefined, group.block().chip->subgroupSize, 0);
  finish(group, runDpp(dppControl(group[0], 2), isGfx9(group), old, valuesOf(group, 1), valuesOf(group, 0)));
}

static void executeDsBpermute(Group &group) {
  runDsBpermute(valuesOf(group, 1), valuesOf(group, 2), valuesOf(group, 0));
}
static void executeDsPermute(Group &group) { runDsPermute(valuesOf(group, 1), valuesOf(group, 2), valuesOf(group, 0)); }
static void executeDsSwizzle(Group &group) {
  finish(group, runDsSwizzle(group[0].get<uint32_t>(2), valuesOf(group, 1), valuesOf(group, 0)));
}

/// permlane16(old, source, select low, select high, fetch inactive, bound control)
static void executePermlane(Group &group, bool across) {
  wantWord(group);
  if (isGfx9(group))
    finish(group, "v_permlane16 and v_permlanex16 exist on RDNA, not on CDNA");
  finish(group, runPermlane16(across, group[0].get<bool>(5), group[0].get<bool>(6), valuesOf(group, 1),
                              valuesOf(group, 2), valuesOf(group, 3), valuesOf(group, 4), valuesOf(group, 0)));
}
static void executePermlane16(Group &group) { executePermlane(group, /*across=*/false); }
static void executePermlanex16(Group &group) { executePermlane(group, /*across=*/true); }

/// Copies operand 1 of one lane to all: values of any width.
static void broadcastFrom(Group &group, Lane source) {
  using Bytes = std::array<uint8_t, 16>;
  Bytes value = source.get<Bytes>(1);
  for (Lane lane : group)
    lane.set(0, value);
}
static void executeReadFirstLane(Group &group) { broadcastFrom(group, group[0]); }

static void executeReadLane(Group &group) {
  unsigned wanted = group[0].get<uint32_t>(2) % group.block().chip->subgroupSize;
  for (Lane lane : group)
    if (lane.get<uint32_t>(2) % group.block().chip->subgroupSize != wanted)
      lane.fail(FindingKind::InvalidArgument,
                "v_readlane wants the same lane number in all lanes: " + std::to_string(wanted) + " in lane " +
                    std::to_string(group[0].index()) + ", " + std::to_string(lane.get<uint32_t>(2)) + " here");
  for (Lane lane : group)
    if (lane.index() == wanted)
      return broadcastFrom(group, lane);
  group[0].fail(FindingKind::Divergence, "v_readlane of lane " + std::to_string(wanted) + ", which is inactive");
}

static void executeBallot(Group &group) {
  uint64_t mask = 0;
  for (Lane lane : group)
    mask |= uint64_t(lane.get<bool>(1)) << lane.index();
  for (Lane lane : group)
    lane.set(0, mask);
}

static void executeMbcntLow(Group &group) {
  for (Lane lane : group)
    lane.set(0, lane.get<uint32_t>(2) + countMaskedBelow(lane.get<uint32_t>(1), lane.index(), /*upper=*/false));
}
static void executeMbcntHigh(Group &group) {
  for (Lane lane : group)
    lane.set(0, lane.get<uint32_t>(2) + countMaskedBelow(lane.get<uint32_t>(1), lane.index(), /*upper=*/true));
}

static void executePerm(Group &group) {
  for (Lane lane : group)
    lane.set(0, permuteBytes(lane.get<uint32_t>(1), lane.get<uint32_t>(2), lane.get<uint32_t>(3)));
}
static void executeFmed3(Group &group) {
  for (Lane lane : group)
    lane.set(0, medianOfThree(lane.get<float>(1), lane.get<float>(2), lane.get<float>(3)));
}
static void executeCvtPkrtz(Group &group) {
  for (Lane lane : group)
    lane.set(0, uint32_t(f16TowardsZero(lane.get<float>(2))) << 16 | f16TowardsZero(lane.get<float>(1)));
}

namespace {
/// The buffer resources of a block. A kernel's `ptr addrspace(8)` is the address of one: made once, never changed.
struct BufferResources {
  std::deque<BufferResource> made;

  const BufferResource *find(const BufferResource &wanted) {
    for (const BufferResource &resource : made)
      if (resource.base == wanted.base && resource.records == wanted.records && resource.flags == wanted.flags)
        return &resource;
    made.push_back(wanted);
    return &made.back();
  }
  bool owns(const BufferResource *resource) const {
    for (const BufferResource &known : made)
      if (&known == resource)
        return true;
    return false;
  }
};
} // namespace

/// make.buffer.rsrc(base, stride, records, flags)
static void executeMakeBufferResource(Group &group) {
  for (Lane lane : group) {
    BufferResource resource{lane.get<uint64_t>(1), lane.get<uint32_t>(3), lane.get<uint32_t>(4), lane.get<uint16_t>(2)};
    if (resource.stride)
      lane.fail(FindingKind::InvalidArgument, "a buffer resource with stride " + std::to_string(resource.stride) +
                                                  ": only raw buffers (stride 0) are emulated");
    // OOB_SELECT of RDNA: 3 checks raw buffers, 2 checks nothing; 0 and 1 are for structured ones.
    if (!isGfx9(group)) {
      const uint32_t select = resource.flags >> 28 & 3;
      if (select < 2)
        lane.fail(FindingKind::InvalidArgument, "OOB_SELECT of the buffer resource is " + std::to_string(select) +
                                                    ", expected 2 or 3 for a raw buffer");
      if (select == 2 && resource.records)
        resource.records = ~uint32_t(0);
    }
    lane.set(0, reinterpret_cast<uint64_t>(lane.thread().block->state<BufferResources>().find(resource)));
  }
}

static BufferResource resourceOf(Lane lane, unsigned operand) {
  if (lane.call().operands[operand].bytes == 16) { // the four words of a V#
    auto words = lane.get<std::array<uint32_t, 4>>(operand);
    return {words[0] | uint64_t(words[1] & 0xffff) << 32, words[2], words[3], uint16_t(words[1] >> 16 & 0x3fff)};
  }
  auto *resource = reinterpret_cast<const BufferResource *>(lane.get<uint64_t>(operand));
  if (!lane.thread().block->state<BufferResources>().owns(resource))
    lane.fail(FindingKind::InvalidArgument, "the buffer resource was not made by make.buffer.rsrc in this block");
  return *resource;
}

/// Visits the parts of an access that lie inside its buffer: visit(address, first byte, bytes).
template <typename Visit> static void forEachPart(Lane lane, unsigned resourceOperand, unsigned bytes, Visit visit) {
  BufferResource resource = resourceOf(lane, resourceOperand);
  uint32_t offset = lane.get<uint32_t>(resourceOperand + 1), scalar = lane.get<uint32_t>(resourceOperand + 2);
  // ROCm's drivers let accesses begin at any byte (SH_MEM_CONFIG.alignment_mode); bounds are those of words.
  uint64_t address = resource.base + offset + scalar;
  unsigned unit = bytes < 4 ? bytes : 4;
  uint32_t inside = dwordsInBounds(resource, offset, scalar, bytes);
  for (unsigned i = 0; i * unit < bytes; ++i)
    if (inside >> i & 1)
      visit(address + i * unit, i * unit, unit);
}

/// raw.ptr.buffer.load(resource, offset, scalar offset, flags)
static void executeBufferLoad(Group &group) {
  for (Lane lane : group) {
    std::array<uint8_t, 16> value{};
    forEachPart(lane, 1, lane.call().operands[0].bytes, [&](uint64_t address, unsigned at, unsigned bytes) {
      lane.thread().load(address, value.data() + at, bytes, Space::Global);
    });
    lane.set(0, value);
  }
}

/// raw.ptr.buffer.store(value, resource, offset, scalar offset, flags)
static void executeBufferStore(Group &group) {
  for (Lane lane : group) {
    auto value = lane.get<std::array<uint8_t, 16>>(0);
    forEachPart(lane, 1, lane.call().operands[0].bytes, [&](uint64_t address, unsigned at, unsigned bytes) {
      lane.thread().store(address, value.data() + at, bytes, Space::Global);
    });
  }
}

static void executePointerOfDispatch(Group &group) {
  group[0].fail(FindingKind::UnknownInstruction, "the kernels get all they need as parameters: there is no dispatch "
                                                 "packet and there are no implicit arguments to point to");
}

void addAmdLanes(InstructionSet &set) {
  set.add({"llvm.amdgcn.update.dpp", Scope::Subgroup, executeUpdateDpp});
  set.add({"llvm.amdgcn.mov.dpp", Scope::Subgroup, executeMovDpp});
  set.add({"llvm.amdgcn.ds.bpermute", Scope::Subgroup, executeDsBpermute});
  set.add({"llvm.amdgcn.ds.permute", Scope::Subgroup, executeDsPermute});
  set.add({"llvm.amdgcn.ds.swizzle", Scope::Subgroup, executeDsSwizzle});
  set.add({"llvm.amdgcn.permlane16", Scope::Subgroup, executePermlane16});
  set.add({"llvm.amdgcn.permlanex16", Scope::Subgroup, executePermlanex16});
  set.add({"llvm.amdgcn.readfirstlane", Scope::Subgroup, executeReadFirstLane});
  set.add({"llvm.amdgcn.readlane", Scope::Subgroup, executeReadLane});
  set.add({"llvm.amdgcn.ballot", Scope::Subgroup, executeBallot});
  set.add({"llvm.amdgcn.mbcnt.lo", Scope::Lane, executeMbcntLow});
  set.add({"llvm.amdgcn.mbcnt.hi", Scope::Lane, executeMbcntHigh});
  set.add({"llvm.amdgcn.perm", Scope::Lane, executePerm});
  set.add({"llvm.amdgcn.fmed3", Scope::Lane, executeFmed3});
  set.add({"llvm.amdgcn.cvt.pkrtz", Scope::Lane, executeCvtPkrtz});
  set.add({"llvm.amdgcn.make.buffer.rsrc", Scope::Lane, executeMakeBufferResource});
  for (const char *name : {"llvm.amdgcn.raw.ptr.buffer.load", "llvm.amdgcn.raw.buffer.load"})
    set.add({name, Scope::Lane, executeBufferLoad});
  for (const char *name : {"llvm.amdgcn.raw.ptr.buffer.store", "llvm.amdgcn.raw.buffer.store"})
    set.add({name, Scope::Lane, executeBufferStore});
  for (const char *name : {"llvm.amdgcn.dispatch.ptr", "llvm.amdgcn.implicitarg.ptr", "llvm.amdgcn.queue.ptr"})
    set.add({name, Scope::Lane, executePointerOfDispatch});
}

} // namespace flashc::emulator
