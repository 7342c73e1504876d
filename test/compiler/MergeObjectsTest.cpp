/// Objects merged without a linker: what is seen of them, what they need of each other, and what is refused.
#include "compiler/MergeObjects.h"
#include "TestKernels.h"
#include "compiler/CodeParts.h"
#include "compiler/LlvmBackend.h"
#include "compiler/TargetRegistry.h"

#include "llvm/AsmParser/Parser.h"
#include "llvm/IR/LLVMContext.h"
#include "llvm/Object/ELFObjectFile.h"
#include "llvm/Support/SourceMgr.h"
#include "llvm/Target/TargetMachine.h"

#include <atomic>
#include <map>

using namespace flashc;

namespace {

std::string assemble(llvm::StringRef text, llvm::StringRef targetName = "cpu:x86-64") {
  auto target = llvm::cantFail(parseTarget(targetName));
  llvm::LLVMContext context;
  llvm::SMDiagnostic diagnostic;
  std::unique_ptr<llvm::Module> module = llvm::parseAssemblyString(text, diagnostic, context);
  EXPECT_TRUE(module) << diagnostic.getMessage().str();
  auto machine = llvm::cantFail(target->createTargetMachine(target->getVariants().front(), 2));
  module->setTargetTriple(target->getTriple());
  module->setDataLayout(machine->createDataLayout());
  module->setPICLevel(llvm::PICLevel::BigPIC);
  return llvm::cantFail(emitCode(*module, *target, 2, /*assembly=*/false));
}

/// The functions and undefined symbols of an object: 'L' local, 'G' global, 'U' undefined.
std::map<std::string, char> symbolsOf(const std::string &object) {
  auto file = llvm::cantFail(llvm::object::ObjectFile::createELFObjectFile(llvm::MemoryBufferRef(object, "merged")));
  std::map<std::string, char> symbols;
  for (const llvm::object::SymbolRef &symbol : file->symbols()) {
    uint32_t flags = llvm::cantFail(symbol.getFlags());
    auto type = llvm::cantFail(symbol.getType());
    bool isUndefined = flags & llvm::object::SymbolRef::SF_Undefined;
    if (type == llvm::object::SymbolRef::ST_Function || (isUndefined && !llvm::cantFail(symbol.getName()).empty()))
      symbols[llvm::cantFail(symbol.getName()).str()] = isUndefined                                  ? 'U'
                                                        : flags & llvm::object::SymbolRef::SF_Global ? 'G'
                                                                                                     : 'L';
  }
  return symbols;
}

std::string refuse(std::vector<std::string> objects) {
  auto merged = mergeObjects(objects);
  EXPECT_FALSE(static_cast<bool>(merged));
  return merged ? "" : llvm::toString(merged.takeError());
}

constexpr const char *kUser = R"(
declare hidden i64 @part(i64)
declare ptr @memset(ptr, i32, i64)
define i64 @seen(ptr %p) {
  call ptr @memset(ptr %p, i32 0, i64 100)
  %x = call i64 @part(i64 3)
  ret i64 %x
}
)";
constexpr const char *kPart = R"(
define hidden i64 @part(i64 %x) {
  %y = call i64 @own(i64 %x)
  ret i64 %y
}
define internal i64 @own(i64 %x) noinline {
  %y = mul i64 %x, 5
  ret i64 %y
}
)";

TEST(MergeObjectsTest, HidesWhatPartsShare) {
  for (bool userFirst : {true, false}) {
    std::vector<std::string> objects = {assemble(kUser), assemble(kPart)};
    if (!userFirst)
      std::swap(objects[0], objects[1]);
    std::string merged = llvm::cantFail(mergeObjects(objects));
    EXPECT_EQ(symbolsOf(merged),
              (std::map<std::string, char>{{"seen", 'G'}, {"part", 'L'}, {"own", 'L'}, {"memset", 'U'}}));
  }
}

TEST(MergeObjectsTest, KeepsFunctionsOfOneNameApart) {
  std::string other = "define i64 @other(i64 %x) {\n %y = call i64 @own(i64 %x)\n ret i64 %y\n}\n"
                      "define internal i64 @own(i64 %x) noinline {\n %y = mul i64 %x, 7\n ret i64 %y\n}\n";
  std::string merged = llvm::cantFail(mergeObjects({assemble(kUser), assemble(kPart), assemble(other)}));
  auto file = llvm::cantFail(llvm::object::ObjectFile::createELFObjectFile(llvm::MemoryBufferRef(merged, "merged")));
  size_t own = 0;
  for (const llvm::object::SymbolRef &symbol : file->symbols())
    own += llvm::cantFail(symbol.getName()) == "own";
  EXPECT_EQ(own, 2u);
}

TEST(MergeObjectsTest, LeavesASingleObjectAlone) {
  std::string object = assemble(kPart);
  EXPECT_EQ(llvm::cantFail(mergeObjects(object)), object);
}

TEST(MergeObjectsTest, RefusesOtherFiles) {
  std::string good = assemble(kPart);
  EXPECT_NE(refuse({good, "no object"}).find("object 1: "), std::string::npos);
  EXPECT_NE(refuse({good, assemble(kPart, "cpu:aarch64")}).find("expected an object for machine 62, got one for 183"),
            std::string::npos);
  EXPECT_NE(refuse({good, good}).find("symbol 'part' is defined twice"), std::string::npos);
}

class CodePartsTest : public flashc::test::CompilerTest {};

TEST_F(CodePartsTest, TheSameBytesInEveryRun) {
  auto module = parse(flashc::test::kScale);
  ASSERT_TRUE(module) << messages;
  auto once = compile(*module, *target("cpu"));
  auto again = compile(*module, *target("cpu"));
  ASSERT_TRUE(mlir::succeeded(once) && mlir::succeeded(again)) << messages;
  EXPECT_EQ(once->bytes, again->bytes);
}

TEST(ParallelForTest, CallsEachOnce) {
  std::atomic<int> calls[100] = {};
  parallelFor(100, [&](size_t i) { ++calls[i]; });
  for (std::atomic<int> &count : calls)
    EXPECT_EQ(count, 1);
  parallelFor(0, [&](size_t) { FAIL(); });
}
} // namespace
