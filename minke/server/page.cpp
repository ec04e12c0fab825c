#include "minke/server/endpoints.h"
#include "minke/server/generation_fields.h"

namespace minke {
namespace {

constexpr const char* kStyle = R"(
:root{color-scheme:light dark;--ink:#16202b;--paper:#fbfcfd;--soft:#5b6b7b;--box:#eef2f6}
@media(prefers-color-scheme:dark){:root{--ink:#e4eaf0;--paper:#11171d;--soft:#93a3b3;--box:#1b242d}}
body{font:16px/1.55 system-ui,sans-serif;color:var(--ink);background:var(--paper);
max-width:46rem;margin:3rem auto;padding:0 1rem}
h1{font-size:1.5rem;margin:0}h2{font-size:1.05rem;margin:2rem 0 .5rem}p{margin:.3rem 0}
.soft,dt{color:var(--soft)}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.25rem 1.5rem;margin:1rem 0}dd{margin:0}
pre{background:var(--box);padding:1rem;border-radius:.5rem;overflow-x:auto;font-size:.85rem}
code{font-family:ui-monospace,monospace})";

std::string escape_html(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

void add_row(std::string& rows, const char* name, const std::string& value) {
  rows += fmt::format("<dt>{}</dt><dd>{}</dd>\n", name, escape_html(value));
}

std::string rows_of(const Api& api) {
  const ServedModel& model = api.model();
  std::string rows;
  add_row(rows, "Model", model.name);
  if (!model.description.empty()) add_row(rows, "About", model.description);
  add_row(rows, "Context", fmt::format("{} tokens", model.context_tokens));
  if (!model.precision.empty()) add_row(rows, "Arithmetic", model.precision);
  const double rate = api.tokens_per_second();
  add_row(rows, "Speed so far",
          rate > 0 ? fmt::format("{:.1f} tokens/s", rate) : std::string("no request yet"));
  add_row(rows, "API key", api.config().api_keys.empty() ? "not needed" : "needed");
  return rows;
}

std::string curl_example(const Api& api, const std::string& base) {
  const Json body = Json::object(
      {{"model", api.model().name},
       {"messages",
        Json::array({Json::object({{"role", "user"}, {"content", "Why is the sky blue?"}})})},
       {"stream", true}});
  std::string lines = fmt::format("curl -N {}/v1/chat/completions \\\n", base);
  if (!api.config().api_keys.empty()) lines += "  -H \"Authorization: Bearer $KEY\" \\\n";
  lines += "  -H 'Content-Type: application/json' \\\n";
  std::string quoted;
  for (const char c : body.dump()) quoted += c == '\'' ? "'\\''" : std::string(1, c);
  return lines + "  -d '" + quoted + "'";
}

}  // namespace

void page(Api& api, const HttpRequest& request, Responder responder) {
  const std::string* host = request.header("Host");
  const std::string base =
      "http://" + (host != nullptr ? *host : fmt::format("127.0.0.1:{}", api.config().port));
  const std::string nonce = fmt::format("{:016x}", random_bits());
  HttpResponse response;
  response.content_type = "text/html; charset=utf-8";
  response.headers = {
      {"Content-Security-Policy",
       fmt::format("default-src 'none'; style-src 'nonce-{}'; base-uri 'none'; form-action 'none'; "
                   "frame-ancestors 'none'",
                   nonce)},
      {"Referrer-Policy", "no-referrer"},
      {"Cache-Control", "no-store"}};
  response.body = fmt::format(
      "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n"
      "<title>minke: {0}</title>\n<style nonce=\"{1}\">{2}</style>\n</head>\n<body>\n"
      "<h1>minke</h1>\n<p class=\"soft\">A language model runs on this machine.</p>\n"
      "<dl>\n{3}</dl>\n<h2>Ask it</h2>\n<pre><code>{4}</code></pre>\n"
      "<h2>From Python</h2>\n<pre><code>from openai import OpenAI\n"
      "client = OpenAI(base_url=&quot;{5}/v1&quot;, api_key=&quot;{6}&quot;)\n"
      "print(client.chat.completions.create(\n    model=&quot;{0}&quot;,\n    messages=["
      "{{&quot;role&quot;: &quot;user&quot;, &quot;content&quot;: &quot;Hello!&quot;}}],\n"
      ").choices[0].message.content)</code></pre>\n<h2>Paths</h2>\n"
      "<p><code>POST /v1/chat/completions</code>, <code>POST /v1/completions</code>, "
      "<code>GET /v1/models</code>, <code>GET /health</code></p>\n</body>\n</html>\n",
      escape_html(api.model().name), nonce, kStyle, rows_of(api),
      escape_html(curl_example(api, base)), escape_html(base),
      api.config().api_keys.empty() ? "none" : "KEY");
  responder.send(std::move(response));
}

}  // namespace minke
