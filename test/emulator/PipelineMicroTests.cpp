// A whole pipeline of sm_90a: a producer warp group copies tiles of A and B into two stages, a consumer warp group
// multiplies them, mbarriers hand the stages back and forth. Complete, and with one thing left out at a time.

#include "runtime/LowPrecision.h"
#include "test/emulator/MicroTest.h"
#include "test/emulator/WgmmaText.h"

#include <random>

namespace flashc::test {

namespace {
constexpr unsigned threads = 256, rows = 64, columns = 64, tileDepth = 64, tiles = 5, stages = 2;
constexpr unsigned depth = tiles * tileDepth, registers = columns / 2;
constexpr unsigned tileBytes = rows * tileDepth * 2, stageBytes = 2 * tileBytes, stagesAt = 1024;

/// What is left out or out of place, and what follows.
struct Variant {
  std::string name;
  bool waitsForFull = true, waitsForEmpty = true;
  bool releasesLate = true; ///< the consumer gives a stage back after its wait_group, not before
  unsigned inFlight = 0;    ///< groups that the consumer leaves under way; it then gives back the stage before
  bool touches = false;     ///< the consumer scales its accumulators between products
  bool fences = true;       ///< wgmma.fence in each round
  bool oneReleases = false; ///< one thread gives stages back for its warp group
  std::string finding{};
};

std::string mbarrier(const std::string &text, const std::string &constraints, const std::string &arguments) {
  return "  call void asm sideeffect \"" + text + "\", \"" + constraints + "\"(" + arguments + ")\n";
}
std::string wait(const std::string &barrier, const std::string &parity) {
  return mbarrier(
      "{\\0A\\09.reg .pred P1;\\0A\\09LAB_WAIT:\\0A\\09mbarrier.try_wait.parity.shared.b64 P1, [$0], $1, $2;"
      "\\0A\\09@P1 bra.uni DONE;\\0A\\09bra.uni LAB_WAIT;\\0A\\09DONE:\\0A\\09}",
      "r,r,r", "i32 " + barrier + ", i32 " + parity + ", i32 10000000");
}
std::string copyTile(const std::string &to, unsigned row) {
  return mbarrier(
      "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [$0], [$1, {$2,$3} ], [$4];",
      "r,l,r,r,r", "i32 " + to + ", ptr %map, i32 %p.depth, i32 " + number(row) + ", i32 %p.full");
}
/// The addresses of a stage's data and barriers (full at 8 s, empty at 16 + 8 s), and the parity of its use in round
/// %<n>.t.
std::string stage(const std::string &n) {
  std::string t = "%" + n + ".t", s = "%" + n;
  return "  " + s + ".s = and i32 " + t + ", 1\n  " + s + ".use = lshr i32 " + t + ", 1\n  " + s +
         ".parity = and i32 " + s + ".use, 1\n  " + s + ".other = xor i32 " + s + ".parity, 1\n  " + s +
         ".off = mul i32 " + s + ".s, " + number(stageBytes) + "\n  " + s + ".off2 = add i32 " + s + ".off, " +
         number(stagesAt) + "\n  " + s + ".a = add i32 %base, " + s + ".off2\n  " + s + ".b = add i32 " + s + ".a, " +
         number(tileBytes) + "\n  " + s + ".s8 = shl i32 " + s + ".s, 3\n  " + s + ".full = add i32 %base, " + s +
         ".s8\n  " + s + ".empty = add i32 " + s + ".full, 16\n";
}

std::string release(const Variant &v, const std::string &barrier) {
  if (!v.oneReleases)
    return mbarrier("mbarrier.arrive.shared.b64 _, [$0];", "r", "i32 " + barrier);
  return mbarrier("{ .reg .pred p; setp.eq.u32 p, $1, 200; @p mbarrier.arrive.shared.b64 _, [$0]; }", "r,r",
                  "i32 " + barrier + ", i32 %tid");
}

std::string kernel(const Variant &v) {
  std::string ir = kernelBegin(/*withMap=*/true);
  ir += "  br i1 %first, label %init, label %ready\ninit:\n";
  for (unsigned s = 0; s < stages; ++s) {
    ir += "  %f" + number(s) + " = add i32 %base, " + number(8 * s) + "\n  %e" + number(s) + " = add i32 %base, " +
          number(16 + 8 * s) + "\n" +
          mbarrier("mbarrier.init.shared.b64 [$0], $1;", "r,r", "i32 %f" + number(s) + ", i32 1") +
          mbarrier("mbarrier.init.shared.b64 [$0], $1;", "r,r",
                   "i32 %e" + number(s) + ", i32 " + number(v.oneReleases ? 1 : 128));
  }
  ir += statement("fence.mbarrier_init.release.cluster;") + "  br label %ready\nready:\n" + barrier() +
        "  %role = icmp ult i32 %tid, 128\n  br i1 %role, label %producer, label %consumer\n"
        "producer:\n  br i1 %first, label %p, label %exit\n"
        "p:\n  %p.t = phi i32 [ 0, %producer ], [ %p.next, %p ]\n  %p.depth = mul i32 %p.t, " +
        number(tileDepth) + "\n" + stage("p");
  // The first use of a stage waits for the phase before the first, which counts as complete.
  if (v.waitsForEmpty)
    ir += wait("%p.empty", "%p.other");
  ir += mbarrier("mbarrier.arrive.expect_tx.shared.b64 _, [$0], $1;", "r,r", "i32 %p.full, i32 " + number(stageBytes)) +
        copyTile("%p.a", 0) + copyTile("%p.b", rows) +
        "  %p.next = add i32 %p.t, 1\n  %p.more = icmp ult i32 %p.next, " + number(tiles) +
        "\n  br i1 %p.more, label %p, label %exit\nconsumer:\n  br label %c\nc:\n"
        "  %c.t = phi i32 [ 0, %consumer ], [ %c.next, %c.end ]\n";
  for (unsigned i = 0; i < registers; ++i)
    ir += "  %acc" + number(i) + " = phi float [ 0.0, %consumer ], [ %" + (v.touches ? "scaled" : "p3.") + number(i) +
          ", %c.end ]\n";
  ir += stage("c");
  if (v.waitsForFull)
    ir += wait("%c.full", "%c.parity");
  if (v.fences)
    ir += statement("wgmma.fence.sync.aligned;");
  for (unsigned k = 0; k < 4; ++k) {
    std::string n = number(k);
    ir += "  %ka" + n + " = add i32 %c.a, " + number(32 * k) + "\n  %kb" + n + " = add i32 %c.b, " + number(32 * k) +
          "\n" + wgmmaDescriptor("da" + n, "%ka" + n, 16, 1024, 128) +
          wgmmaDescriptor("db" + n, "%kb" + n, 16, 1024, 128) +
          wgmmaStatement({columns}, "p" + n, k ? "p" + number(k - 1) + "." : "acc", "da" + n, "db" + n);
  }
  ir += statement("wgmma.commit_group.sync.aligned;");
  std::string waits = statement("wgmma.wait_group.sync.aligned " + number(v.inFlight) + ";");
  // With a group in flight, what is complete is the round before: its stage is the other one.
  std::string given = release(v, v.inFlight ? "%c.before" : "%c.empty");
  if (v.inFlight)
    ir += "  %c.before = xor i32 %c.empty, 8\n  %c.any = icmp ugt i32 %c.t, 0\n";
  ir += v.releasesLate ? waits : "";
  if (v.inFlight)
    ir += "  br i1 %c.any, label %c.give, label %c.end\nc.give:\n" + given + "  br label %c.end\nc.end:\n";
  else
    ir += given + "  br label %c.end\nc.end:\n";
  ir += v.releasesLate ? "" : waits;
  if (v.touches)
    for (unsigned i = 0; i < registers; ++i)
      ir += "  %scaled" + number(i) + " = fmul float %p3." + number(i) + ", 5.000000e-01\n";
  ir += "  %c.next = add i32 %c.t, 1\n  %c.more = icmp ult i32 %c.next, " + number(tiles) +
        "\n  br i1 %c.more, label %c, label %done\ndone:\n";
  if (v.inFlight)
    ir += statement("wgmma.wait_group.sync.aligned 0;");
  ir += "  %thread = sub i32 %tid, 128\n  %o.at = mul i32 %thread, " + number(registers) +
        "\n  %po = getelementptr float, ptr addrspace(1) %out, i32 %o.at\n";
  for (unsigned i = 0; i < registers; ++i) {
    std::string n = number(i);
    ir += "  %o" + n + " = fmul float %" + (v.touches ? "scaled" : "p3.") + n + ", 2.000000e+00\n  %po" + n +
          " = getelementptr float, ptr addrspace(1) %po, i32 " + n + "\n  store float %o" + n +
          ", ptr addrspace(1) %po" + n + ", align 4\n";
  }
  return ir + "  br label %exit\nexit:\n" + kernelEnd();
}

MicroTest make(const Variant &v) {
  MicroTest test;
  test.name = "pipeline_" + v.name;
  test.chip = "sm_90a";
  test.threads = threads;
  test.sharedBytes = stagesAt + stages * stageBytes;
  test.finding = v.finding;
  test.compare = MicroTest::Compare::F32;
  test.tolerance = 1e-3;
  flashc_tensor_map map{};
  map.dtype = FLASHC_BF16;
  map.rank = 2;
  map.size[0] = depth, map.size[1] = rows + columns;
  map.stride_bytes[0] = depth * 2;
  map.box[0] = tileDepth, map.box[1] = rows;
  map.element_stride[0] = map.element_stride[1] = 1;
  map.swizzle = 128;
  test.map = map;
  std::mt19937 random(7);
  std::uniform_int_distribution<int> draw(-16, 16);
  std::vector<double> values((rows + columns) * depth);
  test.input.resize(values.size() * 2);
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = draw(random) / 16.0;
    writeElement(&test.input[2 * i], FLASHC_BF16, values[i]);
  }
  for (unsigned thread = 0; thread < 128; ++thread)
    for (unsigned i = 0; i < registers; ++i) {
      // The accumulator's fragment: figure 149 of the PTX ISA.
      unsigned row = thread / 32 * 16 + i / 2 % 2 * 8 + thread % 32 / 4, column = i / 4 * 8 + thread % 4 * 2 + i % 2;
      double sum = 0;
      for (unsigned t = 0; t < tiles; ++t) {
        for (unsigned k = t * tileDepth; k < (t + 1) * tileDepth; ++k)
          sum += values[row * depth + k] * values[(rows + column) * depth + k];
        sum *= v.touches ? 0.5 : 1;
      }
      put<float>(test.expected, (thread * registers + i) * 4, float(2 * sum));
    }
  test.ir = kernel(v);
  return test;
}
} // namespace

std::vector<MicroTest> pipelineTests() {
  std::vector<Variant> variants = {{"complete"}};
  auto add = [&](const std::string &name, auto change) {
    Variant v{name};
    change(v);
    variants.push_back(v);
  };
  add("one_in_flight", [](Variant &v) { v.inFlight = 1; });
  add("touching", [](Variant &v) { v.touches = true; });
  add("one_releases", [](Variant &v) { v.oneReleases = true; });
  add("touching_without_fence",
      [](Variant &v) { v.touches = true, v.fences = false, v.finding = "wgmma.fence has to"; });
  add("touching_in_flight",
      [](Variant &v) { v.touches = true, v.inFlight = 1, v.finding = "is read before a wgmma.wait_group"; });
  add("without_full", [](Variant &v) { v.waitsForFull = false, v.finding = "of shared memory at offset"; });
  add("without_empty", [](Variant &v) { v.waitsForEmpty = false, v.finding = "arrives 1 times at an mbarrier"; });
  add("releasing_early", [](Variant &v) { v.releasesLate = false, v.finding = "of shared memory at offset"; });
  std::vector<MicroTest> tests;
  for (const Variant &v : variants)
    tests.push_back(make(v));
  return tests;
}

} // namespace flashc::test
