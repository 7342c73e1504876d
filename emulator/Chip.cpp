//===- Chip.cpp - the chips that the emulator knows ----------------------------===//

#include "emulator/Chip.h"

using namespace flashc::emulator;

const std::vector<Chip> &flashc::emulator::chips() {
  // Shared memory that one block may use: CUDA C++ Programming Guide, compute capabilities; the ISA manuals' LDS.
  static const auto *all = new std::vector<Chip>{
      {"sm_80", Vendor::Nvidia, 32, 1024, 163 << 10, 1, 80},   {"sm_90a", Vendor::Nvidia, 32, 1024, 227 << 10, 8, 90},
      {"gfx90a", Vendor::Amd, 64, 1024, 64 << 10, 1, 0x90a},   {"gfx942", Vendor::Amd, 64, 1024, 64 << 10, 1, 0x942},
      {"gfx1100", Vendor::Amd, 32, 1024, 64 << 10, 1, 0x1100},
  };
  return *all;
}

const Chip *flashc::emulator::findChip(std::string_view name) {
  for (const Chip &chip : chips())
    if (chip.name == name)
      return &chip;
  return nullptr;
}
