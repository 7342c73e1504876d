/// Micro-tests of single GPU instructions, as data: IR, what goes in, what must come out.
///
/// Expected values come from the vendors' manuals, whose tables are transcribed as formulas where a test is made, and
/// from plain loops; neither the compiler's layouts nor the emulator's code take part. The same data runs on the
/// emulated devices and, with the IR given to the vendor's code generator, on real chips.
#ifndef FLASHC_TEST_EMULATOR_MICROTEST_H
#define FLASHC_TEST_EMULATOR_MICROTEST_H

#include "runtime/include/flashc/runtime.h"

#include <cstdint>
#include <cstring>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

namespace flashc::test {

/// One launch of the kernel `micro(ptr in, ptr out)`; with a tensor map `micro(ptr in, ptr out, map by value)`.
struct MicroTest {
  enum class Compare { Bits, F32, F64 };

  std::string name; ///< a C identifier
  std::string chip; ///< "gfx90a", "sm_90a"
  std::string ir;   ///< LLVM IR with the kernel @micro, for the chip's own triple
  unsigned blocks = 1;
  unsigned cluster = 0; ///< blocks of a cluster, as the IR says, too; 0: it says nothing
  unsigned threads = 0;
  unsigned sharedBytes = 0; ///< dynamic shared memory
  std::vector<uint8_t> input, expected;
  /// Its address is filled in: the begin of the input, or of the output.
  std::optional<flashc_tensor_map> map;
  bool mapsOutput = false;
  Compare compare = Compare::Bits;
  double tolerance = 0; ///< absolute, for F32 and F64

  /// A part of the finding that the launch must end with; the output does not matter then. Empty: it must succeed.
  std::string finding;
};

inline std::ostream &operator<<(std::ostream &stream, const MicroTest &test) {
  return stream << test.name << " on " << test.chip;
}

template <typename T> void put(std::vector<uint8_t> &bytes, size_t offset, T value) {
  if (bytes.size() < offset + sizeof(T))
    bytes.resize(offset + sizeof(T));
  std::memcpy(bytes.data() + offset, &value, sizeof(T));
}
template <typename T> T at(const std::vector<uint8_t> &bytes, size_t offset) {
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof(T));
  return value;
}

/// Where `actual` is not what the test expects, or nothing.
std::string describeDifference(const MicroTest &test, const std::vector<uint8_t> &actual);

/// mma.sync, ldmatrix, shuffles, votes and conversions of an NVIDIA warp.
std::vector<MicroTest> warpTests();
/// Barriers of a block and cp.async.
std::vector<MicroTest> blockTests();
/// Matrix instructions of AMD's chips.
std::vector<MicroTest> amdMatrixTests();
/// Cross-lane and odd scalar instructions of AMD's chips, buffer accesses.
std::vector<MicroTest> amdLaneTests();
/// wgmma of sm_90a.
std::vector<MicroTest> wgmmaTests();
/// Tensor copies, mbarriers and what goes with them, of sm_90a.
std::vector<MicroTest> tensorCopyTests();
/// Clusters: their barrier, shared memory and mbarriers of other blocks, copies to several blocks.
std::vector<MicroTest> clusterTests();
/// wgmma and copies together, as a kernel uses them.
std::vector<MicroTest> pipelineTests();

} // namespace flashc::test

#endif // FLASHC_TEST_EMULATOR_MICROTEST_H
