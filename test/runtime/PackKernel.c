/* A kernel as an ahead-of-time object has it: y[i] = scale * x[i], with the tasks on the host. The macros make the
 * broken ones. */
#include "flashc/runtime.h"

#include <stdlib.h>

#define SIZE_N FLASHC_SIZE_QUERIES

#ifdef NEWER_ABI
#define NEEDED_ABI (FLASHC_ABI_VERSION + 1)
#else
#define NEEDED_ABI FLASHC_ABI_VERSION
#endif
#ifdef NO_RUN
#define twice_run twice_renamed
#endif

static const flashc_operand_info operands[] = {
    {"x", FLASHC_F32, 1, 0, 0, {SIZE_N}},
    {"y", FLASHC_F32, 1, FLASHC_OPERAND_OUTPUT, 0, {SIZE_N}},
};
static const flashc_kernel_info info = {
    FLASHC_ABI_VERSION, sizeof(flashc_kernel_info), "twice", "cpu:x86-64", 2, 0, operands, "{}"};

const flashc_kernel_info *twice_query(uint32_t max_abi) { return max_abi >= NEEDED_ABI ? &info : NULL; }

size_t twice_workspace_size(const flashc_args *args) {
  (void)args;
  return 64;
}

struct call {
  const flashc_args *args;
  float *workspace;
};

static void task(void *context, int64_t index, int32_t worker) {
  const struct call *call = context;
  const flashc_tensor *x = &call->args->tensors[0], *y = &call->args->tensors[1];
  (void)worker;
  ((float *)y->data)[index * y->stride[0]] = call->workspace[0] * ((const float *)x->data)[index * x->stride[0]];
}

flashc_status twice_run(const flashc_args *args, void *stream, void *workspace, size_t size) {
  struct call call = {args, workspace};
  int64_t i;
  (void)stream;
  if (size < 64)
    return FLASHC_ERROR_WORKSPACE;
  call.workspace[0] = 2.0f;
  if (args->host)
    args->host->parallel_for(args->host->user, args->tensors[0].size[0], task, &call);
  else
    for (i = 0; i < args->tensors[0].size[0]; ++i)
      task(&call, i, 0);
  return FLASHC_OK;
}
