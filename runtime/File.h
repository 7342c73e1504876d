//===- File.h - file descriptors that close, files read whole ---------------===//
#ifndef FLASHC_RUNTIME_FILE_H
#define FLASHC_RUNTIME_FILE_H

#include "runtime/Error.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <unistd.h>
#include <utility>

namespace flashc {

/// A file descriptor that is closed with its owner; -1 is none.
class FileDescriptor {
public:
  explicit FileDescriptor(int fd = -1) : fd(fd) {}
  FileDescriptor(FileDescriptor &&other) noexcept : fd(std::exchange(other.fd, -1)) {}
  FileDescriptor &operator=(FileDescriptor &&other) noexcept {
    std::swap(fd, other.fd);
    return *this;
  }
  ~FileDescriptor() {
    if (fd >= 0)
      ::close(fd);
  }
  int get() const { return fd; }
  explicit operator bool() const { return fd >= 0; }

private:
  int fd;
};

/// "No such file or directory" for ENOENT, thread-safely.
std::string errnoText(int error);

/// All of an open file. FLASHC_ERROR_IO when it is no regular file, holds more than `limit` bytes or cannot be read;
/// `name` is for the message.
Result<std::string> readAll(int fd, const std::string &name, uint64_t limit);

/// All of the file at `path`, symbolic links followed.
Result<std::string> readFile(const std::string &path, uint64_t limit);

/// Writes every byte; false with errno set when it cannot.
bool writeAll(int fd, std::string_view bytes);

} // namespace flashc

#endif // FLASHC_RUNTIME_FILE_H
