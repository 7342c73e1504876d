/// Intel's tile instructions, emulated for machines that lack them.
///
/// One function for each instruction that generated code uses, on a state of its own for each thread, after the
/// operation sections of the Intel 64 and IA-32 Software Developer's Manual, volume 2 (LDTILECFG, TILELOADD,
/// TILESTORED, TILEZERO, TILERELEASE, TDPBF16PS). Where the processor would raise #UD or #GP, the instruction does
/// nothing and the first reason is kept. Palette 1: 8 tiles of 16 rows of 64 bytes.
#ifndef FLASHC_TEST_AMX_AMXEMULATOR_H
#define FLASHC_TEST_AMX_AMXEMULATOR_H

#include <cstddef>
#include <cstdint>

extern "C" {
/// Configures the calling thread's tiles from 64 bytes of memory and zeroes them.
void flashc_amx_ldtilecfg(const void *config);
/// Returns the calling thread's tiles to their initial, unconfigured state.
void flashc_amx_tilerelease();
void flashc_amx_tilezero(uint8_t tile);
/// Row r of the tile is read from `base + r * stride`.
void flashc_amx_tileloadd(uint8_t tile, const void *base, int64_t stride);
void flashc_amx_tilestored(uint8_t tile, void *base, int64_t stride);
/// destination[m][n] += sum over k of left[m][2k] * right[k][2n] + left[m][2k + 1] * right[k][2n + 1].
void flashc_amx_tdpbf16ps(uint8_t destination, uint8_t left, uint8_t right);

/// Why the first faulting instruction since the last reset faulted; null if none did. Of all threads.
const char *flashc_amx_fault();
/// How many products all threads did since the last reset.
uint64_t flashc_amx_products();
/// How many threads hold configured tiles now.
int64_t flashc_amx_configured_threads();
/// Forgets the fault and the count of products.
void flashc_amx_reset();
}

#endif // FLASHC_TEST_AMX_AMXEMULATOR_H
