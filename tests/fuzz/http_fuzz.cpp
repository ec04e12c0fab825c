// Bytes -> HTTP parser -> routes -> schemas -> template and tokenizer -> answer, without sockets.
// The first byte says how the rest is cut into pieces; any cut must give the same result.
#include <cstdint>
#include <string>

#include "minke/base/json.h"
#include "tests/server/memory_channel.h"
#include "tests/server/scripted_generator.h"
#include "tests/server/tiny_text.h"

namespace minke {
namespace {

struct Parsed {
  HttpParse state = HttpParse::kNeedMore;
  int status = 0;
  HttpRequest request;
};

HttpLimits limits() {
  HttpLimits out;
  out.header_bytes = 2048;
  out.body_bytes = 8192;
  return out;
}

Parsed parse(std::string_view bytes, size_t piece) {
  HttpRequestParser parser(limits());
  Parsed out;
  std::string in;
  for (size_t at = 0; at < bytes.size() && out.state == HttpParse::kNeedMore; at += piece) {
    in += bytes.substr(at, piece);
    out.state = parser.feed(in);
  }
  out.status = parser.error_status();
  if (out.state == HttpParse::kDone) out.request = parser.take();
  return out;
}

void check_answer(const MemoryChannel::Reply& reply) {
  MK_CHECK(reply.num_answers == 1 && reply.done && !reply.aborted, "{} answers, status {}",
           reply.num_answers, reply.status);
  MK_CHECK(reply.status == 200 || reply.status == 204 || reply.content_type == "application/json",
           "an error of type {}", reply.content_type);
  if (reply.content_type != "application/json" || reply.status == 204) return;
  const Result<Json> body = parse_json(reply.body);
  MK_CHECK(body.has_value(), "the answer is no JSON: {}", reply.body);
  MK_CHECK((reply.status == 200) == (body->find("error") == nullptr), "status {}: {}", reply.status,
           reply.body);
}

void run_one(std::string_view bytes) {
  static const TinyText text(TinyText::kThinking);
  static ScriptedGenerator generator({.tokens = {TinyText::kThink, 'a', TinyText::kThinkEnd, 'b',
                                                 TinyText::kWor, 0xC3, TinyText::kLdSt, 0xFF}},
                                     true);
  static Api api({}, text.served(&generator), Api::Work::kInline);
  if (bytes.empty()) return;
  const size_t piece = 1 + static_cast<unsigned char>(bytes[0]) % 16;
  bytes.remove_prefix(1);
  Parsed whole = parse(bytes, bytes.size() + 1);
  const Parsed cut = parse(bytes, piece);
  MK_CHECK(whole.state == cut.state, "whole {} cut {}", static_cast<int>(whole.state),
           static_cast<int>(cut.state));
  MemoryChannel channel;
  // The body alone, too, so that the fuzzer need not keep the framing right.
  for (const char* path : {"/v1/chat/completions", "/v1/completions"}) {
    check_answer(channel.call(api, json_post(path, std::string(bytes))));
  }
  generator.forget_requests();
  if (whole.state != HttpParse::kDone) return;
  MK_CHECK(whole.request.body == cut.request.body && whole.request.path == cut.request.path,
           "pieces of {} bytes change the request", piece);
  check_answer(channel.call(api, std::move(whole.request)));
  generator.forget_requests();
}

}  // namespace
}  // namespace minke

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  minke::run_one({reinterpret_cast<const char*>(data), size});
  return 0;
}
