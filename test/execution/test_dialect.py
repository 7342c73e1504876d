"""Operations of the Attention dialect, given as IR text, against the float64 definition."""

import numpy as np

import flashc

B, HQ, HKV, SQ, SK, D = 2, 4, 2, 33, 70, 16
QUERY = f"tensor<{B}x{HQ}x{SQ}x{D}xf32>"
KEY = f"tensor<{B}x{HKV}x{SK}x{D}xf32>"
LSE = f"tensor<{B}x{HQ}x{SQ}xf32>"


def reference(q, k, v):
    """Output and lse by the definition; rows with nothing to attend to give 0 and -inf."""
    q, k, v = (x.astype(np.float64) for x in (q, k, v))
    k, v = (np.repeat(x, q.shape[1] // x.shape[1], axis=1) for x in (k, v))
    scores = q @ k.transpose(0, 1, 3, 2) / np.sqrt(q.shape[-1])
    largest = scores.max(-1, keepdims=True, initial=-np.inf)
    base = np.where(np.isinf(largest), 0.0, largest)
    weights = np.exp(scores - base)
    total = weights.sum(-1, keepdims=True)
    out = np.where(total > 0, weights @ v / np.where(total > 0, total, 1.0), 0.0)
    with np.errstate(divide="ignore"):
        return out, (base + np.log(total))[..., 0]


def inputs():
    draw = np.random.default_rng(0)
    shapes = [(B, HQ, SQ, D), (B, HKV, SK, D), (B, HKV, SK, D)]
    return [draw.standard_normal(shape, dtype=np.float32) for shape in shapes]


def test_keys_that_are_values():
    """One tensor serves both products, which read it in different layouts."""
    text = f"""
    func.func @main(%q: {QUERY}, %k: {KEY}) -> {QUERY} {{
      %o = tensor.empty() : {QUERY}
      %r = attn.sdpa ins(%q, %k, %k : {QUERY}, {KEY}, {KEY}) outs(%o : {QUERY}) -> {QUERY}
      return %r : {QUERY}
    }}
    """
    q, k, _ = inputs()
    out = flashc.compile_module(text).main(q, k)
    np.testing.assert_allclose(out, reference(q, k, k)[0], atol=1e-5)


def test_merge_of_disjoint_keys():
    """The keys' halves apart, joined on tensors, are the attention over all keys."""
    half = f"tensor<{B}x{HKV}x{SK // 2}x{D}xf32>"
    text = f"""
    func.func @main(%q: {QUERY}, %ka: {half}, %va: {half}, %kb: {half}, %vb: {half}) -> ({QUERY}, {LSE}) {{
      %o = tensor.empty() : {QUERY}
      %l = tensor.empty() : {LSE}
      %a:2 = attn.sdpa ins(%q, %ka, %va : {QUERY}, {half}, {half}) outs(%o, %l : {QUERY}, {LSE}) -> {QUERY}, {LSE}
      %b:2 = attn.sdpa ins(%q, %kb, %vb : {QUERY}, {half}, {half}) outs(%o, %l : {QUERY}, {LSE}) -> {QUERY}, {LSE}
      %m:2 = attn.merge ins(%a#0, %a#1, %b#0, %b#1 : {QUERY}, {LSE}, {QUERY}, {LSE})
          outs(%o, %l : {QUERY}, {LSE}) -> {QUERY}, {LSE}
      return %m#0, %m#1 : {QUERY}, {LSE}
    }}
    """
    q, k, v = inputs()
    parts = [np.ascontiguousarray(x[:, :, begin : begin + SK // 2]) for begin in (0, SK // 2) for x in (k, v)]
    out, lse = flashc.compile_module(text).main(q, *parts)
    expected = reference(q, k, v)
    np.testing.assert_allclose(out, expected[0], atol=1e-5)
    np.testing.assert_allclose(lse, expected[1], atol=1e-5)


def test_merge_on_memory():
    """On memrefs the outs are written; a side without keys leaves the other as it is, to the bit."""
    out_type, lse_type = QUERY.replace("tensor", "memref"), LSE.replace("tensor", "memref")
    text = f"""
    func.func @main(%oa: {out_type}, %la: {lse_type}, %ob: {out_type}, %lb: {lse_type}, %o: {out_type}, %l: {lse_type}) {{
      attn.merge ins(%oa, %la, %ob, %lb : {out_type}, {lse_type}, {out_type}, {lse_type})
          outs(%o, %l : {out_type}, {lse_type})
      return
    }}
    """
    q, k, v = inputs()
    merge = flashc.compile_module(text).main
    left, right = (
        [x.astype(np.float32) for x in reference(q, k[:, :, s], v[:, :, s])] for s in (slice(30), slice(30, SK))
    )
    out, lse = np.empty_like(left[0]), np.empty_like(left[1])
    merge(*left, *right, out, lse)
    expected = reference(q, k, v)
    np.testing.assert_allclose(out, expected[0], atol=1e-5)
    np.testing.assert_allclose(lse, expected[1], atol=1e-5)

    nothing = [np.full_like(out, np.nan), np.full_like(lse, -np.inf)]
    merge(*left, *nothing, out, lse)
    np.testing.assert_array_equal(out, left[0])
    np.testing.assert_array_equal(lse, left[1])
    merge(*nothing, *nothing, out, lse)
    assert not out.any()
    assert np.isneginf(lse).all()
