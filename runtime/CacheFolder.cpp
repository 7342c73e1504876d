//===- CacheFolder.cpp - the user's private folder of cached files ------------===//

#include "runtime/CacheFolder.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace flashc;

/// Creates the missing parents of `path`, and `path`, each with mode 0700; errors show when it is opened.
static void makeDirectories(const std::string &path) {
  for (size_t slash = path.find('/', 1); slash != std::string::npos; slash = path.find('/', slash + 1))
    ::mkdir(path.substr(0, slash).c_str(), 0700);
  ::mkdir(path.c_str(), 0700);
}

/// A name that nobody can foresee, or "" where the system gives no random bytes.
static std::string temporaryName() {
  unsigned char random[16];
  if (::getrandom(random, sizeof(random), 0) != sizeof(random))
    return "";
  std::string name(CacheFolder::temporaryPrefix);
  for (unsigned char byte : random) {
    char digits[3];
    std::snprintf(digits, sizeof(digits), "%02x", byte);
    name += digits;
  }
  return name;
}

Result<std::string> CacheFolder::defaultPath() {
  auto variable = [](const char *name) {
    const char *value = std::getenv(name);
    return std::string(value ? value : "");
  };
  if (std::string own = variable("FLASHC_CACHE_DIR"); !own.empty())
    return own;
  // The XDG specification asks to ignore relative paths.
  if (std::string xdg = variable("XDG_CACHE_HOME"); xdg.rfind('/', 0) == 0)
    return xdg + "/flashc";
  if (std::string home = variable("HOME"); home.rfind('/', 0) == 0)
    return home + "/.cache/flashc";
  return Error{FLASHC_ERROR_IO, "no cache directory: none of FLASHC_CACHE_DIR, XDG_CACHE_HOME and HOME is set"};
}

std::optional<Error> CacheFolder::open() { return open(/*make=*/true); }

std::optional<Error> CacheFolder::openExisting() { return open(/*make=*/false); }

std::optional<Error> CacheFolder::open(bool make) {
  if (folder)
    return std::nullopt;
  std::string path = wanted;
  if (path.empty()) {
    Result<std::string> found = defaultPath();
    if (!found)
      return found.error();
    path = *found;
  }
  // "dir/" would follow a symbolic link where "dir" does not.
  while (path.size() > 1 && path.back() == '/')
    path.pop_back();
  if (make)
    makeDirectories(path);

  auto refuse = [&](const std::string &why) { return Error{FLASHC_ERROR_IO, "cache directory " + path + ": " + why}; };
  FileDescriptor candidate(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  struct stat info;
  if (!candidate) {
    const int error = errno;
    if (error == ENOENT && !make)
      return std::nullopt;
    const bool isLink = ::lstat(path.c_str(), &info) == 0 && S_ISLNK(info.st_mode);
    return refuse(isLink ? "expected a directory, got a symbolic link" : errnoText(error));
  }
  if (::fstat(candidate.get(), &info) != 0)
    return refuse(errnoText(errno));
  if (info.st_uid != ::geteuid())
    return refuse("expected owner " + std::to_string(::geteuid()) + ", got " + std::to_string(info.st_uid));
  if (info.st_mode & (S_IWGRP | S_IWOTH)) {
    char mode[8];
    std::snprintf(mode, sizeof(mode), "%04o", static_cast<unsigned>(info.st_mode & 07777));
    return refuse(std::string("expected no write permission for group and others, got mode ") + mode);
  }
  folder = std::move(candidate);
  opened = path;
  return std::nullopt;
}

Result<std::optional<std::string>> CacheFolder::read(const std::string &name) const {
  const FileDescriptor file(::openat(folder.get(), name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK));
  if (!file) {
    if (errno == ENOENT)
      return std::optional<std::string>();
    if (errno == ELOOP)
      return Error{FLASHC_ERROR_FORMAT, "expected a file, got a symbolic link"};
    return Error{FLASHC_ERROR_IO, errnoText(errno)};
  }
  struct stat info;
  if (::fstat(file.get(), &info) != 0 || info.st_uid != ::geteuid())
    return Error{FLASHC_ERROR_IO, "expected a file of this user"};
  Result<std::string> content = readAll(file.get(), name, UINT32_MAX);
  if (!content)
    return content.error();
  return std::optional<std::string>(std::move(*content));
}

std::optional<Error> CacheFolder::write(const std::string &name, std::string_view content) {
  auto failed = [&](int error) { return Error{FLASHC_ERROR_IO, opened + "/" + name + ": " + errnoText(error)}; };
  const std::string temporary = temporaryName();
  if (temporary.empty())
    return failed(errno);
  if (!writeTemporary(temporary, content)) {
    const int error = errno;
    if (!wasRemoved())
      return failed(error);
    folder = FileDescriptor();
    if (std::optional<Error> reason = open())
      return reason;
    if (!writeTemporary(temporary, content))
      return failed(errno);
  }
  if (::renameat(folder.get(), temporary.c_str(), folder.get(), name.c_str()) != 0) {
    const int error = errno;
    ::unlinkat(folder.get(), temporary.c_str(), 0);
    return failed(error);
  }
  return std::nullopt;
}

bool CacheFolder::writeTemporary(const std::string &name, std::string_view content) const {
  const FileDescriptor file(
      ::openat(folder.get(), name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!file)
    return false;
  // Synced before it gets its name, so that a crash of the machine leaves the old content rather than none.
  if (writeAll(file.get(), content) && ::fdatasync(file.get()) == 0)
    return true;
  const int error = errno;
  ::unlinkat(folder.get(), name.c_str(), 0);
  errno = error;
  return false;
}

bool CacheFolder::wasRemoved() const {
  struct stat info;
  return ::fstat(folder.get(), &info) == 0 && info.st_nlink == 0;
}
