// RUN: flash-opt %s --check-gpu-math --split-input-file --verify-diagnostics

gpu.module @known {
  gpu.func @kernel(%x: f64, %y: f32, %n: i32) kernel {
    %0 = math.absf %x : f64
    %1 = math.sqrt %y : f32
    %2 = math.fma %x, %x, %x : f64
    %3 = math.ctpop %n : i32
    gpu.return
  }
}

// -----

gpu.module @unknown {
  gpu.func @kernel(%x: f64) kernel {
    // expected-error@+1 {{'math.sin' op on 'f64' has no instruction and no expansion on a GPU}}
    %0 = math.sin %x : f64
    gpu.return
  }
}

// -----

// Outside of a device's module nothing is looked at.
func.func @host(%x: f64) -> f64 {
  %0 = math.sin %x : f64
  return %0 : f64
}
