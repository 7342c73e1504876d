//===- TuningWorker.h - candidates run in a process of their own ---------------===//
//
// A candidate is code that nobody has run: it may answer wrong, crash, never end, or write where it should not. So it
// runs in a child process, which is killed when it takes too long. The two talk in lines of JSON over a socket.
//
//===----------------------------------------------------------------------===//
#ifndef FLASHC_RUNTIME_TUNINGWORKER_H
#define FLASHC_RUNTIME_TUNINGWORKER_H

#include "runtime/File.h"
#include "runtime/KernelProblem.h"
#include "runtime/devices/Device.h"

#include <functional>
#include <memory>
#include <string>
#include <sys/types.h>
#include <vector>

namespace flashc {

/// Makes an artifact runnable; Device::load where that understands the artifact's kind.
using LoadArtifact = std::function<Result<std::unique_ptr<LoadedKernel>>(const Artifact &)>;

/// The child's side: answers requests on `socket` until it is closed. Returns the exit status.
int serveTuning(Device &device, const LoadArtifact &load, int socket);

/// The same on the device that suits the first candidate's target best.
int serveTuning(const LoadArtifact &load, int socket);

/// How a worker comes to life.
struct WorkerStart {
  /// A program that calls serveTuning on the descriptor whose number is appended as the last argument.
  std::vector<std::string> command;
  /// Instead: what a forked child does with its socket. Only for processes with one thread.
  std::function<int(int socket)> body;
};

/// What is measured: operands of these sizes, made from `seed`.
struct WorkerProblem {
  ProblemSizes sizes;
  uint64_t seed = 1;
  int32_t threads = 0; ///< of the process-wide pool, 0 = its default
};

/// The parent's side: one child at a time, started again after it failed. Not thread-safe.
class TuningWorker {
public:
  TuningWorker(WorkerStart start, const WorkerProblem &problem) : start(std::move(start)), problem(problem) {}
  ~TuningWorker() { stop(); }
  TuningWorker(const TuningWorker &) = delete;
  TuningWorker &operator=(const TuningWorker &) = delete;

  /// Loads a candidate under the number `id` and checks it against the reference, on a small problem and on sampled
  /// rows of the real one. The error says what failed: the load, the check, a crash, or that it took longer than
  /// `seconds`.
  std::optional<Error> load(int id, const Artifact &artifact, double seconds);

  /// Times a loaded candidate for about `slice` seconds, at least three runs; ends the child after `seconds`.
  Result<Timing> time(int id, double slice, double seconds);

  bool alive() const { return child > 0; }
  /// Kills the child, if there is one. The next call starts a new one, in which nothing is loaded.
  void stop();

private:
  std::optional<Error> ensureStarted();
  /// Sends one request with `payload` behind it and waits for the answer, a JSON object in text.
  Result<std::string> ask(const std::string &request, const std::string &payload, double seconds);

  const WorkerStart start;
  const WorkerProblem problem;
  pid_t child = -1;
  FileDescriptor socket;
};

} // namespace flashc

#endif // FLASHC_RUNTIME_TUNINGWORKER_H
