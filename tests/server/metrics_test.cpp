// Goal: /metrics is Prometheus' text format, and its counters are the sums of the answers' usage.
// Method: a scripted generator; every sample is parsed and compared with what clients got.
#include <gtest/gtest.h>

#include <charconv>
#include <map>
#include <sstream>

#include "tests/server/api_fixture.h"

namespace minke {
namespace {

/// Samples by name with labels; checks that each belongs to the family declared before it.
std::map<std::string, double> samples_of(const std::string& text) {
  std::map<std::string, double> samples;
  std::string line, family;
  EXPECT_TRUE(text.ends_with('\n'));
  for (std::istringstream lines(text); std::getline(lines, line);) {
    if (line.starts_with("# TYPE ")) {
      const size_t end = line.find(' ', 7);
      family = line.substr(7, end - 7);
      const std::string type = line.substr(end + 1);
      EXPECT_TRUE(type == "counter" || type == "gauge" || type == "histogram") << line;
      EXPECT_EQ(type == "counter", family.ends_with("_total")) << line;
    }
    if (line.starts_with('#')) continue;
    const size_t space = line.rfind(' ');
    const std::string name = line.substr(0, space), value = line.substr(space + 1);
    EXPECT_TRUE(name.starts_with(family)) << line;
    double number = -1;
    const auto parsed = std::from_chars(value.data(), value.data() + value.size(), number);
    EXPECT_TRUE(parsed.ec == std::errc{} && parsed.ptr == value.data() + value.size()) << line;
    EXPECT_TRUE(samples.emplace(name, number).second) << "twice: " << line;
  }
  return samples;
}

class Metrics : public ApiTest {
 protected:
  MemoryChannel::Reply get_metrics(const std::string& authorization = "") {
    HttpRequest request;
    request.method = "GET";
    request.path = "/metrics";
    if (!authorization.empty()) request.headers.push_back({"Authorization", authorization});
    return channel_.call(*api_, request);
  }
  std::map<std::string, double> metrics() {
    const MemoryChannel::Reply reply = get_metrics();
    EXPECT_EQ(reply.status, 200) << reply.body;
    EXPECT_EQ(reply.content_type, "text/plain; version=0.0.4; charset=utf-8");
    return samples_of(reply.body);
  }
};

TEST_F(Metrics, AreTheSumsOfTheAnswersUsage) {
  EXPECT_EQ(metrics().at("minke_generation_tokens_total"), 0);
  double prompt = 0, completion = 0;
  const auto add = [&](const Json& usage) {
    prompt += at(usage, {"prompt_tokens"}).as_double();
    completion += at(usage, {"completion_tokens"}).as_double();
  };
  add(at(json(chat("")), {"usage"}));
  add(at(json(chat(R"("max_tokens":4)")), {"usage"}));
  add(at(json(chat(R"("stop":"wor")")), {"usage"}));
  add(at(json(post("/v1/completions", R"({"model":"tiny","prompt":"abc"})")), {"usage"}));
  const auto stream = chat(R"("stream":true,"stream_options":{"include_usage":true})");
  const std::vector<Json> chunks = events(stream.body);
  add(at(chunks[chunks.size() - 2], {"usage"}));
  EXPECT_EQ(chat(R"("temperature":"hot")").status, 400);  // never began

  const std::map<std::string, double> found = metrics();
  EXPECT_GT(prompt, 0);
  EXPECT_EQ(found.at("minke_prompt_tokens_total"), prompt);
  EXPECT_EQ(found.at("minke_generation_tokens_total"), completion);
  EXPECT_EQ(found.at("minke_cached_prompt_tokens_total"), 0);
  EXPECT_EQ(found.at(R"(minke_requests_total{outcome="completed"})"), 5);
  EXPECT_EQ(found.at(R"(minke_requests_total{outcome="cancelled"})"), 0);
  EXPECT_EQ(found.at(R"(minke_answers_total{finish_reason="stop"})"), 4);
  EXPECT_EQ(found.at(R"(minke_answers_total{finish_reason="length"})"), 1);
  EXPECT_EQ(found.at("minke_time_to_first_token_seconds_count"), 5);
  EXPECT_EQ(found.at("minke_inter_token_latency_seconds_count"), completion - 5);
}

TEST_F(Metrics, HistogramsCountWhatIsAtMostTheirBounds) {
  chat("");
  const std::map<std::string, double> found = metrics();
  double last = 0;
  int num_buckets = 0;
  for (const double bound : Histogram::kBounds) {
    const double count =
        found.at(fmt::format("minke_inter_token_latency_seconds_bucket{{le=\"{}\"}}", bound));
    EXPECT_GE(count, last) << bound;
    last = count;
    ++num_buckets;
  }
  EXPECT_GT(num_buckets, 5);
  EXPECT_EQ(found.at(R"(minke_inter_token_latency_seconds_bucket{le="+Inf"})"),
            found.at("minke_inter_token_latency_seconds_count"));
  EXPECT_GE(found.at("minke_inter_token_latency_seconds_sum"), 0);
  Histogram histogram;
  for (const double seconds : {0.001, 0.0011, 70.0}) histogram.add(seconds);
  EXPECT_EQ(histogram.counts[0], 1) << "a bound belongs to its bucket";
  EXPECT_EQ(histogram.counts[1], 1);
  EXPECT_EQ(histogram.counts.back(), 1);
}

TEST_F(Metrics, ExpertsAreCountedByLayerWhereThereAreAny) {
  for (const auto& [name, value] : metrics()) EXPECT_EQ(name.find("expert"), std::string::npos);
  ServedModel served = text_->served(generator_.get());
  served.expert_loads = [] { return std::vector<LayerLoads>{{1, {5, 0}}, {2, {2, 3}}}; };
  api_ = std::make_unique<Api>(ServerConfig{}, served);
  const std::map<std::string, double> found = metrics();
  EXPECT_EQ(found.at(R"(minke_expert_tokens_total{layer="1",expert="0"})"), 5);
  EXPECT_EQ(found.at(R"(minke_expert_tokens_total{layer="1",expert="1"})"), 0);
  EXPECT_EQ(found.at(R"(minke_expert_tokens_total{layer="2",expert="1"})"), 3);
}

TEST_F(Metrics, NeedTheKeyWhereThereIsOne) {
  ServerConfig config;
  config.api_keys = {"secret"};
  start({.tokens = Script::bytes("Hi")}, TinyText::kPlain, config);
  EXPECT_EQ(get_metrics().status, 401);
  EXPECT_EQ(get_metrics("Bearer wrong").status, 401);
  EXPECT_EQ(get_metrics("Bearer secret").status, 200);
}

}  // namespace
}  // namespace minke
