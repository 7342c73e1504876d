/* flashc's only public C header: what an ahead-of-time kernel takes and gives, and the runtime's services.
 *
 * For each kernel NAME an object exports three functions:
 *
 *   const flashc_kernel_info *NAME_query(uint32_t max_abi);
 *   size_t                    NAME_workspace_size(const flashc_args *args);
 *   flashc_status             NAME_run(const flashc_args *args, void *stream, void *workspace, size_t size);
 *
 * They allocate nothing, throw nothing and need neither the runtime library, LLVM nor Python.
 * Every struct is fixed-size and begins with, or travels beside, an ABI version; all sizes are in elements unless
 * a name says bytes.
 */
#ifndef FLASHC_RUNTIME_H
#define FLASHC_RUNTIME_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define FLASHC_ABI_VERSION 1u
#define FLASHC_MAX_RANK 8

/* What a call returns. 0 is success; every other value has a text in flashc_status_string. */
typedef enum flashc_status {
  FLASHC_OK = 0,
  FLASHC_ERROR_ABI = 1,       /* the caller's structs or the object's are of another ABI version */
  FLASHC_ERROR_OPERANDS = 2,  /* wrong number of tensors */
  FLASHC_ERROR_DTYPE = 3,     /* a tensor's element type is not the kernel's */
  FLASHC_ERROR_RANK = 4,      /* a tensor's rank is not the kernel's */
  FLASHC_ERROR_SHAPE = 5,     /* a size is negative, or differs from a static or a matching size */
  FLASHC_ERROR_NULL = 6,      /* a data pointer is null although the tensor has elements */
  FLASHC_ERROR_WORKSPACE = 7, /* the workspace is smaller than NAME_workspace_size says, or not 64-byte aligned */
  FLASHC_ERROR_TARGET = 8,    /* the machine lacks an instruction set that the kernel needs */
  FLASHC_ERROR_IO = 9,        /* a file could not be read, written or trusted */
  FLASHC_ERROR_FORMAT = 10,   /* a pack or an entry is damaged */
  FLASHC_ERROR_MEMORY = 11,   /* an allocation failed */
  FLASHC_ERROR_INVALID = 12   /* an argument is out of its domain */
} flashc_status;

/* Element types. Booleans are one byte, 0 or 1. */
typedef enum flashc_dtype {
  FLASHC_F64 = 0,
  FLASHC_F32 = 1,
  FLASHC_F16 = 2,
  FLASHC_BF16 = 3,
  FLASHC_I64 = 4,
  FLASHC_I32 = 5,
  FLASHC_I8 = 6,
  FLASHC_BOOL = 7
} flashc_dtype;

/* A tensor in the caller's memory; strides are in elements and may be 0 (broadcast) or negative. */
typedef struct flashc_tensor {
  void *data; /* the element at index 0, ..., 0 */
  int32_t dtype;
  int32_t rank;
  int64_t size[FLASHC_MAX_RANK];
  int64_t stride[FLASHC_MAX_RANK];
} flashc_tensor;

/* One task of a parallel loop: `worker` is in [0, num_workers) and no two concurrent tasks share it. */
typedef void (*flashc_task)(void *context, int64_t task, int32_t worker);

/* Calls task(context, 0 .. count-1), in any order, on any threads, and returns when all have ended. */
typedef void (*flashc_parallel_for)(void *user, int64_t count, flashc_task task, void *context);

/* The services that a kernel takes from its host. */
typedef struct flashc_host {
  uint32_t abi_version; /* FLASHC_ABI_VERSION */
  int32_t num_workers;  /* >= 1: how many tasks may run at a time */
  void *user;           /* handed to parallel_for */
  flashc_parallel_for parallel_for;
} flashc_host;

/* The arguments of a call. A null host runs every task on the calling thread. */
typedef struct flashc_args {
  uint32_t abi_version; /* FLASHC_ABI_VERSION */
  uint32_t num_tensors;
  const flashc_tensor *tensors; /* in the order of flashc_kernel_info.operands */
  const flashc_host *host;
} flashc_args;

#define FLASHC_OPERAND_OUTPUT 1u /* written by the kernel; all others are only read */

/* One operand of a kernel: -1 in `size` is a size known only at the call. */
typedef struct flashc_operand_info {
  char name[32];
  int32_t dtype;
  int32_t rank;
  uint32_t flags;
  uint32_t reserved;
  int64_t size[FLASHC_MAX_RANK];
} flashc_operand_info;

/* What a kernel says of itself. */
typedef struct flashc_kernel_info {
  uint32_t abi_version;
  uint32_t struct_size; /* sizeof(flashc_kernel_info) of the compiler that made it */
  char name[64];
  char target[64];
  uint32_t num_operands;
  uint32_t reserved;
  const flashc_operand_info *operands;
  const char *metadata; /* a JSON object: dtype, head dims, mask, tiles, instruction sets, compiler version */
} flashc_kernel_info;

typedef const flashc_kernel_info *(*flashc_query_fn)(uint32_t max_abi);
typedef size_t (*flashc_workspace_size_fn)(const flashc_args *args);
typedef flashc_status (*flashc_run_fn)(const flashc_args *args, void *stream, void *workspace, size_t size);

#ifdef __cplusplus
}
#endif
#endif /* FLASHC_RUNTIME_H */
