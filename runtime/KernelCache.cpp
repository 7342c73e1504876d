//===- KernelCache.cpp - compiled kernels on disk ------------------------------===//
//
// An entry: magic "FLASHCKC", SHA-256 of the key, SHA-256 of key hash and bytes, then the bytes up to the end of the
// file.
//
//===----------------------------------------------------------------------===//

#include "runtime/KernelCache.h"
#include "runtime/Sha256.h"

#include <algorithm>
#include <ctime>
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace flashc;

static constexpr std::string_view entryMagic = "FLASHCKC";
static constexpr size_t entryHeaderSize = 8 + 32 + 32;
static constexpr std::string_view entrySuffix = ".kernel";
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

KernelCache::KernelCache(Options options) : options(std::move(options)), folder(this->options.directory) {}

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

bool KernelCache::openFolder() {
  std::optional<Error> reason = folder.open();
  if (reason)
    problem = reason->message;
  return !reason;
}

std::optional<std::string> KernelCache::lookup(std::string_view key) {
  const std::string name = entryName(key);
  std::lock_guard<std::mutex> lock(mutex);
  problem.clear();
  std::optional<std::string> bytes;
  if (openFolder())
    bytes = readEntry(name, key);
  if (!bytes)
    if (auto found = memory.find(name); found != memory.end())
      bytes = found->second;
  ++(bytes ? counts.hits : counts.misses);
  return bytes;
}

std::optional<std::string> KernelCache::readEntry(const std::string &name, std::string_view key) {
  Result<std::optional<std::string>> content = folder.read(name);
  if (!content) {
    if (content.error().status == FLASHC_ERROR_FORMAT)
      dropDamaged(name, content.error().message);
    else
      problem = "cache entry " + name + ": " + content.error().message;
    return std::nullopt;
  }
  if (!*content)
    return std::nullopt;
  const std::string_view data = **content;
  if (data.size() < entryHeaderSize || !startsWith(data, entryMagic)) {
    dropDamaged(name, "expected the header of an entry");
    return std::nullopt;
  }
  const Sha256Digest keyHash = sha256({key});
  if (data.substr(8, 32) != view(keyHash)) {
    dropDamaged(name, "expected the entry of this key, got another one");
    return std::nullopt;
  }
  if (data.substr(40, 32) != view(sha256({data.substr(8, 32), data.substr(entryHeaderSize)}))) {
    dropDamaged(name, "expected the SHA-256 of its content, got another");
    return std::nullopt;
  }
  // The time of last use, for eviction; a read-only folder does without.
  ::utimensat(folder.fd(), name.c_str(), nullptr, AT_SYMLINK_NOFOLLOW);
  return std::string(data.substr(entryHeaderSize));
}

void KernelCache::dropDamaged(const std::string &name, const std::string &why) {
  problem = "cache entry " + name + " is damaged and was removed: " + why;
  ++counts.damaged;
  ::unlinkat(folder.fd(), name.c_str(), 0);
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
  if (openFolder()) {
    if (std::optional<Error> error = folder.write(name, content)) {
      problem = "cache entry " + error->message;
    } else {
      ++counts.stored;
      forgetInMemory(name);
      evict();
      return true;
    }
  }
  keepInMemory(name, bytes);
  return false;
}

void KernelCache::evict() {
  // A descriptor of its own: the position of a shared one would be shared with forked children.
  const int fd = ::openat(folder.fd(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
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
    if (::fstatat(folder.fd(), item->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0)
      continue;
    if (startsWith(item->d_name, CacheFolder::temporaryPrefix)) {
      if (now - info.st_mtim.tv_sec > temporaryLifetime)
        ::unlinkat(folder.fd(), item->d_name, 0);
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
    if (::unlinkat(folder.fd(), entry.name.c_str(), 0) == 0)
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
  if (openFolder())
    ::unlinkat(folder.fd(), name.c_str(), 0);
  forgetInMemory(name);
}

std::string KernelCache::lastProblem() const {
  std::lock_guard<std::mutex> lock(mutex);
  return problem;
}

std::string KernelCache::directory() {
  std::lock_guard<std::mutex> lock(mutex);
  return openFolder() ? folder.path() : "";
}

KernelCache::Statistics KernelCache::statistics() const {
  std::lock_guard<std::mutex> lock(mutex);
  return counts;
}
