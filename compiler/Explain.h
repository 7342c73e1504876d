/// The module at each stage as a page to read.
#ifndef FLASHC_COMPILER_EXPLAIN_H
#define FLASHC_COMPILER_EXPLAIN_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"

#include <string>
#include <vector>

namespace flashc {

/// Collects what CompileOptions::onStage is given.
struct StageTexts {
  struct Entry {
    std::string stage, text;
  };
  std::vector<Entry> entries;

  void add(llvm::StringRef stage, llvm::StringRef text) { entries.push_back({stage.str(), text.str()}); }
};

/// One sentence on a stage of compile(): "tiled" -> "attention as a parallel loop over ..."; "" when there is none.
llvm::StringRef describeStage(llvm::StringRef stage);

/// A self-contained HTML page: a tab for each stage, MLIR's words coloured, the line counts compared.
std::string explainAsHtml(const StageTexts &stages, llvm::StringRef title);

/// The same as plain text, for a terminal.
std::string explainAsText(const StageTexts &stages);

} // namespace flashc

#endif // FLASHC_COMPILER_EXPLAIN_H
