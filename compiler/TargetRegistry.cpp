#include "compiler/TargetRegistry.h"

#include "llvm/ADT/StringExtras.h"

using namespace llvm;

namespace flashc {
// One declaration and one line of the table for each family; its file in targets/ does the rest.
Expected<std::shared_ptr<const Target>> parseCpuTarget(StringRef detail);
Expected<std::shared_ptr<const Target>> parseHostTarget(StringRef detail);
Expected<std::shared_ptr<const Target>> parseNvptxTarget(StringRef detail);
Expected<std::shared_ptr<const Target>> parseAmdgpuTarget(StringRef detail);
Expected<std::shared_ptr<const Target>> parseEmulatedTarget(StringRef detail);

namespace {
struct Family {
  StringRef name;
  Expected<std::shared_ptr<const Target>> (*parse)(StringRef detail);
};
constexpr Family kFamilies[] = {{"cpu", parseCpuTarget},
                                {"host", parseHostTarget},
                                {"nvptx", parseNvptxTarget},
                                {"amdgpu", parseAmdgpuTarget},
                                {"emulated", parseEmulatedTarget}};
} // namespace

SmallVector<StringRef> getTargetFamilies() {
  SmallVector<StringRef> names;
  for (const Family &family : kFamilies)
    names.push_back(family.name);
  return names;
}

Expected<std::shared_ptr<const Target>> parseTarget(StringRef text) {
  auto [name, detail] = text.split(':');
  for (const Family &family : kFamilies)
    if (family.name == name)
      return family.parse(detail);
  // A chip without its vendor is the likeliest mistake.
  std::string meant;
  for (const Family &family : kFamilies) {
    if (family.name == "host" || detail.size() || name.empty())
      continue;
    Expected<std::shared_ptr<const Target>> target = family.parse(name);
    if (target)
      meant += (meant.empty() ? "; did you mean " : " or ") + family.name.str() + ":" + name.str();
    else
      consumeError(target.takeError());
  }
  return createStringError("unknown target '" + text + "': expected one of " + join(getTargetFamilies(), ", ") +
                           ", for example cpu, cpu:x86-64-v3, host, nvptx:sm_80 or amdgpu:gfx942" + meant);
}
} // namespace flashc
