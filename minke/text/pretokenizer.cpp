#include "minke/text/pretokenizer.h"

namespace minke {
namespace {

using Steps = std::array<SplitStep, Pretokenizer::kStepsMax>;

constexpr Steps kGpt2 = {split_gpt2};
constexpr Steps kDigitsGpt2 = {split_each_number, split_gpt2};
constexpr Steps kLlama3 = {split_llama3};
constexpr Steps kQwen2 = {split_qwen2};
constexpr Steps kDeepSeekV3 = {split_numbers_by_three, split_deepseek_v3_cjk, split_deepseek_v3};

/// The names are llama.cpp's, whose converter writes them; the first row of equal ones is the name
/// that a tokenizer.json with these steps gets.
constexpr Pretokenizer kPretokenizers[] = {
    {.name = "gpt-2", .steps = kGpt2},
    {.name = "smollm", .steps = kDigitsGpt2},
    {.name = "llama-bpe", .steps = kLlama3, .ignore_merges = true, .add_bos = true},
    {.name = "qwen2", .steps = kQwen2},
    {.name = "qwen35", .steps = {split_qwen35}},
    // llama.cpp has \p{N}+ for the last one; no token of this vocabulary has two numbers.
    {.name = "deepseek-llm",
     .steps = {split_each_newline, split_cased_letters, split_deepseek_punctuation,
               split_trailing_space, split_deepseek_cjk, split_each_number}},
    {.name = "deepseek-coder",
     .steps = {split_each_newline, split_spaced_letters, split_spaced_punctuation,
               split_deepseek_cjk, split_each_number}},
    {.name = "deepseek-v3", .steps = kDeepSeekV3},
    {.name = "falcon", .steps = {split_punctuation, split_gpt2, split_three_digits}},
    {.name = "default",
     .steps = {split_punctuation_but_backtick, split_gpt2, split_numbers, split_three_digits}},
    // Minke's own: each character of its vocabulary is a token.
    {.name = "characters", .steps = {split_each_character}, .ignore_merges = true},
    // Other names of the same.
    {.name = "a.x-4.0", .steps = kGpt2},
    {.name = "exaone4", .steps = kGpt2},
    {.name = "gigachat", .steps = kGpt2},
    {.name = "granite-docling", .steps = kGpt2},
    {.name = "jais", .steps = kGpt2},
    {.name = "mellum", .steps = kGpt2},
    {.name = "mpt", .steps = kGpt2},
    {.name = "olmo", .steps = kGpt2},
    {.name = "phi-2", .steps = kGpt2},
    {.name = "trillion", .steps = kGpt2},
    {.name = "codeshell", .steps = kDigitsGpt2},
    {.name = "command-r", .steps = kDigitsGpt2},
    {.name = "exaone", .steps = kDigitsGpt2},
    {.name = "mellum2", .steps = kDigitsGpt2},
    {.name = "minerva-7b", .steps = kDigitsGpt2},
    {.name = "refact", .steps = kDigitsGpt2},
    {.name = "starcoder", .steps = kDigitsGpt2},
    {.name = "chatglm-bpe", .steps = kLlama3},
    {.name = "dbrx", .steps = kLlama3},
    {.name = "falcon-h1", .steps = kLlama3, .ignore_merges = true, .add_bos = true},
    {.name = "falcon3", .steps = kLlama3, .ignore_merges = true, .add_bos = true},
    {.name = "glm4", .steps = kLlama3, .ignore_merges = true},
    {.name = "glm5", .steps = kLlama3, .ignore_merges = true},
    {.name = "lfm2", .steps = kLlama3, .ignore_merges = true, .add_bos = true},
    {.name = "llama-v3", .steps = kLlama3, .ignore_merges = true, .add_bos = true},
    {.name = "llama3", .steps = kLlama3, .ignore_merges = true, .add_bos = true},
    {.name = "midm-2.0", .steps = kLlama3, .ignore_merges = true, .add_bos = true},
    {.name = "pixtral", .steps = kLlama3, .ignore_merges = true, .add_bos = true},
    {.name = "smaug-bpe", .steps = kLlama3},
    {.name = "bailingmoe", .steps = kQwen2},
    {.name = "bailingmoe2", .steps = kQwen2},
    {.name = "deepseek-r1-qwen", .steps = kQwen2},
    {.name = "grok-2", .steps = kQwen2},
    {.name = "hunyuan", .steps = kQwen2},
    {.name = "kormo", .steps = kQwen2},
    {.name = "llada-moe", .steps = kQwen2},
    {.name = "megrez", .steps = kQwen2},
    {.name = "solar-open", .steps = kQwen2},
    {.name = "stablelm2", .steps = kQwen2},
    {.name = "hunyuan-dense", .steps = kDeepSeekV3},
    {.name = "hy_v4", .steps = kDeepSeekV3},
    {.name = "joyai-llm", .steps = kDeepSeekV3},
};

void split(const Pretokenizer& pretokenizer, size_t step, std::string_view text,
           FunctionRef<void(std::string_view)> piece) {
  if (step == pretokenizer.steps.size() || pretokenizer.steps[step] == nullptr) return piece(text);
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = pretokenizer.steps[step](text, begin);
    split(pretokenizer, step + 1, text.substr(begin, end - begin), piece);
    begin = end;
  }
}

}  // namespace

const Pretokenizer* find_pretokenizer(std::string_view name) {
  for (const Pretokenizer& row : kPretokenizers) {
    if (row.name == name) return &row;
  }
  return nullptr;
}

const Pretokenizer* find_pretokenizer(const Steps& steps) {
  for (const Pretokenizer& row : kPretokenizers) {
    if (row.steps == steps) return &row;
  }
  return nullptr;
}

std::string pretokenizer_names() {
  std::string names;
  for (const Pretokenizer& row : kPretokenizers) {
    if (!names.empty()) names += ", ";
    names += row.name;
  }
  return names;
}

void pretokenize(const Pretokenizer& pretokenizer, std::string_view text,
                 FunctionRef<void(std::string_view)> piece) {
  if (!text.empty()) split(pretokenizer, 0, text, piece);
}

}  // namespace minke
