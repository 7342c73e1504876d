//===- Error.cpp - status texts and the thread's last message ---------------===//

#include "runtime/Error.h"

#include <cstdarg>
#include <cstdio>

// A plain array: reporting an error must not allocate, and a thread that ends has nothing to destroy.
static thread_local char lastMessage[1024];

flashc_status flashc::setLastError(flashc_status status, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(lastMessage, sizeof(lastMessage), format, arguments);
  va_end(arguments);
  return status;
}

flashc_status flashc::setLastError(const Error &error) {
  return setLastError(error.status, "%s", error.message.c_str());
}

extern "C" {

uint32_t flashc_runtime_abi_version(void) { return FLASHC_ABI_VERSION; }

const char *flashc_last_error(void) { return lastMessage; }

const char *flashc_status_string(flashc_status status) {
  switch (status) {
  case FLASHC_OK:
    return "success";
  case FLASHC_ERROR_ABI:
    return "another ABI version";
  case FLASHC_ERROR_OPERANDS:
    return "wrong number of tensors";
  case FLASHC_ERROR_DTYPE:
    return "wrong element type";
  case FLASHC_ERROR_RANK:
    return "wrong rank";
  case FLASHC_ERROR_SHAPE:
    return "wrong size";
  case FLASHC_ERROR_NULL:
    return "null data pointer";
  case FLASHC_ERROR_WORKSPACE:
    return "workspace too small or not aligned to 64 bytes";
  case FLASHC_ERROR_TARGET:
    return "this machine lacks what the kernel needs";
  case FLASHC_ERROR_IO:
    return "a file could not be read, written or trusted";
  case FLASHC_ERROR_FORMAT:
    return "damaged data";
  case FLASHC_ERROR_MEMORY:
    return "out of memory";
  case FLASHC_ERROR_INVALID:
    return "argument out of its domain";
  case FLASHC_ERROR_DEVICE:
    return "the device could not load or run the kernel";
  }
  return "unknown status";
}
}
