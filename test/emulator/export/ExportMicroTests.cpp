// Writes the micro-tests as files, for scripts/micro_tests.py to compile and to run on real chips.
//
//   flashc-export-micro-tests FOLDER
//
// Each test is NAME.ll, NAME.in and NAME.expected; tests.json lists them. Tests that expect a finding stay out: what a
// chip does with a kernel that is wrong, nobody promises.

#include "test/emulator/MicroTest.h"

#include <cstdio>
#include <fstream>

using namespace flashc::test;

static std::string list(const uint64_t *values, unsigned count) {
  std::string text;
  for (unsigned i = 0; i < count; ++i)
    text += (i ? ", " : "") + std::to_string(values[i]);
  return "[" + text + "]";
}
static std::string list(const uint32_t *values, unsigned count) {
  uint64_t wide[5] = {};
  for (unsigned i = 0; i < count; ++i)
    wide[i] = values[i];
  return list(wide, count);
}

static std::string describe(const MicroTest &test) {
  const char *compare = test.compare == MicroTest::Compare::Bits  ? "bits"
                        : test.compare == MicroTest::Compare::F32 ? "f32"
                                                                  : "f64";
  std::string text =
      "{\"name\": \"" + test.name + "\", \"chip\": \"" + test.chip + "\", \"blocks\": " + std::to_string(test.blocks) +
      ", \"cluster\": " + std::to_string(test.cluster) + ", \"threads\": " + std::to_string(test.threads) +
      ", \"shared_bytes\": " + std::to_string(test.sharedBytes) + ", \"compare\": \"" + compare +
      "\", \"tolerance\": " + std::to_string(test.tolerance);
  if (test.map)
    text +=
        ", \"map\": {\"of\": \"" + std::string(test.mapsOutput ? "out" : "in") +
        "\", \"dtype\": " + std::to_string(test.map->dtype) + ", \"size\": " + list(test.map->size, test.map->rank) +
        ", \"stride_bytes\": " + list(test.map->stride_bytes, test.map->rank - 1) +
        ", \"box\": " + list(test.map->box, test.map->rank) + ", \"swizzle\": " + std::to_string(test.map->swizzle) +
        ", \"fill_nan\": " + std::to_string(test.map->fill_nan) + "}";
  return text + "}";
}

int main(int argc, char **argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: flashc-export-micro-tests FOLDER\n");
    return 1;
  }
  const std::string folder = std::string(argv[1]) + "/";
  auto write = [&](const std::string &name, const void *data, size_t bytes) {
    std::ofstream(folder + name, std::ios::binary).write(static_cast<const char *>(data), std::streamsize(bytes));
  };
  std::string index;
  for (const auto &tests : {warpTests(), blockTests(), amdMatrixTests(), amdLaneTests(), wgmmaTests(),
                            tensorCopyTests(), clusterTests(), pipelineTests()})
    for (const MicroTest &test : tests) {
      if (!test.finding.empty())
        continue;
      write(test.name + ".ll", test.ir.data(), test.ir.size());
      write(test.name + ".in", test.input.data(), test.input.size());
      write(test.name + ".expected", test.expected.data(), test.expected.size());
      index += (index.empty() ? "" : ",\n") + describe(test);
    }
  index = "[" + index + "]\n";
  write("tests.json", index.data(), index.size());
  if (!std::ifstream(folder + "tests.json")) {
    std::fprintf(stderr, "cannot write to '%s'\n", argv[1]);
    return 1;
  }
  return 0;
}
