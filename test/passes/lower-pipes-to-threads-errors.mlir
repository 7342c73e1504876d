// RUN: flash-opt %s --lower-tiles-to-threads --verify-diagnostics

func.func @threads(%n: index) {
  scf.forall (%i) in (%n) {
    // expected-error@+1 {{divides 256 threads; expected the block's 128}}
    tile.roles producer threads 128 {
    } consumers threads 128 {
    }
  } {flashc.threads = 128 : i64}
  return
}
