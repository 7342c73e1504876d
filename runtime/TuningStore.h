//===- TuningStore.h - what was measured on this machine, remembered ----------===//
#ifndef FLASHC_RUNTIME_TUNINGSTORE_H
#define FLASHC_RUNTIME_TUNINGSTORE_H

#include "runtime/CacheFolder.h"
#include "runtime/TileSizes.h"

#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace flashc {

/// All that a choice of tiles depends on; a value that does not matter has no place here, as it would tune again in
/// vain.
struct TuningKey {
  std::string device;    ///< the device's description: model and number of units
  std::string kernel;    ///< direction, element type, head dims, masks
  std::string shape;     ///< the bucket of batch, heads and lengths
  std::string compiler;  ///< the compiler's build
  std::string assembler; ///< the assembler's version; "" where there is none

  friend bool operator<(const TuningKey &a, const TuningKey &b) {
    return std::tie(a.device, a.kernel, a.shape, a.compiler, a.assembler) <
           std::tie(b.device, b.kernel, b.shape, b.compiler, b.assembler);
  }
};

/// The best tiles known for a key, and the time that they were measured at.
struct TuningRecord {
  TileSizes tiles;
  double seconds = 0; ///< median of one run of the bucket's largest problem, > 0
};

/// Choices of tile sizes and measured facts of devices ("f32 FMA, GFLOP/s"), kept as one JSON file that people can read
/// and edit, in the user's cache folder; removing the file forgets all. Processes share it: an update takes a lock,
/// reads what others wrote, joins it and replaces the file as a whole. Of two records for one key the faster stays, so
/// the order of updates does not matter; of two values of a fact the later. A damaged file, or a damaged part of one,
/// counts as not there. Where the folder cannot be used, everything stays in memory, and lastProblem() says why. May be
/// used from several threads.
class TuningStore {
public:
  /// `directory` = "" stands for CacheFolder::defaultPath().
  explicit TuningStore(std::string directory = "") : folder(std::move(directory)) {}

  /// The store in the user's cache folder that the whole process shares. Never destroyed; survives fork.
  static TuningStore &process();

  std::optional<TuningRecord> lookup(const TuningKey &key);

  /// Keeps the faster of `record` and what is known. True when that is on disk. A record without tiles, or whose time
  /// is not a positive number, is refused.
  bool record(const TuningKey &key, const TuningRecord &record);

  /// Keeps `record` whatever is known: for who compared the two.
  bool replace(const TuningKey &key, const TuningRecord &record);

  /// All records, in the order of their keys.
  std::vector<std::pair<TuningKey, TuningRecord>> list();

  /// Writes all that is known to a file at `path`, which import() reads on another machine or for another user.
  std::optional<Error> exportTo(const std::string &path);

  /// Joins the content of such a file: of two records for one key the faster stays, and a fact that is known stays.
  /// FLASHC_ERROR_FORMAT for a file that is none; damaged entries of one that is are skipped. Returns how many records
  /// the file held.
  Result<int64_t> importFrom(const std::string &path);

  std::optional<double> fact(const std::string &device, const std::string &name);

  /// True when the value is on disk. A value that is not finite is refused.
  bool recordFact(const std::string &device, const std::string &name, double value);

  /// All facts of a device by name; empty when there are none.
  std::map<std::string, double> facts(const std::string &device);

  /// recordFact of several at once: none is kept when one is refused.
  bool recordFacts(const std::string &device, const std::map<std::string, double> &values);

  /// Measuring is for one at a time: two that measure together measure each other.
  class Turn {
    friend class TuningStore;
    std::unique_lock<std::mutex> thread;
    FileDescriptor process; // closing it unlocks
  };
  /// Waits until no other thread and no other process measures; after some seconds goes on all the same, as the lock
  /// is for good measurements and not for the file's sake. Do not nest.
  Turn takeTurn();

  /// Why the last operation did not use the disk, or what it found damaged; "" when all was well.
  std::string lastProblem() const;

  /// The file's name in the folder; another format has another name, so versions of flashc do not disturb each other.
  static constexpr const char *fileName = "tuning-1.json";

private:
  struct Content {
    std::map<TuningKey, TuningRecord> records;
    std::map<std::pair<std::string, std::string>, double> facts; // by device and name
  };
  /// Which content of the file was read last.
  struct Version {
    uint64_t inode = 0;
    int64_t size = -1, seconds = 0, nanoseconds = 0;
    bool operator==(const Version &other) const {
      return std::tie(inode, size, seconds, nanoseconds) ==
             std::tie(other.inode, other.size, other.seconds, other.nanoseconds);
    }
  };

  bool openFolder();
  void refresh();
  /// Joins the content of a file's text; false when it is none of ours.
  bool parse(const std::string &text, const std::string &name, Content &into);
  static std::string print(const Content &content);
  /// What the file says with what it does not say yet.
  Content joined() const;
  /// Whether a record makes sense; else `problem` says what was expected.
  bool checkRecord(const TuningRecord &record);
  bool save();

  mutable std::mutex mutex;
  std::mutex turn; // taken before `mutex`
  CacheFolder folder;
  Version seen;
  Content saved;                // the file's, as of `seen`
  Content unsaved;              // what could not be written
  std::set<TuningKey> replaced; // whose unsaved records count even where the file's are faster
  std::string problem;
};

} // namespace flashc

#endif // FLASHC_RUNTIME_TUNINGSTORE_H
