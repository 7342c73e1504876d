//===- KernelCache.cpp - compiled kernels on disk ------------------------------===//
//
// An entry: magic "FLASHCKC", SHA-256 of the key, SHA-256 of key hash and bytes, then the bytes up to the end of the
// file.
//
//===----------------------------------------------------------------------===//

#include "runtime/KernelCache.h"
#include "runtime/Sha256.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace flashc;

static constexpr std::string_view entryMagic = "FLASHCKC";
static constexpr size_t entryHeaderSize = 8 + 32 + 32;
static constexpr std::string_view entrySuffix = ".kernel";
static constexpr std::string_view temporaryPrefix = ".new-";
static constexpr time_t temporaryLifetime = 3600; // seconds; what is older was left by a writer that died

static std::mutex *processMutex = nullptr; // of KernelCache::process()

static std::string_view view(const Sha256Digest &digest) {
  return {reinterpret_cast<const char *>(digest.data()), digest.size()};
}

static std::string entryName(std::string_view key) { return sha256Hex(key) + std::string(entrySuffix); }

static bool startsWith(std::string_view text, std::string_view prefix) {
  return text.substr(0, prefix.size()) == prefix;
}

static bool endsWith(std::string_view text, std::string_view suffix) {
  return text.size() >= suffix.size() && text.substr(text.size() - suffix.size()) == suffix;
}

/// Creates the missing parents of `path`, and `path`, each with mode 0700; errors show when it is opened.
static void makeDirectories(const std::string &path) {
  for (size_t slash = path.find('/', 1); slash != std::string::npos; slash = path.find('/', slash + 1))
    ::mkdir(path.substr(0, slash).c_str(), 0700);
  ::mkdir(path.c_str(), 0700);
}

KernelCache::KernelCache(Options options) : options(std::move(options)) {}

KernelCache &KernelCache::process() {
  static KernelCache *cache = [] {
    auto *created = new KernelCache();
    processMutex = &created->mutex;
    // A child must not inherit the lock of a thread that it does not have.
    pthread_atfork([] { processMutex->lock(); }, [] { processMutex->unlock(); }, [] { processMutex->unlock(); });
    return created;
  }();
  return *cache;
}

Result<std::string> KernelCache::defaultDirectory() {
  auto variable = [](const char *name) {
    const char *value = std::getenv(name);
    return std::string(value ? value : "");
  };
  if (std::string own = variable("FLASHC_CACHE_DIR"); !own.empty())
    return own;
  // The XDG specification asks to ignore relative paths.
  if (std::string xdg = variable("XDG_CACHE_HOME"); startsWith(xdg, "/"))
    return xdg + "/flashc";
  if (std::string home = variable("HOME"); startsWith(home, "/"))
    return home + "/.cache/flashc";
  return Error{FLASHC_ERROR_IO, "no cache directory: none of FLASHC_CACHE_DIR, XDG_CACHE_HOME and HOME is set"};
}

bool KernelCache::openDirectory() {
  if (folder)
    return true;
  std::string wanted = options.directory;
  if (wanted.empty()) {
    Result<std::string> found = defaultDirectory();
    if (!found) {
      problem = found.error().message;
      return false;
    }
    wanted = *found;
  }
  // "dir/" would follow a symbolic link where "dir" does not.
  while (wanted.size() > 1 && wanted.back() == '/')
    wanted.pop_back();
  makeDirectories(wanted);
  return openDirectoryAt(wanted);
}

bool KernelCache::openDirectoryAt(const std::string &wanted) {
  FileDescriptor opened(::open(wanted.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!opened) {
    const int error = errno;
    struct stat info;
    const bool isLink = ::lstat(wanted.c_str(), &info) == 0 && S_ISLNK(info.st_mode);
    problem = "cache directory " + wanted + ": " +
              (isLink ? std::string("expected a directory, got a symbolic link") : errnoText(error));
    return false;
  }
  struct stat info;
  if (::fstat(opened.get(), &info) != 0) {
    problem = "cache directory " + wanted + ": " + errnoText(errno);
    return false;
  }
  if (info.st_uid != ::geteuid()) {
    problem = "cache directory " + wanted + ": expected owner " + std::to_string(::geteuid()) + ", got " +
              std::to_string(info.st_uid);
    return false;
  }
  if (info.st_mode & (S_IWGRP | S_IWOTH)) {
    char mode[8];
    std::snprintf(mode, sizeof(mode), "%04o", static_cast<unsigned>(info.st_mode & 07777));
    problem = "cache directory " + wanted + ": expected no write permission for group and others, got mode " + mode;
    return false;
  }
  folder = std::move(opened);
  path = wanted;
  return true;
}

std::optional<std::string> KernelCache::lookup(std::string_view key) {
  const std::string name = entryName(key);
  std::lock_guard<std::mutex> lock(mutex);
  problem.clear();
  std::optional<std::string> bytes;
  if (openDirectory())
    bytes = readEntry(name, key);
  if (!bytes)
    if (auto found = memory.find(name); found != memory.end())
      bytes = found->second;
  ++(bytes ? counts.hits : counts.misses);
  return bytes;
}

std::optional<std::string> KernelCache::readEntry(const std::string &name, std::string_view key) {
  const FileDescriptor file(::openat(folder.get(), name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK));
  if (!file) {
    if (errno == ELOOP)
      dropDamaged(name, "expected a file, got a symbolic link");
    else if (errno != ENOENT)
      problem = "cache entry " + name + ": " + errnoText(errno);
    return std::nullopt;
  }
  struct stat info;
  if (::fstat(file.get(), &info) != 0 || info.st_uid != ::geteuid()) {
    problem = "cache entry " + name + ": expected a file of this user";
    return std::nullopt;
  }
  Result<std::string> content = readAll(file.get(), name, UINT32_MAX);
  if (!content) {
    problem = "cache entry " + content.error().message;
    return std::nullopt;
  }
  const std::string_view data = *content;
  if (data.size() < entryHeaderSize || !startsWith(data, entryMagic)) {
    dropDamaged(name, "expected the header of an entry");
    return std::nullopt;
  }
  const Sha256Digest keyHash = sha256({key});
  if (data.substr(8, 32) != view(keyHash)) {
    dropDamaged(name, "expected the entry of another key");
    return std::nullopt;
  }
  if (data.substr(40, 32) != view(sha256({data.substr(8, 32), data.substr(entryHeaderSize)}))) {
    dropDamaged(name, "expected the SHA-256 of its content, got another");
    return std::nullopt;
  }
  ::futimens(file.get(), nullptr); // the time of last use, for eviction; a read-only cache does without
  return content->substr(entryHeaderSize);
}

void KernelCache::dropDamaged(const std::string &name, const std::string &why) {
  problem = "cache entry " + name + " is damaged and was removed: " + why;
  ++counts.damaged;
  ::unlinkat(folder.get(), name.c_str(), 0);
}

bool KernelCache::store(std::string_view key, std::string_view bytes) {
  const Sha256Digest keyHash = sha256({key});
  const std::string name = toHex(keyHash) + std::string(entrySuffix);
  std::string content(entryMagic);
  content += view(keyHash);
  content += view(sha256({view(keyHash), bytes}));
  content += bytes;

  std::lock_guard<std::mutex> lock(mutex);
  problem.clear();
  if (openDirectory() && writeEntry(name, content)) {
    ++counts.stored;
    forgetInMemory(name);
    evict();
    return true;
  }
  keepInMemory(name, bytes);
  return false;
}

bool KernelCache::writeEntry(const std::string &name, std::string_view content) {
  unsigned char random[16];
  if (::getrandom(random, sizeof(random), 0) != sizeof(random)) {
    problem = "cache entry " + name + ": no random name: " + errnoText(errno);
    return false;
  }
  std::string temporary(temporaryPrefix);
  for (unsigned char byte : random) {
    char digits[3];
    std::snprintf(digits, sizeof(digits), "%02x", byte);
    temporary += digits;
  }
  if (!writeTemporary(temporary, content)) {
    const int error = errno;
    ::unlinkat(folder.get(), temporary.c_str(), 0);
    // The directory was removed since it was opened: make it again, once.
    struct stat info;
    if (error != ENOENT || ::fstat(folder.get(), &info) != 0 || info.st_nlink != 0) {
      problem = "cache entry " + name + ": " + errnoText(error);
      return false;
    }
    folder = FileDescriptor();
    if (!openDirectory())
      return false;
    if (!writeTemporary(temporary, content)) {
      problem = "cache entry " + name + ": " + errnoText(errno);
      return false;
    }
  }
  if (::renameat(folder.get(), temporary.c_str(), folder.get(), name.c_str()) != 0) {
    problem = "cache entry " + name + ": " + errnoText(errno);
    ::unlinkat(folder.get(), temporary.c_str(), 0);
    return false;
  }
  return true;
}

bool KernelCache::writeTemporary(const std::string &temporary, std::string_view content) {
  const FileDescriptor file(
      ::openat(folder.get(), temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  // Synced before it gets its name, so that a crash of the machine leaves no entry rather than an empty one.
  return file && writeAll(file.get(), content) && ::fdatasync(file.get()) == 0;
}

void KernelCache::evict() {
  // A descriptor of its own: the position of a shared one would be shared with forked children.
  const int fd = ::openat(folder.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *stream = fd >= 0 ? ::fdopendir(fd) : nullptr;
  if (!stream) {
    if (fd >= 0)
      ::close(fd);
    return;
  }
  struct Entry {
    std::string name;
    uint64_t size;
    struct timespec used;
  };
  std::vector<Entry> entries;
  uint64_t total = 0;
  const time_t now = ::time(nullptr);
  while (const struct dirent *item = ::readdir(stream)) {
    struct stat info;
    if (::fstatat(folder.get(), item->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0)
      continue;
    if (startsWith(item->d_name, temporaryPrefix)) {
      if (now - info.st_mtim.tv_sec > temporaryLifetime)
        ::unlinkat(folder.get(), item->d_name, 0);
    } else if (endsWith(item->d_name, entrySuffix)) {
      entries.push_back({item->d_name, static_cast<uint64_t>(info.st_size), info.st_mtim});
      total += entries.back().size;
    }
  }
  ::closedir(stream);
  if (total <= options.maxBytes)
    return;
  std::sort(entries.begin(), entries.end(), [](const Entry &a, const Entry &b) {
    return a.used.tv_sec != b.used.tv_sec ? a.used.tv_sec < b.used.tv_sec : a.used.tv_nsec < b.used.tv_nsec;
  });
  for (const Entry &entry : entries) {
    if (total <= options.maxBytes)
      break;
    if (::unlinkat(folder.get(), entry.name.c_str(), 0) == 0)
      ++counts.evicted;
    total -= entry.size; // gone either way: another process may have been faster
  }
}

void KernelCache::keepInMemory(const std::string &name, std::string_view bytes) {
  auto [place, added] = memory.try_emplace(name);
  if (added)
    memoryOrder.push_back(name);
  memoryBytes = memoryBytes - place->second.size() + bytes.size();
  place->second = bytes;
  while (memoryBytes > options.maxBytes)
    forgetInMemory(std::string(memoryOrder.front()));
}

void KernelCache::forgetInMemory(const std::string &name) {
  auto found = memory.find(name);
  if (found == memory.end())
    return;
  memoryBytes -= found->second.size();
  memory.erase(found);
  memoryOrder.erase(std::find(memoryOrder.begin(), memoryOrder.end(), name));
}

void KernelCache::remove(std::string_view key) {
  const std::string name = entryName(key);
  std::lock_guard<std::mutex> lock(mutex);
  problem.clear();
  if (openDirectory())
    ::unlinkat(folder.get(), name.c_str(), 0);
  forgetInMemory(name);
}

std::string KernelCache::lastProblem() const {
  std::lock_guard<std::mutex> lock(mutex);
  return problem;
}

std::string KernelCache::directory() {
  std::lock_guard<std::mutex> lock(mutex);
  return openDirectory() ? path : "";
}

KernelCache::Statistics KernelCache::statistics() const {
  std::lock_guard<std::mutex> lock(mutex);
  return counts;
}
