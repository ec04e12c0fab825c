#include "minke/server/endpoints.h"

namespace minke {
namespace {

Json model_json(const Api& api, const std::string& id) {
  return Json::object({{"id", id},
                       {"object", "model"},
                       {"created", api.model().created},
                       {"owned_by", "minke"},
                       {"context_length", api.model().context_tokens}});
}

}  // namespace

void list_models(Api& api, const HttpRequest&, Responder responder) {
  Json::Array models{model_json(api, api.model().name)};
  for (const std::string& alias : api.model().aliases) models.push_back(model_json(api, alias));
  responder.send(
      json_response(Json::object({{"object", "list"}, {"data", Json(std::move(models))}})));
}

void show_model(Api& api, const HttpRequest& request, Responder responder) {
  const std::string name = request.path.substr(request.path.find("/models/") + 8);
  if (auto error = check_model(api, name)) return responder.send(error_response(*error));
  responder.send(json_response(model_json(api, name)));
}

}  // namespace minke
