//===- Reference.cpp - the float64 oracle -------------------------------------===//

#include "runtime/Reference.h"
#include "runtime/DType.h"
#include "runtime/ReferenceCheck.h"
#include "runtime/ThreadPool.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <new>

using namespace flashc;

MaskClause MaskClause::causal(flashc_alignment alignment) {
  MaskClause clause;
  clause.kind = FLASHC_MASK_CAUSAL;
  clause.alignment = alignment;
  return clause;
}

MaskClause MaskClause::window(int64_t left, int64_t right, flashc_alignment alignment) {
  MaskClause clause;
  clause.kind = FLASHC_MASK_WINDOW;
  clause.alignment = alignment;
  clause.left = left;
  clause.right = right;
  return clause;
}

static MaskClause clauseOf(flashc_mask_kind kind, const flashc_tensor &tensor) {
  MaskClause clause;
  clause.kind = kind;
  clause.tensor = tensor;
  return clause;
}

MaskClause MaskClause::keyLengths(const flashc_tensor &lengths) { return clauseOf(FLASHC_MASK_KEY_LENGTHS, lengths); }
MaskClause MaskClause::keyPadding(const flashc_tensor &padding) { return clauseOf(FLASHC_MASK_KEY_PADDING, padding); }
MaskClause MaskClause::boolean(const flashc_tensor &mask) { return clauseOf(FLASHC_MASK_BOOLEAN, mask); }
MaskClause MaskClause::additive(const flashc_tensor &mask) { return clauseOf(FLASHC_MASK_ADDITIVE, mask); }

MaskClause MaskClause::prefixLM(const flashc_tensor &prefix, flashc_alignment alignment) {
  MaskClause clause = clauseOf(FLASHC_MASK_PREFIX_LM, prefix);
  clause.alignment = alignment;
  return clause;
}

MaskClause MaskClause::segments(const flashc_tensor &queryIds, const flashc_tensor &keyIds) {
  MaskClause clause = clauseOf(FLASHC_MASK_SEGMENTS, queryIds);
  clause.keyTensor = keyIds;
  return clause;
}

namespace {

constexpr double minusInfinity = -std::numeric_limits<double>::infinity();
constexpr int64_t rowsPerTask = 128; // amortises the float64 copies of the task's keys and values
constexpr int64_t keysPerSum = 64;   // partial sums of this many terms keep the rounding error at sqrt(Sk)

/// The element of a tensor at indices aligned from the right, with sizes of 1 broadcast.
const void *elementAt(const flashc_tensor &t, std::initializer_list<int64_t> indices) {
  int64_t offset = 0;
  const int64_t *last = indices.end();
  for (int32_t d = t.rank - 1; d >= 0; --d) {
    --last;
    if (t.size[d] != 1)
      offset += *last * t.stride[d];
  }
  return static_cast<const char *>(t.data) + offset * static_cast<int64_t>(flashc_dtype_size(t.dtype));
}

double real(const flashc_tensor &t, std::initializer_list<int64_t> indices) {
  return readAsDouble(elementAt(t, indices), t.dtype);
}

int64_t integer(const flashc_tensor &t, std::initializer_list<int64_t> indices) {
  return readAsInteger(elementAt(t, indices), t.dtype);
}

/// Eight partial sums: accurate to about D/8 roundings, and fast without being told to reassociate.
double dot(const double *a, const double *b, int64_t n) {
  double lanes[8] = {};
  int64_t i = 0;
  for (; i + 8 <= n; i += 8)
    for (int l = 0; l < 8; ++l)
      lanes[l] += a[i + l] * b[i + l];
  for (; i < n; ++i)
    lanes[i % 8] += a[i] * b[i];
  return ((lanes[0] + lanes[4]) + (lanes[1] + lanes[5])) + ((lanes[2] + lanes[6]) + (lanes[3] + lanes[7]));
}

/// Rows [first, last) of one (batch, head) of a rank-4 tensor, as row-major doubles.
void copyRows(const flashc_tensor &t, int64_t b, int64_t h, int64_t first, int64_t last, std::vector<double> &to) {
  const int64_t columns = t.size[3];
  to.resize(static_cast<size_t>((last - first) * columns));
  double *out = to.data();
  const auto bytes = static_cast<int64_t>(flashc_dtype_size(t.dtype));
  for (int64_t i = first; i < last; ++i) {
    const char *row = static_cast<const char *>(t.data) + (b * t.stride[0] + h * t.stride[1] + i * t.stride[2]) * bytes;
    for (int64_t d = 0; d < columns; ++d)
      *out++ = readAsDouble(row + d * t.stride[3] * bytes, t.dtype);
  }
}

class Evaluation {
public:
  Evaluation(const AttentionProblem &problem, double *out, double *lse)
      : p(problem), out(out), lse(lse), heads(p.q.size[1]), queries(p.q.size[2]), keys(p.k.size[2]),
        headDim(p.q.size[3]), valueDim(p.v.size[3]),
        scale(p.scale ? *p.scale : 1.0 / std::sqrt(static_cast<double>(headDim))) {}

  int64_t numTasks() const { return p.q.size[0] * heads * blocks(); }

  /// One block of query rows of one head.
  void run(int64_t task) const {
    const int64_t b = task / blocks() / heads, h = task / blocks() % heads;
    const int64_t first = task % blocks() * rowsPerTask, last = std::min(first + rowsPerTask, queries);
    const int64_t keyHead = h / (heads / p.k.size[1]);
    std::vector<double> q, k, v, scores(static_cast<size_t>(keys)), partial(static_cast<size_t>(valueDim));
    copyRows(p.q, b, h, first, last, q);
    copyRows(p.k, b, keyHead, 0, keys, k);
    copyRows(p.v, b, keyHead, 0, keys, v);
    for (int64_t i = first; i < last; ++i)
      row(b, h, i, (b * heads + h) * queries + i, &q[static_cast<size_t>((i - first) * headDim)], k.data(), v.data(),
          scores, partial);
  }

  /// The rows [first, last) of a list, all of one head; row n goes to place n of the output.
  void runListed(const RowIndex *rows, int64_t first, int64_t last) const {
    const int64_t b = rows[first].b, h = rows[first].h, keyHead = h / (heads / p.k.size[1]);
    std::vector<double> q, k, v, scores(static_cast<size_t>(keys)), partial(static_cast<size_t>(valueDim));
    copyRows(p.k, b, keyHead, 0, keys, k);
    copyRows(p.v, b, keyHead, 0, keys, v);
    for (int64_t n = first; n < last; ++n) {
      copyRows(p.q, b, h, rows[n].i, rows[n].i + 1, q);
      row(b, h, rows[n].i, n, q.data(), k.data(), v.data(), scores, partial);
    }
  }

private:
  int64_t blocks() const { return (queries + rowsPerTask - 1) / rowsPerTask; }

  int64_t diagonal(int64_t i, flashc_alignment alignment) const {
    return alignment == FLASHC_TOP_LEFT ? i : i + keys - queries;
  }

  bool attended(const MaskClause &m, int64_t b, int64_t h, int64_t i, int64_t j) const {
    const int64_t d = diagonal(i, m.alignment);
    switch (m.kind) {
    case FLASHC_MASK_CAUSAL:
      return j <= d;
    case FLASHC_MASK_WINDOW:
      // By differences: a huge size must not overflow.
      return (m.left < 0 || d - j <= m.left) && (m.right < 0 || j - d <= m.right);
    case FLASHC_MASK_KEY_LENGTHS:
      return j < integer(m.tensor, {b});
    case FLASHC_MASK_KEY_PADDING:
      return integer(m.tensor, {b, j}) != 0;
    case FLASHC_MASK_PREFIX_LM:
      return j < integer(m.tensor, {b}) || j <= d;
    case FLASHC_MASK_SEGMENTS:
      return integer(m.tensor, {b, i}) == integer(m.keyTensor, {b, j});
    case FLASHC_MASK_BOOLEAN:
      return integer(m.tensor, {b, h, i, j}) != 0;
    case FLASHC_MASK_ADDITIVE:
      return true; // adds to the score
    }
    return false;
  }

  /// The score that enters the softmax; -inf where query i does not attend key j.
  double score(int64_t b, int64_t h, int64_t i, int64_t j, const double *q, const double *k) const {
    for (const MaskClause &m : p.masks)
      if (!attended(m, b, h, i, j))
        return minusInfinity;
    if (p.maskMod && !p.maskMod(b, h, i, j))
      return minusInfinity;
    double s = scale * dot(q, k + j * headDim, headDim);
    if (p.scoreMod) {
      s = p.scoreMod(s, b, h, i, j);
      if (s == minusInfinity)
        return s;
    }
    if (p.softcap > 0)
      s = p.softcap * std::tanh(s / p.softcap);
    double added = 0;
    if (p.bias)
      added += real(*p.bias, {b, h, i, j});
    if (p.alibi)
      added -= real(*p.alibi, {b, h}) * std::abs(static_cast<double>(diagonal(i, p.alibiAlignment) - j));
    for (const MaskClause &m : p.masks)
      if (m.kind == FLASHC_MASK_ADDITIVE)
        added += real(m.tensor, {b, h, i, j});
    // Also when s is NaN: -inf says "not attended", whatever the key holds.
    return added == minusInfinity ? added : s + added;
  }

  /// Row i, which goes to place `index` of the output.
  void row(int64_t b, int64_t h, int64_t i, int64_t index, const double *q, const double *k, const double *v,
           std::vector<double> &scores, std::vector<double> &partial) const {
    const double sink = p.sinks ? real(*p.sinks, {h}) : minusInfinity;
    double max = sink;
    bool anything = false;
    for (int64_t j = 0; j < keys; ++j) {
      scores[j] = score(b, h, i, j, q, k);
      anything |= scores[j] != minusInfinity;
      if (scores[j] > max || std::isnan(scores[j]))
        max = scores[j]; // a NaN stays: no comparison with it holds
    }
    double *result = out + index * valueDim;
    std::fill_n(result, valueDim, 0.0);
    if (!anything) {
      if (lse)
        lse[index] = sink;
      return;
    }
    double denominator = p.sinks ? std::exp(sink - max) : 0.0;
    for (int64_t begin = 0; begin < keys; begin += keysPerSum) {
      const int64_t end = std::min(begin + keysPerSum, keys);
      std::fill(partial.begin(), partial.end(), 0.0);
      double partialSum = 0;
      for (int64_t j = begin; j < end; ++j) {
        if (scores[j] == minusInfinity)
          continue; // not 0 * v: v may be NaN
        const double weight = std::exp(scores[j] - max);
        partialSum += weight;
        const double *value = v + j * valueDim;
        for (int64_t d = 0; d < valueDim; ++d)
          partial[d] += weight * value[d];
      }
      denominator += partialSum;
      for (int64_t d = 0; d < valueDim; ++d)
        result[d] += partial[d];
    }
    for (int64_t d = 0; d < valueDim; ++d)
      result[d] /= denominator;
    if (lse)
      lse[index] = max + std::log(denominator);
  }

  const AttentionProblem &p;
  double *const out;
  double *const lse;
  const int64_t heads, queries, keys, headDim, valueDim;
  const double scale;
};

/// Runs tasks on a host, keeps subnormal numbers and turns a failed allocation into an error.
template <typename Task> std::optional<Error> runTasks(const flashc_host *host, int64_t count, const Task &runOne) {
  struct Context {
    const Task &runOne;
    std::atomic<bool> outOfMemory{false};
  } context{runOne};
  auto run = [](void *opaque, int64_t task, int32_t) {
    auto *shared = static_cast<Context *>(opaque);
    const ScopedFloatMode exact(FloatMode::KeepSubnormals);
    try {
      shared->runOne(task);
    } catch (const std::bad_alloc &) {
      shared->outOfMemory = true;
    }
  };
  if (host)
    host->parallel_for(host->user, count, run, &context);
  else
    for (int64_t task = 0; task < count; ++task)
      run(&context, task, 0);
  if (context.outOfMemory)
    return Error{FLASHC_ERROR_MEMORY, "reference: no memory for float64 copies of one head's keys and values"};
  return std::nullopt;
}

} // namespace

std::optional<Error> flashc::referenceAttention(const AttentionProblem &problem, double *out, double *lse,
                                                const flashc_host *host) {
  if (std::optional<Error> error = checkProblem(problem))
    return error;
  const Evaluation evaluation(problem, out, lse);
  return runTasks(host, evaluation.numTasks(), [&](int64_t task) { evaluation.run(task); });
}

Result<AttentionResult> flashc::referenceRows(const AttentionProblem &problem, const std::vector<RowIndex> &rows,
                                              const flashc_host *host) {
  if (std::optional<Error> error = checkProblem(problem))
    return *error;
  // Where each run of rows of one head begins.
  std::vector<int64_t> begins;
  for (size_t n = 0; n < rows.size(); ++n) {
    const RowIndex &row = rows[n];
    if (row.b < 0 || row.b >= problem.q.size[0] || row.h < 0 || row.h >= problem.q.size[1] || row.i < 0 ||
        row.i >= problem.q.size[2])
      return Error{FLASHC_ERROR_INVALID, "reference: expected rows of q, got (" + std::to_string(row.b) + ", " +
                                             std::to_string(row.h) + ", " + std::to_string(row.i) + ")"};
    if (n == 0 || row.b != rows[n - 1].b || row.h != rows[n - 1].h)
      begins.push_back(static_cast<int64_t>(n));
  }
  begins.push_back(static_cast<int64_t>(rows.size()));
  AttentionResult result;
  result.out.resize(rows.size() * static_cast<size_t>(problem.v.size[3]));
  result.lse.resize(rows.size());
  const Evaluation evaluation(problem, result.out.data(), result.lse.data());
  if (std::optional<Error> error = runTasks(host, static_cast<int64_t>(begins.size()) - 1, [&](int64_t task) {
        evaluation.runListed(rows.data(), begins[task], begins[task + 1]);
      }))
    return *error;
  return result;
}

Result<AttentionResult> flashc::referenceAttention(const AttentionProblem &problem, const flashc_host *host) {
  if (std::optional<Error> error = checkProblem(problem))
    return *error;
  const auto rows = static_cast<size_t>(problem.q.size[0] * problem.q.size[1] * problem.q.size[2]);
  AttentionResult result;
  result.out.resize(rows * static_cast<size_t>(problem.v.size[3]));
  result.lse.resize(rows);
  if (std::optional<Error> error = referenceAttention(problem, result.out.data(), result.lse.data(), host))
    return *error;
  return result;
}

//===----------------------------------------------------------------------===//
// The C face
//===----------------------------------------------------------------------===//

static std::optional<flashc_tensor> optionalTensor(const flashc_tensor *tensor) {
  return tensor ? std::optional<flashc_tensor>(*tensor) : std::nullopt;
}

/// What must hold before a C problem's numbers become enumerators, and its pointers references.
static flashc_status checkC(const flashc_reference_problem &c) {
  if (c.abi_version != FLASHC_ABI_VERSION)
    return setLastError(FLASHC_ERROR_ABI, "reference: expected a problem of ABI version %u, got %u", FLASHC_ABI_VERSION,
                        c.abi_version);
  if (c.num_masks && !c.masks)
    return setLastError(FLASHC_ERROR_NULL, "reference: expected %u masks, got a null pointer", c.num_masks);
  if (!c.out)
    return setLastError(FLASHC_ERROR_NULL, "reference: expected a place for the output, got a null pointer");
  auto isAlignment = [](int32_t value) { return value == FLASHC_TOP_LEFT || value == FLASHC_BOTTOM_RIGHT; };
  if (!isAlignment(c.alibi_alignment))
    return setLastError(FLASHC_ERROR_INVALID,
                        "reference: alibi: expected alignment 0 (top_left) or 1 (bottom_right), got %d",
                        c.alibi_alignment);
  for (uint32_t i = 0; i < c.num_masks; ++i) {
    const flashc_mask_clause &mask = c.masks[i];
    if (mask.kind < FLASHC_MASK_CAUSAL || mask.kind > FLASHC_MASK_ADDITIVE)
      return setLastError(FLASHC_ERROR_INVALID, "reference: mask %u: expected a kind from 0 to %d, got %d", i,
                          FLASHC_MASK_ADDITIVE, mask.kind);
    if (!isAlignment(mask.alignment))
      return setLastError(FLASHC_ERROR_INVALID,
                          "reference: mask %u: expected alignment 0 (top_left) or 1 (bottom_right), got %d", i,
                          mask.alignment);
    if (mask.kind >= FLASHC_MASK_KEY_LENGTHS && !mask.tensor)
      return setLastError(FLASHC_ERROR_NULL, "reference: mask %u: expected a tensor, got a null pointer", i);
    if (mask.kind == FLASHC_MASK_SEGMENTS && !mask.key_tensor)
      return setLastError(FLASHC_ERROR_NULL, "reference: mask %u: expected a key tensor, got a null pointer", i);
  }
  return FLASHC_OK;
}

static AttentionProblem fromC(const flashc_reference_problem &c) {
  AttentionProblem problem;
  problem.q = c.q;
  problem.k = c.k;
  problem.v = c.v;
  if (c.scale)
    problem.scale = *c.scale;
  problem.softcap = c.softcap;
  problem.bias = optionalTensor(c.bias);
  problem.alibi = optionalTensor(c.alibi);
  problem.alibiAlignment = static_cast<flashc_alignment>(c.alibi_alignment);
  problem.sinks = optionalTensor(c.sinks);
  for (uint32_t i = 0; i < c.num_masks; ++i) {
    const flashc_mask_clause &from = c.masks[i];
    MaskClause clause;
    clause.kind = static_cast<flashc_mask_kind>(from.kind);
    clause.alignment = static_cast<flashc_alignment>(from.alignment);
    clause.left = from.left;
    clause.right = from.right;
    if (from.tensor)
      clause.tensor = *from.tensor;
    if (from.key_tensor)
      clause.keyTensor = *from.key_tensor;
    problem.masks.push_back(clause);
  }
  if (c.score_mod)
    problem.scoreMod = [mod = c.score_mod, user = c.score_user](double s, int64_t b, int64_t h, int64_t i, int64_t j) {
      return mod(user, s, b, h, i, j);
    };
  if (c.mask_mod)
    problem.maskMod = [mod = c.mask_mod, user = c.mask_user](int64_t b, int64_t h, int64_t i, int64_t j) {
      return mod(user, b, h, i, j) != 0;
    };
  return problem;
}

flashc_status flashc_reference_attention(const flashc_reference_problem *problem) {
  if (!problem)
    return setLastError(FLASHC_ERROR_INVALID, "reference: expected a problem, got null");
  if (flashc_status status = checkC(*problem))
    return status;
  try {
    if (std::optional<Error> error = referenceAttention(fromC(*problem), problem->out, problem->lse, problem->host))
      return setLastError(*error);
  } catch (const std::exception &failure) {
    return setLastError(FLASHC_ERROR_MEMORY, "reference: %s", failure.what());
  }
  return FLASHC_OK;
}
