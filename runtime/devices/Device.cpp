//===- Device.cpp - the devices of this machine -------------------------------===//

#include "runtime/devices/Device.h"
#include "runtime/devices/Cpu.h"

using namespace flashc;

const std::vector<Device *> &flashc::devices() {
  static const auto *all = new std::vector<Device *>{new CpuDevice()};
  return *all;
}

Result<Device *> flashc::deviceForTarget(std::string_view target) {
  const std::string family(target.substr(0, target.find(':')));
  std::string known;
  for (Device *device : devices()) {
    const std::string name = device->describe().family;
    if (name == family)
      return device;
    known += (known.empty() ? "" : ", ") + name;
  }
  return Error{FLASHC_ERROR_TARGET,
               "expected a target of a device of this machine (" + known + "), got \"" + std::string(target) + "\""};
}
