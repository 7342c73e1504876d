//===- ReferenceCheck.cpp - is an attention problem well formed? ------------===//

#include "runtime/ReferenceCheck.h"

#include <cmath>
#include <initializer_list>
#include <string>

using namespace flashc;

namespace {

enum class Elements { Floats, Integers, Flags };

const char *describe(Elements elements) {
  switch (elements) {
  case Elements::Floats:
    return "f64, f32, f16 or bf16";
  case Elements::Integers:
    return "i64, i32 or i8";
  case Elements::Flags:
    return "bool or i8";
  }
  return "";
}

bool holds(Elements elements, int32_t dtype) {
  switch (elements) {
  case Elements::Floats:
    return dtype >= FLASHC_F64 && dtype <= FLASHC_BF16;
  case Elements::Integers:
    return dtype >= FLASHC_I64 && dtype <= FLASHC_I8;
  case Elements::Flags:
    return dtype == FLASHC_BOOL || dtype == FLASHC_I8;
  }
  return false;
}

struct Expected {
  const char *name;
  int64_t size;
};

class Check {
public:
  explicit Check(const AttentionProblem &problem) : p(problem) {}

  std::optional<Error> run() {
    if (matrices() && options() && masks())
      return std::nullopt;
    return failure;
  }

private:
  bool fail(flashc_status status, const std::string &operand, const std::string &text) {
    failure = Error{status, "reference: " + operand + ": " + text};
    return false;
  }

  bool typeAndData(const std::string &name, const flashc_tensor &t, Elements elements) {
    if (!holds(elements, t.dtype))
      return fail(FLASHC_ERROR_DTYPE, name,
                  std::string("expected element type ") + describe(elements) + ", got " + flashc_dtype_name(t.dtype));
    bool empty = false;
    for (int32_t d = 0; d < t.rank; ++d) {
      if (t.size[d] < 0)
        return fail(FLASHC_ERROR_SHAPE, name,
                    "expected size " + std::to_string(d) + " to be at least 0, got " + std::to_string(t.size[d]));
      empty |= t.size[d] == 0;
    }
    if (!empty && !t.data)
      return fail(FLASHC_ERROR_NULL, name, "expected data, got a null pointer");
    return true;
  }

  /// Sizes aligned from the right; 1 broadcasts. The rank is in [minRank, sizes.size()].
  bool broadcastable(const std::string &name, const flashc_tensor &t, Elements elements,
                     std::initializer_list<Expected> sizes, int32_t minRank) {
    const auto rank = static_cast<int32_t>(sizes.size());
    if (t.rank < minRank || t.rank > rank)
      return fail(FLASHC_ERROR_RANK, name,
                  "expected rank " + (minRank == rank ? "" : std::to_string(minRank) + " to ") + std::to_string(rank) +
                      ", got " + std::to_string(t.rank));
    if (!typeAndData(name, t, elements))
      return false;
    for (int32_t d = 0; d < t.rank; ++d) {
      const Expected &expected = sizes.begin()[rank - t.rank + d];
      if (t.size[d] != expected.size && t.size[d] != 1)
        return fail(FLASHC_ERROR_SHAPE, name,
                    "expected size " + std::to_string(d) + " to be 1 or " + std::to_string(expected.size) + " (" +
                        expected.name + "), got " + std::to_string(t.size[d]));
    }
    return true;
  }

  bool matrices() {
    for (auto [name, t] : {std::pair<const char *, const flashc_tensor &>("q", p.q), {"k", p.k}, {"v", p.v}}) {
      if (t.rank != 4)
        return fail(FLASHC_ERROR_RANK, name, "expected rank 4, got " + std::to_string(t.rank));
      if (!typeAndData(name, t, Elements::Floats))
        return false;
    }
    struct Equal {
      const char *name;
      const flashc_tensor &t;
      int dim;
      int64_t expected;
      const char *as;
    };
    for (const Equal &e :
         {Equal{"k", p.k, 0, p.q.size[0], "batch of q"}, Equal{"k", p.k, 3, p.q.size[3], "head dim of q"},
          Equal{"v", p.v, 0, p.q.size[0], "batch of q"}, Equal{"v", p.v, 1, p.k.size[1], "heads of k"},
          Equal{"v", p.v, 2, p.k.size[2], "keys of k"}})
      if (e.t.size[e.dim] != e.expected)
        return fail(FLASHC_ERROR_SHAPE, e.name,
                    "expected size " + std::to_string(e.dim) + " to be " + std::to_string(e.expected) + " (" + e.as +
                        "), got " + std::to_string(e.t.size[e.dim]));
    if (p.q.size[3] < 1)
      return fail(FLASHC_ERROR_SHAPE, "q", "expected a head dim of at least 1, got 0");
    const int64_t heads = p.q.size[1], keyHeads = p.k.size[1];
    if (heads != 0 && (keyHeads == 0 || heads % keyHeads != 0))
      return fail(FLASHC_ERROR_SHAPE, "k",
                  "expected the number of query heads, " + std::to_string(heads) +
                      ", to be a multiple of the number of key heads, got " + std::to_string(keyHeads));
    return true;
  }

  bool options() {
    const Expected batch{"batch", p.q.size[0]}, heads{"query heads", p.q.size[1]}, queries{"queries", p.q.size[2]},
        keys{"keys", p.k.size[2]};
    if (p.scale && !std::isfinite(*p.scale))
      return fail(FLASHC_ERROR_INVALID, "scale", "expected a finite number, got " + std::to_string(*p.scale));
    if (!std::isfinite(p.softcap) || p.softcap < 0)
      return fail(FLASHC_ERROR_INVALID, "softcap",
                  "expected a positive number, or 0 for none, got " + std::to_string(p.softcap));
    if (p.bias && !broadcastable("bias", *p.bias, Elements::Floats, {batch, heads, queries, keys}, 0))
      return false;
    if (p.alibi && !broadcastable("alibi", *p.alibi, Elements::Floats, {batch, heads}, 1))
      return false;
    return !p.sinks || broadcastable("sinks", *p.sinks, Elements::Floats, {heads}, 1);
  }

  bool masks() {
    const Expected batch{"batch", p.q.size[0]}, heads{"query heads", p.q.size[1]}, queries{"queries", p.q.size[2]},
        keys{"keys", p.k.size[2]};
    for (size_t n = 0; n < p.masks.size(); ++n) {
      const MaskClause &m = p.masks[n];
      const std::string name = "mask " + std::to_string(n);
      bool good = true;
      switch (m.kind) {
      case FLASHC_MASK_CAUSAL:
        break;
      case FLASHC_MASK_WINDOW:
        if (m.left < -1 || m.right < -1)
          return fail(FLASHC_ERROR_INVALID, name,
                      "expected a window of sizes at least 0, or -1 for unbounded, got (" + std::to_string(m.left) +
                          ", " + std::to_string(m.right) + ")");
        break;
      case FLASHC_MASK_KEY_LENGTHS:
      case FLASHC_MASK_PREFIX_LM:
        good = broadcastable(name, m.tensor, Elements::Integers, {batch}, 1);
        break;
      case FLASHC_MASK_KEY_PADDING:
        good = broadcastable(name, m.tensor, Elements::Flags, {batch, keys}, 2);
        break;
      case FLASHC_MASK_SEGMENTS:
        good = broadcastable(name, m.tensor, Elements::Integers, {batch, queries}, 2) &&
               broadcastable(name + " (keys)", m.keyTensor, Elements::Integers, {batch, keys}, 2);
        break;
      case FLASHC_MASK_BOOLEAN:
        good = broadcastable(name, m.tensor, Elements::Flags, {batch, heads, queries, keys}, 0);
        break;
      case FLASHC_MASK_ADDITIVE:
        good = broadcastable(name, m.tensor, Elements::Floats, {batch, heads, queries, keys}, 0);
        break;
      }
      if (!good)
        return false;
    }
    return true;
  }

  const AttentionProblem &p;
  Error failure{FLASHC_ERROR_INVALID, ""};
};

} // namespace

std::optional<Error> flashc::checkProblem(const AttentionProblem &problem) { return Check(problem).run(); }
