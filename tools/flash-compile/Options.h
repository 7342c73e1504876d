/// The command line of flash-compile.
#ifndef FLASHC_TOOLS_FLASHCOMPILE_OPTIONS_H
#define FLASHC_TOOLS_FLASHCOMPILE_OPTIONS_H

#include "compiler/Compiler.h"
#include "compiler/KernelSpec.h"
#include "runtime/KernelProblem.h"

#include "llvm/Support/Error.h"

#include <optional>
#include <string>
#include <vector>

namespace flashc {

/// How a GPU's kernel is reported on.
enum class ReportForm { None, Text, Json };

/// What is written.
enum class Emit { Pack, Object, Binary, Assembly, LlvmIr, Mlir };

struct ToolOptions {
  /// A module to compile; "" when `spec` says what to compile.
  std::string input;
  KernelSpec spec;
  CompileOptions compile;
  /// One or, for a fat pack, several in order of preference.
  std::vector<std::string> targets;
  std::string output;
  /// Where the page of stages goes; "" for nowhere.
  std::string explain;
  Emit emit = Emit::Pack;
  /// Printed on standard output.
  ReportForm report = ReportForm::None;
  /// Whether to say what each phase of compiling took.
  bool time = false;
  /// Sizes whose tuned tiles are taken from the store; nothing for none.
  std::optional<ProblemSizes> tuneFor;
};

/// Parses the command line; an error says what is wrong with it. Ends the process for --help and --version, as tools
/// do.
llvm::Expected<ToolOptions> parseToolOptions(int argc, char **argv);

} // namespace flashc

#endif // FLASHC_TOOLS_FLASHCOMPILE_OPTIONS_H
