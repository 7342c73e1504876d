// Which calls stay on their thread.

#include "TestKernel.h"

#include "runtime/CallWork.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

using namespace flashc;
using namespace flashc::test;

namespace {

struct Call {
  AttentionInfo attention;
  flashc_tensor tensors[4];
  flashc_args args{FLASHC_ABI_VERSION, 4, tensors, nullptr};

  Call(int64_t heads, int64_t queries, int64_t keys) {
    tensors[0] = tensor(nullptr, FLASHC_F32, {1, heads, queries, 64});
    tensors[1] = tensor(nullptr, FLASHC_F32, {1, heads, keys, 64});
    tensors[2] = tensor(nullptr, FLASHC_F32, {1, heads, keys, 32});
    tensors[3] = tensor(nullptr, FLASHC_F32, {1, heads, queries, 32});
  }
  double work() const { return estimateWork(attention.info, args); }
};

TEST(CallWork, GrowsWithWholeTiles) {
  EXPECT_EQ(Call(1, 1, 1).work(), 8 * 64 * (64 + 32 + 32));
  EXPECT_EQ(Call(1, 8, 64).work(), Call(1, 1, 1).work());
  EXPECT_EQ(Call(3, 9, 65).work(), 3 * 16 * 128 * (64 + 32 + 32));
  EXPECT_EQ(Call(2, 0, 5).work(), 0);
  EXPECT_EQ(Call(2, 5, 0).work(), 0);
  EXPECT_TRUE(std::isfinite(Call(INT64_MAX, INT64_MAX, INT64_MAX).work()));
}

TEST(CallWork, IsUnknownForOtherKernels) {
  Call call(1, 1, 1);
  call.attention.operands[0].size[2] = FLASHC_SIZE_ANY;
  EXPECT_TRUE(std::isinf(call.work()));
  call.attention.operands[0].size[2] = FLASHC_SIZE_QUERIES;
  call.args.num_tensors = 3;
  EXPECT_TRUE(std::isinf(call.work()));
  call.attention.info.num_operands = 3;
  EXPECT_TRUE(std::isinf(call.work()));
}

const flashc_host *seenHost = nullptr;
flashc_status seeHost(const flashc_args *args, void *, void *, size_t) {
  seenHost = args->host;
  return FLASHC_OK;
}
size_t needNothing(const flashc_args *) { return 0; }

TEST(CallWork, DecidesWhetherThePoolIsAsked) {
  const flashc_host host{
      FLASHC_ABI_VERSION, 2, nullptr, [](void *, int64_t, flashc_task, void *) {}, nullptr, nullptr, 0, 0};
  std::vector<float> data(2 * 128 * 64), out(2 * 128 * 64);
  for (int64_t length : {8, 128}) {
    Call call(2, length, length);
    for (flashc_tensor &tensor : call.tensors)
      tensor.data = &tensor == &call.tensors[3] ? out.data() : data.data();
    const flashc_kernel kernel{&call.attention.info, needNothing, seeHost};
    call.args.host = &host;
    ASSERT_EQ(flashc_kernel_run(&kernel, &call.args), FLASHC_OK) << flashc_last_error();
    EXPECT_EQ(seenHost, length == 8 ? nullptr : &host);
    EXPECT_EQ(call.args.host, &host);
  }
}

} // namespace
