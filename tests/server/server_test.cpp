// The server on real sockets of the loopback interface, driven byte by byte by a raw client:
// limits, framing, slow and leaving clients, many streams, the drain.
#include "minke/server/server.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "minke/base/clock.h"
#include "minke/base/json.h"
#include "tests/server/scripted_generator.h"
#include "tests/server/socket_client.h"
#include "tests/server/tiny_text.h"

namespace minke {
namespace {

constexpr const char* kChat = "/v1/chat/completions";

std::string chat_body(const std::string& fields = "") {
  return R"({"model":"tiny","messages":[{"role":"user","content":"Hi"}])" + fields + "}";
}

class ServerTest : public ::testing::Test {
 protected:
  void start(Script script, HttpLimits limits = {}) {
    stop();
    generator_ = std::make_unique<ScriptedGenerator>(std::move(script));
    ServerConfig config;
    config.port = 0;
    config.limits = limits;
    auto server = Server::create(config, text_.served(generator_.get()));
    ASSERT_TRUE(server) << server.error().message;
    server_ = std::move(*server);
    port_ = server_->port();
    thread_ = std::thread([this] {
      server_->run();
      ended_ = true;
    });
  }
  void stop() {
    if (!server_) return;
    server_->stop();
    server_->stop();
    thread_.join();
    server_.reset();
    EXPECT_EQ(generator_->stats().running, 0) << "a request was left at the generator";
    ended_ = false;
  }
  void SetUp() override { start({.tokens = Script::bytes("Hello world")}); }
  void TearDown() override { stop(); }

  static Script endless() {
    return {
        .tokens = Script::bytes("x"), .endless = true, .per_token = std::chrono::milliseconds(2)};
  }
  static void expect_error(const SocketClient::Answer& answer, int status) {
    EXPECT_EQ(answer.status, status) << answer.head << answer.body;
    EXPECT_EQ(SocketClient::header(answer.head, "Content-Type"), "application/json");
    const Result<Json> body = parse_json(answer.body);
    ASSERT_TRUE(body) << answer.body;
    ASSERT_NE(body->find("error"), nullptr) << answer.body;
    EXPECT_EQ(body->find("error")->as_object().size(), 4u);
  }

  TinyText text_;
  std::unique_ptr<ScriptedGenerator> generator_;
  std::unique_ptr<Server> server_;
  uint16_t port_ = 0;
  std::thread thread_;
  std::atomic<bool> ended_{false};
};

TEST_F(ServerTest, AConnectionServesManyRequests) {
  SocketClient client(port_);
  for (int i = 0; i < 5; ++i) {
    const auto health = client.get("/health");
    EXPECT_EQ(health.status, 200);
    EXPECT_EQ(SocketClient::header(health.head, "X-Content-Type-Options"), "nosniff");
    const auto chat = client.post(kChat, chat_body());
    EXPECT_EQ(chat.status, 200);
    EXPECT_NE(chat.body.find("Hello world"), std::string::npos);
    const auto stream = client.post(kChat, chat_body(R"(,"stream":true)"));
    EXPECT_TRUE(stream.whole);
    EXPECT_TRUE(stream.body.ends_with("data: [DONE]\n\n"));
  }
}

TEST_F(ServerTest, PipelinedRequestsAreAnsweredInOrder) {
  SocketClient client(port_);
  client.send(
      "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
      "GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n");
  client.send_post(kChat, chat_body(R"(,"stream":true)"));
  client.send("GET /v1/models HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(client.read_answer().status, 200);
  EXPECT_EQ(client.read_answer().status, 404);
  EXPECT_TRUE(client.read_answer().body.ends_with("data: [DONE]\n\n"));
  const auto last = client.read_answer();
  EXPECT_NE(last.body.find("tiny"), std::string::npos);
  EXPECT_EQ(SocketClient::header(last.head, "Connection"), "close");
  EXPECT_EQ(client.read_to_end(), "");
}

TEST_F(ServerTest, ARequestMayComeInAnyPieces) {
  const std::string body = chat_body();
  const std::string request =
      "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
      "Transfer-Encoding: chunked\r\n\r\n" +
      fmt::format("{:x}\r\n{}\r\n{:x}\r\n{}\r\n0\r\n\r\n", 10, body.substr(0, 10), body.size() - 10,
                  body.substr(10));
  for (const size_t piece : {size_t{1}, size_t{7}, size_t{64}}) {
    SocketClient client(port_);
    for (size_t at = 0; at < request.size(); at += piece) {
      client.send(request.substr(at, piece));
      if (piece > 1) std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
    EXPECT_EQ(client.read_answer().status, 200) << piece;
  }
}

TEST_F(ServerTest, TrailersAreNoHeadersHoweverTheyCome) {
  const std::string body = chat_body();
  const std::string request =
      "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
      "Transfer-Encoding: chunked\r\n\r\n" +
      fmt::format("{:x}\r\n{}\r\n0\r\nHost: evil\r\nX: y\r\n\r\n", body.size(), body);
  for (const size_t piece : {request.size(), size_t{100}, size_t{3}}) {
    SocketClient client(port_);
    for (size_t at = 0; at < request.size(); at += piece) client.send(request.substr(at, piece));
    EXPECT_EQ(client.read_answer().status, 200) << piece;
  }
}

TEST_F(ServerTest, HeadOptionsAndHttp10Work) {
  SocketClient client(port_);
  client.send("HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n");
  const auto head = client.read_answer(false);
  EXPECT_EQ(head.status, 200);
  EXPECT_GT(std::stoi(SocketClient::header(head.head, "Content-Length")), 500);
  client.send("OPTIONS /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n");
  const auto options = client.read_answer();
  EXPECT_EQ(options.status, 204);
  EXPECT_EQ(SocketClient::header(options.head, "Allow"), "GET, HEAD, OPTIONS");
  SocketClient old(port_);
  const std::string body = chat_body(R"(,"stream":true)");
  old.send(
      "POST /v1/chat/completions HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: " +
      std::to_string(body.size()) + "\r\n\r\n" + body);
  const std::string all = old.read_to_end();
  EXPECT_EQ(all.find("chunked"), std::string::npos);
  EXPECT_TRUE(all.ends_with("data: [DONE]\n\n"));
}

TEST_F(ServerTest, ExpectContinueIsAnswered) {
  SocketClient client(port_);
  const std::string body = chat_body();
  client.send(
      "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"
      "Content-Type: application/json\r\nContent-Length: " +
      std::to_string(body.size()) + "\r\n\r\n");
  EXPECT_EQ(client.read_until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  client.send(body);
  EXPECT_EQ(client.read_answer().status, 200);
}

TEST_F(ServerTest, MalformedAndSmugglingRequestsAreRefused) {
  const std::pair<const char*, int> cases[] = {
      {"nonsense\r\n\r\n", 400},
      {"GET / P/\r\n\r\n", 400},
      {"GET / HTTP/2.5\r\nHost: localhost\r\n\r\n", 505},
      {"GET / HTTP/1.1\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: a\r\nHost: localhost\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: localhost\r\nX: a\r\n b\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: localhost\nX: a\r\n\r\n", 400},
      {"GET nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
       400},
      {"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nTransfer-Encoding: "
       "chunked\r\n\r\n"
       "0\r\n\r\n",
       400},
      {"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", 400},
      {"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
       "fffffffffffffffff\r\n",
       400},
      {"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\n\r\n", 501},
      {"GET / HTTP/1.1\r\nHost: rebind.example\r\n\r\n", 403},
  };
  for (const auto& [request, status] : cases) {
    SCOPED_TRACE(request);
    SocketClient client(port_);
    client.send(request);
    expect_error(client.read_answer(), status);
  }
}

TEST_F(ServerTest, HugeHeadersAndBodiesAreRefusedBeforeTheyAreRead) {
  SocketClient client(port_);
  client.send("GET / HTTP/1.1\r\nHost: localhost\r\nX: " + std::string(20000, 'a') + "\r\n\r\n");
  expect_error(client.read_answer(), 431);
  SocketClient endless_header(port_);
  endless_header.send("GET / HTTP/1.1\r\nX: " + std::string(20000, 'a'));
  expect_error(endless_header.read_answer(), 431);
  SocketClient many(port_);
  std::string lines;
  for (int i = 0; i < 200; ++i) lines += "A: b\r\n";
  many.send("GET / HTTP/1.1\r\nHost: localhost\r\n" + lines + "\r\n");
  expect_error(many.read_answer(), 431);
  SocketClient announced(port_);
  announced.send(
      "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\n\r\n");
  expect_error(announced.read_answer(), 413);
}

TEST_F(ServerTest, AChunkedBodyIsCountedAndItsErrorReachesASendingClient) {
  HttpLimits limits;
  limits.body_bytes = 100000;
  start({.tokens = Script::bytes("x")}, limits);
  SocketClient client(port_);
  client.send(
      "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n");
  const std::string chunk = "4000\r\n" + std::string(0x4000, ' ') + "\r\n";
  for (int i = 0; i < 60 && client.send(chunk); ++i) {
  }
  expect_error(client.read_answer(), 413);
}

TEST_F(ServerTest, ABodyOfManyMegabytesIsRead) {
  SocketClient client(port_);
  const std::string body = chat_body(R"(,"pad":")" + std::string(7 << 20, 'a') + "\"");
  EXPECT_EQ(client.post(kChat, body).status, 200);
}

TEST_F(ServerTest, SlowRequestsRunOutOfTime) {
  HttpLimits limits;
  limits.header_seconds = limits.body_seconds = limits.idle_seconds = 0.3;
  start({.tokens = Script::bytes("x")}, limits);
  SocketClient idle(port_), in_header(port_), in_body(port_);
  in_header.send("GET /health HT");
  in_body.send("POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{");
  expect_error(in_header.read_answer(), 408);
  expect_error(in_body.read_answer(), 408);
  EXPECT_EQ(idle.read_to_end(), "");
}

TEST_F(ServerTest, AClientThatLeavesCancelsItsGeneration) {
  for (const bool stream : {true, false}) {
    start(endless());
    SocketClient client(port_);
    client.send_post(kChat, chat_body(stream ? R"(,"stream":true)" : ""));
    if (stream) client.read_until("\"x\"");
    while (generator_->stats().running == 0) std::this_thread::yield();
    client.close();
    EXPECT_TRUE(generator_->wait_idle()) << stream;
    EXPECT_EQ(generator_->num_cancelled(), 1);
  }
}

TEST_F(ServerTest, AClientThatDoesNotReadIsCutOffAndOthersGoOn) {
  HttpLimits limits;
  limits.stream_buffer_bytes = 64 << 10;
  start({.tokens = Script::bytes(std::string(64, 'y')),
         .endless = true,
         .per_token = std::chrono::microseconds(20)},
        limits);
  SocketClient lazy(port_, 4096);
  lazy.send_post(kChat, chat_body(R"(,"stream":true,"n":8,"logprobs":true,"top_logprobs":20)"));
  while (generator_->stats().running == 0) std::this_thread::yield();
  EXPECT_EQ(SocketClient(port_).get("/health").status, 200);
  EXPECT_TRUE(generator_->wait_idle(30));
  EXPECT_GT(generator_->num_cancelled(), 0);
}

TEST_F(ServerTest, TwoHundredStreamsRunTogether) {
  start({.tokens = Script::bytes("The whale sings."), .per_token = std::chrono::milliseconds(1)});
  std::vector<SocketClient> clients;
  for (int i = 0; i < 200; ++i) clients.emplace_back(port_);
  for (SocketClient& client : clients) client.send_post(kChat, chat_body(R"(,"stream":true)"));
  for (SocketClient& client : clients) {
    const auto answer = client.read_answer();
    ASSERT_TRUE(answer.whole);
    std::string content;
    const std::string key = "\"delta\":{\"content\":\"";
    for (size_t at = 0; (at = answer.body.find(key, at)) != std::string::npos;) {
      at += key.size();
      content += answer.body.substr(at, answer.body.find('"', at) - at);
    }
    EXPECT_EQ(content, "The whale sings.");
  }
}

TEST_F(ServerTest, ASilentStreamGetsComments) {
  HttpLimits limits;
  limits.comment_seconds = 0.2;
  start({.tokens = Script::bytes("ab"), .per_token = std::chrono::milliseconds(700)}, limits);
  SocketClient client(port_);
  const auto answer = client.post(kChat, chat_body(R"(,"stream":true)"));
  EXPECT_NE(answer.body.find(": keep-alive\n\n"), std::string::npos);
  EXPECT_TRUE(answer.body.ends_with("data: [DONE]\n\n"));
}

TEST_F(ServerTest, TooManyConnectionsAreRefusedButIdleOnesGiveWay) {
  HttpLimits limits;
  limits.connections_max = 2;
  start(endless(), limits);
  SocketClient first(port_), second(port_);
  first.send_post(kChat, chat_body(R"(,"stream":true)"));
  first.read_until("\"x\"");
  EXPECT_EQ(second.get("/health").status, 200);
  SocketClient third(port_);  // the idle second one gives way
  third.send_post(kChat, chat_body(R"(,"stream":true)"));
  EXPECT_NE(third.read_until("\"x\"").find("200 OK"), std::string::npos);
  EXPECT_EQ(second.read_to_end(), "");
  SocketClient fourth(port_);
  expect_error(fourth.read_answer(), 503);
}

TEST_F(ServerTest, StopLetsRunningAnswersFinish) {
  start(
      {.tokens = Script::bytes(std::string(100, 'z')), .per_token = std::chrono::milliseconds(5)});
  SocketClient idle(port_), client(port_);
  EXPECT_EQ(idle.get("/health").status, 200);
  client.send_post(kChat, chat_body(R"(,"stream":true)"));
  client.read_until("\"z\"");
  server_->stop();
  EXPECT_EQ(idle.read_to_end(), "");
  const std::string rest = client.read_to_end();
  EXPECT_NE(rest.find("data: [DONE]"), std::string::npos);
  while (!ended_) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  EXPECT_FALSE(SocketClient(port_).connected());
}

TEST_F(ServerTest, TheDrainEndsWithAnErrorEvent) {
  HttpLimits limits;
  limits.drain_seconds = 0.2;
  start(endless(), limits);
  SocketClient client(port_);
  client.send_post(kChat, chat_body(R"(,"stream":true)"));
  client.read_until("\"x\"");
  const double begin = seconds_now();
  server_->stop();
  const std::string rest = client.read_to_end();
  EXPECT_NE(rest.find("the server is shutting down"), std::string::npos);
  EXPECT_EQ(rest.find("[DONE]"), std::string::npos);
  while (!ended_) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  EXPECT_LT(seconds_now() - begin, 4);
}

TEST_F(ServerTest, APortInUseIsAnErrorThatSaysWhatToDo) {
  ServerConfig config;
  config.port = port_;
  const auto second = Server::create(config, text_.served(generator_.get()));
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::kNetwork);
  EXPECT_NE(second.error().message.find(std::to_string(port_)), std::string::npos);
  EXPECT_NE(second.error().message.find("--port"), std::string::npos);
}

TEST_F(ServerTest, APublicAddressNeedsAKey) {
  ServerConfig config;
  config.host = "0.0.0.0";
  config.port = 0;
  const auto open = Server::create(config, text_.served(generator_.get()));
  ASSERT_FALSE(open);
  EXPECT_EQ(open.error().code, ErrorCode::kUsage);
  config.api_keys = {"sk-1"};
  EXPECT_TRUE(Server::create(config, text_.served(generator_.get())));
  config.host = "no.such.host.invalid";
  EXPECT_FALSE(Server::create(config, text_.served(generator_.get())));
}

}  // namespace
}  // namespace minke
