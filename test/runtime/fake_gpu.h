/* A GPU that is not there: what a fake driver keeps. Device memory is the host's, streams run what they are given at
 * once, and a kernel is a name with a C function behind it. Counts what is alive, and fails where it is told to.
 *
 * The fake_* functions are for tests; each fake library has its own. */
#ifndef FLASHC_TEST_RUNTIME_FAKE_GPU_H
#define FLASHC_TEST_RUNTIME_FAKE_GPU_H

#include <stddef.h>
#include <stdint.h>

#define FAKE_API __attribute__((visibility("default")))

/* What is alive, and what was done. */
struct fake_counts {
  int64_t allocations, modules, events, contexts; /* alive */
  int64_t pushed;                                 /* contexts pushed and not popped, on all threads */
  int64_t calls;                                  /* that can fail, since fake_reset */
  int64_t launches, loads, synchronisations;
  int64_t bytes;          /* allocated */
  void *last_stream;      /* of the last launch */
  int64_t last_blocks;    /* of the last launch */
  int64_t last_threads;   /* of the last launch */
  int64_t shared_allowed; /* what the last function may have; set by an attribute */
  /* The order that events gave streams: how often one was made to wait for another, and the last two. */
  int64_t orders;
  void *last_earlier, *last_later;
};

#ifdef __cplusplus
extern "C" {
#endif
/* Back to one device of capability 8.0 (gfx90a), 1 MiB of memory, nothing that fails. What is alive stays. */
FAKE_API void fake_reset(void);
/* The call with this number (1 is the next) fails with `code`; 0 ends that. */
FAKE_API void fake_fail_at(int64_t call, int code);
FAKE_API void fake_set(int devices, int capability, int64_t memory);
FAKE_API void fake_set_capturing(int capturing);
/* Whether work that was started has not ended: what asks an event is told to come again. */
FAKE_API void fake_set_busy(int busy);
FAKE_API void fake_get(struct fake_counts *counts);
/* Whether `pointer` lies in memory that was allocated on the device. */
FAKE_API int fake_owns(const void *pointer);
#ifdef __cplusplus
}
#endif

#endif
