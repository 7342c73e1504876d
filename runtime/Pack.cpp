//===- Pack.cpp - loading the folder that flash-compile wrote -----------------===//

#include "runtime/Pack.h"
#include "runtime/File.h"
#include "runtime/Sha256.h"
#include "runtime/SharedLibrary.h"

#include <nlohmann/json.hpp>
#include <sys/stat.h>

using namespace flashc;
using nlohmann::json;

namespace {

constexpr uint64_t descriptionLimit = uint64_t(16) << 20;
constexpr uint64_t libraryLimit = uint64_t(4) << 30;
constexpr int64_t packVersion = 1;

/// The members of one kernel.json, taken with type checks. The first failure stays.
class Description {
public:
  Description(const std::string &file, const std::string &text) : file(file) {
    try {
      root = json::parse(text);
    } catch (const json::exception &failure) {
      fail(FLASHC_ERROR_FORMAT, failure.what());
    }
    if (!error && !root.is_object())
      fail(FLASHC_ERROR_FORMAT, std::string("expected an object, got ") + root.type_name());
  }

  void fail(flashc_status status, const std::string &text) {
    if (!error)
      error = Error{status, file + ": " + text};
  }

  /// The member `key` of `object`, or null after noting that it is missing or of another type. `path` is for messages.
  const json *member(const json &object, const char *key, const std::string &path, json::value_t type) {
    if (error)
      return nullptr;
    const auto found = object.find(key);
    if (found == object.end()) {
      fail(FLASHC_ERROR_FORMAT, "expected a member \"" + path + "\"");
      return nullptr;
    }
    const bool isSize = type == json::value_t::number_unsigned;
    if (found->type() != type) {
      fail(FLASHC_ERROR_FORMAT, "expected \"" + path + "\" to be " +
                                    (isSize ? "a whole number of at least 0" : json(type).type_name()) + ", got " +
                                    (found->is_number() ? found->dump() : found->type_name()));
      return nullptr;
    }
    return &*found;
  }
  std::string string(const json &object, const char *key, const std::string &path) {
    const json *value = member(object, key, path, json::value_t::string);
    return value ? value->get<std::string>() : "";
  }
  uint64_t number(const json &object, const char *key, const std::string &path) {
    const json *value = member(object, key, path, json::value_t::number_unsigned);
    return value ? value->get<uint64_t>() : 0;
  }

  const std::string &file;
  json root;
  std::optional<Error> error;
};

bool isIdentifier(const std::string &text) {
  auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
  for (size_t i = 0; i < text.size(); ++i)
    if (!letter(text[i]) && !(i > 0 && text[i] >= '0' && text[i] <= '9'))
      return false;
  return !text.empty() && text.size() <= 63;
}

/// What the loader needs of a description.
struct Needed {
  std::string name, target, libraryPath, librarySha256;
  uint64_t libraryBytes = 0;
};

Needed check(Description &d) {
  Needed needed;
  const std::string format = d.string(d.root, "format", "format");
  if (format != "flashc-pack")
    d.fail(FLASHC_ERROR_FORMAT, "expected format \"flashc-pack\", got \"" + format + "\"");
  const uint64_t version = d.number(d.root, "version", "version");
  if (version != packVersion)
    d.fail(FLASHC_ERROR_ABI,
           "expected pack version " + std::to_string(packVersion) + ", got " + std::to_string(version));
  const uint64_t abi = d.number(d.root, "abi", "abi");
  if (abi > FLASHC_ABI_VERSION)
    d.fail(FLASHC_ERROR_ABI, "expected ABI version at most " + std::to_string(FLASHC_ABI_VERSION) + ", got " +
                                 std::to_string(abi) + ": this runtime is older than the pack");
  needed.name = d.string(d.root, "name", "name");
  if (!isIdentifier(needed.name))
    d.fail(FLASHC_ERROR_FORMAT,
           "expected \"name\" to be a C identifier of at most 63 characters, got \"" + needed.name + "\"");
  needed.target = d.string(d.root, "target", "target");
  const std::string architecture = d.string(d.root, "architecture", "architecture");
  if (architecture != hostArchitecture())
    d.fail(FLASHC_ERROR_TARGET,
           std::string("expected a pack for ") + hostArchitecture() + ", got one for \"" + architecture + "\"");
  if (const json *files = d.member(d.root, "files", "files", json::value_t::object))
    if (const json *library = d.member(*files, "library", "files.library", json::value_t::object)) {
      needed.libraryPath = d.string(*library, "path", "files.library.path");
      needed.libraryBytes = d.number(*library, "bytes", "files.library.bytes");
      needed.librarySha256 = d.string(*library, "sha256", "files.library.sha256");
      if (needed.libraryPath.empty() || needed.libraryPath.find('/') != std::string::npos || needed.libraryPath == "..")
        d.fail(FLASHC_ERROR_FORMAT,
               "expected \"files.library.path\" to be a plain file name, got \"" + needed.libraryPath + "\"");
    }
  return needed;
}

} // namespace

Result<Artifact> flashc::readPack(const std::string &path) {
  struct stat info;
  const bool isFile = ::stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode);
  const std::string file = isFile ? path : path + "/kernel.json";
  Result<std::string> text = readFile(file, descriptionLimit);
  if (!text)
    return text.error();
  Description description(file, *text);
  const Needed needed = check(description);
  if (description.error)
    return *description.error;

  const std::string libraryFile = file.substr(0, file.rfind('/') + 1) + needed.libraryPath;
  Result<std::string> library = readFile(libraryFile, libraryLimit);
  if (!library)
    return library.error();
  if (library->size() != needed.libraryBytes)
    return Error{FLASHC_ERROR_FORMAT, libraryFile + ": expected " + std::to_string(needed.libraryBytes) +
                                          " bytes as kernel.json says, got " + std::to_string(library->size())};
  const std::string hash = sha256Hex(*library);
  if (hash != needed.librarySha256)
    return Error{FLASHC_ERROR_FORMAT,
                 libraryFile + ": expected SHA-256 " + needed.librarySha256 + " as kernel.json says, got " + hash};
  Artifact artifact;
  artifact.name = needed.name;
  artifact.target = needed.target;
  artifact.kind = ArtifactKind::Shared;
  artifact.bytes = std::move(*library);
  artifact.metadata = std::move(*text);
  return artifact;
}

Result<LoadedPack> flashc::loadPack(const std::string &path) {
  Result<Artifact> artifact = readPack(path);
  if (!artifact)
    return artifact.error();
  Result<Device *> device = deviceForTarget(artifact->target);
  if (!device)
    return Error{device.error().status, path + ": " + device.error().message};
  Result<std::unique_ptr<LoadedKernel>> kernel = (*device)->load(*artifact);
  if (!kernel)
    return Error{kernel.error().status, path + ": " + kernel.error().message};
  LoadedPack pack;
  pack.device = *device;
  pack.kernel = std::move(*kernel);
  pack.metadata = std::move(artifact->metadata);
  return pack;
}

//===----------------------------------------------------------------------===//
// The C face
//===----------------------------------------------------------------------===//

struct flashc_pack {
  LoadedPack pack;
};

flashc_status flashc_pack_load(const char *path, flashc_pack **pack) {
  if (!pack || !path)
    return setLastError(FLASHC_ERROR_INVALID, "flashc_pack_load: expected a %s, got null",
                        path ? "place for the pack" : "path");
  *pack = nullptr;
  try {
    Result<LoadedPack> loaded = loadPack(path);
    if (!loaded)
      return setLastError(loaded.error());
    *pack = new flashc_pack{std::move(*loaded)};
  } catch (const std::exception &failure) {
    return setLastError(FLASHC_ERROR_MEMORY, "%s: %s", path, failure.what());
  }
  return FLASHC_OK;
}

const flashc_kernel_info *flashc_pack_info(const flashc_pack *pack) {
  return pack ? &pack->pack.kernel->info() : nullptr;
}

const flashc_kernel *flashc_pack_kernel(const flashc_pack *pack) {
  return pack ? &pack->pack.kernel->functions() : nullptr;
}

const char *flashc_pack_metadata(const flashc_pack *pack) { return pack ? pack->pack.metadata.c_str() : nullptr; }

flashc_status flashc_pack_run(const flashc_pack *pack, const flashc_args *args) {
  if (!pack)
    return setLastError(FLASHC_ERROR_INVALID, "flashc_pack_run: expected a pack, got null");
  if (!args)
    return setLastError(FLASHC_ERROR_INVALID, "flashc_pack_run: expected arguments, got null");
  if (std::optional<Error> error = pack->pack.device->launch(*pack->pack.kernel, *args))
    return setLastError(*error);
  return FLASHC_OK;
}

void flashc_pack_unload(flashc_pack *pack) { delete pack; }
