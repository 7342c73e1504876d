// The copy engine, mbarriers and what else steers warps on sm_90a. PTX ISA 9.0: "Tensors" (out-of-boundary access,
// swizzling modes), cp.async.bulk.tensor, mbarrier (phases, transactions), elect.sync, setmaxnreg.

#include "runtime/LowPrecision.h"
#include "test/emulator/MicroTest.h"
#include "test/emulator/NvptxText.h"

#include <cmath>
#include <functional>

namespace flashc::test {

namespace {
constexpr unsigned threads = 128, boxAt = 1024; // the mbarrier lies at the begin of shared memory

std::string onFirstThread(const std::string &name, const std::string &body, const std::string &after) {
  return "  br i1 %first, label %" + name + ", label %" + after + "\n" + name + ":\n" + body + "  br label %" + after +
         "\n" + after + ":\n";
}
std::string asmCall(const std::string &text, const std::string &constraints, const std::string &arguments) {
  return "  call void asm sideeffect \"" + text + "\", \"" + constraints + "\"(" + arguments + ")\n";
}
std::string mbarrierInit(unsigned count) {
  return asmCall("mbarrier.init.shared.b64 [$0], $1;", "r,r", "i32 %base, i32 " + number(count));
}
std::string fenceInit() { return statement("fence.mbarrier_init.release.cluster;"); }
std::string arriveExpect(unsigned bytes) {
  return asmCall("mbarrier.arrive.expect_tx.shared.b64 _, [$0], $1;", "r,r", "i32 %base, i32 " + number(bytes));
}
/// The loop that MLIR's NVVM dialect writes.
std::string waitParity(unsigned parity) {
  return asmCall(
      "{\\0A\\09.reg .pred P1; \\0A\\09LAB_WAIT: \\0A\\09mbarrier.try_wait.parity.shared.b64 P1, [$0], $1, $2; "
      "\\0A\\09@P1 bra.uni DONE; \\0A\\09bra.uni LAB_WAIT; \\0A\\09DONE: \\0A\\09}",
      "r,r,r", "i32 %base, i32 " + number(parity) + ", i32 10000000");
}

struct Box {
  std::string name;
  int32_t dtype;
  std::vector<unsigned> size, box;
  std::vector<int> at;
  unsigned swizzle = 0;
  bool nan = false;
  unsigned rank() const { return unsigned(size.size()); }
};

unsigned bytesOf(int32_t dtype) { return dtype == FLASHC_F32 ? 4 : 2; }

/// "Swizzling modes": where byte `offset` of a box goes, from a multiple of 1,024. The chunks of 16 bytes of a row are
/// exchanged: by the row's number in groups of 8 (rows of 128 bytes), by half of it in groups of 4 (64), by a quarter
/// of it in pairs (32).
unsigned swizzled(unsigned offset, unsigned swizzle) {
  if (!swizzle)
    return offset;
  unsigned row = offset / swizzle, chunk = offset % swizzle / 16, chunks = swizzle / 16;
  unsigned by = swizzle == 128 ? row % 8 : swizzle == 64 ? row / 2 % 4 : row / 4 % 2;
  return row * swizzle + (chunk ^ by) % chunks * 16 + offset % 16;
}

flashc_tensor_map mapOf(const Box &box) {
  flashc_tensor_map map{};
  map.dtype = box.dtype;
  map.rank = box.rank();
  uint64_t stride = bytesOf(box.dtype);
  for (unsigned i = 0; i < box.rank(); ++i) {
    map.size[i] = box.size[i];
    map.box[i] = box.box[i];
    map.element_stride[i] = 1;
    stride = (stride * box.size[i] + 15) / 16 * 16; // of the next dimension
    if (i + 1 < box.rank())
      map.stride_bytes[i] = stride;
  }
  map.swizzle = box.swizzle;
  map.fill_nan = box.nan;
  return map;
}

/// Visits the elements of a box: the byte in the unswizzled box, the byte in the tensor or -1 outside of it.
void forEachElement(const Box &box, const std::function<void(unsigned, long)> &visit) {
  flashc_tensor_map map = mapOf(box);
  unsigned count = 1;
  for (unsigned extent : box.box)
    count *= extent;
  for (unsigned i = 0; i < count; ++i) {
    unsigned rest = i;
    long byte = 0;
    bool inside = true;
    for (unsigned d = 0; d < box.rank(); ++d) {
      long index = box.at[d] + long(rest % box.box[d]);
      rest /= box.box[d];
      inside &= index >= 0 && index < long(box.size[d]);
      byte += index * long(d ? map.stride_bytes[d - 1] : bytesOf(box.dtype));
    }
    visit(i * bytesOf(box.dtype), inside ? byte : -1);
  }
}

unsigned boxBytes(const Box &box) {
  unsigned bytes = bytesOf(box.dtype);
  for (unsigned extent : box.box)
    bytes *= extent;
  return bytes;
}
unsigned tensorBytes(const Box &box) {
  flashc_tensor_map map = mapOf(box);
  unsigned last = box.rank() - 1;
  return unsigned(last ? map.stride_bytes[last - 1] * box.size[last]
                       : (box.size[0] * bytesOf(box.dtype) + 15) / 16 * 16);
}

std::string coordinates(const Box &box, unsigned first) {
  std::string text;
  for (unsigned i = 0; i < box.rank(); ++i)
    text += (i ? ",$" : "$") + number(first + i);
  return "{" + text + "}";
}
std::string coordinateArguments(const Box &box) {
  std::string text;
  for (int at : box.at)
    text += ", i32 " + number(at);
  return text;
}
std::string constraints(const Box &box, const std::string &begin, const std::string &end) {
  std::string text = begin;
  for (unsigned i = 0; i < box.rank(); ++i)
    text += ",r";
  return text + end;
}

std::string tensorLoad(const Box &box) {
  unsigned barrier = 2 + box.rank();
  return asmCall("cp.async.bulk.tensor." + number(box.rank()) +
                     "d.shared::cluster.global.mbarrier::complete_tx::bytes [$0], [$1, " + coordinates(box, 2) +
                     " ], [$" + number(barrier) + "];",
                 constraints(box, "r,l", ",r"), "i32 %box, ptr %map" + coordinateArguments(box) + ", i32 %base");
}
std::string tensorStore(const Box &box) {
  return asmCall("cp.async.bulk.tensor." + number(box.rank()) + "d.global.shared::cta.bulk_group [$0, " +
                     coordinates(box, 2) + " ], [$1];",
                 constraints(box, "l,r", ""), "ptr %map, i32 %box" + coordinateArguments(box));
}
std::string commitAndWait(bool wait) {
  return statement("cp.async.bulk.commit_group;") + (wait ? statement("cp.async.bulk.wait_group.read 0;") : "");
}

MicroTest begin(const std::string &name, unsigned shared) {
  MicroTest test;
  test.name = name;
  test.chip = "sm_90a";
  test.threads = threads;
  test.sharedBytes = shared;
  return test;
}

/// What may be left out of a load, and what follows.
struct LoadParts {
  bool fenceInit = true, barrier = true;
  bool wait = true;   ///< on the mbarrier; else at a barrier of the block
  int expectMore = 0; ///< bytes
  std::string finding{};
};

MicroTest loadTest(const Box &box, const LoadParts &parts = {}) {
  unsigned bytes = boxBytes(box);
  MicroTest test = begin(box.name, boxAt + bytes);
  test.map = mapOf(box);
  test.finding = parts.finding;
  test.input.resize(tensorBytes(box));
  for (unsigned i = 0; i < test.input.size(); i += bytesOf(box.dtype))
    writeElement(&test.input[i], box.dtype, double(int(i * 7 % 251)) - 125);
  test.expected.resize(bytes);
  forEachElement(box, [&](unsigned offset, long from) {
    uint8_t *to = &test.expected[swizzled(offset, box.swizzle)];
    if (from >= 0)
      std::memcpy(to, &test.input[unsigned(from)], bytesOf(box.dtype));
    else if (box.nan)
      writeElement(to, box.dtype, std::nan(""));
    else
      std::memset(to, 0, bytesOf(box.dtype));
  });
  if (box.nan)
    test.compare = MicroTest::Compare::F32;
  test.ir = kernelBegin(/*withMap=*/true) + "  %box = add i32 %base, " + number(boxAt) + "\n" +
            onFirstThread("init", mbarrierInit(1) + (parts.fenceInit ? fenceInit() : ""), "ready") +
            (parts.barrier ? barrier() : "") +
            onFirstThread("load", arriveExpect(bytes + unsigned(parts.expectMore)) + tensorLoad(box), "loaded") +
            (parts.wait ? waitParity(0) : barrier()) + copyFromShared("copied", "loaded", boxAt, 0, bytes, threads) +
            kernelEnd();
  return test;
}

MicroTest storeTest(const Box &box, bool proxyFence = true, bool wait = true, const std::string &finding = "") {
  unsigned bytes = boxBytes(box);
  MicroTest test = begin(box.name, boxAt + bytes);
  test.map = mapOf(box);
  test.mapsOutput = true;
  test.finding = finding;
  test.input.resize(bytes);
  test.expected.resize(tensorBytes(box));
  forEachElement(box, [&](unsigned offset, long to) {
    uint8_t *from = &test.input[swizzled(offset, box.swizzle)];
    writeElement(from, box.dtype, double(int(offset * 5 % 241)) - 120);
    if (to >= 0)
      std::memcpy(&test.expected[unsigned(to)], from, bytesOf(box.dtype));
  });
  test.ir = kernelBegin(/*withMap=*/true) + "  %box = add i32 %base, " + number(boxAt) + "\n" +
            copyToShared("filled", "entry", 0, boxAt, bytes, threads) + (proxyFence ? fenceProxy() : "") + barrier() +
            onFirstThread("store", tensorStore(box) + commitAndWait(wait), "stored") + kernelEnd();
  return test;
}

/// Words of 128 threads through plain bulk copies, in and out.
MicroTest bulkTest() {
  unsigned bytes = threads * 4;
  MicroTest test = begin("bulk_copies", boxAt + bytes);
  test.input.resize(bytes);
  for (unsigned i = 0; i < threads; ++i)
    put<uint32_t>(test.input, i * 4, i * 0x01010101u);
  test.expected = test.input;
  std::string load = asmCall("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [$0], [$1], $2, [$3];",
                             "r,l,r,r", "i32 %box, ptr addrspace(1) %in, i32 " + number(bytes) + ", i32 %base");
  std::string store = asmCall("cp.async.bulk.global.shared::cta.bulk_group [$0], [$1], $2;", "l,r,r",
                              "ptr addrspace(1) %out, i32 %box, i32 " + number(bytes));
  test.ir = kernelBegin() + "  %box = add i32 %base, " + number(boxAt) + "\n" +
            onFirstThread("copy",
                          mbarrierInit(1) + fenceInit() + arriveExpect(bytes) + load + waitParity(0) + store +
                              statement("cp.async.bulk.commit_group;") + statement("cp.async.bulk.wait_group 0;"),
                          "done") +
            kernelEnd();
  return test;
}

/// Every thread writes a word, arrives, waits for the phase and reads its neighbour's; twice, so that both parities
/// come up.
MicroTest phasesTest(bool wait, unsigned arrivals, const std::string &name, const std::string &finding) {
  MicroTest test = begin(name, boxAt + 2 * threads * 4);
  test.finding = finding;
  test.input.resize(threads * 4);
  for (unsigned i = 0; i < threads; ++i)
    put<uint32_t>(test.input, i * 4, i * 3 + 1);
  test.expected.resize(2 * threads * 4);
  for (unsigned i = 0; i < threads; ++i) {
    put<uint32_t>(test.expected, i * 4, (i + 1) % threads * 3 + 1);
    put<uint32_t>(test.expected, (threads + i) * 4, (i + 2) % threads * 3 + 1);
  }
  auto exchange = [&](unsigned phase, const std::string &value) {
    std::string p = number(phase), at = number(boxAt / 4 + phase * threads);
    return "  %w" + p + ".i = add i32 %tid, " + at + "\n  %w" + p +
           " = getelementptr i32, ptr addrspace(3) @shared, i32 %w" + p + ".i\n  store i32 " + value +
           ", ptr addrspace(3) %w" + p + ", align 4\n" + "  %state" + p +
           " = call i64 asm sideeffect \"mbarrier.arrive.shared.b64 $0, [$1];\", \"=l,r\"(i32 %base)\n" +
           (wait ? waitParity(phase) : "") + "  %n" + p + ".a = add i32 %tid, 1\n  %n" + p + ".b = and i32 %n" + p +
           ".a, 127\n  %n" + p + ".i = add i32 %n" + p + ".b, " + at + "\n  %r" + p +
           " = getelementptr i32, ptr addrspace(3) @shared, i32 %n" + p + ".i\n  %v" + p +
           " = load i32, ptr addrspace(3) %r" + p + ", align 4\n  %o" + p + ".i = add i32 %tid, " +
           number(phase * threads) + "\n  %o" + p + " = getelementptr i32, ptr addrspace(1) %out, i32 %o" + p +
           ".i\n  store i32 %v" + p + ", ptr addrspace(1) %o" + p + ", align 4\n";
  };
  test.ir = kernelBegin() + onFirstThread("init", mbarrierInit(arrivals), "ready") + barrier() +
            "  %pin = getelementptr i32, ptr addrspace(1) %in, i32 %tid\n  %own = load i32, ptr addrspace(1) %pin, "
            "align 4\n" +
            exchange(0, "%own") + exchange(1, "%v0") + kernelEnd();
  return test;
}

/// Each thread stores one word that a statement computes.
MicroTest wordTest(const std::string &name, const std::string &statements,
                   const std::function<uint32_t(unsigned)> &word, unsigned count = threads,
                   const std::string &finding = "") {
  MicroTest test = begin(name, 0);
  test.threads = count;
  test.finding = finding;
  test.input.resize(4);
  test.expected.resize(count * 4);
  for (unsigned i = 0; i < count; ++i)
    put<uint32_t>(test.expected, i * 4, word(i));
  test.ir =
      kernelBegin() + statements +
      "  %po = getelementptr i32, ptr addrspace(1) %out, i32 %tid\n  store i32 %word, ptr addrspace(1) %po, align 4\n" +
      kernelEnd() +
      "declare i32 @llvm.nvvm.read.ptx.sreg.cluster.ctarank()\n"
      "declare i32 @llvm.nvvm.read.ptx.sreg.cluster.nctarank()\n"
      "declare void @llvm.nvvm.setmaxnreg.inc.sync.aligned.u32(i32 immarg)\n"
      "declare void @llvm.nvvm.setmaxnreg.dec.sync.aligned.u32(i32 immarg)\n";
  return test;
}

/// Warpgroup 0 gives registers back, warpgroup 1 takes `count`.
std::string setRegisters(unsigned fewer, unsigned more) {
  return "  %producer = icmp ult i32 %tid, 128\n  br i1 %producer, label %give, label %take\n"
         "give:\n  call void @llvm.nvvm.setmaxnreg.dec.sync.aligned.u32(i32 " +
         number(fewer) + ")\n  br label %both\ntake:\n  call void @llvm.nvvm.setmaxnreg.inc.sync.aligned.u32(i32 " +
         number(more) + ")\n  br label %both\nboth:\n  %word = phi i32 [ " + number(fewer) + ", %give ], [ " +
         number(more) + ", %take ]\n";
}
} // namespace

std::vector<MicroTest> tensorCopyTests() {
  constexpr int32_t bf16 = FLASHC_BF16, f32 = FLASHC_F32;
  Box plain{"tensor_load", bf16, {128, 64}, {64, 32}, {64, 16}, 128};
  std::vector<MicroTest> tests;
  for (const Box &box : std::vector<Box>{
           plain,
           {"tensor_load_1d", f32, {200}, {64}, {100}},
           {"tensor_load_no_swizzle", f32, {36, 20}, {12, 10}, {8, 5}},
           {"tensor_load_swizzle32", bf16, {40, 40}, {16, 24}, {8, 9}, 32},
           {"tensor_load_swizzle64", bf16, {64, 40}, {32, 24}, {32, 3}, 64},
           {"tensor_load_beyond", bf16, {104, 70}, {64, 32}, {64, 50}, 128},
           {"tensor_load_before", bf16, {104, 70}, {64, 32}, {-24, -5}, 128},
           {"tensor_load_outside", bf16, {64, 64}, {64, 8}, {0, 64}, 128},
           {"tensor_load_nan", f32, {30, 10}, {16, 8}, {20, 6}, 64, true},
           {"tensor_load_3d", bf16, {64, 5, 9}, {64, 2, 8}, {0, 3, 4}, 128},
           {"tensor_load_4d", bf16, {64, 20, 3, 2}, {64, 16, 1, 1}, {0, 8, 2, 1}, 128},
           {"tensor_load_5d", f32, {8, 4, 3, 3, 2}, {8, 2, 2, 2, 2}, {0, 3, 1, 2, -1}},
       })
    tests.push_back(loadTest(box));
  auto without = [&](const std::string &name, LoadParts parts) {
    Box box = plain;
    box.name = "tensor_load_" + name;
    tests.push_back(loadTest(box, parts));
  };
  without("without_init_fence", {false, true, true, 0, "initialisation of the mbarrier is not visible"});
  without("without_barrier", {true, false, true, 0, "no barrier orders this use of the mbarrier"});
  without("without_wait", {true, true, false, 0, "of shared memory at offset"});
  without("expecting_more", {true, true, true, 16, "deadlock"});
  Box misplaced = plain;
  misplaced.name = "tensor_load_map_not_constant";
  tests.push_back(loadTest(misplaced));
  tests.back().ir.replace(tests.back().ir.find("grid_constant"), 13, "other_setting");
  tests.back().finding = "is a tensor map, but no grid_constant";
  for (const Box &box : std::vector<Box>{
           {"tensor_store", bf16, {128, 64}, {64, 32}, {64, 16}, 128},
           {"tensor_store_swizzle32", bf16, {40, 40}, {16, 24}, {8, 9}, 32},
           {"tensor_store_swizzle64", bf16, {64, 40}, {32, 24}, {32, 3}, 64},
           {"tensor_store_beyond", bf16, {104, 70}, {64, 32}, {64, 50}, 128},
           {"tensor_store_before", f32, {36, 20}, {12, 10}, {-4, -5}},
           {"tensor_store_4d", bf16, {64, 20, 3, 2}, {64, 16, 1, 1}, {0, 8, 2, 1}, 128},
       })
    tests.push_back(storeTest(box));
  Box store{"tensor_store_without_proxy_fence", bf16, {128, 64}, {64, 32}, {64, 16}, 128};
  tests.push_back(storeTest(store, /*proxyFence=*/false, /*wait=*/true, "fence"));
  store.name = "tensor_store_without_wait";
  tests.push_back(storeTest(store, /*proxyFence=*/true, /*wait=*/false, "the thread ended before"));
  tests.push_back(bulkTest());
  tests.push_back(phasesTest(true, threads, "mbarrier_phases", ""));
  tests.push_back(phasesTest(false, threads, "mbarrier_without_wait", "uninitialised"));
  tests.push_back(phasesTest(true, threads + 1, "mbarrier_expecting_more", "deadlock"));

  tests.push_back(
      wordTest("elect",
               "  %word = call i32 asm sideeffect \"{ .reg .b32 d; .reg .pred p; elect.sync d|p, 0xFFFFFFFF; "
               "selp.b32 $0, 1, 0, p; }\", \"=r\"()\n",
               [](unsigned i) { return i % 32 == 0; }));
  // As MLIR's NVVM dialect writes it.
  tests.push_back(
      wordTest("elect_predicate",
               "  %p = call i1 asm sideeffect \"{                                  \\0A.reg .u32 rx;                  "
               "    \\0A.reg .pred px;                     \\0A mov.pred $0, 0;                   \\0A    "
               "elect.sync rx | px, 0xFFFFFFFF;\\0A@px mov.pred $0, 1;                \\0A}\\0A\", \"=b\"()\n"
               "  %word = zext i1 %p to i32\n",
               [](unsigned i) { return i % 32 == 0; }));
  tests.push_back(wordTest("cluster_of_one",
                           "  %rank = call i32 @llvm.nvvm.read.ptx.sreg.cluster.ctarank()\n"
                           "  %ranks = call i32 @llvm.nvvm.read.ptx.sreg.cluster.nctarank()\n"
                           "  %tens = mul i32 %rank, 10\n  %word = add i32 %tens, %ranks\n",
                           [](unsigned) { return 1; }));
  tests.push_back(wordTest("setmaxnreg", setRegisters(24, 240), [](unsigned i) { return i < 128 ? 24 : 240; }, 256));
  tests.push_back(wordTest(
      "setmaxnreg_too_many", setRegisters(240, 256), [](unsigned) { return 0; }, 384, "a multiprocessor has 65536"));
  return tests;
}

} // namespace flashc::test
