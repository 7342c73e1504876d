/* A fake libcuda: the functions that runtime/devices/GpuDriver.cpp asks for. */
#include "fake_gpu.inc"

#include <stdio.h>

FAKE_API int cuInit(unsigned flags) { return flags ? 1 : simple(); }
FAKE_API int cuDriverGetVersion(int *version) { return *version = 12080, simple(); }
FAKE_API int cuDeviceGetCount(int *count) { return *count = num_devices, simple(); }
FAKE_API int cuDeviceGet(int *device, int ordinal) { return *device = ordinal, simple(); }
FAKE_API int cuDeviceGetName(char *name, int size, int device) {
  snprintf(name, (size_t)size, "Fake %d", device);
  return simple();
}
FAKE_API int cuDeviceTotalMem_v2(size_t *bytes, int device) {
  (void)device;
  return *bytes = (size_t)memory_limit, simple();
}
FAKE_API int cuDeviceGetAttribute(int *value, int attribute, int device) {
  (void)device;
  switch (attribute) {
  case 16:
    *value = 10;
    break;
  case 75:
    *value = capability / 10;
    break;
  case 76:
    *value = capability % 10;
    break;
  case 97:
    *value = 100 << 10;
    break;
  case 13:
    *value = 1500000;
    break;
  case 36:
    *value = 1000000;
    break;
  case 37:
    *value = 4096;
    break;
  default:
    *value = 0;
  }
  return 0;
}
FAKE_API int cuGetErrorName(int error, const char **name) {
  *name = error == 2     ? "CUDA_ERROR_OUT_OF_MEMORY"
          : error == 218 ? "CUDA_ERROR_INVALID_PTX"
          : error == 500 ? "CUDA_ERROR_NOT_FOUND"
          : error == 700 ? "CUDA_ERROR_ILLEGAL_ADDRESS"
                         : "CUDA_ERROR_FAKE";
  return 0;
}
FAKE_API int cuGetErrorString(int error, const char **text) {
  *text = error == 2 ? "out of memory" : "a fake error";
  return 0;
}

/* A context is the number of its device, plus one. */
static __thread void *stack[16];
static __thread int depth;
FAKE_API int cuDevicePrimaryCtxRetain(void **context, int device) {
  int code = simple();
  if (code)
    return code;
  pthread_mutex_lock(&lock);
  ++counts.contexts;
  pthread_mutex_unlock(&lock);
  *context = (void *)(intptr_t)(device + 1);
  return 0;
}
FAKE_API int cuDevicePrimaryCtxRelease_v2(int device) {
  (void)device;
  pthread_mutex_lock(&lock);
  --counts.contexts;
  pthread_mutex_unlock(&lock);
  return 0;
}
FAKE_API int cuCtxGetCurrent(void **context) { return *context = depth ? stack[depth - 1] : NULL, 0; }
FAKE_API int cuCtxPushCurrent_v2(void *context) {
  int code = simple();
  if (code)
    return code;
  stack[depth++] = context;
  current_device = (int)(intptr_t)context - 1;
  pthread_mutex_lock(&lock);
  ++counts.pushed;
  pthread_mutex_unlock(&lock);
  return 0;
}
FAKE_API int cuCtxPopCurrent_v2(void **context) {
  if (!depth)
    return 201;
  *context = stack[--depth];
  current_device = depth ? (int)(intptr_t)stack[depth - 1] - 1 : -1;
  pthread_mutex_lock(&lock);
  --counts.pushed;
  pthread_mutex_unlock(&lock);
  return 0;
}
FAKE_API int cuCtxSynchronize(void) { return synchronise(); }

/* 201 where no context is current, as the real one has it. */
static int here(void) { return current_device < 0 ? 201 : 0; }

FAKE_API int cuMemGetInfo_v2(size_t *available, size_t *total) {
  *total = (size_t)memory_limit;
  *available = (size_t)(memory_limit - counts.bytes);
  return here();
}
FAKE_API int cuMemAlloc_v2(void **memory, size_t bytes) {
  return here() ? here() : capturing ? 900 : allocate(memory, bytes, current_device);
}
FAKE_API int cuMemFree_v2(void *memory) { return here() ? here() : release(memory); }
FAKE_API int cuMemAllocAsync(void **memory, size_t bytes, void *stream) {
  (void)stream;
  return here() ? here() : allocate(memory, bytes, current_device);
}
FAKE_API int cuMemFreeAsync(void *memory, void *stream) {
  (void)stream;
  return here() ? here() : release(memory);
}
FAKE_API int cuMemcpyHtoDAsync_v2(void *to, const void *from, size_t bytes, void *stream) {
  (void)stream;
  return here() ? here() : copy(to, from, bytes);
}
FAKE_API int cuMemcpyDtoHAsync_v2(void *to, const void *from, size_t bytes, void *stream) {
  (void)stream;
  return here() ? here() : copy(to, from, bytes);
}
FAKE_API int cuMemsetD8Async(void *memory, unsigned char value, size_t bytes, void *stream) {
  int code = here() ? here() : simple();
  (void)stream;
  if (!code)
    memset(memory, value, bytes);
  return code;
}
FAKE_API int cuModuleLoadDataEx(void **module, const void *image, unsigned count, int *options, void **values) {
  int code = here() ? here() : load(module, image, ".version", 218);
  if (code == 218 && count == 2 && options[0] == 5)
    snprintf(values[0], (size_t)values[1], "ptxas fatal: line 1; expected .version");
  return code;
}
FAKE_API int cuModuleUnload(void *module) { return here() ? here() : unload(module); }
FAKE_API int cuModuleGetFunction(void **function, void *module, const char *name) {
  return get_function(function, module, name);
}
FAKE_API int cuFuncGetAttribute(int *value, int attribute, void *function) {
  (void)function;
  *value = attribute == 0 ? 1024 : 0;
  return simple();
}
FAKE_API int cuFuncSetAttribute(void *function, int attribute, int value) {
  int code = simple();
  if (code || attribute != 8)
    return code;
  ((struct function *)function)->shared = value;
  counts.shared_allowed = value;
  return 0;
}
FAKE_API int cuLaunchKernel(void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
                            unsigned bz, unsigned shared, void *stream, void **params, void **extra) {
  (void)extra;
  if (here())
    return here();
  return gy != 1 || gz != 1 || by != 1 || bz != 1 ? 1 : launch(function, gx, bx, shared, stream, params);
}
FAKE_API int cuStreamSynchronize(void *stream) {
  (void)stream;
  return here() ? here() : synchronise();
}
FAKE_API int cuStreamIsCapturing(void *stream, int *status) {
  (void)stream;
  return *status = capturing, 0;
}
FAKE_API int cuStreamWaitEvent(void *stream, void *event, unsigned flags) {
  return flags ? 1 : stream_wait(stream, (void **)event);
}
FAKE_API int cuEventCreate(void **event, unsigned flags) {
  (void)flags;
  return here() ? here() : event_create(event);
}
FAKE_API int cuEventDestroy_v2(void *event) { return event_destroy(event); }
FAKE_API int cuEventRecord(void *event, void *stream) { return event_record((void **)event, stream); }
FAKE_API int cuEventSynchronize(void *event) {
  (void)event;
  return synchronise();
}
FAKE_API int cuEventQuery(void *event) { return event_query(event); }
FAKE_API int cuEventElapsedTime(float *milliseconds, void *begin, void *end) {
  (void)begin, (void)end;
  return *milliseconds = 0.25f, simple();
}
FAKE_API int cuPointerGetAttribute(void *value, int attribute, void *pointer) {
  const struct block *block;
  int code = 0;
  pthread_mutex_lock(&lock);
  block = find_block(pointer);
  if (!block)
    code = 1;
  else if (attribute == 2)
    *(unsigned *)value = 2;
  else
    *(int *)value = attribute == 9 ? block->device : 0;
  pthread_mutex_unlock(&lock);
  return code;
}
FAKE_API int cuTensorMapEncodeTiled(void *map, int type, uint32_t rank, void *address, const uint64_t *sizes,
                                    const uint64_t *strides, const uint32_t *box, const uint32_t *element_strides,
                                    int interleave, int swizzle, int promotion, int fill) {
  int code = simple();
  uint64_t *words = map;
  (void)strides, (void)element_strides;
  if (code)
    return code;
  memset(map, 0, 128);
  words[0] = (uint64_t)(uintptr_t)address;
  words[1] = rank;
  words[2] = sizes[0];
  words[3] = box[0];
  words[4] = (uint64_t)type;
  words[5] = (uint64_t)swizzle;
  words[6] = (uint64_t)interleave * 100 + (uint64_t)promotion * 10 + (uint64_t)fill;
  return 0;
}
