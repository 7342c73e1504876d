//===- Fallbacks.cpp - what runs slower than it could, and why ----------------===//

#include "runtime/Fallbacks.h"
#include "runtime/devices/Device.h"

using namespace flashc;

void FallbackLog::note(const std::string &key, const std::string &text) {
  const std::lock_guard<std::mutex> lock(mutex);
  if (kept.size() == most || !keys.insert(key).second)
    return;
  kept.push_back(text);
  counted.store(kept.size(), std::memory_order_release);
}

std::vector<std::string> FallbackLog::texts() const {
  const std::lock_guard<std::mutex> lock(mutex);
  return kept;
}

FallbackLog &flashc::processFallbacks() {
  static auto *log = new FallbackLog(); // never destroyed: kernels may run while the process ends
  return *log;
}

std::vector<std::string> flashc::fallbacks() {
  std::vector<std::string> all = processFallbacks().texts();
  for (Device *device : knownDevices())
    for (std::string &text : device->fallbacks())
      all.push_back(std::move(text));
  return all;
}
