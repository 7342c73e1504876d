/// The registers of a subgroup as an emulated instruction sees them: for each lane, the bytes of one SSA value.
#ifndef FLASHC_EMULATOR_INSTRUCTIONS_LANEVALUES_H
#define FLASHC_EMULATOR_INSTRUCTIONS_LANEVALUES_H

#include <array>
#include <cstdint>
#include <cstring>

namespace flashc::emulator {

/// The most lanes of any operation of several threads: a warpgroup.
constexpr unsigned maxLanes = 128;

/// One operand, of every lane. A lane without a value is one that does not take part.
class LaneValues {
public:
  explicit LaneValues(unsigned lanes) : numLanes(lanes) { pointers.fill(nullptr); }

  /// Lane i's value starts at `base + i * stride`.
  LaneValues(void *base, unsigned lanes, size_t stride) : numLanes(lanes) {
    pointers.fill(nullptr);
    for (unsigned lane = 0; lane < lanes; ++lane)
      pointers[lane] = static_cast<uint8_t *>(base) + lane * stride;
  }
  LaneValues(const void *base, unsigned lanes, size_t stride) : LaneValues(const_cast<void *>(base), lanes, stride) {}

  unsigned lanes() const { return numLanes; }
  bool active(unsigned lane) const { return lane < numLanes && pointers[lane]; }
  void bind(unsigned lane, void *value) { pointers[lane] = static_cast<uint8_t *>(value); }
  uint8_t *bytes(unsigned lane) const { return pointers[lane]; }

  /// Element `index` of the lane's value, of a vector in memory order.
  template <typename T> T get(unsigned lane, unsigned index = 0) const {
    T value;
    std::memcpy(&value, pointers[lane] + index * sizeof(T), sizeof(T));
    return value;
  }
  template <typename T> void set(unsigned lane, T value, unsigned index = 0) const {
    std::memcpy(pointers[lane] + index * sizeof(T), &value, sizeof(T));
  }

private:
  unsigned numLanes;
  std::array<uint8_t *, maxLanes> pointers;
};

} // namespace flashc::emulator

#endif // FLASHC_EMULATOR_INSTRUCTIONS_LANEVALUES_H
