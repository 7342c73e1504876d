#include "test/emulator/MicroTest.h"

#include <cmath>
#include <sstream>

namespace flashc::test {

template <typename T, typename Differs>
static std::string firstDifference(const MicroTest &test, const std::vector<uint8_t> &actual, Differs differs) {
  size_t count = test.expected.size() / sizeof(T), different = 0, first = 0;
  for (size_t i = count; i-- > 0;)
    if (differs(at<T>(actual, i * sizeof(T)), at<T>(test.expected, i * sizeof(T))))
      ++different, first = i;
  if (!different)
    return {};
  std::ostringstream text;
  text << different << " of " << count << " values differ, the first at " << first << ": "
       << +at<T>(actual, first * sizeof(T)) << " for " << +at<T>(test.expected, first * sizeof(T));
  return text.str();
}

std::string describeDifference(const MicroTest &test, const std::vector<uint8_t> &actual) {
  if (actual.size() < test.expected.size())
    return "too little output";
  auto far = [&](auto a, auto b) {
    return !(std::fabs(double(a) - double(b)) <= test.tolerance) && !(a != a && b != b);
  };
  switch (test.compare) {
  case MicroTest::Compare::Bits:
    return firstDifference<uint32_t>(test, actual, [](uint32_t a, uint32_t b) { return a != b; });
  case MicroTest::Compare::F32:
    return firstDifference<float>(test, actual, far);
  case MicroTest::Compare::F64:
    return firstDifference<double>(test, actual, far);
  }
  return {};
}

} // namespace flashc::test
