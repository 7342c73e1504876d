/// Which build of the compiler this is.
#include "compiler/Compiler.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Config/llvm-config.h"
#include "llvm/Support/MathExtras.h"

#include "compiler/SourcesDigest.inc"

#include <elf.h>
#include <link.h>
#include <string>

namespace {
/// The build id that the linker put into the program or library that holds `address`; "" without one.
std::string findBuildId(const void *address) {
  struct Search {
    uintptr_t address;
    std::string id;
  } search{reinterpret_cast<uintptr_t>(address), ""};
  dl_iterate_phdr(
      [](dl_phdr_info *info, size_t, void *data) {
        auto &search = *static_cast<Search *>(data);
        bool holds = false;
        for (int i = 0; i < info->dlpi_phnum; ++i) {
          const ElfW(Phdr) &header = info->dlpi_phdr[i];
          uintptr_t begin = info->dlpi_addr + header.p_vaddr;
          holds |= header.p_type == PT_LOAD && search.address >= begin && search.address < begin + header.p_memsz;
        }
        if (!holds)
          return 0;
        for (int i = 0; i < info->dlpi_phnum; ++i) {
          const ElfW(Phdr) &header = info->dlpi_phdr[i];
          if (header.p_type != PT_NOTE)
            continue;
          const char *at = reinterpret_cast<const char *>(info->dlpi_addr + header.p_vaddr);
          const char *end = at + header.p_memsz;
          while (at + sizeof(ElfW(Nhdr)) <= end) {
            const auto *note = reinterpret_cast<const ElfW(Nhdr) *>(at);
            const char *name = at + sizeof(*note);
            const char *body = name + llvm::alignTo(note->n_namesz, 4);
            if (note->n_type == NT_GNU_BUILD_ID && llvm::StringRef(name, note->n_namesz) == llvm::StringRef("GNU\0", 4))
              search.id = llvm::toHex(llvm::StringRef(body, note->n_descsz), /*LowerCase=*/true);
            at = body + llvm::alignTo(note->n_descsz, 4);
          }
        }
        return 1;
      },
      &search);
  return search.id;
}
} // namespace

llvm::StringRef flashc::getCompilerVersion() { return "flashc " FLASHC_VERSION ", LLVM " LLVM_VERSION_STRING; }

llvm::StringRef flashc::getCompilerSources() {
  return "flashc " FLASHC_VERSION ", LLVM " LLVM_VERSION_STRING ", sources " FLASHC_SOURCES;
}

llvm::StringRef flashc::getCompilerId() {
  // Without a build id, two builds of one version share their cache: the compiler's own build gives every binary one.
  static const std::string id =
      getCompilerVersion().str() + ", build " + findBuildId(reinterpret_cast<const void *>(&findBuildId));
  return id;
}
