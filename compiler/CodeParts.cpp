#include "compiler/CodeParts.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/SymbolTable.h"
#include "mlir/Interfaces/FunctionInterfaces.h"
#include "llvm/ADT/SetVector.h"
#include "llvm/ADT/SmallPtrSet.h"
#include "llvm/Support/Threading.h"

#include <atomic>
#include <pthread.h>

using namespace mlir;

namespace flashc {
namespace {

bool isTask(FunctionOpInterface function) {
  auto attributes = function->getAttrOfType<ArrayAttr>("passthrough");
  return attributes && !function.isExternal() && llvm::any_of(attributes, [](Attribute attribute) {
           auto name = dyn_cast<StringAttr>(attribute);
           return name && name == "flashc-task";
         });
}

bool isVariable(Operation *op) { return isa<LLVM::GlobalOp, memref::GlobalOp>(op); }

/// Makes a copy of a variable's definition a declaration. A private one would be made a definition again.
void dropValue(Operation *op) {
  if (auto global = dyn_cast<memref::GlobalOp>(op)) {
    global.removeInitialValueAttr();
    SymbolTable::setSymbolVisibility(op, SymbolTable::Visibility::Public);
  } else if (auto global = dyn_cast<LLVM::GlobalOp>(op)) {
    global.removeValueAttr();
    global.getInitializerRegion().getBlocks().clear();
    global.setLinkage(LLVM::Linkage::External);
  }
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
} // namespace

KernelTasks takeTasks(ModuleOp module, unsigned variant) {
  SymbolTable symbols(module);
  KernelTasks result;
  SmallVector<FunctionOpInterface> tasks =
      llvm::to_vector(llvm::make_filter_range(module.getOps<FunctionOpInterface>(), isTask));
  auto renamed = [&](Operation *op) {
    std::string name = (SymbolTable::getSymbolName(op).getValue() + "." + Twine(variant)).str();
    return succeeded(symbols.rename(op, name)) ? name : std::string();
  };
  llvm::SmallPtrSet<Operation *, 4> shared;
  for (FunctionOpInterface task : tasks) {
    llvm::SetVector<Operation *> used = getUsed(task, symbols);
    for (Operation *op : used)
      // Another task may use it, too.
      if (isVariable(op) && shared.insert(op).second)
        if (std::string name = renamed(op); !name.empty())
          result.shared.push_back(std::move(name));
    std::string name = renamed(task);
    if (name.empty())
      continue; // it stays where it is: only time depends on that
    OwningOpRef<ModuleOp> own = ModuleOp::create(module.getLoc());
    (*own)->setAttrs(module->getAttrs());
    for (Operation *op : used) {
      Operation *copy = op->clone();
      own->push_back(copy);
      // A variable exists once, however large it is; functions are small.
      dropValue(copy);
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
