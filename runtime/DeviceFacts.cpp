//===- DeviceFacts.cpp - measured once, remembered -----------------------------===//

#include "runtime/DeviceFacts.h"

using namespace flashc;

// Kept beside the facts: a release that measures more or otherwise raises it, and everything is measured again.
static constexpr const char *revisionName = "revision";
static constexpr double revision = 1;

DeviceFacts flashc::deviceFacts(Device &device, TuningStore &store) {
  const std::string identity = device.describe().identity;
  auto known = [&]() -> std::optional<DeviceFacts> {
    DeviceFacts facts = store.facts(identity);
    if (fact(facts, revisionName) != revision)
      return std::nullopt;
    facts.erase(revisionName);
    return facts;
  };
  if (std::optional<DeviceFacts> facts = known())
    return *facts;
  const TuningStore::Turn turn = store.takeTurn();
  if (std::optional<DeviceFacts> facts = known())
    return *facts;
  DeviceFacts facts = device.measure();
  DeviceFacts kept = facts;
  kept[revisionName] = revision;
  // A store that cannot be written keeps them for this process.
  (void)store.recordFacts(identity, kept);
  return facts;
}

double flashc::fact(const DeviceFacts &facts, const std::string &name, double otherwise) {
  auto found = facts.find(name);
  return found == facts.end() ? otherwise : found->second;
}
