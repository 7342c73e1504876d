//===- CacheFolder.h - the user's private folder of cached files --------------===//
#ifndef FLASHC_RUNTIME_CACHEFOLDER_H
#define FLASHC_RUNTIME_CACHEFOLDER_H

#include "runtime/Error.h"
#include "runtime/File.h"

#include <optional>
#include <string>
#include <string_view>

namespace flashc {

/// A directory that only this user can write: created with mode 0700, refused when it belongs to someone else, when
/// group or others can write it, or when its last component is a symbolic link. Everything in it is reached by its
/// descriptor, so a path that is exchanged later changes nothing. Not thread-safe; its owners lock.
class CacheFolder {
public:
  /// `wanted` = "" stands for defaultPath().
  explicit CacheFolder(std::string wanted = "") : wanted(std::move(wanted)) {}

  /// $FLASHC_CACHE_DIR, else $XDG_CACHE_HOME/flashc, else $HOME/.cache/flashc; FLASHC_ERROR_IO when none is set to an
  /// absolute path ($FLASHC_CACHE_DIR may be relative).
  static Result<std::string> defaultPath();

  /// Opens the folder, making it where it is missing; nothing if it is open, else the reason why it cannot be used.
  std::optional<Error> open();

  /// The same for a reader, who has no use for an empty folder: one that is missing stays so, which is no error, and
  /// fd() stays -1.
  std::optional<Error> openExisting();

  /// The descriptor and the path of the open folder.
  int fd() const { return folder.get(); }
  const std::string &path() const { return opened; }

  /// All of a file of this user, without following a link; nothing if there is none. An error of status
  /// FLASHC_ERROR_FORMAT is something that has no business in the folder, FLASHC_ERROR_IO anything else.
  Result<std::optional<std::string>> read(const std::string &name) const;

  /// Replaces a file as a whole: readers see the old content or the new one, also when the writer is killed or the
  /// machine stops. Makes the folder again, once, when it was removed meanwhile.
  std::optional<Error> write(const std::string &name, std::string_view content);

  /// What the names of unfinished files begin with.
  static constexpr std::string_view temporaryPrefix = ".new-";

private:
  std::optional<Error> open(bool make);
  bool writeTemporary(const std::string &name, std::string_view content) const;
  bool wasRemoved() const;

  const std::string wanted;
  std::string opened;
  FileDescriptor folder;
};

} // namespace flashc

#endif // FLASHC_RUNTIME_CACHEFOLDER_H
