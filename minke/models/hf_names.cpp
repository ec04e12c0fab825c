#include "minke/models/hf_names.h"

#include <span>
#include <vector>

namespace minke {
namespace {

// A # stands for a number; those of a row's two names are in the same order. Of a layer the names
// begin with the prefixes below.
struct NamePair {
  std::string_view hf;
  std::string_view gguf;
};
constexpr NamePair kNames[] = {
    {"model.embed_tokens.weight", "token_embd.weight"},
    {"model.norm.weight", "output_norm.weight"},
    {"lm_head.weight", "output.weight"},
    {"model.layers.#.input_layernorm.weight", "blk.#.attn_norm.weight"},
    {"model.layers.#.post_attention_layernorm.weight", "blk.#.ffn_norm.weight"},
    {"model.layers.#.self_attn.q_proj.weight", "blk.#.attn_q.weight"},
    {"model.layers.#.self_attn.k_proj.weight", "blk.#.attn_k.weight"},
    {"model.layers.#.self_attn.v_proj.weight", "blk.#.attn_v.weight"},
    {"model.layers.#.self_attn.o_proj.weight", "blk.#.attn_output.weight"},
    {"model.layers.#.self_attn.q_proj.bias", "blk.#.attn_q.bias"},
    {"model.layers.#.self_attn.k_proj.bias", "blk.#.attn_k.bias"},
    {"model.layers.#.self_attn.v_proj.bias", "blk.#.attn_v.bias"},
    {"model.layers.#.self_attn.q_norm.weight", "blk.#.attn_q_norm.weight"},
    {"model.layers.#.self_attn.k_norm.weight", "blk.#.attn_k_norm.weight"},
    {"model.layers.#.self_attn.q_a_proj.weight", "blk.#.attn_q_a.weight"},
    {"model.layers.#.self_attn.q_a_layernorm.weight", "blk.#.attn_q_a_norm.weight"},
    {"model.layers.#.self_attn.q_b_proj.weight", "blk.#.attn_q_b.weight"},
    {"model.layers.#.self_attn.kv_a_proj_with_mqa.weight", "blk.#.attn_kv_a_mqa.weight"},
    {"model.layers.#.self_attn.kv_a_layernorm.weight", "blk.#.attn_kv_a_norm.weight"},
    {"model.layers.#.self_attn.kv_b_proj.weight", "blk.#.attn_kv_b.weight"},
    {"model.layers.#.enorm.weight", "blk.#.nextn.enorm.weight"},
    {"model.layers.#.hnorm.weight", "blk.#.nextn.hnorm.weight"},
    {"model.layers.#.eh_proj.weight", "blk.#.nextn.eh_proj.weight"},
    {"model.layers.#.shared_head.norm.weight", "blk.#.nextn.shared_head_norm.weight"},
    // Copies of the model's own, which ours do not read.
    {"model.layers.#.embed_tokens.weight", "blk.#.nextn.embed_tokens.weight"},
    {"model.layers.#.shared_head.head.weight", "blk.#.nextn.shared_head_head.weight"},
    {"model.layers.#.mlp.gate.weight", "blk.#.ffn_gate_inp.weight"},
    {"model.layers.#.mlp.gate.e_score_correction_bias", "blk.#.exp_probs_b.bias"},
    {"model.layers.#.mlp.experts.#.gate_proj.weight", "blk.#.ffn_gate_exps.#.weight"},
    {"model.layers.#.mlp.experts.#.up_proj.weight", "blk.#.ffn_up_exps.#.weight"},
    {"model.layers.#.mlp.experts.#.down_proj.weight", "blk.#.ffn_down_exps.#.weight"},
    {"model.layers.#.mlp.shared_experts.gate_proj.weight", "blk.#.ffn_gate_shexp.weight"},
    {"model.layers.#.mlp.shared_experts.up_proj.weight", "blk.#.ffn_up_shexp.weight"},
    {"model.layers.#.mlp.shared_experts.down_proj.weight", "blk.#.ffn_down_shexp.weight"},
    {"model.layers.#.mlp.gate_proj.weight", "blk.#.ffn_gate.weight"},
    {"model.layers.#.mlp.up_proj.weight", "blk.#.ffn_up.weight"},
    {"model.layers.#.mlp.down_proj.weight", "blk.#.ffn_down.weight"},
};

// GPT-2's. The first checkpoints lack the "transformer.".
constexpr std::string_view kGpt2Prefix = "transformer.";
constexpr NamePair kGpt2Names[] = {
    {"transformer.wte.weight", "token_embd.weight"},
    {"transformer.wpe.weight", "position_embd.weight"},
    {"transformer.ln_f.weight", "output_norm.weight"},
    {"transformer.ln_f.bias", "output_norm.bias"},
    {"lm_head.weight", "output.weight"},
    {"transformer.h.#.ln_1.weight", "blk.#.attn_norm.weight"},
    {"transformer.h.#.ln_1.bias", "blk.#.attn_norm.bias"},
    {"transformer.h.#.attn.c_attn.weight", "blk.#.attn_qkv.weight"},
    {"transformer.h.#.attn.c_attn.bias", "blk.#.attn_qkv.bias"},
    {"transformer.h.#.attn.c_proj.weight", "blk.#.attn_output.weight"},
    {"transformer.h.#.attn.c_proj.bias", "blk.#.attn_output.bias"},
    {"transformer.h.#.ln_2.weight", "blk.#.ffn_norm.weight"},
    {"transformer.h.#.ln_2.bias", "blk.#.ffn_norm.bias"},
    {"transformer.h.#.mlp.c_fc.weight", "blk.#.ffn_up.weight"},
    {"transformer.h.#.mlp.c_fc.bias", "blk.#.ffn_up.bias"},
    {"transformer.h.#.mlp.c_proj.weight", "blk.#.ffn_down.weight"},
    {"transformer.h.#.mlp.c_proj.bias", "blk.#.ffn_down.bias"},
};

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// The numbers in `name` that stand where the pattern has #, if it matches.
std::optional<std::vector<std::string_view>> match(std::string_view pattern,
                                                   std::string_view name) {
  std::vector<std::string_view> numbers;
  size_t at = 0;
  for (const char c : pattern) {
    if (c != '#') {
      if (at == name.size() || name[at++] != c) return std::nullopt;
      continue;
    }
    const size_t begin = at;
    while (at < name.size() && is_digit(name[at])) ++at;
    if (at == begin) return std::nullopt;
    numbers.push_back(name.substr(begin, at - begin));
  }
  if (at != name.size()) return std::nullopt;
  return numbers;
}

std::string filled(std::string_view pattern, const std::vector<std::string_view>& numbers) {
  std::string out;
  size_t next = 0;
  for (const char c : pattern) {
    if (c == '#') {
      out += numbers[next++];
    } else {
      out += c;
    }
  }
  return out;
}

std::optional<std::string> translated(std::span<const NamePair> names, std::string_view name,
                                      std::string_view NamePair::*from,
                                      std::string_view NamePair::*to) {
  for (const NamePair& pair : names) {
    if (const auto numbers = match(pair.*from, name)) return filled(pair.*to, *numbers);
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::string> gguf_name_of(std::string_view hf_name) {
  if (const auto name = translated(kNames, hf_name, &NamePair::hf, &NamePair::gguf)) return name;
  const bool has_prefix = hf_name.starts_with(kGpt2Prefix);
  const std::string full = std::string(has_prefix ? "" : kGpt2Prefix) + std::string(hf_name);
  return translated(kGpt2Names, full, &NamePair::hf, &NamePair::gguf);
}

std::optional<std::string> hf_name_of(std::string_view gguf_name, std::string_view architecture) {
  if (architecture == "gpt2") {
    return translated(kGpt2Names, gguf_name, &NamePair::gguf, &NamePair::hf);
  }
  return translated(kNames, gguf_name, &NamePair::gguf, &NamePair::hf);
}

bool is_conv1d(std::string_view gguf_name) {
  for (const char* part : {".attn_qkv", ".attn_output", ".ffn_up", ".ffn_down"}) {
    if (gguf_name.ends_with(std::string(part) + ".weight")) return true;
  }
  return false;
}

}  // namespace minke
