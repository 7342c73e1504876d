#include "compiler/MaskGrammar.h"

#include "mlir/IR/Diagnostics.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/TypeSwitch.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir;
using namespace flashc::attn;

namespace {
constexpr StringLiteral kClauses = "causal, window, key_lengths, key_padding, prefix_lm, segments or tensor";

class MaskParser {
public:
  MaskParser(StringRef text, MLIRContext *context) : text(text), context(context) {}

  FailureOr<SmallVector<Attribute>> parse() {
    skipSpaces();
    if (at == text.size())
      return SmallVector<Attribute>();
    while (true) {
      if (failed(parseClause()))
        return failure();
      skipSpaces();
      if (at == text.size())
        break;
      if (failed(expect('&')))
        return failure();
    }
    return finish();
  }

private:
  /// A clause before its alignment is known.
  struct Clause {
    enum Kind { Causal, Window, PrefixLM, Plain } kind;
    size_t column;
    std::optional<Alignment> alignment;
    int64_t left = 0, right = 0;
    Attribute plain;
  };

  void skipSpaces() {
    while (at < text.size() && llvm::isSpace(text[at]))
      ++at;
  }
  static bool isWord(char c) { return llvm::isAlnum(c) || c == '_'; }
  InFlightDiagnostic error(size_t column) { return emitError(FileLineColLoc::get(context, "mask", 1, column + 1)); }
  std::string found(size_t column) const {
    if (column >= text.size())
      return "the end";
    size_t end = column;
    while (end < text.size() && isWord(text[end]))
      ++end;
    return ("'" + text.slice(column, std::max(end, column + 1)) + "'").str();
  }
  LogicalResult expect(char c) {
    skipSpaces();
    if (at < text.size() && text[at] == c) {
      ++at;
      return success();
    }
    return error(at) << "expected '" << Twine(c) << "', found " << found(at);
  }
  bool accept(char c) {
    skipSpaces();
    bool present = at < text.size() && text[at] == c;
    at += present;
    return present;
  }
  StringRef word() {
    skipSpaces();
    size_t begin = at;
    while (at < text.size() && isWord(text[at]))
      ++at;
    return text.slice(begin, at);
  }
  LogicalResult parseAlignment(Clause &clause) {
    skipSpaces();
    size_t column = at;
    clause.alignment = symbolizeAlignment(word());
    if (clause.alignment)
      return success();
    return error(column) << "expected 'top_left' or 'bottom_right', found " << found(column);
  }
  LogicalResult parseBound(int64_t &bound) {
    skipSpaces();
    size_t column = at;
    if (at < text.size() && text[at] == '-')
      ++at;
    while (at < text.size() && llvm::isDigit(text[at]))
      ++at;
    StringRef digits = text.slice(column, at);
    if (digits.empty() || digits == "-")
      return error(column) << "expected a number of keys, or -1 for no bound, found " << found(column);
    if (digits.getAsInteger(10, bound) || bound < -1)
      return error(column) << "expected a number of keys from 0 to 2^63-1, or -1 for no bound, found '" << digits
                           << "'";
    return success();
  }

  LogicalResult parseClause() {
    skipSpaces();
    Clause clause{Clause::Plain, at, std::nullopt, 0, 0, {}};
    StringRef name = word();
    auto plain = [&](Attribute attribute) {
      clause.plain = attribute;
      return success();
    };
    auto inParentheses = [&](llvm::function_ref<LogicalResult()> parseInner) {
      return success(succeeded(expect('(')) && succeeded(parseInner()) && succeeded(expect(')')));
    };
    LogicalResult result = success();
    if (name == "causal") {
      clause.kind = Clause::Causal;
      result = inParentheses([&] { return parseAlignment(clause); });
    } else if (name == "window") {
      clause.kind = Clause::Window;
      result = inParentheses([&]() -> LogicalResult {
        if (failed(parseBound(clause.left)) || failed(expect(',')) || failed(parseBound(clause.right)))
          return failure();
        return accept(',') ? parseAlignment(clause) : success();
      });
    } else if (name == "prefix_lm") {
      clause.kind = Clause::PrefixLM;
      if (accept('('))
        result = success(succeeded(parseAlignment(clause)) && succeeded(expect(')')));
    } else if (name == "key_lengths") {
      result = plain(KeyLengthsAttr::get(context));
    } else if (name == "key_padding") {
      result = plain(KeyPaddingAttr::get(context));
    } else if (name == "segments") {
      result = plain(SegmentsAttr::get(context));
    } else if (name == "tensor") {
      result = plain(TensorMaskAttr::get(context));
    } else {
      return error(clause.column) << "expected " << kClauses << ", found " << found(clause.column);
    }
    if (failed(result))
      return failure();
    clauses.push_back(clause);
    return success();
  }

  /// Settles the alignments and refuses what contradicts or repeats itself.
  FailureOr<SmallVector<Attribute>> finish() {
    const Clause *aligned = nullptr;
    for (const Clause &clause : clauses) {
      if (!clause.alignment)
        continue;
      if (aligned && *aligned->alignment != *clause.alignment) {
        return error(clause.column) << "contradictory alignments: expected '" << stringifyAlignment(*aligned->alignment)
                                    << "' as in column " << aligned->column + 1 << ", found '"
                                    << stringifyAlignment(*clause.alignment) << "'";
      }
      aligned = aligned ? aligned : &clause;
    }
    SmallVector<Attribute> masks;
    for (const Clause &clause : clauses) {
      Attribute mask = clause.plain;
      if (clause.kind != Clause::Plain) {
        if (!clause.alignment && !aligned)
          return error(clause.column)
                 << "expected an alignment, 'top_left' or 'bottom_right', in this clause or another, found none";
        Alignment alignment = clause.alignment ? *clause.alignment : *aligned->alignment;
        if (clause.kind == Clause::Causal)
          mask = CausalAttr::get(context, alignment);
        else if (clause.kind == Clause::PrefixLM)
          mask = PrefixLMAttr::get(context, alignment);
        else
          mask = WindowAttr::getChecked([&] { return error(clause.column); }, context, clause.left, clause.right,
                                        alignment);
        if (!mask)
          return failure();
      }
      if (llvm::is_contained(masks, mask) && clause.kind != Clause::Plain)
        return error(clause.column) << "expected each clause once, found '" << flashc::printMask({mask}) << "' again";
      masks.push_back(mask);
    }
    return masks;
  }

  StringRef text;
  MLIRContext *context;
  size_t at = 0;
  SmallVector<Clause> clauses;
};
} // namespace

FailureOr<SmallVector<Attribute>> flashc::parseMask(StringRef text, MLIRContext *context) {
  context->getOrLoadDialect<AttentionDialect>();
  return MaskParser(text, context).parse();
}

std::string flashc::printMask(ArrayRef<Attribute> masks) {
  std::string text;
  llvm::raw_string_ostream os(text);
  llvm::interleave(
      masks, os,
      [&](Attribute mask) {
        llvm::TypeSwitch<Attribute>(mask)
            .Case([&](CausalAttr m) { os << "causal(" << stringifyAlignment(m.getAlignment()) << ")"; })
            .Case([&](WindowAttr m) {
              os << "window(" << m.getLeft() << "," << m.getRight() << "," << stringifyAlignment(m.getAlignment())
                 << ")";
            })
            .Case([&](PrefixLMAttr m) { os << "prefix_lm(" << stringifyAlignment(m.getAlignment()) << ")"; })
            .Case([&](KeyLengthsAttr) { os << "key_lengths"; })
            .Case([&](KeyPaddingAttr) { os << "key_padding"; })
            .Case([&](SegmentsAttr) { os << "segments"; })
            .Case([&](TensorMaskAttr) { os << "tensor"; })
            .Default([&](Attribute other) { other.print(os); });
      },
      " & ");
  return text;
}
