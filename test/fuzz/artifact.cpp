// The artifact reader on any bytes: as they are, and with the hash made right, so that the sizes are looked at.

#include "runtime/Artifact.h"
#include "runtime/Sha256.h"

#include <cstdlib>

static void check(std::string_view data) {
  flashc::Result<flashc::Artifact> artifact = flashc::Artifact::parse(data);
  // What is accepted is the serialised form of what was read, to the bit.
  if (artifact && artifact->serialise() != data)
    std::abort();
  if (!artifact && artifact.error().message.empty())
    std::abort();
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  constexpr size_t hashedHeader = 48, header = 80;
  std::string data(reinterpret_cast<const char *>(bytes), size);
  check(data);
  if (size < header)
    return 0;
  data.replace(0, 8, "FLASHCAR");
  const std::string_view all = data;
  const flashc::Sha256Digest digest = flashc::sha256({all.substr(0, hashedHeader), all.substr(header)});
  data.replace(hashedHeader, digest.size(), reinterpret_cast<const char *>(digest.data()), digest.size());
  check(data);
  return 0;
}
