//===- TuningWorker.cpp - candidates run in a process of their own -------------===//

#include "runtime/TuningWorker.h"
#include "runtime/KernelCheck.h"
#include "runtime/PlacedProblem.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <map>
#include <nlohmann/json.hpp>
#include <poll.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#if defined(__linux__)
#include <sys/prctl.h>
#endif

extern char **environ;

using namespace flashc;
using nlohmann::json;

namespace {
using Clock = std::chrono::steady_clock;

/// Larger than any answer and any artifact.
constexpr size_t largestMessage = size_t(1) << 30;

bool sendAll(int socket, const std::string &bytes) {
  for (size_t sent = 0; sent < bytes.size();) {
    // Not a signal when the other side is gone.
    const ssize_t count = ::send(socket, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
    if (count < 0 && errno == EINTR)
      continue;
    if (count <= 0)
      return false;
    sent += static_cast<size_t>(count);
  }
  return true;
}

enum class Received { Bytes, Closed, TimedOut };

/// Receives exactly `size` bytes, or up to and with a line's end where `size` is 0.
Received receive(int socket, std::string &bytes, size_t size, Clock::time_point deadline) {
  bytes.clear();
  while (size ? bytes.size() < size : bytes.empty() || bytes.back() != '\n') {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
    pollfd waiting = {socket, POLLIN, 0};
    const int ready = ::poll(&waiting, 1, static_cast<int>(std::clamp<decltype(left)>(left, 0, 3600 * 1000)));
    if (ready < 0 && errno == EINTR)
      continue;
    if (ready <= 0)
      return Received::TimedOut;
    char buffer[65536];
    // A line is short, and nothing may be read beyond it.
    const ssize_t count = ::recv(socket, buffer, size ? std::min(sizeof(buffer), size - bytes.size()) : 1, 0);
    if (count < 0 && errno == EINTR)
      continue;
    if (count <= 0 || bytes.size() > largestMessage)
      return Received::Closed;
    bytes.append(buffer, static_cast<size_t>(count));
  }
  return Received::Bytes;
}

//===----------------------------------------------------------------------===//
// The child
//===----------------------------------------------------------------------===//

/// A problem with what its results have to be.
struct CheckedProblem {
  std::unique_ptr<KernelProblem> problem;
  std::unique_ptr<PlacedProblem> placed;
  std::optional<KernelCheck> check; ///< nothing where only the compiler knows
};

class Server {
public:
  /// Null: the device that suits the first candidate.
  Server(Device *device, const LoadArtifact &load) : device(device), load(load) {}

  json answer(const json &request, const std::string &payload) {
    const std::string what = request.at("do");
    if (what == "problem") {
      const json &sizes = request.at("sizes");
      real = {sizes.at(0), sizes.at(1), sizes.at(2), sizes.at(3), sizes.at(4)};
      seed = request.at("seed");
      if (flashc_set_num_threads(request.at("threads")) != FLASHC_OK)
        return {{"error", flashc_last_error()}};
      return json::object();
    }
    const int id = request.at("id");
    if (what == "load")
      return describe(loadKernel(id, payload, request.at("rows")));
    const double slice = request.at("slice");
    auto kernel = kernels.find(id);
    if (kernel == kernels.end())
      return {{"error", "no such candidate"}};
    TimeOptions options;
    options.warmups = 1;
    options.repeats = 3;
    options.minSeconds = slice;
    Result<Timing> timing = device->time(*kernel->second, problems.back().placed->getArgs(), options);
    if (!timing)
      return describe(timing.error());
    return {{"median", timing->median}, {"best", timing->best}, {"runs", timing->runs}};
  }

private:
  static json describe(const std::optional<Error> &error) {
    return error ? json{{"error", error->message}, {"status", static_cast<int>(error->status)}} : json::object();
  }

  /// Sizes of the same class that are computed at once: fewer batch entries and heads, several tiles and a rest.
  ProblemSizes smallSizes(int64_t rows) const {
    ProblemSizes small = real;
    const int64_t group = real.kvHeads > 0 ? real.heads / real.kvHeads : 1;
    small.batch = std::min<int64_t>(real.batch, 2);
    small.kvHeads = std::min<int64_t>(real.kvHeads, 2);
    small.heads = small.kvHeads * group;
    small.queries = std::min<int64_t>(real.queries, 2 * rows + 7);
    small.keys = std::min<int64_t>(real.keys, 1500);
    return small;
  }

  std::optional<Error> loadKernel(int id, const std::string &payload, int64_t rows) {
    Result<Artifact> artifact = Artifact::parse(payload);
    if (!artifact)
      return artifact.error();
    if (!device) {
      Result<Device *> found = deviceForTarget(artifact->target);
      if (!found)
        return found.error();
      device = *found;
    }
    Result<std::unique_ptr<LoadedKernel>> kernel = load(*artifact);
    if (!kernel)
      return kernel.error();
    if (problems.empty())
      if (std::optional<Error> error = makeProblems((*kernel)->info(), artifact->metadata, rows))
        return error;
    for (const CheckedProblem &checked : problems) {
      if (std::optional<Error> error = checked.placed->run(**kernel))
        return error;
      if (!checked.check)
        continue;
      const Verdict verdict = checked.check->judge(*checked.problem);
      if (!verdict.passed())
        return Error{FLASHC_ERROR_INVALID,
                     "wrong result for " + checked.problem->getSizes().describe() + ": " + verdict.describe()};
    }
    kernels[id] = std::move(*kernel);
    return std::nullopt;
  }

  std::optional<Error> makeProblems(const flashc_kernel_info &info, const std::string &metadata, int64_t rows) {
    for (const ProblemSizes &sizes : {smallSizes(rows), real}) {
      Result<std::unique_ptr<KernelProblem>> problem = KernelProblem::create(info, metadata, sizes, seed);
      if (!problem)
        return problem.error();
      Result<std::unique_ptr<PlacedProblem>> placed = PlacedProblem::create(*device, **problem);
      if (!placed)
        return placed.error();
      CheckedProblem checked{std::move(*problem), std::move(*placed), std::nullopt};
      if (checked.problem->isVerifiable()) {
        // Some tens of milliseconds of plain loops.
        const int64_t perRow = std::max<int64_t>(1, sizes.keys * 256);
        const int64_t mostRows = std::clamp<int64_t>((int64_t(1) << 27) / perRow, 8, 2048);
        Result<KernelCheck> check = KernelCheck::create(*checked.problem, mostRows);
        if (!check)
          return check.error();
        checked.check = std::move(*check);
      }
      problems.push_back(std::move(checked));
    }
    return std::nullopt;
  }

  Device *device;
  const LoadArtifact &load;
  ProblemSizes real;
  uint64_t seed = 1;
  std::vector<CheckedProblem> problems; ///< the small one, then the real one
  std::map<int, std::unique_ptr<LoadedKernel>> kernels;
};

/// A worker ends with its parent, and is the first to go when memory runs out.
void subordinate() {
#if defined(__linux__)
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (const int file = ::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC); file >= 0) {
    (void)writeAll(file, "1000");
    ::close(file);
  }
#endif
}
} // namespace

static int serve(Device *device, const LoadArtifact &load, int socket) {
  subordinate();
  Server server(device, load);
  std::string line, payload;
  const auto never = Clock::now() + std::chrono::hours(1000);
  for (;;) {
    Received received;
    while ((received = receive(socket, line, 0, never)) == Received::TimedOut)
      ;
    if (received == Received::Closed)
      return 0;
    try {
      const json request = json::parse(line);
      const size_t bytes = request.at("bytes");
      payload.clear();
      if (bytes && (bytes > largestMessage || receive(socket, payload, bytes, never) != Received::Bytes))
        return 1;
      json answer;
      try {
        answer = server.answer(request, payload);
      } catch (const std::bad_alloc &) {
        answer = {{"error", "out of memory"}, {"status", static_cast<int>(FLASHC_ERROR_MEMORY)}};
      }
      if (!sendAll(socket, answer.dump(-1, ' ', false, json::error_handler_t::replace) + "\n"))
        return 0;
    } catch (const json::exception &) {
      return 1;
    }
  }
}

int flashc::serveTuning(Device &device, const LoadArtifact &load, int socket) { return serve(&device, load, socket); }

int flashc::serveTuning(const LoadArtifact &load, int socket) { return serve(nullptr, load, socket); }

//===----------------------------------------------------------------------===//
// The parent
//===----------------------------------------------------------------------===//

void TuningWorker::stop() {
  socket = FileDescriptor();
  if (child <= 0)
    return;
  ::kill(child, SIGKILL);
  while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR)
    ;
  child = -1;
}

std::optional<Error> TuningWorker::ensureStarted() {
  if (alive())
    return std::nullopt;
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
    return Error{FLASHC_ERROR_IO, "tuning: no socket for the worker: " + errnoText(errno)};
  FileDescriptor mine(ends[0]), its(ends[1]);
  if (start.body) {
    child = ::fork();
    if (child == 0) {
      ::close(ends[0]);
      ::_exit(start.body(ends[1]));
    }
    if (child < 0)
      return Error{FLASHC_ERROR_IO, "tuning: no process for the worker: " + errnoText(errno)};
  } else {
    if (start.command.empty())
      return Error{FLASHC_ERROR_INVALID, "tuning: expected a program to run candidates in, found none"};
    // A number that no standard stream has; the copy stays open in the new program.
    constexpr int childSocket = 3;
    std::vector<std::string> words = start.command;
    words.push_back(std::to_string(childSocket));
    std::vector<char *> arguments;
    for (std::string &word : words)
      arguments.push_back(word.data());
    arguments.push_back(nullptr);
    // A copy onto itself would stay closed on exec, so the source is moved out of the way.
    const FileDescriptor source(::fcntl(ends[1], F_DUPFD_CLOEXEC, childSocket + 1));
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, source.get(), childSocket);
    const int failed = ::posix_spawnp(&child, arguments[0], &actions, nullptr, arguments.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    if (failed) {
      child = -1;
      return Error{FLASHC_ERROR_IO, "tuning: cannot start \"" + words[0] + "\": " + errnoText(failed)};
    }
  }
  socket = std::move(mine);
  const ProblemSizes &s = problem.sizes;
  const json request = {{"do", "problem"},
                        {"sizes", {s.batch, s.heads, s.kvHeads, s.queries, s.keys}},
                        {"seed", problem.seed},
                        {"threads", problem.threads}};
  constexpr double startSeconds = 60; // an interpreter on a loaded machine takes its time
  Result<std::string> answer = ask(request.dump(), "", startSeconds);
  if (!answer)
    return Error{answer.error().status, "tuning: the worker did not start: " + answer.error().message};
  return std::nullopt;
}

Result<std::string> TuningWorker::ask(const std::string &request, const std::string &payload, double seconds) {
  json header = json::parse(request);
  header["bytes"] = payload.size();
  const auto deadline =
      Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
  std::string line;
  Received received = Received::Closed;
  if (sendAll(socket.get(), header.dump() + "\n") && sendAll(socket.get(), payload))
    received = receive(socket.get(), line, 0, deadline);
  if (received == Received::TimedOut) {
    stop();
    char limit[32];
    std::snprintf(limit, sizeof(limit), "%.1f", seconds);
    return Error{FLASHC_ERROR_INVALID, std::string("took longer than ") + limit + " s and was ended"};
  }
  if (received == Received::Closed) {
    // It is ending or has ended; how it did says what happened.
    int status = 0;
    std::string how = "ended";
    ::kill(child, SIGCONT);
    for (int attempt = 0; attempt < 200; ++attempt) {
      const pid_t ended = ::waitpid(child, &status, WNOHANG);
      if (ended == child) {
        if (WIFSIGNALED(status))
          how = std::string("crashed: ") + strsignal(WTERMSIG(status));
        else
          how = "ended with status " + std::to_string(WEXITSTATUS(status));
        child = -1;
        break;
      }
      if (ended < 0 && errno != EINTR)
        break;
      ::usleep(5000);
    }
    stop();
    return Error{FLASHC_ERROR_INVALID, how};
  }
  const json answer = json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!answer.is_object()) {
    stop();
    return Error{FLASHC_ERROR_FORMAT, "the worker's answer is damaged"};
  }
  if (answer.contains("error"))
    return Error{FLASHC_ERROR_INVALID, answer["error"].is_string() ? answer["error"].get<std::string>() : "failed"};
  return line;
}

std::optional<Error> TuningWorker::load(int id, const Artifact &artifact, double seconds) {
  if (std::optional<Error> error = ensureStarted())
    return error;
  // The sizes of the small problem follow the first candidate's rows and stay.
  constexpr int64_t smallRows = 96;
  Result<std::string> answer =
      ask(json{{"do", "load"}, {"id", id}, {"rows", smallRows}}.dump(), artifact.serialise(), seconds);
  if (answer)
    return std::nullopt;
  return answer.error();
}

Result<Timing> TuningWorker::time(int id, double slice, double seconds) {
  if (std::optional<Error> error = ensureStarted())
    return *error;
  Result<std::string> answer = ask(json{{"do", "time"}, {"id", id}, {"slice", slice}}.dump(), "", seconds);
  if (!answer)
    return answer.error();
  const json values = json::parse(*answer);
  auto number = [&](const char *name) {
    return values.contains(name) && values[name].is_number() ? values[name].get<double>() : 0;
  };
  Timing timing;
  timing.median = number("median");
  timing.best = number("best");
  timing.runs = static_cast<int32_t>(number("runs"));
  if (!(timing.median > 0))
    return Error{FLASHC_ERROR_INVALID, "expected a time above 0 from the worker"};
  return timing;
}
