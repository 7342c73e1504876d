/* A C99 program that uses a kernel with nothing but the pack: causal (bottom right) attention, float32, D = 64, against
 * plain loops. */
#include "my_attention.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { B = 2, HQ = 4, HKV = 2, SQ = 37, SK = 101, D = 64 };

static float q[B][HQ][SQ][D], k[B][HKV][SK][D], v[B][HKV][SK][D], out[B][HQ][SQ][D];

static void fill(float *values, size_t count, unsigned seed) {
  for (size_t i = 0; i < count; ++i) {
    seed = seed * 1664525u + 1013904223u;
    values[i] = (float)(seed >> 8) / (float)(1u << 23) - 1.0f;
  }
}

static flashc_tensor describe(void *data, int64_t heads, int64_t length) {
  flashc_tensor tensor = {data, FLASHC_F32, 4, {B, heads, length, D}, {heads * length * D, length * D, D, 1}};
  return tensor;
}

/* A host with its own idea of threads: two workers that take turns. */
static void alternate(void *user, int64_t count, flashc_task task, void *context) {
  ++*(int *)user;
  for (int64_t i = count; i-- > 0;)
    task(context, i, (int32_t)(i & 1));
}

static double largest_error(void) {
  double worst = 0;
  for (int b = 0; b < B; ++b)
    for (int h = 0; h < HQ; ++h)
      for (int i = 0; i < SQ; ++i) {
        double p[SK], sum = 0, top = -DBL_MAX;
        int g = h / (HQ / HKV), end = i + SK - SQ + 1;
        for (int j = 0; j < end; ++j) {
          p[j] = 0;
          for (int d = 0; d < D; ++d)
            p[j] += (double)q[b][h][i][d] * k[b][g][j][d];
          p[j] *= 0.125;
          top = p[j] > top ? p[j] : top;
        }
        for (int j = 0; j < end; ++j)
          sum += p[j] = exp(p[j] - top);
        for (int d = 0; d < D; ++d) {
          double expected = 0;
          for (int j = 0; j < end; ++j)
            expected += p[j] / sum * v[b][g][j][d];
          double error = fabs(expected - out[b][h][i][d]);
          worst = error > worst || error != error ? error : worst;
        }
      }
  return worst;
}

int main(void) {
  fill(&q[0][0][0][0], sizeof q / sizeof(float), 1);
  fill(&k[0][0][0][0], sizeof k / sizeof(float), 2);
  fill(&v[0][0][0][0], sizeof v / sizeof(float), 3);
  const flashc_kernel_info *info = my_attention_query(FLASHC_ABI_VERSION);
  if (!info || info->num_operands != 4 || my_attention_query(0)) {
    puts("wrong description");
    return 1;
  }
  flashc_tensor tensors[4];
  tensors[0] = describe(q, HQ, SQ);
  tensors[1] = describe(k, HKV, SK);
  tensors[2] = describe(v, HKV, SK);
  tensors[3] = describe(out, HQ, SQ);
  int loops = 0;
  flashc_host host = {FLASHC_ABI_VERSION, 2, NULL, NULL, NULL, NULL, 0, 0};
  host.user = &loops;
  host.parallel_for = alternate;
  for (int hosted = 0; hosted < 2; ++hosted) {
    flashc_args args = {FLASHC_ABI_VERSION, 4, tensors, NULL};
    args.host = hosted ? &host : NULL;
    size_t size = my_attention_workspace_size(&args);
    char *memory = malloc(size + 64);
    void *workspace = memory + (64 - (size_t)memory % 64) % 64;
    flashc_status status = my_attention_run(&args, NULL, workspace, size);
    free(memory);
    if (status != FLASHC_OK) {
      printf("status %d\n", (int)status);
      return 1;
    }
    double error = largest_error();
    printf("%s: largest error %s\n", hosted ? "hosted" : "alone", error < 1e-5 ? "below 1e-5" : "too large");
    if (!(error < 1e-5))
      return 1;
  }
  /* A caller of a newer ABI, and one that got a size wrong. */
  flashc_args args = {FLASHC_ABI_VERSION + 1, 4, tensors, NULL};
  printf("newer: %d\n", (int)my_attention_run(&args, NULL, NULL, 0));
  args.abi_version = FLASHC_ABI_VERSION;
  tensors[1].size[3] = 32;
  printf("shape: %d\n", (int)my_attention_run(&args, NULL, NULL, 0));
  printf("parallel loops: %s\n", loops > 0 ? "some" : "none");
  return 0;
}
