//===- Excuses.h - bugs that nobody can see, and why ---------------------------===//
#ifndef FLASHC_TEST_PLANTED_EXCUSES_H
#define FLASHC_TEST_PLANTED_EXCUSES_H

#include <regex>
#include <string>
#include <vector>

namespace flashc::test {

/// The lines "HARMLESS: EXPRESSION BECAUSE REASON" and "UNREACHED: EXPRESSION BECAUSE REASON" of a test. The second
/// excuse only bugs that change nothing on any problem.
class Excuses {
public:
  /// Empty, or what is wrong with the file.
  std::string read(const std::string &path);

  /// Remembers that a bug can be planted: lines that fit it are about something.
  void note(const std::string &bug);
  /// The reason of the first line that fits a bug; null if there is none.
  const std::string *find(const std::string &bug, bool reached) const;

  /// The lines that fit no bug which can be planted, as they are written.
  std::vector<std::string> findStale() const;

private:
  struct Line {
    std::string text, reason;
    std::regex bugs;
    bool onlyUnreached;
    bool fits = false;
  };
  std::vector<Line> lines;
};

} // namespace flashc::test

#endif // FLASHC_TEST_PLANTED_EXCUSES_H
