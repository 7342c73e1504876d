#include "compiler/CodeParts.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/SymbolTable.h"
#include "llvm/ADT/SetVector.h"
#include "llvm/Support/Threading.h"

#include <atomic>
#include <pthread.h>

using namespace mlir;

namespace flashc {
namespace {

bool isTask(LLVM::LLVMFuncOp function) {
  auto attributes = function.getPassthroughAttr();
  return attributes && !function.isExternal() && llvm::any_of(attributes, [](Attribute attribute) {
           auto name = dyn_cast<StringAttr>(attribute);
           return name && name == "flashc-task";
         });
}

/// What `op` uses of the module that `symbols` are of, and what that uses.
llvm::SetVector<Operation *> getUsed(Operation *op, const SymbolTable &symbols) {
  llvm::SetVector<Operation *> used;
  auto addUsedBy = [&](Operation *user) {
    auto uses = SymbolTable::getSymbolUses(user);
    if (!uses)
      return;
    for (const SymbolTable::SymbolUse &use : *uses)
      if (Operation *symbol = symbols.lookup(use.getSymbolRef().getRootReference()); symbol && symbol != op)
        used.insert(symbol);
  };
  addUsedBy(op);
  for (size_t i = 0; i < used.size(); ++i)
    addUsedBy(used[i]);
  return used;
}

/// Lets other objects see a function or a global variable, until all are merged.
template <typename Op> void share(Op op) {
  op.setLinkage(LLVM::Linkage::External);
  op.setVisibility_(LLVM::Visibility::Hidden);
  op.setDsoLocal(true);
}
} // namespace

KernelTasks takeTasks(ModuleOp module, unsigned variant) {
  SymbolTable symbols(module);
  KernelTasks result;
  SmallVector<LLVM::LLVMFuncOp> tasks =
      llvm::to_vector(llvm::make_filter_range(module.getOps<LLVM::LLVMFuncOp>(), isTask));
  auto renamed = [&](Operation *op) {
    std::string name = (SymbolTable::getSymbolName(op).getValue() + "." + Twine(variant)).str();
    return succeeded(symbols.rename(op, name)) ? name : std::string();
  };
  for (LLVM::LLVMFuncOp task : tasks) {
    llvm::SetVector<Operation *> used = getUsed(task, symbols);
    SmallVector<LLVM::GlobalOp> globals;
    for (Operation *op : used)
      if (auto global = dyn_cast<LLVM::GlobalOp>(op))
        globals.push_back(global);
    for (LLVM::GlobalOp global : globals) {
      if (global.getVisibility_() == LLVM::Visibility::Hidden)
        continue; // another task uses it, too
      if (std::string name = renamed(global); !name.empty()) {
        share(global);
        result.shared.push_back(std::move(name));
      }
    }
    std::string name = renamed(task);
    if (name.empty())
      continue; // it stays where it is: only time depends on that
    share(task);
    OwningOpRef<ModuleOp> own = ModuleOp::create(module.getLoc());
    (*own)->setAttrs(module->getAttrs());
    for (Operation *op : used) {
      Operation *copy = op->clone();
      own->push_back(copy);
      // A variable exists once, however large it is; functions are small.
      if (auto global = dyn_cast<LLVM::GlobalOp>(copy); global) {
        global.removeValueAttr();
        global.getInitializerRegion().getBlocks().clear();
      }
    }
    task->getBlock()->getOperations().insert(task->getIterator(), task->cloneWithoutRegions());
    task->remove();
    own->push_back(task);
    result.tasks.push_back({std::move(own), std::move(name)});
  }
  return result;
}

void parallelFor(size_t count, llvm::function_ref<void(size_t)> work) {
  struct Shared {
    llvm::function_ref<void(size_t)> work;
    size_t count;
    std::atomic<size_t> next{0};
    void run() {
      for (size_t i = next++; i < count; i = next++)
        work(i);
    }
  } shared{work, count};
  std::vector<pthread_t> threads;
  size_t wanted = std::min<size_t>(count, llvm::hardware_concurrency().compute_thread_count());
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  // LLVM's passes recurse; a system's default may be too small for them.
  pthread_attr_setstacksize(&attributes, 8 << 20);
  while (threads.size() + 1 < wanted) {
    pthread_t thread;
    auto run = [](void *shared) -> void * {
      static_cast<Shared *>(shared)->run();
      return nullptr;
    };
    if (pthread_create(&thread, &attributes, run, &shared) != 0)
      break;
    threads.push_back(thread);
  }
  pthread_attr_destroy(&attributes);
  shared.run();
  for (pthread_t thread : threads)
    pthread_join(thread, nullptr);
}
} // namespace flashc
