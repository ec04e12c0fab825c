#pragma once
#include <optional>
#include <string>
#include <string_view>

namespace minke {

/// The GGUF name of a tensor that Hugging Face's checkpoints call `hf_name`, e.g.
/// "model.layers.3.self_attn.q_proj.weight" -> "blk.3.attn_q.weight"; none for a name that no
/// architecture of ours has.
std::optional<std::string> gguf_name_of(std::string_view hf_name);
/// The other way round, for a model of that architecture (models/registry.cpp): GPT-2's checkpoints
/// have names of their own.
std::optional<std::string> hf_name_of(std::string_view gguf_name, std::string_view architecture);

/// Whether transformers keeps GPT-2's matrix of that name in GGUF as [in, out] (Conv1D).
bool is_conv1d(std::string_view gguf_name);

}  // namespace minke
