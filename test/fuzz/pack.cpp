// The pack reader on any kernel.json: it ends in an error, or, as there is a library beside it, in a pack.

#include "runtime/Pack.h"

#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <string>
#include <unistd.h>

namespace {
/// A folder for kernel.json, removed at the end.
class Folder {
public:
  Folder() {
    if (!mkdtemp(path))
      std::abort();
    file = std::string(path) + "/kernel.json";
  }
  ~Folder() {
    unlink(file.c_str());
    rmdir(path);
  }
  std::string file;

private:
  char path[24] = "/tmp/flashc-fuzz-XXXXXX";
};
} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  static const Folder folder;
  const int fd = open(folder.file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0 || write(fd, bytes, size) != static_cast<ssize_t>(size))
    std::abort();
  close(fd);
  flashc_pack *pack = nullptr;
  const flashc_status status = flashc_pack_load(folder.file.c_str(), &pack);
  // No library has the hash that a fuzzer writes down.
  if (status == FLASHC_OK || pack || flashc_last_error()[0] == '\0')
    std::abort();
  return 0;
}
