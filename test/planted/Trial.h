//===- Trial.h - a kernel's problem in memory that shows mistakes --------------===//
#ifndef FLASHC_TEST_PLANTED_TRIAL_H
#define FLASHC_TEST_PLANTED_TRIAL_H

#include "emulator/EmulatedDevice.h"
#include "runtime/KernelCheck.h"
#include "runtime/Pack.h"

#include <memory>
#include <set>
#include <string>
#include <vector>

namespace flashc::test {

/// The operands of one call. What a kernel has no business with is NaN: keys and values that no query attends, gaps
/// between rows, and outputs before they are written; what it leaves beside its outputs is looked at.
class Trial {
public:
  /// `text`: sizes as ProblemSizes::parse reads them, then words after colons, how the operands lie:
  ///   gaps     rows are 16 bytes apart; every row begins at a multiple of 16 bytes
  ///   odd      rows are 3 elements apart and begin anywhere
  ///   columns  elements of a row are not next to each other
  ///   spread   elements lie beside gaps of their size, rows at multiples of 16 bytes
  ///   apart    heads are 16 bytes apart, and not where the next row of the one before would be
  ///   shared   all batches are one in memory, at a stride of zero
  ///   queries  the six above are of the queries alone
  ///   keys     they are of keys and values alone
  ///   last     all queries are of the last of the documents that segments divide keys into
  ///   empty    no keys at all
  ///   inf      each column of the values has infinity at one of the last keys
  ///   corner   the values have infinity in the last column of the last key alone
  static Result<std::unique_ptr<Trial>> create(const LoadedPack &pack, const std::string &text);

  const std::string &name() const { return text; }
  /// One call of the kernel; "" when all is right.
  std::string run(EmulatedDevice &device, const LoadedPack &pack);

private:
  struct Operand {
    flashc_tensor base{}, placed{};
    std::vector<char> memory;
    bool output = false;
  };
  void place(Operand &operand, const std::set<std::string> &how);
  std::string collect(Operand &operand);

  std::string text;
  std::unique_ptr<KernelProblem> problem;
  std::unique_ptr<KernelCheck> check;
  std::vector<Operand> operands;
  std::vector<flashc_tensor> tensors;
  flashc_args args{};
};

} // namespace flashc::test

#endif // FLASHC_TEST_PLANTED_TRIAL_H
