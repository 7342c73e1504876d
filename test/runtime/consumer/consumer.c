/* Uses the runtime as a C99 program does: one row of attention by the reference, and an error read as text. */
#include <flashc/runtime.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

int main(void) {
  float q[2] = {1, 2}, k[4] = {1, 0, 0, 1}, v[2] = {10, 20};
  double out = 0, lse = 0;
  double scale = 1;
  flashc_pack *pack = NULL;
  flashc_reference_problem problem;
  memset(&problem, 0, sizeof(problem));
  problem.abi_version = FLASHC_ABI_VERSION;
  problem.q = (flashc_tensor){q, FLASHC_F32, 4, {1, 1, 1, 2}, {2, 2, 2, 1}};
  problem.k = (flashc_tensor){k, FLASHC_F32, 4, {1, 1, 2, 2}, {4, 4, 2, 1}};
  problem.v = (flashc_tensor){v, FLASHC_F32, 4, {1, 1, 2, 1}, {2, 2, 1, 1}};
  problem.scale = &scale;
  problem.out = &out;
  problem.lse = &lse;
  problem.host = flashc_default_host();
  if (flashc_reference_attention(&problem) != FLASHC_OK) {
    fprintf(stderr, "%s\n", flashc_last_error());
    return 1;
  }
  /* scores 1 and 2 */
  if (fabs(lse - log(exp(1) + exp(2))) > 1e-14 || fabs(out - (10 * exp(1) + 20 * exp(2)) / exp(lse)) > 1e-13)
    return 2;
  if (flashc_pack_load("no/such/pack", &pack) != FLASHC_ERROR_IO ||
      strcmp(flashc_last_error(), "no/such/pack/kernel.json: No such file or directory") != 0)
    return 3;
  return flashc_runtime_abi_version() == FLASHC_ABI_VERSION ? 0 : 4;
}
