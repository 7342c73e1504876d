// The oracle against a second, dense evaluation in long double, and against what must hold of any attention.

#include "TestKernel.h"

#include "runtime/DType.h"
#include "runtime/LowPrecision.h"
#include "runtime/Reference.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <string>

using namespace flashc;
using flashc::test::tensor;

namespace {

const double inf = std::numeric_limits<double>::infinity();
const double nan = std::numeric_limits<double>::quiet_NaN();

std::vector<double> random(size_t n, unsigned seed) {
  std::mt19937_64 engine(seed);
  std::normal_distribution<double> normal;
  std::vector<double> values(n);
  for (double &value : values)
    value = normal(engine);
  return values;
}

struct Sizes {
  int64_t b = 2, hq = 4, hkv = 2, sq = 5, sk = 7, d = 8, dv = 6;
};

/// Row-major float64 operands and the problem over them.
struct Case {
  Sizes n;
  std::vector<double> q, k, v;
  AttentionProblem p;

  explicit Case(Sizes n = {})
      : n(n), q(random(n.b * n.hq * n.sq * n.d, 1)), k(random(n.b * n.hkv * n.sk * n.d, 2)),
        v(random(n.b * n.hkv * n.sk * n.dv, 3)) {
    p.q = tensor(q.data(), FLASHC_F64, {n.b, n.hq, n.sq, n.d});
    p.k = tensor(k.data(), FLASHC_F64, {n.b, n.hkv, n.sk, n.d});
    p.v = tensor(v.data(), FLASHC_F64, {n.b, n.hkv, n.sk, n.dv});
  }
  size_t rows() const { return static_cast<size_t>(n.b * n.hq * n.sq); }

  AttentionResult run() const {
    Result<AttentionResult> result = referenceAttention(p);
    EXPECT_TRUE(result) << result.error().message;
    return *result;
  }

  /// Dense: x(s, b, h, i, j) gives the final score, -inf for not attended; denominators get exp(extra[h]).
  template <typename F> void expectDense(F x, std::vector<double> extra = {}) const {
    const AttentionResult actual = run();
    const long double scale = p.scale ? *p.scale : 1 / std::sqrt(static_cast<long double>(n.d));
    for (int64_t b = 0; b < n.b; ++b)
      for (int64_t h = 0; h < n.hq; ++h)
        for (int64_t i = 0; i < n.sq; ++i) {
          const int64_t kh = b * n.hkv + h / (n.hq / n.hkv), row = (b * n.hq + h) * n.sq + i;
          long double sum = extra.empty() ? 0 : std::exp(static_cast<long double>(extra[h]));
          std::vector<long double> out(n.dv);
          for (int64_t j = 0; j < n.sk; ++j) {
            long double s = 0;
            for (int64_t d = 0; d < n.d; ++d)
              s += static_cast<long double>(q[row * n.d + d]) * k[(kh * n.sk + j) * n.d + d];
            const long double e = std::exp(static_cast<long double>(x(static_cast<double>(s * scale), b, h, i, j)));
            sum += e;
            for (int64_t d = 0; d < n.dv && e > 0; ++d)
              out[d] += e * v[(kh * n.sk + j) * n.dv + d];
          }
          if (sum > 0)
            EXPECT_NEAR(actual.lse[row], static_cast<double>(std::log(sum)), 1e-14);
          else
            EXPECT_EQ(actual.lse[row], -inf);
          for (int64_t d = 0; d < n.dv; ++d)
            EXPECT_NEAR(actual.out[row * n.dv + d], sum > 0 ? static_cast<double>(out[d] / sum) : 0.0, 3e-15);
        }
  }
  template <typename F> void expectMask(F attended) const {
    expectDense([&](double s, int64_t b, int64_t h, int64_t i, int64_t j) { return attended(b, h, i, j) ? s : -inf; });
  }
};

TEST(Reference, Plain) {
  Case().expectDense([](double s, int64_t, int64_t, int64_t, int64_t) { return s; });
}

TEST(Reference, OddSizesAndManyRows) {
  Case c({1, 3, 1, 300, 131, 59, 11});
  c.expectDense([](double s, int64_t, int64_t, int64_t, int64_t) { return s; });
}

TEST(Reference, ScaleSoftcapScoreModBiasInTheirOrder) {
  Case c;
  std::vector<double> bias = random(c.n.hq * c.n.sk, 4);
  c.p.scale = 0.7;
  c.p.softcap = 2.0;
  c.p.bias = tensor(bias.data(), FLASHC_F64, {c.n.hq, 1, c.n.sk});
  c.p.scoreMod = [](double s, int64_t b, int64_t h, int64_t i, int64_t j) {
    return 1.5 * s + 0.1 * static_cast<double>(b + 2 * h - 3 * i + j);
  };
  c.expectDense([&](double s, int64_t b, int64_t h, int64_t i, int64_t j) {
    return 2.0 * std::tanh(c.p.scoreMod(s, b, h, i, j) / 2.0) + bias[h * c.n.sk + j];
  });
}

TEST(Reference, Alibi) {
  Case c;
  std::vector<double> slopes = {0.5, 0.25, 0.125, 0.0625};
  c.p.alibi = tensor(slopes.data(), FLASHC_F64, {4});
  c.p.alibiAlignment = FLASHC_BOTTOM_RIGHT;
  c.expectDense([&](double s, int64_t, int64_t h, int64_t i, int64_t j) {
    return s - slopes[h] * std::abs(static_cast<double>(i + 2 - j));
  });
}

TEST(Reference, Sinks) {
  Case c;
  std::vector<double> sinks = {0.5, -1, 3, 0};
  c.p.sinks = tensor(sinks.data(), FLASHC_F64, {4});
  c.expectDense([](double s, int64_t, int64_t, int64_t, int64_t) { return s; }, sinks);
}

TEST(Reference, CausalBothAlignments) {
  for (int64_t sq : {3, 7, 10}) {
    Case c({2, 2, 1, sq, 7, 8, 6});
    c.p.masks = {MaskClause::causal(FLASHC_TOP_LEFT)};
    c.expectMask([](int64_t, int64_t, int64_t i, int64_t j) { return j <= i; });
    c.p.masks = {MaskClause::causal(FLASHC_BOTTOM_RIGHT)};
    c.expectMask([&](int64_t, int64_t, int64_t i, int64_t j) { return j <= i + 7 - sq; });
  }
}

TEST(Reference, Windows) {
  Case c({1, 2, 2, 5, 9, 4, 4});
  c.p.masks = {MaskClause::window(2, 1, FLASHC_TOP_LEFT)};
  c.expectMask([](int64_t, int64_t, int64_t i, int64_t j) { return i - 2 <= j && j <= i + 1; });
  c.p.masks = {MaskClause::window(3, 0, FLASHC_BOTTOM_RIGHT)};
  c.expectMask([](int64_t, int64_t, int64_t i, int64_t j) { return i + 1 <= j && j <= i + 4; });
  c.p.masks = {MaskClause::window(-1, 2, FLASHC_BOTTOM_RIGHT)};
  c.expectMask([](int64_t, int64_t, int64_t i, int64_t j) { return j <= i + 6; });
  c.p.masks = {MaskClause::window(INT64_MAX, INT64_MAX, FLASHC_BOTTOM_RIGHT)};
  c.expectMask([](int64_t, int64_t, int64_t, int64_t) { return true; });
}

TEST(Reference, MasksWithTensors) {
  Case c;
  std::vector<int32_t> lengths = {0, 4};
  c.p.masks = {MaskClause::keyLengths(tensor(lengths.data(), FLASHC_I32, {2}))};
  c.expectMask([&](int64_t b, int64_t, int64_t, int64_t j) { return j < lengths[b]; });
  c.p.masks = {MaskClause::prefixLM(tensor(lengths.data(), FLASHC_I32, {2}), FLASHC_TOP_LEFT)};
  c.expectMask([&](int64_t b, int64_t, int64_t i, int64_t j) { return j < lengths[b] || j <= i; });

  std::vector<int8_t> padding = {1, 0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0};
  c.p.masks = {MaskClause::keyPadding(tensor(padding.data(), FLASHC_BOOL, {2, 7}))};
  c.expectMask([&](int64_t b, int64_t, int64_t, int64_t j) { return padding[b * 7 + j] != 0; });

  std::vector<int64_t> queryIds = {0, 0, 1, 1, 2, 5, 5, 5, 6, 9}, keyIds = {0, 0, 0, 1, 1, 2, 2, 5, 5, 6, 6, 6, 7, 7};
  c.p.masks = {
      MaskClause::segments(tensor(queryIds.data(), FLASHC_I64, {2, 5}), tensor(keyIds.data(), FLASHC_I64, {2, 7}))};
  c.expectMask([&](int64_t b, int64_t, int64_t i, int64_t j) { return queryIds[b * 5 + i] == keyIds[b * 7 + j]; });

  std::vector<int8_t> some(4 * 5 * 7);
  for (size_t i = 0; i < some.size(); ++i)
    some[i] = i % 3 != 0;
  c.p.masks = {MaskClause::boolean(tensor(some.data(), FLASHC_I8, {4, 5, 7}))};
  c.expectMask([&](int64_t, int64_t h, int64_t i, int64_t j) { return some[(h * 5 + i) * 7 + j] != 0; });

  std::vector<double> added = random(2 * 5 * 7, 5);
  added[3] = added[8] = -inf;
  c.p.masks = {MaskClause::additive(tensor(added.data(), FLASHC_F64, {2, 1, 5, 7}))};
  c.expectDense([&](double s, int64_t b, int64_t, int64_t i, int64_t j) { return s + added[(b * 5 + i) * 7 + j]; });
}

TEST(Reference, ClausesAreJoinedByAnd) {
  Case c;
  std::vector<int32_t> lengths = {6, 3};
  c.p.masks = {MaskClause::causal(FLASHC_BOTTOM_RIGHT), MaskClause::window(2, -1, FLASHC_BOTTOM_RIGHT),
               MaskClause::keyLengths(tensor(lengths.data(), FLASHC_I32, {2}))};
  c.p.maskMod = [](int64_t, int64_t h, int64_t i, int64_t j) { return (h + i + j) % 2 == 0; };
  c.expectMask([&](int64_t b, int64_t h, int64_t i, int64_t j) {
    return j <= i + 2 && j >= i && j < lengths[b] && (h + i + j) % 2 == 0;
  });
}

TEST(Reference, MaskedKeysAndValuesDoNotLeak) {
  for (double poison : {nan, inf, -inf}) {
    for (int form = 0; form < 4; ++form) {
      Case c, clean;
      for (Case *each : {&c, &clean})
        each->p.masks = {MaskClause::causal(FLASHC_TOP_LEFT)};
      std::vector<double> added(7, 0.0);
      std::fill(added.begin() + 5, added.end(), -inf);
      for (Case *each : {&c, &clean}) {
        if (form == 1)
          each->p.bias = tensor(added.data(), FLASHC_F64, {7});
        if (form == 2)
          each->p.masks = {MaskClause::additive(tensor(added.data(), FLASHC_F64, {7}))};
        if (form == 3) {
          each->p.masks = {};
          each->p.scoreMod = [](double s, int64_t, int64_t, int64_t, int64_t j) { return j < 5 ? s : -inf; };
          each->p.softcap = 3.0;
        }
      }
      for (int64_t row = 0; row < c.n.b * c.n.hkv; ++row)
        for (int64_t j = 5; j < 7; ++j) { // beyond what the top-left causal mask of five queries attends
          std::fill_n(&c.k[(row * 7 + j) * 8], 8, poison);
          std::fill_n(&c.v[(row * 7 + j) * 6], 6, poison);
        }
      const AttentionResult a = c.run(), b = clean.run();
      EXPECT_EQ(a.out, b.out) << form;
      EXPECT_EQ(a.lse, b.lse) << form;
    }
  }
}

TEST(Reference, AttendedNaNIsSeen) {
  Case c;
  c.v[0] = nan;
  EXPECT_TRUE(std::isnan(c.run().out[0]));
  Case d;
  d.k[3] = nan;
  EXPECT_TRUE(std::isnan(d.run().lse[0]));
}

TEST(Reference, EmptyRowsAndNoKeys) {
  Case c({1, 2, 1, 4, 0, 8, 6});
  const AttentionResult result = c.run();
  EXPECT_EQ(result.out, std::vector<double>(2 * 4 * 6, 0.0));
  EXPECT_EQ(result.lse, std::vector<double>(8, -inf));
  Case none({1, 2, 1, 0, 5, 8, 6});
  EXPECT_TRUE(none.run().out.empty());
  Case sink({1, 2, 1, 4, 0, 8, 6});
  std::vector<double> sinks = {0.5, -1};
  sink.p.sinks = tensor(sinks.data(), FLASHC_F64, {2});
  EXPECT_EQ(sink.run().lse, (std::vector<double>{0.5, 0.5, 0.5, 0.5, -1, -1, -1, -1}));
}

TEST(Reference, LargeScoresDoNotOverflow) {
  Case c;
  for (double &x : c.q)
    x *= 1000;
  for (double x : c.run().out)
    EXPECT_TRUE(std::isfinite(x));
}

TEST(Reference, StridesOfAFusedTensor) {
  // [B, S, 3, H, D] as one tensor, read in place, against separate copies; values negated by walking keys backwards.
  const int64_t b = 2, s = 6, h = 2, d = 4;
  std::vector<double> fused = random(b * s * 3 * h * d, 9);
  auto view = [&](int64_t which) {
    flashc_tensor t = tensor(fused.data() + which * h * d, FLASHC_F64, {b, h, s, d});
    const int64_t strides[] = {s * 3 * h * d, d, 3 * h * d, 1};
    std::copy_n(strides, 4, t.stride);
    return t;
  };
  AttentionProblem strided;
  strided.q = view(0);
  strided.k = view(1);
  strided.v = view(2);
  Case c({b, h, h, s, s, d, d});
  for (int64_t i = 0; i < b * h * s * d; ++i) {
    const int64_t x = i % d, row = i / d % s, head = i / d / s % h, batch = i / d / s / h;
    const int64_t at = ((batch * s + row) * 3 * h + head) * d + x;
    c.q[i] = fused[at];
    c.k[i] = fused[at + h * d];
    c.v[i] = fused[at + 2 * h * d];
  }
  Result<AttentionResult> actual = referenceAttention(strided);
  ASSERT_TRUE(actual);
  EXPECT_EQ(actual->out, c.run().out);

  // The same keys from last to first: the same output, as softmax does not know an order.
  for (flashc_tensor *t : {&strided.k, &strided.v}) {
    t->data = static_cast<double *>(t->data) + (s - 1) * t->stride[2];
    t->stride[2] = -t->stride[2];
  }
  Result<AttentionResult> backwards = referenceAttention(strided, nullptr);
  ASSERT_TRUE(backwards);
  for (size_t i = 0; i < actual->out.size(); ++i)
    EXPECT_NEAR(backwards->out[i], actual->out[i], 1e-15);
}

TEST(Reference, SameBitsForAnyNumberOfThreads) {
  Case c({2, 2, 1, 300, 77, 16, 16});
  Result<AttentionResult> serial = referenceAttention(c.p, nullptr);
  flashc_pool *pool = nullptr;
  ASSERT_EQ(flashc_pool_create(3, &pool), FLASHC_OK);
  Result<AttentionResult> parallel = referenceAttention(c.p, flashc_pool_host(pool));
  flashc_pool_destroy(pool);
  ASSERT_TRUE(serial && parallel);
  EXPECT_EQ(serial->out, parallel->out);
  EXPECT_EQ(serial->lse, parallel->lse);
}

TEST(Reference, LowPrecisionOperandsAreReadExactly) {
  const uint16_t half[] = {0x3C00, 0xC000, 0x0001, 0x7BFF, 0x8000, 0x7C00, 0xFC00};
  const double halfValues[] = {1, -2, std::ldexp(1, -24), 65504, 0, inf, -inf};
  for (int i = 0; i < 7; ++i)
    EXPECT_EQ(readAsDouble(&half[i], FLASHC_F16), halfValues[i]);
  const uint16_t notANumber = 0x7E00, bfloats[] = {0x3F80, 0xC000, 0x0001, 0x7F80};
  EXPECT_TRUE(std::isnan(readAsDouble(&notANumber, FLASHC_F16)));
  EXPECT_EQ(readAsDouble(&bfloats[0], FLASHC_BF16), 1);
  EXPECT_EQ(readAsDouble(&bfloats[1], FLASHC_BF16), -2);
  EXPECT_EQ(readAsDouble(&bfloats[2], FLASHC_BF16), std::ldexp(1, -133));
  EXPECT_EQ(readAsDouble(&bfloats[3], FLASHC_BF16), inf);
  for (const int32_t dtype : {FLASHC_F16, FLASHC_BF16, FLASHC_F32, FLASHC_F64}) {
    double memory = 0;
    for (const double value : {1.0, -2.0, 0.0, 49152.0, std::ldexp(1, -20), inf, -inf}) {
      writeElement(&memory, dtype, value);
      EXPECT_EQ(readAsDouble(&memory, dtype), value) << dtype;
    }
    writeElement(&memory, dtype, nan);
    EXPECT_TRUE(std::isnan(readAsDouble(&memory, dtype))) << dtype;
  }
  const bool yes = true;
  EXPECT_EQ(readAsDouble(&yes, FLASHC_BOOL), 1);
  EXPECT_EQ(parseDType("bf16"), FLASHC_BF16);
  EXPECT_EQ(parseDType("f8"), std::nullopt);
}

TEST(Reference, Refusals) {
  auto message = [](auto change) {
    Case c;
    change(c.p);
    Result<AttentionResult> result = referenceAttention(c.p);
    return result ? std::string("accepted") : result.error().message;
  };
  using P = AttentionProblem;
  EXPECT_EQ(message([](P &p) { p.k.rank = 3; }), "reference: k: expected rank 4, got 3");
  EXPECT_EQ(message([](P &p) { p.v.dtype = FLASHC_I32; }),
            "reference: v: expected element type f64, f32, f16 or bf16, got i32");
  EXPECT_EQ(message([](P &p) { p.k.size[3] = 9; }), "reference: k: expected size 3 to be 8 (head dim of q), got 9");
  EXPECT_EQ(message([](P &p) { p.v.size[2] = 6; }), "reference: v: expected size 2 to be 7 (keys of k), got 6");
  EXPECT_EQ(message([](P &p) { p.q.size[0] = -1; }), "reference: q: expected size 0 to be at least 0, got -1");
  EXPECT_EQ(message([](P &p) { p.q.data = nullptr; }), "reference: q: expected data, got a null pointer");
  EXPECT_EQ(message([](P &p) { p.q.size[3] = p.k.size[3] = 0; }),
            "reference: q: expected a head dim of at least 1, got 0");
  EXPECT_EQ(message([](P &p) { p.q.size[1] = 3; }),
            "reference: k: expected the number of query heads, 3, to be a multiple of the number of key heads, got 2");
  EXPECT_EQ(message([](P &p) { p.scale = nan; }), "reference: scale: expected a finite number, got nan");
  EXPECT_EQ(message([](P &p) { p.softcap = -1; }),
            "reference: softcap: expected a positive number, or 0 for none, got -1.000000");
  double number = 0;
  EXPECT_EQ(message([&](P &p) { p.bias = tensor(&number, FLASHC_F64, {3, 7}); }),
            "reference: bias: expected size 0 to be 1 or 5 (queries), got 3");
  EXPECT_EQ(message([&](P &p) { p.sinks = tensor(&number, FLASHC_F64, {1, 4}); }),
            "reference: sinks: expected rank 1, got 2");
  EXPECT_EQ(message([&](P &p) { p.masks = {MaskClause::window(-2, 0, FLASHC_TOP_LEFT)}; }),
            "reference: mask 0: expected a window of sizes at least 0, or -1 for unbounded, got (-2, 0)");
  EXPECT_EQ(message([&](P &p) { p.masks = {MaskClause::keyLengths(tensor(&number, FLASHC_F64, {2}))}; }),
            "reference: mask 0: expected element type i64, i32 or i8, got f64");
  EXPECT_EQ(message([&](P &p) { p.masks = {MaskClause::keyPadding(tensor(&number, FLASHC_I8, {7}))}; }),
            "reference: mask 0: expected rank 2, got 1");
}

TEST(Reference, CFace) {
  Case c;
  const AttentionResult expected = [&] {
    c.p.masks = {MaskClause::causal(FLASHC_BOTTOM_RIGHT)};
    c.p.scoreMod = [](double s, int64_t, int64_t, int64_t i, int64_t) { return s * static_cast<double>(i); };
    c.p.scale = 0.5;
    return c.run();
  }();
  std::vector<double> out(c.rows() * c.n.dv), lse(c.rows());
  flashc_mask_clause clause{};
  clause.kind = FLASHC_MASK_CAUSAL;
  clause.alignment = FLASHC_BOTTOM_RIGHT;
  const double scale = 0.5;
  flashc_reference_problem problem{};
  EXPECT_EQ(flashc_reference_attention(&problem), FLASHC_ERROR_ABI);
  problem.abi_version = FLASHC_ABI_VERSION;
  EXPECT_EQ(flashc_reference_attention(&problem), FLASHC_ERROR_NULL);
  EXPECT_STREQ(flashc_last_error(), "reference: expected a place for the output, got a null pointer");
  problem.q = c.p.q;
  problem.k = c.p.k;
  problem.v = c.p.v;
  problem.scale = &scale;
  problem.masks = &clause;
  problem.num_masks = 1;
  problem.score_mod = [](void *, double s, int64_t, int64_t, int64_t i, int64_t) { return s * static_cast<double>(i); };
  problem.out = out.data();
  problem.host = flashc_default_host();
  ASSERT_EQ(flashc_reference_attention(&problem), FLASHC_OK);
  problem.lse = lse.data();
  problem.host = nullptr;
  ASSERT_EQ(flashc_reference_attention(&problem), FLASHC_OK);
  EXPECT_EQ(out, expected.out);
  EXPECT_EQ(lse, expected.lse);

  clause.alignment = 2;
  EXPECT_EQ(flashc_reference_attention(&problem), FLASHC_ERROR_INVALID);
  EXPECT_STREQ(flashc_last_error(), "reference: mask 0: expected alignment 0 (top_left) or 1 (bottom_right), got 2");
  clause.kind = 8;
  EXPECT_EQ(flashc_reference_attention(&problem), FLASHC_ERROR_INVALID);
  EXPECT_STREQ(flashc_last_error(), "reference: mask 0: expected a kind from 0 to 7, got 8");
  clause.alignment = 0;
  clause.kind = FLASHC_MASK_BOOLEAN;
  EXPECT_EQ(flashc_reference_attention(&problem), FLASHC_ERROR_NULL);
  EXPECT_STREQ(flashc_last_error(), "reference: mask 0: expected a tensor, got a null pointer");
}

} // namespace
