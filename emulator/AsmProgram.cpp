//===- AsmProgram.cpp - parses and runs inline assembly ------------------------===//

#include "emulator/AsmProgram.h"
#include "emulator/Scheduler.h"

#include <cstdlib>
#include <cstring>
#include <map>

using namespace flashc;
using namespace flashc::emulator;

namespace {
std::string_view trim(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t\r\n");
  if (begin == std::string_view::npos)
    return {};
  return text.substr(begin, text.find_last_not_of(" \t\r\n") - begin + 1);
}

std::string withoutComments(std::string_view text, Vendor vendor) {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    const bool line = text.substr(i, 2) == "//" || (vendor == Vendor::Amd && text[i] == ';');
    if (line) {
      i = std::min(text.find('\n', i), text.size());
    } else if (text.substr(i, 2) == "/*") {
      const size_t end = text.find("*/", i);
      i = end == std::string_view::npos ? text.size() : end + 2;
    } else {
      out += text[i++];
    }
  }
  return out;
}

/// Splits at `separator` outside of brackets.
std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  int depth = 0;
  size_t begin = 0;
  for (size_t i = 0; i != text.size(); ++i) {
    if (text[i] == '{' || text[i] == '[' || text[i] == '(')
      ++depth;
    else if (text[i] == '}' || text[i] == ']' || text[i] == ')')
      --depth;
    else if (text[i] == separator && depth == 0) {
      parts.push_back(trim(text.substr(begin, i - begin)));
      begin = i + 1;
    }
  }
  parts.push_back(trim(text.substr(begin)));
  return parts;
}

class Parser {
public:
  Parser(std::string_view text, const std::vector<AsmOperand> &operands, uint32_t frameBytes, Vendor vendor)
      : text(withoutComments(text, vendor)), operands(operands), vendor(vendor) {
    program.frameBytes = (frameBytes + 7) / 8 * 8;
  }

  Result<AsmProgram> parse() {
    std::string_view rest = text;
    while (failure.empty()) {
      rest = trim(rest);
      if (rest.empty())
        break;
      // Braces around statements only limit names.
      if (rest[0] == '{' || rest[0] == '}' || rest[0] == ';') {
        rest.remove_prefix(1);
        continue;
      }
      if (const size_t end = labelEnd(rest); end != 0) {
        labels[std::string(rest.substr(0, end))] = static_cast<uint32_t>(program.statements.size());
        rest.remove_prefix(rest.find(':', end) + 1);
        continue;
      }
      const size_t end = std::min(rest.find(vendor == Vendor::Amd ? '\n' : ';'), rest.size());
      statement(trim(rest.substr(0, end)));
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
    for (const auto &[index, label] : jumps) {
      const auto found = labels.find(label);
      if (found == labels.end())
        fail("there is no label '" + label + "'");
      else
        program.statements[index].target = found->second;
    }
    if (!failure.empty())
      return Error{status, "inline assembly '" + oneLine(text) + "': " + failure};
    return std::move(program);
  }

private:
  static std::string oneLine(std::string_view text) {
    std::string out;
    for (const char c : trim(text))
      if (const bool space = c == '\n' || c == '\t' || c == ' '; !space)
        out += c;
      else if (out.empty() || out.back() != ' ')
        out += ' ';
    return out;
  }

  void fail(std::string why, flashc_status code = FLASHC_ERROR_FORMAT) {
    if (failure.empty()) {
      failure = std::move(why);
      status = code;
    }
  }

  /// The length of a label's name at the front, 0 if there is none.
  static size_t labelEnd(std::string_view rest) {
    const size_t end = rest.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_$%");
    if (end == 0 || end == std::string_view::npos)
      return 0;
    const size_t colon = rest.find_first_not_of(" \t", end);
    return colon != std::string_view::npos && rest[colon] == ':' && rest.substr(colon, 2) != "::" ? end : 0;
  }

  void statement(std::string_view line) {
    if (line.empty())
      return;
    if (line.substr(0, 4) == ".reg")
      return declare(line);
    if (line[0] == '.')
      return; // .pragma, .loc
    AsmProgram::Statement result;
    if (line[0] == '@') {
      const size_t end = std::min(line.find_first_of(" \t\n"), line.size());
      std::string_view name = line.substr(1, end - 1);
      const bool negated = !name.empty() && name[0] == '!';
      Operand guard;
      if (!registerOperand(name.substr(negated), guard))
        return fail("unknown predicate '" + std::string(name) + "'");
      guard.negated = negated;
      result.guard = static_cast<int>(program.guards.size());
      program.guards.push_back(guard);
      line = trim(line.substr(end));
    }
    const size_t end = std::min(line.find_first_of(" \t\n"), line.size());
    const std::string opcode(line.substr(0, end));
    const std::string_view arguments = trim(line.substr(end));
    if (opcode == "bra" || opcode == "bra.uni") {
      result.kind = AsmProgram::Statement::Kind::Branch;
      jumps.push_back({static_cast<uint32_t>(program.statements.size()), std::string(arguments)});
    } else if (opcode == "ret" || opcode == "exit") {
      result.kind = AsmProgram::Statement::Kind::Exit;
    } else {
      instruction(opcode, arguments, line, result.call);
    }
    program.statements.push_back(std::move(result));
  }

  /// .reg .b32 a, b;   .reg .pred %p<4>;
  void declare(std::string_view line) {
    line = trim(line.substr(4));
    const size_t end = line.find_first_of(" \t");
    if (end == std::string_view::npos)
      return fail("expected names after '" + std::string(line) + "'");
    std::string_view type = line.substr(0, end);
    uint16_t bytes = 1;
    if (type != ".pred") {
      const size_t digits = type.find_first_of("0123456789");
      bytes = digits == std::string_view::npos
                  ? 0
                  : static_cast<uint16_t>(std::atoi(std::string(type.substr(digits)).c_str()) / 8);
      if (type == ".f16x2" || type == ".bf16x2")
        bytes = 4;
      if (bytes == 0)
        return fail("unknown register type '" + std::string(type) + "'");
    }
    for (std::string_view name : split(line.substr(end), ',')) {
      const size_t angle = name.find('<');
      if (angle == std::string_view::npos) {
        addRegister(std::string(name), bytes);
        continue;
      }
      const int count = std::atoi(std::string(name.substr(angle + 1)).c_str());
      for (int i = 0; i < count; ++i)
        addRegister(std::string(name.substr(0, angle)) + std::to_string(i), bytes);
    }
  }
  uint32_t addRegister(const std::string &name, uint16_t bytes) {
    const uint32_t offset = program.frameBytes;
    program.frameBytes += 8 * ((bytes + 7) / 8);
    registers[name] = {offset, bytes};
    return offset;
  }

  bool registerOperand(std::string_view name, Operand &operand) {
    AsmOperand place;
    if (!name.empty() && name[0] == '$') {
      const std::string_view digits = name.size() > 1 && name[1] == '{' ? name.substr(2) : name.substr(1);
      const size_t number = static_cast<size_t>(std::atoi(std::string(digits).c_str()));
      if (digits.empty() || digits[0] < '0' || digits[0] > '9' || number >= operands.size())
        return false;
      place = operands[number];
    } else if (const auto found = registers.find(name); found != registers.end()) {
      place = found->second;
    } else if (const SpecialRegister special = findSpecial(name)) {
      place = {addRegister(std::string(name), 8), 8};
      program.specials.push_back({special, place.offset});
    } else {
      return false;
    }
    operand.kind = Operand::Kind::Value;
    operand.offset = place.offset;
    operand.bytes = operand.elementBytes = place.bytes;
    return true;
  }

  bool immediate(std::string_view word, Operand &operand) {
    const std::string value(word);
    const char *text = value.c_str();
    char *end = nullptr;
    if (value.size() == 10 && (value.substr(0, 2) == "0f" || value.substr(0, 2) == "0F"))
      operand.immediate = std::strtoull(text + 2, &end, 16);
    else if (value.size() == 18 && (value.substr(0, 2) == "0d" || value.substr(0, 2) == "0D"))
      operand.immediate = std::strtoull(text + 2, &end, 16);
    else if (value.find('.') != std::string::npos && value.substr(0, 2) != "0x") {
      const double number = std::strtod(text, &end);
      std::memcpy(&operand.immediate, &number, sizeof number);
    } else if (!value.empty() && value[0] == '-')
      operand.immediate = static_cast<uint64_t>(std::strtoll(text, &end, 0));
    else
      operand.immediate = std::strtoull(text, &end, 0);
    operand.kind = Operand::Kind::Immediate;
    operand.bytes = operand.elementBytes = 8;
    return end && end != text && (*end == 0 || (*end == 'U' && end[1] == 0));
  }

  /// One register, constant or [address].
  void single(std::string_view word, Call &call) {
    word = trim(word);
    Operand operand;
    if (word == "_") {
      operand.kind = Operand::Kind::Sink;
      operand.bytes = operand.elementBytes = 8;
    } else if (!word.empty() && word[0] == '!' && registerOperand(trim(word.substr(1)), operand)) {
      operand.negated = true;
    } else if (const size_t plus = word.find_first_of("+-", 1);
               plus != std::string_view::npos && registerOperand(trim(word.substr(0, plus)), operand)) {
      Operand addend;
      if (!immediate(trim(word.substr(plus + 1)), addend))
        return fail("expected a constant in '" + std::string(word) + "'");
      operand.immediate = word[plus] == '-' ? 0 - addend.immediate : addend.immediate;
    } else if (!registerOperand(word, operand) && !immediate(word, operand)) {
      return fail("unknown operand '" + std::string(word) + "'");
    }
    call.operands.push_back(operand);
  }

  void list(std::string_view text, Call &call) {
    if (!text.empty() && text[0] == '[') {
      for (std::string_view part : split(text.substr(1, text.size() - 2), ','))
        list(part, call);
      return;
    }
    call.lists.push_back(call.numOperands());
    if (!text.empty() && text[0] == '{') {
      for (std::string_view part : split(text.substr(1, text.size() - 2), ','))
        single(part, call);
    } else {
      for (std::string_view part : split(text, '|'))
        single(part, call);
    }
  }

  void instruction(const std::string &opcode, std::string_view arguments, std::string_view line, Call &call) {
    call.name = opcode;
    call.text = oneLine(line);
    for (size_t begin = 0; begin <= opcode.size();) {
      const size_t dot = std::min(opcode.find('.', begin), opcode.size());
      call.modifiers.push_back(opcode.substr(begin, dot - begin));
      begin = dot + 1;
    }
    call.instruction = instructionSet(vendor).find(opcode);
    if (!call.instruction)
      return fail("the emulator has no instruction '" + opcode + "'", FLASHC_ERROR_TARGET);
    if (vendor == Vendor::Nvidia && !arguments.empty())
      for (std::string_view part : split(arguments, ','))
        list(part, call);
    call.lists.push_back(call.numOperands());
    if (call.numLists() < call.instruction->destinations)
      return fail("expected " + std::to_string(call.instruction->destinations) + " destinations");
    call.numDestinations = call.lists[call.instruction->destinations];
    call.order = static_cast<unsigned>(program.statements.size());
    if (call.instruction->maskOperand >= 0) {
      const unsigned mask = call.instruction->destinations + static_cast<unsigned>(call.instruction->maskOperand);
      if (mask >= call.numLists())
        return fail("expected a mask of lanes");
      call.maskOperand = static_cast<int>(call.lists[mask]);
    }
  }

  std::string text;
  const std::vector<AsmOperand> &operands;
  Vendor vendor;
  AsmProgram program;
  std::map<std::string, AsmOperand, std::less<>> registers;
  std::map<std::string, uint32_t> labels;
  std::vector<std::pair<uint32_t, std::string>> jumps;
  std::string failure;
  flashc_status status = FLASHC_ERROR_FORMAT;
};
} // namespace

Result<AsmProgram> flashc::emulator::parseAsm(std::string_view text, const std::vector<AsmOperand> &operands,
                                              uint32_t frameBytes, Vendor vendor) {
  return Parser(text, operands, frameBytes, vendor).parse();
}

void flashc::emulator::runAsm(Thread *thread, const AsmProgram *program, char *frame) {
  for (const AsmProgram::Special &special : program->specials) {
    const uint64_t value = special.value(*thread);
    std::memcpy(frame + special.offset, &value, sizeof value);
  }
  for (size_t i = 0; i < program->statements.size();) {
    const AsmProgram::Statement &statement = program->statements[i++];
    if (statement.guard >= 0) {
      const Operand &guard = program->guards[static_cast<size_t>(statement.guard)];
      if ((frame[guard.offset] != 0) == guard.negated)
        continue;
    }
    switch (statement.kind) {
    case AsmProgram::Statement::Kind::Execute:
      execute(*thread, statement.call, frame);
      break;
    case AsmProgram::Statement::Kind::Branch:
      i = statement.target;
      break;
    case AsmProgram::Statement::Kind::Exit:
      return;
    }
  }
}
