//===- PtxMoves.cpp - integer statements that appear in inline PTX -------------===//

#include "emulator/instructions/Families.h"

using namespace flashc::emulator;

namespace {
/// mov.b32 d, a;  mov.b64 d, {lo, hi};  mov.b64 {lo, hi}, a: bits from one list to the other.
void move(Group &group) {
  const Lane lane = group[0];
  const Call &call = lane.call();
  unsigned char bits[32] = {};
  size_t at = 0;
  for (unsigned i = call.numDestinations; i != call.numOperands(); ++i) {
    const uint64_t value = lane.get<uint64_t>(i);
    const size_t bytes = call.operands[i].bytes;
    if (at + bytes <= sizeof bits)
      std::memcpy(bits + at, &value, bytes);
    at += bytes;
  }
  at = 0;
  for (unsigned i = 0; i != call.numDestinations; ++i) {
    uint64_t value = 0;
    const size_t bytes = call.operands[i].bytes;
    if (at + bytes <= sizeof bits)
      std::memcpy(&value, bits + at, bytes);
    lane.set(i, value);
    at += bytes;
  }
}

template <typename T> T add(T a, T b) { return static_cast<T>(a + b); }
template <typename T> T subtract(T a, T b) { return static_cast<T>(a - b); }
template <typename T> T multiply(T a, T b) { return static_cast<T>(a * b); }
template <typename T> T conjunction(T a, T b) { return a & b; }
template <typename T> T disjunction(T a, T b) { return a | b; }
template <typename T> T difference(T a, T b) { return a ^ b; }
template <typename T> T smaller(T a, T b) { return a < b ? a : b; }
template <typename T> T larger(T a, T b) { return a > b ? a : b; }
/// Shifts by the width or more give what shifting bit by bit would.
template <typename T> T shiftLeft(T a, T b) {
  return static_cast<uint32_t>(b) >= 8 * sizeof(T) ? T{0} : static_cast<T>(a << static_cast<uint32_t>(b));
}
template <typename T> T shiftRight(T a, T b) {
  const uint32_t most = 8 * sizeof(T) - 1, count = static_cast<uint32_t>(b);
  if (count > most)
    return std::is_signed_v<T> ? static_cast<T>(a >> most) : T{0};
  return static_cast<T>(a >> count);
}

template <typename T, T (*f)(T, T)> void binary(Group &group) {
  const Lane lane = group[0];
  lane.set<T>(0, f(lane.get<T>(1), lane.get<T>(2)));
}

template <typename T> bool equal(T a, T b) { return a == b; }
template <typename T> bool unequal(T a, T b) { return a != b; }
template <typename T> bool less(T a, T b) { return a < b; }
template <typename T> bool lessOrEqual(T a, T b) { return a <= b; }
template <typename T> bool greater(T a, T b) { return a > b; }
template <typename T> bool greaterOrEqual(T a, T b) { return a >= b; }

/// setp.op p, a, b;
template <typename T, bool (*f)(T, T)> void compare(Group &group) {
  const Lane lane = group[0];
  lane.set<bool>(0, f(lane.get<T>(1), lane.get<T>(2)));
}
template <typename T> void addComparisons(InstructionSet &set, const char *type) {
  const auto add = [&](const char *op, void (*execute)(Group &)) {
    set.add({std::string("setp.") + op + "." + type, Scope::Lane, execute});
  };
  add("eq", compare<T, equal<T>>);
  add("ne", compare<T, unequal<T>>);
  add("lt", compare<T, less<T>>);
  add("le", compare<T, lessOrEqual<T>>);
  add("gt", compare<T, greater<T>>);
  add("ge", compare<T, greaterOrEqual<T>>);
}

/// selp d, a, b, p;
void select(Group &group) {
  const Lane lane = group[0];
  lane.set<uint64_t>(0, lane.get<bool>(3) ? lane.get<uint64_t>(1) : lane.get<uint64_t>(2));
}

/// cvt.u32.u64 d, a;  cvt.s64.s32 d, a;
template <typename To, typename From> void convert(Group &group) {
  group[0].set<To>(0, static_cast<To>(group[0].get<From>(1)));
}

/// prmt.b32 d, a, b, c: each nibble of c names a byte of b:a; its top bit spreads that byte's sign.
void permute(Group &group) {
  const Lane lane = group[0];
  const uint64_t source = lane.get<uint32_t>(1) | static_cast<uint64_t>(lane.get<uint32_t>(2)) << 32;
  const uint32_t selector = lane.get<uint32_t>(3);
  uint32_t result = 0;
  for (unsigned i = 0; i != 4; ++i) {
    const uint32_t nibble = selector >> 4 * i & 15;
    const auto byte = static_cast<uint8_t>(source >> 8 * (nibble & 7));
    const uint32_t value = nibble & 8 ? (byte & 0x80 ? 0xff : 0) : byte;
    result |= value << 8 * i;
  }
  lane.set(0, result);
}

/// lop3.b32 d, a, b, c, table;
void logic(Group &group) {
  const Lane lane = group[0];
  const uint32_t a = lane.get<uint32_t>(1), b = lane.get<uint32_t>(2), c = lane.get<uint32_t>(3);
  const uint32_t table = lane.get<uint32_t>(4);
  uint32_t result = 0;
  for (unsigned i = 0; i != 8; ++i)
    if (table >> i & 1)
      result |= (i & 4 ? a : ~a) & (i & 2 ? b : ~b) & (i & 1 ? c : ~c);
  lane.set(0, result);
}

Space spaceOf(const Call &call) {
  return call.has("shared::cluster")                     ? Space::ClusterShared
         : call.has("shared") || call.has("shared::cta") ? Space::Shared
         : call.has("global")                            ? Space::Global
                                                         : Space::Generic;
}

template <typename T> void loadMemory(Group &group) {
  const Lane lane = group[0];
  const Call &call = lane.call();
  const uint64_t address = lane.get<uint64_t>(call.numDestinations);
  const Space space = spaceOf(call);
  for (unsigned i = 0; i != call.numDestinations; ++i)
    lane.set<T>(i, lane.thread().load<T>(address + i * sizeof(T), space));
}
template <typename T> void storeMemory(Group &group) {
  const Lane lane = group[0];
  const Call &call = lane.call();
  const uint64_t address = lane.get<uint64_t>(0);
  const Space space = spaceOf(call);
  for (unsigned i = 1; i != call.numOperands(); ++i)
    lane.thread().store<T>(address + (i - 1) * sizeof(T), lane.get<T>(i), space);
}
template <typename T> void addMemory(InstructionSet &set, const std::string &type) {
  for (const std::string space : {".global", ".shared", ".shared::cta", ".shared::cluster", ""})
    for (const std::string vector : {"", ".v2", ".v4"}) {
      set.add({"ld" + space + vector + type, Scope::Lane, loadMemory<T>});
      set.add({"st" + space + vector + type, Scope::Lane, storeMemory<T>, 0});
      set.add({"ld" + space + ".nc" + vector + type, Scope::Lane, loadMemory<T>});
      set.add({"ld.volatile" + space + vector + type, Scope::Lane, loadMemory<T>});
      set.add({"st.volatile" + space + vector + type, Scope::Lane, storeMemory<T>, 0});
    }
}

template <typename T> void addIntegers(InstructionSet &set, const std::string &type) {
  set.add({"add." + type, Scope::Lane, binary<T, add<T>>});
  set.add({"sub." + type, Scope::Lane, binary<T, subtract<T>>});
  set.add({"mul.lo." + type, Scope::Lane, binary<T, multiply<T>>});
  set.add({"min." + type, Scope::Lane, binary<T, smaller<T>>});
  set.add({"max." + type, Scope::Lane, binary<T, larger<T>>});
  set.add({"shr." + type, Scope::Lane, binary<T, shiftRight<T>>});
  addComparisons<T>(set, type.c_str());
}
template <typename T> void addBits(InstructionSet &set, const std::string &type) {
  set.add({"and." + type, Scope::Lane, binary<T, conjunction<T>>});
  set.add({"or." + type, Scope::Lane, binary<T, disjunction<T>>});
  set.add({"xor." + type, Scope::Lane, binary<T, difference<T>>});
  set.add({"shl." + type, Scope::Lane, binary<T, shiftLeft<T>>});
  set.add({"shr." + type, Scope::Lane, binary<T, shiftRight<T>>});
  addComparisons<T>(set, type.c_str());
}
} // namespace

void flashc::emulator::addPtxMoves(InstructionSet &set) {
  set.add({"mov", Scope::Lane, move});
  set.add({"selp", Scope::Lane, select});
  set.add({"prmt.b32", Scope::Lane, permute});
  set.add({"lop3.b32", Scope::Lane, logic});
  set.add({"cvt.u32.u64", Scope::Lane, convert<uint32_t, uint64_t>});
  set.add({"cvt.u64.u32", Scope::Lane, convert<uint64_t, uint32_t>});
  set.add({"cvt.s64.s32", Scope::Lane, convert<int64_t, int32_t>});
  addIntegers<uint32_t>(set, "u32");
  addIntegers<int32_t>(set, "s32");
  addIntegers<uint64_t>(set, "u64");
  addIntegers<int64_t>(set, "s64");
  addBits<uint16_t>(set, "b16");
  addBits<uint32_t>(set, "b32");
  addBits<uint64_t>(set, "b64");
  addComparisons<float>(set, "f32");
  for (const char *name : {"and.pred", "or.pred", "xor.pred"})
    set.add({name, Scope::Lane,
             name[0] == 'a'   ? binary<uint8_t, conjunction<uint8_t>>
             : name[0] == 'o' ? binary<uint8_t, disjunction<uint8_t>>
                              : binary<uint8_t, difference<uint8_t>>});
  addMemory<uint16_t>(set, ".b16");
  addMemory<uint16_t>(set, ".u16");
  addMemory<uint32_t>(set, ".b32");
  addMemory<uint32_t>(set, ".u32");
  addMemory<uint32_t>(set, ".f32");
  addMemory<uint64_t>(set, ".b64");
  addMemory<uint64_t>(set, ".u64");
}
