//===- PlantedStatements.cpp - how inline assembly can be broken ---------------===//

#include "emulator/PlantedPlaces.h"

#include "llvm/ADT/SmallVector.h"

using namespace llvm;

namespace flashc::emulator {
namespace {
/// A range of the template.
struct Range {
  size_t begin, end;
  StringRef of(StringRef text) const { return text.slice(begin, end); }
};

/// The range without blanks around.
Range trimmed(StringRef text, Range range) {
  while (range.begin != range.end && isspace(static_cast<unsigned char>(text[range.begin])))
    ++range.begin;
  while (range.begin != range.end && isspace(static_cast<unsigned char>(text[range.end - 1])))
    --range.end;
  return range;
}

/// What lies between separators outside of brackets.
SmallVector<Range> split(StringRef text, Range range, char separator) {
  SmallVector<Range> parts;
  int depth = 0;
  size_t begin = range.begin;
  for (size_t i = range.begin; i != range.end; ++i) {
    if (StringRef("{[(").contains(text[i]))
      ++depth;
    else if (StringRef("}])").contains(text[i]))
      --depth;
    else if (text[i] == separator && depth == 0) {
      parts.push_back(trimmed(text, {begin, i}));
      begin = i + 1;
    }
  }
  parts.push_back(trimmed(text, {begin, range.end}));
  return parts;
}

/// A statement without the braces and labels before it; `guarded` with its predicate.
struct Statement {
  Range guarded, line;
};
Statement bare(StringRef text, Range range) {
  range = trimmed(text, range);
  Statement result{range, range};
  while (range.begin != range.end) {
    const StringRef rest = range.of(text);
    size_t skip = 0;
    const bool guard = rest[0] == '@';
    if (rest[0] == '{' || rest[0] == '}')
      skip = 1;
    else if (guard)
      skip = rest.find_first_of(" \t");
    else if (const size_t colon = rest.find(':');
             colon != StringRef::npos && rest.substr(colon, 2) != "::" && colon < rest.find_first_of(" \t.["))
      skip = colon + 1;
    if (skip == 0 || skip == StringRef::npos)
      break;
    range = trimmed(text, {range.begin + skip, range.end});
    if (!guard)
      result.guarded = range;
  }
  result.line = range;
  return result;
}

class StatementFinder {
public:
  explicit StatementFinder(StringRef text) : text(text) {}

  std::vector<PlantedStatement> run() {
    // Statements end with a semicolon; the braces of a block are no brackets of operands.
    for (size_t begin = 0; begin < text.size();) {
      const size_t end = std::min(text.find(';', begin), text.size());
      if (const Statement next = bare(text, {begin, end}); next.line.begin != next.line.end)
        visit(next);
      begin = end + 1;
    }
    return std::move(found);
  }

private:
  void visit(const Statement &next) {
    statement = next.guarded;
    const Range range = next.line;
    const StringRef line = range.of(text);
    const size_t blank = std::min(line.find_first_of(" \t\n"), line.size());
    const StringRef opcode = line.take_front(blank);
    operands = split(text, {range.begin + blank, range.end}, ',');
    const auto starts = [&](std::initializer_list<const char *> names) {
      return any_of(names, [&](const char *name) { return opcode.starts_with(name); });
    };
    const auto drop = [&](BugKind kind) { replace(kind, statement, ""); };
    if (starts({"bar.arrive", "barrier.arrive", "bar.cta.arrive", "barrier.cta.arrive"})) {
      drop(BugKind::DroppedArrival);
      add(BugKind::ChangedCount, 1, -32);
    } else if (starts({"bar.sync", "barrier.sync", "bar.cta.sync", "barrier.cta.sync"})) {
      drop(BugKind::DroppedBarrier);
      add(BugKind::ChangedCount, 1, -32);
    } else if (starts({"bar.warp.sync", "barrier.cluster", "s_barrier"})) {
      drop(BugKind::DroppedBarrier);
    } else if (starts({"mbarrier.try_wait", "mbarrier.test_wait"})) {
      // Its result decides about what follows, a loop in the template among it.
      found.push_back({BugKind::DroppedWait, /*wholeCall=*/true, "", line.str()});
      address(BugKind::ChangedStage, 1, 8);
      if (opcode.contains(".parity"))
        through(BugKind::ChangedParity, 2, "xor.b32", 32, 1);
    } else if (starts({"mbarrier.arrive", "mbarrier.expect_tx"})) {
      drop(BugKind::DroppedArrival);
      const unsigned at = opcode.contains("arrive") && operands.size() > 1 && text[operands[0].begin] != '[' ? 1 : 0;
      address(BugKind::ChangedStage, at, 8);
      if (opcode.contains("expect_tx"))
        add(BugKind::ChangedBytes, at + 1, 16);
    } else if (starts({"cp.async.wait", "cp.async.commit", "cp.async.bulk.wait_group", "cp.async.bulk.commit_group",
                       "wgmma.wait_group", "wgmma.commit_group"})) {
      drop(BugKind::DroppedWait);
    } else if (starts({"fence.proxy", "fence.mbarrier_init", "wgmma.fence"})) {
      drop(BugKind::DroppedFence);
    } else if (starts({"wgmma.mma_async"})) {
      const bool registers = operands.size() > 1 && text[operands[1].begin] == '{';
      if (registers)
        swapFirst(operands[1]);
      else
        through(BugKind::ChangedDescriptor, 1, "add.u64", 64, int64_t{1} << 32);
      through(BugKind::ChangedDescriptor, 2, "add.u64", 64, int64_t{1} << 32);
      through(BugKind::ChangedDescriptor, 2, "xor.b64", 64, INT64_MIN);
    } else if (starts({"cp.async.bulk.tensor"}) && !operands.empty() && opcode.contains("mbarrier")) {
      address(BugKind::ChangedIndex, 0, 1024);
      address(BugKind::ChangedStage, 2, 8);
    } else if (starts({"setmaxnreg.dec"})) {
      drop(BugKind::ChangedRegisters);
    } else if (starts({"setmaxnreg.inc"})) {
      add(BugKind::ChangedRegisters, 0, 16);
    }
  }

  void replace(BugKind kind, Range range, const std::string &by, const std::string &before = "") {
    std::string changed = text.take_front(statement.begin).str() + before +
                          text.slice(statement.begin, range.begin).str() + by + text.drop_front(range.end).str();
    // Not empty: that says "as before".
    if (StringRef(changed).find_first_not_of(" \t\n;") == StringRef::npos)
      changed = " ";
    found.push_back({kind, false, std::move(changed), statement.of(text).str()});
  }

  /// An operand that is a number, or a register, becomes another number.
  void add(BugKind kind, unsigned operand, int64_t addend) {
    if (operand >= operands.size())
      return;
    int64_t number = 0;
    if (!operands[operand].of(text).getAsInteger(0, number))
      return replace(kind, operands[operand], std::to_string(number + addend));
    through(kind, operand, "add.s32", 32, addend);
  }

  /// An operand that is a register goes through one instruction more.
  void through(BugKind kind, unsigned operand, const char *opcode, unsigned bits, int64_t value) {
    if (operand >= operands.size())
      return;
    const std::string type = std::to_string(bits), name = "flashc_bug" + std::to_string(found.size());
    replace(kind, operands[operand], name,
            ".reg .b" + type + " " + name + "; " + opcode + " " + name + ", " + operands[operand].of(text).str() +
                ", " + std::to_string(value) + "; ");
  }

  /// [a] or [a + n] becomes [a + n + addend].
  void address(BugKind kind, unsigned operand, int64_t addend) {
    if (operand >= operands.size() || text[operands[operand].begin] != '[')
      return;
    const Range inner = trimmed(text, {operands[operand].begin + 1, operands[operand].end - 1});
    const auto [base, offset] = inner.of(text).split('+');
    int64_t number = 0;
    if (!offset.empty() && offset.trim().getAsInteger(0, number))
      return;
    replace(kind, inner, base.trim().str() + " + " + std::to_string(number + addend));
  }

  /// {a, b, ...} becomes {b, a, ...}.
  void swapFirst(Range list) {
    const SmallVector<Range> parts = split(text, {list.begin + 1, list.end - 1}, ',');
    if (parts.size() < 2)
      return;
    replace(BugKind::SwappedFragment, {parts[0].begin, parts[1].end},
            parts[1].of(text).str() + ", " + parts[0].of(text).str());
  }

  StringRef text;
  Range statement{0, 0};
  SmallVector<Range> operands;
  std::vector<PlantedStatement> found;
};
} // namespace

std::vector<PlantedStatement> findStatements(StringRef assembly) { return StatementFinder(assembly).run(); }
} // namespace flashc::emulator
