//===- SharedLibrary.cpp - code loaded from checked bytes ----------------------===//

#include "runtime/SharedLibrary.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <sys/mman.h>

using namespace flashc;

#if defined(__x86_64__)
static constexpr uint16_t hostMachine = EM_X86_64;
#elif defined(__aarch64__)
static constexpr uint16_t hostMachine = EM_AARCH64;
#else
static constexpr uint16_t hostMachine = EM_NONE;
#endif

static const char *machineName(uint16_t machine) {
  switch (machine) {
  case EM_X86_64:
    return "x86_64";
  case EM_AARCH64:
    return "aarch64";
  default:
    return "unknown";
  }
}

const char *flashc::hostArchitecture() { return machineName(hostMachine); }

/// The dynamic loader trusts what it maps; a truncated file would end the process with SIGBUS.
static std::optional<Error> checkElf(std::string_view bytes, const std::string &name) {
  Elf64_Ehdr header;
  if (bytes.size() < sizeof(header) || std::memcmp(bytes.data(), ELFMAG, SELFMAG) != 0)
    return Error{FLASHC_ERROR_FORMAT, name + ": expected an ELF shared library"};
  std::memcpy(&header, bytes.data(), sizeof(header));
  if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_ident[EI_DATA] != ELFDATA2LSB || header.e_type != ET_DYN)
    return Error{FLASHC_ERROR_FORMAT, name + ": expected a 64-bit little-endian ELF shared library"};
  if (header.e_machine != hostMachine)
    return Error{FLASHC_ERROR_TARGET, name + ": expected a library for " + hostArchitecture() + ", got one for " +
                                          machineName(header.e_machine) + " (ELF machine " +
                                          std::to_string(header.e_machine) + ")"};
  if (header.e_phentsize != sizeof(Elf64_Phdr) || header.e_phoff > bytes.size() ||
      header.e_phnum > (bytes.size() - header.e_phoff) / sizeof(Elf64_Phdr))
    return Error{FLASHC_ERROR_FORMAT, name + ": expected program headers inside the file"};
  for (uint16_t i = 0; i < header.e_phnum; ++i) {
    Elf64_Phdr segment;
    std::memcpy(&segment, bytes.data() + header.e_phoff + i * sizeof(segment), sizeof(segment));
    if (segment.p_type == PT_LOAD &&
        (segment.p_offset > bytes.size() || segment.p_filesz > bytes.size() - segment.p_offset))
      return Error{FLASHC_ERROR_FORMAT, name + ": expected segment " + std::to_string(i) + " inside the file of " +
                                            std::to_string(bytes.size()) + " bytes"};
  }
  return std::nullopt;
}

/// An anonymous, sealed file with the bytes; no descriptor where the system has none.
static FileDescriptor memoryFile(std::string_view bytes) {
  FileDescriptor file(::memfd_create("flashc-kernel", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (file && writeAll(file.get(), bytes) &&
      ::fcntl(file.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) == 0)
    return file;
  return FileDescriptor();
}

/// Where memory files cannot be mapped as code: a private file with an unpredictable name, unlinked once it is mapped.
static void *openFromTemporaryFile(std::string_view bytes) {
  const char *directory = std::getenv("TMPDIR");
  std::string path = std::string(directory && *directory ? directory : "/tmp") + "/flashc-XXXXXX";
  const FileDescriptor file(::mkostemp(path.data(), O_CLOEXEC));
  if (!file)
    return nullptr;
  void *handle = writeAll(file.get(), bytes) ? ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL) : nullptr;
  ::unlink(path.c_str());
  return handle;
}

Result<std::unique_ptr<SharedLibrary>> SharedLibrary::load(std::string_view bytes, const std::string &name) {
  if (std::optional<Error> error = checkElf(bytes, name))
    return *error;
  FileDescriptor file = memoryFile(bytes);
  void *handle = nullptr;
  std::string reason = "no memory file";
  if (file) {
    const std::string path = "/proc/self/fd/" + std::to_string(file.get());
    handle = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (const char *text = handle ? nullptr : ::dlerror())
      reason = text;
  }
  if (!handle)
    handle = openFromTemporaryFile(bytes);
  if (!handle)
    return Error{FLASHC_ERROR_IO, name + ": the system refuses to load it: " + reason};
  return std::unique_ptr<SharedLibrary>(new SharedLibrary(handle, std::move(file)));
}

SharedLibrary::~SharedLibrary() { ::dlclose(handle); }

void *SharedLibrary::symbol(const std::string &symbolName) const { return ::dlsym(handle, symbolName.c_str()); }
