#include "Subprocess.h"

#include "runtime/File.h"

#include <cerrno>
#include <chrono>
#include <csignal>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

namespace flashc {

std::optional<Error> runProgram(const std::vector<std::string> &command, double seconds) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0)
    return Error{FLASHC_ERROR_IO, "no pipe: " + errnoText(errno)};
  const FileDescriptor reader(ends[0]);
  FileDescriptor writer(ends[1]);
  std::vector<std::string> words = command;
  std::vector<char *> arguments;
  for (std::string &word : words)
    arguments.push_back(word.data());
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, writer.get(), STDERR_FILENO);
  pid_t child = -1;
  const int failed = ::posix_spawnp(&child, arguments[0], &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (failed)
    return Error{FLASHC_ERROR_IO, "cannot start \"" + words[0] + "\": " + errnoText(failed)};
  writer = FileDescriptor();

  // Its errors end when it does; reading them is the waiting.
  const auto deadline =
      std::chrono::steady_clock::now() +
      std::chrono::duration_cast<std::chrono::steady_clock::duration>(std::chrono::duration<double>(seconds));
  std::string said;
  bool late = false;
  for (;;) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now()).count();
    pollfd waiting = {reader.get(), POLLIN, 0};
    const int ready = left > 0 ? ::poll(&waiting, 1, static_cast<int>(left)) : 0;
    if (ready < 0 && errno == EINTR)
      continue;
    if (ready <= 0) {
      late = true;
      ::kill(child, SIGKILL);
      break;
    }
    char buffer[4096];
    const ssize_t count = ::read(reader.get(), buffer, sizeof(buffer));
    if (count <= 0)
      break;
    if (said.size() < 65536)
      said.append(buffer, static_cast<size_t>(count));
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR)
    ;
  while (!said.empty() && said.back() == '\n')
    said.pop_back();
  if (late)
    return Error{FLASHC_ERROR_INVALID, words[0] + " took too long and was ended"};
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
    return Error{FLASHC_ERROR_INVALID, said.empty() ? words[0] + " failed" : said};
  return std::nullopt;
}
} // namespace flashc
