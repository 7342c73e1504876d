/// Pieces of NVPTX IR with wgmma.
#ifndef FLASHC_TEST_EMULATOR_WGMMATEXT_H
#define FLASHC_TEST_EMULATOR_WGMMATEXT_H

#include "test/emulator/NvptxText.h"

#include <cstdint>

namespace flashc::test {

/// What a wgmma statement says besides its operands.
struct WgmmaForm {
  unsigned columns = 64;
  bool f16 = false, registersA = false, accumulate = true;
  int scaleA = 1, scaleB = 1;
  bool transposeA = false, transposeB = false;
};

inline std::string repeated(unsigned count, const std::string &separator, const std::string &prefix,
                            unsigned from = 0) {
  std::string text;
  for (unsigned i = 0; i < count; ++i)
    text += (i ? separator : "") + prefix + number(from + i);
  return text;
}
inline std::string alike(unsigned count, const std::string &separator, const std::string &what) {
  std::string text;
  for (unsigned i = 0; i < count; ++i)
    text += (i ? separator : "") + what;
  return text;
}

/// wgmma.mma_async as MLIR's NVVM dialect writes it. Its accumulators are %<in>0 ..., its results %<out>.0 ...; A is
/// the descriptor `a`, or the registers %<a>0 to %<a>3.
inline std::string wgmmaStatement(const WgmmaForm &form, const std::string &out, const std::string &in,
                                  const std::string &a, const std::string &b) {
  const unsigned n = form.columns / 2, inputA = 2 * n, inputB = inputA + (form.registersA ? 4 : 1);
  const unsigned scale = inputB + 1, immediate = scale + 1;
  const std::string type = form.f16 ? "f16" : "bf16", registers = alike(n, ", ", "float");
  std::string text = "{\\0A.reg .pred p;\\0Asetp.ne.b32 p, $" + number(scale) +
                     ", 0;\\0Awgmma.mma_async.sync.aligned.m64n" + number(form.columns) + "k16.f32." + type + "." +
                     type + " {" + repeated(n, ", ", "$") + "}, " +
                     (form.registersA ? "{" + repeated(4, ", ", "$", inputA) + "}" : "$" + number(inputA)) + ", $" +
                     number(inputB) + ", p, " + repeated(form.registersA ? 3 : 4, ", ", "$", immediate) + ";\\0A}\\0A";
  std::string constraints =
      alike(n, ",", "=f") + "," + repeated(n, ",", "") + (form.registersA ? ",r,r,r,r,l,n,n,n,n" : ",l,l,n,n,n,n,n");
  std::string arguments = repeated(n, ", ", "float %" + in) +
                          (form.registersA ? ", " + repeated(4, ", ", "i32 %" + a) : ", i64 %" + a) + ", i64 %" + b +
                          ", i32 " + number(form.accumulate) + ", i32 " + number(form.scaleA) + ", i32 " +
                          number(form.scaleB) + (form.registersA ? "" : ", i32 " + number(form.transposeA)) + ", i32 " +
                          number(form.transposeB);
  std::string ir = "  %" + out + " = call { " + registers + " } asm sideeffect \"" + text + "\", \"" + constraints +
                   "\"(" + arguments + ")\n";
  for (unsigned i = 0; i < n; ++i)
    ir += "  %" + out + "." + number(i) + " = extractvalue { " + registers + " } %" + out + ", " + number(i) + "\n";
  return ir;
}

/// A matrix descriptor (PTX ISA 9.7.15.5.1.2.2) as the value %<name>: the begin is the i32 value `address`.
inline std::string wgmmaDescriptor(const std::string &name, const std::string &address, unsigned leading,
                                   unsigned stride, unsigned swizzle) {
  const uint64_t mode = swizzle == 128 ? 1 : swizzle == 64 ? 2 : swizzle == 32 ? 3 : 0;
  const uint64_t bits = uint64_t(leading >> 4) << 16 | uint64_t(stride >> 4) << 32 | mode << 62;
  return "  %" + name + ".low = and i32 " + address + ", 262143\n  %" + name + ".shift = lshr i32 %" + name +
         ".low, 4\n  %" + name + ".wide = zext i32 %" + name + ".shift to i64\n  %" + name + " = or i64 %" + name +
         ".wide, " + std::to_string(int64_t(bits)) + "\n";
}

} // namespace flashc::test

#endif // FLASHC_TEST_EMULATOR_WGMMATEXT_H
