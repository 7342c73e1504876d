//===- Pack.cpp - loading the folder that flash-compile wrote -----------------===//

#include "runtime/Pack.h"
#include "runtime/Fallbacks.h"
#include "runtime/File.h"
#include "runtime/PlacedProblem.h"
#include "runtime/Sha256.h"
#include "runtime/SharedLibrary.h"

#include <algorithm>
#include <cstdio>
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

/// "folder/kernel.json" for a folder, the file itself for a file.
std::string descriptionFile(const std::string &path) {
  struct stat info;
  const bool isFile = ::stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode);
  return isFile ? path : path + "/kernel.json";
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
  const std::string file = descriptionFile(path);
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

namespace {
/// One of a fat pack's.
struct Member {
  std::string target, path;
};

/// The packs of a fat one; empty for an ordinary pack, and for what readPack has better words for.
Result<std::vector<Member>> readMembers(const std::string &file) {
  Result<std::string> text = readFile(file, descriptionLimit);
  if (!text)
    return text.error();
  if (text->find("flashc-fat-pack") == std::string::npos)
    return std::vector<Member>();
  Description description(file, *text);
  if (description.error)
    return *description.error;
  if (description.string(description.root, "format", "format") != "flashc-fat-pack")
    return std::vector<Member>();
  const uint64_t version = description.number(description.root, "version", "version");
  if (version != packVersion)
    description.fail(FLASHC_ERROR_ABI,
                     "expected fat pack version " + std::to_string(packVersion) + ", got " + std::to_string(version));
  std::vector<Member> members;
  if (const json *packs = description.member(description.root, "packs", "packs", json::value_t::array))
    for (const json &pack : *packs) {
      if (!pack.is_object()) {
        description.fail(FLASHC_ERROR_FORMAT,
                         "expected \"packs\" to hold objects, got " + std::string(pack.type_name()));
        break;
      }
      Member member{description.string(pack, "target", "packs.target"), description.string(pack, "path", "packs.path")};
      if (member.path.empty() || member.path.find('/') != std::string::npos || member.path == "..")
        description.fail(FLASHC_ERROR_FORMAT,
                         "expected \"packs.path\" to be a plain folder name, got \"" + member.path + "\"");
      members.push_back(std::move(member));
    }
  if (!description.error && members.empty())
    description.fail(FLASHC_ERROR_FORMAT, "expected at least one pack in \"packs\", got none");
  if (description.error)
    return *description.error;
  return members;
}

Result<LoadedPack> loadOne(const std::string &path, Device *device) {
  Result<Artifact> artifact = readPack(path);
  if (!artifact)
    return artifact.error();
  if (!device) {
    Result<Device *> found = deviceForTarget(artifact->target);
    if (!found)
      return Error{found.error().status, path + ": " + found.error().message};
    device = *found;
  }
  Result<std::unique_ptr<LoadedKernel>> kernel = device->load(*artifact);
  if (!kernel)
    return Error{kernel.error().status, path + ": " + kernel.error().message};
  LoadedPack pack;
  pack.device = device;
  pack.kernel = std::move(*kernel);
  pack.metadata = std::move(artifact->metadata);
  return pack;
}
} // namespace

Result<LoadedPack> flashc::loadPack(const std::string &path, Device *device) {
  const std::string file = descriptionFile(path);
  Result<std::vector<Member>> members = readMembers(file);
  if (!members)
    return members.error();
  if (members->empty())
    return loadOne(path, device);
  std::string reasons, passedOver;
  for (size_t i = 0; !device && i < members->size(); ++i) {
    const std::string &target = (*members)[i].target;
    Result<Device *> found = deviceForTarget(target);
    if (found) {
      device = *found;
    } else {
      passedOver += (passedOver.empty() ? "\"" : ", \"") + target + "\"";
      reasons += "; " + found.error().message;
    }
  }
  const Member *best = nullptr;
  int suits = 0;
  for (const Member &member : *members) {
    Result<int> suitability = device ? device->suitability(member.target) : Result<int>(Error{FLASHC_ERROR_TARGET, ""});
    if (suitability && (!best || *suitability > suits)) {
      best = &member;
      suits = *suitability;
    } else if (!suitability && device) {
      reasons += "; " + suitability.error().message;
    }
  }
  if (!best)
    return Error{FLASHC_ERROR_TARGET, path + ": expected a pack for " +
                                          (device ? device->describe().name : "a device of this machine") +
                                          " among its " + std::to_string(members->size()) + ", got none" + reasons};
  Result<LoadedPack> loaded = loadOne(file.substr(0, file.rfind('/') + 1) + best->path, device);
  // A GPU's pack stood before it: who counts on a GPU would wonder why it is slow.
  if (loaded && !passedOver.empty() &&
      (device->describe().family == "cpu" || device->describe().family == "emulated")) {
    const std::string what = std::string(loaded->kernel->info().name) + " for " + best->target + ": runs on " +
                             device->describe().name + ", as no device runs " + passedOver;
    processFallbacks().note(what, what + reasons);
  }
  return loaded;
}

/// How many rows of a problem are compared: all, unless that would take minutes of plain loops; then as many as take
/// seconds.
static int64_t countComparedRows(const KernelProblem &problem, const ProblemSizes &sizes) {
  constexpr int64_t mostWork = int64_t(1) << 32; // multiply-adds
  const flashc_tensor *out = problem.find("out");
  const int64_t columns = out ? 2 * out->size[out->rank - 1] : 1;
  return std::max<int64_t>(64, mostWork / std::max<int64_t>(1, sizes.keys * columns));
}

Result<Verdict> flashc::verifyPack(const LoadedPack &pack, const ProblemSizes &sizes, uint64_t seed) {
  Result<std::unique_ptr<KernelProblem>> problem =
      KernelProblem::create(pack.kernel->info(), pack.metadata, sizes, seed);
  if (!problem)
    return problem.error();
  Result<std::unique_ptr<PlacedProblem>> placed = PlacedProblem::create(*pack.device, **problem);
  if (!placed)
    return placed.error();
  if (std::optional<Error> error = (*placed)->run(*pack.kernel))
    return *error;
  Result<KernelCheck> check = KernelCheck::create(**problem, countComparedRows(**problem, sizes));
  if (!check)
    return check.error();
  return check->judge(**problem);
}

Result<Timing> flashc::timePack(const LoadedPack &pack, const ProblemSizes &sizes, uint64_t seed,
                                const TimeOptions &options, double *flops) {
  Result<std::unique_ptr<KernelProblem>> problem =
      KernelProblem::create(pack.kernel->info(), pack.metadata, sizes, seed);
  if (!problem)
    return problem.error();
  // What a mask leaves out is not counted as done.
  if (flops)
    *flops = (*problem)->getReference().masks.empty() ? (*problem)->getFlops() : 0;
  Result<std::unique_ptr<PlacedProblem>> placed = PlacedProblem::create(*pack.device, **problem);
  if (!placed)
    return placed.error();
  return pack.device->time(*pack.kernel, (*placed)->getArgs(), options);
}

//===----------------------------------------------------------------------===//
// The C face
//===----------------------------------------------------------------------===//

struct flashc_pack {
  LoadedPack pack;
};

flashc_status flashc_pack_load(const char *path, flashc_pack **pack) {
  return flashc_pack_load_on(path, nullptr, pack);
}

flashc_status flashc_pack_load_on(const char *path, flashc_device *device, flashc_pack **pack) {
  if (!pack || !path)
    return setLastError(FLASHC_ERROR_INVALID, "flashc_pack_load: expected a %s, got null",
                        path ? "place for the pack" : "path");
  *pack = nullptr;
  try {
    Result<LoadedPack> loaded = loadPack(path, reinterpret_cast<Device *>(device));
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

flashc_device *flashc_pack_device(const flashc_pack *pack) {
  return pack ? reinterpret_cast<flashc_device *>(pack->pack.device) : nullptr;
}

flashc_status flashc_pack_run(const flashc_pack *pack, const flashc_args *args) {
  return flashc_pack_run_on(pack, args, nullptr);
}

flashc_status flashc_pack_run_on(const flashc_pack *pack, const flashc_args *args, void *stream) {
  if (!pack)
    return setLastError(FLASHC_ERROR_INVALID, "flashc_pack_run: expected a pack, got null");
  if (!args)
    return setLastError(FLASHC_ERROR_INVALID, "flashc_pack_run: expected arguments, got null");
  if (std::optional<Error> error = pack->pack.device->launch(*pack->pack.kernel, *args, stream))
    return setLastError(*error);
  return FLASHC_OK;
}

void flashc_pack_unload(flashc_pack *pack) { delete pack; }

flashc_status flashc_pack_verify(const flashc_pack *pack, const flashc_problem_sizes *sizes, uint64_t seed,
                                 int32_t *passed, char *message, size_t size) {
  if (!pack || !sizes || !passed)
    return setLastError(FLASHC_ERROR_INVALID, "flashc_pack_verify: expected a pack, sizes and a place, got null");
  *passed = 0;
  try {
    Result<Verdict> verdict =
        verifyPack(pack->pack, {sizes->batch, sizes->heads, sizes->kv_heads, sizes->queries, sizes->keys}, seed);
    if (message && size)
      std::snprintf(message, size, "%s", verdict ? verdict->describe().c_str() : verdict.error().message.c_str());
    if (!verdict)
      return setLastError(verdict.error());
    *passed = verdict->passed();
  } catch (const std::exception &failure) {
    return setLastError(FLASHC_ERROR_MEMORY, "flashc_pack_verify: %s", failure.what());
  }
  return FLASHC_OK;
}

flashc_status flashc_pack_time(const flashc_pack *pack, const flashc_problem_sizes *sizes, double min_seconds,
                               double *median, double *best) {
  if (!pack || !sizes)
    return setLastError(FLASHC_ERROR_INVALID, "flashc_pack_time: expected a pack and sizes, got null");
  try {
    TimeOptions options;
    options.minSeconds = min_seconds;
    Result<Timing> timing =
        timePack(pack->pack, {sizes->batch, sizes->heads, sizes->kv_heads, sizes->queries, sizes->keys}, 1, options);
    if (!timing)
      return setLastError(timing.error());
    if (median)
      *median = timing->median;
    if (best)
      *best = timing->best;
  } catch (const std::exception &failure) {
    return setLastError(FLASHC_ERROR_MEMORY, "flashc_pack_time: %s", failure.what());
  }
  return FLASHC_OK;
}
