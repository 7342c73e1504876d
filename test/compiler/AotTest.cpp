/// Packs on disk, and artifacts in the kernel cache.
#include "TestKernels.h"

#include "compiler/Aot.h"
#include "compiler/CachedCompile.h"

#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"

#include <gmock/gmock.h>
#include <sys/stat.h>

using namespace flashc;
using testing::HasSubstr;
namespace fs = llvm::sys::fs;

namespace {
class AotTest : public flashc::test::CompilerTest {
protected:
  AotTest() {
    EXPECT_FALSE(fs::createUniqueDirectory("flashc-aot-test", folder));
    auto module = parse(flashc::test::kScale);
    artifact = *compile(*module, *target("cpu:x86-64"));
  }
  ~AotTest() override { fs::remove_directories(folder); }

  std::string path(llvm::StringRef name) {
    llvm::SmallString<128> full(folder);
    llvm::sys::path::append(full, name);
    return full.str().str();
  }
  std::string errorOf(llvm::StringRef where) {
    llvm::Error error = writePack(artifact, where);
    EXPECT_TRUE(bool(error));
    return llvm::toString(std::move(error));
  }
  std::vector<std::string> list() {
    std::vector<std::string> names;
    std::error_code code;
    for (fs::directory_iterator it(folder, code), end; !code && it != end; it.increment(code))
      names.push_back(llvm::sys::path::filename(it->path()).str());
    return names;
  }

  llvm::SmallString<128> folder;
  Artifact artifact;
};

TEST_F(AotTest, WritesAllOrNothing) {
  ASSERT_FALSE(bool(writePack(artifact, path("pack/"))));
  for (llvm::StringRef file : {"kernel.json", "scale.h", "scale.o", "libscale.a", "libscale.so", "scale.pc",
                               "scaleConfig.cmake", "flashc/runtime.h"})
    EXPECT_TRUE(fs::exists(path("pack/" + file.str()))) << file.str();
  // A pack is replaced; nothing else stays beside it.
  ASSERT_FALSE(bool(writePack(artifact, path("pack"))));
  EXPECT_THAT(list(), testing::ElementsAre("pack"));
  // Missing parents are made.
  EXPECT_FALSE(bool(writePack(artifact, path("a/b/pack"))));
}

TEST_F(AotTest, RefusesFoldersOfOthers) {
  ASSERT_FALSE(bool(writeFile(path("file"), "mine")));
  EXPECT_THAT(errorOf(path("file")), HasSubstr("it is a file, expected a folder"));
  EXPECT_THAT(errorOf(folder), HasSubstr("it holds other files; expected a new folder, an empty one or a pack"));
  EXPECT_EQ(errorOf(""), "expected a folder for the pack, found ''");
  EXPECT_EQ((*llvm::MemoryBuffer::getFile(path("file")))->getBuffer(), "mine");
}

TEST_F(AotTest, ReadOnlyFoldersAreAnError) {
  if (getuid() == 0)
    GTEST_SKIP() << "the superuser may write everywhere; the command line test covers /proc";
  ASSERT_EQ(chmod(folder.c_str(), 0500), 0);
  EXPECT_THAT(errorOf(path("pack")), HasSubstr("cannot create a folder beside"));
  chmod(folder.c_str(), 0700);
}

TEST_F(AotTest, TheCacheAnswersEqualCalls) {
  KernelCache::Options options;
  options.directory = path("cache");
  KernelCache cache(options);
  auto module = parse(flashc::test::kScale);
  auto host = target("cpu:x86-64");
  bool cached = true;
  auto first = compileCached(*module, *host, {}, cache, &cached);
  ASSERT_TRUE(mlir::succeeded(first));
  EXPECT_FALSE(cached);
  auto second = compileCached(*module, *host, {}, cache, &cached);
  ASSERT_TRUE(mlir::succeeded(second));
  EXPECT_TRUE(cached);
  EXPECT_EQ(first->bytes, second->bytes);
  EXPECT_EQ(first->metadata, second->metadata);
  // Anything that changes the object changes the key.
  CompileOptions renamed;
  renamed.name = "other";
  EXPECT_TRUE(mlir::succeeded(compileCached(*module, *host, renamed, cache, &cached)));
  EXPECT_FALSE(cached);
  EXPECT_TRUE(mlir::succeeded(compileCached(*module, *target("cpu:x86-64-v3"), {}, cache, &cached)));
  EXPECT_FALSE(cached);
  // To see the stages is to compile.
  CompileOptions watched;
  watched.onStage = [](llvm::StringRef, llvm::StringRef) {};
  EXPECT_TRUE(mlir::succeeded(compileCached(*module, *host, watched, cache, &cached)));
  EXPECT_FALSE(cached);
}

TEST_F(AotTest, ObjectsAreReproducible) {
  auto module = parse(flashc::test::kScale);
  auto again = compile(*module, *target("cpu:x86-64"));
  ASSERT_TRUE(mlir::succeeded(again));
  EXPECT_EQ(again->bytes, artifact.bytes);
}
} // namespace
