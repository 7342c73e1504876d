//===- DeviceFacts.h - measured once, remembered -------------------------------===//
#ifndef FLASHC_RUNTIME_DEVICEFACTS_H
#define FLASHC_RUNTIME_DEVICEFACTS_H

#include "runtime/TuningStore.h"
#include "runtime/devices/Device.h"

namespace flashc {

/// What is known of `device`: from `store`, else measured now - some tens of milliseconds - and kept there. Processes
/// that start together measure one after the other, and only the first does. Thread-safe.
DeviceFacts deviceFacts(Device &device, TuningStore &store = TuningStore::process());

/// The value of a fact, or `otherwise` where the device has no such thing.
double fact(const DeviceFacts &facts, const std::string &name, double otherwise = 0);

} // namespace flashc

#endif // FLASHC_RUNTIME_DEVICEFACTS_H
