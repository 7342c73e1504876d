#include "compiler/Explain.h"

#include "compiler/Pipelines.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/raw_ostream.h"

using namespace llvm;

namespace flashc {
namespace {

/// Writes `text` as HTML with comments, strings, values, symbols and operation names in spans.
void writeColoured(raw_ostream &os, StringRef text) {
  auto isWord = [](char c) { return isAlnum(c) || c == '_' || c == '.' || c == '$' || c == '-'; };
  auto span = [&](StringRef kind, StringRef body) {
    os << "<i class=" << kind << '>';
    printHTMLEscaped(body, os);
    os << "</i>";
  };
  size_t i = 0;
  while (i < text.size()) {
    size_t end = i + 1;
    char c = text[i];
    if (c == '/' && text.substr(i).starts_with("//")) {
      end = std::min(text.find('\n', i), text.size());
      span("c", text.slice(i, end));
    } else if (c == '"') {
      while (end < text.size() && text[end] != '"' && text[end] != '\n')
        end += text[end] == '\\' ? 2 : 1;
      end = std::min(end + 1, text.size());
      span("s", text.slice(i, end));
    } else if (c == '%' || c == '@' || c == '!' || c == '#' || c == '^') {
      while (end < text.size() && isWord(text[end]))
        ++end;
      span(c == '%' ? "v" : c == '@' ? "f" : "t", text.slice(i, end));
    } else if (isAlpha(c)) {
      while (end < text.size() && isWord(text[end]))
        ++end;
      StringRef word = text.slice(i, end);
      if (word.contains('.') && !word.ends_with("."))
        span("o", word);
      else
        printHTMLEscaped(word, os);
    } else {
      printHTMLEscaped(text.slice(i, end), os);
    }
    i = end;
  }
}

constexpr StringLiteral kStyle = R"(body{font:15px/1.5 system-ui,sans-serif;margin:0;color:#1d2733;background:#fbfbf9}
header{padding:18px 28px 6px}h1{font-size:20px;margin:0}p{margin:4px 0;color:#5a6775}
nav{padding:8px 28px;display:flex;flex-wrap:wrap;gap:6px;position:sticky;top:0;background:#fbfbf9;border-bottom:1px solid #e2e2dc}
nav a{padding:3px 10px;border-radius:14px;background:#eceae2;color:inherit;text-decoration:none}nav a:hover{background:#dcd9cd}
section{padding:10px 28px}h2{font-size:17px;margin:14px 0 0}pre{font:12.5px/1.45 ui-monospace,monospace;background:#fff;border:1px solid #e2e2dc;
border-radius:6px;padding:12px;overflow:auto;max-height:75vh}i{font-style:normal}.c{color:#8a9099}.s{color:#7a5c00}.v{color:#1b5fa8}.f{color:#8b3a8b}.t{color:#2c7a4b}.o{color:#b0402a;font-weight:600}
)";
} // namespace

StringRef describeStage(StringRef stage) {
  if (stage == getModuleStage().name)
    return getModuleStage().description;
  for (ArrayRef<Stage> stages : {getCpuStages(), getNvptxStages(), getAmdgpuStages()})
    for (const Stage &known : stages)
      if (known.name == stage)
        return known.description;
  if (stage == "input")
    return "what was asked for";
  if (stage == "llvm-ir")
    return "LLVM IR after optimisation";
  if (stage == "asm")
    return "the instructions";
  return "";
}

std::string explainAsHtml(const StageTexts &stages, StringRef title) {
  std::string html;
  raw_string_ostream os(html);
  os << "<!doctype html><html lang=en><meta charset=utf-8><title>";
  printHTMLEscaped(title, os);
  os << "</title><style>" << kStyle << "</style><header><h1>";
  printHTMLEscaped(title, os);
  os << "</h1><p>The module after each stage of the pipeline, from what was asked for to "
        "instructions.</p></header><nav>";
  for (const auto &entry : stages.entries)
    os << "<a href=\"#" << entry.stage << "\">" << entry.stage << "</a>";
  os << "</nav>\n";
  for (const auto &entry : stages.entries) {
    os << "<section id=\"" << entry.stage << "\"><h2>" << entry.stage << "</h2><p>" << describeStage(entry.stage)
       << "; " << StringRef(entry.text).count('\n') << " lines</p><pre>";
    writeColoured(os, entry.text);
    os << "</pre></section>\n";
  }
  os << "</html>\n";
  return html;
}

std::string explainAsText(const StageTexts &stages) {
  std::string text;
  raw_string_ostream os(text);
  for (const auto &entry : stages.entries)
    os << "//===----- " << entry.stage << ": " << describeStage(entry.stage) << " -----===//\n\n" << entry.text << '\n';
  return text;
}
} // namespace flashc
