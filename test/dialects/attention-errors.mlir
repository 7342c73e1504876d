// RUN: flash-opt %s -verify-diagnostics -split-input-file

func.func @f(%q: memref<2x4x8x16xf32>, %k: tensor<2x2x9x16xf32>, %v: memref<2x2x9x24xf32>, %out: memref<2x4x8x24xf32>) {
  // expected-error @+1 {{expected all operands to be memrefs like query, got 'tensor<2x2x9x16xf32>' for key}}
  attn.sdpa ins(%q, %k, %v : memref<2x4x8x16xf32>, tensor<2x2x9x16xf32>, memref<2x2x9x24xf32>)
      outs(%out : memref<2x4x8x24xf32>)
  return
}

// -----

func.func @f(%q: tensor<2x4x8x16xf32>, %k: tensor<2x2x9x16xf32>, %v: tensor<2x2x9x24xf32>, %out: tensor<2x4x8x24xf32>, %lse: memref<2x4x8xf32>) {
  // expected-error @+1 {{expected all operands to be tensors like query, got 'memref<2x4x8xf32>' for lse}}
  %r = attn.sdpa ins(%q, %k, %v : tensor<2x4x8x16xf32>, tensor<2x2x9x16xf32>, tensor<2x2x9x24xf32>)
      outs(%out, %lse : tensor<2x4x8x24xf32>, memref<2x4x8xf32>) -> tensor<2x4x8x24xf32>
  return
}

// -----

func.func @f(%q: memref<4x8x16xf32>, %k: memref<2x2x9x16xf32>, %v: memref<2x2x9x24xf32>, %out: memref<2x4x8x24xf32>) {
  // expected-error @+1 {{expected query of rank 4, [B, Hq, Sq, D], got rank 3 in 'memref<4x8x16xf32>'}}
  attn.sdpa ins(%q, %k, %v : memref<4x8x16xf32>, memref<2x2x9x16xf32>, memref<2x2x9x24xf32>)
      outs(%out : memref<2x4x8x24xf32>)
  return
}

// -----

func.func @f(%q: memref<2x4x8x16xf32>, %k: memref<2x9x16xf32>, %v: memref<2x2x9x24xf32>, %out: memref<2x4x8x24xf32>) {
  // expected-error @+1 {{expected key of rank 4, [B, Hkv, Sk, D], got rank 3 in 'memref<2x9x16xf32>'}}
  attn.sdpa ins(%q, %k, %v : memref<2x4x8x16xf32>, memref<2x9x16xf32>, memref<2x2x9x24xf32>)
      outs(%out : memref<2x4x8x24xf32>)
  return
}

// -----

func.func @f(%q: memref<2x4x8x16xf32>, %k: memref<2x2x9x16xf32>, %v: memref<1x2x2x9x24xf32>, %out: memref<2x4x8x24xf32>) {
  // expected-error @+1 {{expected value of rank 4, [B, Hkv, Sk, Dv], got rank 5 in 'memref<1x2x2x9x24xf32>'}}
  attn.sdpa ins(%q, %k, %v : memref<2x4x8x16xf32>, memref<2x2x9x16xf32>, memref<1x2x2x9x24xf32>)
      outs(%out : memref<2x4x8x24xf32>)
  return
}

// -----

func.func @f(%q: memref<2x4x8x16xf32>, %k: memref<2x2x9x16xf32>, %v: memref<2x2x9x24xf32>, %out: memref<2x4x8xf32>) {
  // expected-error @+1 {{expected out of rank 4, [B, Hq, Sq, Dv], got rank 3 in 'memref<2x4x8xf32>'}}
  attn.sdpa ins(%q, %k, %v : memref<2x4x8x16xf32>, memref<2x2x9x16xf32>, memref<2x2x9x24xf32>)
      outs(%out : memref<2x4x8xf32>)
  return
}

// -----

func.func @f(%q: memref<2x4x8x16xf32>, %k: memref<2x2x9x16xf32>, %v: memref<2x2x9x24xf32>, %out: memref<2x4x8x24xf32>, %lse: memref<2x4x8x1xf32>) {
  // expected-error @+1 {{expected lse of rank 3, [B, Hq, Sq], got rank 4 in 'memref<2x4x8x1xf32>'}}
  attn.sdpa ins(%q, %k, %v : memref<2x4x8x16xf32>, memref<2x2x9x16xf32>, memref<2x2x9x24xf32>)
      outs(%out, %lse : memref<2x4x8x24xf32>, memref<2x4x8x1xf32>)
  return
}

// -----

func.func @f(%q: memref<2x4x8x16xf32>, %k: vector<2x2x9x16xf32>, %v: memref<2x2x9x24xf32>, %out: memref<2x4x8x24xf32>) {
  // expected-error @+1 {{operand #1 must be tensor or memref, but got 'vector<2x2x9x16xf32>'}}
  attn.sdpa ins(%q, %k, %v : memref<2x4x8x16xf32>, vector<2x2x9x16xf32>, memref<2x2x9x24xf32>)
      outs(%out : memref<2x4x8x24xf32>)
  return
}

// -----

func.func @f(%q: memref<2x4x8x16xi8>, %k: memref<2x2x9x16xf32>, %v: memref<2x2x9x24xf32>, %out: memref<2x4x8x24xf32>) {
  // expected-error @+1 {{expected query of element type f64, f32, f16 or bf16, got 'i8'}}
  attn.sdpa ins(%q, %k, %v : memref<2x4x8x16xi8>, memref<2x2x9x16xf32>, memref<2x2x9x24xf32>)
      outs(%out : memref<2x4x8x24xf32>)
  return
}

// -----

func.func @f(%q: memref<2x4x8x16xf32>, %k: memref<2x2x9x16xbf16>, %v: memref<2x2x9x24xf32>, %out: memref<2x4x8x24xf32>) {
  // expected-error @+1 {{expected key of element type 'f32', that of query, got 'bf16'}}
  attn.sdpa ins(%q, %k, %v : memref<2x4x8x16xf32>, memref<2x2x9x16xbf16>, memref<2x2x9x24xf32>)
      outs(%out : memref<2x4x8x24xf32>)
  return
}

// -----

func.func @f(%q: memref<2x4x8x16xf32>, %k: memref<2x2x9x16xf32>, %v: memref<2x2x9x24xf64>, %out: memref<2x4x8x24xf32>) {
  // expected-error @+1 {{expected value of element type 'f32', that of query, got 'f64'}}
  attn.sdpa ins(%q, %k, %v : memref<2x4x8x16xf32>, memref<2x2x9x16xf32>, memref<2x2x9x24xf64>)
      outs(%out : memref<2x4x8x24xf32>)
  return
}

// -----

func.func @f(%q: memref<2x4x8x16xf32>, %k: memref<2x2x9x16xf32>, %v: memref<2x2x9x24xf32>, %out: memref<2x4x8x24xf16>) {
  // expected-error @+1 {{expected out of element type 'f32' or a wider one, got 'f16'}}
  attn.sdpa ins(%q, %k, %v : memref<2x4x8x16xf32>, memref<2x2x9x16xf32>, memref<2x2x9x24xf32>)
      outs(%out : memref<2x4x8x24xf16>)
  return
}

// -----

func.func @f(%q: memref<2x4x8x16xbf16>, %k: memref<2x2x9x16xbf16>, %v: memref<2x2x9x24xbf16>, %out: memref<2x4x8x24xf16>) {
  // expected-error @+1 {{expected out of element type 'bf16' or a wider one, got 'f16'}}
  attn.sdpa ins(%q, %k, %v : memref<2x4x8x16xbf16>, memref<2x2x9x16xbf16>, memref<2x2x9x24xbf16>)
      outs(%out : memref<2x4x8x24xf16>)
  return
}

// -----

func.func @f(%q: memref<2x4x8x16xf32>, %k: memref<2x2x9x16xf32>, %v: memref<2x2x9x24xf32>, %out: memref<2x4x8x24xf32>, %lse: memref<2x4x8xf64>) {
  // expected-error @+1 {{expected lse of element type 'f32', got 'f64'}}
  attn.sdpa ins(%q, %k, %v : memref<2x4x8x16xf32>, memref<2x2x9x16xf32>, memref<2x2x9x24xf32>)
      outs(%out, %lse : memref<2x4x8x24xf32>, memref<2x4x8xf64>)
  return
}

// -----

func.func @f(%q: memref<2x4x8x16xf64>, %k: memref<2x2x9x16xf64>, %v: memref<2x2x9x24xf64>, %out: memref<2x4x8x24xf64>, %lse: memref<2x4x8xf32>) {
  // expected-error @+1 {{expected lse of element type 'f64', got 'f32'}}
  attn.sdpa ins(%q, %k, %v : memref<2x4x8x16xf64>, memref<2x2x9x16xf64>, memref<2x2x9x24xf64>)
      outs(%out, %lse : memref<2x4x8x24xf64>, memref<2x4x8xf32>)
  return
}

// -----

func.func @f(%q: memref<2x4x8x?xf32>, %k: memref<2x2x9x16xf32>, %v: memref<2x2x9x24xf32>, %out: memref<2x4x8x24xf32>) {
  // expected-error @+1 {{expected a static head dimension D, got 'memref<2x4x8x?xf32>' for query}}
  attn.sdpa ins(%q, %k, %v : memref<2x4x8x?xf32>, memref<2x2x9x16xf32>, memref<2x2x9x24xf32>)
      outs(%out : memref<2x4x8x24xf32>)
  return
}

// -----

func.func @f(%q: memref<2x4x8x16xf32>, %k: memref<2x2x9x?xf32>, %v: memref<2x2x9x24xf32>, %out: memref<2x4x8x24xf32>) {
  // expected-error @+1 {{expected a static head dimension D, got 'memref<2x2x9x?xf32>' for key}}
  attn.sdpa ins(%q, %k, %v : memref<2x4x8x16xf32>, memref<2x2x9x?xf32>, memref<2x2x9x24xf32>)
      outs(%out : memref<2x4x8x24xf32>)
  return
}

// -----

func.func @f(%q: memref<2x4x8x16xf32>, %k: memref<2x2x9x16xf32>, %v: memref<2x2x9x?xf32>, %out: memref<2x4x8x24xf32>) {
  // expected-error @+1 {{expected a static head dimension Dv, got 'memref<2x2x9x?xf32>' for value}}
  attn.sdpa ins(%q, %k, %v : memref<2x4x8x16xf32>, memref<2x2x9x16xf32>, memref<2x2x9x?xf32>)
      outs(%out : memref<2x4x8x24xf32>)
  return
}

// -----

func.func @f(%q: memref<2x4x8x16xf32>, %k: memref<2x2x9x16xf32>, %v: memref<2x2x9x24xf32>, %out: memref<2x4x8x?xf32>) {
  // expected-error @+1 {{expected a static head dimension Dv, got 'memref<2x4x8x?xf32>' for out}}
  attn.sdpa ins(%q, %k, %v : memref<2x4x8x16xf32>, memref<2x2x9x16xf32>, memref<2x2x9x24xf32>)
      outs(%out : memref<2x4x8x?xf32>)
  return
}

// -----

func.func @f(%q: memref<2x4x8x0xf32>, %k: memref<2x2x9x0xf32>, %v: memref<2x2x9x24xf32>, %out: memref<2x4x8x24xf32>) {
  // expected-error @+1 {{expected a head dimension D of 1 or more, got 0 for query}}
  attn.sdpa ins(%q, %k, %v : memref<2x4x8x0xf32>, memref<2x2x9x0xf32>, memref<2x2x9x24xf32>)
      outs(%out : memref<2x4x8x24xf32>)
  return
}

// -----

func.func @f(%q: memref<2x4x8x16xf32>, %k: memref<2x2x9x16xf32>, %v: memref<2x2x9x0xf32>, %out: memref<2x4x8x0xf32>) {
  // expected-error @+1 {{expected a head dimension Dv of 1 or more, got 0 for value}}
  attn.sdpa ins(%q, %k, %v : memref<2x4x8x16xf32>, memref<2x2x9x16xf32>, memref<2x2x9x0xf32>)
      outs(%out : memref<2x4x8x0xf32>)
  return
}

// -----

func.func @f(%q: memref<2x4x8x16xf32>, %k: memref<2x2x9x17xf32>, %v: memref<2x2x9x24xf32>, %out: memref<2x4x8x24xf32>) {
  // expected-error @+1 {{expected the head dimension of key to be 16, that of query, got 17}}
  attn.sdpa ins(%q, %k, %v : memref<2x4x8x16xf32>, memref<2x2x9x17xf32>, memref<2x2x9x24xf32>)
      outs(%out : memref<2x4x8x24xf32>)
  return
}

// -----

func.func @f(%q: memref<2x4x8x16xf32>, %k: memref<2x2x9x16xf32>, %v: memref<2x2x9x24xf32>, %out: memref<2x4x8x16xf32>) {
  // expected-error @+1 {{expected the head dimension of out to be 24, that of value, got 16}}
  attn.sdpa ins(%q, %k, %v : memref<2x4x8x16xf32>, memref<2x2x9x16xf32>, memref<2x2x9x24xf32>)
      outs(%out : memref<2x4x8x16xf32>)
  return
}

// -----

func.func @f(%q: memref<2x4x8x16xf32>, %k: memref<3x2x9x16xf32>, %v: memref<2x2x9x24xf32>, %out: memref<2x4x8x24xf32>) {
  // expected-error @+1 {{expected the batch size of key to be 2, that of query, got 3}}
  attn.sdpa ins(%q, %k, %v : memref<2x4x8x16xf32>, memref<3x2x9x16xf32>, memref<2x2x9x24xf32>)
      outs(%out : memref<2x4x8x24xf32>)
  return
}

// -----

func.func @f(%q: memref<2x4x8x16xf32>, %k: memref<2x2x9x16xf32>, %v: memref<1x2x9x24xf32>, %out: memref<2x4x8x24xf32>) {
  // expected-error @+1 {{expected the batch size of value to be 2, that of query, got 1}}
  attn.sdpa ins(%q, %k, %v : memref<2x4x8x16xf32>, memref<2x2x9x16xf32>, memref<1x2x9x24xf32>)
      outs(%out : memref<2x4x8x24xf32>)
  return
}

// -----

func.func @f(%q: memref<2x4x8x16xf32>, %k: memref<2x2x9x16xf32>, %v: memref<2x2x9x24xf32>, %out: memref<4x4x8x24xf32>) {
  // expected-error @+1 {{expected the batch size of out to be 2, that of query, got 4}}
  attn.sdpa ins(%q, %k, %v : memref<2x4x8x16xf32>, memref<2x2x9x16xf32>, memref<2x2x9x24xf32>)
      outs(%out : memref<4x4x8x24xf32>)
  return
}

// -----

func.func @f(%q: memref<2x4x8x16xf32>, %k: memref<2x2x9x16xf32>, %v: memref<2x2x9x24xf32>, %out: memref<2x4x8x24xf32>, %lse: memref<1x4x8xf32>) {
  // expected-error @+1 {{expected the batch size of lse to be 2, that of query, got 1}}
  attn.sdpa ins(%q, %k, %v : memref<2x4x8x16xf32>, memref<2x2x9x16xf32>, memref<2x2x9x24xf32>)
      outs(%out, %lse : memref<2x4x8x24xf32>, memref<1x4x8xf32>)
  return
}

// -----

func.func @f(%q: memref<2x4x8x16xf32>, %k: memref<2x2x9x16xf32>, %v: memref<2x4x9x24xf32>, %out: memref<2x4x8x24xf32>) {
  // expected-error @+1 {{expected the number of heads of value to be 2, that of key, got 4}}
  attn.sdpa ins(%q, %k, %v : memref<2x4x8x16xf32>, memref<2x2x9x16xf32>, memref<2x4x9x24xf32>)
      outs(%out : memref<2x4x8x24xf32>)
  return
}

// -----

func.func @f(%q: memref<2x4x8x16xf32>, %k: memref<2x2x9x16xf32>, %v: memref<2x2x9x24xf32>, %out: memref<2x2x8x24xf32>) {
  // expected-error @+1 {{expected the number of heads of out to be 4, that of query, got 2}}
  attn.sdpa ins(%q, %k, %v : memref<2x4x8x16xf32>, memref<2x2x9x16xf32>, memref<2x2x9x24xf32>)
      outs(%out : memref<2x2x8x24xf32>)
  return
}

// -----

func.func @f(%q: memref<2x4x8x16xf32>, %k: memref<2x2x9x16xf32>, %v: memref<2x2x9x24xf32>, %out: memref<2x4x8x24xf32>, %lse: memref<2x2x8xf32>) {
  // expected-error @+1 {{expected the number of heads of lse to be 4, that of query, got 2}}
  attn.sdpa ins(%q, %k, %v : memref<2x4x8x16xf32>, memref<2x2x9x16xf32>, memref<2x2x9x24xf32>)
      outs(%out, %lse : memref<2x4x8x24xf32>, memref<2x2x8xf32>)
  return
}

// -----

func.func @f(%q: memref<2x4x8x16xf32>, %k: memref<2x2x9x16xf32>, %v: memref<2x2x10x24xf32>, %out: memref<2x4x8x24xf32>) {
  // expected-error @+1 {{expected the length of value to be 9, that of key, got 10}}
  attn.sdpa ins(%q, %k, %v : memref<2x4x8x16xf32>, memref<2x2x9x16xf32>, memref<2x2x10x24xf32>)
      outs(%out : memref<2x4x8x24xf32>)
  return
}

// -----

func.func @f(%q: memref<2x4x8x16xf32>, %k: memref<2x2x9x16xf32>, %v: memref<2x2x9x24xf32>, %out: memref<2x4x9x24xf32>) {
  // expected-error @+1 {{expected the length of out to be 8, that of query, got 9}}
  attn.sdpa ins(%q, %k, %v : memref<2x4x8x16xf32>, memref<2x2x9x16xf32>, memref<2x2x9x24xf32>)
      outs(%out : memref<2x4x9x24xf32>)
  return
}

// -----

func.func @f(%q: memref<2x4x8x16xf32>, %k: memref<2x2x9x16xf32>, %v: memref<2x2x9x24xf32>, %out: memref<2x4x8x24xf32>, %lse: memref<2x4x7xf32>) {
  // expected-error @+1 {{expected the length of lse to be 8, that of query, got 7}}
  attn.sdpa ins(%q, %k, %v : memref<2x4x8x16xf32>, memref<2x2x9x16xf32>, memref<2x2x9x24xf32>)
      outs(%out, %lse : memref<2x4x8x24xf32>, memref<2x4x7xf32>)
  return
}

// -----

func.func @f(%q: memref<2x4x8x16xf32>, %k: memref<2x3x9x16xf32>, %v: memref<2x3x9x24xf32>, %out: memref<2x4x8x24xf32>) {
  // expected-error @+1 {{expected a number of query heads that is a multiple of the 3 key heads, got 4}}
  attn.sdpa ins(%q, %k, %v : memref<2x4x8x16xf32>, memref<2x3x9x16xf32>, memref<2x3x9x24xf32>)
      outs(%out : memref<2x4x8x24xf32>)
  return
}

// -----

func.func @f(%q: memref<2x4x8x16xf32>, %k: memref<2x0x9x16xf32>, %v: memref<2x0x9x24xf32>, %out: memref<2x4x8x24xf32>) {
  // expected-error @+1 {{expected a number of query heads that is a multiple of the 0 key heads, got 4}}
  attn.sdpa ins(%q, %k, %v : memref<2x4x8x16xf32>, memref<2x0x9x16xf32>, memref<2x0x9x24xf32>)
      outs(%out : memref<2x4x8x24xf32>)
  return
}

// -----

func.func @f(%q: memref<2147483648x4x2147483648x16xf32>, %k: memref<2x2x9x16xf32>, %v: memref<2x2x9x24xf32>, %out: memref<2x4x8x24xf32>) {
  // expected-error @+1 {{expected the size of query in bytes to fit in 64 bits, got 'memref<2147483648x4x2147483648x16xf32>'}}
  attn.sdpa ins(%q, %k, %v : memref<2147483648x4x2147483648x16xf32>, memref<2x2x9x16xf32>, memref<2x2x9x24xf32>)
      outs(%out : memref<2x4x8x24xf32>)
  return
}

// -----

func.func @f(%q: memref<?x?x?x16xf32>, %k: memref<?x2x9x16xf32>, %v: memref<?x2x9x24xf32>, %out: memref<?x?x?x24xf32>, %lse: memref<9223372036854775807x?x?xf32>) {
  // expected-error @+1 {{expected the size of lse in bytes to fit in 64 bits, got 'memref<9223372036854775807x?x?xf32>'}}
  attn.sdpa ins(%q, %k, %v : memref<?x?x?x16xf32>, memref<?x2x9x16xf32>, memref<?x2x9x24xf32>)
      outs(%out, %lse : memref<?x?x?x24xf32>, memref<9223372036854775807x?x?xf32>)
  return
}

// -----

func.func @f(%q: tensor<2x4x8x16xf32>, %k: tensor<2x2x9x16xf32>, %v: tensor<2x2x9x24xf32>, %out: tensor<2x4x8x24xf32>) {
  // expected-error @+1 {{expected 1 results, one for each tensor of outs, got 0}}
  attn.sdpa ins(%q, %k, %v : tensor<2x4x8x16xf32>, tensor<2x2x9x16xf32>, tensor<2x2x9x24xf32>)
      outs(%out : tensor<2x4x8x24xf32>)
  return
}

// -----

func.func @f(%q: tensor<2x4x8x16xf32>, %k: tensor<2x2x9x16xf32>, %v: tensor<2x2x9x24xf32>, %out: tensor<2x4x8x24xf32>, %lse: tensor<2x4x8xf32>) {
  // expected-error @+1 {{expected 2 results, one for each tensor of outs, got 1}}
  %r = attn.sdpa ins(%q, %k, %v : tensor<2x4x8x16xf32>, tensor<2x2x9x16xf32>, tensor<2x2x9x24xf32>)
      outs(%out, %lse : tensor<2x4x8x24xf32>, tensor<2x4x8xf32>) -> tensor<2x4x8x24xf32>
  return
}

// -----

func.func @f(%q: memref<2x4x8x16xf32>, %k: memref<2x2x9x16xf32>, %v: memref<2x2x9x24xf32>, %out: memref<2x4x8x24xf32>) {
  // expected-error @+1 {{expected 0 results, one for each tensor of outs, got 1}}
  %r = attn.sdpa ins(%q, %k, %v : memref<2x4x8x16xf32>, memref<2x2x9x16xf32>, memref<2x2x9x24xf32>)
      outs(%out : memref<2x4x8x24xf32>) -> tensor<2x4x8x24xf32>
  return
}

// -----

func.func @f(%q: tensor<2x4x8x16xf32>, %k: tensor<2x2x9x16xf32>, %v: tensor<2x2x9x24xf32>, %out: tensor<2x4x8x24xf32>) {
  // expected-error @+1 {{expected result #0 of type 'tensor<2x4x8x24xf32>', that of out, got 'tensor<2x4x?x24xf32>'}}
  %r = attn.sdpa ins(%q, %k, %v : tensor<2x4x8x16xf32>, tensor<2x2x9x16xf32>, tensor<2x2x9x24xf32>)
      outs(%out : tensor<2x4x8x24xf32>) -> tensor<2x4x?x24xf32>
  return
}

// -----

func.func @f(%q: memref<2x4x8x16xf32>, %k: memref<2x2x9x16xf32>, %v: memref<2x2x9x24xf32>, %out: memref<2x4x8x24xf32>, %bias: memref<8x9xf32>) {
  // expected-error @+1 {{expected bias of rank 4, [B, Hq, Sq, Sk] or 1 where it is broadcast, got rank 2 in 'memref<8x9xf32>'}}
  attn.sdpa ins(%q, %k, %v : memref<2x4x8x16xf32>, memref<2x2x9x16xf32>, memref<2x2x9x24xf32>)
      outs(%out : memref<2x4x8x24xf32>) bias(%bias : memref<8x9xf32>)
  return
}

// -----

func.func @f(%q: memref<2x4x8x16xf32>, %k: memref<2x2x9x16xf32>, %v: memref<2x2x9x24xf32>, %out: memref<2x4x8x24xf32>, %bias: memref<1x1x8x9xf64>) {
  // expected-error @+1 {{expected bias of a floating-point element type no wider than 'f32', got 'f64'}}
  attn.sdpa ins(%q, %k, %v : memref<2x4x8x16xf32>, memref<2x2x9x16xf32>, memref<2x2x9x24xf32>)
      outs(%out : memref<2x4x8x24xf32>) bias(%bias : memref<1x1x8x9xf64>)
  return
}

// -----

func.func @f(%q: memref<2x4x8x16xf32>, %k: memref<2x2x9x16xf32>, %v: memref<2x2x9x24xf32>, %out: memref<2x4x8x24xf32>, %bias: memref<1x1x8x9xi32>) {
  // expected-error @+1 {{expected bias of a floating-point element type no wider than 'f32', got 'i32'}}
  attn.sdpa ins(%q, %k, %v : memref<2x4x8x16xf32>, memref<2x2x9x16xf32>, memref<2x2x9x24xf32>)
      outs(%out : memref<2x4x8x24xf32>) bias(%bias : memref<1x1x8x9xi32>)
  return
}

// -----

func.func @f(%q: memref<2x4x8x16xf32>, %k: memref<2x2x9x16xf32>, %v: memref<2x2x9x24xf32>, %out: memref<2x4x8x24xf32>, %bias: memref<1x2x8x9xf32>) {
  // expected-error @+1 {{expected dimension 1 of bias to be Hq = 4 or 1, got 2}}
  attn.sdpa ins(%q, %k, %v : memref<2x4x8x16xf32>, memref<2x2x9x16xf32>, memref<2x2x9x24xf32>)
      outs(%out : memref<2x4x8x24xf32>) bias(%bias : memref<1x2x8x9xf32>)
  return
}

// -----

func.func @f(%q: memref<2x4x8x16xf32>, %k: memref<2x2x9x16xf32>, %v: memref<2x2x9x24xf32>, %out: memref<2x4x8x24xf32>, %bias: memref<2x4x8x8xf32>) {
  // expected-error @+1 {{expected dimension 3 of bias to be Sk = 9 or 1, got 8}}
  attn.sdpa ins(%q, %k, %v : memref<2x4x8x16xf32>, memref<2x2x9x16xf32>, memref<2x2x9x24xf32>)
      outs(%out : memref<2x4x8x24xf32>) bias(%bias : memref<2x4x8x8xf32>)
  return
}

// -----

func.func @f(%q: memref<?x?x?x16xf32>, %k: memref<?x?x?x16xf32>, %v: memref<?x?x?x24xf32>, %out: memref<?x?x?x24xf32>, %bias: memref<2147483648x1x2147483648x4xf32>) {
  // expected-error @+1 {{expected the size of bias in bytes to fit in 64 bits}}
  attn.sdpa ins(%q, %k, %v : memref<?x?x?x16xf32>, memref<?x?x?x16xf32>, memref<?x?x?x24xf32>)
      outs(%out : memref<?x?x?x24xf32>) bias(%bias : memref<2147483648x1x2147483648x4xf32>)
  return
}

// -----

func.func @f(%q: memref<2x4x8x16xf32>, %k: memref<2x2x9x16xf32>, %v: memref<2x2x9x24xf32>, %out: memref<2x4x8x24xf32>) {
  // expected-error @+1 {{expected 1 mask operands for [#attn.causal<top_left>, #attn.key_lengths], got 0}}
  attn.sdpa ins(%q, %k, %v : memref<2x4x8x16xf32>, memref<2x2x9x16xf32>, memref<2x2x9x24xf32>)
      outs(%out : memref<2x4x8x24xf32>) masks [#attn.causal<top_left>, #attn.key_lengths]
  return
}

// -----

func.func @f(%q: memref<2x4x8x16xf32>, %k: memref<2x2x9x16xf32>, %v: memref<2x2x9x24xf32>, %out: memref<2x4x8x24xf32>, %m0: memref<2xi32>) {
  // expected-error @+1 {{expected 0 mask operands for [], got 1}}
  attn.sdpa ins(%q, %k, %v : memref<2x4x8x16xf32>, memref<2x2x9x16xf32>, memref<2x2x9x24xf32>)
      outs(%out : memref<2x4x8x24xf32>) masks [] (%m0 : memref<2xi32>)
  return
}

// -----

func.func @f(%q: memref<2x4x8x16xf32>, %k: memref<2x2x9x16xf32>, %v: memref<2x2x9x24xf32>, %out: memref<2x4x8x24xf32>, %m0: memref<2xi8>) {
  // expected-error @+1 {{mask #attn.key_lengths: expected key lengths of element type i32 or i64, got 'i8'}}
  attn.sdpa ins(%q, %k, %v : memref<2x4x8x16xf32>, memref<2x2x9x16xf32>, memref<2x2x9x24xf32>)
      outs(%out : memref<2x4x8x24xf32>) masks [#attn.key_lengths] (%m0 : memref<2xi8>)
  return
}

// -----

func.func @f(%q: memref<2x4x8x16xf32>, %k: memref<2x2x9x16xf32>, %v: memref<2x2x9x24xf32>, %out: memref<2x4x8x24xf32>, %m0: memref<2x1xi32>) {
  // expected-error @+1 {{mask #attn.key_lengths: expected key lengths of shape [B], got 'memref<2x1xi32>'}}
  attn.sdpa ins(%q, %k, %v : memref<2x4x8x16xf32>, memref<2x2x9x16xf32>, memref<2x2x9x24xf32>)
      outs(%out : memref<2x4x8x24xf32>) masks [#attn.key_lengths] (%m0 : memref<2x1xi32>)
  return
}

// -----

func.func @f(%q: memref<2x4x8x16xf32>, %k: memref<2x2x9x16xf32>, %v: memref<2x2x9x24xf32>, %out: memref<2x4x8x24xf32>, %m0: memref<3xi32>) {
  // expected-error @+1 {{mask #attn.key_lengths: expected key lengths to have B = 2 in dimension 0, got 3}}
  attn.sdpa ins(%q, %k, %v : memref<2x4x8x16xf32>, memref<2x2x9x16xf32>, memref<2x2x9x24xf32>)
      outs(%out : memref<2x4x8x24xf32>) masks [#attn.key_lengths] (%m0 : memref<3xi32>)
  return
}

// -----

func.func @f(%q: memref<2x4x8x16xf32>, %k: memref<2x2x9x16xf32>, %v: memref<2x2x9x24xf32>, %out: memref<2x4x8x24xf32>, %m0: memref<2x9xf32>) {
  // expected-error @+1 {{mask #attn.key_padding: expected key flags of element type i1 or i8, got 'f32'}}
  attn.sdpa ins(%q, %k, %v : memref<2x4x8x16xf32>, memref<2x2x9x16xf32>, memref<2x2x9x24xf32>)
      outs(%out : memref<2x4x8x24xf32>) masks [#attn.key_padding] (%m0 : memref<2x9xf32>)
  return
}

// -----

func.func @f(%q: memref<2x4x8x16xf32>, %k: memref<2x2x9x16xf32>, %v: memref<2x2x9x24xf32>, %out: memref<2x4x8x24xf32>, %m0: memref<9xi1>) {
  // expected-error @+1 {{mask #attn.key_padding: expected key flags of shape [B, Sk], got 'memref<9xi1>'}}
  attn.sdpa ins(%q, %k, %v : memref<2x4x8x16xf32>, memref<2x2x9x16xf32>, memref<2x2x9x24xf32>)
      outs(%out : memref<2x4x8x24xf32>) masks [#attn.key_padding] (%m0 : memref<9xi1>)
  return
}

// -----

func.func @f(%q: memref<2x4x8x16xf32>, %k: memref<2x2x9x16xf32>, %v: memref<2x2x9x24xf32>, %out: memref<2x4x8x24xf32>, %m0: memref<2x8xi1>) {
  // expected-error @+1 {{mask #attn.key_padding: expected key flags to have Sk = 9 in dimension 1, got 8}}
  attn.sdpa ins(%q, %k, %v : memref<2x4x8x16xf32>, memref<2x2x9x16xf32>, memref<2x2x9x24xf32>)
      outs(%out : memref<2x4x8x24xf32>) masks [#attn.key_padding] (%m0 : memref<2x8xi1>)
  return
}

// -----

func.func @f(%q: memref<2x4x8x16xf32>, %k: memref<2x2x9x16xf32>, %v: memref<2x2x9x24xf32>, %out: memref<2x4x8x24xf32>, %m0: memref<1xi64>) {
  // expected-error @+1 {{mask #attn.prefix_lm<top_left>: expected prefix lengths to have B = 2 in dimension 0, got 1}}
  attn.sdpa ins(%q, %k, %v : memref<2x4x8x16xf32>, memref<2x2x9x16xf32>, memref<2x2x9x24xf32>)
      outs(%out : memref<2x4x8x24xf32>) masks [#attn.prefix_lm<top_left>] (%m0 : memref<1xi64>)
  return
}

// -----

func.func @f(%q: memref<2x4x8x16xf32>, %k: memref<2x2x9x16xf32>, %v: memref<2x2x9x24xf32>, %out: memref<2x4x8x24xf32>, %m0: memref<2x9xi32>, %m1: memref<2x9xi32>) {
  // expected-error @+1 {{mask #attn.segments: expected query segments to have Sq = 8 in dimension 1, got 9}}
  attn.sdpa ins(%q, %k, %v : memref<2x4x8x16xf32>, memref<2x2x9x16xf32>, memref<2x2x9x24xf32>)
      outs(%out : memref<2x4x8x24xf32>) masks [#attn.segments] (%m0, %m1 : memref<2x9xi32>, memref<2x9xi32>)
  return
}

// -----

func.func @f(%q: memref<2x4x8x16xf32>, %k: memref<2x2x9x16xf32>, %v: memref<2x2x9x24xf32>, %out: memref<2x4x8x24xf32>, %m0: memref<2x8xi32>, %m1: memref<2x8xi32>) {
  // expected-error @+1 {{mask #attn.segments: expected key segments to have Sk = 9 in dimension 1, got 8}}
  attn.sdpa ins(%q, %k, %v : memref<2x4x8x16xf32>, memref<2x2x9x16xf32>, memref<2x2x9x24xf32>)
      outs(%out : memref<2x4x8x24xf32>) masks [#attn.segments] (%m0, %m1 : memref<2x8xi32>, memref<2x8xi32>)
  return
}

// -----

func.func @f(%q: memref<2x4x8x16xf32>, %k: memref<2x2x9x16xf32>, %v: memref<2x2x9x24xf32>, %out: memref<2x4x8x24xf32>, %m0: memref<2x8xi32>, %m1: memref<2x9xi64>) {
  // expected-error @+1 {{mask #attn.segments: expected query and key segments of one element type, got 'i32' and 'i64'}}
  attn.sdpa ins(%q, %k, %v : memref<2x4x8x16xf32>, memref<2x2x9x16xf32>, memref<2x2x9x24xf32>)
      outs(%out : memref<2x4x8x24xf32>) masks [#attn.segments] (%m0, %m1 : memref<2x8xi32>, memref<2x9xi64>)
  return
}

// -----

func.func @f(%q: memref<2x4x8x16xf32>, %k: memref<2x2x9x16xf32>, %v: memref<2x2x9x24xf32>, %out: memref<2x4x8x24xf32>, %m0: memref<2x2x8x9xi1>) {
  // expected-error @+1 {{mask #attn.tensor: expected mask tensor to have Hq = 4, or 1, in dimension 1, got 2}}
  attn.sdpa ins(%q, %k, %v : memref<2x4x8x16xf32>, memref<2x2x9x16xf32>, memref<2x2x9x24xf32>)
      outs(%out : memref<2x4x8x24xf32>) masks [#attn.tensor] (%m0 : memref<2x2x8x9xi1>)
  return
}

// -----

func.func @f(%q: memref<2x4x8x16xf32>, %k: memref<2x2x9x16xf32>, %v: memref<2x2x9x24xf32>, %out: memref<2x4x8x24xf32>, %m0: memref<8x9xi1>) {
  // expected-error @+1 {{mask #attn.tensor: expected mask tensor of shape [B, Hq, Sq, Sk], got 'memref<8x9xi1>'}}
  attn.sdpa ins(%q, %k, %v : memref<2x4x8x16xf32>, memref<2x2x9x16xf32>, memref<2x2x9x24xf32>)
      outs(%out : memref<2x4x8x24xf32>) masks [#attn.tensor] (%m0 : memref<8x9xi1>)
  return
}

// -----

func.func @f(%q: memref<2x4x8x16xf32>, %k: memref<2x2x9x16xf32>, %v: memref<2x2x9x24xf32>, %out: memref<2x4x8x24xf32>, %m0: memref<1x1x8x9xi32>) {
  // expected-error @+1 {{mask #attn.tensor: expected mask tensor of element type i1 or i8, got 'i32'}}
  attn.sdpa ins(%q, %k, %v : memref<2x4x8x16xf32>, memref<2x2x9x16xf32>, memref<2x2x9x24xf32>)
      outs(%out : memref<2x4x8x24xf32>) masks [#attn.tensor] (%m0 : memref<1x1x8x9xi32>)
  return
}

// -----

func.func @f(%q: memref<?x?x?x16xf32>, %k: memref<?x?x?x16xf32>, %v: memref<?x?x?x24xf32>, %out: memref<?x?x?x24xf32>, %m0: memref<4294967296x1x4294967296x4xi1>) {
  // expected-error @+1 {{expected the size of a mask operand in bytes to fit in 64 bits}}
  attn.sdpa ins(%q, %k, %v : memref<?x?x?x16xf32>, memref<?x?x?x16xf32>, memref<?x?x?x24xf32>)
      outs(%out : memref<?x?x?x24xf32>) masks [#attn.tensor] (%m0 : memref<4294967296x1x4294967296x4xi1>)
  return
}

// -----

func.func @f(%q: memref<2x4x8x16xf32>, %k: memref<2x2x9x16xf32>, %v: memref<2x2x9x24xf32>, %out: memref<2x4x8x24xf32>, %m0: tensor<2xi32>) {
  // expected-error @+1 {{expected all operands to be memrefs like query, got 'tensor<2xi32>' for a mask operand}}
  attn.sdpa ins(%q, %k, %v : memref<2x4x8x16xf32>, memref<2x2x9x16xf32>, memref<2x2x9x24xf32>)
      outs(%out : memref<2x4x8x24xf32>) masks [#attn.key_lengths] (%m0 : tensor<2xi32>)
  return
}

// -----

func.func @f(%q: memref<2x4x8x16xf32>, %k: memref<2x2x9x16xf32>, %v: memref<2x2x9x24xf32>, %out: memref<2x4x8x24xf32>) {
  // expected-error @+1 {{expected causal masks of one alignment, got #attn.causal<top_left> and #attn.causal<bottom_right>}}
  attn.sdpa ins(%q, %k, %v : memref<2x4x8x16xf32>, memref<2x2x9x16xf32>, memref<2x2x9x24xf32>)
      outs(%out : memref<2x4x8x24xf32>) masks [#attn.causal<top_left>, #attn.window<3, 0, bottom_right>, #attn.causal<bottom_right>]
  return
}

// -----

func.func @f(%q: memref<2x4x8x16xf32>, %k: memref<2x2x9x16xf32>, %v: memref<2x2x9x24xf32>, %out: memref<2x4x8x24xf32>) {
  // expected-error @+1 {{expected a finite scale, got INF}}
  attn.sdpa ins(%q, %k, %v : memref<2x4x8x16xf32>, memref<2x2x9x16xf32>, memref<2x2x9x24xf32>)
      outs(%out : memref<2x4x8x24xf32>) {scale = 0x7FF0000000000000 : f64}
  return
}

// -----

func.func @f(%q: memref<2x4x8x16xf32>, %k: memref<2x2x9x16xf32>, %v: memref<2x2x9x24xf32>, %out: memref<2x4x8x24xf32>) {
  // expected-error @+1 {{expected a finite scale, got nan}}
  attn.sdpa ins(%q, %k, %v : memref<2x4x8x16xf32>, memref<2x2x9x16xf32>, memref<2x2x9x24xf32>)
      outs(%out : memref<2x4x8x24xf32>) {scale = 0x7FF8000000000000 : f64}
  return
}

// -----

func.func @f(%q: memref<2x4x8x16xf32>, %k: memref<2x2x9x16xf32>, %v: memref<2x2x9x24xf32>, %out: memref<2x4x8x24xf32>) {
  // expected-error @+1 {{expected a finite softcap above 0, got 0}}
  attn.sdpa ins(%q, %k, %v : memref<2x4x8x16xf32>, memref<2x2x9x16xf32>, memref<2x2x9x24xf32>)
      outs(%out : memref<2x4x8x24xf32>) {softcap = 0.0 : f64}
  return
}

// -----

func.func @f(%q: memref<2x4x8x16xf32>, %k: memref<2x2x9x16xf32>, %v: memref<2x2x9x24xf32>, %out: memref<2x4x8x24xf32>) {
  // expected-error @+1 {{expected a finite softcap above 0, got -1}}
  attn.sdpa ins(%q, %k, %v : memref<2x4x8x16xf32>, memref<2x2x9x16xf32>, memref<2x2x9x24xf32>)
      outs(%out : memref<2x4x8x24xf32>) {softcap = -1.0 : f64}
  return
}

// -----

func.func @f(%q: memref<2x4x8x16xf32>, %k: memref<2x2x9x16xf32>, %v: memref<2x2x9x24xf32>, %out: memref<2x4x8x24xf32>) {
  // expected-error @+1 {{expected a finite softcap above 0, got INF}}
  attn.sdpa ins(%q, %k, %v : memref<2x4x8x16xf32>, memref<2x2x9x16xf32>, memref<2x2x9x24xf32>)
      outs(%out : memref<2x4x8x24xf32>) {softcap = 0x7FF0000000000000 : f64}
  return
}

// -----

func.func @f(%q: memref<2x4x8x16xf32>, %k: memref<2x2x9x16xf32>, %v: memref<2x2x9x24xf32>, %out: memref<2x4x8x24xf32>) {
  // expected-error @+1 {{expected tiles that accumulate in 'f32', got 'f64'}}
  attn.sdpa ins(%q, %k, %v : memref<2x4x8x16xf32>, memref<2x2x9x16xf32>, memref<2x2x9x24xf32>)
      outs(%out : memref<2x4x8x24xf32>) {tiles = #attn.tiles<queries = 8, keys = 64, granule = 64, compute = f64>}
  return
}

// -----

func.func @f(%q: memref<2x4x8x16xf32>, %k: memref<2x2x9x16xf32>, %v: memref<2x2x9x24xf32>, %out: memref<2x4x8x24xf32>, %i: index) {
  // expected-error @+1 {{expected a position of no or 6 values (batch, head, first query, first key, query length, key length), got 2}}
  attn.sdpa ins(%q, %k, %v : memref<2x4x8x16xf32>, memref<2x2x9x16xf32>, memref<2x2x9x24xf32>)
      outs(%out : memref<2x4x8x24xf32>) position(%i, %i)
  return
}

// -----

func.func @f(%q: memref<2x4x8x16xf32>, %k: memref<2x2x9x16xf32>, %v: memref<2x2x9x24xf32>, %out: memref<2x4x8x24xf32>) {
  // expected-error @+1 {{expected a score function of 5 arguments (score, b, h, i, j), got 1}}
  attn.sdpa ins(%q, %k, %v : memref<2x4x8x16xf32>, memref<2x2x9x16xf32>, memref<2x2x9x24xf32>)
      outs(%out : memref<2x4x8x24xf32>) score {
      ^bb0(%s: f32):
        attn.yield %s : f32
      }
  return
}

// -----

func.func @f(%q: memref<2x4x8x16xf32>, %k: memref<2x2x9x16xf32>, %v: memref<2x2x9x24xf32>, %out: memref<2x4x8x24xf32>) {
  // expected-error @+1 {{expected argument #0 of the score function to be of type 'f32', got 'f64'}}
  attn.sdpa ins(%q, %k, %v : memref<2x4x8x16xf32>, memref<2x2x9x16xf32>, memref<2x2x9x24xf32>)
      outs(%out : memref<2x4x8x24xf32>) score {
      ^bb0(%s: f64, %b: index, %h: index, %i: index, %j: index):
        attn.yield %s : f64
      }
  return
}

// -----

func.func @f(%q: memref<2x4x8x16xf32>, %k: memref<2x2x9x16xf32>, %v: memref<2x2x9x24xf32>, %out: memref<2x4x8x24xf32>) {
  // expected-error @+1 {{expected argument #2 of the score function to be of type 'index', got 'i64'}}
  attn.sdpa ins(%q, %k, %v : memref<2x4x8x16xf32>, memref<2x2x9x16xf32>, memref<2x2x9x24xf32>)
      outs(%out : memref<2x4x8x24xf32>) score {
      ^bb0(%s: f32, %b: index, %h: i64, %i: index, %j: index):
        attn.yield %s : f32
      }
  return
}

// -----

func.func @f(%q: memref<2x4x8x16xf32>, %k: memref<2x2x9x16xf32>, %v: memref<2x2x9x24xf32>, %out: memref<2x4x8x24xf32>) {
  // expected-error @+1 {{expected the score function to yield 'f32', got 'f64'}}
  attn.sdpa ins(%q, %k, %v : memref<2x4x8x16xf32>, memref<2x2x9x16xf32>, memref<2x2x9x24xf32>)
      outs(%out : memref<2x4x8x24xf32>) score {
      ^bb0(%s: f32, %b: index, %h: index, %i: index, %j: index):
        %x = arith.extf %s : f32 to f64
        attn.yield %x : f64
      }
  return
}

// -----

func.func @f(%q: memref<2x4x8x16xf32>, %k: memref<2x2x9x16xf32>, %v: memref<2x2x9x24xf32>, %out: memref<2x4x8x24xf32>, %m: memref<?xf32>) {
  // expected-error @+1 {{expected a score function that does no more than read memory, got 'memref.store'}}
  attn.sdpa ins(%q, %k, %v : memref<2x4x8x16xf32>, memref<2x2x9x16xf32>, memref<2x2x9x24xf32>)
      outs(%out : memref<2x4x8x24xf32>) score {
      ^bb0(%s: f32, %b: index, %h: index, %i: index, %j: index):
        memref.store %s, %m[%i] : memref<?xf32>
        attn.yield %s : f32
      }
  return
}

// -----

func.func @f(%q: memref<2x4x8x16xf32>, %k: memref<2x2x9x16xf32>, %v: memref<2x2x9x24xf32>, %out: memref<2x4x8x24xf32>, %m: memref<?xf32>, %p: i1) {
  // expected-error @+1 {{expected a score function that does no more than read memory, got 'scf.if'}}
  attn.sdpa ins(%q, %k, %v : memref<2x4x8x16xf32>, memref<2x2x9x16xf32>, memref<2x2x9x24xf32>)
      outs(%out : memref<2x4x8x24xf32>) score {
      ^bb0(%s: f32, %b: index, %h: index, %i: index, %j: index):
        scf.if %p {
          memref.store %s, %m[%i] : memref<?xf32>
        }
        attn.yield %s : f32
      }
  return
}

// -----

func.func private @g()
func.func @f(%q: memref<2x4x8x16xf32>, %k: memref<2x2x9x16xf32>, %v: memref<2x2x9x24xf32>, %out: memref<2x4x8x24xf32>) {
  // expected-error @+1 {{expected a score function that does no more than read memory, got 'func.call'}}
  attn.sdpa ins(%q, %k, %v : memref<2x4x8x16xf32>, memref<2x2x9x16xf32>, memref<2x2x9x24xf32>)
      outs(%out : memref<2x4x8x24xf32>) score {
      ^bb0(%s: f32, %b: index, %h: index, %i: index, %j: index):
        func.call @g() : () -> ()
        attn.yield %s : f32
      }
  return
}

// -----

// expected-error @+1 {{expected a left window of -1 (unbounded) or more, got -2}}
func.func private @f() attributes {mask = #attn.window<-2, 0, top_left>}

// -----

// expected-error @+1 {{expected a right window of -1 (unbounded) or more, got -3}}
func.func private @f() attributes {mask = #attn.window<0, -3, top_left>}

// -----

// expected-error @+1 {{expected an alignment, top_left or bottom_right}}
func.func private @f() attributes {mask = #attn.causal<>}

// -----

// expected-error @+1 {{expected an alignment, top_left or bottom_right, got left}}
func.func private @f() attributes {mask = #attn.causal<left>}

// -----

// expected-error @+1 {{expected an alignment, <top_left> or <bottom_right>: there is no default}}
func.func private @f() attributes {mask = #attn.causal}

// -----

// expected-error @+1 {{expected an alignment, <top_left> or <bottom_right>: there is no default}}
func.func private @f() attributes {mask = #attn.prefix_lm}

// -----

// expected-error @+1 {{expected ','}}
func.func private @f() attributes {mask = #attn.window<3, 0>}

// -----

// expected-error @+1 {{expected an alignment, top_left or bottom_right}}
func.func private @f() attributes {mask = #attn.window<3, 0, 1>}

// -----

func.func @f(%q: memref<2x4x8x16xf32>) {
  attn.sdpa ins(%q, %q, %q : memref<2x4x8x16xf32>, memref<2x4x8x16xf32>, memref<2x4x8x16xf32>)
      // expected-error @+1 {{expected a mask, got 3 : i64}}
      outs(%q : memref<2x4x8x16xf32>) masks [3]
  return
}

// -----

func.func @f(%q: memref<2x4x8x16xf32>, %i: index) {
  // expected-error @+1 {{expected 3 operands in 'ins', got 2}}
  attn.sdpa ins(%q, %q : memref<2x4x8x16xf32>, memref<2x4x8x16xf32>) outs(%q : memref<2x4x8x16xf32>) 
  return
}

// -----

func.func @f(%q: memref<2x4x8x16xf32>, %i: index) {
  // expected-error @+1 {{expected 1 to 2 operands in 'outs', got 3}}
  attn.sdpa ins(%q, %q, %q : memref<2x4x8x16xf32>, memref<2x4x8x16xf32>, memref<2x4x8x16xf32>) outs(%q, %q, %q : memref<2x4x8x16xf32>, memref<2x4x8x16xf32>, memref<2x4x8x16xf32>) 
  return
}

// -----

func.func @f(%q: memref<2x4x8x16xf32>, %i: index) {
  // expected-error @+1 {{expected 1 operands in 'bias', got 2}}
  attn.sdpa ins(%q, %q, %q : memref<2x4x8x16xf32>, memref<2x4x8x16xf32>, memref<2x4x8x16xf32>) outs(%q : memref<2x4x8x16xf32>) bias(%q, %q : memref<2x4x8x16xf32>, memref<2x4x8x16xf32>)
  return
}

// -----

func.func @f(%q: memref<2x4x8x16xf32>, %i: index) {
  // expected-error @+1 {{expected no 'masks' among the attributes: it has its own place}}
  attn.sdpa ins(%q, %q, %q : memref<2x4x8x16xf32>, memref<2x4x8x16xf32>, memref<2x4x8x16xf32>) outs(%q : memref<2x4x8x16xf32>) {masks = [#attn.bounds]}
  return
}

// -----

func.func @f(%q: memref<2x4x8x16xf32>, %i: index) {
  // expected-error @+1 {{expected no 'operandSegmentSizes' among the attributes: it has its own place}}
  attn.sdpa ins(%q, %q, %q : memref<2x4x8x16xf32>, memref<2x4x8x16xf32>, memref<2x4x8x16xf32>) outs(%q : memref<2x4x8x16xf32>) {operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 0, 1, 0>}
  return
}

// -----

func.func @f(%q: memref<2x4x8x16xf32>, %i: index) {
  // expected-error @+1 {{attribute 'scale' failed to satisfy constraint: 64-bit float attribute}}
  attn.sdpa ins(%q, %q, %q : memref<2x4x8x16xf32>, memref<2x4x8x16xf32>, memref<2x4x8x16xf32>) outs(%q : memref<2x4x8x16xf32>) {scale = 1.0 : f32}
  return
}

// -----

func.func @f(%q: memref<2x4x8x16xf32>, %i: index) {
  // expected-error @+1 {{expected 3 operands in 'state', got 1}}
  attn.online ins(%q, %q, %q : memref<2x4x8x16xf32>, memref<2x4x8x16xf32>, memref<2x4x8x16xf32>) state(%q : memref<2x4x8x16xf32>) 
  return
}

// -----

func.func @f(%q: memref<1x1x8x16xf32>, %k: memref<?x16xf32>, %v: memref<?x24xf32>, %acc: !tile.tile<8x24xf32>, %max: !tile.tile<8xf32>, %sum: !tile.tile<8xf32>, %i: index) {
  // expected-error @+1 {{expected query of rank 2, [rows, D], got rank 4 in 'memref<1x1x8x16xf32>'}}
  %r:3 = attn.online ins(%q, %k, %v : memref<1x1x8x16xf32>, memref<?x16xf32>, memref<?x24xf32>)
      state(%acc, %max, %sum : !tile.tile<8x24xf32>, !tile.tile<8xf32>, !tile.tile<8xf32>)
      position(%i, %i, %i, %i, %i, %i) {scale = 1.0 : f64, tiles = #attn.tiles<queries = 8, keys = 64, granule = 64, compute = f32>}
  return
}

// -----

func.func @f(%q: memref<8x16xf32>, %k: memref<16xf32>, %v: memref<?x24xf32>, %acc: !tile.tile<8x24xf32>, %max: !tile.tile<8xf32>, %sum: !tile.tile<8xf32>, %i: index) {
  // expected-error @+1 {{expected key of rank 2, [keys, D], got rank 1 in 'memref<16xf32>'}}
  %r:3 = attn.online ins(%q, %k, %v : memref<8x16xf32>, memref<16xf32>, memref<?x24xf32>)
      state(%acc, %max, %sum : !tile.tile<8x24xf32>, !tile.tile<8xf32>, !tile.tile<8xf32>)
      position(%i, %i, %i, %i, %i, %i) {scale = 1.0 : f64, tiles = #attn.tiles<queries = 8, keys = 64, granule = 64, compute = f32>}
  return
}

// -----

func.func @f(%q: memref<8x16xf32>, %k: memref<?x16xf32>, %v: memref<24xf32>, %acc: !tile.tile<8x24xf32>, %max: !tile.tile<8xf32>, %sum: !tile.tile<8xf32>, %i: index) {
  // expected-error @+1 {{expected value of rank 2, [keys, Dv], got rank 1 in 'memref<24xf32>'}}
  %r:3 = attn.online ins(%q, %k, %v : memref<8x16xf32>, memref<?x16xf32>, memref<24xf32>)
      state(%acc, %max, %sum : !tile.tile<8x24xf32>, !tile.tile<8xf32>, !tile.tile<8xf32>)
      position(%i, %i, %i, %i, %i, %i) {scale = 1.0 : f64, tiles = #attn.tiles<queries = 8, keys = 64, granule = 64, compute = f32>}
  return
}

// -----

func.func @f(%q: memref<8x16xf32>, %k: memref<?x16xf64>, %v: memref<?x24xf32>, %acc: !tile.tile<8x24xf32>, %max: !tile.tile<8xf32>, %sum: !tile.tile<8xf32>, %i: index) {
  // expected-error @+1 {{expected key of element type 'f32', that of query, got 'f64'}}
  %r:3 = attn.online ins(%q, %k, %v : memref<8x16xf32>, memref<?x16xf64>, memref<?x24xf32>)
      state(%acc, %max, %sum : !tile.tile<8x24xf32>, !tile.tile<8xf32>, !tile.tile<8xf32>)
      position(%i, %i, %i, %i, %i, %i) {scale = 1.0 : f64, tiles = #attn.tiles<queries = 8, keys = 64, granule = 64, compute = f32>}
  return
}

// -----

func.func @f(%q: memref<8x16xf32>, %k: memref<?x8xf32>, %v: memref<?x24xf32>, %acc: !tile.tile<8x24xf32>, %max: !tile.tile<8xf32>, %sum: !tile.tile<8xf32>, %i: index) {
  // expected-error @+1 {{expected the head dimension of key to be 16, that of query, got 8}}
  %r:3 = attn.online ins(%q, %k, %v : memref<8x16xf32>, memref<?x8xf32>, memref<?x24xf32>)
      state(%acc, %max, %sum : !tile.tile<8x24xf32>, !tile.tile<8xf32>, !tile.tile<8xf32>)
      position(%i, %i, %i, %i, %i, %i) {scale = 1.0 : f64, tiles = #attn.tiles<queries = 8, keys = 64, granule = 64, compute = f32>}
  return
}

// -----

func.func @f(%q: memref<8x16xf32>, %k: memref<64x16xf32>, %v: memref<65x24xf32>, %acc: !tile.tile<8x24xf32>, %max: !tile.tile<8xf32>, %sum: !tile.tile<8xf32>, %i: index) {
  // expected-error @+1 {{expected the length of value to be 64, that of key, got 65}}
  %r:3 = attn.online ins(%q, %k, %v : memref<8x16xf32>, memref<64x16xf32>, memref<65x24xf32>)
      state(%acc, %max, %sum : !tile.tile<8x24xf32>, !tile.tile<8xf32>, !tile.tile<8xf32>)
      position(%i, %i, %i, %i, %i, %i) {scale = 1.0 : f64, tiles = #attn.tiles<queries = 8, keys = 64, granule = 64, compute = f32>}
  return
}

// -----

func.func @f(%q: memref<8x?xf32>, %k: memref<?x16xf32>, %v: memref<?x24xf32>, %acc: !tile.tile<8x24xf32>, %max: !tile.tile<8xf32>, %sum: !tile.tile<8xf32>, %i: index) {
  // expected-error @+1 {{expected a static head dimension D, got 'memref<8x?xf32>' for query}}
  %r:3 = attn.online ins(%q, %k, %v : memref<8x?xf32>, memref<?x16xf32>, memref<?x24xf32>)
      state(%acc, %max, %sum : !tile.tile<8x24xf32>, !tile.tile<8xf32>, !tile.tile<8xf32>)
      position(%i, %i, %i, %i, %i, %i) {scale = 1.0 : f64, tiles = #attn.tiles<queries = 8, keys = 64, granule = 64, compute = f32>}
  return
}

// -----

func.func @f(%q: memref<8x16xf32>, %k: memref<?x16xf32>, %v: memref<?x?xf32>, %acc: !tile.tile<8x24xf32>, %max: !tile.tile<8xf32>, %sum: !tile.tile<8xf32>, %i: index) {
  // expected-error @+1 {{expected a static head dimension Dv, got 'memref<?x?xf32>' for value}}
  %r:3 = attn.online ins(%q, %k, %v : memref<8x16xf32>, memref<?x16xf32>, memref<?x?xf32>)
      state(%acc, %max, %sum : !tile.tile<8x24xf32>, !tile.tile<8xf32>, !tile.tile<8xf32>)
      position(%i, %i, %i, %i, %i, %i) {scale = 1.0 : f64, tiles = #attn.tiles<queries = 8, keys = 64, granule = 64, compute = f32>}
  return
}

// -----

func.func @f(%q: memref<8x16xf32>, %k: memref<?x16xf32>, %v: memref<?x24xf32>, %acc: !tile.tile<8x24xbf16>, %max: !tile.tile<8xf32>, %sum: !tile.tile<8xf32>, %i: index) {
  // expected-error @+1 {{expected acc of element type 'f32', got 'bf16'}}
  %r:3 = attn.online ins(%q, %k, %v : memref<8x16xf32>, memref<?x16xf32>, memref<?x24xf32>)
      state(%acc, %max, %sum : !tile.tile<8x24xbf16>, !tile.tile<8xf32>, !tile.tile<8xf32>)
      position(%i, %i, %i, %i, %i, %i) {scale = 1.0 : f64, tiles = #attn.tiles<queries = 8, keys = 64, granule = 64, compute = f32>}
  return
}

// -----

func.func @f(%q: memref<8x16xf32>, %k: memref<?x16xf32>, %v: memref<?x24xf32>, %acc: !tile.tile<8x24xf32>, %max: !tile.tile<9xf32>, %sum: !tile.tile<8xf32>, %i: index) {
  // expected-error @+1 {{expected the number of rows of max to be 8, that of acc, got 9}}
  %r:3 = attn.online ins(%q, %k, %v : memref<8x16xf32>, memref<?x16xf32>, memref<?x24xf32>)
      state(%acc, %max, %sum : !tile.tile<8x24xf32>, !tile.tile<9xf32>, !tile.tile<8xf32>)
      position(%i, %i, %i, %i, %i, %i) {scale = 1.0 : f64, tiles = #attn.tiles<queries = 8, keys = 64, granule = 64, compute = f32>}
  return
}

// -----

func.func @f(%q: memref<8x16xf32>, %k: memref<?x16xf32>, %v: memref<?x24xf32>, %acc: !tile.tile<8x24xf32>, %max: !tile.tile<8xf32>, %sum: !tile.tile<7xf32>, %i: index) {
  // expected-error @+1 {{expected the number of rows of sum to be 8, that of acc, got 7}}
  %r:3 = attn.online ins(%q, %k, %v : memref<8x16xf32>, memref<?x16xf32>, memref<?x24xf32>)
      state(%acc, %max, %sum : !tile.tile<8x24xf32>, !tile.tile<8xf32>, !tile.tile<7xf32>)
      position(%i, %i, %i, %i, %i, %i) {scale = 1.0 : f64, tiles = #attn.tiles<queries = 8, keys = 64, granule = 64, compute = f32>}
  return
}

// -----

func.func @f(%q: memref<8x16xf32>, %k: memref<?x16xf32>, %v: memref<?x24xf32>, %acc: !tile.tile<8x16xf32>, %max: !tile.tile<8xf32>, %sum: !tile.tile<8xf32>, %i: index) {
  // expected-error @+1 {{expected acc of 24 columns or more, the head dimension of value, got 16}}
  %r:3 = attn.online ins(%q, %k, %v : memref<8x16xf32>, memref<?x16xf32>, memref<?x24xf32>)
      state(%acc, %max, %sum : !tile.tile<8x16xf32>, !tile.tile<8xf32>, !tile.tile<8xf32>)
      position(%i, %i, %i, %i, %i, %i) {scale = 1.0 : f64, tiles = #attn.tiles<queries = 8, keys = 64, granule = 64, compute = f32>}
  return
}

// -----

func.func @f(%q: memref<8x16xf32>, %k: memref<?x16xf32>, %v: memref<?x24xf32>, %acc: !tile.tile<8x24xf32>, %max: !tile.tile<8xf32>, %sum: !tile.tile<8xf32>, %i: index) {
  // expected-error @+1 {{expected a position of 6 values (batch, head, first query, first key, query length, key length), got 0}}
  %r:3 = attn.online ins(%q, %k, %v : memref<8x16xf32>, memref<?x16xf32>, memref<?x24xf32>)
      state(%acc, %max, %sum : !tile.tile<8x24xf32>, !tile.tile<8xf32>, !tile.tile<8xf32>)
      {scale = 1.0 : f64, tiles = #attn.tiles<queries = 8, keys = 64, granule = 64, compute = f32>}
  return
}

// -----

func.func @f(%q: memref<8x16xf32>, %k: memref<?x16xf32>, %v: memref<?x24xf32>, %acc: !tile.tile<8x24xf32>, %max: !tile.tile<8xf32>, %sum: !tile.tile<8xf32>, %i: index) {
  // expected-error @+1 {{expected tiles that accumulate in 'f32', got 'f64'}}
  %r:3 = attn.online ins(%q, %k, %v : memref<8x16xf32>, memref<?x16xf32>, memref<?x24xf32>)
      state(%acc, %max, %sum : !tile.tile<8x24xf32>, !tile.tile<8xf32>, !tile.tile<8xf32>)
      position(%i, %i, %i, %i, %i, %i) {scale = 1.0 : f64, tiles = #attn.tiles<queries = 8, keys = 64, granule = 64, compute = f64>}
  return
}

// -----

func.func @f(%q: memref<8x16xf32>, %k: memref<?x16xf32>, %v: memref<?x24xf32>, %acc: !tile.tile<8x24xf32>, %max: !tile.tile<8xf32>, %sum: !tile.tile<8xf32>, %i: index) {
  // expected-error @+1 {{expected tiles of 8 queries, the rows of acc, got 16}}
  %r:3 = attn.online ins(%q, %k, %v : memref<8x16xf32>, memref<?x16xf32>, memref<?x24xf32>)
      state(%acc, %max, %sum : !tile.tile<8x24xf32>, !tile.tile<8xf32>, !tile.tile<8xf32>)
      position(%i, %i, %i, %i, %i, %i) {scale = 1.0 : f64, tiles = #attn.tiles<queries = 16, keys = 64, granule = 64, compute = f32>}
  return
}

// -----

func.func @f(%q: memref<8x16xf32>, %k: memref<?x16xf32>, %v: memref<?x24xf32>, %acc: !tile.tile<8x24xf32>, %max: !tile.tile<8xf32>, %sum: !tile.tile<8xf32>, %i: index) {
  // expected-error @+1 {{expected a finite scale, got nan}}
  %r:3 = attn.online ins(%q, %k, %v : memref<8x16xf32>, memref<?x16xf32>, memref<?x24xf32>)
      state(%acc, %max, %sum : !tile.tile<8x24xf32>, !tile.tile<8xf32>, !tile.tile<8xf32>)
      position(%i, %i, %i, %i, %i, %i) {scale = 0x7FF8000000000000 : f64, tiles = #attn.tiles<queries = 8, keys = 64, granule = 64, compute = f32>}
  return
}

// -----

func.func @f(%q: memref<8x16xf32>, %k: memref<?x16xf32>, %v: memref<?x24xf32>, %acc: !tile.tile<8x24xf32>, %max: !tile.tile<8xf32>, %sum: !tile.tile<8xf32>, %i: index, %m: tensor<2xi32>) {
  // expected-error @+1 {{expected all operands to be memrefs like query, got 'tensor<2xi32>' for a mask operand}}
  %r:3 = attn.online ins(%q, %k, %v : memref<8x16xf32>, memref<?x16xf32>, memref<?x24xf32>)
      state(%acc, %max, %sum : !tile.tile<8x24xf32>, !tile.tile<8xf32>, !tile.tile<8xf32>)
      masks [#attn.key_lengths] (%m : tensor<2xi32>) position(%i, %i, %i, %i, %i, %i) {scale = 1.0 : f64, tiles = #attn.tiles<queries = 8, keys = 64, granule = 64, compute = f32>}
  return
}

// -----

func.func @f(%q: memref<8x16xf32>, %k: memref<?x16xf32>, %v: memref<?x24xf32>, %acc: !tile.tile<8x24xf32>, %max: !tile.tile<8xf32>, %sum: !tile.tile<8xf32>, %i: index) {
  // expected-error @+1 {{expected 1 mask operands for [#attn.key_lengths], got 0}}
  %r:3 = attn.online ins(%q, %k, %v : memref<8x16xf32>, memref<?x16xf32>, memref<?x24xf32>)
      state(%acc, %max, %sum : !tile.tile<8x24xf32>, !tile.tile<8xf32>, !tile.tile<8xf32>)
      masks [#attn.key_lengths] position(%i, %i, %i, %i, %i, %i) {scale = 1.0 : f64, tiles = #attn.tiles<queries = 8, keys = 64, granule = 64, compute = f32>}
  return
}

// -----

func.func @f(%q: memref<8x16xf32>, %k: memref<?x16xf32>, %v: memref<?x24xf32>, %acc: !tile.tile<8x24xf32>, %max: !tile.tile<8xf32>, %sum: !tile.tile<8xf32>, %i: index, %m: memref<?x?xf32>) {
  // expected-error @+1 {{expected bias of rank 4, [B, Hq, Sq, Sk] or 1 where it is broadcast, got rank 2 in 'memref<?x?xf32>'}}
  %r:3 = attn.online ins(%q, %k, %v : memref<8x16xf32>, memref<?x16xf32>, memref<?x24xf32>)
      state(%acc, %max, %sum : !tile.tile<8x24xf32>, !tile.tile<8xf32>, !tile.tile<8xf32>)
      bias(%m : memref<?x?xf32>) position(%i, %i, %i, %i, %i, %i) {scale = 1.0 : f64, tiles = #attn.tiles<queries = 8, keys = 64, granule = 64, compute = f32>}
  return
}

// -----

func.func @f(%q: memref<8x16xf32>, %k: memref<?x16xf32>, %v: memref<?x24xf32>, %acc: !tile.tile<8x24xf32>, %max: !tile.tile<8xf32>, %sum: !tile.tile<8xf32>, %i: index) {
  // expected-error @+1 {{expected a score function of 5 arguments (score, b, h, i, j), got 1}}
  %r:3 = attn.online ins(%q, %k, %v : memref<8x16xf32>, memref<?x16xf32>, memref<?x24xf32>)
      state(%acc, %max, %sum : !tile.tile<8x24xf32>, !tile.tile<8xf32>, !tile.tile<8xf32>)
      position(%i, %i, %i, %i, %i, %i) score {
      ^bb0(%s: f32):
        attn.yield %s : f32
      } {scale = 1.0 : f64, tiles = #attn.tiles<queries = 8, keys = 64, granule = 64, compute = f32>}
  return
}

// -----

func.func @f(%q: memref<8x16xf32>, %acc: !tile.tile<8x16xf32>, %max: !tile.tile<8xf32>, %i: index) {
  // expected-error @+1 {{expected a result of type '!tile.tile<8x16xf32>', that of acc, got '!tile.tile<8x32xf32>'}}
  %0:3 = "attn.online"(%q, %q, %q, %i, %i, %i, %i, %i, %i, %acc, %max, %max) <{
      operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 6, 1, 1, 1>, scale = 1.0 : f64,
      tiles = #attn.tiles<queries = 8, keys = 64, granule = 64, compute = f32>}> ({})
      : (memref<8x16xf32>, memref<8x16xf32>, memref<8x16xf32>, index, index, index, index, index, index,
         !tile.tile<8x16xf32>, !tile.tile<8xf32>, !tile.tile<8xf32>)
      -> (!tile.tile<8x32xf32>, !tile.tile<8xf32>, !tile.tile<8xf32>)
  return
}

// -----

func.func @f(%acc: !tile.tile<8x24xf16>, %max: !tile.tile<8xf32>, %sum: !tile.tile<8xf32>, %rows: index, %out: memref<?x24xf32>, %lse: memref<?xf32>) {
  // expected-error @+1 {{expected acc of element type f32 or f64, got 'f16'}}
  attn.normalize %acc, %max, %sum rows(%rows) outs(%out : memref<?x24xf32>) lse(%lse : memref<?xf32>)
      : !tile.tile<8x24xf16>, !tile.tile<8xf32>, !tile.tile<8xf32>
  return
}

// -----

func.func @f(%acc: !tile.tile<8x24xf32>, %max: !tile.tile<8xf64>, %sum: !tile.tile<8xf32>, %rows: index, %out: memref<?x24xf32>, %lse: memref<?xf32>) {
  // expected-error @+1 {{expected max of element type 'f32', got 'f64'}}
  attn.normalize %acc, %max, %sum rows(%rows) outs(%out : memref<?x24xf32>) lse(%lse : memref<?xf32>)
      : !tile.tile<8x24xf32>, !tile.tile<8xf64>, !tile.tile<8xf32>
  return
}

// -----

func.func @f(%acc: !tile.tile<8x24xf32>, %max: !tile.tile<8xf32>, %sum: !tile.tile<4xf32>, %rows: index, %out: memref<?x24xf32>, %lse: memref<?xf32>) {
  // expected-error @+1 {{expected the number of rows of sum to be 8, that of acc, got 4}}
  attn.normalize %acc, %max, %sum rows(%rows) outs(%out : memref<?x24xf32>) lse(%lse : memref<?xf32>)
      : !tile.tile<8x24xf32>, !tile.tile<8xf32>, !tile.tile<4xf32>
  return
}

// -----

func.func @f(%acc: !tile.tile<8x24xf32>, %max: !tile.tile<8xf32>, %sum: !tile.tile<8xf32>, %rows: index, %out: memref<24xf32>, %lse: memref<?xf32>) {
  // expected-error @+1 {{expected out of rank 2, [rows, Dv], got rank 1 in 'memref<24xf32>'}}
  attn.normalize %acc, %max, %sum rows(%rows) outs(%out : memref<24xf32>) lse(%lse : memref<?xf32>)
      : !tile.tile<8x24xf32>, !tile.tile<8xf32>, !tile.tile<8xf32>
  return
}

// -----

func.func @f(%acc: !tile.tile<8x24xf32>, %max: !tile.tile<8xf32>, %sum: !tile.tile<8xf32>, %rows: index, %out: memref<?x24xi32>, %lse: memref<?xf32>) {
  // expected-error @+1 {{expected out of element type f64, f32, f16 or bf16, got 'i32'}}
  attn.normalize %acc, %max, %sum rows(%rows) outs(%out : memref<?x24xi32>) lse(%lse : memref<?xf32>)
      : !tile.tile<8x24xf32>, !tile.tile<8xf32>, !tile.tile<8xf32>
  return
}

// -----

func.func @f(%acc: !tile.tile<8x24xf32>, %max: !tile.tile<8xf32>, %sum: !tile.tile<8xf32>, %rows: index, %out: memref<?x32xf32>, %lse: memref<?xf32>) {
  // expected-error @+1 {{expected out of no more than the 24 columns of acc, got 32}}
  attn.normalize %acc, %max, %sum rows(%rows) outs(%out : memref<?x32xf32>) lse(%lse : memref<?xf32>)
      : !tile.tile<8x24xf32>, !tile.tile<8xf32>, !tile.tile<8xf32>
  return
}

// -----

func.func @f(%acc: !tile.tile<8x24xf32>, %max: !tile.tile<8xf32>, %sum: !tile.tile<8xf32>, %rows: index, %out: memref<?x24xf32>, %lse: memref<?x?xf32>) {
  // expected-error @+1 {{expected lse of rank 1, [rows], got rank 2 in 'memref<?x?xf32>'}}
  attn.normalize %acc, %max, %sum rows(%rows) outs(%out : memref<?x24xf32>) lse(%lse : memref<?x?xf32>)
      : !tile.tile<8x24xf32>, !tile.tile<8xf32>, !tile.tile<8xf32>
  return
}

// -----

func.func @f(%acc: !tile.tile<8x24xf32>, %max: !tile.tile<8xf32>, %sum: !tile.tile<8xf32>, %rows: index, %out: memref<?x24xf32>, %lse: memref<?xbf16>) {
  // expected-error @+1 {{expected lse of element type 'f32', got 'bf16'}}
  attn.normalize %acc, %max, %sum rows(%rows) outs(%out : memref<?x24xf32>) lse(%lse : memref<?xbf16>)
      : !tile.tile<8x24xf32>, !tile.tile<8xf32>, !tile.tile<8xf32>
  return
}

// -----

func.func @f(%acc: !tile.tile<8x24xf32>, %max: !tile.tile<8xf32>, %sum: !tile.tile<8xf32>, %rows: index, %out: memref<8x24xf32>, %lse: memref<9xf32>) {
  // expected-error @+1 {{expected the number of rows of lse to be 8, that of out, got 9}}
  attn.normalize %acc, %max, %sum rows(%rows) outs(%out : memref<8x24xf32>) lse(%lse : memref<9xf32>)
      : !tile.tile<8x24xf32>, !tile.tile<8xf32>, !tile.tile<8xf32>
  return
}

// -----

func.func @f(%oa: memref<2x4x8x16xf32>, %la: memref<2x4x8xf32>, %ob: tensor<2x4x8x16xf32>, %lb: memref<2x4x8xf32>, %o: memref<2x4x8x16xf32>, %l: memref<2x4x8xf32>) {
  // expected-error @+1 {{expected all operands to be memrefs like out_a, got 'tensor<2x4x8x16xf32>' for out_b}}
  attn.merge ins(%oa, %la, %ob, %lb : memref<2x4x8x16xf32>, memref<2x4x8xf32>, tensor<2x4x8x16xf32>, memref<2x4x8xf32>)
      outs(%o, %l : memref<2x4x8x16xf32>, memref<2x4x8xf32>)
  return
}

// -----

func.func @f(%oa: memref<2x4x8x16xf32>, %la: memref<2x4x8xf32>, %ob: memref<4x8x16xf32>, %lb: memref<2x4x8xf32>, %o: memref<2x4x8x16xf32>, %l: memref<2x4x8xf32>) {
  // expected-error @+1 {{expected out_b of rank 4, [B, Hq, Sq, Dv], got rank 3 in 'memref<4x8x16xf32>'}}
  attn.merge ins(%oa, %la, %ob, %lb : memref<2x4x8x16xf32>, memref<2x4x8xf32>, memref<4x8x16xf32>, memref<2x4x8xf32>)
      outs(%o, %l : memref<2x4x8x16xf32>, memref<2x4x8xf32>)
  return
}

// -----

func.func @f(%oa: memref<2x4x8x16xf32>, %la: memref<4x8xf32>, %ob: memref<2x4x8x16xf32>, %lb: memref<2x4x8xf32>, %o: memref<2x4x8x16xf32>, %l: memref<2x4x8xf32>) {
  // expected-error @+1 {{expected lse_a of rank 3, [B, Hq, Sq], got rank 2 in 'memref<4x8xf32>'}}
  attn.merge ins(%oa, %la, %ob, %lb : memref<2x4x8x16xf32>, memref<4x8xf32>, memref<2x4x8x16xf32>, memref<2x4x8xf32>)
      outs(%o, %l : memref<2x4x8x16xf32>, memref<2x4x8xf32>)
  return
}

// -----

func.func @f(%oa: memref<2x4x8x16xf32>, %la: memref<2x4x8xf32>, %ob: memref<2x4x8x16xf64>, %lb: memref<2x4x8xf32>, %o: memref<2x4x8x16xf32>, %l: memref<2x4x8xf32>) {
  // expected-error @+1 {{expected out_b of element type 'f32', that of out_a, got 'f64'}}
  attn.merge ins(%oa, %la, %ob, %lb : memref<2x4x8x16xf32>, memref<2x4x8xf32>, memref<2x4x8x16xf64>, memref<2x4x8xf32>)
      outs(%o, %l : memref<2x4x8x16xf32>, memref<2x4x8xf32>)
  return
}

// -----

func.func @f(%oa: memref<2x4x8x16xf32>, %la: memref<2x4x8xf32>, %ob: memref<2x4x8x16xf32>, %lb: memref<2x4x8xf32>, %o: memref<2x4x8x16xbf16>, %l: memref<2x4x8xf32>) {
  // expected-error @+1 {{expected out of element type 'f32' or a wider one, got 'bf16'}}
  attn.merge ins(%oa, %la, %ob, %lb : memref<2x4x8x16xf32>, memref<2x4x8xf32>, memref<2x4x8x16xf32>, memref<2x4x8xf32>)
      outs(%o, %l : memref<2x4x8x16xbf16>, memref<2x4x8xf32>)
  return
}

// -----

func.func @f(%oa: memref<2x4x8x16xf32>, %la: memref<2x4x8xbf16>, %ob: memref<2x4x8x16xf32>, %lb: memref<2x4x8xf32>, %o: memref<2x4x8x16xf32>, %l: memref<2x4x8xf32>) {
  // expected-error @+1 {{expected lse_a of element type f32 or f64, got 'bf16'}}
  attn.merge ins(%oa, %la, %ob, %lb : memref<2x4x8x16xf32>, memref<2x4x8xbf16>, memref<2x4x8x16xf32>, memref<2x4x8xf32>)
      outs(%o, %l : memref<2x4x8x16xf32>, memref<2x4x8xf32>)
  return
}

// -----

func.func @f(%oa: memref<2x4x8x16xf32>, %la: memref<2x4x8xf32>, %ob: memref<2x4x8x16xf32>, %lb: memref<2x4x8xf64>, %o: memref<2x4x8x16xf32>, %l: memref<2x4x8xf32>) {
  // expected-error @+1 {{expected lse_b of element type 'f32', that of lse_a, got 'f64'}}
  attn.merge ins(%oa, %la, %ob, %lb : memref<2x4x8x16xf32>, memref<2x4x8xf32>, memref<2x4x8x16xf32>, memref<2x4x8xf64>)
      outs(%o, %l : memref<2x4x8x16xf32>, memref<2x4x8xf32>)
  return
}

// -----

func.func @f(%oa: memref<2x4x8x16xf32>, %la: memref<1x4x8xf32>, %ob: memref<2x4x8x16xf32>, %lb: memref<2x4x8xf32>, %o: memref<2x4x8x16xf32>, %l: memref<2x4x8xf32>) {
  // expected-error @+1 {{expected the batch size of lse_a to be 2, that of out_a, got 1}}
  attn.merge ins(%oa, %la, %ob, %lb : memref<2x4x8x16xf32>, memref<1x4x8xf32>, memref<2x4x8x16xf32>, memref<2x4x8xf32>)
      outs(%o, %l : memref<2x4x8x16xf32>, memref<2x4x8xf32>)
  return
}

// -----

func.func @f(%oa: memref<2x4x8x16xf32>, %la: memref<2x4x8xf32>, %ob: memref<2x3x8x16xf32>, %lb: memref<2x4x8xf32>, %o: memref<2x4x8x16xf32>, %l: memref<2x4x8xf32>) {
  // expected-error @+1 {{expected the number of heads of out_b to be 4, that of out_a, got 3}}
  attn.merge ins(%oa, %la, %ob, %lb : memref<2x4x8x16xf32>, memref<2x4x8xf32>, memref<2x3x8x16xf32>, memref<2x4x8xf32>)
      outs(%o, %l : memref<2x4x8x16xf32>, memref<2x4x8xf32>)
  return
}

// -----

func.func @f(%oa: memref<2x4x8x16xf32>, %la: memref<2x4x8xf32>, %ob: memref<2x4x8x16xf32>, %lb: memref<2x4x8xf32>, %o: memref<2x4x8x16xf32>, %l: memref<2x4x9xf32>) {
  // expected-error @+1 {{expected the length of lse to be 8, that of out_a, got 9}}
  attn.merge ins(%oa, %la, %ob, %lb : memref<2x4x8x16xf32>, memref<2x4x8xf32>, memref<2x4x8x16xf32>, memref<2x4x8xf32>)
      outs(%o, %l : memref<2x4x8x16xf32>, memref<2x4x9xf32>)
  return
}

// -----

func.func @f(%oa: memref<2x4x8x16xf32>, %la: memref<2x4x8xf32>, %ob: memref<2x4x8x16xf32>, %lb: memref<2x4x8xf32>, %o: memref<2x4x8x17xf32>, %l: memref<2x4x8xf32>) {
  // expected-error @+1 {{expected the head dimension of out to be 16, that of out_a, got 17}}
  attn.merge ins(%oa, %la, %ob, %lb : memref<2x4x8x16xf32>, memref<2x4x8xf32>, memref<2x4x8x16xf32>, memref<2x4x8xf32>)
      outs(%o, %l : memref<2x4x8x17xf32>, memref<2x4x8xf32>)
  return
}

// -----

func.func @f(%oa: tensor<2x4x8x16xf32>, %la: tensor<2x4x8xf32>, %ob: tensor<2x4x8x16xf32>, %lb: tensor<2x4x8xf32>, %o: tensor<2x4x8x16xf32>, %l: tensor<2x4x8xf32>) {
  // expected-error @+1 {{expected 2 results, one for each tensor of outs, got 0}}
  attn.merge ins(%oa, %la, %ob, %lb : tensor<2x4x8x16xf32>, tensor<2x4x8xf32>, tensor<2x4x8x16xf32>, tensor<2x4x8xf32>)
      outs(%o, %l : tensor<2x4x8x16xf32>, tensor<2x4x8xf32>)
  return
}

// -----

// expected-error @+1 {{expected tiles of 1 or more queries and keys, got 0 and 64}}
func.func private @f() attributes {tiles = #attn.tiles<queries = 0, keys = 64, granule = 64, compute = f32>}

// -----

// expected-error @+1 {{expected a granule that divides the 96 keys, got 64}}
func.func private @f() attributes {tiles = #attn.tiles<queries = 8, keys = 96, granule = 64, compute = f32>}

// -----

// expected-error @+1 {{expected to compute in f32 or f64, got 'bf16'}}
func.func private @f() attributes {tiles = #attn.tiles<queries = 8, keys = 64, granule = 64, compute = bf16>}

// -----

// expected-error @+1 {{expected products of bf16, f16, tf32 or 'f32' operands, got 'f64'}}
func.func private @f() attributes {tiles = #attn.tiles<queries = 8, keys = 64, granule = 64, compute = f32, operand = f64>}

// -----

func.func @f(%q: memref<2x4x8x16xf16>, %k: memref<2x2x9x16xf16>, %v: memref<2x2x9x24xf16>, %out: memref<2x4x8x24xf16>) {
  // expected-error @+1 {{expected products of 'f32' operands or of the queries' 'f16', got 'bf16'}}
  attn.sdpa ins(%q, %k, %v : memref<2x4x8x16xf16>, memref<2x2x9x16xf16>, memref<2x2x9x24xf16>)
      outs(%out : memref<2x4x8x24xf16>)
      {tiles = #attn.tiles<queries = 8, keys = 64, granule = 64, compute = f32, operand = bf16>}
  return
}

// -----

// expected-error @+1 {{expected a split that is a multiple of the 64 keys of a tile, got 96}}
func.func private @f() attributes {tiles = #attn.tiles<queries = 8, keys = 64, granule = 64, compute = f32, split = 96>}

// -----

// expected-error @+1 {{expected tiles for few queries, got 7 : i32}}
func.func private @f() attributes {tiles = #attn.tiles<queries = 8, keys = 64, granule = 64, compute = f32, few = 7 : i32>}

// -----

// expected-error @+1 {{expected tiles for few queries with a split and no further tiles, got #attn.tiles<queries = 8, keys = 64, granule = 64, compute = f32>}}
func.func private @f() attributes {tiles = #attn.tiles<queries = 8, keys = 64, granule = 64, compute = f32, few = #attn.tiles<queries = 8, keys = 64, granule = 64, compute = f32>>}

// -----

// expected-error @+1 {{expected tiles for few queries that accumulate in 'f32', got 'f64'}}
func.func private @f() attributes {tiles = #attn.tiles<queries = 8, keys = 64, granule = 64, compute = f32, few = #attn.tiles<queries = 8, keys = 64, granule = 64, compute = f64, split = 64>>}

// -----

func.func @f(%p: memref<?x4x2x16xf32>, %l: memref<?x4x2xf32>, %o: memref<4x2x24xf32>) {
  // expected-error @+1 {{expected the head dimension of out to be 16, that of parts, got 24}}
  attn.merge_splits ins(%p, %l : memref<?x4x2x16xf32>, memref<?x4x2xf32>) outs(%o : memref<4x2x24xf32>)
      {tiles = #attn.tiles<queries = 8, keys = 64, granule = 64, compute = f32, split = 64>}
  return
}

// -----

func.func @f(%p: memref<?x4x2x16xf32>, %l: memref<?x4x3xf32>, %o: memref<4x2x16xf32>) {
  // expected-error @+1 {{expected the number of queries of part_lse to be 2, that of parts, got 3}}
  attn.merge_splits ins(%p, %l : memref<?x4x2x16xf32>, memref<?x4x3xf32>) outs(%o : memref<4x2x16xf32>)
      {tiles = #attn.tiles<queries = 8, keys = 64, granule = 64, compute = f32, split = 64>}
  return
}

// -----

func.func @f(%p: memref<?x4x2x16xbf16>, %l: memref<?x4x2xf32>, %o: memref<4x2x16xbf16>) {
  // expected-error @+1 {{expected parts of element type 'f32', that of the tiles, got 'bf16'}}
  attn.merge_splits ins(%p, %l : memref<?x4x2x16xbf16>, memref<?x4x2xf32>) outs(%o : memref<4x2x16xbf16>)
      {tiles = #attn.tiles<queries = 8, keys = 64, granule = 64, compute = f32, split = 64>}
  return
}

// -----

func.func @f(%p: memref<?x4x2x16xf32>, %l: memref<?x4x2xf32>, %o: memref<4x2x16xf32>, %x: memref<4xf32>) {
  // expected-error @+1 {{expected lse of rank 2, [heads, queries], got rank 1 in 'memref<4xf32>'}}
  attn.merge_splits ins(%p, %l : memref<?x4x2x16xf32>, memref<?x4x2xf32>) outs(%o : memref<4x2x16xf32>) lse(%x : memref<4xf32>)
      {tiles = #attn.tiles<queries = 8, keys = 64, granule = 64, compute = f32, split = 64>}
  return
}

// -----

func.func @f(%p: memref<?x4x2x16xf32>, %l: memref<?x4x2xf32>, %o: memref<4x2x16xi8>) {
  // expected-error @+1 {{expected out of element type f64, f32, f16 or bf16, got 'i8'}}
  attn.merge_splits ins(%p, %l : memref<?x4x2x16xf32>, memref<?x4x2xf32>) outs(%o : memref<4x2x16xi8>)
      {tiles = #attn.tiles<queries = 8, keys = 64, granule = 64, compute = f32, split = 64>}
  return
}

// -----

func.func @f(%acc: !tile.tile<8x16xf32>, %m: !tile.tile<8xf32>, %n: index, %o: memref<4x2x16xf32>, %l: memref<4x3xf32>) {
  // expected-error @+1 {{expected the number of queries of lse to be 2, that of out, got 3}}
  attn.normalize %acc, %m, %m rows(%n) outs(%o : memref<4x2x16xf32>) lse(%l : memref<4x3xf32>)
      : !tile.tile<8x16xf32>, !tile.tile<8xf32>, !tile.tile<8xf32>
  return
}

// -----

// expected-error @+1 {{expected products of bf16, f16 or 'f64' operands, got 'tf32'}}
func.func private @f() attributes {tiles = #attn.tiles<queries = 8, keys = 64, granule = 64, compute = f64, operand = tf32>}

// -----

func.func @f(%q: memref<2x4x8x16xf16>, %out: memref<2x4x8x16xf16>) {
  // expected-error @+1 {{expected f32 elements of the query for products in tf32, got 'f16'; without 'tf32' they are multiplied as they are}}
  attn.sdpa ins(%q, %q, %q : memref<2x4x8x16xf16>, memref<2x4x8x16xf16>, memref<2x4x8x16xf16>)
      outs(%out : memref<2x4x8x16xf16>) {tf32}
  return
}

// -----

func.func @f(%q: memref<2x4x8x16xf32>, %out: memref<2x4x8x16xf32>) {
  // expected-error @+1 {{expected tiles whose operand is tf32 if and only if the operation has 'tf32', got 'f32'}}
  attn.sdpa ins(%q, %q, %q : memref<2x4x8x16xf32>, memref<2x4x8x16xf32>, memref<2x4x8x16xf32>)
      outs(%out : memref<2x4x8x16xf32>)
      {tf32, tiles = #attn.tiles<queries = 8, keys = 64, granule = 64, compute = f32>}
  return
}

// -----

func.func @f(%q: memref<2x4x8x16xf16>, %out: memref<2x4x8x16xf16>) {
  // expected-error @+1 {{expected products of 'f32' operands or of the queries' 'f16', got 'tf32'}}
  attn.sdpa ins(%q, %q, %q : memref<2x4x8x16xf16>, memref<2x4x8x16xf16>, memref<2x4x8x16xf16>)
      outs(%out : memref<2x4x8x16xf16>)
      {tiles = #attn.tiles<queries = 8, keys = 64, granule = 64, compute = f32, operand = tf32>}
  return
}
