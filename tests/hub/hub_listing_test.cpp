// Goal: what a hub says is taken only as it should be. Method: answers of the real form, then each
// lie by itself.
#include "minke/hub/hub_listing.h"

#include <gtest/gtest.h>

namespace minke {
namespace {

const std::string kSha256(64, 'a');
const std::string kSha1(40, 'b');

TEST(HubListing, HuggingFacesTreeGivesSizesAndHashes) {
  const auto files =
      parse_hf_tree(R"([{"type":"directory","oid":"x","size":0,"path":"d"},)"
                    R"({"type":"file","oid":")" +
                    kSha1 + R"(","size":12,"path":"config.json"},)" + R"({"type":"file","oid":")" +
                    kSha1 + R"(","size":134,"path":"d/m.gguf","lfs":{"oid":")" + kSha256 +
                    R"(","size":5000000000,"pointerSize":134},"xetHash":"y"}])");
  ASSERT_TRUE(files) << files.error().message;
  ASSERT_EQ(files->size(), 2u);
  EXPECT_EQ((*files)[0].git_sha1, kSha1);
  EXPECT_EQ((*files)[0].sha256, "");
  EXPECT_EQ((*files)[1].size_bytes, 5'000'000'000u);
  EXPECT_EQ((*files)[1].sha256, kSha256);
}

TEST(HubListing, ModelScopesFilesGiveSizesAndHashes) {
  const auto files =
      parse_ms_files(R"({"Code":200,"Data":{"Files":[{"Type":"tree","Path":"d","Size":0},)"
                     R"({"Type":"blob","Path":"d/m.gguf","Size":7,"Sha256":")" +
                     kSha256 + R"(","IsLFS":true}]}})");
  ASSERT_TRUE(files) << files.error().message;
  ASSERT_EQ(files->size(), 1u);
  EXPECT_EQ((*files)[0].path, "d/m.gguf");
  EXPECT_EQ((*files)[0].sha256, kSha256);
  EXPECT_EQ(parse_ms_license(R"({"Data":{"License":"MIT"}})"), "MIT");
  EXPECT_EQ(parse_ms_license("nonsense"), "unknown");
}

TEST(HubListing, LiesAreRefused) {
  for (const char* path :
       {"", "/x", "../x", "a/../x", "a/./x", "a//x", "a\\x", "a/", "..", "a\\nb"}) {
    const std::string json = std::string(R"([{"type":"file","size":1,"path":")") + path + R"("}])";
    EXPECT_FALSE(parse_hf_tree(json)) << path;
  }
  for (const char* json :
       {"", "{}", "null", "[1]", R"([{"type":"file","path":"x"}])",
        R"([{"type":"file","path":"x","size":-1}])", R"([{"type":"file","path":"x","size":1.5}])",
        R"([{"path":"x","size":1}])",
        R"([{"type":"file","path":"x","size":1,"lfs":{"oid":"zz","size":1}}])"}) {
    const auto files = parse_hf_tree(json);
    ASSERT_FALSE(files) << json;
    EXPECT_EQ(files.error().code, ErrorCode::kNetwork) << json;
  }
  EXPECT_FALSE(parse_ms_files(R"({"Data":{"Files":{}}})"));
  EXPECT_FALSE(parse_ms_files(R"({"Code":10010205001,"Message":"no"})"));
}

TEST(HubListing, TheCommitIsNeededAndTheLicenseIsNot) {
  const auto info = parse_hf_info(R"({"sha":")" + kSha1 + R"(","tags":["gguf","license:mit"]})");
  ASSERT_TRUE(info);
  EXPECT_EQ(info->commit, kSha1);
  EXPECT_EQ(info->license, "mit");
  EXPECT_EQ(parse_hf_info(R"({"sha":")" + kSha1 + R"(","tags":["license:a b"]})")->license,
            "unknown");
  EXPECT_FALSE(parse_hf_info(R"({"sha":"main"})"));
  EXPECT_FALSE(parse_hf_info("[]"));
}

}  // namespace
}  // namespace minke
