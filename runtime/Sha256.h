//===- Sha256.h - content hashes ----------------------------------------------===//
#ifndef FLASHC_RUNTIME_SHA256_H
#define FLASHC_RUNTIME_SHA256_H

#include <array>
#include <initializer_list>
#include <string>
#include <string_view>

namespace flashc {

using Sha256Digest = std::array<unsigned char, 32>;

/// SHA-256 of the concatenation of the parts.
Sha256Digest sha256(std::initializer_list<std::string_view> parts);

/// 64 lower-case hexadecimal digits.
std::string toHex(const Sha256Digest &digest);
inline std::string sha256Hex(std::string_view bytes) { return toHex(sha256({bytes})); }

} // namespace flashc

#endif // FLASHC_RUNTIME_SHA256_H
