#include "emulator/instructions/AmdLanes.h"

#include <algorithm>
#include <cmath>

namespace flashc::emulator {

constexpr unsigned rowLanes = 16;

namespace {
/// Where a lane reads under a dpp_ctrl: a lane, or nothing (-1) where the shift leaves the row or the wave.
struct DppSource {
  bool known;
  int lane;
};

DppSource dppSource(uint32_t control, bool gfx9, int lane, int lanes) {
  int row = lane / int(rowLanes) * int(rowLanes), inRow = lane % int(rowLanes), amount = int(control & 15);
  auto within = [](int index, int base, int size) { return index >= 0 && index < size ? base + index : -1; };
  if (control <= 0xff) // quad_perm
    return {true, lane / 4 * 4 + int(control >> (2 * (lane % 4)) & 3)};
  if (control > 0x100 && control <= 0x10f) // row_shl
    return {true, within(inRow + amount, row, rowLanes)};
  if (control > 0x110 && control <= 0x11f) // row_shr
    return {true, within(inRow - amount, row, rowLanes)};
  if (control > 0x120 && control <= 0x12f) // row_ror
    return {true, row + (inRow - amount + int(rowLanes)) % int(rowLanes)};
  if (control == 0x140) // row_mirror
    return {true, row + 15 - inRow};
  if (control == 0x141) // row_half_mirror
    return {true, lane / 8 * 8 + 7 - lane % 8};
  if (control >= 0x150 && control <= 0x15f) // row_newbcast of gfx90a, row_share of RDNA
    return {true, row + amount};
  if (gfx9) {
    switch (control) {
    case 0x130: // wave_shl
      return {true, within(lane + 1, 0, lanes)};
    case 0x134: // wave_rol
      return {true, (lane + 1) % lanes};
    case 0x138: // wave_shr
      return {true, within(lane - 1, 0, lanes)};
    case 0x13c: // wave_ror
      return {true, (lane - 1 + lanes) % lanes};
    case 0x142: // row_bcast15: the last lane of a row to the whole next row
      return {true, row - 1};
    case 0x143: // row_bcast31: lane 31 to rows 2 and 3
      return {true, lane >= 32 ? 31 : -1};
    default:
      return {false, -1};
    }
  }
  if (control >= 0x160 && control <= 0x16f) // row_xmask
    return {true, row + (inRow ^ amount)};
  return {false, -1};
}
} // namespace

std::string runDpp(const DppControl &dpp, bool gfx9, const LaneValues &old, const LaneValues &source,
                   const LaneValues &d) {
  std::array<uint32_t, maxLanes> result{};
  for (unsigned lane = 0; lane < source.lanes(); ++lane) {
    if (!source.active(lane))
      continue;
    DppSource from = dppSource(dpp.control, gfx9, int(lane), int(source.lanes()));
    if (!from.known)
      return "dpp_ctrl " + std::to_string(dpp.control) + " does not exist on " + (gfx9 ? "CDNA" : "RDNA 3");
    result[lane] = old.get<uint32_t>(lane);
    if (!(dpp.rowMask >> (lane / rowLanes) & 1) || !(dpp.bankMask >> (lane % rowLanes / 4) & 1))
      continue;
    if (from.lane >= 0 && source.active(unsigned(from.lane)))
      result[lane] = source.get<uint32_t>(unsigned(from.lane));
    else if (dpp.boundControl)
      result[lane] = 0;
  }
  for (unsigned lane = 0; lane < source.lanes(); ++lane)
    if (source.active(lane))
      d.set<uint32_t>(lane, result[lane]);
  return {};
}

void runDsBpermute(const LaneValues &address, const LaneValues &source, const LaneValues &d) {
  std::array<uint32_t, maxLanes> result{};
  for (unsigned lane = 0; lane < source.lanes(); ++lane)
    if (source.active(lane)) {
      unsigned from = address.get<uint32_t>(lane) / 4 % source.lanes();
      result[lane] = source.active(from) ? source.get<uint32_t>(from) : 0;
    }
  for (unsigned lane = 0; lane < source.lanes(); ++lane)
    if (source.active(lane))
      d.set<uint32_t>(lane, result[lane]);
}

void runDsPermute(const LaneValues &address, const LaneValues &source, const LaneValues &d) {
  std::array<uint32_t, maxLanes> result{};
  for (unsigned lane = 0; lane < source.lanes(); ++lane)
    if (source.active(lane))
      result[address.get<uint32_t>(lane) / 4 % source.lanes()] = source.get<uint32_t>(lane);
  for (unsigned lane = 0; lane < source.lanes(); ++lane)
    if (source.active(lane))
      d.set<uint32_t>(lane, result[lane]);
}

std::string runDsSwizzle(uint32_t pattern, const LaneValues &source, const LaneValues &d) {
  if (pattern >= 0xc000)
    return "ds_swizzle offset " + std::to_string(pattern) + ": only the quad and the bit-mask modes are emulated";
  std::array<uint32_t, maxLanes> result{};
  for (unsigned lane = 0; lane < source.lanes(); ++lane) {
    if (!source.active(lane))
      continue;
    unsigned from = lane / 4 * 4 + (pattern >> (2 * (lane % 4)) & 3);
    if (!(pattern & 0x8000)) // bits 0-4: and, 5-9: or, 10-14: xor, within 32 lanes
      from = lane / 32 * 32 + (((lane & pattern & 31) | (pattern >> 5 & 31)) ^ (pattern >> 10 & 31));
    result[lane] = source.active(from) ? source.get<uint32_t>(from) : 0;
  }
  for (unsigned lane = 0; lane < source.lanes(); ++lane)
    if (source.active(lane))
      d.set<uint32_t>(lane, result[lane]);
  return {};
}

std::string runPermlane16(bool across, bool fetchInactive, bool boundControl, const LaneValues &old,
                          const LaneValues &source, const LaneValues &selectLow, const LaneValues &selectHigh,
                          const LaneValues &d) {
  std::array<uint32_t, maxLanes> result{};
  int first = -1;
  for (unsigned lane = 0; lane < source.lanes(); ++lane) {
    if (!source.active(lane))
      continue;
    if (first < 0)
      first = int(lane);
    if (selectLow.get<uint32_t>(lane) != selectLow.get<uint32_t>(unsigned(first)) ||
        selectHigh.get<uint32_t>(lane) != selectHigh.get<uint32_t>(unsigned(first)))
      return "the lane selectors of v_permlane16 differ between lanes " + std::to_string(first) + " and " +
             std::to_string(lane);
    unsigned inRow = lane % rowLanes, row = lane / rowLanes ^ (across ? 1 : 0);
    uint32_t selector = inRow < 8 ? selectLow.get<uint32_t>(lane) : selectHigh.get<uint32_t>(lane);
    unsigned from = row * rowLanes + (selector >> (4 * (inRow % 8)) & 15);
    if (source.active(from))
      result[lane] = source.get<uint32_t>(from);
    else if (fetchInactive)
      return "v_permlane16 reads the register of lane " + std::to_string(from) + ", which is inactive";
    else
      result[lane] = boundControl ? 0 : old.get<uint32_t>(lane);
  }
  for (unsigned lane = 0; lane < source.lanes(); ++lane)
    if (source.active(lane))
      d.set<uint32_t>(lane, result[lane]);
  return {};
}

uint32_t permuteBytes(uint32_t high, uint32_t low, uint32_t selector) {
  uint64_t bytes = uint64_t(high) << 32 | low;
  uint32_t result = 0;
  for (unsigned i = 0; i < 4; ++i) {
    uint32_t select = selector >> (8 * i) & 0xff, byte;
    if (select >= 13)
      byte = 0xff;
    else if (select == 12)
      byte = 0;
    else if (select >= 8) // the sign of a 16-bit half: bytes 1, 3, 5, 7
      byte = bytes >> (16 * (select - 8) + 15) & 1 ? 0xff : 0;
    else
      byte = bytes >> (8 * select) & 0xff;
    result |= byte << (8 * i);
  }
  return result;
}

float medianOfThree(float a, float b, float c) {
  if (std::isnan(a) || std::isnan(b) || std::isnan(c))
    return std::fmin(std::fmin(a, b), c);
  return std::max(std::min(a, b), std::min(std::max(a, b), c));
}

uint32_t countMaskedBelow(uint32_t mask, unsigned lane, bool upper) {
  unsigned first = upper ? 32 : 0;
  if (lane < first)
    return 0;
  unsigned below = lane - first;
  return uint32_t(__builtin_popcount(below >= 32 ? mask : mask & ((uint32_t(1) << below) - 1)));
}

uint32_t dwordsInBounds(const BufferResource &resource, uint32_t offset, uint32_t scalarOffset, unsigned bytes) {
  unsigned unit = std::min(bytes, 4u), units = (bytes + unit - 1) / unit;
  uint32_t mask = 0;
  for (unsigned i = 0; i < units; ++i)
    if (uint64_t(offset) + scalarOffset + uint64_t(i + 1) * unit <= resource.records)
      mask |= uint32_t(1) << i;
  return mask;
}

} // namespace flashc::emulator
