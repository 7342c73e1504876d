/// flash-run --devices: what there is to run kernels on, and what there is not.
#include "Commands.h"

#include <cstdio>

namespace flashc {

void listDevices() {
  for (Device *device : devices()) {
    const DeviceInfo info = device->describe();
    std::printf("%-16s %s%s%s\n", info.name.c_str(), info.description.c_str(), info.driver.empty() ? "" : ", ",
                info.driver.c_str());
  }
  for (const AbsentDevice &absent : absentDevices())
    std::printf("%-16s none: %s\n", absent.name.c_str(), absent.reason.c_str());
}
} // namespace flashc
