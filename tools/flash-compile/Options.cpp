#include "Options.h"

#include "compiler/TargetRegistry.h"
#include "runtime/Tuner.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"

using namespace llvm;

namespace flashc {
namespace {
cl::OptionCategory category("flash-compile options");

struct Flags {
  cl::opt<std::string> input{cl::Positional, cl::desc("[module.mlir]"), cl::cat(category)};
  cl::opt<int64_t> headDim{"head-dim", cl::desc("D, the head dim of q and k"), cl::cat(category)};
  cl::opt<int64_t> valueHeadDim{"value-head-dim", cl::desc("Dv, the head dim of v (default: head-dim)"),
                                cl::cat(category)};
  cl::opt<std::string> dtype{"dtype", cl::desc("f64, f32 (default), f16 or bf16"), cl::init("f32"), cl::cat(category)};
  cl::opt<std::string> mask{"mask", cl::desc("for example \"causal(bottom_right) & window(127,0)\""),
                            cl::cat(category)};
  cl::list<std::string> maskDTypes{"mask-dtype", cl::desc("element types of the masks' operands, in order"),
                                   cl::CommaSeparated, cl::cat(category)};
  cl::opt<std::string> bias{"bias", cl::desc("an additive bias of this element type"), cl::cat(category)};
  cl::opt<double> scale{"scale", cl::desc("default: 1/sqrt(head-dim)"), cl::cat(category)};
  cl::opt<double> softcap{"softcap", cl::desc("scores become cap * tanh(score / cap)"), cl::cat(category)};
  cl::opt<std::string> score{"score", cl::desc("a file with the body of a score function over %s, %b, %h, %i, %j"),
                             cl::cat(category)};
  cl::opt<bool> lse{"lse", cl::desc("also write the logarithm of the denominator"), cl::cat(category)};
  cl::opt<bool> tf32{"tf32", cl::desc("round f32 operands of products to tf32, on NVIDIA's matrix unit"),
                     cl::cat(category)};
  cl::list<std::string> targets{
      "target",
      cl::desc("cpu (default), cpu:NAME, host, nvptx:CHIP, amdgpu:CHIP, emulated:CHIP; several make a fat pack"),
      cl::cat(category)};
  cl::opt<bool> deviceBinary{"device-binary",
                             cl::desc("put a cubin, made by ptxas, into a kernel for NVIDIA instead of PTX"),
                             cl::cat(category)};
  cl::opt<std::string> name{"name", cl::desc("prefix of the C functions"), cl::cat(category)};
  cl::opt<std::string> entry{"entry", cl::desc("the module's function to compile"), cl::cat(category)};
  cl::opt<std::string> output{"o", cl::desc("folder of the pack, or the file to write (- for standard output)"),
                              cl::cat(category)};
  cl::opt<int64_t> tileRows{"tile-rows", cl::desc("query rows of a tile (default: chosen)"), cl::cat(category)};
  cl::opt<int64_t> tileKeys{"tile-keys", cl::desc("keys of a tile (default: chosen)"), cl::cat(category)};
  cl::opt<std::string> tiles{"tiles",
                             cl::desc("rows x keys of a tile, \"24x512\", and keys of a task with few rows, \"/4096\""),
                             cl::cat(category)};
  cl::opt<std::string> tuneFor{"tune-for",
                               cl::desc("tiles that were tuned for these sizes: batch,heads,queries[,keys] or "
                                        "batch,heads,kv_heads,queries,keys"),
                               cl::cat(category)};
  cl::opt<LowPrecision> lowPrecision{
      "low-precision", cl::desc("how products of bf16 are computed:"), cl::init(LowPrecision::Auto),
      cl::values(clEnumValN(LowPrecision::Auto, "auto", "as is faster (default)"),
                 clEnumValN(LowPrecision::Widen, "widen", "in float32"),
                 clEnumValN(LowPrecision::Dot, "dot", "in pairs, where the target has an instruction for them")),
      cl::cat(category)};
  cl::opt<int> optLevel{"O", cl::desc("LLVM's level, 0 to 3 (default)"), cl::Prefix, cl::init(3), cl::cat(category)};
  cl::opt<bool> remarks{"remarks", cl::desc("say for each softmax of a module that is not raised what broke the match"),
                        cl::cat(category)};
  cl::opt<std::string> explain{"explain", cl::desc("write a page with the module at each stage (.html or text)"),
                               cl::cat(category)};
  cl::opt<ReportForm> report{
      "report",
      cl::desc("print what bounds a GPU's kernel: instructions of each kind against its units' rates"),
      cl::ValueOptional,
      cl::init(ReportForm::None),
      cl::values(clEnumValN(ReportForm::Text, "", ""), clEnumValN(ReportForm::Text, "text", "for people (default)"),
                 clEnumValN(ReportForm::Json, "json", "for programs")),
      cl::cat(category)};
  cl::opt<bool> time{"time", cl::desc("say what each phase of compiling took"), cl::cat(category)};
  cl::opt<Emit> emit{"emit", cl::desc("what to write:"), cl::init(Emit::Pack),
                     cl::values(clEnumValN(Emit::Pack, "pack", "a folder to build against and to load (default)"),
                                clEnumValN(Emit::Object, "object", "one object file"),
                                clEnumValN(Emit::Binary, "binary", "what a GPU loads: a cubin or a code object"),
                                clEnumValN(Emit::Assembly, "asm", "assembly; of a GPU's target the device's"),
                                clEnumValN(Emit::LlvmIr, "llvm", "LLVM IR; of a GPU's target the device's"),
                                clEnumValN(Emit::Mlir, "mlir", "the module before any pass")),
                     cl::cat(category)};
};

Expected<int32_t> readDType(StringRef option, StringRef text) {
  if (std::optional<int32_t> dtype = parseDType(text))
    return *dtype;
  return createStringError("--" + option + ": expected f64, f32, f16, bf16, i64, i32, i8 or bool, found '" + text +
                           "'");
}

llvm::Error readSpec(const Flags &flags, KernelSpec &spec) {
  if (flags.headDim.getNumOccurrences() == 0)
    return createStringError("expected a module to compile or --head-dim, found neither; see --help");
  spec.headDim = flags.headDim;
  if (flags.valueHeadDim.getNumOccurrences() && flags.valueHeadDim < 1)
    return createStringError("--value-head-dim: expected at least 1, found " + Twine(flags.valueHeadDim));
  spec.valueHeadDim = flags.valueHeadDim;
  Expected<int32_t> dtype = readDType("dtype", flags.dtype);
  if (!dtype)
    return dtype.takeError();
  spec.dtype = *dtype;
  spec.mask = flags.mask;
  for (const std::string &text : flags.maskDTypes) {
    Expected<int32_t> operand = readDType("mask-dtype", text);
    if (!operand)
      return operand.takeError();
    spec.maskDTypes.push_back(*operand);
  }
  if (flags.bias.getNumOccurrences()) {
    Expected<int32_t> bias = readDType("bias", flags.bias);
    if (!bias)
      return bias.takeError();
    spec.biasDType = *bias;
  }
  if (flags.scale.getNumOccurrences())
    spec.scale = flags.scale;
  if (flags.softcap.getNumOccurrences())
    spec.softcap = flags.softcap;
  if (!flags.score.empty()) {
    auto text = MemoryBuffer::getFile(flags.score, /*IsText=*/true);
    if (!text)
      return createStringError("--score: cannot read '" + flags.score + "': " + text.getError().message());
    spec.score = (*text)->getBuffer().str();
  }
  spec.lse = flags.lse;
  spec.tf32 = flags.tf32;
  if (!flags.name.empty())
    spec.name = flags.name;
  return llvm::Error::success();
}

/// A module has all this in itself.
llvm::Error refuseSpecOptions(const Flags &flags) {
  const std::initializer_list<std::reference_wrapper<const cl::Option>> options = {
      flags.headDim, flags.valueHeadDim, flags.dtype,   flags.mask,  flags.maskDTypes,
      flags.bias,    flags.scale,        flags.softcap, flags.score, flags.lse};
  for (const cl::Option &option : options)
    if (option.getNumOccurrences())
      return createStringError("--" + option.ArgStr + " describes a kernel and cannot be given beside the module '" +
                               flags.input + "'");
  return llvm::Error::success();
}
} // namespace

Expected<ToolOptions> parseToolOptions(int argc, char **argv) {
  Flags flags;
  cl::HideUnrelatedOptions(category);
  cl::ParseCommandLineOptions(
      argc, argv,
      "flash-compile: attention kernels with a C interface, ahead of time\n\n"
      "  flash-compile --head-dim 64 --mask \"causal(bottom_right)\" --name my_attention -o out/\n"
      "  flash-compile model.mlir -o out/\n");
  ToolOptions options;
  options.input = flags.input;
  if (llvm::Error error = options.input.empty() ? readSpec(flags, options.spec) : refuseSpecOptions(flags))
    return std::move(error);
  options.emit = flags.emit;
  options.targets.assign(flags.targets.begin(), flags.targets.end());
  if (options.targets.empty())
    options.targets.push_back("cpu");
  if (options.targets.size() > 1 && (options.emit != Emit::Pack || !flags.explain.empty()))
    return createStringError("several targets make a fat pack; give --emit and --explain with one of them");
  options.output = flags.output;
  options.report = flags.report;
  if (options.report != ReportForm::None && (options.targets.size() > 1 || options.emit != Emit::Pack))
    return createStringError("--report prints on standard output what one target's kernel is like; give it without "
                             "--emit and with one --target");
  if (options.output.empty() && options.explain.empty() && flags.explain.empty() &&
      options.report == ReportForm::None) {
    if (options.emit == Emit::Pack || options.emit == Emit::Object || options.emit == Emit::Binary)
      return createStringError("expected -o, the place to write to, found none");
    options.output = "-";
  }
  options.explain = flags.explain;
  options.time = flags.time;
  if (options.emit == Emit::Binary && !options.explain.empty())
    return createStringError("--explain shows texts and cannot be given beside --emit binary");
  options.compile.name = flags.name;
  options.compile.entry = flags.entry;
  options.compile.lowPrecision = flags.lowPrecision;
  options.compile.optLevel = flags.optLevel;
  options.compile.remarks = flags.remarks;
  // Of a kernel it is a part of the description.
  options.compile.tf32 = flags.tf32 && !options.input.empty();
  options.compile.deviceBinary = flags.deviceBinary || options.emit == Emit::Binary;
  // What a model holds beside attention is loops that LLVM can still widen.
  options.compile.vectorizeLoops = !options.input.empty();
  if (flags.tileRows < 0 || flags.tileKeys < 0)
    return createStringError("--tile-rows and --tile-keys: expected at least 1, found " +
                             Twine(std::min<int64_t>(flags.tileRows, flags.tileKeys)));
  options.compile.tiles = {flags.tileRows, flags.tileKeys};
  if (flags.tiles.getNumOccurrences()) {
    std::optional<TileSizes> tiles = parseTiles(flags.tiles);
    if (!tiles || flags.tileRows || flags.tileKeys)
      return createStringError("--tiles: expected ROWSxKEYS or ROWSxKEYS/SPLIT, without --tile-rows and --tile-keys, "
                               "found '" +
                               flags.tiles + "'");
    options.compile.tiles = *tiles;
  }
  if (flags.tuneFor.getNumOccurrences()) {
    if (options.compile.tiles != TileSizes() || !options.input.empty())
      return createStringError("--tune-for takes the tiles of one kernel from the tuning store and cannot be given "
                               "beside " +
                               StringRef(options.input.empty() ? "--tiles" : "a module"));
    Result<ProblemSizes> sizes = ProblemSizes::parse(flags.tuneFor);
    if (!sizes)
      return createStringError("--tune-for: " + sizes.error().message);
    options.tuneFor = *sizes;
  }
  return options;
}
} // namespace flashc
