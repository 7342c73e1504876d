//===- Sha256.cpp - content hashes, by libmd ----------------------------------===//

#include "runtime/Sha256.h"

#include <cstdint>
#include <sha2.h>

using namespace flashc;

Sha256Digest flashc::sha256(std::initializer_list<std::string_view> parts) {
  SHA2_CTX context;
  SHA256Init(&context);
  for (std::string_view part : parts)
    SHA256Update(&context, reinterpret_cast<const uint8_t *>(part.data()), part.size());
  Sha256Digest digest;
  SHA256Final(digest.data(), &context);
  return digest;
}

std::string flashc::toHex(const Sha256Digest &digest) {
  constexpr char digits[] = "0123456789abcdef";
  std::string text;
  text.reserve(2 * digest.size());
  for (unsigned char byte : digest) {
    text += digits[byte >> 4];
    text += digits[byte & 15];
  }
  return text;
}
