//===- TileTaskOps.td - Work that parallel iterations share ---------------===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FLASHC_TILE_TASK_OPS_TD
#define FLASHC_TILE_TASK_OPS_TD

include "dialects/Tile/TileBase.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

def Tile_CooperateOp : Op<Tile_Dialect, "cooperate", [SingleBlock, NoTerminator]> {
  let summary = "Do a job once, shared by the iterations of a parallel loop that need it done";
  let description = [{
    The job has `parts` parts. Whoever comes here takes parts that nobody has taken and executes the region for each, with
    the part's number, until none is left; then it waits until all parts have been executed, by whomever, and sees what
    they wrote. Later comers find the job done and go on at once.

    `state` at `indices` is one 64-bit word for each job: how many parts have been taken (low half) and executed (high
    half). It is 0 before the first one comes; nothing else touches it meanwhile. There are fewer than 2^31 parts.

    A part waits for nothing. So whoever waits here waits for parts that others are executing, never for an iteration that
    has yet to start, and the loop makes progress in any order and on any number of threads.

    ```mlir
    tile.cooperate %state[%b, %h, %c0] parts(%strips) : memref<?x?x8xi64> {
    ^bb0(%strip: index):
      tile.pack %k[%b, %h, %j, %z] valid(%n) into %packed[%b, %h, %strip] transposed <width = 64, lanes = 16>
          : memref<?x?x?x64xf32>, memref<?x?x?x64x64xf32>
    }
    ```
  }];
  let arguments = (ins Arg<MemRefOf<[I64]>, "", [MemRead, MemWrite]>:$state, Variadic<Index>:$indices, Index:$parts);
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = "$state `[` $indices `]` `parts` `(` $parts `)` attr-dict `:` type($state) $body";
  let hasVerifier = 1;
}

def Tile_WorkerOp : Op<Tile_Dialect, "worker", []> {
  let summary = "The number of the worker that runs this iteration of a parallel loop";
  let description = [{
    In `[0, tile.workers)`; no two iterations that run at the same time see the same number, so memory with a slot for each
    worker is an iteration's own while it runs.

    ```mlir
    %w = tile.worker
    ```
  }];
  let results = (outs Index:$result);
  let assemblyFormat = "attr-dict";
}

def Tile_WorkersOp : Op<Tile_Dialect, "workers", [Pure]> {
  let summary = "How many iterations of a parallel loop may run at a time";
  let description = [{
    At least 1, and the same throughout a call of the function.

    ```mlir
    %n = tile.workers
    ```
  }];
  let results = (outs Index:$result);
  let assemblyFormat = "attr-dict";
}

#endif // FLASHC_TILE_TASK_OPS_TD
