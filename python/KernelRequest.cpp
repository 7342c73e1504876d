//===- KernelRequest.cpp - the key of everything static ----------------------===//

#include "python/CompilerBridge.h"

#include <cstring>

namespace flashc::python {

namespace {

/// Appends values so that no two different lists give one text: numbers by their bytes, strings behind their length.
class KeyWriter {
public:
  explicit KeyWriter(std::string &text) : text(text) {}

  template <typename T> void number(T value) {
    char bytes[sizeof(T)];
    std::memcpy(bytes, &value, sizeof(T));
    text.append(bytes, sizeof(T));
  }
  void string(const std::string &value) {
    number(value.size());
    text += value;
  }
  template <typename T> void optional(const std::optional<T> &value) {
    text += value ? '1' : '0';
    if (value)
      number(*value);
  }

private:
  std::string &text;
};

} // namespace

std::string KernelRequest::key() const {
  std::string text;
  text.reserve(160 + mask.size() + score.size());
  KeyWriter writer(text);
  writer.number(headDim);
  writer.number(valueHeadDim);
  writer.number(dtype);
  writer.string(mask);
  writer.number(maskDTypes.size());
  for (int32_t maskDType : maskDTypes)
    writer.number(maskDType);
  writer.optional(biasDType);
  writer.optional(scale);
  writer.optional(softcap);
  writer.string(score);
  writer.number(returnLse);
  writer.number(tf32);
  writer.string(target);
  writer.number(tileQueries);
  writer.number(tileKeys);
  writer.number(tileSplit);
  writer.string(name);
  return text;
}

} // namespace flashc::python
