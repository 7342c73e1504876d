//===- File.cpp - files read whole ---------------------------------------------===//

#include "runtime/File.h"

#include <cerrno>
#include <fcntl.h>
#include <sys/stat.h>
#include <system_error>

using namespace flashc;

std::string flashc::errnoText(int error) { return std::generic_category().message(error); }

Result<std::string> flashc::readAll(int fd, const std::string &name, uint64_t limit) {
  struct stat info;
  if (fstat(fd, &info) != 0)
    return Error{FLASHC_ERROR_IO, name + ": " + errnoText(errno)};
  if (!S_ISREG(info.st_mode))
    return Error{FLASHC_ERROR_IO, name + ": expected a regular file"};
  const auto size = static_cast<uint64_t>(info.st_size);
  if (size > limit)
    return Error{FLASHC_ERROR_IO,
                 name + ": expected at most " + std::to_string(limit) + " bytes, got " + std::to_string(size)};
  // One byte more than the size, so that a file that grows meanwhile is seen as what it is.
  std::string bytes(size + 1, '\0');
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t count = ::read(fd, bytes.data() + done, bytes.size() - done);
    if (count < 0 && errno == EINTR)
      continue;
    if (count < 0)
      return Error{FLASHC_ERROR_IO, name + ": " + errnoText(errno)};
    if (count == 0)
      break;
    done += static_cast<size_t>(count);
  }
  if (done != size)
    return Error{FLASHC_ERROR_IO, name + ": changed while it was read"};
  bytes.resize(size);
  return bytes;
}

Result<std::string> flashc::readFile(const std::string &path, uint64_t limit) {
  // Without O_NONBLOCK, opening a fifo would wait for a writer.
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file)
    return Error{FLASHC_ERROR_IO, path + ": " + errnoText(errno)};
  return readAll(file.get(), path, limit);
}

bool flashc::writeAll(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::write(fd, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR)
      continue;
    if (count < 0)
      return false;
    bytes.remove_prefix(static_cast<size_t>(count));
  }
  return true;
}
