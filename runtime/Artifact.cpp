//===- Artifact.cpp - the serialised form of a compiled kernel --------------===//
//
//   0  magic "FLASHCAR"        48  SHA-256 of bytes [0, 48) and of the payload
//   8  u32 version             80  payload: name, target, metadata, bytes
//  12  u32 kind
//  16  u64 sizes of name, target, metadata, bytes; all numbers are little-endian
//
//===----------------------------------------------------------------------===//

#include "runtime/Artifact.h"
#include "runtime/Sha256.h"

#include <algorithm>

using namespace flashc;

static constexpr std::string_view magic = "FLASHCAR";
static constexpr uint32_t formatVersion = 1;
static constexpr size_t hashedHeaderSize = 48;
static constexpr size_t headerSize = hashedHeaderSize + sizeof(Sha256Digest);

template <typename T> static void put(std::string &to, T value) {
  for (size_t i = 0; i < sizeof(T); ++i)
    to += static_cast<char>(value >> (8 * i) & 0xFF);
}

template <typename T> static T get(std::string_view from, size_t offset) {
  T value = 0;
  for (size_t i = 0; i < sizeof(T); ++i)
    value |= static_cast<T>(static_cast<unsigned char>(from[offset + i])) << (8 * i);
  return value;
}

static Error damaged(const std::string &text) { return Error{FLASHC_ERROR_FORMAT, "artifact: " + text}; }

const char *flashc::toString(ArtifactKind kind) {
  switch (kind) {
  case ArtifactKind::Object:
    return "object";
  case ArtifactKind::Shared:
    return "shared";
  case ArtifactKind::Assembly:
    return "assembly";
  case ArtifactKind::Ptx:
    return "ptx";
  case ArtifactKind::Cubin:
    return "cubin";
  case ArtifactKind::Hsaco:
    return "hsaco";
  }
  return "unknown";
}

std::string Artifact::serialise() const {
  std::string data(magic);
  put(data, formatVersion);
  put(data, static_cast<uint32_t>(kind));
  for (const std::string *part : {&name, &target, &metadata, &bytes})
    put(data, static_cast<uint64_t>(part->size()));
  const Sha256Digest digest = sha256({data, name, target, metadata, bytes});
  data.append(reinterpret_cast<const char *>(digest.data()), digest.size());
  return data + name + target + metadata + bytes;
}

Result<Artifact> Artifact::parse(std::string_view data) {
  if (data.size() < headerSize)
    return damaged("expected at least " + std::to_string(headerSize) + " bytes, got " + std::to_string(data.size()));
  if (data.substr(0, magic.size()) != magic)
    return damaged("expected the magic number \"" + std::string(magic) + "\"");
  const auto version = get<uint32_t>(data, 8);
  if (version > formatVersion)
    return Error{FLASHC_ERROR_ABI, "artifact: expected format version at most " + std::to_string(formatVersion) +
                                       ", got " + std::to_string(version)};
  // Each size is compared with what is left, so no sum of them can overflow.
  std::string_view parts[4];
  std::string_view rest = data.substr(headerSize);
  for (int i = 0; i < 4; ++i) {
    const auto size = get<uint64_t>(data, 16 + 8 * static_cast<size_t>(i));
    if (size > rest.size())
      return damaged("expected " + std::to_string(size) + " bytes of part " + std::to_string(i) + ", got " +
                     std::to_string(rest.size()));
    parts[i] = rest.substr(0, size);
    rest.remove_prefix(size);
  }
  if (!rest.empty())
    return damaged("expected the end, got " + std::to_string(rest.size()) + " bytes more");
  const Sha256Digest digest = sha256({data.substr(0, hashedHeaderSize), data.substr(headerSize)});
  if (!std::equal(digest.begin(), digest.end(), data.begin() + hashedHeaderSize,
                  [](unsigned char a, char b) { return a == static_cast<unsigned char>(b); }))
    return damaged("expected SHA-256 " + toHex(digest) + " of the content, got another");
  const auto kind = get<uint32_t>(data, 12);
  if (version != formatVersion || kind > static_cast<uint32_t>(ArtifactKind::Hsaco))
    return damaged("expected format version 1 and a kind from 0 to 5, got " + std::to_string(version) + " and " +
                   std::to_string(kind));
  Artifact artifact;
  artifact.name = parts[0];
  artifact.target = parts[1];
  artifact.kind = static_cast<ArtifactKind>(kind);
  artifact.metadata = parts[2];
  artifact.bytes = parts[3];
  return artifact;
}
