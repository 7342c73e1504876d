/// What a kernel of sm_90a tells the host of its operands for the copy engine: each field of flashc_tensor_map against
/// values computed from the arguments of the call and against what the driver's cuTensorMapEncodeTiled asks for, and no
/// map for memory that the engine does not take.
#include "TestKernels.h"

#include "compiler/KernelSpec.h"

#include <gmock/gmock.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <set>
#include <vector>

using namespace flashc;

namespace {

/// A host that notes the maps it is asked for, numbers them, and notes what a launch is given.
struct RecordingHost {
  static flashc_status encode(void *user, void *map, const flashc_tensor_map *what) {
    auto &self = *static_cast<RecordingHost *>(user);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(map) % 64, 0u);
    self.maps.push_back(*what);
    if (self.refuses)
      return FLASHC_ERROR_TARGET;
    std::memset(map, 0, 128);
    const uint64_t number = self.maps.size();
    std::memcpy(map, &number, sizeof number);
    return FLASHC_OK;
  }
  static flashc_status launch(void *user, const flashc_device_function *function, int64_t, void *const *params,
                              void *) {
    auto &self = *static_cast<RecordingHost *>(user);
    ++self.launches;
    for (uint32_t i = 0; i < function->num_params; ++i) {
      if (function->param_bytes[i] == 128) {
        uint64_t number = 0;
        std::memcpy(&number, params[i], sizeof number);
        EXPECT_EQ(reinterpret_cast<uintptr_t>(params[i]) % 64, 0u);
        self.numbers.insert(number);
        ++self.mapParams;
      }
    }
    return FLASHC_OK;
  }

  /// What is said of the memory at `address`, each time the same; null if nothing is.
  const flashc_tensor_map *find(const void *address) const {
    const flashc_tensor_map *found = nullptr;
    for (const flashc_tensor_map &map : maps)
      if (map.address == address) {
        if (found)
          EXPECT_EQ(std::memcmp(found, &map, sizeof map), 0) << "two maps of one tensor";
        found = &map;
      }
    return found;
  }

  std::vector<flashc_tensor_map> maps;
  std::set<uint64_t> numbers; ///< of the maps that launches were given
  unsigned launches = 0, mapParams = 0;
  bool refuses = false;
  flashc_host face{FLASHC_ABI_VERSION, 132, this, nullptr, launch, encode, 132, 0};
};

constexpr int64_t batch = 2, heads = 2, queries = 300, keys = 500, headDim = 128, valueDim = 64;
constexpr int64_t tileRows = 128, tileKeys = 96;

/// What the manual of the driver's cuTensorMapEncodeTiled asks of each parameter, for elements of two bytes.
void expectLegal(const flashc_tensor_map &map) {
  ASSERT_GE(map.rank, 1u);
  ASSERT_LE(map.rank, 5u);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(map.address) % 16, 0u) << "globalAddress";
  EXPECT_EQ(map.interleave, 0u) << "16 bytes and more ask for a rank of at least 3, and strides of 32 bytes";
  for (uint32_t i = 0; i < map.rank; ++i) {
    EXPECT_GE(map.size[i], 1u) << "globalDim " << i;
    EXPECT_LE(map.size[i], uint64_t(1) << 32) << "globalDim " << i;
    EXPECT_GE(map.box[i], 1u) << "boxDim " << i;
    EXPECT_LE(map.box[i], 256u) << "boxDim " << i;
    EXPECT_GE(map.element_stride[i], 1u) << "elementStrides " << i;
    EXPECT_LE(map.element_stride[i], 8u) << "elementStrides " << i;
  }
  for (uint32_t i = 0; i + 1 < map.rank; ++i) {
    EXPECT_EQ(map.stride_bytes[i] % 16, 0u) << "globalStrides " << i;
    EXPECT_GT(map.stride_bytes[i], 0u) << "globalStrides " << i;
    EXPECT_LT(map.stride_bytes[i], uint64_t(1) << 40) << "globalStrides " << i;
  }
  EXPECT_EQ(2 * map.box[0] % 16, 0u) << "a box's row without interleaving";
  EXPECT_THAT(map.swizzle, testing::AnyOf(0u, 32u, 64u, 128u));
  if (map.swizzle)
    EXPECT_LE(2 * map.box[0], map.swizzle) << "a box's row with a swizzle";
  EXPECT_THAT(map.l2_promotion, testing::AnyOf(0u, 64u, 128u, 256u));
}

/// Memory with room around it; nobody reads it.
struct Storage {
  Storage() : bytes(64 << 20), begin(std::aligned_alloc(256, bytes)) {}
  ~Storage() { std::free(begin); }
  char *at(size_t offset) const { return static_cast<char *>(begin) + offset; }
  size_t bytes;
  void *begin;
};

/// A call with operands of one fused tensor per kind, [B, S, H, D], which are passed as [B, H, S, D].
struct Call {
  explicit Call(int32_t dtype) {
    add(dtype, queries, headDim, 0);
    add(dtype, keys, headDim, 1);
    add(dtype, keys, valueDim, 2);
    add(dtype, queries, valueDim, 3);
  }
  void add(int32_t dtype, int64_t length, int64_t width, size_t place) {
    flashc_tensor tensor{storage.at(place * (8 << 20) + 4096), dtype, 4, {batch, heads, length, width}, {}};
    const int64_t strides[] = {length * heads * width, width, heads * width, 1};
    std::copy(strides, strides + 4, tensor.stride);
    tensors[place] = tensor;
  }
  Storage storage;
  std::array<flashc_tensor, 4> tensors;
};

class TensorMapFields : public flashc::test::CompilerTest, public testing::WithParamInterface<int32_t> {
protected:
  void SetUp() override {
    KernelSpec spec;
    spec.headDim = headDim;
    spec.valueHeadDim = valueDim;
    spec.dtype = GetParam();
    auto module = buildKernelModule(context, spec);
    ASSERT_TRUE(mlir::succeeded(module)) << messages;
    CompileOptions options;
    options.tiles.rows = tileRows;
    options.tiles.keys = tileKeys;
    auto artifact = compile(**module, *target("nvptx:sm_90a"), options);
    ASSERT_TRUE(mlir::succeeded(artifact)) << messages;
    kernel = llvm::cantFail(JitKernel::load(artifact->name, artifact->bytes));
  }

  void run(RecordingHost &host, const Call &call) {
    flashc_args args{FLASHC_ABI_VERSION, 4, call.tensors.data(), &host.face};
    const size_t size = kernel->get().workspace_size(&args);
    std::unique_ptr<void, decltype(&std::free)> workspace(std::aligned_alloc(64, (size + 127) / 64 * 64), &std::free);
    EXPECT_EQ(kernel->get().run(&args, nullptr, workspace.get(), size), FLASHC_OK);
    EXPECT_GE(host.launches, 1u);
    for (const flashc_tensor_map &map : host.maps)
      expectLegal(map);
  }

  /// All fields of a tensor's map, from the tensor alone. `rows`: of a tile.
  void expectMap(const RecordingHost &host, const flashc_tensor &tensor, uint32_t rows) {
    const flashc_tensor_map *map = host.find(tensor.data);
    ASSERT_NE(map, nullptr);
    EXPECT_EQ(map->dtype, tensor.dtype);
    EXPECT_EQ(map->rank, 4u);
    for (unsigned i = 0; i < 4; ++i)
      EXPECT_EQ(map->size[i], static_cast<uint64_t>(tensor.size[3 - i])) << "size " << i;
    for (unsigned i = 0; i < 3; ++i)
      EXPECT_EQ(map->stride_bytes[i], static_cast<uint64_t>(tensor.size[2 - i] == 1 ? 16 : 2 * tensor.stride[2 - i]))
          << "stride " << i;
    // A row of a box is what a swizzle of 128 bytes exchanges: 64 elements of two bytes.
    const uint32_t box[] = {64, rows, 1, 1};
    for (unsigned i = 0; i < 4; ++i) {
      EXPECT_EQ(map->box[i], box[i]) << "box " << i;
      EXPECT_EQ(map->element_stride[i], 1u);
    }
    EXPECT_EQ(map->swizzle, 128u);
    EXPECT_EQ(map->interleave, 0u);
    EXPECT_EQ(map->l2_promotion, 256u);
    EXPECT_EQ(map->fill_nan, 0u) << "what lies beyond the tensor counts as zero";
  }

  std::unique_ptr<JitKernel> kernel;
};

TEST_P(TensorMapFields, DescribeStridedOperands) {
  RecordingHost host;
  Call call(GetParam());
  run(host, call);
  expectMap(host, call.tensors[1], tileKeys);
  expectMap(host, call.tensors[2], tileKeys);
  // What is written needs no map.
  EXPECT_EQ(host.find(call.tensors[3].data), nullptr);
  // Launches are given every map.
  EXPECT_EQ(host.numbers.size(), host.maps.size());
}

TEST_P(TensorMapFields, DescribeDenseOperandsAndOneHead) {
  RecordingHost host;
  Call call(GetParam());
  for (flashc_tensor &tensor : call.tensors) {
    tensor.size[1] = 1;
    const int64_t length = tensor.size[2], width = tensor.size[3];
    // Of one head, the stride is any.
    const int64_t strides[] = {length * width, 7, width, 1};
    std::copy(strides, strides + 4, tensor.stride);
  }
  run(host, call);
  expectMap(host, call.tensors[1], tileKeys);
  expectMap(host, call.tensors[2], tileKeys);
}

TEST_P(TensorMapFields, LeaveOutWhatDoesNotQualify) {
  struct Case {
    const char *name;
    std::function<void(flashc_tensor &)> change;
  };
  const Case cases[] = {
      {"a base that is no multiple of 16 bytes", [](flashc_tensor &k) { k.data = static_cast<char *>(k.data) + 8; }},
      {"a base beside an element", [](flashc_tensor &k) { k.data = static_cast<char *>(k.data) + 2; }},
      {"rows that are no multiple of 16 bytes apart", [](flashc_tensor &k) { k.stride[2] += 4; }},
      {"heads that are no multiple of 16 bytes apart", [](flashc_tensor &k) { k.stride[1] += 1; }},
      {"batches that are no multiple of 16 bytes apart", [](flashc_tensor &k) { k.stride[0] += 2; }},
      {"elements that are not neighbours",
       [](flashc_tensor &k) {
         for (int64_t &stride : k.stride)
           stride *= 2;
       }},
      {"rows backwards",
       [](flashc_tensor &k) {
         k.data = static_cast<char *>(k.data) + 2 * k.stride[2] * (k.size[2] - 1);
         k.stride[2] = -k.stride[2];
       }},
      {"one row for all keys", [](flashc_tensor &k) { k.stride[2] = 0; }},
      {"2^40 bytes between batches", [](flashc_tensor &k) { k.stride[0] = int64_t(1) << 39; }},
  };
  for (const Case &wrong : cases) {
    SCOPED_TRACE(wrong.name);
    RecordingHost host;
    Call call(GetParam());
    wrong.change(call.tensors[1]);
    run(host, call);
    EXPECT_EQ(host.find(call.tensors[1].data), nullptr);
    expectMap(host, call.tensors[2], tileKeys);
  }
}

TEST_P(TensorMapFields, AreNotAskedForWithoutKeys) {
  RecordingHost host;
  Call call(GetParam());
  call.tensors[1].size[2] = call.tensors[2].size[2] = 0;
  run(host, call);
  EXPECT_EQ(host.find(call.tensors[1].data), nullptr);
  EXPECT_EQ(host.find(call.tensors[2].data), nullptr);
}

TEST_P(TensorMapFields, MayBeRefused) {
  RecordingHost host;
  host.refuses = true;
  Call call(GetParam());
  run(host, call);
  EXPECT_FALSE(host.maps.empty());
}

TEST_P(TensorMapFields, NeedAHostThatMakesThem) {
  RecordingHost host;
  host.face.encode_tensor_map = nullptr;
  Call call(GetParam());
  run(host, call);
  EXPECT_TRUE(host.maps.empty());
}

INSTANTIATE_TEST_SUITE_P(Types, TensorMapFields, testing::Values(FLASHC_BF16, FLASHC_F16),
                         [](const testing::TestParamInfo<int32_t> &info) {
                           return std::string(flashc_dtype_name(info.param));
                         });

} // namespace
