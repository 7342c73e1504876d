//===- Pretuned.cpp - tiles that come with the package -------------------------===//

#include "runtime/Pretuned.h"
#include "runtime/File.h"

#include <cstdlib>
#include <dlfcn.h>
#include <nlohmann/json.hpp>
#include <sstream>
#include <unistd.h>

using namespace flashc;
using nlohmann::json;

/// Whether `names`, an array, has each of (or with `none`, none of) its members among the device's features.
static bool matches(const json &names, const std::string &features, bool none) {
  if (!names.is_array())
    return none;
  for (const json &name : names) {
    const bool has =
        name.is_string() && (" " + features + " ").find(" " + name.get<std::string>() + " ") != std::string::npos;
    if (has == none)
      return false;
  }
  return true;
}

std::optional<FoundTiles> flashc::findPretuned(const std::string &text, const DeviceInfo &device,
                                               const TuningKey &key) {
  const json root = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!root.is_object() || root.value("format", json()) != "flashc-pretuned" || root.value("version", json()) != 1 ||
      !root.contains("classes") || !root["classes"].is_array())
    return std::nullopt;
  for (const json &type : root["classes"]) {
    if (!type.is_object() || type.value("family", json()) != device.family || !type.contains("entries") ||
        !type["entries"].is_array() || !matches(type.value("requires", json()), device.features, false) ||
        !matches(type.value("excludes", json()), device.features, true))
      continue;
    for (const json &entry : type["entries"]) {
      try {
        if (entry.at("kernel") != key.kernel || entry.at("shape") != key.shape)
          continue;
        const json &tiles = entry.at("tiles");
        FoundTiles found{{tiles.at("rows"), tiles.at("keys"), tiles.value("split", int64_t(0))},
                         "shipped (" + entry.at("source").get<std::string>() + ")"};
        if (found.tiles.chosen() && found.tiles.split >= 0)
          return found;
      } catch (const json::exception &) { // this entry is damaged
      }
    }
  }
  return std::nullopt;
}

std::string flashc::pretunedPath() {
  if (const char *given = std::getenv("FLASHC_PRETUNED"))
    return given;
  Dl_info self;
  if (!::dladdr(reinterpret_cast<const void *>(&flashc::pretunedPath), &self) || !self.dli_fname)
    return "";
  std::string path = self.dli_fname;
  // A program is named as it was called; the system knows where it is.
  char target[4096];
  if (const ssize_t size = ::readlink("/proc/self/exe", target, sizeof(target));
      size > 0 && path.find(".so") == std::string::npos)
    path.assign(target, static_cast<size_t>(size));
  const size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash);
  for (const char *place : {"/pretuned.json", "/../share/flashc/pretuned.json"})
    if (::access((folder + place).c_str(), R_OK) == 0)
      return folder + place;
  return "";
}

std::optional<FoundTiles> flashc::findPretuned(const DeviceInfo &device, const TuningKey &key) {
  // Read once: the file belongs to the package and does not change under it.
  static const std::string *text = [] {
    const std::string path = pretunedPath();
    Result<std::string> read = path.empty() ? Result<std::string>(std::string()) : readFile(path, 16 << 20);
    return new std::string(read ? *read : std::string());
  }();
  return text->empty() ? std::nullopt : findPretuned(*text, device, key);
}
