// DeepSeek-V2 and V2-Lite: a softmax gate whose groups count by their best expert.
#include "minke/models/deepseek_decoder.h"
#include "minke/models/registry.h"

namespace minke {

Result<ModelConfig> deepseek_v2_config(const ModelSettings& settings) {
  MK_ASSIGN(ModelConfig config, deepseek_config(settings, "deepseek_v2"));
  MK_TRY(expect_text(settings, "scoring_func", "softmax"));
  constexpr std::string_view kRefused[] = {"norm_topk_prob"};
  MK_TRY(refuse_settings(settings, kRefused));
  MK_ASSIGN(const std::string method, settings.text("topk_method", "greedy"));
  if (method == "greedy") {
    config.moe.routing.groups_kept = config.moe.routing.num_groups;
  } else if (method != "group_limited_greedy") {
    return fail(ErrorCode::kUsage, "topk_method is '{}', expected greedy or group_limited_greedy",
                method);
  }
  return config;
}

}  // namespace minke
