// Goal: everything that people type for a model is understood or refused with the forms that are.
// Method: tables; hosts come from settings, not from this machine's variables.
#include "minke/hub/model_source.h"

#include <gtest/gtest.h>

#include "minke/hub/http_client.h"
#include "minke/hub/hub_session.h"

namespace minke {
namespace {

HubSettings settings_with(const std::string& hf, const std::string& token) {
  HubSettings settings;
  settings.hf_endpoint = hf;
  settings.hf_token = token;
  settings.ms_endpoint = "https://www.modelscope.cn";
  return settings;
}

TEST(ModelSource, AllFormsAreUnderstood) {
  struct Case {
    const char* text;
    Hub hub;
    const char* repository;
    const char* which;
    const char* revision;
  };
  const Case cases[] = {
      {"a/b", Hub::kHuggingFace, "a/b", "", ""},
      {"a/b.c_d-e:Q4_K_M", Hub::kHuggingFace, "a/b.c_d-e", "Q4_K_M", ""},
      {"a/b:x/y.gguf@refs/pr/1", Hub::kHuggingFace, "a/b", "x/y.gguf", "refs/pr/1"},
      {"a/b@v1", Hub::kHuggingFace, "a/b", "", "v1"},
      {"hf.co/a/b:q8", Hub::kHuggingFace, "a/b", "q8", ""},
      {"hf://a/b", Hub::kHuggingFace, "a/b", "", ""},
      {"ms://a/b:x.gguf", Hub::kModelScope, "a/b", "x.gguf", ""},
      {"modelscope.cn/models/a/b", Hub::kModelScope, "a/b", "", ""},
      {"https://huggingface.co/a/b", Hub::kHuggingFace, "a/b", "", ""},
      {"https://HF.co/a/b/tree/main", Hub::kHuggingFace, "a/b", "", "main"},
      {"https://huggingface.co/a/b/resolve/main/c%20d.gguf?download=true", Hub::kHuggingFace, "a/b",
       "c d.gguf", "main"},
      {"https://huggingface.co/a/b/blob/abc/x/y.gguf#L1", Hub::kHuggingFace, "a/b", "x/y.gguf",
       "abc"},
      {"https://modelscope.cn/models/a/b/summary", Hub::kModelScope, "a/b", "", ""},
      {"https://www.modelscope.cn/models/a/b/resolve/master/y.gguf", Hub::kModelScope, "a/b",
       "y.gguf", "master"},
      {"http://mirror.local:8080/a/b/resolve/main/y.gguf", Hub::kHuggingFace, "a/b", "y.gguf",
       "main"},
  };
  const HubSettings settings = settings_with("http://mirror.local:8080", "");
  for (const Case& c : cases) {
    const Result<ModelSource> source = parse_source(c.text, settings);
    ASSERT_TRUE(source) << c.text << ": " << source.error().message;
    EXPECT_EQ(source->hub, c.hub) << c.text;
    EXPECT_EQ(source->owner + "/" + source->repo, c.repository) << c.text;
    EXPECT_EQ(source->which, c.which) << c.text;
    EXPECT_EQ(source->revision, c.revision) << c.text;
  }
  const auto url = parse_source("https://example.org/x/Y.gguf", settings);
  ASSERT_TRUE(url);
  EXPECT_EQ(url->hub, Hub::kUrl);
  EXPECT_EQ(url->which, "Y.gguf");
}

TEST(ModelSource, WhatCannotBeIsRefused) {
  const HubSettings settings = settings_with("https://huggingface.co", "");
  for (const char* text : {"",
                           "word",
                           "a/",
                           "/b",
                           "a/b/c",
                           "a/..",
                           "../b",
                           "a/b:",
                           "a/b@",
                           "a/b:../../x.gguf",
                           "a/b@../x",
                           "a b/c",
                           "a/b:x\ny",
                           "https://huggingface.co/a",
                           "https://example.org/page.html",
                           "https://",
                           "ftp://a/b.gguf",
                           "ms://a",
                           "hf.co/a",
                           "a/b:/etc/passwd"}) {
    const Result<ModelSource> source = parse_source(text, settings);
    ASSERT_FALSE(source) << text;
    EXPECT_EQ(source.error().code, ErrorCode::kUsage) << text;
  }
}

TEST(HubSession, TheTokenIsForTheEndpointsOriginOnly) {
  const HubSession session(Hub::kHuggingFace, settings_with("https://huggingface.co", "secret"),
                           {});
  const auto has_token = [&](const char* url) {
    for (const HeaderField& header : session.request(url).headers) {
      if (header.name == "Authorization") return header.value == "Bearer secret";
    }
    return false;
  };
  EXPECT_TRUE(has_token("https://huggingface.co/a/b/resolve/main/x"));
  EXPECT_TRUE(has_token("https://HuggingFace.co:443/a"));
  for (const char* url :
       {"http://huggingface.co/a", "https://huggingface.co:444/a", "https://huggingface.co.evil/a",
        "https://cdn.huggingface.co/a", "https://huggingface.co@evil.org/a",
        "https://evil.org/huggingface.co", "nonsense", "https://huggingface.co\\@evil.org/"}) {
    EXPECT_FALSE(has_token(url)) << url;
  }
}

TEST(HttpClient, RedirectsAreResolvedAndNeverLeaveHttps) {
  EXPECT_EQ(redirect_target("https://h/a/b?x=1", "/c").value(), "https://h/c");
  EXPECT_EQ(redirect_target("http://h/a/b", "d").value(), "http://h/a/d");
  EXPECT_EQ(redirect_target("https://h/a", "https://g/x?sig=%2F").value(), "https://g/x?sig=%2F");
  for (const char* location : {"http://h/c", "file:///etc/passwd", "", "ftp://h/x"}) {
    const auto target = redirect_target("https://h/a", location);
    if (std::string(location).empty()) continue;  // the page itself; the limit on hops ends it
    EXPECT_FALSE(target) << location;
  }
  EXPECT_EQ(url_encoded("a b/ü&", true), "a%20b/%C3%BC%26");
  EXPECT_EQ(url_encoded("a/b", false), "a%2Fb");
}

TEST(HubPatience, WaitsDoubleUpToAMinuteAndHonourTheServerWithinLimits) {
  const HubPatience patience;
  EXPECT_DOUBLE_EQ(wait_seconds(patience, 1, 0), 0.5);
  EXPECT_DOUBLE_EQ(wait_seconds(patience, 3, 0), 2.0);
  EXPECT_DOUBLE_EQ(wait_seconds(patience, 1000000, 0), 60.0);
  EXPECT_DOUBLE_EQ(wait_seconds(patience, 1, 20), 20.0);
  EXPECT_DOUBLE_EQ(wait_seconds(patience, 1, 1e9), 300.0);
}

}  // namespace
}  // namespace minke
