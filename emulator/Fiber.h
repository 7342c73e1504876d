//===- Fiber.h - stacks, and jumps between them --------------------------------===//
//
// Boost.Context's two primitives, without boost::context::fiber on top: that unwinds the stack of a fiber which is
// dropped before its end, and code made at run time has no tables to unwind by. A dropped fiber is just its stack here.
//
//===----------------------------------------------------------------------===//
#ifndef FLASHC_EMULATOR_FIBER_H
#define FLASHC_EMULATOR_FIBER_H

#include <boost/context/detail/fcontext.hpp>

#include <cstddef>
#include <vector>

namespace flashc::emulator {

using FiberContext = boost::context::detail::fcontext_t;
using FiberTransfer = boost::context::detail::transfer_t;
using FiberEntry = void (*)(FiberTransfer);

inline FiberTransfer jump(FiberContext to, void *data) { return boost::context::detail::jump_fcontext(to, data); }

/// Stacks of one size, kept for the next block. A guard page lies below each.
class StackPool {
public:
  explicit StackPool(size_t bytes) : bytes(bytes) {}
  ~StackPool();
  StackPool(const StackPool &) = delete;
  StackPool &operator=(const StackPool &) = delete;

  size_t size() const { return bytes; }
  /// The i-th stack's lowest address, null when the system has no memory.
  char *get(size_t i);
  /// A context that calls `entry` on that stack when first jumped to.
  FiberContext make(char *stack, FiberEntry entry) const {
    return boost::context::detail::make_fcontext(stack + bytes, bytes, entry);
  }

private:
  size_t bytes;
  std::vector<char *> stacks;
};

} // namespace flashc::emulator

#endif // FLASHC_EMULATOR_FIBER_H
