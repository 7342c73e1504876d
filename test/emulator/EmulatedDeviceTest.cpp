// Emulated chips as devices of the runtime: which kernels they take, what a launch may touch, findings as errors.

#include "emulator/EmulatedDevice.h"

#include <gmock/gmock.h>

#include <cstring>

using namespace flashc;
using testing::HasSubstr;

namespace {
// out[i] = in[i + shift] for 32 threads; the shift is the second parameter.
const char image[] = R"(
target triple = "nvptx64-nvidia-cuda"
declare i32 @llvm.nvvm.read.ptx.sreg.tid.x()
!nvvm.annotations = !{!0}
!0 = !{ptr @shift, !"kernel", i32 1}
define void @shift(ptr addrspace(1) %in, i32 %shift, ptr addrspace(1) %out) {
  %t = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()
  %i = add i32 %t, %shift
  %pi = getelementptr float, ptr addrspace(1) %in, i32 %i
  %x = load float, ptr addrspace(1) %pi, align 4
  %po = getelementptr float, ptr addrspace(1) %out, i32 %t
  store float %x, ptr addrspace(1) %po, align 4
  ret void
}
)";

const uint32_t paramBytes[] = {8, 4, 8};
flashc_device_function function{FLASHC_ABI_VERSION,
                                sizeof(flashc_device_function),
                                "shift",
                                "emulated:sm_80",
                                "llvm-ir",
                                image,
                                sizeof(image) - 1,
                                32,
                                0,
                                3,
                                0,
                                paramBytes};
int32_t shift = 0;

flashc_status run(const flashc_args *args, void *stream, void *, size_t) {
  void *in = args->tensors[0].data, *out = args->tensors[1].data;
  void *params[] = {&in, &shift, &out};
  return args->host->launch(args->host->user, &function, 1, params, stream);
}
size_t workspaceSize(const flashc_args *) { return 0; }

/// A kernel with an input and an output of 32 floats.
struct Call {
  flashc_operand_info operands[2] = {};
  flashc_kernel_info info = {};
  std::vector<float> in = std::vector<float>(32), out = std::vector<float>(32);
  flashc_tensor tensors[2] = {};

  std::string launch(const char *device = "emulated:sm_80") {
    registerEmulatedDevices();
    const char *names[] = {"in", "out"};
    for (int i = 0; i != 2; ++i) {
      std::strcpy(operands[i].name, names[i]);
      operands[i].dtype = FLASHC_F32;
      operands[i].rank = 1;
      operands[i].flags = i ? FLASHC_OPERAND_OUTPUT : 0;
      operands[i].size[0] = FLASHC_SIZE_ANY;
      tensors[i] = {i ? out.data() : in.data(), FLASHC_F32, 1, {32}, {1}};
    }
    info.abi_version = FLASHC_ABI_VERSION;
    info.struct_size = sizeof(info);
    std::strcpy(info.name, "shift");
    std::strcpy(info.target, "emulated:sm_80");
    info.num_operands = 2;
    info.operands = operands;
    info.metadata = "{}";
    const flashc_kernel kernel{&info, workspaceSize, run};
    const flashc_args args{FLASHC_ABI_VERSION, 2, tensors, nullptr};
    const auto error = (*deviceNamed(device))->launch(kernel, args);
    return error ? error->message : "";
  }
};
} // namespace

TEST(EmulatedDevice, AllChipsAreDevices) {
  registerEmulatedDevices();
  registerEmulatedDevices();
  for (const char *name :
       {"emulated:sm_80", "emulated:sm_90a", "emulated:gfx90a", "emulated:gfx942", "emulated:gfx1100"}) {
    const auto device = deviceForTarget(name);
    ASSERT_TRUE(device) << name;
    EXPECT_EQ((*device)->describe().name, name);
    EXPECT_TRUE((*device)->usesHostMemory());
  }
  EXPECT_FALSE(deviceForTarget("emulated:sm_70"));
}

TEST(EmulatedDevice, RunsAKernel) {
  shift = 0;
  Call call;
  for (size_t i = 0; i != 32; ++i)
    call.in[i] = static_cast<float>(i);
  EXPECT_EQ(call.launch(), "");
  EXPECT_EQ(call.out, call.in);
}

TEST(EmulatedDevice, AFindingIsAnErrorOfTheLaunch) {
  shift = 1;
  Call call;
  const std::string error = call.launch();
  EXPECT_THAT(error, HasSubstr("out of bounds: kernel 'shift', block 0, thread 31, at '%x = load float"));
  EXPECT_THAT(error, HasSubstr("4 bytes past the end of 'in', which has 128 bytes"));
}

TEST(EmulatedDevice, RefusesAnotherChipsKernel) {
  EXPECT_THAT(Call().launch("emulated:gfx942"),
              HasSubstr("expected a kernel for emulated:gfx942, got \"emulated:sm_80\""));
}

TEST(EmulatedDevice, RefusesAnotherFormat) {
  function.format = "ptx";
  EXPECT_THAT(Call().launch(), HasSubstr("expected an image of format llvm-ir, got ptx"));
  function.format = "llvm-ir";
}
