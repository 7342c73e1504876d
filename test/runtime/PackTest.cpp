// Packs: loading and running one, and one clear message for each way in which a pack can be wrong.

#include "TestFolder.h"
#include "TestKernel.h"

#include "runtime/Pack.h"
#include "runtime/Sha256.h"
#include "runtime/SharedLibrary.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>
#include <vector>

using namespace flashc;
using namespace flashc::test;
using nlohmann::json;
using ::testing::EndsWith;
using ::testing::HasSubstr;

namespace {

// Also on a machine that has GPUs, these tests have none.
const bool withoutDrivers = [] {
  ::setenv("FLASHC_CUDA_LIBRARY", "", 1);
  ::setenv("FLASHC_HIP_LIBRARY", "", 1);
  return true;
}();

class Pack : public ::testing::Test {
protected:
  TestFolder folder;
  std::string library = readText(TWICE_LIBRARY);
  json description = {{"format", "flashc-pack"}, {"version", 1},           {"abi", 1},
                      {"name", "twice"},         {"target", "cpu:x86-64"}, {"architecture", hostArchitecture()}};

  void SetUp() override { useLibrary(library); }

  void useLibrary(const std::string &bytes) {
    writeText(folder / "libtwice.so", bytes);
    description["files"]["library"] = {{"path", "libtwice.so"}, {"bytes", bytes.size()}, {"sha256", sha256Hex(bytes)}};
  }

  flashc_pack *load(const std::string &text) {
    writeText(folder / "kernel.json", text);
    flashc_pack *pack = nullptr;
    status = flashc_pack_load(folder.path.c_str(), &pack);
    return pack;
  }
  void refuses(flashc_status expected, const std::string &text) {
    flashc_pack *pack = load(description.dump());
    EXPECT_EQ(pack, nullptr);
    EXPECT_EQ(status, expected);
    EXPECT_THAT(flashc_last_error(), HasSubstr(text));
    EXPECT_THAT(flashc_last_error(), HasSubstr(folder.path));
  }
  flashc_status status = FLASHC_OK;
};

TEST_F(Pack, LoadsAndRuns) {
  flashc_pack *pack = load(description.dump());
  ASSERT_NE(pack, nullptr) << flashc_last_error();
  EXPECT_STREQ(flashc_pack_info(pack)->name, "twice");
  EXPECT_EQ(json::parse(flashc_pack_metadata(pack)), description);
  std::vector<float> x(100), y(100);
  for (int i = 0; i < 100; ++i)
    x[i] = static_cast<float>(i);
  flashc_tensor tensors[] = {tensor(x.data(), FLASHC_F32, {100}), tensor(y.data(), FLASHC_F32, {100})};
  for (const flashc_host *host : {static_cast<const flashc_host *>(nullptr), flashc_default_host()}) {
    y.assign(100, 0);
    flashc_args args{FLASHC_ABI_VERSION, 2, tensors, host};
    ASSERT_EQ(flashc_pack_run(pack, &args), FLASHC_OK) << flashc_last_error();
    for (int i = 0; i < 100; ++i)
      EXPECT_EQ(y[i], 2.0f * static_cast<float>(i));
  }
  tensors[1].size[0] = 99;
  flashc_args args{FLASHC_ABI_VERSION, 2, tensors, nullptr};
  EXPECT_EQ(flashc_pack_run(pack, &args), FLASHC_ERROR_SHAPE);
  EXPECT_STREQ(flashc_last_error(),
               "twice: operand 1 \"y\": expected size 0 (queries) to be 100 as size 0 of \"x\", got 99");
  flashc_pack_unload(pack);
}

TEST_F(Pack, LoadsFromItsDescription) {
  writeText(folder / "kernel.json", description.dump());
  flashc_pack *pack = nullptr;
  EXPECT_EQ(flashc_pack_load((folder / "kernel.json").c_str(), &pack), FLASHC_OK) << flashc_last_error();
  flashc_pack_unload(pack);
}

TEST_F(Pack, StaysLoadedWhenItsFilesChange) {
  flashc_pack *pack = load(description.dump());
  ASSERT_NE(pack, nullptr);
  writeText(folder / "libtwice.so", "overwritten");
  std::filesystem::remove_all(folder.path);
  float x = 3, y = 0;
  flashc_tensor tensors[] = {tensor(&x, FLASHC_F32, {1}), tensor(&y, FLASHC_F32, {1})};
  flashc_args args{FLASHC_ABI_VERSION, 2, tensors, nullptr};
  EXPECT_EQ(flashc_pack_run(pack, &args), FLASHC_OK);
  EXPECT_EQ(y, 6);
  flashc_pack_unload(pack);
}

TEST_F(Pack, LoadsManyTimes) {
  std::vector<flashc_pack *> packs;
  for (int i = 0; i < 20; ++i)
    packs.push_back(load(description.dump()));
  for (flashc_pack *pack : packs) {
    ASSERT_NE(pack, nullptr);
    EXPECT_NE(flashc_pack_kernel(pack)->run, pack == packs[0] ? nullptr : flashc_pack_kernel(packs[0])->run);
  }
  for (flashc_pack *pack : packs)
    flashc_pack_unload(pack);
}

TEST_F(Pack, RefusesWhatIsNotThere) {
  flashc_pack *pack = nullptr;
  EXPECT_EQ(flashc_pack_load((folder / "absent").c_str(), &pack), FLASHC_ERROR_IO);
  EXPECT_THAT(flashc_last_error(), EndsWith("absent/kernel.json: No such file or directory"));
  EXPECT_EQ(flashc_pack_load(nullptr, &pack), FLASHC_ERROR_INVALID);
  EXPECT_EQ(flashc_pack_load("x", nullptr), FLASHC_ERROR_INVALID);
  EXPECT_EQ(flashc_pack_run(nullptr, nullptr), FLASHC_ERROR_INVALID);
  std::filesystem::remove(folder / "libtwice.so");
  refuses(FLASHC_ERROR_IO, "libtwice.so: No such file or directory");
}

TEST_F(Pack, RefusesADamagedDescription) {
  const std::string text = description.dump();
  for (size_t size = 0; size < text.size(); ++size) {
    EXPECT_EQ(load(text.substr(0, size)), nullptr);
    EXPECT_EQ(status, FLASHC_ERROR_FORMAT);
  }
  EXPECT_EQ(load("[1, 2]"), nullptr);
  EXPECT_THAT(flashc_last_error(), HasSubstr("expected an object, got array"));
  EXPECT_EQ(load(std::string(200000, '[')), nullptr);
  EXPECT_THAT(flashc_last_error(), HasSubstr("parse error at line 1, column 200001"));
}

TEST_F(Pack, RefusesWrongMembers) {
  const json good = description;
  for (const char *key : {"format", "version", "abi", "name", "target", "architecture", "files"}) {
    description = good;
    description.erase(key);
    refuses(FLASHC_ERROR_FORMAT, std::string("expected a member \"") + key + "\"");
    description = good;
    description[key] = true;
    refuses(FLASHC_ERROR_FORMAT, std::string("expected \"") + key + "\" to be ");
  }
  description = good;
  description["version"] = -1;
  refuses(FLASHC_ERROR_FORMAT, "expected \"version\" to be a whole number of at least 0, got -1");
  description["version"] = 2;
  refuses(FLASHC_ERROR_ABI, "expected pack version 1, got 2");
  description = good;
  description["format"] = "zip";
  refuses(FLASHC_ERROR_FORMAT, "expected format \"flashc-pack\", got \"zip\"");
  description = good;
  description["abi"] = 7;
  refuses(FLASHC_ERROR_ABI, "expected ABI version at most 1, got 7: this runtime is older than the pack");
  description = good;
  description["name"] = "a-b";
  refuses(FLASHC_ERROR_FORMAT, "expected \"name\" to be a C identifier of at most 63 characters, got \"a-b\"");
  description = good;
  description["architecture"] = "sparc";
  refuses(FLASHC_ERROR_TARGET, std::string("expected a pack for ") + hostArchitecture() + ", got one for \"sparc\"");
  description = good;
  description["target"] = "nvptx:sm_90a";
  refuses(FLASHC_ERROR_TARGET, "expected a target of a device of this machine (cpu");
  refuses(FLASHC_ERROR_TARGET, "got \"nvptx:sm_90a\"");
  for (const char *path : {"", "..", "/lib/libc.so.6", "a/b.so"}) {
    description = good;
    description["files"]["library"]["path"] = path;
    refuses(FLASHC_ERROR_FORMAT,
            std::string("expected \"files.library.path\" to be a plain file name, got \"") + path + "\"");
  }
}

TEST_F(Pack, RefusesAChangedLibrary) {
  writeText(folder / "libtwice.so", library.substr(0, library.size() / 2));
  refuses(FLASHC_ERROR_FORMAT, "libtwice.so: expected " + std::to_string(library.size()) +
                                   " bytes as kernel.json says, got " + std::to_string(library.size() / 2));
  std::string flipped = library;
  flipped[flipped.size() / 2] ^= 1;
  writeText(folder / "libtwice.so", flipped);
  refuses(FLASHC_ERROR_FORMAT,
          "libtwice.so: expected SHA-256 " + sha256Hex(library) + " as kernel.json says, got " + sha256Hex(flipped));
}

TEST_F(Pack, RefusesALibraryThatCannotRunHere) {
  std::string other = library;
  other[18] = 22; // e_machine: s390
  useLibrary(other);
  refuses(FLASHC_ERROR_TARGET, std::string("twice: expected a library for ") + hostArchitecture() +
                                   ", got one for unknown (ELF machine 22)");
  useLibrary("not an ELF file");
  refuses(FLASHC_ERROR_FORMAT, "twice: expected an ELF shared library");
  // Truncated before it was packed: the hash is right, the segments are not there.
  useLibrary(library.substr(0, 600));
  refuses(FLASHC_ERROR_FORMAT, "inside the file of 600 bytes");
}

TEST_F(Pack, RefusesALibraryWithoutTheFunctions) {
  useLibrary(readText(TWICE_LIBRARY_NO_RUN));
  refuses(FLASHC_ERROR_FORMAT, "twice: expected the library to export \"twice_run\"");
  useLibrary(library);
  description["name"] = "thrice";
  refuses(FLASHC_ERROR_FORMAT, "thrice: expected the library to export \"thrice_query\"");
}

TEST_F(Pack, RefusesANewerObject) {
  useLibrary(readText(TWICE_LIBRARY_NEWER_ABI));
  refuses(FLASHC_ERROR_ABI, "twice: expected a kernel of ABI version at most 1, got one that needs a newer version");
}

TEST_F(Pack, PicksFromAFatPack) {
  std::filesystem::create_directory(folder / "mine");
  writeText(folder / "mine/kernel.json", description.dump());
  writeText(folder / "mine/libtwice.so", library);
  json fat = {{"format", "flashc-fat-pack"}, {"version", 1}};
  fat["packs"] = {{{"target", "nvptx:sm_80"}, {"path", "other"}}, {{"target", "cpu:x86-64"}, {"path", "mine"}}};
  flashc_pack *pack = load(fat.dump());
  ASSERT_NE(pack, nullptr) << flashc_last_error();
  EXPECT_STREQ(flashc_device_name(flashc_pack_device(pack)), "cpu");
  flashc_pack_unload(pack);
  // Who counts on a GPU is told.
  const std::string said = json::parse(flashc_devices())["fallbacks"].dump();
  EXPECT_THAT(said,
              HasSubstr("twice for cpu:x86-64: runs on cpu, as no device runs \\\"nvptx:sm_80\\\"; expected a target"));
  EXPECT_THAT(said, HasSubstr("no cuda device: "));

  auto refusesFat = [&](flashc_status expected, const std::string &text) {
    EXPECT_EQ(load(fat.dump()), nullptr);
    EXPECT_EQ(status, expected);
    EXPECT_THAT(flashc_last_error(), HasSubstr(text));
  };
  fat["packs"].erase(1);
  refusesFat(FLASHC_ERROR_TARGET, "expected a pack for a device of this machine among its 1, got none; expected a "
                                  "target of a device of this machine (cpu");
  refusesFat(FLASHC_ERROR_TARGET, "got \"nvptx:sm_80\"; no cuda device: ");
  fat["packs"] = {{{"target", "cpu"}, {"path", "../mine"}}};
  refusesFat(FLASHC_ERROR_FORMAT, "expected \"packs.path\" to be a plain folder name, got \"../mine\"");
  fat["packs"] = json::array();
  refusesFat(FLASHC_ERROR_FORMAT, "expected at least one pack in \"packs\", got none");
  fat["packs"] = {1};
  refusesFat(FLASHC_ERROR_FORMAT, "expected \"packs\" to hold objects, got number");
  fat["version"] = 2;
  refusesFat(FLASHC_ERROR_ABI, "expected fat pack version 1, got 2");
}

// A machine without a driver says so, for a pack of a GPU.
TEST_F(Pack, SaysWhichDriverIsMissing) {
  ASSERT_TRUE(withoutDrivers);
  description["target"] = "nvptx:sm_80";
  refuses(FLASHC_ERROR_TARGET, "got \"nvptx:sm_80\"; no cuda device: ");
  description["target"] = "amdgpu:gfx942";
  refuses(FLASHC_ERROR_TARGET, "; no hip device: ");
}

TEST_F(Pack, ServesDevicesToC) {
  flashc_device *device = nullptr;
  ASSERT_EQ(flashc_device_find("cpu", &device), FLASHC_OK);
  EXPECT_STREQ(flashc_device_name(device), "cpu");
  const json list = json::parse(flashc_devices());
  EXPECT_EQ(list["devices"][0]["name"], "cpu");
  void *memory = nullptr;
  float value = 3, back = 0;
  ASSERT_EQ(flashc_device_allocate(device, 4, &memory), FLASHC_OK);
  EXPECT_EQ(flashc_device_copy_to(device, memory, &value, 4, nullptr), FLASHC_OK);
  EXPECT_EQ(flashc_device_copy_from(device, &back, memory, 4, nullptr), FLASHC_OK);
  EXPECT_EQ(flashc_device_synchronize(device, nullptr), FLASHC_OK);
  EXPECT_EQ(back, 3);
  EXPECT_EQ(flashc_device_free(device, memory), FLASHC_OK);
  EXPECT_EQ(flashc_device_find("cuda:99", &device), FLASHC_ERROR_TARGET);
  EXPECT_THAT(flashc_last_error(), HasSubstr("expected a target of a device of this machine (cpu"));
  EXPECT_EQ(flashc_device_allocate(nullptr, 4, &memory), FLASHC_ERROR_INVALID);
}

TEST_F(Pack, ReadsAsAnArtifactForTheDevice) {
  writeText(folder / "kernel.json", description.dump());
  Result<Artifact> artifact = readPack(folder.path);
  ASSERT_TRUE(artifact) << artifact.error().message;
  EXPECT_EQ(artifact->bytes, library);
  Result<Device *> cpu = deviceForTarget("cpu:znver5");
  ASSERT_TRUE(cpu);
  const DeviceInfo info = (*cpu)->describe();
  EXPECT_EQ(info.family, "cpu");
  EXPECT_GE(info.units, 1);
  EXPECT_GT(info.memoryBytes, 0);
  EXPECT_THAT(info.description, HasSubstr("CPU"));

  Result<std::unique_ptr<LoadedKernel>> kernel = (*cpu)->load(*artifact);
  ASSERT_TRUE(kernel) << kernel.error().message;
  float x = 1, y = 0;
  flashc_tensor tensors[] = {tensor(&x, FLASHC_F32, {1}), tensor(&y, FLASHC_F32, {1})};
  flashc_args args{FLASHC_ABI_VERSION, 2, tensors, nullptr};
  EXPECT_FALSE((*cpu)->launch(**kernel, args));
  TimeOptions options;
  options.minSeconds = 0.001;
  Result<Timing> timing = (*cpu)->time(**kernel, args, options);
  ASSERT_TRUE(timing);
  EXPECT_GE(timing->runs, 10);
  EXPECT_GT(timing->best, 0);
  EXPECT_LE(timing->best, timing->median);
  args.num_tensors = 1;
  EXPECT_EQ((*cpu)->time(**kernel, args).error().message, "twice: expected 2 tensors (x, y), got 1");
  EXPECT_EQ((*cpu)->launch(**kernel, args)->status, FLASHC_ERROR_OPERANDS);

  artifact->kind = ArtifactKind::Ptx;
  EXPECT_EQ((*cpu)->load(*artifact).error().message, "twice: expected an artifact of kind shared, got ptx");
  artifact->target = "amdgpu:gfx942";
  EXPECT_EQ((*cpu)->load(*artifact).error().message,
            "twice: expected a kernel for a cpu target, got \"amdgpu:gfx942\"");
}

} // namespace
