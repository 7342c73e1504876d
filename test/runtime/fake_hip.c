/* A fake libamdhip64: the functions that runtime/devices/GpuDriver.cpp asks for. */
#include "fake_gpu.inc"

#include <stdio.h>

FAKE_API int hipInit(unsigned flags) { return flags ? 1 : simple(); }
FAKE_API int hipRuntimeGetVersion(int *version) { return *version = 60443482, simple(); }
FAKE_API int hipGetDeviceCount(int *count) { return *count = num_devices, simple(); }
FAKE_API int hipDeviceGet(int *device, int ordinal) { return *device = ordinal, simple(); }
FAKE_API int hipDeviceGetName(char *name, int size, int device) {
  snprintf(name, (size_t)size, "Fake Instinct %d", device);
  return simple();
}
FAKE_API int hipDeviceTotalMem(size_t *bytes, int device) {
  (void)device;
  return *bytes = (size_t)memory_limit, simple();
}
FAKE_API int hipDeviceGetAttribute(int *value, int attribute, int device) {
  (void)device;
  *value = attribute == 63 ? 10 : attribute == 74 ? 100 << 10 : 0;
  return 0;
}
/* hipDeviceProp_tR0600 has the chip's name behind 1,160 bytes. 80 stands for the gfx90a, other numbers for gfxN. */
FAKE_API int hipGetDevicePropertiesR0600(void *properties, int ordinal) {
  char *name = (char *)properties + 1160;
  (void)ordinal;
  if (capability == 80)
    strcpy(name, "gfx90a:sramecc+:xnack-");
  else
    sprintf(name, "gfx%d", capability);
  return simple();
}
FAKE_API const char *hipGetErrorName(int error) {
  return error == 2     ? "hipErrorOutOfMemory"
         : error == 200 ? "hipErrorInvalidImage"
         : error == 500 ? "hipErrorNotFound"
                        : "hipErrorFake";
}
FAKE_API const char *hipGetErrorString(int error) { return error == 2 ? "out of memory" : "a fake error"; }
FAKE_API int hipGetDevice(int *device) { return *device = current_device < 0 ? 0 : current_device, 0; }
FAKE_API int hipSetDevice(int device) { return current_device = device, simple(); }
FAKE_API int hipDeviceSynchronize(void) { return synchronise(); }
static int here(void) { return current_device < 0 ? 0 : current_device; }
FAKE_API int hipMemGetInfo(size_t *available, size_t *total) {
  *total = (size_t)memory_limit;
  *available = (size_t)(memory_limit - counts.bytes);
  return 0;
}
FAKE_API int hipMalloc(void **memory, size_t bytes) { return capturing ? 900 : allocate(memory, bytes, here()); }
FAKE_API int hipFree(void *memory) { return release(memory); }
FAKE_API int hipMallocAsync(void **memory, size_t bytes, void *stream) {
  (void)stream;
  return allocate(memory, bytes, here());
}
FAKE_API int hipFreeAsync(void *memory, void *stream) {
  (void)stream;
  return release(memory);
}
FAKE_API int hipMemcpyHtoDAsync(void *to, const void *from, size_t bytes, void *stream) {
  (void)stream;
  return copy(to, from, bytes);
}
FAKE_API int hipMemcpyDtoHAsync(void *to, const void *from, size_t bytes, void *stream) {
  (void)stream;
  return copy(to, from, bytes);
}
FAKE_API int hipMemsetD8Async(void *memory, unsigned char value, size_t bytes, void *stream) {
  int code = simple();
  (void)stream;
  if (!code)
    memset(memory, value, bytes);
  return code;
}
FAKE_API int hipModuleLoadDataEx(void **module, const void *image, unsigned count, int *options, void **values) {
  (void)count, (void)options, (void)values;
  return load(module, image, ".hsaco", 200);
}
FAKE_API int hipModuleUnload(void *module) { return unload(module); }
FAKE_API int hipModuleGetFunction(void **function, void *module, const char *name) {
  return get_function(function, module, name);
}
FAKE_API int hipFuncGetAttribute(int *value, int attribute, void *function) {
  /* LDS beyond 48 KiB needs no leave here. */
  ((struct function *)function)->shared = 1 << 20;
  *value = attribute == 0 ? 1024 : 0;
  return simple();
}
FAKE_API int hipModuleLaunchKernel(void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
                                   unsigned bz, unsigned shared, void *stream, void **params, void **extra) {
  (void)extra;
  return gy != 1 || gz != 1 || by != 1 || bz != 1 ? 1 : launch(function, gx, bx, shared, stream, params);
}
FAKE_API int hipStreamSynchronize(void *stream) {
  (void)stream;
  return synchronise();
}
FAKE_API int hipStreamIsCapturing(void *stream, int *status) {
  (void)stream;
  return *status = capturing, 0;
}
FAKE_API int hipStreamWaitEvent(void *stream, void *event, unsigned flags) {
  return flags ? 1 : stream_wait(stream, (void **)event);
}
FAKE_API int hipEventCreateWithFlags(void **event, unsigned flags) {
  (void)flags;
  return event_create(event);
}
FAKE_API int hipEventDestroy(void *event) { return event_destroy(event); }
FAKE_API int hipEventRecord(void *event, void *stream) { return event_record((void **)event, stream); }
FAKE_API int hipEventSynchronize(void *event) {
  (void)event;
  return synchronise();
}
FAKE_API int hipEventQuery(void *event) { return event_query(event); }
FAKE_API int hipEventElapsedTime(float *milliseconds, void *begin, void *end) {
  (void)begin, (void)end;
  return *milliseconds = 0.25f, simple();
}
FAKE_API int hipPointerGetAttribute(void *value, int attribute, void *pointer) {
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
