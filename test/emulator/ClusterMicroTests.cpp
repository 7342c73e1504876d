// Clusters of sm_90a. PTX ISA 9.0: "Cluster of Cooperative Thread Arrays" and its special registers, barrier.cluster,
// mapa, getctarank, the state space shared::cluster, mbarrier.arrive (scopes), cp.async.bulk (multicast::cluster); CUDA
// C++ Programming Guide, "Distributed Shared Memory": a block's shared memory is there from its begin to its end.

#include "test/emulator/MicroTest.h"
#include "test/emulator/NvptxText.h"

#include <functional>

namespace flashc::test {

namespace {
constexpr unsigned threads = 64, slotsAt = 64; // mbarriers lie at the begin of shared memory, a word a thread behind

std::string asmCall(const std::string &text, const std::string &constraints, const std::string &arguments) {
  return "  call void asm sideeffect \"" + text + "\", \"" + constraints + "\"(" + arguments + ")\n";
}
std::string asmWord(const std::string &name, const std::string &text, const std::string &constraints,
                    const std::string &arguments) {
  return "  %" + name + " = call i32 asm sideeffect \"" + text + "\", \"=r" + constraints + "\"(" + arguments + ")\n";
}

std::string arrive(const std::string &kind = "") { return statement("barrier.cluster.arrive" + kind + ";"); }
std::string wait(const std::string &kind = "") { return statement("barrier.cluster.wait" + kind + ";"); }
std::string sync() { return arrive() + wait(); }

std::string onFirstThread(const std::string &name, const std::string &body, const std::string &after) {
  return "  br i1 %first, label %" + name + ", label %" + after + "\n" + name + ":\n" + body + "  br label %" + after +
         "\n" + after + ":\n";
}

/// The kernel with its declarations; behind the begin are defined: %rank, the thread's place in the grid %place, its
/// word of the input %own, a slot of shared memory for it, %slot, as pointer, and %slot.at, as number.
std::string kernel(const std::string &body, const std::string &size, bool withMap = false) {
  std::string ir = kernelBegin(withMap) +
                   "  %block = call i32 @llvm.nvvm.read.ptx.sreg.ctaid.x()\n"
                   "  %rank = call i32 @llvm.nvvm.read.ptx.sreg.cluster.ctarank()\n"
                   "  %begin = mul i32 %block, " +
                   number(threads) +
                   "\n  %place = add i32 %begin, %tid\n"
                   "  %own.p = getelementptr i32, ptr addrspace(1) %in, i32 %place\n"
                   "  %own = load i32, ptr addrspace(1) %own.p, align 4\n"
                   "  %slot.i = add i32 %tid, " +
                   number(slotsAt / 4) +
                   "\n  %slot = getelementptr i32, ptr addrspace(3) @shared, i32 %slot.i\n"
                   "  %slot.at = ptrtoint ptr addrspace(3) %slot to i32\n"
                   "  %peer = xor i32 %rank, 1\n" +
                   body + kernelEnd() +
                   "declare i32 @llvm.nvvm.read.ptx.sreg.ctaid.x()\n"
                   "declare i32 @llvm.nvvm.read.ptx.sreg.clusterid.x()\n"
                   "declare i32 @llvm.nvvm.read.ptx.sreg.nclusterid.x()\n"
                   "declare i32 @llvm.nvvm.read.ptx.sreg.cluster.ctaid.x()\n"
                   "declare i32 @llvm.nvvm.read.ptx.sreg.cluster.nctaid.x()\n"
                   "declare i32 @llvm.nvvm.read.ptx.sreg.cluster.ctarank()\n"
                   "declare i32 @llvm.nvvm.read.ptx.sreg.cluster.nctarank()\n"
                   "declare i1 @llvm.nvvm.is_explicit_cluster()\n"
                   "declare ptr @llvm.nvvm.mapa(ptr, i32)\n"
                   "declare ptr addrspace(3) @llvm.nvvm.mapa.shared.cluster(ptr addrspace(3), i32)\n"
                   "declare i32 @llvm.nvvm.getctarank.shared.cluster(ptr addrspace(3))\n"
                   "declare void @llvm.nvvm.barrier.cluster.arrive.aligned()\n"
                   "declare void @llvm.nvvm.barrier.cluster.wait.aligned()\n";
  const std::string note = "!2 = !{ptr @micro, " + size + "}\n", list = "!nvvm.annotations = !{!0";
  if (!withMap)
    return ir + "!nvvm.annotations = !{!2}\n" + note;
  return ir.replace(ir.find(list), list.size(), list + ", !2") + note;
}
std::string row(unsigned cluster) {
  return "!\"cluster_dim_x\", i32 " + number(cluster) + ", !\"cluster_dim_y\", i32 1, !\"cluster_dim_z\", i32 1";
}

std::string storeWord() {
  return "  %word.p = getelementptr i32, ptr addrspace(1) %out, i32 %place\n"
         "  store i32 %word, ptr addrspace(1) %word.p, align 4\n";
}

uint32_t input(unsigned place) { return place * 2654435761u + 17; }

/// Each thread writes one word.
struct WordTest {
  std::string name, body;
  unsigned blocks = 4, cluster = 2;
  std::function<uint32_t(unsigned block, unsigned thread)> word = [](unsigned, unsigned) { return 0; };
  std::string finding{};
};

MicroTest make(const WordTest &what) {
  MicroTest test;
  test.name = "cluster_" + what.name;
  test.chip = "sm_90a";
  test.blocks = what.blocks;
  test.cluster = what.cluster;
  test.threads = threads;
  test.sharedBytes = slotsAt + 4 * threads;
  test.finding = what.finding;
  for (unsigned place = 0; place < what.blocks * threads; ++place) {
    put<uint32_t>(test.input, 4 * place, input(place));
    put<uint32_t>(test.expected, 4 * place, what.word(place / threads, place % threads));
  }
  test.ir = kernel(what.body, row(what.cluster));
  return test;
}

uint32_t neighbours(unsigned block, unsigned thread) { return input((block ^ 1) * threads + thread); }

std::string storeOwn() { return "  store i32 %own, ptr addrspace(3) %slot, align 4\n"; }
/// The other block's slot, through a generic address.
std::string loadPeer() {
  return "  %slot.g = addrspacecast ptr addrspace(3) %slot to ptr\n"
         "  %there = call ptr @llvm.nvvm.mapa(ptr %slot.g, i32 %peer)\n  %word = load i32, ptr %there, align 4\n";
}
std::string mapShared(const std::string &name, const std::string &address, const std::string &rank) {
  return asmWord(name, "mapa.shared::cluster.u32 $0, $1, $2;", ",r,r", "i32 " + address + ", i32 " + rank);
}
std::string loadOwn() { return "  %word = load i32, ptr addrspace(3) %slot, align 4\n"; }

//===----------------------------------------------------------------------===//
// Registers, the barrier, shared memory of other blocks
//===----------------------------------------------------------------------===//

/// One number of all the registers, four bits each.
WordTest identifiers() {
  std::string body;
  std::string all = "0";
  unsigned shift = 0;
  for (const char *name :
       {"clusterid.x", "nclusterid.x", "cluster.ctaid.x", "cluster.nctaid.x", "cluster.ctarank", "cluster.nctarank"}) {
    const std::string n = number(shift);
    body += "  %id" + n + " = call i32 @llvm.nvvm.read.ptx.sreg." + name + "()\n  %at" + n + " = shl i32 %id" + n +
            ", " + n + "\n  %all" + n + " = or i32 %at" + n + ", " + all + "\n";
    all = "%all" + n;
    shift += 4;
  }
  body += "  %explicit = call i1 @llvm.nvvm.is_explicit_cluster()\n  %wide = zext i1 %explicit to i32\n"
          "  %last = shl i32 %wide, 24\n" +
          asmWord("ptx", "mov.u32 $0, %cluster_ctarank;", "", "") +
          "  %ptx.at = shl i32 %ptx, 28\n  %both = or i32 %last, %ptx.at\n  %word = or i32 " + all + ", %both\n";
  return {"ids", body + storeWord(), 8, 4, [](unsigned block, unsigned) {
            const uint32_t rank = block % 4;
            return block / 4 | 2u << 4 | rank << 8 | 4u << 12 | rank << 16 | 4u << 20 | 1u << 24 | rank << 28;
          }};
}

std::vector<WordTest> sharedMemoryTests() {
  const auto next = [](unsigned block, unsigned thread) {
    return input((block / 4 * 4 + (block + 3) % 4) * threads + thread);
  };
  const std::string storeNext = "  %next.r = add i32 %rank, 1\n  %next = and i32 %next.r, 3\n" +
                                mapShared("there", "%slot.at", "%next") +
                                asmCall("st.shared::cluster.u32 [$0], $1;", "r,r", "i32 %there, i32 %own");
  const std::string aligned = "  call void @llvm.nvvm.barrier.cluster.arrive.aligned()\n"
                              "  call void @llvm.nvvm.barrier.cluster.wait.aligned()\n";
  std::vector<WordTest> tests = {
      identifiers(),
      {"generic_load", storeOwn() + sync() + loadPeer() + storeWord() + sync(), 4, 2, neighbours},
      {"aligned", storeOwn() + aligned + loadPeer() + storeWord() + aligned, 4, 2, neighbours},
      {"load",
       storeOwn() + sync() + mapShared("there", "%slot.at", "%peer") +
           asmWord("word", "ld.shared::cluster.u32 $0, [$1];", ",r", "i32 %there") + storeWord() + sync(),
       4, 2, neighbours},
      {"store", sync() + storeNext + sync() + loadOwn() + storeWord(), 8, 4, next},
      {"relaxed_with_fence",
       storeOwn() + statement("fence.acq_rel.cluster;") + arrive(".relaxed") + wait(".acquire") + loadPeer() +
           storeWord() + sync(),
       4, 2, neighbours},
      {"rank_of",
       "  %to = sub i32 3, %rank\n"
       "  %there = call ptr addrspace(3) @llvm.nvvm.mapa.shared.cluster(ptr addrspace(3) %slot, i32 %to)\n"
       "  %word = call i32 @llvm.nvvm.getctarank.shared.cluster(ptr addrspace(3) %there)\n" +
           storeWord(),
       4, 4, [](unsigned block, unsigned) { return 3 - block; }},
      // The barrier waits for threads that have not ended alone.
      {"ended_threads",
       "  %lives = icmp ult i32 %tid, 32\n  br i1 %lives, label %go, label %gone\ngone:\n  ret void\ngo:\n" +
           storeOwn() + sync() + loadPeer() + storeWord() + sync(),
       4, 2, [](unsigned block, unsigned thread) { return thread < 32 ? neighbours(block, thread) : 0; }},
      // All threads of the cluster add to one word of its first block.
      {"atomics",
       "  %first.rank = icmp eq i32 %rank, 0\n  %starts = and i1 %first, %first.rank\n"
       "  br i1 %starts, label %start, label %started\nstart:\n  store i32 5, ptr addrspace(3) @shared, align 4\n"
       "  br label %started\nstarted:\n" +
           sync() +
           "  %base.g = addrspacecast ptr addrspace(3) @shared to ptr\n"
           "  %there = call ptr @llvm.nvvm.mapa(ptr %base.g, i32 0)\n"
           "  %before = atomicrmw add ptr %there, i32 %tid monotonic\n" +
           sync() + "  %word = load i32, ptr %there, align 4\n" + storeWord() + sync(),
       4, 2, [](unsigned, unsigned) { return 5 + 2 * threads * (threads - 1) / 2; }},
  };
  // Three rounds, so that both kinds of phases come up: each block passes on what it got.
  std::string rounds = sync();
  for (unsigned round = 0; round < 3; ++round) {
    const std::string n = number(round), value = round ? "%got" + number(round - 1) : "%own";
    rounds += mapShared("there" + n, "%slot.at", "%next") +
              asmCall("st.shared::cluster.u32 [$0], $1;", "r,r", "i32 %there" + n + ", i32 " + value) + sync() +
              "  %got" + n + " = load i32, ptr addrspace(3) %slot, align 4\n" + sync();
  }
  tests.push_back({"rounds",
                   "  %next.r = add i32 %rank, 1\n  %next = and i32 %next.r, 3\n" + rounds +
                       "  %word = add i32 %got2, 0\n" + storeWord(),
                   4, 4, [](unsigned block, unsigned thread) { return input((block + 1) % 4 * threads + thread); }});
  return tests;
}

std::vector<WordTest> sharedMemoryFindings() {
  const std::string storePeer = mapShared("there", "%slot.at", "%peer") +
                                asmCall("st.shared::cluster.u32 [$0], $1;", "r,r", "i32 %there, i32 %own");
  const auto wrong = [](const std::string &name, const std::string &body, const std::string &finding) {
    WordTest test{name, body};
    test.finding = finding;
    return test;
  };
  return {
      wrong("without_begin", storePeer + sync() + loadOwn() + storeWord(), "says that the block has begun"),
      wrong("without_end", storeOwn() + sync() + loadPeer() + storeWord(),
            "nothing orders that behind an access of its shared memory by thread"),
      wrong("after_end",
            storeOwn() + sync() +
                "  %ends = icmp eq i32 %rank, 0\n  br i1 %ends, label %gone, label %go\ngone:\n  ret void\ngo:\n" +
                barrier() + loadPeer() + storeWord(),
            "all its threads have ended"),
      wrong("relaxed_end", storeOwn() + sync() + loadPeer() + storeWord() + arrive(".relaxed") + wait(),
            "nothing orders that behind an access of its shared memory by thread"),
      wrong("without_barrier", sync() + storePeer + loadOwn() + storeWord() + sync(), "nobody in this cluster wrote"),
      wrong("race", storeOwn() + sync() + storePeer + loadOwn() + storeWord() + sync(), "no barrier orders the two"),
      wrong("relaxed_without_fence",
            storeOwn() + arrive(".relaxed") + wait(".acquire") + loadPeer() + storeWord() + sync(),
            "thread 63 of block 0 wrote offset"),
      wrong("unwritten", sync() + loadPeer() + storeWord() + sync(), "nobody in this cluster wrote"),
      wrong("wrong_rank", mapShared("word", "%slot.at", "2") + storeWord(), "expected a rank below 2"),
      wrong("mapa_of_global",
            "  %in.g = addrspacecast ptr addrspace(1) %in to ptr\n"
            "  %there = call ptr @llvm.nvvm.mapa(ptr %in.g, i32 %peer)\n  %word = load i32, ptr %there, align 4\n" +
                storeWord(),
            "expected an address of shared memory of the cluster"),
      wrong("own_space",
            storeOwn() + sync() + mapShared("there", "%slot.at", "%peer") +
                asmWord("word", "ld.shared.u32 $0, [$1];", ",r", "i32 %there") + storeWord() + sync(),
            "reaches the own block's alone"),
      wrong("out_of_bounds",
            sync() + mapShared("there", "%slot.at", "%peer") +
                asmCall("st.shared::cluster.u32 [$0+256], $1;", "r,r", "i32 %there, i32 %own") + sync(),
            "of block 0; the block has 320"),
      wrong("arriving_twice", arrive() + arrive() + wait(), "arrive again before barrier.cluster.wait"),
      wrong("waiting_alone", wait(), "barrier.cluster.wait without"),
      // The odd blocks' first threads wait for an mbarrier that nobody arrives at.
      wrong("deadlock",
            onFirstThread("init", asmCall("mbarrier.init.shared.b64 [$0], 1;", "r", "i32 %base"), "ready") +
                "  %odd = icmp eq i32 %rank, 1\n  %waits = and i1 %first, %odd\n"
                "  br i1 %waits, label %stay, label %go\nstay:\n" +
                asmCall("{ .reg .pred p; again: mbarrier.try_wait.parity.shared.b64 p, [$0], 0; @p bra done; bra "
                        "again; done: }",
                        "r", "i32 %base") +
                "  br label %go\ngo:\n" + sync(),
            "deadlock: kernel 'micro', block 0: block 0: threads 0-63 wait at"),
  };
}

//===----------------------------------------------------------------------===//
// Launches
//===----------------------------------------------------------------------===//

std::vector<MicroTest> launchFindings() {
  const auto refused = [](const std::string &name, unsigned blocks, const std::string &size,
                          const std::string &finding) {
    WordTest what{"launch_" + name, "  %word = add i32 %own, 0\n" + storeWord(), blocks};
    what.finding = finding;
    MicroTest test = make(what);
    test.ir = kernel(what.body, size);
    return test;
  };
  const std::string planes = "!\"cluster_dim_x\", i32 1, !\"cluster_dim_y\", i32 2";
  std::vector<MicroTest> tests = {
      refused("no_multiple", 3, row(2), "expected a grid whose blocks are a multiple of a cluster's, 2, got 3 blocks"),
      refused("too_large", 16, row(16), "expected clusters of at most 8 x 1 x 1 blocks on sm_90a, got 16 x 1 x 1"),
      refused("planes", 4, planes, "got 1 x 2 x 1"),
      refused("other_chip", 4, row(2), "expected clusters of at most 1 x 1 x 1 blocks on sm_80, got 2 x 1 x 1"),
  };
  tests.back().chip = "sm_80";
  return tests;
}

//===----------------------------------------------------------------------===//
// mbarriers of other blocks
//===----------------------------------------------------------------------===//

/// The second block of a cluster stores words into the first one's shared memory and arrives at its mbarrier; that
/// waits and reads them.
struct Handover {
  std::string name;
  std::string arrival = "mbarrier.arrive.release.cluster.shared::cluster.b64 _, [$0];";
  std::string wait = "mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 p, [$0], 0;";
  std::string initFence{}, begin = sync();
  bool waits = true;
  std::string barrierOfWait = "%base";
  std::string finding{};
};

MicroTest handover(const Handover &what) {
  const std::string init = asmCall("mbarrier.init.shared.b64 [$0], $1;", "r,r", "i32 %base, i32 " + number(threads));
  std::string body =
      onFirstThread("init", init + what.initFence, "ready") + what.begin + mapShared("far", "%base", "0") +
      "  %receives = icmp eq i32 %rank, 0\n  br i1 %receives, label %receive, label %send\nsend:\n" +
      mapShared("there", "%slot.at", "0") + asmCall("st.shared::cluster.u32 [$0], $1;", "r,r", "i32 %there, i32 %own") +
      asmCall(what.arrival, "r", "i32 %far") + "  br label %done\nreceive:\n";
  if (what.waits)
    body += asmCall("{ .reg .pred p; .reg .b64 s; again: " + what.wait + " @p bra done; bra again; done: }", "r",
                    "i32 " + what.barrierOfWait) +
            "  %word = load i32, ptr addrspace(3) %slot, align 4\n" + storeWord();
  WordTest test{"mbarrier_" + what.name, body + "  br label %done\ndone:\n", 4, 2,
                [](unsigned block, unsigned thread) { return block % 2 ? 0 : neighbours(block, thread); }};
  test.finding = what.finding;
  return make(test);
}

std::vector<MicroTest> mbarrierTests() {
  std::vector<MicroTest> tests = {handover({"arrival"})};
  const auto add = [&](const std::string &name, const std::function<void(Handover &)> &change) {
    Handover what{name};
    change(what);
    tests.push_back(handover(what));
  };
  const std::string relaxed = arrive(".relaxed") + wait();
  // Initialisations alone are handed over by this pair.
  add("relaxed_begin", [&](Handover &h) {
    h.initFence = statement("fence.mbarrier_init.release.cluster;");
    h.begin = relaxed;
  });
  add("without_init_fence", [&](Handover &h) {
    h.begin = relaxed;
    h.finding = "no barrier orders this use of the mbarrier after its initialisation by thread 0";
  });
  add("arrival_of_the_block", [](Handover &h) {
    h.arrival = "mbarrier.arrive.shared::cluster.b64 _, [$0];";
    h.finding = "of block 1 wrote offset";
  });
  add("wait_of_the_block", [](Handover &h) {
    h.wait = "mbarrier.try_wait.parity.shared::cta.b64 p, [$0], 0;";
    h.finding = "of block 1 wrote offset";
  });
  add("without_wait", [](Handover &h) {
    h.waits = false;
    h.finding = "block not running";
  });
  add("with_state", [](Handover &h) {
    h.arrival = "{ .reg .b64 s; mbarrier.arrive.release.cluster.shared::cluster.b64 s, [$0]; }";
    h.finding = "returns no state";
  });
  WordTest far{"mbarrier_waiting_far",
               onFirstThread("init", asmCall("mbarrier.init.shared.b64 [$0], 64;", "r", "i32 %base"), "ready") +
                   sync() + mapShared("far", "%base", "%peer") +
                   asmCall("{ .reg .pred p; mbarrier.try_wait.parity.shared::cta.b64 p, [$0], 0; }", "r", "i32 %far") +
                   sync()};
  far.finding = "the mbarrier lies in shared memory of block 0; this instruction takes one of the own block";
  tests.push_back(make(far));
  return tests;
}

//===----------------------------------------------------------------------===//
// Copies to several blocks
//===----------------------------------------------------------------------===//

constexpr unsigned width = 32, height = 16, tileBytes = width * height * 4, tileAt = 1024;

std::string waitForCopy() {
  return asmCall("{ .reg .pred p; again: mbarrier.try_wait.parity.shared::cta.b64 p, [$0], 0; @p bra done; bra again; "
                 "done: }",
                 "r", "i32 %base");
}
std::string expectBytes(unsigned bytes) {
  return asmCall("mbarrier.arrive.expect_tx.shared.b64 _, [$0], $1;", "r,r", "i32 %base, i32 " + number(bytes));
}

/// Blocks get a tensor of 16 rows of 32 words by copies of several blocks to several.
struct Multicast {
  std::string name;
  std::string mask; ///< of the blocks that get a part
  unsigned cluster = 2;
  bool split = true;        ///< each block copies its share of the rows, else the first all of them
  unsigned receivers = 0x3; ///< what the mask says
  bool tensor = true;       ///< a box of a tensor, else plain bytes
  bool synced = true;       ///< nobody copies before all mbarriers are there
  std::string finding{};
};

MicroTest multicast(const Multicast &what) {
  const unsigned parts = what.split ? what.cluster : 1, rows = height / parts;
  const std::string receives = "  %bit = lshr i32 " + number(what.receivers) +
                               ", %rank\n  %odd = and i32 %bit, 1\n  %receives = icmp eq i32 %odd, 1\n";
  std::string body = receives +
                     onFirstThread("init",
                                   asmCall("mbarrier.init.shared.b64 [$0], 1;", "r", "i32 %base") +
                                       statement("fence.mbarrier_init.release.cluster;"),
                                   "ready") +
                     (what.synced ? arrive(".relaxed") + wait() : barrier()) + "  %tile = add i32 %base, " +
                     number(tileAt) + "\n  %share = mul i32 %rank, " + number(what.split ? rows : 0) +
                     "\n  %share.b = mul i32 %share, " + number(width * 4) +
                     "\n  %to = add i32 %tile, %share.b\n  %expects = and i1 %first, %receives\n" +
                     "  br i1 %expects, label %expect, label %expected\nexpect:\n" + expectBytes(tileBytes) +
                     "  br label %expected\nexpected:\n";
  const std::string sends = what.split ? "%first" : "%sends";
  if (!what.split)
    body += "  %rank0 = icmp eq i32 %rank, 0\n  %sends = and i1 %first, %rank0\n";
  const std::string kind = ".shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster ";
  body += "  br i1 " + sends + ", label %send, label %sent\nsend:\n";
  if (what.tensor)
    body += asmCall("cp.async.bulk.tensor.2d" + kind + "[$0], [$1, {$2,$3} ], [$4], $5;", "r,l,r,r,r,h",
                    "i32 %to, ptr %map, i32 0, i32 %share, i32 %base, i16 " + what.mask);
  else
    body +=
        "  %from = getelementptr i8, ptr addrspace(1) %in, i32 %share.b\n" +
        asmCall("cp.async.bulk" + kind + "[$0], [$1], $2, [$3], $4;", "r,l,r,r,h",
                "i32 %to, ptr addrspace(1) %from, i32 " + number(tileBytes / parts) + ", i32 %base, i16 " + what.mask);
  std::string copied = copyFromShared("copied", "reads", tileAt, 0, tileBytes, threads);
  copied.replace(copied.find("%out"), 4, "%mine");
  body += "  br label %sent\nsent:\n  %mine.at = mul i32 %block, " + number(tileBytes) +
          "\n  %mine = getelementptr i8, ptr addrspace(1) %out, i32 %mine.at\n"
          "  br i1 %receives, label %reads, label %done\nreads:\n" +
          waitForCopy() + copied + "  br label %done\ndone:\n" + sync();
  MicroTest test;
  test.name = "cluster_" + what.name;
  test.chip = "sm_90a";
  test.blocks = test.cluster = what.cluster;
  test.threads = threads;
  test.sharedBytes = tileAt + tileBytes;
  test.finding = what.finding;
  for (unsigned i = 0; i < width * height; ++i)
    put<uint32_t>(test.input, 4 * i, input(i));
  for (unsigned block = 0; block < what.cluster; ++block)
    for (unsigned i = 0; i < width * height; ++i)
      put<uint32_t>(test.expected, block * tileBytes + 4 * i, what.receivers >> block & 1 ? input(i) : 0);
  if (what.tensor) {
    flashc_tensor_map map{};
    map.dtype = FLASHC_F32;
    map.rank = 2;
    map.size[0] = map.box[0] = width;
    map.size[1] = height, map.box[1] = rows;
    map.stride_bytes[0] = 4 * width;
    map.element_stride[0] = map.element_stride[1] = 1;
    test.map = map;
  }
  test.ir = kernel(body, row(what.cluster), what.tensor);
  return test;
}

/// Every block copies its words from its shared memory into the next one's.
WordTest bulkToPeer(bool tells) {
  const unsigned bytes = 4 * threads;
  WordTest test{
      tells ? "bulk_to_peer" : "bulk_to_peer_own_mbarrier",
      storeOwn() + fenceProxy() +
          onFirstThread("init",
                        asmCall("mbarrier.init.shared.b64 [$0], 1;", "r", "i32 %base") +
                            statement("fence.mbarrier_init.release.cluster;") + expectBytes(bytes),
                        "ready") +
          sync() + "  %from = add i32 %base, " + number(slotsAt) + "\n  %landing = add i32 %from, " + number(bytes) +
          "\n" + mapShared("to", "%landing", "%peer") + mapShared("far", "%base", "%peer") +
          onFirstThread("send",
                        asmCall("cp.async.bulk.shared::cluster.shared::cta.mbarrier::complete_tx::bytes [$0], [$1], "
                                "$2, [$3];",
                                "r,r,r,r",
                                "i32 %to, i32 %from, i32 " + number(bytes) + ", i32 " + (tells ? "%far" : "%base")),
                        "sent") +
          waitForCopy() + "  %got.i = add i32 %slot.i, " + number(threads) +
          "\n  %got = getelementptr i32, ptr addrspace(3) @shared, i32 %got.i\n"
          "  %word = load i32, ptr addrspace(3) %got, align 4\n" +
          storeWord() + sync(),
      4, 2, neighbours};
  if (!tells)
    test.finding = "not in the shared memory of the block that the copy goes to";
  return test;
}
} // namespace

std::vector<MicroTest> clusterTests() {
  std::vector<MicroTest> tests;
  for (const auto &group : {sharedMemoryTests(), sharedMemoryFindings()})
    for (const WordTest &test : group)
      tests.push_back(make(test));
  for (const auto &group : {launchFindings(), mbarrierTests()})
    tests.insert(tests.end(), group.begin(), group.end());
  for (bool tells : {true, false}) {
    tests.push_back(make(bulkToPeer(tells)));
    tests.back().sharedBytes += 4 * threads;
  }
  for (const Multicast &what : std::vector<Multicast>{
           {"multicast", "3"},
           {"multicast_of_four", "15", 4, true, 0xf},
           {"multicast_to_others", "10", 4, false, 0xa},
           {"multicast_of_bytes", "3", 2, true, 3, false},
           {"multicast_beyond", "4", 2, true, 3, true, true, "the mask of blocks is 4, the cluster has 2 blocks"},
           {"multicast_to_nobody", "0", 2, true, 3, true, true, "the mask of blocks is 0"},
           {"multicast_without_begin", "3", 2, true, 3, true, false, "says that the block has begun"},
       })
    tests.push_back(multicast(what));
  return tests;
}

} // namespace flashc::test
