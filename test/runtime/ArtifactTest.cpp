// An artifact survives its serialised form, and nothing else passes for one.

#include "runtime/Artifact.h"
#include "runtime/Sha256.h"
#include "runtime/TileSizes.h"

#include <gtest/gtest.h>

#include <random>

using namespace flashc;

namespace {

Artifact sample() {
  Artifact artifact;
  artifact.name = "my_attention";
  artifact.target = "cpu:x86-64-v3";
  artifact.kind = ArtifactKind::Shared;
  artifact.metadata = "{\"dtype\":\"f32\"}";
  artifact.bytes = std::string("\0\1\2binary\xFF", 10);
  return artifact;
}

TEST(Artifact, RoundTrip) {
  const Artifact artifact = sample();
  Result<Artifact> read = Artifact::parse(artifact.serialise());
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->name, artifact.name);
  EXPECT_EQ(read->target, artifact.target);
  EXPECT_EQ(read->kind, artifact.kind);
  EXPECT_EQ(read->metadata, artifact.metadata);
  EXPECT_EQ(read->bytes, artifact.bytes);
  ASSERT_TRUE(Artifact::parse(Artifact().serialise()));
}

TEST(Artifact, EveryTruncationIsSeen) {
  const std::string data = sample().serialise();
  for (size_t size = 0; size < data.size(); ++size)
    EXPECT_FALSE(Artifact::parse(std::string_view(data).substr(0, size))) << size;
  EXPECT_FALSE(Artifact::parse(data + "x"));
}

TEST(Artifact, EveryFlippedBitIsSeen) {
  const std::string data = sample().serialise();
  for (size_t bit = 0; bit < 8 * data.size(); ++bit) {
    std::string flipped = data;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
    EXPECT_FALSE(Artifact::parse(flipped)) << bit;
  }
}

TEST(Artifact, RandomBytesAndHugeSizesAreRefused) {
  std::mt19937 engine(1);
  for (int round = 0; round < 2000; ++round) {
    std::string data = sample().serialise();
    for (int i = 0; i < 8; ++i)
      data[8 + engine() % 72] = static_cast<char>(engine());
    EXPECT_FALSE(Artifact::parse(data));
  }
  std::string data = sample().serialise();
  for (int i = 0; i < 32; ++i)
    data[16 + i] = '\xFF';
  Result<Artifact> read = Artifact::parse(data);
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().message, "artifact: expected 18446744073709551615 bytes of part 0, got 50");
}

TEST(Artifact, MessagesSayExpectedAndActual) {
  EXPECT_EQ(Artifact::parse("short").error().message, "artifact: expected at least 80 bytes, got 5");
  EXPECT_EQ(Artifact::parse(std::string(100, 'x')).error().message, "artifact: expected the magic number \"FLASHCAR\"");
  std::string data = sample().serialise();
  data[8] = 9;
  Result<Artifact> read = Artifact::parse(data);
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().status, FLASHC_ERROR_ABI);
  EXPECT_EQ(read.error().message, "artifact: expected format version at most 1, got 9");
}

TEST(Artifact, KindsHaveNames) {
  EXPECT_STREQ(toString(ArtifactKind::Object), "object");
  EXPECT_STREQ(toString(ArtifactKind::Hsaco), "hsaco");
}

TEST(Sha256, KnownAnswers) {
  EXPECT_EQ(sha256Hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256Hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(toHex(sha256({"a", "", "bc"})), sha256Hex("abc"));
}

TEST(TileSizes, ZeroIsNotChosen) {
  EXPECT_FALSE(TileSizes().chosen());
  EXPECT_TRUE((TileSizes{24, 512}.chosen()));
  EXPECT_NE((TileSizes{24, 512}), (TileSizes{24, 256}));
}

} // namespace
