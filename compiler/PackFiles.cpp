#include "compiler/PackFiles.h"

#include "compiler/Aot.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/raw_ostream.h"

using namespace llvm;

namespace flashc {
namespace {
/// Written by the build from the header itself.
constexpr char kRuntimeHeader[] = {
#include "compiler/RuntimeHeader.inc"
    , 0};

/// Every "@NAME@" replaced.
std::string fill(StringRef text, StringRef name) {
  std::string result;
  while (true) {
    auto [before, after] = text.split("@NAME@");
    result += before;
    if (before.size() == text.size())
      return result;
    result += name;
    text = after;
  }
}
} // namespace

StringRef getRuntimeHeader() { return StringRef(kRuntimeHeader, sizeof(kRuntimeHeader) - 1); }

std::string getCMakeConfig(StringRef name) {
  return fill(R"(# find_package(@NAME@) -> @NAME@::@NAME@ (static) and @NAME@::@NAME@_shared
if(NOT TARGET @NAME@::@NAME@)
  add_library(@NAME@::@NAME@ STATIC IMPORTED)
  set_target_properties(@NAME@::@NAME@ PROPERTIES
    IMPORTED_LOCATION "${CMAKE_CURRENT_LIST_DIR}/lib@NAME@.a"
    INTERFACE_INCLUDE_DIRECTORIES "${CMAKE_CURRENT_LIST_DIR}")
  add_library(@NAME@::@NAME@_shared SHARED IMPORTED)
  set_target_properties(@NAME@::@NAME@_shared PROPERTIES
    IMPORTED_LOCATION "${CMAKE_CURRENT_LIST_DIR}/lib@NAME@.so"
    IMPORTED_SONAME "lib@NAME@.so"
    INTERFACE_INCLUDE_DIRECTORIES "${CMAKE_CURRENT_LIST_DIR}")
endif()
)",
              name);
}

std::string getPkgConfig(StringRef name) {
  return fill(R"(prefix=${pcfiledir}

Name: @NAME@
Description: An attention kernel compiled by flashc
Version: 1
Cflags: -I${prefix}
Libs: ${prefix}/lib@NAME@.a
)",
              name);
}

std::string getPackHeader(const Artifact &artifact) {
  std::string operands;
  raw_string_ostream os(operands);
  if (Expected<json::Value> metadata = json::parse(artifact.metadata)) {
    unsigned index = 0;
    if (const json::Object *object = metadata->getAsObject())
      if (const json::Array *list = object->getArray("operands"))
        for (const json::Value &value : *list) {
          const json::Object &operand = *value.getAsObject();
          os << " *   " << index++ << "  " << operand.getString("name").value_or("") << "  "
             << operand.getString("dtype").value_or("") << " [";
          ListSeparator comma;
          for (const json::Value &size : *operand.getArray("size")) {
            os << comma;
            if (auto text = size.getAsString())
              os << *text;
            else
              os << size.getAsInteger().value_or(0);
          }
          os << "]" << (operand.getBoolean("output").value_or(false) ? ", written" : "") << "\n";
        }
  } else {
    consumeError(metadata.takeError());
  }
  std::string text = fill(
      R"(/* The kernel @NAME@, compiled by flashc. flashc/runtime.h says what the functions take and return. Operands:
 *
@OPERANDS@ */
#ifndef FLASHC_KERNEL_@NAME@_H
#define FLASHC_KERNEL_@NAME@_H

#include "flashc/runtime.h"

#ifdef __cplusplus
extern "C" {
#endif

const flashc_kernel_info *@NAME@_query(uint32_t max_abi);
size_t @NAME@_workspace_size(const flashc_args *args);
flashc_status @NAME@_run(const flashc_args *args, void *stream, void *workspace, size_t size);

#ifdef __cplusplus
}
#endif
#endif
)",
      artifact.name);
  return text.replace(text.find("@OPERANDS@"), StringRef("@OPERANDS@").size(), operands);
}
} // namespace flashc
