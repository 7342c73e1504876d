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

/* Marks the functions that the runtime library exports. */
#if defined(__GNUC__)
#define FLASHC_API __attribute__((visibility("default")))
#else
#define FLASHC_API
#endif

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
  FLASHC_ERROR_INVALID = 12,  /* an argument is out of its domain */
  FLASHC_ERROR_DEVICE = 13    /* the device, or its driver, could not load or run the kernel */
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

/* Calls task(context, 0 .. count-1), in any order, on any threads, and returns when all have ended. One thread may run
 * all of them, one after the other, or as many at a time as there are workers: a task never waits for one that has not
 * begun. It may wait, for microseconds and without sleeping, for what another running task has in hand, so a task that
 * has begun runs to its end on its thread. */
typedef void (*flashc_parallel_for)(void *user, int64_t count, flashc_task task, void *context);

/* One function of a kernel's device code: static data of the kernel's object. A kernel for a GPU has one or several,
 * and launches them from NAME_run. */
typedef struct flashc_device_function {
  uint32_t abi_version;  /* FLASHC_ABI_VERSION */
  uint32_t struct_size;  /* sizeof(flashc_device_function) of the compiler that made it */
  const char *name;      /* the entry in the image */
  const char *target;    /* in the grammar of --target: "nvptx:sm_80", "amdgpu:gfx942", "emulated:sm_80" */
  const char *format;    /* "ptx", "cubin", "hsaco" or "llvm-ir"; "ptx" and "llvm-ir" are text that ends in a NUL */
  const void *image;     /* shared by the functions of a kernel: a loader may know it again by its address */
  uint64_t image_bytes;  /* the NUL not counted */
  uint32_t threads;      /* of a block; blocks have one dimension */
  uint32_t shared_bytes; /* dynamic shared memory (LDS) of a block */
  uint32_t num_params;   /* how many parameters the entry takes, by value */
  uint32_t reserved;
  const uint32_t *param_bytes; /* the size of each: 1, 2, 4 or 8 for a scalar or a pointer, 128 for a tensor map */
} flashc_device_function;

/* What a tensor map describes: boxes of a tensor in global memory that the copy engine (TMA) moves to shared memory.
 * The members are those of the driver's cuTensorMapEncodeTiled; dimension 0 is the contiguous one. */
typedef struct flashc_tensor_map {
  int32_t dtype;              /* flashc_dtype */
  uint32_t rank;              /* 1 to 5 */
  const void *address;        /* in the device's global memory, 16-byte aligned */
  uint64_t size[5];           /* in elements; what a box holds beyond reads as zero, and is not written */
  uint64_t stride_bytes[4];   /* of dimensions 1 to rank - 1, multiples of 16 */
  uint32_t box[5];            /* in elements, at most 256 each */
  uint32_t element_stride[5]; /* 1: every element of a dimension */
  uint32_t interleave;        /* 0: none; else 16 or 32 bytes */
  uint32_t swizzle;           /* 0: none; else 32, 64 or 128 bytes */
  uint32_t l2_promotion;      /* 0: none; else 64, 128 or 256 bytes */
  uint32_t fill_nan;          /* nonzero: what a box holds beyond the tensor reads as NaN */
} flashc_tensor_map;

/* Starts `blocks` blocks of a device function, after what was started on `stream` before and without waiting for it.
 * `params` points to function->num_params pointers to the parameters' values, which are copied before the call returns.
 * `blocks` is at least 1. `stream` is what NAME_run was given: a CUstream or a hipStream_t, null for the device's
 * default. Loads the image on first use. A status other than FLASHC_OK ends NAME_run with it. */
typedef flashc_status (*flashc_launch)(void *user, const flashc_device_function *function, int64_t blocks,
                                       void *const *params, void *stream);

/* Writes the tensor map of `what` to the 128 bytes at `map`, which is 64-byte aligned. A device without a copy engine
 * returns FLASHC_ERROR_TARGET. A kernel copies without the engine what could not be described. */
typedef flashc_status (*flashc_encode_tensor_map)(void *user, void *map, const flashc_tensor_map *what);

/* The services that a kernel takes from its host. A kernel for a CPU reads the members up to parallel_for and no other;
 * a kernel for a GPU reads launch, too, and where it may use a copy engine encode_tensor_map and multiprocessors. */
typedef struct flashc_host {
  uint32_t abi_version; /* FLASHC_ABI_VERSION */
  int32_t num_workers;  /* >= 1: how many tasks may run at a time; of a GPU, how many blocks */
  void *user;           /* handed to the services */
  flashc_parallel_for parallel_for;
  flashc_launch launch;                       /* null where the host has no device */
  flashc_encode_tensor_map encode_tensor_map; /* null where there is no copy engine */
  int32_t multiprocessors; /* of the device: how many blocks a kernel with long-lived blocks starts; 0: not known */
  uint32_t reserved;       /* 0 */
} flashc_host;

/* The arguments of a call. With a null host a CPU's kernel runs every task on the calling thread; a GPU's kernel
 * returns FLASHC_ERROR_TARGET then, and with a host whose `launch` is null. */
typedef struct flashc_args {
  uint32_t abi_version; /* FLASHC_ABI_VERSION */
  uint32_t num_tensors;
  const flashc_tensor *tensors; /* in the order of flashc_kernel_info.operands */
  const flashc_host *host;
} flashc_args;

#define FLASHC_OPERAND_OUTPUT 1u /* written by the kernel; all others are only read */

/* What a negative entry of flashc_operand_info.size says: a size known only at the call. Sizes of one name are equal
 * in all operands, and the number of query heads is a multiple of the number of key heads. */
#define FLASHC_SIZE_ANY (-1)
#define FLASHC_SIZE_BATCH (-2)
#define FLASHC_SIZE_Q_HEADS (-3)
#define FLASHC_SIZE_KV_HEADS (-4)
#define FLASHC_SIZE_QUERIES (-5)
#define FLASHC_SIZE_KEYS (-6)

/* One operand of a kernel: -1 in `size` is a size known only at the call, as are the named sizes above. */
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
/* The workspace depends on the sizes of the tensors and on the host's num_workers, and on nothing else of args. */
typedef size_t (*flashc_workspace_size_fn)(const flashc_args *args);
typedef flashc_status (*flashc_run_fn)(const flashc_args *args, void *stream, void *workspace, size_t size);

/* ---------------------------------------------------------------------------------------------------------------
 * The runtime library's services. Kernels do not need them; hosts may use them.
 *
 * Every function may be called from any thread at any time unless it says otherwise. A function that fails returns
 * a status and leaves a message, with expected and actual, in flashc_last_error() of the calling thread.
 * ------------------------------------------------------------------------------------------------------------- */

/** The ABI version that this library was built with. */
FLASHC_API uint32_t flashc_runtime_abi_version(void);

/** A static, never-null text for a status: "wrong element type". Unknown values give "unknown status". */
FLASHC_API const char *flashc_status_string(flashc_status status);

/** The message of the last failed call of this library on this thread, "" if none failed. Valid until the next
 *  failing call on this thread; a successful call leaves it alone. */
FLASHC_API const char *flashc_last_error(void);

/** "f32" for FLASHC_F32; "?" for a value that is no element type. */
FLASHC_API const char *flashc_dtype_name(int32_t dtype);

/** Bytes of one element, 0 for a value that is no element type. */
FLASHC_API size_t flashc_dtype_size(int32_t dtype);

/* ---- Threads ---- */

/** A pool of persistent threads. The thread that calls its parallel_for takes part as worker 0; a call that finds the
 *  pool busy (a nested call, or another thread's) runs its tasks on its own thread. Survives fork. While tasks run,
 *  subnormal numbers are flushed to zero. */
typedef struct flashc_pool flashc_pool;

/** Creates a pool of num_threads workers, the calling thread counted; 0 means the default number. Threads start at
 *  the first parallel loop. FLASHC_ERROR_INVALID when num_threads is outside [0, 1024]. */
FLASHC_API flashc_status flashc_pool_create(int32_t num_threads, flashc_pool **pool);

/** Ends the pool's threads. No loop may be running on it. Null is allowed. */
FLASHC_API void flashc_pool_destroy(flashc_pool *pool);

/** The host to put into flashc_args; valid as long as the pool. */
FLASHC_API const flashc_host *flashc_pool_host(const flashc_pool *pool);

/** The process-wide pool's host, never null, valid until the process ends. */
FLASHC_API const flashc_host *flashc_default_host(void);

/** Sets the number of workers of flashc_default_host() for later calls; 0 restores the default, which is the
 * environment's FLASHC_NUM_THREADS, else the CPUs this process may use. Running loops keep theirs. */
FLASHC_API flashc_status flashc_set_num_threads(int32_t num_threads);

/** The number of workers of flashc_default_host(). */
FLASHC_API int32_t flashc_get_num_threads(void);

/* ---- Calling a kernel ---- */

/** The three functions of a kernel, however it came into the process. */
typedef struct flashc_kernel {
  const flashc_kernel_info *info;
  flashc_workspace_size_fn workspace_size;
  flashc_run_fn run;
} flashc_kernel;

/** Checks args against info: ABI, number of tensors, and each tensor's element type, rank, sizes, data pointer,
 *  alignment and, for outputs, strides that give each element its own place. The first mismatch decides the status;
 *  its text, with expected and actual, is written to message (at most size bytes, always terminated; may be null)
 *  and to flashc_last_error(). */
FLASHC_API flashc_status flashc_check_args(const flashc_kernel_info *info, const flashc_args *args, char *message,
                                           size_t size);

/** Checks the arguments, takes this thread's workspace and runs the kernel. Allocates nothing once the workspace has
 *  grown to what the largest call needed. A null host runs on the calling thread. */
FLASHC_API flashc_status flashc_kernel_run(const flashc_kernel *kernel, const flashc_args *args);

/** As flashc_kernel_run without the check, for a caller that has checked these sizes before. */
FLASHC_API flashc_status flashc_kernel_run_unchecked(const flashc_kernel *kernel, const flashc_args *args);

/** Gives this thread's workspace back to the system; the next call allocates it again. */
FLASHC_API void flashc_workspace_release(void);

/* ---- Packs ---- */

/** A kernel loaded from the folder that flash-compile wrote; runtime/Pack.md describes it. */
typedef struct flashc_pack flashc_pack;

/** Loads a pack. path is the folder, or its kernel.json. Fails with FLASHC_ERROR_IO (missing or unreadable file),
 *  FLASHC_ERROR_FORMAT (damaged), FLASHC_ERROR_ABI (newer than this library) or FLASHC_ERROR_TARGET (another machine);
 *  *pack is then null. */
FLASHC_API flashc_status flashc_pack_load(const char *path, flashc_pack **pack);

/** What the kernel says of itself; valid until the pack is unloaded. */
FLASHC_API const flashc_kernel_info *flashc_pack_info(const flashc_pack *pack);

/** The kernel's functions; valid until the pack is unloaded. */
FLASHC_API const flashc_kernel *flashc_pack_kernel(const flashc_pack *pack);

/** The text of kernel.json; valid until the pack is unloaded. */
FLASHC_API const char *flashc_pack_metadata(const flashc_pack *pack);

/** Checks the arguments and runs the pack's kernel on its device: on a CPU before it returns; on a GPU on its default
 *  stream and without waiting, with tensors in the GPU's memory. args.host matters to a CPU alone. */
FLASHC_API flashc_status flashc_pack_run(const flashc_pack *pack, const flashc_args *args);

/** The same in the order of `stream`, a CUstream or a hipStream_t. */
FLASHC_API flashc_status flashc_pack_run_on(const flashc_pack *pack, const flashc_args *args, void *stream);

/** Unloads the kernel. No call may be running in it. Null is allowed. */
FLASHC_API void flashc_pack_unload(flashc_pack *pack);

/* ---- Devices ---- */

/** Something that runs kernels: the CPU, or a GPU behind the driver that was found at run time. Lives as long as the
 *  process. */
typedef struct flashc_device flashc_device;

/** What there is, as JSON: {"devices": [{"name": "cuda:0", "family", "architecture", "description", "driver", "units",
 *  "memory_bytes", "shared_bytes"}], "absent": [{"name": "hip", "reason"}], "fallbacks": [text]}: what has
 *  run slower than it could, each once. Valid until this thread's next call; null when memory is out. The first call of
 *  this group looks for drivers. */
FLASHC_API const char *flashc_devices(void);

/** The device with this name ("cuda:0", "cpu"), else the one that suits a target ("nvptx:sm_80") best. */
FLASHC_API flashc_status flashc_device_find(const char *name, flashc_device **device);

/** "cuda:0"; valid until this thread calls it again. */
FLASHC_API const char *flashc_device_name(const flashc_device *device);

/** Uninitialised memory of the device, aligned to 256 bytes. */
FLASHC_API flashc_status flashc_device_allocate(flashc_device *device, size_t bytes, void **memory);
FLASHC_API flashc_status flashc_device_free(flashc_device *device, void *memory);

/** Copies in the order of `stream`; done when they return. */
FLASHC_API flashc_status flashc_device_copy_to(flashc_device *device, void *to, const void *from, size_t bytes,
                                               void *stream);
FLASHC_API flashc_status flashc_device_copy_from(flashc_device *device, void *to, const void *from, size_t bytes,
                                                 void *stream);

/** Waits for what was started on `stream`, and reports what went wrong in it. */
FLASHC_API flashc_status flashc_device_synchronize(flashc_device *device, void *stream);

/** flashc_pack_load for one device; null: the one that suits best. */
FLASHC_API flashc_status flashc_pack_load_on(const char *path, flashc_device *device, flashc_pack **pack);

/** The device of a loaded pack. */
FLASHC_API flashc_device *flashc_pack_device(const flashc_pack *pack);

/** Sizes of an attention. */
typedef struct flashc_problem_sizes {
  int64_t batch, heads, kv_heads, queries, keys;
} flashc_problem_sizes;

/** Runs the pack's kernel on random operands of these sizes and compares with the float64 reference by the contract's
 *  tolerances. FLASHC_OK when it ran, whatever came out: *passed is nonzero where the result is right, and message (at
 *  most size bytes, always terminated; may be null) holds the errors beside their bounds. */
FLASHC_API flashc_status flashc_pack_verify(const flashc_pack *pack, const flashc_problem_sizes *sizes, uint64_t seed,
                                            int32_t *passed, char *message, size_t size);

/** Times single runs on operands of these sizes, caches warm, for at least 10 runs and min_seconds in all: seconds, by
 *  the device's own clock where it has one. median and best may be null. */
FLASHC_API flashc_status flashc_pack_time(const flashc_pack *pack, const flashc_problem_sizes *sizes,
                                          double min_seconds, double *median, double *best);

/* ---- The float64 reference ---- */

/** Through which corner of the scores the diagonal of a causal mask or a window passes: d = i, or d = i + Sk - Sq. */
typedef enum flashc_alignment { FLASHC_TOP_LEFT = 0, FLASHC_BOTTOM_RIGHT = 1 } flashc_alignment;

/** The clauses of a mask, joined by AND. A size of 1 in a clause's tensor is broadcast. */
typedef enum flashc_mask_kind {
  FLASHC_MASK_CAUSAL = 0,      /* alignment: j <= d */
  FLASHC_MASK_WINDOW = 1,      /* alignment, left, right: d - left <= j <= d + right; -1 is unbounded */
  FLASHC_MASK_KEY_LENGTHS = 2, /* tensor [B], integers: j < lengths[b] */
  FLASHC_MASK_KEY_PADDING = 3, /* tensor [B, Sk], bool or i8: nonzero where attended */
  FLASHC_MASK_PREFIX_LM = 4,   /* alignment, tensor [B], integers: j < prefix[b], or j <= d */
  FLASHC_MASK_SEGMENTS = 5,    /* tensor [B, Sq], key_tensor [B, Sk], integers: equal ids */
  FLASHC_MASK_BOOLEAN = 6,     /* tensor [B, Hq, Sq, Sk], bool or i8: nonzero where attended */
  FLASHC_MASK_ADDITIVE = 7     /* tensor [B, Hq, Sq, Sk], floats added to the score; -inf is not attended */
} flashc_mask_kind;

/** One clause of a mask; members that its kind does not name are ignored. */
typedef struct flashc_mask_clause {
  int32_t kind;      /* flashc_mask_kind */
  int32_t alignment; /* flashc_alignment */
  int64_t left;
  int64_t right;
  const flashc_tensor *tensor;
  const flashc_tensor *key_tensor;
} flashc_mask_clause;

/** The user's score function: the new score for the properly scaled one. A result of -inf is not attended. */
typedef double (*flashc_score_mod)(void *user, double score, int64_t b, int64_t h, int64_t i, int64_t j);

/** The user's mask: nonzero where query i attends key j. */
typedef int32_t (*flashc_mask_mod)(void *user, int64_t b, int64_t h, int64_t i, int64_t j);

/** An attention, stated: softmax over j of bias + softcap(score_mod(scale * q_i . k_j)), masked, times v.
 *  Tensors may be of any floating type and have any strides. Zero and null mean absent. */
typedef struct flashc_reference_problem {
  uint32_t abi_version; /* FLASHC_ABI_VERSION */
  uint32_t num_masks;
  flashc_tensor q;                 /* [B, Hq, Sq, D] */
  flashc_tensor k;                 /* [B, Hkv, Sk, D]; query head h reads key head h / (Hq / Hkv) */
  flashc_tensor v;                 /* [B, Hkv, Sk, Dv] */
  const double *scale;             /* null: 1 / sqrt(D) */
  double softcap;                  /* 0: none; else cap * tanh(score / cap) */
  const flashc_tensor *bias;       /* broadcastable to [B, Hq, Sq, Sk], floats */
  const flashc_tensor *alibi;      /* slopes [B, Hq] or [Hq]: adds -slope * |d - j| */
  int32_t alibi_alignment;         /* flashc_alignment of that diagonal d */
  int32_t reserved;                /* 0 */
  const flashc_tensor *sinks;      /* [Hq]: exp(sink) is added to the denominator, nothing to the output */
  const flashc_mask_clause *masks; /* num_masks clauses */
  flashc_score_mod score_mod;      /* called from the host's threads at once */
  void *score_user;
  flashc_mask_mod mask_mod; /* likewise */
  void *mask_user;
  double *out;             /* [B, Hq, Sq, Dv], row-major; 0 in rows that attend nothing */
  double *lse;             /* [B, Hq, Sq], row-major, or null; natural logarithm, -inf in such rows */
  const flashc_host *host; /* null: all on the calling thread */
} flashc_reference_problem;

/** Computes an attention in float64 by plain loops, independently of every kernel: what results are compared with. The
 *  masked elements of k and v do not reach the result. Takes O(Sk) memory a thread beside float64 copies of one
 *  head's k and v. */
FLASHC_API flashc_status flashc_reference_attention(const flashc_reference_problem *problem);

#ifdef __cplusplus
}
#endif
#endif /* FLASHC_RUNTIME_H */
