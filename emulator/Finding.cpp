//===- Finding.cpp - findings and addresses as text ----------------------------===//

#include "emulator/Finding.h"
#include "emulator/GlobalMemory.h"

#include <cinttypes>
#include <cstdio>

using namespace flashc::emulator;

const char *flashc::emulator::toString(FindingKind kind) {
  switch (kind) {
  case FindingKind::OutOfBounds:
    return "out of bounds";
  case FindingKind::Misaligned:
    return "misaligned";
  case FindingKind::Uninitialised:
    return "uninitialised";
  case FindingKind::Race:
    return "race";
  case FindingKind::PendingCopy:
    return "copy not waited for";
  case FindingKind::Divergence:
    return "divergence";
  case FindingKind::Deadlock:
    return "deadlock";
  case FindingKind::MissingFence:
    return "missing proxy fence";
  case FindingKind::NotRunning:
    return "block not running";
  case FindingKind::PendingResult:
    return "result not waited for";
  case FindingKind::InvalidArgument:
    return "invalid argument";
  case FindingKind::UnknownInstruction:
    return "unknown instruction";
  }
  return "?";
}

static std::string hex(uint64_t value) {
  char text[24];
  std::snprintf(text, sizeof text, "0x%" PRIx64, value);
  return text;
}

std::string Finding::text() const {
  std::string out = std::string(toString(kind)) + ": kernel '" + kernel + "'";
  if (block >= 0)
    out += ", block " + std::to_string(block);
  if (thread >= 0)
    out += ", thread " + std::to_string(thread);
  if (!instruction.empty())
    out += ", at '" + instruction + "'";
  if (address)
    out += ", address " + hex(address);
  return out + ": " + detail;
}

std::string GlobalMemory::describe(uint64_t address, uint64_t bytes) const {
  // The region whose edge is nearest.
  const MemoryRegion *nearest = nullptr;
  uint64_t distance = ~uint64_t{0};
  bool past = false;
  for (const MemoryRegion &region : regions) {
    const uint64_t end = region.begin + region.bytes;
    const uint64_t last = address + bytes;
    const bool after = address >= region.begin;
    const uint64_t gap = after ? (last > end ? last - end : 0) : region.begin - address;
    if (gap < distance) {
      distance = gap;
      nearest = &region;
      past = after;
    }
  }
  std::string out = "an access of " + std::to_string(bytes) + " bytes lies in nothing that the launch was given";
  if (nearest && distance < uint64_t{1} << 32)
    out += std::string("; it ") + (past ? "ends " : "begins ") + std::to_string(distance) +
           (past ? " bytes past the end of '" : " bytes before '") + nearest->name + "', which has " +
           std::to_string(nearest->bytes) + " bytes at " + hex(nearest->begin);
  return out;
}
