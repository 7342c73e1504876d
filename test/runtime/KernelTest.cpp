// Calling a kernel: the workspace that stays, nesting, and the float mode.

#include "TestKernel.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

using namespace flashc::test;

namespace {

size_t workspaceBytes = 0;
std::vector<void *> workspaces;
flashc_status answer = FLASHC_OK;
void (*insideRun)() = nullptr;

size_t workspaceSize(const flashc_args *) { return workspaceBytes; }

flashc_status run(const flashc_args *, void *, void *workspace, size_t size) {
  EXPECT_EQ(size, workspaceBytes);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(workspace) % 64, 0u);
  if (size)
    std::memset(workspace, 0xAB, size);
  workspaces.push_back(workspace);
  if (insideRun) {
    auto *inner = insideRun;
    insideRun = nullptr;
    inner();
  }
  return answer;
}

const flashc_kernel_info emptyInfo{FLASHC_ABI_VERSION, sizeof(flashc_kernel_info), "empty", "cpu", 0, 0, nullptr, "{}"};
const flashc_kernel emptyKernel{&emptyInfo, workspaceSize, run};
const flashc_args emptyArgs{FLASHC_ABI_VERSION, 0, nullptr, nullptr};

class Kernel : public ::testing::Test {
protected:
  void SetUp() override {
    flashc_workspace_release();
    workspaceBytes = 0;
    workspaces.clear();
    answer = FLASHC_OK;
    insideRun = nullptr;
  }
  flashc_status call(size_t bytes) {
    workspaceBytes = bytes;
    return flashc_kernel_run(&emptyKernel, &emptyArgs);
  }
};

TEST_F(Kernel, KeepsTheWorkspaceBetweenCalls) {
  ASSERT_EQ(call(5 << 20), FLASHC_OK);
  ASSERT_EQ(call(1000), FLASHC_OK);
  ASSERT_EQ(call(5 << 20), FLASHC_OK);
  EXPECT_EQ(workspaces[0], workspaces[1]);
  EXPECT_EQ(workspaces[0], workspaces[2]);
}

TEST_F(Kernel, GrowsTheWorkspace) {
  ASSERT_EQ(call(100), FLASHC_OK);
  ASSERT_EQ(call(3 << 20), FLASHC_OK);
  EXPECT_NE(workspaces[1], nullptr);
}

TEST_F(Kernel, GivesANestedCallItsOwnWorkspace) {
  insideRun = [] { EXPECT_EQ(flashc_kernel_run(&emptyKernel, &emptyArgs), FLASHC_OK); };
  ASSERT_EQ(call(4096), FLASHC_OK);
  ASSERT_EQ(workspaces.size(), 2u);
  EXPECT_NE(workspaces[0], workspaces[1]);
  ASSERT_EQ(call(4096), FLASHC_OK);
  EXPECT_EQ(workspaces[0], workspaces[2]);
}

TEST_F(Kernel, GivesEachThreadItsOwnWorkspace) {
  ASSERT_EQ(call(4096), FLASHC_OK);
  std::thread([&] { EXPECT_EQ(flashc_kernel_run(&emptyKernel, &emptyArgs), FLASHC_OK); }).join();
  EXPECT_NE(workspaces[0], workspaces[1]);
}

TEST_F(Kernel, ReportsThatThereIsNoMemory) {
  EXPECT_EQ(call(size_t(1) << 62), FLASHC_ERROR_MEMORY);
  EXPECT_STREQ(flashc_last_error(), "empty: no memory for a workspace of 4611686018427387904 bytes");
  EXPECT_EQ(call(64), FLASHC_OK);
}

TEST_F(Kernel, ReportsTheKernelsRefusal) {
  answer = FLASHC_ERROR_TARGET;
  EXPECT_EQ(call(0), FLASHC_ERROR_TARGET);
  EXPECT_STREQ(flashc_last_error(), "empty: the kernel refused the call: this machine lacks what the kernel needs");
}

TEST_F(Kernel, RefusesNull) {
  EXPECT_EQ(flashc_kernel_run(nullptr, &emptyArgs), FLASHC_ERROR_INVALID);
  EXPECT_STREQ(flashc_last_error(), "flashc_kernel_run: expected a kernel, got null");
}

TEST_F(Kernel, FlushesSubnormalsInsideAndRestoresThem) {
  volatile double smallest = 5e-324;
  EXPECT_NE(smallest * 1.0, 0.0);
  insideRun = [] {
    volatile double inside = 5e-324;
    EXPECT_EQ(inside * 1.0, 0.0);
  };
  ASSERT_EQ(call(0), FLASHC_OK);
  EXPECT_NE(smallest * 1.0, 0.0);
}

TEST(HostAbi, StaysWhereKernelsReadIt) {
  EXPECT_EQ(sizeof(flashc_host), 48u);
  EXPECT_EQ(offsetof(flashc_host, launch), 24u);
  EXPECT_EQ(offsetof(flashc_host, encode_tensor_map), 32u);
  EXPECT_EQ(offsetof(flashc_host, multiprocessors), 40u);
  EXPECT_EQ(sizeof(flashc_tensor_map), 144u);
  EXPECT_EQ(offsetof(flashc_tensor_map, stride_bytes), 56u);
  EXPECT_EQ(offsetof(flashc_tensor_map, box), 88u);
  EXPECT_EQ(offsetof(flashc_tensor_map, fill_nan), 140u);
}

} // namespace
