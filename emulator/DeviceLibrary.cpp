//===- DeviceLibrary.cpp - the emulated GPUs as a library to load --------------===//
//
// flash-run and libflashc_runtime.so need no LLVM; they load this where a kernel is for an emulated device.
//
//===----------------------------------------------------------------------===//

#include "emulator/EmulatedDevice.h"

#include <cstring>

extern "C" __attribute__((visibility("default"))) void
flashc_device_library(const char *build, void (*add)(void *registry, flashc::Device *device), void *registry) {
  using namespace flashc;
  if (std::strcmp(build, deviceLibraryBuild()) != 0)
    return;
  for (const emulator::Chip &chip : emulator::chips())
    add(registry, new EmulatedDevice(chip)); // lives as long as the process
}
