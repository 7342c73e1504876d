//===- TuningStore.cpp - what was measured on this machine, remembered --------===//

#include "runtime/TuningStore.h"

#include <cerrno>
#include <chrono>
#include <cmath>
#include <fcntl.h>
#include <nlohmann/json.hpp>
#include <pthread.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <thread>

using namespace flashc;
using nlohmann::json;

static constexpr const char *format = "flashc-tuning";
static constexpr int version = 1;
// The lock avoids lost updates and nothing else, so a process that was stopped while it held it must not stop others.
static constexpr auto lockPatience = std::chrono::seconds(2);
static constexpr auto turnPatience = std::chrono::seconds(5);

/// The inode of a file of the folder, which changes with each update of it; 0 without one.
static ino_t inodeOf(const CacheFolder &folder, const char *name) {
  struct stat info;
  return ::fstatat(folder.fd(), name, &info, AT_SYMLINK_NOFOLLOW) == 0 ? info.st_ino : 0;
}

/// Locks a file of the folder, or gives up when `patience` has passed without an update of the store: a queue that
/// moves is waited for, however long it is. Closing the descriptor unlocks.
static FileDescriptor lockFile(const CacheFolder &folder, const char *name, std::chrono::seconds patience) {
  FileDescriptor file(::openat(folder.fd(), name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
  ino_t seen = inodeOf(folder, TuningStore::fileName);
  auto end = std::chrono::steady_clock::now() + patience;
  while (file && ::flock(file.get(), LOCK_EX | LOCK_NB) != 0 && std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    if (const ino_t now = inodeOf(folder, TuningStore::fileName); now != seen) {
      seen = now;
      end = std::chrono::steady_clock::now() + patience;
    }
  }
  return file;
}

namespace {

bool isGood(const TuningRecord &record) {
  return record.tiles.chosen() && record.tiles.split >= 0 && std::isfinite(record.seconds) && record.seconds > 0;
}

/// A size that a tile can have, or -1: not every number fits an integer.
int64_t tileSize(const json &value) {
  constexpr int64_t largest = int64_t(1) << 40;
  if (!value.is_number_integer() || (value.is_number_unsigned() && value.get<uint64_t>() > largest))
    return -1;
  return value.get<int64_t>();
}

/// The record of one entry of the file; nothing if a member is missing or makes no sense.
std::optional<std::pair<TuningKey, TuningRecord>> parseEntry(const json &entry) {
  try {
    TuningKey key{entry.at("device"), entry.at("kernel"), entry.at("shape"), entry.at("compiler"),
                  entry.at("assembler")};
    const json &tiles = entry.at("tiles");
    TuningRecord record;
    record.tiles.rows = tileSize(tiles.at("rows"));
    record.tiles.keys = tileSize(tiles.at("keys"));
    record.tiles.split = tiles.contains("split") ? tileSize(tiles.at("split")) : 0;
    record.seconds = entry.at("seconds");
    if (isGood(record))
      return std::pair(std::move(key), record);
  } catch (const json::exception &) {
  }
  return std::nullopt;
}

void keepFaster(std::map<TuningKey, TuningRecord> &records, const TuningKey &key, const TuningRecord &record) {
  auto [known, added] = records.try_emplace(key, record);
  if (!added && record.seconds < known->second.seconds)
    known->second = record;
}
} // namespace

TuningStore &TuningStore::process() {
  static TuningStore *store = [] {
    static TuningStore *created = new TuningStore();
    // A child must not inherit the locks of threads that it does not have.
    pthread_atfork(
        [] {
          created->turn.lock();
          created->mutex.lock();
        },
        [] {
          created->mutex.unlock();
          created->turn.unlock();
        },
        [] {
          created->mutex.unlock();
          created->turn.unlock();
        });
    return created;
  }();
  return *store;
}

bool TuningStore::openFolder() {
  std::optional<Error> reason = folder.open();
  if (reason)
    problem = reason->message;
  return !reason;
}

/// Reads the file again if it changed since it was read; a file that was removed is forgotten.
void TuningStore::refresh() {
  if (std::optional<Error> reason = folder.openExisting()) {
    problem = reason->message;
    return;
  }
  struct stat info;
  Version now;
  if (folder.fd() >= 0 && ::fstatat(folder.fd(), fileName, &info, AT_SYMLINK_NOFOLLOW) == 0)
    now = {info.st_ino, info.st_size, info.st_mtim.tv_sec, info.st_mtim.tv_nsec};
  if (now == seen)
    return;
  Result<std::optional<std::string>> text = folder.read(fileName);
  if (!text) {
    problem = "tuning store: " + text.error().message;
    return;
  }
  seen = now;
  saved = Content();
  if (*text && !parse(**text, fileName, saved))
    problem = std::string("tuning store: ") + fileName + " is damaged and counts as empty";
}

bool TuningStore::parse(const std::string &text, const std::string &name, Content &into) {
  const json root = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!root.is_object() || root.value("format", json()) != format || root.value("version", json()) != version)
    return false;
  size_t skipped = 0;
  const json entries = root.value("entries", json::array());
  for (const json &entry : entries) {
    if (auto parsed = parseEntry(entry))
      keepFaster(into.records, parsed->first, parsed->second);
    else
      ++skipped;
  }
  const json devices = root.value("facts", json::object());
  for (const auto &[device, values] : devices.items())
    for (const auto &[fact, value] : values.items()) {
      if (value.is_number())
        into.facts[{device, fact}] = value;
      else
        ++skipped;
    }
  if (skipped)
    problem = "tuning store: " + name + ": " + std::to_string(skipped) + " damaged entries were skipped";
  return true;
}

std::string TuningStore::print(const Content &content) {
  json root = {{"format", format}, {"version", version}, {"entries", json::array()}, {"facts", json::object()}};
  for (const auto &[key, record] : content.records) {
    json tiles = {{"rows", record.tiles.rows}, {"keys", record.tiles.keys}};
    if (record.tiles.split)
      tiles["split"] = record.tiles.split;
    root["entries"].push_back({{"device", key.device},
                               {"kernel", key.kernel},
                               {"shape", key.shape},
                               {"compiler", key.compiler},
                               {"assembler", key.assembler},
                               {"tiles", tiles},
                               {"seconds", record.seconds}});
  }
  for (const auto &[name, value] : content.facts)
    root["facts"][name.first][name.second] = value;
  // A name that is not UTF-8 is written with replacements rather than not at all.
  return root.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

/// Writes what is not on disk yet, joined with what others wrote meanwhile.
bool TuningStore::save() {
  if (!openFolder())
    return false;
  const FileDescriptor lock = lockFile(folder, "tuning.lock", lockPatience);
  refresh();
  Content all = joined();
  if (std::optional<Error> error = folder.write(fileName, print(all))) {
    problem = "tuning store: " + error->message;
    return false;
  }
  saved = std::move(all);
  unsaved = Content();
  replaced.clear();
  return true;
}

std::optional<TuningRecord> TuningStore::lookup(const TuningKey &key) {
  std::lock_guard<std::mutex> guard(mutex);
  problem.clear();
  refresh();
  std::optional<TuningRecord> best;
  if (replaced.count(key))
    return unsaved.records.at(key);
  for (const Content *content : {&saved, &unsaved})
    if (auto found = content->records.find(key); found != content->records.end())
      if (!best || found->second.seconds < best->seconds)
        best = found->second;
  return best;
}

bool TuningStore::checkRecord(const TuningRecord &record) {
  problem.clear();
  if (!isGood(record)) {
    problem = "tuning store: expected tile sizes of at least 1 and a positive time, got " +
              std::to_string(record.tiles.rows) + " x " + std::to_string(record.tiles.keys) + " and " +
              std::to_string(record.seconds) + " s";
    return false;
  }
  return true;
}

bool TuningStore::record(const TuningKey &key, const TuningRecord &record) {
  std::lock_guard<std::mutex> guard(mutex);
  if (!checkRecord(record))
    return false;
  keepFaster(unsaved.records, key, record);
  return save();
}

bool TuningStore::replace(const TuningKey &key, const TuningRecord &record) {
  std::lock_guard<std::mutex> guard(mutex);
  if (!checkRecord(record))
    return false;
  unsaved.records[key] = record;
  replaced.insert(key);
  return save();
}

TuningStore::Content TuningStore::joined() const {
  Content all = saved;
  for (const auto &[key, record] : unsaved.records)
    if (replaced.count(key))
      all.records[key] = record;
    else
      keepFaster(all.records, key, record);
  for (const auto &[name, value] : unsaved.facts)
    all.facts[name] = value;
  return all;
}

std::vector<std::pair<TuningKey, TuningRecord>> TuningStore::list() {
  std::lock_guard<std::mutex> guard(mutex);
  problem.clear();
  refresh();
  const Content all = joined();
  return {all.records.begin(), all.records.end()};
}

std::optional<Error> TuningStore::exportTo(const std::string &path) {
  std::string text;
  {
    std::lock_guard<std::mutex> guard(mutex);
    problem.clear();
    refresh();
    text = print(joined());
  }
  const FileDescriptor file(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!file || !writeAll(file.get(), text))
    return Error{FLASHC_ERROR_IO, "cannot write \"" + path + "\": " + errnoText(errno)};
  return std::nullopt;
}

Result<int64_t> TuningStore::importFrom(const std::string &path) {
  constexpr uint64_t limit = 64 << 20;
  Result<std::string> text = readFile(path, limit);
  if (!text)
    return text.error();
  std::lock_guard<std::mutex> guard(mutex);
  problem.clear();
  Content content;
  if (!parse(*text, path, content))
    return Error{FLASHC_ERROR_FORMAT, path + ": expected a file that flash-run --tune --export wrote (format \"" +
                                          format + "\", version " + std::to_string(version) + ")"};
  const std::string skipped = problem;
  refresh();
  for (const auto &[key, record] : content.records)
    keepFaster(unsaved.records, key, record);
  for (const auto &[name, value] : content.facts)
    if (!saved.facts.count(name))
      unsaved.facts.try_emplace(name, value);
  (void)save();
  if (problem.empty())
    problem = skipped;
  return static_cast<int64_t>(content.records.size());
}

std::optional<double> TuningStore::fact(const std::string &device, const std::string &name) {
  std::lock_guard<std::mutex> guard(mutex);
  problem.clear();
  refresh();
  for (const Content *content : {&unsaved, &saved})
    if (auto found = content->facts.find({device, name}); found != content->facts.end())
      return found->second;
  return std::nullopt;
}

bool TuningStore::recordFact(const std::string &device, const std::string &name, double value) {
  return recordFacts(device, {{name, value}});
}

std::map<std::string, double> TuningStore::facts(const std::string &device) {
  std::lock_guard<std::mutex> guard(mutex);
  problem.clear();
  refresh();
  std::map<std::string, double> values;
  for (const Content *content : {&saved, &unsaved})
    for (const auto &[name, value] : content->facts)
      if (name.first == device)
        values[name.second] = value;
  return values;
}

bool TuningStore::recordFacts(const std::string &device, const std::map<std::string, double> &values) {
  std::lock_guard<std::mutex> guard(mutex);
  problem.clear();
  for (const auto &[name, value] : values)
    if (!std::isfinite(value)) {
      problem = "tuning store: expected a finite value of \"" + name + "\", got " + std::to_string(value);
      return false;
    }
  for (const auto &[name, value] : values)
    unsaved.facts[{device, name}] = value;
  return save();
}

TuningStore::Turn TuningStore::takeTurn() {
  Turn taken;
  taken.thread = std::unique_lock<std::mutex>(turn);
  bool usable;
  {
    std::lock_guard<std::mutex> guard(mutex);
    usable = openFolder();
  }
  if (usable)
    taken.process = lockFile(folder, "measure.lock", turnPatience);
  return taken;
}

std::string TuningStore::lastProblem() const {
  std::lock_guard<std::mutex> guard(mutex);
  return problem;
}
