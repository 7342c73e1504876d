#include "compiler/Jit.h"

#include "llvm/ExecutionEngine/Orc/ExecutionUtils.h"
#include "llvm/ExecutionEngine/Orc/LLJIT.h"
#include "llvm/ExecutionEngine/Orc/ObjectLinkingLayer.h"
#include "llvm/Support/TargetSelect.h"

#include <atomic>
#include <mutex>

using namespace llvm;
using namespace llvm::orc;

namespace flashc {
namespace {
/// The process's linker. It is never destroyed: kernels may still run while static destructors do.
Expected<LLJIT *> getLinker() {
  static std::mutex mutex;
  static LLJIT *linker = nullptr;
  std::lock_guard<std::mutex> lock(mutex);
  if (linker)
    return linker;
  InitializeNativeTarget();
  InitializeNativeTargetAsmPrinter();
  auto jit = LLJITBuilder()
                 // Objects here have no constructors, thread-local variables or exceptions to set up.
                 .setPlatformSetUp(setUpInactivePlatform)
                 .setObjectLinkingLayerCreator([](ExecutionSession &session, const Triple &) {
                   return std::make_unique<ObjectLinkingLayer>(session);
                 })
                 .create();
  if (!jit)
    return jit.takeError();
  linker = jit->release();
  return linker;
}
} // namespace

struct JitKernel::Library {
  LLJIT &linker;
  JITDylib &dylib;
};

Expected<std::unique_ptr<JitKernel>> JitKernel::load(StringRef name, StringRef object) {
  Expected<LLJIT *> linker = getLinker();
  if (!linker)
    return linker.takeError();
  // Two kernels may have one name, so each has a library of its own.
  static std::atomic<uint64_t> count{0};
  auto dylib = (*linker)->createJITDylib((name + "#" + Twine(count++)).str());
  if (!dylib)
    return dylib.takeError();
  std::unique_ptr<JitKernel> kernel(new JitKernel);
  kernel->library.reset(new Library{**linker, *dylib});
  auto process = DynamicLibrarySearchGenerator::GetForCurrentProcess((*linker)->getDataLayout().getGlobalPrefix());
  if (!process)
    return process.takeError();
  dylib->addGenerator(std::move(*process));
  if (llvm::Error error = (*linker)->addObjectFile(*dylib, MemoryBuffer::getMemBufferCopy(object, name)))
    return std::move(error);
  auto find = [&](StringRef suffix) { return (*linker)->lookup(*dylib, (name + suffix).str()); };
  auto query = find("_query");
  if (!query)
    return query.takeError();
  auto size = find("_workspace_size");
  if (!size)
    return size.takeError();
  auto run = find("_run");
  if (!run)
    return run.takeError();
  kernel->query = query->toPtr<flashc_query_fn>();
  kernel->kernel.info = kernel->query(FLASHC_ABI_VERSION);
  kernel->kernel.workspace_size = size->toPtr<flashc_workspace_size_fn>();
  kernel->kernel.run = run->toPtr<flashc_run_fn>();
  if (!kernel->kernel.info)
    return createStringError("kernel '" + name + "' refuses ABI version " + Twine(FLASHC_ABI_VERSION));
  return std::move(kernel);
}

JitKernel::~JitKernel() {
  if (library)
    consumeError(library->linker.getExecutionSession().removeJITDylib(library->dylib));
}
} // namespace flashc
