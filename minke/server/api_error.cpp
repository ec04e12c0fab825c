#include "minke/server/api_error.h"

namespace minke {

Json error_json(const ApiError& error) {
  Json fields = Json::object({{"message", error.message}, {"type", error.type}});
  fields.set("param", error.param.empty() ? Json() : Json(error.param));
  fields.set("code", error.code);
  return Json::object({{"error", fields}});
}

HttpResponse error_response(const ApiError& error) {
  HttpResponse response = json_response(error_json(error));
  response.status = error.status;
  if (error.status == 429 || error.status == 503) response.headers.push_back({"Retry-After", "1"});
  if (error.status == 401) response.headers.push_back({"WWW-Authenticate", "Bearer"});
  return response;
}

ApiError status_error(int status, std::string_view message) {
  ApiError error{.status = status, .message = std::string(message), .param = ""};
  switch (status) {
    case 401:
      error.type = "authentication_error";
      break;
    case 403:
      error.type = error.code = "permission_error";
      break;
    case 404:
      error.code = "not_found";
      break;
    case 405:
      error.code = "method_not_allowed";
      break;
    case 408:
      error.code = "request_timeout";
      break;
    case 413:
      error.code = "request_too_large";
      break;
    case 415:
      error.code = "unsupported_media_type";
      break;
    case 431:
      error.code = "header_too_large";
      break;
    case 500:
      error.type = "server_error", error.code = "internal_error";
      break;
    case 503:
      error.type = "server_error", error.code = "server_overloaded";
      break;
    default:
      break;
  }
  return error;
}

ApiError from_error(const Error& error) {
  switch (error.code) {
    case ErrorCode::kUsage:
      return status_error(400, error.message);
    case ErrorCode::kWillNotFit: {
      ApiError too_long = status_error(400, error.message);
      too_long.code = "context_length_exceeded";
      return too_long;
    }
    case ErrorCode::kNotFound:
      return status_error(404, error.message);
    case ErrorCode::kAuth:
      return status_error(401, error.message);
    case ErrorCode::kFailed:
      return status_error(503, error.message);
    default:
      return status_error(500, error.message);
  }
}

HttpResponse json_response(const Json& body) {
  HttpResponse response;
  response.body = body.dump();
  response.headers.push_back({"Cache-Control", "no-store"});
  return response;
}

}  // namespace minke
