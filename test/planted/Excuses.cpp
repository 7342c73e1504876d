//===- Excuses.cpp - bugs that nobody can see, and why -------------------------===//

#include "test/planted/Excuses.h"

#include <fstream>

using namespace flashc::test;

std::string Excuses::read(const std::string &path) {
  static const std::string because = " BECAUSE ";
  std::ifstream file(path);
  if (!file.good())
    return "expected a file with lines 'HARMLESS: EXPRESSION BECAUSE REASON', got '" + path + "'";
  for (std::string line; std::getline(file, line);)
    for (const std::string mark : {"HARMLESS: ", "UNREACHED: "}) {
      if (line.compare(0, mark.size(), mark) != 0)
        continue;
      const size_t reason = line.find(because);
      if (reason == std::string::npos)
        return "expected '" + mark + "EXPRESSION BECAUSE REASON', got '" + line + "'";
      lines.push_back({line, line.substr(reason + because.size()),
                       std::regex(line.substr(mark.size(), reason - mark.size())), mark[0] == 'U'});
    }
  return "";
}

void Excuses::note(const std::string &bug) {
  for (Line &line : lines)
    line.fits = line.fits || std::regex_search(bug, line.bugs);
}

const std::string *Excuses::find(const std::string &bug, bool reached) const {
  for (const Line &line : lines)
    if (!(reached && line.onlyUnreached) && std::regex_search(bug, line.bugs))
      return &line.reason;
  return nullptr;
}

std::vector<std::string> Excuses::findStale() const {
  std::vector<std::string> stale;
  for (const Line &line : lines)
    if (!line.fits)
      stale.push_back(line.text);
  return stale;
}
