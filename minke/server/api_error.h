#pragma once
#include <string>
#include <string_view>
#include <tl/expected.hpp>

#include "minke/base/json.h"
#include "minke/base/result.h"
#include "minke/server/http.h"

namespace minke {

/// An error as clients of the OpenAI and DeepSeek APIs expect it: always all four keys in the body.
struct ApiError {
  int status = 400;
  std::string message;
  std::string type = "invalid_request_error";
  std::string param;  ///< the field at fault, e.g. "messages[2].content"; empty prints null
  std::string code = "invalid_request_error";
};

template <class T>
using ApiResult = tl::expected<T, ApiError>;

/// {"error": {message, type, param, code}}
Json error_json(const ApiError& error);
/// The error as a response; 429 and 503 carry Retry-After, 401 WWW-Authenticate.
HttpResponse error_response(const ApiError& error);
/// An error with the type and code that belong to the status.
ApiError status_error(int status, std::string_view message);
/// An Error of the lower layers in the API's words.
ApiError from_error(const Error& error);
HttpResponse json_response(const Json& body);

}  // namespace minke
