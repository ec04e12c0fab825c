#include <optional>

#include "minke/server/endpoints.h"
#include "minke/server/fields.h"

namespace minke {

ApiResult<Json> read_json_body(const HttpRequest& request) {
  const std::string* type = request.header("Content-Type");
  std::string kind = type == nullptr ? "" : type->substr(0, type->find(';'));
  while (!kind.empty() && kind.back() == ' ') kind.pop_back();
  for (char& c : kind) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  // Strict for safety: any other type, or none, can be sent by a foreign web page without asking.
  if (kind != "application/json") {
    return tl::unexpected(
        status_error(415, fmt::format("the Content-Type is {}, expected application/json (curl: -H "
                                      "'Content-Type: application/json')",
                                      kind.empty() ? "missing" : kind.substr(0, 60))));
  }
  return parse_body(request.body);
}

std::optional<ApiError> check_model(const Api& api, const std::string& name) {
  if (api.is_model(name)) return std::nullopt;
  ApiError error = status_error(404, fmt::format("the model '{}' is not served here, expected '{}'",
                                                 name.substr(0, 100), api.model().name));
  error.param = "model";
  error.code = "model_not_found";
  return error;
}

ApiResult<int> tokens_to_generate(const Api& api, size_t prompt_tokens,
                                  std::optional<int64_t> max_tokens) {
  const int64_t context = api.model().context_tokens;
  const auto prompt = static_cast<int64_t>(prompt_tokens);
  const int64_t wanted = max_tokens.value_or(std::max<int64_t>(context - prompt, 1));
  if (prompt == 0) {
    return tl::unexpected(status_error(400, "the prompt is empty, expected at least one token"));
  }
  if (prompt + wanted <= context) return static_cast<int>(wanted);
  ApiError error = status_error(
      400,
      fmt::format("This model's maximum context length is {} tokens. However, you requested {} "
                  "tokens ({} in the messages, {} in the completion). Please reduce the length "
                  "of the messages or completion.",
                  context, prompt + wanted, prompt, wanted));
  error.code = "context_length_exceeded";
  return tl::unexpected(error);
}

}  // namespace minke
