//===- DLPackExchange.h - DLPack's function table of a framework -----------===//
//
// DLPack 1.2 lets a tensor type carry a table of C functions under `__dlpack_c_exchange_api__`, a capsule called
// "dlpack_exchange_api": what `__dlpack__` does through Python objects, in a tenth of the time. The declarations follow
// the table's published layout; third_party/dlpack, at version 1.1, is older than it.
//
//===----------------------------------------------------------------------===//
#ifndef FLASHC_PYTHON_DLPACKEXCHANGE_H
#define FLASHC_PYTHON_DLPACKEXCHANGE_H

#include "python/third_party/dlpack/dlpack.h"

namespace flashc::python {

/// What stays the same in every version of the table. `previous` leads to a table of an older major version, or is
/// null.
struct ExchangeHeader {
  DLPackVersion version;
  const ExchangeHeader *previous;
};

/// Reports an allocator's failure: `kind` names a Python exception.
using ExchangeSetError = void (*)(void *context, const char *kind, const char *message);

/// The table of major version 1. Functions return 0, or -1 with a Python error set (the allocator calls setError).
struct ExchangeTable {
  ExchangeHeader header;
  /// Allocates an uninitialised tensor with the prototype's device, element type and shape.
  int (*allocate)(DLTensor *prototype, DLManagedTensorVersioned **out, void *errorContext, ExchangeSetError setError);
  /// Makes a managed tensor that keeps the object's memory.
  int (*fromObject)(void *object, DLManagedTensorVersioned **out);
  /// Turns a managed tensor into an object and takes it over.
  int (*toObject)(DLManagedTensorVersioned *tensor, void **out);
  /// Describes the object's memory without keeping it; may be null. Shape and strides live as long as the object.
  int (*viewObject)(void *object, DLTensor *out);
  /// The stream on which the framework works.
  int (*currentStream)(DLDeviceType device, int32_t id, void **out);
};

} // namespace flashc::python

#endif // FLASHC_PYTHON_DLPACKEXCHANGE_H
