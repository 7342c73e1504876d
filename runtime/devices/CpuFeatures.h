//===- CpuFeatures.h - which instructions this machine runs -------------------===//
#ifndef FLASHC_RUNTIME_DEVICES_CPUFEATURES_H
#define FLASHC_RUNTIME_DEVICES_CPUFEATURES_H

#include <string>

namespace flashc {

/// What the processor says it has and the system lets a process use.
struct CpuFeatures {
  bool avx2 = false;   ///< with FMA
  bool avx512 = false; ///< F, VL, BW and DQ
  bool avx512Bf16 = false;
  bool avx512Fp16 = false;
  bool amxBf16 = false; ///< with the system's permission to use tiles
  bool neon = false;
  bool neonBf16 = false;
  bool neonFp16 = false;
  /// "AuthenticAMD 25/17": maker, family and model; "" where the processor does not say.
  std::string model;

  /// The names of what is there, from the least to the most demanding: "avx2 avx512 avx512-bf16"; "" for none.
  std::string names() const;
};

/// Asked once a process. Asks the system for permission to use AMX tiles where there are any: a thread that uses them
/// has to be started after that or inherit it.
const CpuFeatures &hostCpuFeatures();

} // namespace flashc

#endif // FLASHC_RUNTIME_DEVICES_CPUFEATURES_H
