#include "compiler/Aot.h"

#include "compiler/PackFiles.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/Object/ArchiveWriter.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FileUtilities.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/Program.h"
#include "llvm/Support/SHA256.h"
#include "llvm/Support/raw_ostream.h"
#include "llvm/TargetParser/Host.h"

#include <cerrno>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/syscall.h>
#include <unistd.h>

using namespace llvm;

namespace flashc {
namespace {

llvm::Error failed(const Twine &what, StringRef path, std::error_code code) {
  return createStringError(what + " '" + path + "': " + code.message());
}

/// A new folder beside `folder`, gone with this object unless it was renamed.
class Staging {
public:
  static Expected<Staging> create(StringRef folder) {
    SmallString<128> path(folder);
    path += ".tmp-%%%%%%%%";
    for (int attempt = 0; attempt < 100; ++attempt) {
      SmallString<128> model;
      sys::fs::createUniquePath(path, model, /*MakeAbsolute=*/false);
      std::error_code code = sys::fs::create_directory(model, /*IgnoreExisting=*/false);
      if (!code)
        return Staging(model);
      if (code != std::errc::file_exists)
        return failed("cannot create a folder beside", folder, code);
    }
    return createStringError("cannot find a free name beside '" + folder + "'");
  }
  Staging(Staging &&other) : path(std::exchange(other.path, SmallString<128>())) {}
  ~Staging() {
    if (!path.empty())
      sys::fs::remove_directories(path);
  }

  std::string file(const Twine &name) const {
    SmallString<128> full(path);
    sys::path::append(full, name);
    return full.str().str();
  }

  llvm::Error write(const Twine &name, StringRef bytes) const {
    std::string full = file(name);
    if (std::error_code code = sys::fs::create_directories(sys::path::parent_path(full)))
      return failed("cannot create the folder of", full, code);
    std::error_code code;
    raw_fd_ostream os(full, code);
    if (code)
      return failed("cannot write", full, code);
    os << bytes;
    os.close();
    if (os.has_error()) {
      code = os.error();
      os.clear_error();
      return failed("cannot write", full, code);
    }
    return llvm::Error::success();
  }

  /// Puts this folder in the place of `folder`; when there is one, the two change places in one step and the old one
  /// is removed.
  llvm::Error moveTo(StringRef folder) {
    if (!sys::fs::exists(folder)) {
      if (std::error_code code = sys::fs::rename(path, folder))
        return failed("cannot create", folder, code);
      path.clear();
      return llvm::Error::success();
    }
    if (syscall(SYS_renameat2, AT_FDCWD, path.c_str(), AT_FDCWD, folder.str().c_str(), RENAME_EXCHANGE) == 0)
      return llvm::Error::success();
    // A file system without exchange: the old pack steps aside.
    SmallString<128> old(path);
    old += ".old";
    if (std::error_code code = sys::fs::rename(folder, old))
      return failed("cannot replace", folder, code);
    if (std::error_code code = sys::fs::rename(path, folder)) {
      (void)sys::fs::rename(old, folder);
      return failed("cannot replace", folder, code);
    }
    path = old;
    return llvm::Error::success();
  }

private:
  explicit Staging(StringRef path) : path(path) {}
  SmallString<128> path;
};

/// A folder may be replaced when it is empty or a pack.
llvm::Error checkReplaceable(StringRef folder) {
  sys::fs::file_status status;
  if (sys::fs::status(folder, status))
    return llvm::Error::success();
  if (!sys::fs::is_directory(status))
    return createStringError("cannot write a pack to '" + folder + "': it is a file, expected a folder");
  std::error_code code;
  bool empty = true;
  for (sys::fs::directory_iterator it(folder, code), end; !code && it != end; it.increment(code))
    empty = false;
  if (code)
    return failed("cannot read the folder", folder, code);
  if (!empty && !sys::fs::exists(folder + "/kernel.json"))
    return createStringError("cannot write a pack to '" + folder +
                             "': it holds other files; expected a new folder, an empty one or a pack");
  return llvm::Error::success();
}

/// Links `object` into the shared library `output`, with lld or, for this machine, with the system's C compiler.
llvm::Error linkShared(StringRef architecture, StringRef object, StringRef output, StringRef soname) {
  std::string host = sys::getDefaultTargetTriple();
  bool native = StringRef(host).starts_with(architecture);
  SmallVector<std::string> command;
  for (StringRef name : {"ld.lld-19", "ld.lld"})
    if (auto program = sys::findProgramByName(name); program && command.empty())
      command = {*program, "-shared", "-z", "noexecstack", "-z", "relro", "-z", "now", "--hash-style=both"};
  if (command.empty() && native)
    for (StringRef name : {"cc", "clang-19", "clang", "gcc"})
      if (auto program = sys::findProgramByName(name); program && command.empty())
        command = {*program, "-shared", "-nostdlib", "-Wl,-z,noexecstack,-z,relro,-z,now"};
  if (command.empty())
    return createStringError("cannot link the shared library: expected ld.lld-19 or ld.lld" +
                             Twine(native ? ", or a C compiler called cc, clang or gcc," : "") +
                             " on the PATH, found none (on Debian: apt install lld-19)");
  bool direct = StringRef(command.front()).contains("lld");
  command.push_back(direct ? ("-soname=" + soname).str() : ("-Wl,-soname," + soname).str());
  append_range(command, ArrayRef<std::string>{"-o", output.str(), object.str()});

  SmallString<128> log;
  if (std::error_code code = sys::fs::createTemporaryFile("flashc-link", "txt", log))
    return failed("cannot create", log, code);
  FileRemover remover(log);
  SmallVector<StringRef> arguments(command.begin(), command.end());
  std::optional<StringRef> redirects[] = {StringRef(""), StringRef(log), StringRef(log)};
  std::string message;
  int result = sys::ExecuteAndWait(command.front(), arguments, std::nullopt, redirects, 0, 0, &message);
  if (result == 0)
    return llvm::Error::success();
  if (auto buffer = MemoryBuffer::getFile(log))
    message += (*buffer)->getBuffer();
  return createStringError("linking the shared library with '" + command.front() + "' failed: " + message);
}

Expected<std::string> makeArchive(StringRef object, StringRef member) {
  NewArchiveMember entry(MemoryBufferRef(object, member));
  auto archive = writeArchiveToBuffer(entry, SymtabWritingMode::NormalSymtab, object::Archive::K_GNU,
                                      /*Deterministic=*/true, /*Thin=*/false);
  if (!archive)
    return archive.takeError();
  return (*archive)->getBuffer().str();
}

json::Object describeFile(StringRef name, StringRef bytes) {
  auto digest = SHA256::hash(arrayRefFromStringRef(bytes));
  return json::Object{{"path", name}, {"bytes", int64_t(bytes.size())}, {"sha256", toHex(digest, /*LowerCase=*/true)}};
}

/// Writes the files of one pack; `place` is "" or the folder in `staging`, with a slash at its end.
llvm::Error fillPack(const Artifact &artifact, const Staging &staging, const Twine &placeText) {
  std::string place = placeText.str();
  const std::string &name = artifact.name;
  std::string objectName = name + ".o", archiveName = "lib" + name + ".a", libraryName = "lib" + name + ".so",
              headerName = name + ".h";
  std::string header = getPackHeader(artifact);
  Expected<std::string> archive = makeArchive(artifact.bytes, objectName);
  if (!archive)
    return archive.takeError();
  std::pair<std::string, std::string> plain[] = {
      {objectName, artifact.bytes},
      {archiveName, *archive},
      {headerName, header},
      {"flashc/runtime.h", getRuntimeHeader().str()},
      {name + "Config.cmake", getCMakeConfig(name)},
      {name + ".pc", getPkgConfig(name)},
  };
  for (const auto &[file, bytes] : plain)
    if (llvm::Error error = staging.write(place + file, bytes))
      return error;
  Expected<json::Value> metadata = json::parse(artifact.metadata);
  if (!metadata || !metadata->getAsObject())
    return metadata ? createStringError("the kernel's metadata is not a JSON object") : metadata.takeError();
  StringRef architecture = metadata->getAsObject()->getString("architecture").value_or("");
  if (llvm::Error error =
          linkShared(architecture, staging.file(place + objectName), staging.file(place + libraryName), libraryName))
    return error;
  auto library = MemoryBuffer::getFile(staging.file(place + libraryName));
  if (!library)
    return failed("cannot read", libraryName, library.getError());

  (*metadata->getAsObject())["files"] = json::Object{
      {"library", describeFile(libraryName, (*library)->getBuffer())},
      {"object", describeFile(objectName, artifact.bytes)},
      {"archive", describeFile(archiveName, *archive)},
      {"header", describeFile(headerName, header)},
  };
  return staging.write(place + "kernel.json", formatv("{0:2}\n", *metadata).str());
}

/// Makes `folderText` a path without a slash at its end whose folder may be written, and its parent.
Expected<std::string> prepareFolder(StringRef folderText) {
  SmallString<128> folder(folderText);
  sys::path::remove_dots(folder, /*remove_dot_dot=*/false);
  while (folder.size() > 1 && sys::path::is_separator(folder.back()))
    folder.pop_back();
  if (folder.empty())
    return createStringError("expected a folder for the pack, found ''");
  if (llvm::Error error = checkReplaceable(folder))
    return error;
  if (StringRef parent = sys::path::parent_path(folder); !parent.empty())
    if (std::error_code code = sys::fs::create_directories(parent))
      return failed("cannot create", parent, code);
  return folder.str().str();
}
} // namespace

llvm::Error writePack(const Artifact &artifact, StringRef folderText) {
  Expected<std::string> folder = prepareFolder(folderText);
  if (!folder)
    return folder.takeError();
  Expected<Staging> staging = Staging::create(*folder);
  if (!staging)
    return staging.takeError();
  if (llvm::Error error = fillPack(artifact, *staging, ""))
    return error;
  return staging->moveTo(*folder);
}

llvm::Error writeFatPack(ArrayRef<Artifact> artifacts, StringRef folderText) {
  Expected<std::string> folder = prepareFolder(folderText);
  if (!folder)
    return folder.takeError();
  Expected<Staging> staging = Staging::create(*folder);
  if (!staging)
    return staging.takeError();
  json::Array packs;
  StringSet<> taken;
  for (const Artifact &artifact : artifacts) {
    // A target's list of features would make a long name of a folder.
    std::string place = StringRef(artifact.target).split(',').first.str();
    for (char &c : place)
      c = isAlnum(c) || c == '_' || c == '.' ? c : '-';
    if (!taken.insert(place).second)
      taken.insert(place += "-" + utostr(packs.size()));
    if (llvm::Error error = fillPack(artifact, *staging, place + "/"))
      return error;
    packs.push_back(json::Object{{"target", artifact.target}, {"path", place}});
  }
  json::Object description{
      {"format", "flashc-fat-pack"}, {"version", 1}, {"name", artifacts.front().name}, {"packs", std::move(packs)}};
  if (llvm::Error error = staging->write("kernel.json", formatv("{0:2}\n", json::Value(std::move(description))).str()))
    return error;
  return staging->moveTo(*folder);
}

llvm::Error writeFile(StringRef path, StringRef bytes) {
  if (path == "-") {
    outs() << bytes;
    outs().flush();
    return llvm::Error::success();
  }
  SmallString<128> model(path), temporary;
  model += ".tmp-%%%%%%%%";
  int fd;
  if (std::error_code code = sys::fs::createUniqueFile(model, fd, temporary))
    return failed("cannot write", path, code);
  FileRemover remover(temporary);
  raw_fd_ostream os(fd, /*shouldClose=*/true);
  os << bytes;
  os.close();
  if (os.has_error()) {
    std::error_code code = os.error();
    os.clear_error();
    return failed("cannot write", path, code);
  }
  if (std::error_code code = sys::fs::rename(temporary, path))
    return failed("cannot write", path, code);
  remover.releaseFile();
  return llvm::Error::success();
}
} // namespace flashc
