#include "compiler/InputText.h"

#include "mlir/Bytecode/BytecodeReader.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Support/FileUtilities.h"
#include "llvm/Support/SourceMgr.h"

using namespace mlir;

namespace flashc {

LogicalResult checkInputText(llvm::MemoryBufferRef buffer, MLIRContext *context, bool acceptBytecode) {
  StringRef text = buffer.getBuffer(), name = buffer.getBufferIdentifier();
  auto at = [&](unsigned line, size_t column) {
    return FileLineColLoc::get(context, name, line, static_cast<unsigned>(column));
  };
  if (isBytecode(buffer)) {
    if (acceptBytecode)
      return success();
    return emitError(at(1, 1)) << "expected MLIR as text, found bytecode, which is read unchecked; give it only if you "
                                  "trust where it comes from (flash-opt --accept-bytecode)";
  }
  unsigned depth = 0, line = 1;
  size_t lineBegin = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    switch (text[i]) {
    case '\n':
      ++line;
      lineBegin = i + 1;
      break;
    case '/':
      if (i + 1 < text.size() && text[i + 1] == '/')
        i = std::min(text.find('\n', i), text.size()) - 1;
      break;
    case '"':
      for (++i; i < text.size() && text[i] != '"' && text[i] != '\n'; ++i)
        i += text[i] == '\\';
      break;
    case '(':
    case '[':
    case '{':
    case '<':
      if (++depth > kDeepestNesting)
        return emitError(at(line, i - lineBegin + 1))
               << "nested too deeply: expected at most " << kDeepestNesting << " open brackets, found more";
      break;
    case '>':
      // Not a bracket in "->" and ">=".
      if ((i > 0 && text[i - 1] == '-') || (i + 1 < text.size() && text[i + 1] == '='))
        break;
      [[fallthrough]];
    case ')':
    case ']':
    case '}':
      depth -= depth > 0;
      break;
    }
  }
  return success();
}

static FailureOr<OwningOpRef<ModuleOp>> parseBuffer(std::unique_ptr<llvm::MemoryBuffer> buffer, MLIRContext *context) {
  if (failed(checkInputText(*buffer, context)))
    return failure();
  llvm::SourceMgr sources;
  sources.AddNewSourceBuffer(std::move(buffer), llvm::SMLoc());
  OwningOpRef<ModuleOp> module = parseSourceFile<ModuleOp>(sources, context);
  if (!module)
    return failure();
  return std::move(module);
}

FailureOr<OwningOpRef<ModuleOp>> readModule(StringRef path, MLIRContext *context) {
  std::string message;
  std::unique_ptr<llvm::MemoryBuffer> buffer = openInputFile(path, &message);
  if (!buffer)
    return emitError(FileLineColLoc::get(context, path, 0, 0)) << message;
  return parseBuffer(std::move(buffer), context);
}

FailureOr<OwningOpRef<ModuleOp>> parseModule(StringRef text, StringRef name, MLIRContext *context) {
  return parseBuffer(llvm::MemoryBuffer::getMemBufferCopy(text, name), context);
}
} // namespace flashc
