//===- TilePipeOps.td - Tiles handed from copying to computing threads ----===//
//
// Part of flashc, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FLASHC_TILE_PIPE_OPS_TD
#define FLASHC_TILE_PIPE_OPS_TD

include "dialects/Tile/TileBase.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

class Tile_PipeBaseOp<string mnemonic, list<Trait> traits = []> : Op<Tile_Dialect, mnemonic, traits>;

//===----------------------------------------------------------------------===//
// Types
//===----------------------------------------------------------------------===//

def Tile_PipeType : TypeDef<Tile_Dialect, "Pipe"> {
  let mnemonic = "pipe";
  let summary = "A ring of tiles in shared memory, filled by some of a block's threads and read by the others";
  let description = [{
    Named like the tile that it holds, which has a layout in shared memory.

    Example: `!tile.pipe<128x64xbf16, #tile.shared<panel = 128>>`.
  }];
  let parameters = (ins "::flashc::tile::TileType":$tile);
  let builders = [TypeBuilderWithInferredContext<(ins "::flashc::tile::TileType":$tile),
                                                 [{ return $_get(tile.getContext(), tile); }]>];
  let hasCustomAssemblyFormat = 1;
  let genVerifyDecl = 1;
  let extraClassDeclaration = [{
    /// Bytes from one stage to the next: whole kilobytes, in which a swizzle repeats.
    int64_t getStageBytes() const;
  }];
}

def Tile_TensorMapType : TypeDef<Tile_Dialect, "TensorMap"> {
  let mnemonic = "tensor_map";
  let summary = "What a copy unit knows of a tensor: where it is, its sizes and strides, and the box that one copy takes";
}

//===----------------------------------------------------------------------===//
// Around the loop of blocks
//===----------------------------------------------------------------------===//

def Tile_MultiprocessorsOp : Tile_PipeBaseOp<"multiprocessors", [Pure]> {
  let summary = "How many multiprocessors the device has that blocks of threads run on; 0 where nobody knows";
  let description = [{
    The same throughout a call of the function.

    ```mlir
    %n = tile.multiprocessors
    ```
  }];
  let results = (outs Index:$result);
  let assemblyFormat = "attr-dict";
}

def Tile_TensorMapOp : Tile_PipeBaseOp<"tensor_map", [Pure]> {
  let summary = "Describe a tensor to the device's copy unit";
  let description = [{
    A box is one panel of a shared tile: `rows` along the last dimension but one, as many elements of the last one as the layout's
    panel has bytes for, and one of each dimension before. `usable` says whether the unit takes this tensor: its address and
    strides are multiples of sixteen bytes, the last dimension's elements lie side by side, no stride is zero or negative, and
    the host describes tensors at all. Elements of a box beyond the tensor arrive as zeros.

    ```mlir
    %map, %usable = tile.tensor_map %k rows 128 <panel = 128> : memref<?x?x?x64xbf16, strided<[?, ?, ?, ?], offset: ?>>
    ```
  }];
  let arguments = (ins AnyMemRef:$source, I64Attr:$rows, Tile_SharedLayout:$layout);
  let results = (outs Tile_TensorMapType:$map, I1:$usable);
  let assemblyFormat = "$source `rows` $rows $layout attr-dict `:` type($source)";
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    /// Elements of a box along the last dimension.
    int64_t getColumns();
  }];
}

//===----------------------------------------------------------------------===//
// In a block of threads
//===----------------------------------------------------------------------===//

def Tile_PipeOp : Tile_PipeBaseOp<"pipe"> {
  let summary = "Make a pipe of `stages` tiles, all of them empty";
  let description = [{
    Tiles are counted: number n lies in stage `n mod stages`. A stage is filled by `tile.push` when the tile that was there before
    has been released, and read between `tile.pop` and `tile.release`. Pushes, pops and releases go through the numbers in order.

    ```mlir
    %p = tile.pipe stages 2 : !tile.pipe<128x64xbf16, #tile.shared<panel = 128>>
    ```
  }];
  let arguments = (ins I64Attr:$stages);
  let results = (outs Tile_PipeType:$result);
  let assemblyFormat = "`stages` $stages attr-dict `:` type($result)";
  let hasVerifier = 1;
}

def Tile_RolesOp : Tile_PipeBaseOp<"roles", [SingleBlock, NoTerminator, RecursiveMemoryEffects]> {
  let summary = "Divide a block's threads: some compute, the others bring what is computed with";
  let description = [{
    The first threads of the block are the consumers, so that a thread's number says what it holds of a tile; those behind them the
    producer. Both regions run at the same time, meet in pipes alone, and the operation ends for a thread when its region does.
    `registers` is how many registers each thread of a role is to have; without it they are shared out evenly.

    ```mlir
    %p = tile.pipe stages 2 : !tile.pipe<128x64xbf16, #tile.shared<panel = 128>>
    tile.roles producer threads 128 registers 24 {
      tile.push %k[%j, %z] valid(%rows, %d) into %p at %n
          : memref<?x64xbf16>, <128x64xbf16, #tile.shared<panel = 128>>
    } consumers threads 256 registers 240 {
      %t = tile.pop %p at %n
          : <128x64xbf16, #tile.shared<panel = 128>> -> <128x64xbf16, #tile.shared<panel = 128>>
      tile.release %p at %n : <128x64xbf16, #tile.shared<panel = 128>>
    }
    ```
  }];
  let arguments = (ins I64Attr:$producer_threads, OptionalAttr<I64Attr>:$producer_registers, I64Attr:$consumer_threads,
                       OptionalAttr<I64Attr>:$consumer_registers);
  let regions = (region SizedRegion<1>:$producer, SizedRegion<1>:$consumers);
  let assemblyFormat = [{
    `producer` `threads` $producer_threads (`registers` $producer_registers^)? $producer
    `consumers` `threads` $consumer_threads (`registers` $consumer_registers^)? $consumers attr-dict
  }];
  let hasVerifier = 1;
}

def Tile_PushOp : Tile_PipeBaseOp<"push", [AttrSizedOperandSegments, MemoryEffects<[MemRead, MemWrite]>]> {
  let summary = "The producer's threads fill the next stage of a pipe from memory";
  let description = [{
    They wait until the stage is empty, and go on before the tile has arrived. The tile is that of a `tile.load`, except that rows beyond
    the `valid` ones are zero or, where the memory goes on, what it holds there.

    With a map of the memory - `by %map if %usable` behind the number - its copy unit does it where `usable` says so; else, and without
    a map, the threads do. `tile.roles` shows it among the others.
  }];
  let arguments = (ins AnyMemRef:$source, Variadic<Index>:$offsets, Variadic<Index>:$valid, Tile_PipeType:$pipe,
                       Index:$number, Optional<Tile_TensorMapType>:$map, Optional<I1>:$usable);
  let assemblyFormat = [{
    $source `[` $offsets `]` (`valid` `(` $valid^ `)`)? `into` $pipe `at` $number (`by` $map^ `if` $usable)? attr-dict
    `:` type($source) `,` type($pipe)
  }];
  let hasVerifier = 1;
}

def Tile_PopOp : Tile_PipeBaseOp<"pop", [MemoryEffects<[MemRead, MemWrite]>]> {
  let summary = "The consumers wait for the next tile of a pipe";
  let description = [{
    The tile may be read until it is released.
  }];
  let arguments = (ins Tile_PipeType:$pipe, Index:$number);
  let results = (outs Tile_Matrix:$result);
  let assemblyFormat = "$pipe `at` $number attr-dict `:` type($pipe) `->` type($result)";
  let hasVerifier = 1;
}

def Tile_ReleaseOp : Tile_PipeBaseOp<"release", [MemoryEffects<[MemRead, MemWrite]>]> {
  let summary = "The consumers have read a tile of a pipe: its stage is empty";
  let description = [{
    Each subgroup of the consumers says so for itself. Products that read the tile and are under way have been awaited.
  }];
  let arguments = (ins Tile_PipeType:$pipe, Index:$number);
  let assemblyFormat = "$pipe `at` $number attr-dict `:` type($pipe)";
  let hasVerifier = 1;
}

//===----------------------------------------------------------------------===//
// What one thread does
//===----------------------------------------------------------------------===//

/// Barriers in shared memory that count arrivals and bytes: 64-bit objects, nothing else touches their memory.
def Tile_Mbarriers : MemRefRankOf<[I64], [1]>;

def Tile_MbarrierInitOp : Tile_PipeBaseOp<"mbarrier_init", [MemoryEffects<[MemWrite]>]> {
  let summary = "Make a barrier whose phases end after `arrivals` arrivals and the bytes that were announced";
  let description = [{
    Others use it after a `tile.mbarrier_fence` of this thread and a barrier of the block behind that. (`mbarrier.init` of PTX.)

    ```mlir
    tile.mbarrier_init %bars[%i] arrivals 4 : memref<?xi64, #gpu.address_space<workgroup>>
    ```
  }];
  let arguments = (ins Tile_Mbarriers:$barriers, Index:$index, I64Attr:$arrivals);
  let assemblyFormat = "$barriers `[` $index `]` `arrivals` $arrivals attr-dict `:` type($barriers)";
  let hasVerifier = 1;
}

def Tile_MbarrierFenceOp : Tile_PipeBaseOp<"mbarrier_fence", [MemoryEffects<[MemRead, MemWrite]>]> {
  let summary = "Show the barriers that this thread has made to the copy unit";
  let assemblyFormat = "attr-dict";
}

def Tile_MbarrierArriveOp : Tile_PipeBaseOp<"mbarrier_arrive", [MemoryEffects<[MemRead, MemWrite]>]> {
  let summary = "Arrive at a barrier; announce bytes that a copy unit will bring";
  let description = [{
    ```mlir
    tile.mbarrier_arrive %bars[%i] bytes 16384 : memref<?xi64, #gpu.address_space<workgroup>>
    ```
  }];
  let arguments = (ins Tile_Mbarriers:$barriers, Index:$index, OptionalAttr<I64Attr>:$bytes);
  let assemblyFormat = "$barriers `[` $index `]` (`bytes` $bytes^)? attr-dict `:` type($barriers)";
  let hasVerifier = 1;
}

def Tile_MbarrierWaitOp : Tile_PipeBaseOp<"mbarrier_wait", [MemoryEffects<[MemRead, MemWrite]>]> {
  let summary = "Wait until the phase of `parity` has ended";
  let description = [{
    Phases are numbered from 0 on and known by the lowest bit of their number. A barrier that nobody has arrived at is in phase 0:
    a wait for parity 1 goes on at once.

    ```mlir
    tile.mbarrier_wait %bars[%i] parity %p : memref<?xi64, #gpu.address_space<workgroup>>
    ```
  }];
  let arguments = (ins Tile_Mbarriers:$barriers, Index:$index, Index:$parity);
  let assemblyFormat = "$barriers `[` $index `]` `parity` $parity attr-dict `:` type($barriers)";
}

def Tile_CopyBoxOp : Tile_PipeBaseOp<"copy_box", [MemoryEffects<[MemRead, MemWrite]>]> {
  let summary = "Have the copy unit bring a box of a tensor to shared memory";
  let description = [{
    The box begins at `coordinates` of the tensor, in the order of its dimensions, and at element `position` of the memory, on a kilobyte.
    Its bytes, those beyond the tensor counted, arrive at the barrier. (`cp.async.bulk.tensor` of PTX.)

    ```mlir
    tile.copy_box %map[%b, %h, %j, %z], %m[%at] arrives %bars[%i]
        : memref<?xbf16, #gpu.address_space<workgroup>>, memref<?xi64, #gpu.address_space<workgroup>>
    ```
  }];
  let arguments = (ins Tile_TensorMapType:$map, Variadic<Index>:$coordinates, MemRefRankOf<[AnyType], [1]>:$memory,
                       Index:$position, Tile_Mbarriers:$barriers, Index:$index);
  let assemblyFormat = [{
    $map `[` $coordinates `]` `,` $memory `[` $position `]` `arrives` $barriers `[` $index `]` attr-dict
    `:` type($memory) `,` type($barriers)
  }];
  let hasVerifier = 1;
}

def Tile_ProxyFenceOp : Tile_PipeBaseOp<"proxy_fence", [MemoryEffects<[MemRead, MemWrite]>]> {
  let summary = "Order this thread's accesses of shared memory before those of units that work by themselves";
  let assemblyFormat = "attr-dict";
}

def Tile_BarrierOp : Tile_PipeBaseOp<"barrier", [MemoryEffects<[MemRead, MemWrite]>]> {
  let summary = "Wait for `threads` threads of the block to come to the barrier of a number";
  let description = [{
    Number 0 is that of all threads, `gpu.barrier`.

    ```mlir
    tile.barrier 1 threads 256
    ```
  }];
  let arguments = (ins I64Attr:$number, I64Attr:$threads);
  let assemblyFormat = "$number `threads` $threads attr-dict";
  let hasVerifier = 1;
}

def Tile_TakeTurnOp : Tile_PipeBaseOp<"take_turn", [MemoryEffects<[MemRead, MemWrite]>]> {
  let summary = "Wait until the subgroup before this one has passed on the turn";
  let description = [{
    The first `subgroups` subgroups of the block take turns, in order and round about; the first turn is the first one's. What
    stands between `tile.take_turn` and `tile.pass_turn` is started by one subgroup after the other.

    ```mlir
    tile.take_turn of 2
    %s = tile.dot %q, %k, %none transposed async
        : !tile.tile<64x64xbf16, #tile.shared<panel = 128>>, !tile.tile<16x64xbf16, #tile.shared<panel = 128>>
        -> !tile.tile<64x16xf32>
    tile.pass_turn of 2
    ```
  }];
  let arguments = (ins I64Attr:$subgroups);
  let assemblyFormat = "`of` $subgroups attr-dict";
}

def Tile_PassTurnOp : Tile_PipeBaseOp<"pass_turn", [MemoryEffects<[MemRead, MemWrite]>]> {
  let summary = "Let the next subgroup take its turn";
  let arguments = (ins I64Attr:$subgroups);
  let assemblyFormat = "`of` $subgroups attr-dict";
}

def Tile_NamedBarrierOp : Tile_PipeBaseOp<"named_barrier", [MemoryEffects<[MemRead, MemWrite]>]> {
  let summary = "Come to the barrier of a number that `threads` threads of the block come to, and wait for them or not";
  let description = [{
    With `arrive` the thread goes on at once. (`bar.sync` and `bar.arrive` of PTX.)

    ```mlir
    tile.named_barrier %n threads 256 arrive
    ```
  }];
  let arguments = (ins Index:$number, I64Attr:$threads, UnitAttr:$arrive);
  let assemblyFormat = "$number `threads` $threads (`arrive` $arrive^)? attr-dict";
}

def Tile_SubgroupBarrierOp : Tile_PipeBaseOp<"subgroup_barrier", [MemoryEffects<[MemRead, MemWrite]>]> {
  let summary = "Wait for all threads of the subgroup";
  let assemblyFormat = "attr-dict";
}

def Tile_SetRegistersOp : Tile_PipeBaseOp<"set_registers", [MemoryEffects<[MemRead, MemWrite]>]> {
  let summary = "Take registers from the block's, or give some back, until each thread of the warpgroup has `count`";
  let description = [{
    Waits until there are enough. (`setmaxnreg` of PTX.)

    ```mlir
    tile.set_registers 240 increase
    tile.set_registers 24
    ```
  }];
  let arguments = (ins I64Attr:$count, UnitAttr:$increase);
  let assemblyFormat = "$count (`increase` $increase^)? attr-dict";
  let hasVerifier = 1;
}

def Tile_OpaqueOp : Tile_PipeBaseOp<"opaque", [MemoryEffects<[MemRead, MemWrite]>]> {
  let summary = "The same number, of which a code generator knows nothing";
  let description = [{
    Nothing that is computed from it is moved in front of it.

    ```mlir
    %y = tile.opaque %x
    ```
  }];
  let arguments = (ins Index:$input);
  let results = (outs Index:$result);
  let assemblyFormat = "$input attr-dict";
}

#endif // FLASHC_TILE_PIPE_OPS_TD
