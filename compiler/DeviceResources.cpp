#include "compiler/DeviceResources.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"

using namespace llvm;

namespace flashc {

const FunctionResources *DeviceResources::find(StringRef name) const {
  auto found = find_if(functions, [&](const FunctionResources &function) { return function.name == name; });
  return found == functions.end() ? nullptr : &*found;
}

/// The number before `unit` in "168 registers, 0 bytes spill stores"; nothing changes where there is none.
static void readBefore(StringRef line, StringRef unit, int64_t &value) {
  size_t at = line.find(unit);
  if (at == StringRef::npos)
    return;
  StringRef digits = line.take_front(at).rtrim();
  digits = digits.drop_front(digits.find_last_not_of("0123456789") + 1);
  int64_t number;
  if (!digits.getAsInteger(10, number))
    value = number;
}

std::vector<FunctionResources> parsePtxasLog(StringRef log) {
  std::vector<FunctionResources> functions;
  for (StringRef line : split(log, '\n')) {
    size_t at = line.find("Compiling entry function '");
    if (at != StringRef::npos)
      functions.emplace_back().name = line.drop_front(at).split('\'').second.split('\'').first.str();
    if (functions.empty())
      continue;
    FunctionResources &function = functions.back();
    readBefore(line, " bytes stack frame", function.localBytes);
    readBefore(line, " bytes spill stores", function.spilledBytes);
    readBefore(line, " registers", function.registers);
  }
  return functions;
}

std::vector<FunctionResources> parseAmdMetadata(StringRef assembly) {
  std::vector<FunctionResources> functions;
  size_t begin = assembly.find("amdhsa.kernels:");
  if (begin == StringRef::npos)
    return functions;
  StringRef text = assembly.drop_front(begin);
  text = text.take_front(text.find(".end_amdgpu_metadata"));
  for (StringRef line : split(text, '\n')) {
    // A kernel's own members are indented by four; those of its arguments by more.
    if (line.starts_with("  - "))
      functions.emplace_back();
    else if (!line.starts_with("    .") || functions.empty())
      continue;
    FunctionResources &function = functions.back();
    auto [key, value] = line.drop_front(4).split(':');
    value = value.trim();
    int64_t number = 0;
    if (key == ".name")
      function.name = value.str();
    else if (value.getAsInteger(10, number))
      continue;
    else if (key == ".vgpr_count")
      function.registers = number;
    else if (key == ".agpr_count")
      function.accumulators = number;
    else if (key == ".sgpr_count")
      function.scalarRegisters = number;
    else if (key == ".vgpr_spill_count")
      function.spilledBytes = 4 * number;
    else if (key == ".private_segment_fixed_size")
      function.localBytes = number;
  }
  return functions;
}
} // namespace flashc
