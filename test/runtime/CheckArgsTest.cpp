// Every refusal of flashc_check_args, with the text that a caller reads.

#include "TestKernel.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

using namespace flashc::test;

namespace {

class CheckArgs : public ::testing::Test {
protected:
  std::vector<float> memory = std::vector<float>(2 * 4 * 10 * 64), written = std::vector<float>(2 * 4 * 10 * 64);
  AttentionInfo kernel;
  flashc_tensor tensors[4] = {
      tensor(memory.data(), FLASHC_F32, {2, 4, 8, 64}), tensor(memory.data(), FLASHC_F32, {2, 2, 10, 64}),
      tensor(memory.data(), FLASHC_F32, {2, 2, 10, 32}), tensor(written.data(), FLASHC_F32, {2, 4, 8, 32})};
  flashc_args args{FLASHC_ABI_VERSION, 4, tensors, nullptr};

  void expect(flashc_status status, const std::string &text) {
    char message[512] = "x";
    EXPECT_EQ(flashc_check_args(&kernel.info, &args, message, sizeof(message)), status);
    EXPECT_EQ(message, text);
    if (status != FLASHC_OK) {
      EXPECT_STREQ(flashc_last_error(), text.c_str());
    }
  }
};

TEST_F(CheckArgs, AcceptsWhatFits) { expect(FLASHC_OK, ""); }

TEST_F(CheckArgs, AcceptsEmptyTensorsWithoutData) {
  for (flashc_tensor &t : tensors) {
    t.size[0] = 0;
    t.data = nullptr;
  }
  expect(FLASHC_OK, "");
}

TEST_F(CheckArgs, AcceptsNegativeAndBroadcastStridesOfInputs) {
  tensors[1].stride[0] = 0;
  tensors[2].stride[2] = -32;
  tensors[2].data = memory.data() + 9 * 32;
  expect(FLASHC_OK, "");
}

TEST_F(CheckArgs, RefusesNull) {
  EXPECT_EQ(flashc_check_args(nullptr, &args, nullptr, 0), FLASHC_ERROR_INVALID);
  EXPECT_STREQ(flashc_last_error(), "flashc_check_args: expected a kernel's info, got null");
  EXPECT_EQ(flashc_check_args(&kernel.info, nullptr, nullptr, 0), FLASHC_ERROR_INVALID);
  EXPECT_STREQ(flashc_last_error(), "flashc_check_args: expected arguments, got null");
}

TEST_F(CheckArgs, RefusesAnotherAbi) {
  args.abi_version = 7;
  expect(FLASHC_ERROR_ABI, "attention: expected arguments of ABI version 1, got 7");
  args.abi_version = kernel.info.abi_version = 2;
  expect(FLASHC_ERROR_ABI, "attention: expected a kernel of ABI version at most 1, got 2");
}

TEST_F(CheckArgs, RefusesABadHost) {
  flashc_host host = *flashc_default_host();
  args.host = &host;
  expect(FLASHC_OK, "");
  host.num_workers = 0;
  expect(FLASHC_ERROR_INVALID, "attention: expected a host with at least 1 worker, got 0");
  host.num_workers = 1;
  host.parallel_for = nullptr;
  expect(FLASHC_ERROR_NULL, "attention: expected a host with a parallel_for, got null");
  host.abi_version = 3;
  expect(FLASHC_ERROR_ABI, "attention: expected a host of ABI version 1, got 3");
}

TEST_F(CheckArgs, RefusesTheWrongNumberOfTensors) {
  args.num_tensors = 3;
  expect(FLASHC_ERROR_OPERANDS, "attention: expected 4 tensors (q, k, v, out), got 3");
  args.num_tensors = 4;
  args.tensors = nullptr;
  expect(FLASHC_ERROR_NULL, "attention: expected 4 tensors, got a null pointer");
}

TEST_F(CheckArgs, RefusesAnotherElementType) {
  tensors[2].dtype = FLASHC_BF16;
  expect(FLASHC_ERROR_DTYPE, "attention: operand 2 \"v\": expected element type f32, got bf16");
  tensors[2].dtype = 99;
  expect(FLASHC_ERROR_DTYPE, "attention: operand 2 \"v\": expected element type f32, got ?");
}

TEST_F(CheckArgs, RefusesAnotherRank) {
  tensors[0].rank = 3;
  expect(FLASHC_ERROR_RANK, "attention: operand 0 \"q\": expected rank 4, got 3");
  tensors[0].rank = 1000;
  expect(FLASHC_ERROR_RANK, "attention: operand 0 \"q\": expected rank 4, got 1000");
}

TEST_F(CheckArgs, RefusesWrongSizes) {
  tensors[0].size[3] = 80;
  expect(FLASHC_ERROR_SHAPE, "attention: operand 0 \"q\": expected size 3 to be 64, got 80");
  tensors[0].size[3] = 64;
  tensors[0].size[2] = -8;
  expect(FLASHC_ERROR_SHAPE, "attention: operand 0 \"q\": expected size 2 to be at least 0, got -8");
}

TEST_F(CheckArgs, RefusesSizesThatDoNotMatch) {
  tensors[2].size[2] = 9;
  expect(FLASHC_ERROR_SHAPE, "attention: operand 2 \"v\": expected size 2 (keys) to be 10 as size 2 of \"k\", got 9");
  tensors[2].size[2] = 10;
  tensors[3].size[0] = 1;
  expect(FLASHC_ERROR_SHAPE, "attention: operand 3 \"out\": expected size 0 (batch) to be 2 as size 0 of \"q\", got 1");
}

TEST_F(CheckArgs, RefusesOutputsThatOverlap) {
  tensors[3].data = static_cast<float *>(tensors[1].data) + 8;
  expect(FLASHC_ERROR_INVALID,
         "attention: operand 3 \"out\": expected memory of its own, got memory that overlaps operand 0 \"q\"");
}

// q, k, v and out as slices of one buffer [B, S, 4, H, 64]: they interleave and share nothing, until one is moved.
TEST_F(CheckArgs, TakesInterleavedSlices) {
  constexpr int64_t heads = 4, rows = 10, width = 4 * heads * 64;
  std::vector<float> buffer(2 * rows * width);
  for (int i = 0; i < 4; ++i) {
    flashc_tensor &t = tensors[i];
    t.data = buffer.data() + i * heads * 64;
    const int64_t size[] = {2, heads, rows, i < 2 ? 64 : 32}, stride[] = {rows * width, 64, width, 1};
    std::copy(size, size + 4, t.size);
    std::copy(stride, stride + 4, t.stride);
  }
  expect(FLASHC_OK, "");
  tensors[3].data = buffer.data() + 3 * heads * 64 - 32;
  expect(FLASHC_OK, "");
  tensors[3].data = buffer.data() + 3 * heads * 64 - 33;
  expect(FLASHC_ERROR_INVALID,
         "attention: operand 3 \"out\": expected memory of its own, got memory that overlaps operand 2 \"v\"");
  tensors[3].data = buffer.data() + 3 * heads * 64 + 65;
  tensors[3].size[2] = tensors[0].size[2] = rows - 1;
  expect(FLASHC_ERROR_INVALID,
         "attention: operand 3 \"out\": expected memory of its own, got memory that overlaps operand 0 \"q\"");
}

TEST_F(CheckArgs, RefusesHeadsThatDoNotDivide) {
  tensors[1].size[1] = tensors[2].size[1] = 3;
  expect(FLASHC_ERROR_SHAPE,
         "attention: operand 1 \"k\": expected the number of query heads, 4, to be a multiple of the "
         "number of key heads, got 3 key heads");
  tensors[1].size[1] = tensors[2].size[1] = 0;
  expect(FLASHC_ERROR_SHAPE,
         "attention: operand 1 \"k\": expected the number of query heads, 4, to be a multiple of the "
         "number of key heads, got 0 key heads");
}

TEST_F(CheckArgs, RefusesNullAndUnalignedData) {
  tensors[1].data = nullptr;
  expect(FLASHC_ERROR_NULL, "attention: operand 1 \"k\": expected data, got a null pointer");
  tensors[1].data = reinterpret_cast<char *>(memory.data()) + 1;
  char text[512];
  EXPECT_EQ(flashc_check_args(&kernel.info, &args, text, sizeof(text)), FLASHC_ERROR_INVALID);
  EXPECT_NE(std::string(text).find("operand 1 \"k\": expected data aligned to 4 bytes, got address 0x"),
            std::string::npos);
}

TEST_F(CheckArgs, RefusesOutputsThatOverlapThemselves) {
  tensors[3].stride[1] = 0;
  expect(FLASHC_ERROR_INVALID, "attention: operand 3 \"out\": expected an output whose elements have a place each, got "
                               "strides that put 2048 elements into 1280 places");
  tensors[3].stride[0] = 1 << 20;
  expect(FLASHC_ERROR_INVALID,
         "attention: operand 3 \"out\": expected an output whose elements have a place each, got stride 0 at size 1");
}

TEST_F(CheckArgs, RefusesProductsThatOverflow) {
  tensors[0].size[2] = INT64_MAX / 2;
  tensors[3].size[2] = INT64_MAX / 2;
  expect(FLASHC_ERROR_SHAPE, "attention: operand 0 \"q\": expected sizes and strides whose products fit 64 bits");
  tensors[0].size[2] = tensors[3].size[2] = 8;
  tensors[0].stride[0] = INT64_MIN;
  expect(FLASHC_ERROR_SHAPE, "attention: operand 0 \"q\": expected sizes and strides whose products fit 64 bits");
}

TEST_F(CheckArgs, CutsTheMessageToItsPlace) {
  args.num_tensors = 3;
  char message[10];
  EXPECT_EQ(flashc_check_args(&kernel.info, &args, message, sizeof(message)), FLASHC_ERROR_OPERANDS);
  EXPECT_STREQ(message, "attention");
}

TEST(Status, EveryStatusHasAText) {
  for (int status = FLASHC_OK; status <= FLASHC_ERROR_DEVICE; ++status)
    EXPECT_STRNE(flashc_status_string(static_cast<flashc_status>(status)), "unknown status") << status;
  EXPECT_STREQ(flashc_status_string(static_cast<flashc_status>(14)), "unknown status");
  EXPECT_EQ(flashc_runtime_abi_version(), FLASHC_ABI_VERSION);
}

TEST(DType, NamesAndSizes) {
  EXPECT_STREQ(flashc_dtype_name(FLASHC_BF16), "bf16");
  EXPECT_EQ(flashc_dtype_size(FLASHC_F64), 8u);
  EXPECT_STREQ(flashc_dtype_name(-1), "?");
  EXPECT_EQ(flashc_dtype_size(8), 0u);
}

} // namespace
